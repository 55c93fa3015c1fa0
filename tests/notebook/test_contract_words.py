"""Words of views that have no home elsewhere: empty and wrong states, and tables that have no row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.deploy.result import DeployResult, Failure, Outcome
from notebook_do.display import TitledTable
from notebook_do.errors import ApiError, CommandError
from notebook_do.notebook.views.documents import bundle
from notebook_do.notebook.widgets.drafts import Draft
from notebook_do.notebook.widgets.forms import Form

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

    from notebook_do.plan.plan import Plan

ROOMS = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS messages (text TEXT)");
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS members (name TEXT)");
  }
  add(text) { this.ctx.storage.sql.exec("INSERT INTO messages VALUES (?)", text); }
}
export class Hall extends DurableObject {}
export default { fetch() { return new Response("ok"); } };
"""
_said: dict[str, str] = {}
STATES = {
    "no change": (
        "%durable plan",
        r"= Plan for dev on local: nothing to do\. 1 Worker and 2 namespaces are live as declared\. \(session shop, ",
    ),
    "no object": (
        "%durable objects halls",
        (
            r"Namespace halls \(class Hall of chat\) stores no object yet\. "
            r"An object appears when it first stores something: %durable call halls "
        ),
    ),
    "no log line": (
        "%durable logs chat",
        r"Logs of chat: nothing in 30 minutes .*No request came since \d\d:\d\d UTC\. Send one: %durable fetch chat /$",
    ),
    "no such table": (
        '%durable query rooms "SELECT * FROM mesages"',
        r"No table mesages in the objects of rooms; they have messages, members\. Did you mean messages\?$",
    ),
    "statement writes": (
        "%durable query rooms --object northere \"INSERT INTO messages VALUES ('x')\"",
        (
            r"query only reads: INSERT is not run\. To change data: "
            r"%durable execute rooms northere \"INSERT INTO messages VALUES \('x'\)\" "
            r"\(shown first\), or call a method\.$"
        ),
    ),
    "no such object": (
        "%durable object rooms nothere",
        r"rooms has no object nothere that stored something; the nearest name is northere\.$",
    ),
}
"""Each line of the table of empty and error states, but the last: what is typed, and what is read."""


@pytest.fixture
def said(cloud: Path, ip: InteractiveShell) -> dict[str, str]:
    """Type each line once in one session, and give what it says by name."""
    del cloud
    if not _said:
        session = nd.session("shop")
        spaces = {name: nd.DurableObjectNamespace(name, class_name=name[:-1].title()) for name in ("rooms", "halls")}
        nd.Worker("chat", script=ROOMS, bindings={name.upper(): one for name, one in spaces.items()})
        session.deploy(session.plan())
        _said.update({name: _typed(ip, line) for name, (line, _) in STATES.items() if name == "no log line"})
        session.object("rooms", "northere").add("hello")
        _said.update({name: _typed(ip, line) for name, (line, _) in STATES.items() if name not in _said})
    return _said


def _typed(ip: InteractiveShell, line: str) -> str:
    result = ip.run_cell(line)
    error = result.error_in_exec or result.error_before_exec
    if isinstance(error, CommandError):
        return " ".join(str(error).split())
    result.raise_error()
    return " ".join(result.result._repr_mimebundle_()["text/plain"].split())


@pytest.mark.parametrize("state", STATES)
def test_each_empty_or_wrong_state_has_its_line(said: dict[str, str], state: str) -> None:
    """Issue 16, section 13: what there is not, or what is wrong, and what to type instead, with real names."""
    assert re.match(STATES[state][1], said[state]), said[state]


def test_where_the_api_said_no_its_message_is_first_and_the_request_folded(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, section 13: Cloudflare's message; request, HTTP status and code in a fold, no id in full."""
    answered = ApiError("not allowed", code=10013, status=403, method="PUT", path=f"/accounts/{'ab' * 16}/workers/x")
    assert str(answered) == "not allowed [code 10013] (PUT /accounts/abab…abab/workers/x, HTTP 403)"
    failure = Failure(index=0, message=answered.message, code=10013, request=answered.request)
    outcome = Outcome(text="create Worker x", status="not done")
    result = DeployResult(plan_digest="1234567812345678", plan=make_plan(), outcomes=(outcome,), failure=failure)
    shown = bundle(result)
    text = " ".join(shown["text/plain"].split())
    assert "create Worker x was refused: not allowed Details of the request PUT /accounts/abab…abab/workers/x" in text
    assert text.count("10013") == 1
    assert re.search(r"<details[^>]*><summary[^>]*>Details of the request", shown["text/html"])


TABLES = {
    "namespaces": "%durable namespace counter --class Counter",
    "workers": "%%durable worker api",
    "bindings": "%%durable worker api --bind COUNTER=counter",
    "migrations": "%durable plan",
    "state": "%durable deploy",
    "backups": "%durable deploy",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_rows_says_which_where_and_what_makes_one(name: str) -> None:
    """Issue 16, row 66: one line, and never only that there are none."""
    text = bundle(TitledTable(name=name, title=name, rows=()))["text/plain"]
    one = {"state": "state file", "backups": "backup", "migrations": "class migration"}.get(name, name.rstrip("s"))
    assert " ".join(text.split()).startswith("= ")
    assert one in text.lower()
    assert "session" in text
    assert " ".join(text.split()).endswith(f": {TABLES[name]}")
    assert "There are none" not in text


def test_the_magic_says_it_of_a_session_without_anything(ip: InteractiveShell, cloud: Path) -> None:
    """Issue 16, row 66: what `show` and `state` say where nothing is."""
    del cloud
    nd.session("empty")
    assert _typed(ip, "%durable show namespaces").startswith("= No namespace is declared in this session or live")
    assert _typed(ip, "%durable state backups").startswith("= The state file of this session has no backup yet")


def test_the_form_calls_its_rare_fields_by_what_they_mean(cloud: Path) -> None:
    """Issue 16, row 63: the labels that a person reads."""
    form = Form(nd.session("forms", state=cloud / "state.json"), Draft.new("namespace"))
    labels = {name: str(field.description) for name, field in form.inputs.items()}
    assert labels["sqlite"] == "Key-value storage"
    assert labels["protect"] == "May be destroyed"
    assert labels["renamed_from"] == "Was called"


def test_a_namespace_without_protection_may_be_destroyed(ip: InteractiveShell, cloud: Path) -> None:
    """Issue 16, row 58: the fact, and no "not protected"."""
    del cloud
    nd.session("shop")
    shown = _typed(ip, "%durable namespace counter --class Counter --unprotect")
    assert "class Counter · SQLite storage · may be destroyed" in shown
    assert "protected" not in shown


def test_the_status_is_a_table_of_what_is_declared_and_deployed(cloud: Path, ip: InteractiveShell) -> None:
    """Issue 16, row 64: the columns what, declared, deployed and now; no sentence that counts them."""
    del cloud
    nd.session("shop")
    nd.DurableObjectNamespace("counter", class_name="Counter")
    shown = _typed(ip, "%durable")
    assert re.search(r"\bwhat declared deployed now\b", shown), shown
    assert "namespaces declared" not in shown
