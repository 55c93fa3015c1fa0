"""What a wave leaves: seen in one list, each outcome in the journal, the state file written once, and none is lost."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from account_model import Account, Clock, client_of
from project import Project, worker_of

from notebook_do.deploy import run as run_module
from notebook_do.deploy.recover import recover
from notebook_do.errors import DeployError, DurableError
from notebook_do.state.file import StateFile
from notebook_do.state.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANY = 20
NAMES = [f"w{n:02}" for n in range(MANY)]


def many(note: str = "", **options: Any) -> tuple[Any, ...]:
    """Declare Workers with a class each."""
    return sum((worker_of(name, {f"ns_{name}": "A"}, note=note, **options) for name in NAMES), ())


def project_of(path: Path, account: Account, *declared: Any) -> Project:
    """Make a project that deployed nothing yet."""
    return Project(StateFile(path / "p" / "state.json"), lambda: client_of(account), declared)


def kinds(account: Account) -> list[str]:
    """Say of each request what it asks of, in order; what is asked of a script without its name."""
    ends = [(method, path.partition("/workers/")[2].split("/")) for method, path in account.log]
    return [
        f"{method} {'script' if parts[0] == 'scripts' and len(parts) == 2 else parts[-1]}" for method, parts in ends
    ]


def deployed(project: Project, account: Account) -> list[str]:
    """Plan, deploy, and return what the deploy asked."""
    plan = asyncio.run(project.plan())
    account.log.clear()
    assert asyncio.run(project.deploy(plan)).ok
    return kinds(account)


def test_a_wave_is_seen_in_one_list_and_written_once(tmp_path: Path) -> None:
    """Issue 13.4: twenty new Workers take three requests each and two lists; the state file is written once a wave."""
    account = Account()
    project = project_of(tmp_path, account, *many())
    asked = deployed(project, account)
    assert asked[0] == "GET scripts"
    assert asked[1 : MANY + 1] == ["PUT script"] * MANY
    assert asked[MANY + 1] == "GET namespaces"
    assert sorted(asked[MANY + 2 :]) == ["PATCH script-settings"] * MANY + ["POST subdomain"] * MANY
    recorded = project.state.load()
    assert recorded.serial == 3
    assert [w.id for w in recorded.workers] == NAMES
    assert {str(n.namespace_id) for n in recorded.namespaces} == set(account.namespaces)
    assert asyncio.run(project.plan()).empty


def test_an_update_of_many_takes_two_lists(tmp_path: Path) -> None:
    """Issue 13.4: other code for twenty Workers takes one request each, a list before and a list after."""
    account = Account()
    project = project_of(tmp_path, account, *many())
    assert asyncio.run(project.run()).ok
    serial = project.state.load().serial
    project.declared = many("new")
    assert deployed(project, account) == ["GET scripts", *["PUT script"] * MANY, "GET scripts"]
    assert project.state.load().serial == serial + 1
    assert asyncio.run(project.plan()).empty


def test_a_later_wave_rests_on_the_list_that_showed_the_one_before(tmp_path: Path) -> None:
    """Issue 13.2: each later wave costs one list: what shows the wave before is what the next one is compared with."""

    def chain(note: str) -> tuple[Any, ...]:
        host = worker_of("host", {"a": "A"}, note=note, url=False)
        return (*host, *worker_of("guest", {"b": "B"}, note=note, uses=("a",), url=False))

    account = Account()
    project = project_of(tmp_path, account, *chain("one"))
    created = deployed(project, account)
    assert created.count("GET scripts") == 2
    project.declared = chain("two")
    updated = deployed(project, account)
    assert updated == ["GET scripts", "PUT script", "GET scripts", "PUT script", "GET scripts"]


class Full:
    """Fails to put the state file in its place from now on, as a full disk or the end of the process does."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.really: Callable[..., None] = os.replace
        patch.setattr(os, "replace", self)

    def __call__(self, old: Any, new: Any, **more: Any) -> None:
        """Put any other file in its place."""
        if os.fspath(new).endswith("state.json"):
            raise OSError(28, os.strerror(28))
        self.really(old, new, **more)


def unsaved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *declared: Any) -> tuple[Account, Project]:
    """Deploy, with nothing written into the state file after the first wave was seen live."""
    account = Account()
    project = project_of(tmp_path, account, *declared)
    with monkeypatch.context() as patch:
        Full(patch)
        with pytest.raises(DeployError, match="happened, but could not be recorded") as caught:
            asyncio.run(project.run())
    statuses = [o.status for o in caught.value.result.outcomes]
    assert statuses.count("uncertain") == len(account.scripts)
    assert set(statuses) == {"uncertain", "not done"}
    return account, project


async def recovered(project: Project) -> list[tuple[str, str]]:
    """Recover, as the next plan does first."""
    async with project.client() as client:
        return [(o.text, o.status) for o in await recover(client=client, state=project.state, now=lambda: project.time)]


def test_what_the_journal_saw_is_recorded_without_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 13.4: of a wave that was seen live and not written, the state file is made of the journal alone."""
    account, project = unsaved(tmp_path, monkeypatch, *many())
    assert not project.state.exists
    account.log.clear()
    found = asyncio.run(recovered(project))
    assert account.log == []
    assert {status for _, status in found} == {"done"}
    assert len(found) == MANY
    recorded = project.state.load()
    assert {str(n.namespace_id) for n in recorded.namespaces} == set(account.namespaces)
    assert {w.etag for w in recorded.workers} == {s["etag"] for s in account.scripts.values()}
    assert asyncio.run(recovered(project)) == []
    assert asyncio.run(project.run()).ok
    assert asyncio.run(project.plan()).empty
    assert len(account.namespaces) == len(account.migrations_applied) == MANY


def test_the_deploy_that_finds_it_says_what_was_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan from before is stale, with what was completed as the reason; so it is by the journal alone, too."""
    account, project = unsaved(tmp_path, monkeypatch, *worker_of("host", {"a": "A"}))
    account.scripts.clear()  # so that the plan is the one of before
    account.namespaces.clear()
    old = asyncio.run(project_of(tmp_path / "elsewhere", account, *worker_of("host", {"a": "A"})).plan())
    with pytest.raises(DurableError, match=r"stale: an interrupted deploy was completed \(create Worker host"):
        asyncio.run(project.deploy(old))


def test_a_state_file_that_went_on_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the state file is another one by now (restored, imported into), what is live decides, not the journal."""
    account, project = unsaved(tmp_path, monkeypatch, *many())
    with project.state.lock():
        project.state.save(replace(project.state.load(), account_id="a" * 32, api_origin="https://api.cloudflare.com"))
    gone = NAMES[3]
    account._delete(gone)
    account.log.clear()
    found = dict(asyncio.run(recovered(project)))
    assert kinds(account) == ["GET scripts", "GET namespaces"], "one list of each for all that is looked at"
    assert sorted(found.values()) == ["done"] * (MANY - 1) + ["not known yet"]
    assert {w.id for w in project.state.load().workers} == set(NAMES) - {gone}
    assert [i.script_name for i in Journal(project.state.journal_path).open_intents()] == [gone]


def test_a_lost_line_of_the_save_changes_nothing(tmp_path: Path) -> None:
    """Killed after the state file was written and before the journal says so: nothing is recorded twice, or told."""
    account = Account()
    project = project_of(tmp_path, account, *many())
    assert asyncio.run(project.run()).ok
    project.declared, project.destroy = many()[2:], ("w00", "ns_w00")
    assert asyncio.run(project.run()).ok
    before = project.state.load()
    assert len(before.tombstones) == 1
    path = project.state.journal_path
    lines = path.read_bytes().splitlines(keepends=True)
    assert b'"saved"' in lines[-1]
    path.write_bytes(b"".join(lines[:-1]))
    assert asyncio.run(recovered(project)) == []
    assert project.state.load() == before
    assert b'"saved"' in path.read_bytes().splitlines()[-1]
    assert asyncio.run(project.plan()).empty


def test_what_is_not_seen_yet_holds_nobody_else_up(tmp_path: Path) -> None:
    """A namespace that the list shows late is waited for; those it shows are recorded, and the deploy goes on."""
    account, clock, reads = Account(), Clock(), 0

    async def late(request: httpx.Request, deliver: Any) -> Any:
        nonlocal reads
        if not request.url.path.endswith("/namespaces") or len(account.scripts) < MANY:
            return None
        reads += 1
        answer = deliver().json()
        answer["result"] = [n for n in answer["result"] if reads > 2 or n["script"] != "w07"]
        return httpx.Response(200, json=answer)

    project = project_of(tmp_path, account, *many())
    plan = asyncio.run(project.plan())
    project.client = lambda: client_of(account, late, clock)
    assert asyncio.run(project.deploy(plan)).ok
    assert reads == 3
    assert clock.slept == pytest.approx(3)
    assert len(project.state.load().namespaces) == MANY


def test_one_that_is_never_seen_stops_the_deploy_and_loses_no_other(tmp_path: Path) -> None:
    """Of a wave in which one upload is never listed the others are done and recorded; that one stays open."""
    account, clock = Account(), Clock()

    async def never(request: httpx.Request, deliver: Any) -> Any:
        if not request.url.path.endswith("/namespaces"):
            return None
        answer = deliver().json()
        answer["result"] = [n for n in answer["result"] if n["script"] != "w07"]
        return httpx.Response(200, json=answer)

    project = project_of(tmp_path, account, *many())
    plan = asyncio.run(project.plan())
    project.client = lambda: client_of(account, never, clock)
    with pytest.raises(DeployError, match=r"namespace ns_w07 .* is not listed") as caught:
        asyncio.run(project.deploy(plan))
    outcomes = caught.value.result.outcomes
    assert [o.status for o in outcomes].count("done") == MANY - 1
    (uncertain,) = (o.text for o in outcomes if o.status == "uncertain")
    assert uncertain.startswith("create Worker w07: create class ")
    assert uncertain.endswith(" for namespace ns_w07")
    assert {w.id for w in project.state.load().workers} == set(NAMES) - {"w07"}
    assert [i.script_name for i in project.state.journal.open_intents()] == ["w07"]
    project.client = lambda: client_of(account)
    assert asyncio.run(project.run()).ok
    assert asyncio.run(project.plan()).empty
    assert len(account.migrations_applied) == MANY


def test_a_cancel_in_a_wave_records_what_was_sent(tmp_path: Path) -> None:
    """Cancelled in the middle of a wave: what is under way is seen and recorded, and nothing else of it is sent."""
    account = Account()
    project = project_of(tmp_path, account, *many())
    plan = asyncio.run(project.plan())
    result = asyncio.run(project.deploy(plan, cancel=lambda: len(account.scripts) >= 3))
    assert not result.ok
    done = [o.text.split()[2].rstrip(":") for o in result.outcomes if o.status == "done"]
    assert 3 <= len(account.scripts) < MANY
    assert sorted(done) == sorted(account.scripts) == [w.id for w in project.state.load().workers]
    assert project.state.journal.open_intents() == ()


def test_an_interrupt_in_a_wave_records_what_was_answered(tmp_path: Path) -> None:
    """Interrupted in the middle of a wave: what is answered in time is seen and recorded, and nothing more is sent."""
    account, three, told = Account(), asyncio.Event(), asyncio.Event()

    async def slow(request: httpx.Request, deliver: Any) -> Any:
        if request.method == "PUT":
            response = deliver()
            if len(account.scripts) >= 3:
                three.set()
            await told.wait()
            return response
        return None

    async def both() -> None:
        project.client = lambda: client_of(account, slow)
        task = asyncio.ensure_future(project.deploy(plan))
        await three.wait()
        task.cancel()
        asyncio.get_running_loop().call_later(0.1, told.set)  # the deploy has noticed by then; its grace is far longer
        with pytest.raises(asyncio.CancelledError):
            await task

    project = project_of(tmp_path, account, *many())
    plan = asyncio.run(project.plan())
    asyncio.run(both())
    assert 3 <= len(account.scripts) <= run_module.AT_ONCE
    assert sorted(account.scripts) == [w.id for w in project.state.load().workers]
    assert project.state.journal.open_intents() == ()
    project.client = lambda: client_of(account)
    assert asyncio.run(project.run()).ok
    assert asyncio.run(project.plan()).empty


def test_a_killed_wave_is_looked_up_in_two_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wave that was sent and not seen by the process that sent it is found live with one list of each kind."""
    account = Account()
    project = project_of(tmp_path, account, *many())
    plan = asyncio.run(project.plan())

    async def blind(request: httpx.Request, _deliver: Any) -> Any:
        if request.url.path.endswith("/namespaces"):
            raise httpx.ReadError("lost", request=request)
        return None

    project.client = lambda: client_of(account, blind, Clock())
    with pytest.raises(DeployError, match="uncertain"):
        asyncio.run(project.deploy(plan))
    assert len(project.state.journal.open_intents()) == MANY
    assert not project.state.exists
    project.client = lambda: client_of(account)
    account.log.clear()
    assert {status for _, status in asyncio.run(recovered(project))} == {"done"}
    assert kinds(account) == ["GET scripts", "GET namespaces"]
    assert project.state.load().serial == 1
    assert asyncio.run(project.run()).ok
    assert len(account.migrations_applied) == MANY
