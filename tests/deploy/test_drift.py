"""What somebody changes in the dashboard behind our back: the plan says it, sends nothing, and nothing is lost."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from account_model import Account, client_of
from project import Project, worker_of

from notebook_do.errors import PlanRefused
from notebook_do.model import Bindings, Json, Namespace, PlainText, StableId, Worker
from notebook_do.plan.unattended import objections
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def declared(form: str) -> tuple[Any, ...]:
    """Declare a host of two classes with a variable, and a client Worker of one of them."""
    spaces = [Namespace(StableId(i), class_name=i.upper(), script_name="host") for i in ("a", "b")]
    *_, worker = worker_of("host", {"a": "A", "b": "B"}, lifecycle=form, crons=("0 * * * *",))
    assert isinstance(worker, Worker)
    bound = {**dict(worker.bindings), "NOTE": PlainText(text="ours")}
    host = replace(worker, bindings=Bindings("host", bound))
    return (*spaces, host, *worker_of("guest", {}, uses=("a",), url=False))


def id_of(account: Account, class_name: str) -> str:
    """Give the id of the namespace of a class."""
    return next(i for i, n in account.namespaces.items() if n["class"] == class_name)


def other_code(account: Account) -> None:
    """Upload other code."""
    account.scripts["host"].update(etag="theirs", modified_on="later")


def other_variable(account: Account) -> None:
    """Change a variable."""
    for binding in account.scripts["host"]["bindings"]:
        if binding["name"] == "NOTE":
            binding["text"] = "theirs"


def without(name: str) -> Callable[[Account], None]:
    """Remove a binding."""

    def edit(account: Account) -> None:
        account.scripts["host"]["bindings"] = [b for b in account.scripts["host"]["bindings"] if b["name"] != name]

    return edit


def one_variable_more(account: Account) -> None:
    """Add a variable."""
    account.scripts["host"]["bindings"].append({"type": "plain_text", "name": "THEIRS", "text": "x"})


def other_tag(account: Account) -> None:
    """Run a migration with another tool."""
    account.scripts["host"].update(migration_tag="theirs", modified_on="later")


def no_host(account: Account) -> None:
    """Delete the host, and with it its namespaces."""
    del account.scripts["host"]
    account.namespaces.clear()


def no_guest(account: Account) -> None:
    """Delete the client Worker."""
    del account.scripts["guest"]


def no_namespace(account: Account) -> None:
    """Delete one class with its objects."""
    del account.namespaces[id_of(account, "A")]


def new_namespace(account: Account) -> None:
    """Delete a class with its objects, and create it again."""
    account.namespaces["f" * 32] = account.namespaces.pop(id_of(account, "A"))


def renamed(account: Account) -> None:
    """Rename a class."""
    account.namespaces[id_of(account, "A")]["class"] = "Z"


def moved(account: Account) -> None:
    """Move a class to the other Worker."""
    account.namespaces[id_of(account, "A")]["script"] = "guest"


def closed(account: Account) -> None:
    """Close the address."""
    account.scripts["host"]["enabled"] = False


def other_crons(account: Account) -> None:
    """Change the cron triggers."""
    account.scripts["host"]["crons"] = [{"cron": "5 5 * * *"}]


KINDS: dict[str, tuple[Callable[[Account], None], str, bool]] = {
    "other code": (other_code, "The code of host was replaced outside", True),
    "other variable": (other_variable, "Binding NOTE of host is changed.* It was changed outside", True),
    "variable removed": (without("NOTE"), "Binding NOTE of host is added.* It was changed outside", True),
    "variable added": (one_variable_more, "Binding THEIRS of host is removed.* It was changed outside", True),
    "class unbound": (without("A"), "Binding A of host is added.* It was changed outside", True),
    "address closed": (closed, "The URL of host is opened.", True),
    "other triggers": (other_crons, "The cron triggers of host are replaced. They were changed outside.", True),
    "client deleted": (no_guest, "Worker guest was deployed before and is gone from the account", True),
    "class renamed": (renamed, "namespace a was host.A and is now host.Z: changed outside.", True),
    "class moved": (moved, "namespace a was host.A and is now guest.A: changed outside.", False),
    "other migration": (other_tag, "Worker host bears the migration tag theirs", False),
    "host deleted": (no_host, "Worker host was deployed before and is gone from the account", False),
    "namespace deleted": (no_namespace, "gone from the account, with its objects.", False),
    "namespace replaced": (new_namespace, "It is not created again by itself: that would hide the loss.", False),
}
"""What is done, what the plan says of it, and whether the plan may be deployed."""


@pytest.mark.parametrize("form", ["exports", "migrations"])
@pytest.mark.parametrize("kind", KINDS)
def test_f67_drift_is_shown_and_never_loses_data(tmp_path: Path, kind: str, form: str) -> None:
    """F67, P1, P2, P6: the plan tells the drift and only reads; a vanished namespace is never created anew.

    What may be deployed puts the declared state back, each namespace under the id that it had.
    """
    edit, words, deployable = KINDS[kind]
    account, state = Account(), StateFile(tmp_path / "s" / "state.json")
    project = Project(state, lambda: client_of(account), declared(form))
    assert asyncio.run(project.run()).ok
    before, ids, sent = state.path.read_bytes(), dict(account.namespaces), len(account.log)
    edit(account)
    edited = dict(account.namespaces)
    plan = asyncio.run(project.plan())
    assert {method for method, _ in account.log[sent:]} == {"GET"}
    assert state.path.read_bytes() == before
    told = [c.detail for c in (*plan.drift, *plan.changes)] + [r.message for r in plan.refusals]
    assert any(re.search(words, text) for text in told), told
    assert not plan.consents
    if not deployable:
        assert all(r.choices for r in plan.refusals), plan.refusals
        with pytest.raises(PlanRefused):
            asyncio.run(project.deploy(plan))
        assert account.namespaces == edited
        assert state.path.read_bytes() == before
        return
    assert asyncio.run(project.deploy(plan)).ok
    assert account.namespaces == ids
    assert account.scripts["host"]["crons"] == [{"cron": "0 * * * *"}]
    again = asyncio.run(project.plan())
    assert again.empty, (again.steps, again.drift)
    assert {n.namespace_id for n in state.load().namespaces} == set(ids)


@pytest.mark.parametrize("note", ["", "edited"])
@pytest.mark.parametrize("kind", [kind for kind, (_, _, deployable) in KINDS.items() if deployable])
def test_issue_13_8_what_was_changed_outside_is_never_put_back_unread(tmp_path: Path, kind: str, note: str) -> None:
    """Issue 13.8: such a plan is not safe, also where the declaration changed too and no row tells the two apart.

    Without the change from outside, the same declaration is safe.
    """
    account, state = Account(), StateFile(tmp_path / "s" / "state.json")
    project = Project(state, lambda: client_of(account), declared("exports"))
    assert asyncio.run(project.run()).ok
    if note:
        *spaces, host, guest = project.declared
        bound = Bindings("host", {**dict(host.bindings), "MORE": PlainText(text=note)})
        options = Json({**host.options.value, "observability": {"enabled": True}})
        project.declared = (*spaces, replace(host, bindings=bound, options=options), guest)
        assert objections(asyncio.run(project.plan())) == ()
    KINDS[kind][0](account)
    plan = asyncio.run(project.plan())
    assert plan.can_deploy
    kinds = {o.kind for o in objections(plan)}
    assert kinds & {"put-back", "deletion"}, plan.changes


def test_f67_there_are_twelve_kinds() -> None:
    """F67: at least the twelve kinds of drift."""
    assert len(KINDS) >= 12
