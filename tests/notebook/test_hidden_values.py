"""Views of stored data hide what its name or its shape says is a secret; frames do not, and the same is sent."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import notebook_do as nd
from notebook_do.display.hiding import shown_json
from notebook_do.errors import StaleChange
from notebook_do.live.applying import AppliedChange
from notebook_do.model import NamespaceId
from notebook_do.model.changes import ObjectChange, ObjectEdit, RowChange, StatementEffect
from notebook_do.notebook.calling import shown
from notebook_do.notebook.views.hidden_cells import (
    applied_as_shown,
    change_as_shown,
    hidden_cells,
    shown_parameter,
)
from notebook_do.notebook.views.stored import json_text, shown_row, statement_text, stored_change, stored_value
from notebook_do.notebook.widgets.changes import ChangePanel

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

ROOM = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS members (name TEXT PRIMARY KEY, api_key TEXT, note TEXT)");
  }
  join(name, key, note) { this.ctx.storage.sql.exec("INSERT INTO members VALUES (?, ?, ?)", name, key, note); }
  put(key, value) { return this.ctx.storage.put(key, value); }
  fail(key, value) { throw new Error("no"); }
}
export default { async fetch() { return new Response("ok"); } };
"""
OLD, NEW, SHAPED = "pppp", "qqqq", "sk_live_4eC39HqLyjWDarj"
BY_NAME, BY_SHAPE = "hidden because of its name", "hidden because it looks like a secret"


@pytest.fixture
def session(cloud: Path, ip: InteractiveShell) -> nd.Session:
    """Deploy rooms, and store secrets in one: under keys, in JSON, in a table."""
    del cloud, ip
    session = nd.session("shop")
    nd.Worker("chat", script=ROOM, bindings={"ROOMS": nd.DurableObjectNamespace("rooms", class_name="Room")})
    session.deploy(session.plan())
    room = session.object("rooms", "kitchen")
    room.call("put", "password", OLD)
    room.call("put", "config", {"limit": 20, "password": OLD, "seen": {1}})
    room.call("put", "note", SHAPED)
    room.call("put", "raw-token", OLD.encode())
    room.call("join", "ada", OLD, SHAPED)
    return session


def _all_of(value: Any) -> str:
    """Give what is shown of a value, in text and HTML, without the secrets that must not be in it."""
    bundle = value._repr_mimebundle_()
    whole = f"{bundle['text/plain']}\n{bundle['text/html']}"
    _check(whole)
    return str(bundle["text/plain"])


def _check(whole: str) -> None:
    for secret in (OLD, NEW, SHAPED, OLD.encode().hex(" ")):
        assert secret not in whole


def _ran(ip: InteractiveShell, line: str) -> Any:
    result = ip.run_cell(line)
    result.raise_error()
    return result.result


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"put rooms kitchen password '\"{NEW}\"'", "key password  hidden, changed"),
        (f"put rooms kitchen session.token {NEW}", f"create  key session.token  {BY_NAME} (4 characters)"),
        ("delete rooms kitchen password", f"was {BY_NAME} (4 characters)"),
        (f"put rooms kitchen note {SHAPED}2", "key note  hidden, changed"),
        ("put rooms kitchen note plain", f'key note  {BY_SHAPE} → "plain"'),
        (f'put rooms kitchen config \'{{"limit": 5, "password": "{NEW}"}}\'', f'"password": "{BY_NAME}'),
        (
            f"execute rooms kitchen \"UPDATE members SET api_key = '{NEW}' WHERE name = 'ada'\"",
            f"api_key = '{BY_NAME} (4 characters)' WHERE name = 'ada'",
        ),
        (
            f"execute rooms kitchen \"INSERT INTO members VALUES ('bob', '{NEW}', '{SHAPED}')\"",
            f"VALUES ('bob', '{BY_NAME}', ",
        ),
        (f'execute rooms kitchen "UPDATE members SET api_key = ?" --param {NEW}', "api_key hidden, changed"),
        (f'execute rooms kitchen "UPDATE members SET note = ? RETURNING api_key" --param {SHAPED}2', "note hidden, c"),
        ('execute rooms kitchen "DELETE FROM members"', f"api_key {BY_NAME} (4 characters), note {BY_SHAPE}"),
    ],
)
def test_a_change_hides_and_sends_what_it_is(
    session: nd.Session, ip: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    """Before, after, statement, parameters, the line to approve and `--json`; the exact line sends the exact change."""
    del session
    waiting = _ran(ip, f"%durable {line}")
    printed = capsys.readouterr().out
    _check(printed)
    assert " ".join(said.split()) in " ".join(printed.split()), printed
    _all_of(waiting)
    told = _ran(ip, f"%durable {line} --json")
    _check(str(told))
    assert json.loads(str(told))["change"]["edits"][0]["name"] == "kitchen"
    is_secret_in_line = any(secret in line for secret in (NEW, SHAPED))
    assert (waiting.approve != waiting.exact) is is_secret_in_line
    if is_secret_in_line:
        assert "A value of this line is hidden: write it again in its place." in str(waiting)
        with pytest.raises(StaleChange) as stale:
            _ran(ip, waiting.approve)
        _check(str(stale.value))
    capsys.readouterr()
    applied = _ran(ip, waiting.exact)
    assert applied.ok
    assert applied.change.digest == waiting.change.digest
    _all_of(applied)
    _check(capsys.readouterr().out)


def test_the_page_of_an_object_hides_and_its_frames_do_not(session: nd.Session, ip: InteractiveShell) -> None:
    """Keys and columns are names, JSON has names in it, a value has its shape; `values` and `query` have all."""
    room = session.object("rooms", "kitchen")
    page = _ran(ip, "%durable object rooms kitchen")
    said = _all_of(page)
    assert f"password   {BY_NAME} (4 characters)" in said
    assert f"raw-token  {BY_NAME}" in said
    assert f"note       {BY_SHAPE}" in said
    assert '{"limit": 20, "password": "hidden because of its name' in said
    assert f"ada   {BY_NAME} (4 characters)  {BY_SHAPE}" in said
    told = json.loads(str(_ran(ip, "%durable object rooms kitchen --json")))
    _check(json.dumps(told))
    assert told["tables"][0]["first"] == [["ada", f"{BY_NAME} (4 characters)", BY_SHAPE]]
    assert page == room.info()
    assert {key.key: key.value for key in page.keys}["password"] == OLD
    assert dict(room.values()[["key", "value"]].to_numpy().tolist())["password"] == OLD
    assert room.query("SELECT * FROM members").to_numpy().tolist() == [["ada", OLD, SHAPED]]


def test_a_change_of_many_hides_and_its_frame_does_not(session: nd.Session) -> None:
    """Each row of `map(change=)`, with the button's words; `df` has the values."""
    frame = pd.DataFrame({"room": ["kitchen"], "name": ["password"], "new": [NEW]})
    change = session.map("rooms", frame, object="room", change="put", args=["name", "new"])
    assert "hidden, changed" in _all_of(change)
    assert change.df[["value", "new_value"]].to_numpy().tolist() == [[OLD, NEW]]
    sent = session.object("rooms", "kitchen").put("password", NEW)
    assert sent.digest == change.digest, "what is shown is no part of what is sent"
    button = ChangePanel(session, session.object("rooms", "kitchen").put(SHAPED, 1)).button
    assert SHAPED not in button.description
    sql = pd.DataFrame({"room": ["kitchen", "attic"], "sql": [f"UPDATE members SET api_key = '{NEW}'"] * 2})
    session.object("rooms", "attic").call("join", "bob", OLD, "plain")
    change = session.map("rooms", sql, object="room", change="execute", args=["sql"])
    assert "api_key hidden, changed" in _all_of(change)
    assert session.apply(change, confirm=change.phrase or ()).ok


def test_arguments_of_calls_are_hidden(session: nd.Session) -> None:
    """Behind a name, by shape and in JSON; of a map those of its failures and the drawing of its frame."""
    room = session.object("rooms", "kitchen")
    for args in (("password", NEW), ("x", SHAPED), ("x", {"token": NEW}), ("x", SHAPED.encode())):
        assert "hidden because" in _all_of(shown(room.called("fail", *args)))
    assert 'fail("x", "plain")' in _all_of(shown(room.called("fail", "x", "plain")))
    df = pd.DataFrame({"room": ["kitchen"], "api_key": [NEW], "note": [SHAPED], "n": [3]})
    found = session.map("rooms", df, object="room", call="fail", args=["api_key", "note", "n"])
    said = _all_of(found)
    assert f"api_key={BY_NAME}" in said
    assert "n=3" in said
    assert found[["api_key", "note"]].to_numpy().tolist() == [[NEW, SHAPED]]


def test_what_is_computed_of_a_hidden_cell_is_hidden() -> None:
    """A generated column, a literal and a parameter that a hidden cell is made of, and what a statement returns."""
    secret, row = "Hunter2x9", ("ada", "Bearer Hunter2x9", "to: HUNTER2X9", "plain")
    rows = (
        RowChange(table="m", kind="insert", columns=("name", "token", "copy", "note"), before=None, after=row),
        RowChange(
            table="m", kind="update", columns=("name", "copy"), before=("bob", "old"), after=("bob", f"x{secret}")
        ),
    )
    sql = f"INSERT INTO m(name, token) SELECT 'ada', 'Bearer ' || ? WHERE '{secret}' <> 'plain'"
    op, params = json.dumps({"op": "change", "sql": sql, "params": [secret]}), json.dumps([secret, "ada"])
    effect = StatementEffect(rows=rows)
    edit = ObjectEdit(object_id="a" * 64, name="k", what=sql, before=effect, after=effect, op=op, params=params)
    change = _of_edit(edit, sql)
    applied = AppliedChange(change=change, at=datetime.now(UTC), results=([[f"<{secret}>", "plain"]],), errors=(None,))
    for one in (change, applied, change_as_shown(change), applied_as_shown(applied)):
        assert secret.casefold() not in str(one._repr_mimebundle_()).casefold()
    said = str(change)
    assert 'note "plain"' in said
    assert "<> 'plain'" in said
    told = change_as_shown(change)
    assert secret.casefold() not in str([[one.before, one.what, one.op, one.params] for one in told.edits]).casefold()
    assert shown_parameter(secret, hidden_cells(change)) == BY_NAME
    assert shown_parameter("ada", hidden_cells(change)) == "ada"
    columns = ("name", "token", "copy", "note")
    assert shown_row(columns, ("ada", secret, f"to: {secret}", "plain")) == ("ada", secret, BY_NAME, "plain")
    assert shown_row(columns, ("ada", "a", "a b", None)) == ("ada", "a", "a b", None)


def _of_rows(*rows: RowChange) -> ObjectChange:
    effect = StatementEffect(rows=rows)
    edit = ObjectEdit(object_id="a" * 64, name="k", what="", before=effect, after=effect, op="{}")
    return _of_edit(edit, "UPDATE m SET token = NULL")


def _of_edit(edit: ObjectEdit, sql: str) -> ObjectChange:
    return ObjectChange(
        action="execute",
        what=sql,
        session="s",
        stage="dev",
        target="local",
        stable_id="rooms",
        namespace_id=NamespaceId("b" * 32),
        class_name="Room",
        edits=(edit,),
    )


def test_a_hidden_cell_that_is_emptied_is_told_from_one_that_is_replaced() -> None:
    """Only of two hidden values no more is said than that they differ."""
    for after, said in ((None, "hidden because of its name (9 characters) → null"), ("Grace2y8z", "hidden, changed")):
        row = RowChange(table="m", kind="update", columns=("id", "token"), before=(1, "Hunter2x9"), after=(1, after))
        assert f"token {said}" in " ".join(str(_of_rows(row)).split())


def test_many_hidden_cells_are_looked_for_at_once() -> None:
    """What they were made into is found among thousands of rows, and not by comparing each with each."""
    row = RowChange(table="m", kind="insert", columns=("id", "name", "token", "head"), before=None, after=None)
    made = [
        replace(row, after=(at, f"name of {at:05}", token, f"Bearer {token}"))
        for at in range(3_000)
        for token in [hashlib.sha256(str(at).encode()).hexdigest()]
    ]
    began = time.process_time()
    shown = str(change_as_shown(_of_rows(*made)).edits[0].before.rows[2_999].after)
    assert time.process_time() - began < 5
    assert shown.count("hidden") == 2
    assert "name of 02999" in shown


def test_a_part_without_a_secret_is_itself() -> None:
    """Sets, values that hold themselves and keys that are no text stay what they are; the same value is no change."""
    ring: dict[str, Any] = {"n": 1}
    ring["me"] = ring
    for value in ({1, 2}, {"a": [1, (2, 3)]}, {1: "x", (1, 2): "y"}, b"raw", None, 0):
        assert shown_json("", value) is value
    assert json_text(ring) == str(ring)
    ring["password"] = OLD
    assert OLD not in json_text(ring)
    assert OLD in str(ring)
    assert stored_value("topic", "x", quoted=True) == '"x"'
    assert stored_change("password", OLD, OLD) == "hidden, the same"
    assert stored_change("password", np.array([1, 2]), np.array([1, 3])) == "hidden, changed"
    before, after = ({"password": text, "limit": 1} for text in (OLD, NEW))
    assert str(stored_change("config", before, after)).endswith(": hidden, changed")
    assert BY_SHAPE in json_text([nd.JSError("Error", SHAPED)])
    assert statement_text("SELECT 1 -- it's plain") == "SELECT 1 -- it's plain"
