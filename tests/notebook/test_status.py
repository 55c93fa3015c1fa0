"""What `%durable` shows: the contract of views.md, section 10, and its examples 7a to 7f."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from sharing import COUNTER

import notebook_do as nd
from notebook_do.cloudflare import client as cloudflare
from notebook_do.errors import DurableError
from notebook_do.model import Where
from notebook_do.notebook.views.documents import bundle, written
from notebook_do.sources import checking, esbuild
from notebook_do.state.journal import Intent

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.live.status import Status

ANSWERS = "export default { fetch() { return new Response(); } };"


@pytest.fixture
def session(cloud: Path) -> nd.Session:
    """Give an open session on the local Cloudflare."""
    del cloud
    return nd.session("shop")


def cell(number: int) -> Where:
    """Give the place of a cell."""
    return Where(cell=f"In[{number}]", run=number)


def declare(number: int = 3, *, limit: str = "20", source: str = COUNTER, class_name: str = "Counter") -> None:
    """Declare the counter and its Worker, in a cell and the one two below it."""
    counter = nd.DurableObjectNamespace("counter", class_name=class_name, where=cell(number))
    bindings = {"COUNTER": counter, "LIMIT": limit}
    nd.Worker("api", script=source, bindings=bindings, where=cell(number + 2))


def deploy(session: nd.Session) -> None:
    """Send what is declared."""
    session.deploy(session.plan())


def rows(status: Status) -> list[tuple[str, ...]]:
    """Give the rows without the times."""
    return [(row.state, row.id, row.declared, "yes" if row.deployed else "no", row.now) for row in status.rows]


def steps(status: Status) -> list[tuple[str, str]]:
    """Give what can be typed next."""
    return [(step.command, step.about) for step in status.next_steps]


def test_nothing_at_all_offers_the_two_lines_that_declare(session: nd.Session) -> None:
    """7a: and where the state file is and how the API is reached, folded."""
    status = session.status()
    shown = bundle(status)
    assert shown["text/plain"].splitlines() == [
        "Session shop  stage: dev  target: local (this machine)",
        "Nothing is declared and nothing is deployed yet.",
        "",
        "  next",
        "  -------------------------------------------  -----------------------------------------------",
        "  %durable namespace counter --class Counter   declare a namespace",
        "  %%durable worker api --bind COUNTER=counter  declare a Worker; its source is the cell's body",
        "",
        "State file and API",
        "    state file  .notebook_do/shop/dev/state.json, written by the first deploy",
        f"    API         {status.api}",
        "    token       none needed",
    ]
    assert "<details" in shown["text/html"]
    assert shown["text/html"].index("<details") > shown["text/html"].index("declare a namespace")


def test_what_is_declared_and_new_is_to_be_deployed(session: nd.Session) -> None:
    """7b: each thing with its cell."""
    declare()
    status = session.status()
    assert rows(status) == [
        ("new", "counter", "cell [3]", "no", "new"),
        ("new", "api", "cell [5]", "no", "new"),
    ]
    assert steps(status) == [("%durable deploy", "shows the plan and its button")]


def test_a_namespace_that_nothing_binds_is_to_be_bound(session: nd.Session) -> None:
    """A plan could not be made of it: the next line binds it."""
    nd.DurableObjectNamespace("visit-counts", class_name="Visits", where=cell(2))
    ((command, about),) = steps(session.status())
    assert command == "%%durable worker ID --bind VISIT_COUNTS=visit-counts"
    assert "nothing can host it yet" in about


def test_what_is_not_declared_here_names_its_cells_and_the_import(
    session: nd.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7c: a new kernel has not run the cells of the notebook that deployed last; what is live is kept."""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/shop.ipynb")
    declare()
    deploy(session)
    session.close()
    again = nd.session("other")
    again = nd.session("shop")
    status = again.status()
    assert [row.now for row in status.rows] == ["kept as it is", "kept as it is"]
    assert [row.declared for row in status.rows] == ["not in this kernel"] * 2
    assert steps(status) == [
        (
            "run the cells of shop.ipynb that begin",
            "%durable namespace counter and %%durable worker api",
        ),
        ("or %durable import api-dev", "to get such cells from what is live"),
    ]


def test_all_as_declared_offers_to_look_at_it_with_real_names(session: nd.Session) -> None:
    """7d: the address, the logs and the objects; each command can be pasted."""
    declare()
    deploy(session)
    status = session.status()
    assert [row.now for row in status.rows] == ["as declared", "as declared"]
    assert [command for command, _ in steps(status)] == [
        "%durable fetch api /",
        "%durable logs api",
        "%durable objects counter",
    ]
    assert status.next_steps[0].about.startswith("call it: http://api-dev.localhost:")
    assert str(status).count(status.last_deploy[:10]) == 3  # in both rows, and below with the state file
    assert ", serial 1, last deploy " in str(status).replace("serial 2", "serial 1").replace("serial 3", "serial 1")


def test_what_changed_is_named_and_a_mistake_comes_first(session: nd.Session) -> None:
    """7e: code and bindings by name where this kernel deployed them; the mistake with the word that may be meant."""
    declare()
    deploy(session)
    declare(7, limit="5", source=COUNTER.replace("+ 1", "+ 2"))
    lost = nd.DurableObjectNamespace("desk", class_name="Desk", where=cell(6))
    nd.Worker("desk", script=f"export class Desc {{}}\n{ANSWERS}", bindings={"DESK": lost}, where=cell(11))
    status = session.status()
    assert rows(status) == [
        ("as declared", "counter", "cell [7]", "yes", "as declared"),
        ("new", "desk", "cell [6]", "no", "new"),
        ("changed", "api", "cell [9]", "yes", "changed: code, binding LIMIT"),
        ("mistake", "desk", "cell [11]", "no", "1 mistake: class Desk is not exported"),
    ]
    assert steps(status) == [
        ("%%durable worker desk …", "fix cell [11]: did you mean Desc?"),
        ("%durable plan", "then see what a deploy would do"),
    ]
    assert [refusal.code for refusal in session.plan().refusals] == ["class-not-exported"]


def test_a_lifted_protection_is_nothing_to_deploy(session: nd.Session) -> None:
    """The declaration alone says it: status, plan and the list of namespaces agree, and so does a destroy."""
    declare()
    deploy(session)
    assert session.namespaces().set_index("stable_id")["protected"]["counter"]
    counter = nd.DurableObjectNamespace("counter", class_name="Counter", protect=False, where=cell(7))
    nd.Worker("api", script=COUNTER, bindings={"COUNTER": counter, "LIMIT": "20"}, where=cell(9))
    status = session.status()
    assert [row.now for row in status.rows] == ["as declared", "as declared"]
    assert "%durable deploy" not in [command for command, _ in steps(status)]
    assert session.plan().empty
    assert not session.namespaces().set_index("stable_id")["protected"]["counter"]
    assert not session.destroy("api").refusals


def test_a_syntax_error_is_a_mistake_of_the_status_too(session: nd.Session) -> None:
    """Issue 16.2: what was declared in Python without a look is told here, before any plan."""
    nd.Worker("api", script="const value v = 1;", where=cell(4))
    status = session.status()
    assert rows(status) == [
        (
            "mistake",
            "api",
            "cell [4]",
            "no",
            '1 mistake: syntax error in line 1 of its source: expected ";" but found "v"',
        )
    ]


def test_another_kernel_knows_only_that_something_changed(session: nd.Session, cloud: Path) -> None:
    """The state file has digests and no values: code is told from the rest, and nothing is guessed."""
    del cloud
    declare()
    deploy(session)
    nd.session("other")
    again = nd.session("shop")
    declare(3)
    assert [row.now for row in again.status().rows] == ["as declared", "as declared"]
    declare(3, limit="5")
    assert again.status().rows[1].now == "changed: bindings or settings"
    declare(3, source=COUNTER.replace("+ 1", "+ 2"))
    assert again.status().rows[1].now == "changed: code"


def test_a_changed_secret_of_the_environment_is_a_change(session: nd.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its mark: the value is in no output and no file."""
    monkeypatch.setenv("KEY", "planted-one")
    nd.Worker("api", script=ANSWERS, bindings={"KEY": nd.Secret.from_env("KEY")}, where=cell(2))
    deploy(session)
    assert session.status().rows[0].now == "as declared"
    monkeypatch.setenv("KEY", "planted-two")
    status = session.status()
    assert status.rows[0].now == "changed: secret KEY"
    assert "planted" not in str(status) + written(status)


def test_a_deploy_that_stopped_says_where_and_offers_to_go_on(session: nd.Session) -> None:
    """7f: how many steps were done, and why it stopped; gone once a plan has nothing left, or a deploy went on."""
    declare()
    nd.Worker("desk", script="export default {};", where=cell(7))
    with pytest.raises(DurableError):
        deploy(session)
    status = session.status()
    assert status.stopped is not None
    done, total = status.stopped.done, status.stopped.total
    assert done is not None
    assert total == 5
    told = " ".join(str(status).split())
    assert str(status).splitlines()[1].startswith("! The deploy of 20")
    assert f"stopped after {done} of 5 steps: Worker desk: The uploaded script has no registered" in told
    assert steps(status) == [("%durable deploy", "looks at what is live, and offers what is left")]
    nd.Worker("desk", script=ANSWERS, where=cell(8))
    deploy(session)
    assert session.status().stopped is None


def test_a_fault_of_the_script_is_told_by_the_line_of_its_cell(session: nd.Session) -> None:
    """7f: as the record of that deploy says it, and not by a line of what was uploaded; what it quotes is hidden."""
    token = "ghp_" + "a1B2" * 9
    thrown = f"{ANSWERS}\nthrow new Error('refused {token}');"
    nd.Worker("desk", script=thrown, where=Where(cell="In[7]", run=7, line=1, body_line=2))
    with pytest.raises(DurableError):
        deploy(session)
    told = " ".join(str(session.status()).split())
    assert "stopped after 0 of 2 steps: Worker desk: Uncaught Error: refused hidden" in told
    assert "line 3 of cell [7]" in told
    assert "index.js" not in told
    assert token not in told + written(session.status())


def test_what_nobody_knows_the_end_of_is_not_known(session: nd.Session) -> None:
    """7f: another kernel finds in the journal what was sent and not seen; nothing is claimed of it."""
    declare()
    deploy(session)
    intent = Intent(
        op="0000.1", kind="upload", script_name="desk-dev", worker="desk", summary="create Worker desk-dev", serial=1
    )
    session.state.journal.begin(intent)
    nd.Worker("desk", script=ANSWERS, where=cell(7))
    status = session.status()
    assert status.rows[-1].now == "not known"
    assert "? Worker desk cell [7] not known not known" in " ".join(str(status).split())
    assert "! The last deploy stopped; whether “create Worker desk-dev” happened is not known." in str(status)
    assert steps(status)[0][0] == "%durable deploy"


def test_a_state_file_that_was_rebuilt_says_so(session: nd.Session) -> None:
    """What it holds was deployed with another one; that one is lost."""
    declare()
    deploy(session)
    assert not session.status().rebuilt
    shutil.rmtree(session.state_path.parent)
    nd.session("other")
    again = nd.session("shop")
    declare()
    plan = again.plan()
    again.deploy(plan)
    status = again.status()
    assert status.rebuilt
    assert [row.now for row in status.rows] == ["as declared", "as declared"]
    assert "made anew from what is live: it holds what was deployed with another state file" in str(status)


def test_a_status_asks_the_api_nothing(session: nd.Session, monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    """By digest alone: no request, no esbuild that is not there, and quick enough to be typed at any time."""
    declare()
    deploy(session)
    sent.clear()
    monkeypatch.setattr(cloudflare.Client, "__init__", lambda *_, **__: pytest.fail("a client was opened"))
    session.status()
    assert sent == []
    monkeypatch.setattr(checking, "has_esbuild", lambda: False)
    monkeypatch.setattr(esbuild, "find_esbuild", lambda: pytest.fail("it was fetched"), raising=False)
    begun = time.monotonic()
    status = session.status()
    assert time.monotonic() - begun < 60
    assert status.rows[1].state == "not known"
    assert status.rows[1].now == "not compared: its source could not be read"


def test_a_status_is_json_with_fixed_fields(session: nd.Session) -> None:
    """Issue 16.8: what a program reads of it."""
    declare()
    told = json.loads(written(session.status()))
    assert list(told) == [
        *("session", "stage", "target", "account_id", "api", "token", "state_path", "serial", "last_deploy", "rows"),
        *("problem", "stopped", "rebuilt", "next_steps", "crons", "account"),
    ]
    assert list(told["rows"][0]) == ["kind", "id", "state", "declared", "deployed", "now"]
    assert list(told["next_steps"][0]) == ["command", "about"]
