"""The verbs of one object in a notebook: pages and lists as the views have them, changes with button and digest."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pexpect
import pytest

import notebook_do as nd
from notebook_do.cli import main
from notebook_do.display.rich import code, rich
from notebook_do.errors import CommandError, ConsentRequired, StaleChange
from notebook_do.notebook.views.blocks import Item, Items, Line, Table
from notebook_do.notebook.views.changes import waiting_document
from notebook_do.notebook.views.documents import View
from notebook_do.notebook.views.text import render
from notebook_do.notebook.widgets.changes import ChangeController, ChangePanel

if TYPE_CHECKING:
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

ROOM = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    const sql = ctx.storage.sql;
    sql.exec("CREATE TABLE IF NOT EXISTS messages (author TEXT, text TEXT, at INTEGER)");
    sql.exec("CREATE TABLE IF NOT EXISTS members (name TEXT PRIMARY KEY, since INTEGER)");
  }
  add(author, text) {
    this.ctx.storage.sql.exec("INSERT INTO messages VALUES (?, ?, 1795690260876)", author, text);
    return this.ctx.storage.put("last", { author, text });
  }
  put(key, value) { return this.ctx.storage.put(key, value); }
  ring(at) { return this.ctx.storage.setAlarm(at); }
  alarm() {}
}
export class Hall extends DurableObject { enter() { return this.ctx.storage.put("n", 1); } }
export default { async fetch() { return new Response("ok"); } };
"""


@pytest.fixture
def session(cloud: Path, ip: InteractiveShell) -> nd.Session:
    """Deploy rooms, and halls that nobody entered."""
    del cloud, ip
    session = nd.session("shop")
    bindings = {
        "ROOMS": nd.DurableObjectNamespace("rooms", class_name="Room"),
        "HALLS": nd.DurableObjectNamespace("halls", class_name="Hall"),
    }
    nd.Worker("chat", script=ROOM, bindings=bindings)
    session.deploy(session.plan())
    return session


def _ran(ip: InteractiveShell, line: str) -> Any:
    result = ip.run_cell(line)
    result.raise_error()
    return result.result


def _text(value: Any) -> str:
    bundle = value._repr_mimebundle_()
    words = re.sub(r"<[^>]+>", " ", bundle["text/html"])
    assert set(re.findall(r"[a-z]{4,}", bundle["text/plain"])) <= set(re.findall(r"[a-z]{4,}", words)), (
        "HTML says as much"
    )
    assert all(len(line) <= 100 for line in bundle["text/plain"].splitlines())
    return str(bundle["text/plain"])


def test_objects_are_listed_name_first_newest_write_first(session: nd.Session, ip: InteractiveShell) -> None:
    """The list says how many, of which class, how large in all; it is a DataFrame, and what is made of it is plain."""
    alarm = datetime.now(UTC) + timedelta(hours=2)
    for name in ("attic", "garden", "kitchen"):
        session.object("rooms", name).add("ada", "hello")
    session.object("rooms", "kitchen").ring(round(alarm.timestamp() * 1000))
    found = _ran(ip, "%durable objects rooms")
    lines = _text(found).splitlines()
    total = found["size"].sum() / 1000
    assert lines[0] == f"3 objects of namespace rooms (class Room of chat), {total:.1f} kB in all, newest write first"
    assert re.split(r"\s{2,}", lines[1].strip()) == ["name", "id", "size", "last write (UTC)", "alarm (UTC)"]
    assert [line.split()[0] for line in lines[3:6]] == ["kitchen", "garden", "attic"]
    assert f"{alarm:%Y-%m-%d %H:%M}" in lines[3]
    assert "One of them: %durable object rooms kitchen · all as a DataFrame: x = %durable objects rooms" in lines[-1]
    assert isinstance(found, pd.DataFrame)
    assert "objects of namespace" not in repr(found.head(1))
    assert list(found.columns)[:2] == ["name", "object_id"]
    told = json.loads(_ran(ip, "%durable objects rooms --json"))
    assert {row["name"] for row in told} == {"attic", "garden", "kitchen"}


def test_an_empty_list_says_how_an_object_comes_to_be(session: nd.Session, ip: InteractiveShell) -> None:
    """One line, with the words of this session to paste."""
    del session
    said = " ".join(_text(_ran(ip, "%durable objects halls")).split())
    assert said == (
        "Namespace halls (class Hall of chat) stores no object yet. An object appears when it first stores something: "
        "%durable call halls my-object enter"
    )


def test_the_page_of_an_object_has_all_that_it_stored(session: nd.Session, ip: InteractiveShell) -> None:
    """Size, last write, tables with columns and newest rows, keys with values; its id in full, and its methods."""
    room = session.object("rooms", "kitchen")
    for author in ("ada", "grace"):
        room.add(author, f"hello from {author}")
    room.call("put", "picture", b"\x89PNG\r\n\x1a\n" * 100)
    page = _ran(ip, "%durable object rooms kitchen")
    said = _text(page)
    assert said.startswith("kitchen  namespace: rooms  class: Room of chat\n")
    assert re.search(r"\n\d+\.\d kB · last write \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", said)
    for part in (
        "2 tables",
        "messages  2     author TEXT, text TEXT, at INTEGER",
        "members   0     name TEXT PRIMARY KEY, since INTEGER",
        "messages: the newest 2 of 2 rows",
        'last     {"author": "grace", "text": "hello from grace"}',
        "picture  bytes: 89 50 4e 47 0d 0a …",
    ):
        assert part in said
    assert said.index("hello from grace") < said.index("hello from ada")
    flat = " ".join(said.split())
    assert f"id {page.object_id} · call it: %durable call rooms kitchen METHOD · methods: add, put, ring" in flat
    assert page == room.info()
    assert room.tables().to_numpy().tolist()[0] == ["messages", 2, "author TEXT, text TEXT, at INTEGER"]
    with pytest.raises(
        CommandError, match="rooms has no object kichen that stored something; the nearest name is kitchen"
    ):
        _ran(ip, "%durable object rooms kichen")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("put rooms kitchen topic baking", 'update  key topic  "cooking" → "baking"'),
        ("put rooms kitchen topic 7", 'update  key topic  "cooking" → 7'),
        ("put rooms kitchen 'a word' '[1, 2]'", "create  key a word  [1, 2]"),
        ("delete rooms kitchen topic", 'delete  key topic  was "cooking"'),
        ('execute rooms kitchen "DELETE FROM messages WHERE author = ?" --param ada', 'author "ada", text "hello"'),
        ("alarm rooms kitchen 2099-12-24T18:00Z", "alarm  no alarm → 2099-12-24 18:00:00 UTC"),
        ("alarm rooms kitchen run", "Run alarm() of kitchen now"),
        ("wipe rooms kitchen", "2 tables with 1 row and 2 keys"),
    ],
)
def test_a_change_is_shown_and_sent_by_its_digest_alone(
    session: nd.Session, ip: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str, shown: str
) -> None:
    """Without a button nothing is sent; the line that is printed sends exactly what was shown, and only once stands."""
    room = session.object("rooms", "kitchen")
    room.add("ada", "hello")
    room.call("put", "topic", "cooking")
    before = (room.values().to_numpy().tolist(), room.query("SELECT * FROM messages").to_numpy().tolist(), room.alarm())
    waiting = _ran(ip, f"%durable {line}")
    assert shown in capsys.readouterr().out
    assert not waiting.sent
    after = (room.values().to_numpy().tolist(), room.query("SELECT * FROM messages").to_numpy().tolist(), room.alarm())
    assert after == before
    assert "Nothing was sent" in str(waiting)
    with pytest.raises(StaleChange, match="is not the change as it is now; nothing was sent"):
        _ran(ip, f"%durable {line} --approve 0123456789abcdef")
    if waiting.change.phrase:
        with pytest.raises(ConsentRequired, match="delete kitchen"):
            _ran(ip, f"%durable {line} --approve {waiting.change.digest}")
    applied = _ran(ip, waiting.approve)
    assert applied.ok
    assert applied.change.digest == waiting.change.digest
    assert _text(applied).startswith("✓ ")


@pytest.mark.parametrize(
    "line", ["wipe rooms kitchen", f"execute rooms kitchen \"UPDATE messages SET text='{'a b ' * 30}'\""]
)
def test_the_line_to_copy_is_on_one_line(session: nd.Session, ip: InteractiveShell, line: str) -> None:
    """However long it is, what sends a change stands whole on a line, and so does its expression in Python."""
    session.object("rooms", "kitchen").add("ada", "hello")
    waiting = _ran(ip, f"%durable {line}")
    assert waiting.approve in str(waiting).splitlines()
    assert any("session.apply(change" in one and one.endswith(")") for one in str(waiting.change).splitlines())


def test_a_command_in_any_block_is_not_broken() -> None:
    """In a sentence, a list or below a table, a command goes to the next line as a whole."""
    command = "%durable restore " + "word " * 20 + "snap.ndsnap"
    for long in (command, f"session.apply(change, confirm={'delete visitors ' * 3!r})", "%durable import a b c d"):
        text = rich("This is the sentence before the command, long enough that it must be broken: ", code(long), ".")
        table = Table("", ("a", "b"), (("one", "word " * 20),), hidden=3, rest=text)
        shown = render((Line(text), Items(text, (Item(text, choices=(text,)),)), table))
        assert shown.count(long) == 5, shown


@pytest.mark.parametrize(("given", "seconds"), [("5m", 300), ("90s", 90), ("2h", 7200), ("1d", 86400)])
def test_an_alarm_is_set_for_a_time_from_now(
    session: nd.Session, ip: InteractiveShell, given: str, seconds: int
) -> None:
    """`5m` is shown as the time that it became, and the line that approves it names that time, whenever it runs."""
    room = session.object("rooms", "kitchen")
    room.add("ada", "hello")
    before = datetime.now(UTC).replace(microsecond=0)
    waiting = _ran(ip, f"%durable alarm rooms kitchen {given}")
    at = waiting.change.edits[0].after
    assert timedelta(0) <= at - before - timedelta(seconds=seconds) <= timedelta(seconds=60)
    assert f"no alarm → {at:%Y-%m-%d %H:%M:%S} UTC" in str(waiting.change)
    assert waiting.approve.startswith(f"%durable alarm rooms kitchen {at:%Y-%m-%dT%H:%M:%SZ} --approve ")
    assert _ran(ip, waiting.approve).ok
    assert room.alarm() == at


def test_a_statement_of_a_cell_is_approved_as_a_cell(session: nd.Session, ip: InteractiveShell) -> None:
    """The body is the statement; what is printed to approve it is the whole cell."""
    room = session.object("rooms", "kitchen")
    room.add("ada", "hello")
    waiting = _ran(ip, "%%durable execute rooms kitchen --param bye\nUPDATE messages\nSET text = ?")
    assert waiting.approve.startswith("%%durable execute rooms kitchen --param bye --approve ")
    assert waiting.approve.endswith("\nUPDATE messages\nSET text = ?")
    assert _ran(ip, waiting.approve).ok
    assert room.query("SELECT text FROM messages")["text"].tolist() == ["bye"]


def test_the_command_line_shows_and_approves(
    session: nd.Session, cloud: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`notebook-do put FILE ...` prints the change and the line that sends it; lists and pages are as in a notebook."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    (cloud / "shop.toml").write_text('[namespaces.rooms]\nclass_name = "Room"\n')

    def told(*words: str, status: int = 0) -> str:
        assert main(list(words)) == status
        return capsys.readouterr().out

    said = told("put", "shop.toml", "rooms", "kitchen", "topic", "two words", status=3)
    assert 'key topic  "cooking" → "two words"' in said
    digest = re.search(r"--approve ([0-9a-f]{16})", " ".join(said.split()))
    assert "notebook-do put shop.toml rooms kitchen topic 'two words' --approve" in " ".join(said.split())
    assert digest is not None
    told("put", "shop.toml", "rooms", "kitchen", "topic", "two words", "--approve", digest[1])
    assert room.values()["value"].tolist() == ["two words"]
    assert "1 object of namespace rooms (class Room of chat)" in told("objects", "shop.toml", "rooms")
    assert told("object", "shop.toml", "rooms", "kitchen").startswith("kitchen  namespace: rooms")


def test_an_approval_is_used_once(session: nd.Session, ip: InteractiveShell, cloud: Path) -> None:
    """alarm() that ran, a value that is back: the old digest sends nothing again, by another kernel neither."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    for line in ("alarm rooms kitchen run", "put rooms kitchen topic baking"):
        waiting = _ran(ip, f"%durable {line}")
        assert _ran(ip, waiting.approve).ok
        room.call("put", "topic", "cooking")
        words = rf"the approved change {waiting.change.digest} was sent already, 20.* UTC, and an approval is used once"
        with pytest.raises(StaleChange, match=words) as told:
            _ran(ip, waiting.approve)
        assert room.values()["value"].tolist() == ["cooking"]
        again = re.search(r"--approve ([0-9a-f]{16})", str(told.value))
        assert again is not None
        shown = _ran(ip, f"%durable {line}").change
        assert (shown.digest, shown.notes[-1]) == (
            again[1],
            "This change was sent once before; it would be sent once more.",
        )
        kernel = [sys.executable, "-m", "notebook_do.cli", line.split()[0], "shop.toml", *line.split()[1:]]
        (cloud / "shop.toml").write_text('[namespaces.rooms]\nclass_name = "Room"\n')
        ran = subprocess.run([*kernel, "--approve", waiting.change.digest], cwd=cloud, capture_output=True, check=False)
        assert ran.returncode != 0
        assert b"was sent already" in ran.stdout + ran.stderr
        assert room.values()["value"].tolist() == ["cooking"]
        assert _ran(ip, f"%durable {line} --approve {again[1]}").ok
        room.call("put", "topic", "cooking")
    record = session.state.sent_changes.path.read_text()
    assert "cooking" not in record
    assert "baking" not in record
    stale = room.put("topic", 1)
    room.call("put", "topic", 2)
    with pytest.raises(StaleChange):
        session.apply(stale)
    room.call("put", "topic", "cooking")
    assert room.put("topic", 1).digest == stale.digest, "what was not sent is as it was shown"


def test_a_statement_with_texts_can_be_read_and_pasted_where_it_is_approved(
    session: nd.Session, ip: InteractiveShell
) -> None:
    """In double quotes where it has single ones; where it has both or what a shell reads in them, as a shell quotes."""
    room = session.object("rooms", "kitchen")
    room.add("ada", "hello")
    sql = "UPDATE messages SET text = 'it' WHERE author = 'ada'"
    waiting = _ran(ip, f'%durable execute rooms kitchen "{sql}"')
    assert waiting.approve == f'%durable execute rooms kitchen "{sql}" --approve {waiting.change.digest}'
    assert _ran(ip, waiting.approve).ok
    for value in ('its "own"', "$HOME", "`x`", "a!b", "a\\b"):
        statement = shlex.quote(f"UPDATE messages SET text = '{value}'")
        waiting = _ran(ip, f"%durable execute rooms kitchen {statement}")
        echoed = subprocess.run(
            ["bash", "-c", f"printf '%s\n' {waiting.approve.removeprefix('%')}"], capture_output=True, check=True
        )
        assert f"UPDATE messages SET text = '{value}'" in echoed.stdout.decode().splitlines()
        assert _ran(ip, waiting.approve).ok
        assert room.query("SELECT text FROM messages")["text"].tolist() == [value]


def test_an_approval_whose_change_is_there_already_is_no_error(session: nd.Session, ip: InteractiveShell) -> None:
    """A line that runs again says when it was sent and that nothing would change; without an approval that alone."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    waiting = _ran(ip, "%durable put rooms kitchen topic baking")
    assert _ran(ip, waiting.approve).ok
    same = "Key topic of kitchen has this value already: nothing would change."
    sent, said = str(_ran(ip, waiting.approve)).splitlines()
    assert re.fullmatch(rf"= The approved change {waiting.change.digest} was sent already, 20.* UTC\.", sent)
    assert said == str(_ran(ip, "%durable put rooms kitchen topic baking")) == f"= {same}"
    room.call("put", "topic", "cooking")
    with pytest.raises(StaleChange, match="What this line would change now has a digest of its own; to send that: %du"):
        _ran(ip, waiting.approve)


def test_a_change_of_many_objects_is_shown_and_approved(
    session: nd.Session, ip: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """`map --change` sends nothing but with its digest and its phrase, which counts the objects; then all of them."""
    rooms = ["kitchen", "hall", "attic"]
    for name in rooms:
        session.object("rooms", name).add(name, "hello")
    statements = ["DELETE FROM messages WHERE author = ?"] * 3
    ip.user_ns["df"] = pd.DataFrame(
        {"room": rooms, "key": "topic", "last": "last", "value": [1, "two", 3.5], "sql": statements, "who": rooms}
    )
    phrases = {
        "--change put --args key,value": "put 3 objects of rooms",
        "--change delete --args last": "delete 3 objects of rooms",
        "--change execute --args sql --args who": "execute 3 objects of rooms",
    }
    for words, phrase in phrases.items():
        before = session.values("rooms")["value"].tolist()
        waiting = _ran(ip, f"%durable map rooms df --object room {words}")
        assert "3 objects" in " ".join(capsys.readouterr().out.split())
        assert waiting.approve == (
            f"%durable map rooms df --object room {words} --approve {waiting.change.digest} --confirm '{phrase}'"
        )
        assert session.values("rooms")["value"].tolist() == before
        with pytest.raises(ConsentRequired, match=f"--confirm '{phrase}'"):
            _ran(ip, waiting.approve.partition(" --confirm")[0])
        told = json.loads(_ran(ip, f"%durable map rooms df --object room {words} --json"))
        assert (list(told), told["approve"]) == (["sent", "approve", "change"], waiting.approve)
        assert set(told["change"]) >= {"action", "what", "stable_id", "target", "class_name", "edits", "notes"}
        assert [edit["name"] for edit in told["change"]["edits"]] == rooms
        assert _text(_ran(ip, waiting.approve)).startswith("✓ 3 objects of 3 changed")
    held = session.values("rooms").set_index("name")["value"].to_dict()
    assert held == {"kitchen": 1, "hall": "two", "attic": 3.5}
    assert session.query("rooms", "SELECT count(*) AS n FROM messages")["n"].tolist() == [0, 0, 0]
    again = _text(_ran(ip, "%durable map rooms df --object room --change delete --args last"))
    assert again == "= map: no row of the frame changes anything in rooms. Nothing is sent.", "all cells are run again"
    ip.user_ns["df"] = pd.DataFrame({"room": ["hall"] * 2 + ["attic"], "key": ["a", "b", "a"], "value": 1})
    waiting = _ran(ip, "%durable map rooms df --object room --change put --args key,value")
    assert waiting.change.phrase == "put 2 objects of rooms"
    assert _text(_ran(ip, waiting.approve)).startswith("✓ 3 keys of 3 in 2 objects changed")


def test_nothing_is_lost_by_a_restore_into_an_object_that_has_nothing(
    session: nd.Session, ip: InteractiveShell, cloud: Path
) -> None:
    """No phrase is asked for; for the next one, which would replace what was put back, it is."""
    session.object("rooms", "kitchen").add("ada", "hello")
    session.object("rooms", "kitchen").snapshot(cloud / "kitchen.ndsnap")
    wipe = session.object("rooms", "kitchen").wipe()
    session.apply(wipe, confirm=wipe.phrase or "")
    back = session.object("rooms", "kitchen").restore(cloud / "kitchen.ndsnap")
    assert back.phrase is None
    assert session.apply(back).ok
    assert session.query("rooms", "SELECT count(*) AS n FROM messages")["n"].tolist() == [1]
    again = session.object("rooms", "kitchen").restore(cloud / "kitchen.ndsnap")
    assert str(again.phrase).startswith("delete kitchen ")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--args key", "say what to do with each row, once: --call METHOD, or --change put, delete or execute"),
        ("--call add --change put --args key", "say what to do with each row, once"),
        ("--change wipe --args key", "wipe"),
        ("--change put --args key", "for change='put' args are the columns of key, value; given are 1"),
        ("--change delete --args key --timeout 5", "--timeout goes with --call; leave it out, or use --call"),
        ("--call add --args key --approve 0123456789abcdef", "--approve goes with --change; leave it out, or use"),
    ],
)
def test_a_wrong_map_of_changes_is_one_line(session: nd.Session, ip: InteractiveShell, words: str, why: str) -> None:
    """What does not go together is said before anything is read, and sends nothing."""
    session.object("rooms", "kitchen").add("ada", "hello")
    ip.user_ns["df"] = pd.DataFrame({"room": ["kitchen"], "key": ["last"]})
    with pytest.raises(CommandError, match=why):
        _ran(ip, f"%durable map rooms df --object room {words}")


def test_snapshot_and_restore_by_magic(session: nd.Session, ip: InteractiveShell, cloud: Path) -> None:
    """A file is written, and put back where its phrase is given."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    taken = _ran(ip, "%durable snapshot rooms kitchen kitchen.ndsnap")
    assert (cloud / "kitchen.ndsnap").is_file()
    assert "To put it back: %durable restore rooms kitchen kitchen.ndsnap" in _text(taken)
    room.call("put", "topic", "baking")
    waiting = _ran(ip, "%durable restore rooms kitchen kitchen.ndsnap")
    _ran(ip, waiting.approve)
    assert room.values()["value"].tolist() == ["cooking"]


def test_a_line_is_offered_that_does_what_was_shown_whatever_the_words(
    session: nd.Session, ip: InteractiveShell, cloud: Path
) -> None:
    """An object, a key, a value or a parameter that looks like an option stays that in the line that is offered."""
    for name in ("--other", "-h", "--"):
        room = session.object("rooms", name)
        room.call("put", "--json", "cooking")
        put = _ran(ip, f"%durable put rooms -- {name} --json --x")
        assert put.approve.endswith(f" -- rooms {name} --json --x")
        assert _ran(ip, put.approve).ok
        assert room.values()["value"].tolist() == ["--x"]
        sql = _ran(ip, f'%durable execute rooms --param=--x -- {name} "INSERT INTO members VALUES (?, 1)"')
        assert "--param=--x " in sql.approve
        assert _ran(ip, sql.approve).ok
        assert room.query("SELECT name FROM members")["name"].tolist() == ["--x"]
        (cloud / "-x.ndsnap").unlink(missing_ok=True)
        taken = _ran(ip, f"%durable snapshot rooms -- {name} -x.ndsnap")
        line = f"%durable restore rooms -- {name} -x.ndsnap"
        assert f"To put it back: {line}" in _text(taken)
        room.call("put", "--json", "baking")
        waiting = _ran(ip, line)
        assert waiting.change.edits[0].name == name
        _ran(ip, waiting.approve)
        assert room.values()["value"].tolist() == ["--x"]
        page = _text(_ran(ip, f"%durable object rooms -- {name}"))
        assert f"%durable call rooms -- {name} METHOD" in page
    with pytest.raises(CommandError, match=r"%durable execute rooms -- --other 'INSERT"):
        _ran(ip, '%durable query rooms --object=--other "INSERT INTO members VALUES (1, 1)"')


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("alarm rooms kitchen tomorrow", "tomorrow is no time; write 2026-12-24T18:00Z, 5m for in 5 minutes"),
        ("alarm rooms kitchen 2026-12-24T18:00", "has no time zone; write 2026-12-24T18:00Z for UTC"),
        ("alarm rooms kitchen 2026-12-24", "has no time zone; write 2026-12-24T00:00Z for UTC"),
        ("alarm rooms kitchen 999999999d", "999999999d from now is beyond the year 9999"),
        ("alarm rooms kitchen 5minutes", "5minutes is no time"),
        ("execute rooms kitchen", "write the statement once"),
        ("put rooms kitchen", "KEY"),
        ("restore rooms kitchen none.ndsnap", r"restore: there is no file none\.ndsnap"),
    ],
)
def test_mistakes_are_one_line(session: nd.Session, ip: InteractiveShell, line: str, why: str) -> None:
    """What was written wrongly is said with what to write."""
    session.object("rooms", "kitchen").call("put", "topic", 1)
    with pytest.raises(CommandError, match=why):
        _ran(ip, f"%durable {line}")


def test_the_button_sends_what_is_shown_once(session: nd.Session) -> None:
    """A second click does nothing; a moved value is said, and nothing is sent."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    controller = ChangeController(session, room.put("topic", 2))
    thread = controller.press()
    assert controller.press() is None
    assert thread is not None
    thread.join()
    assert (room.values()["value"].tolist(), controller.can_press) == ([2], False)
    assert "Key topic of kitchen is put" in str(controller.said)
    stale = ChangeController(session, room.put("topic", 3))
    room.call("put", "topic", "moved")
    thread = stale.press()
    assert thread is not None
    thread.join()
    assert "nothing was sent" in str(stale.said)
    assert room.values()["value"].tolist() == ["moved"]


def test_the_button_of_a_wipe_waits_for_its_phrase(session: nd.Session) -> None:
    """It is off until the phrase stands in the field, letter by letter."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    panel = ChangePanel(session, room.wipe())
    phrase = panel.controller.change.phrase or ""
    assert (panel.button.disabled, panel.button.button_style) == (True, "")
    panel.field.value = phrase[:-1]
    assert panel.button.disabled
    assert panel.controller.press() is None
    panel.field.value = phrase
    assert (panel.button.disabled, panel.button.button_style) == (False, "danger")
    assert "as asked" in panel.phrase.value
    thread = panel.controller.press()
    assert thread is not None
    thread.join()
    assert len(room.values()) == 0
    assert "All that kitchen had stored is deleted" in str(panel.controller.said)
    assert panel.button.disabled
    assert phrase in ChangePanel(session, session.object("rooms", "kitchen").wipe()).phrase.value


@pytest.mark.parametrize("moved", [False, True])
def test_every_record_of_a_change_is_true_whenever_it_is_read(session: nd.Session, moved: bool) -> None:  # noqa: FBT001 - parametrized
    """It waits, is sent since a time, and ends as what became of it, with its change; then the widget is gone."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    change = room.put("topic", 2)
    waits = f"= Not sent yet. Change {change.digest[:8]} waits for the button below. After a restart of the kernel, "
    assert str(View(waiting_document(change))).startswith(waits)
    assert "waits for the phrase and the button below" in str(View(waiting_document(room.wipe())))
    records: list[str] = []
    panel = ChangePanel(session, change, recorded=lambda said: records.append(" ".join(str(View(said)).split())))
    gone: list[int] = []
    panel.ended = lambda: gone.append(len(records))
    if moved:
        room.call("put", "topic", "moved")
    thread = panel.controller.press()
    assert thread is not None
    thread.join()
    sending, ended = records
    assert sending.startswith(f"~ Sending change {change.digest[:8]} since 20")
    assert "If you read this in a saved notebook, the kernel ended first: run this cell again" in sending
    assert ended.startswith("~ key topic of kitchen moved" if moved else "✓ Key topic of kitchen is put, 20"), ended
    assert f"hange {change.digest[:8]}" in ended
    assert ("nothing was sent" in ended) is moved
    assert gone == [2], "once, after the last record"
    assert panel.widget.layout.display == "none"


def test_a_change_of_what_is_live_says_so_first(session: nd.Session) -> None:
    """On Cloudflare its title is the band that plans have; on this machine there is none."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    here = room.put("topic", 2)
    assert "LIVE" not in str(here)
    assert str(replace(here, target="cloudflare")).startswith("! LIVE  Put key topic of kitchen in dev on Cloudflare")
    far = replace(here, target="cloudflare", stage="production")
    assert str(far).startswith("! LIVE PRODUCTION  Put key topic of kitchen in production on Cloudflare")


def test_a_terminal_asks_for_the_word_or_the_phrase(session: nd.Session, cloud: Path) -> None:
    """In a terminal a change waits for `yes`, and a wipe for its phrase; anything else sends nothing."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    (cloud / "shop.toml").write_text('[namespaces.rooms]\nclass_name = "Room"\n')

    def ran(asks: str, typed: str, *words: str) -> str:
        command = ["-m", "notebook_do.cli", *words]
        terminal = pexpect.spawn(sys.executable, command, cwd=str(cloud), encoding="utf-8", timeout=60)
        terminal.expect_exact(asks)
        terminal.sendline(typed)
        terminal.expect(pexpect.EOF)
        return str(terminal.before)

    put = ("put", "shop.toml", "rooms", "kitchen", "topic", "2")
    assert "Nothing was sent: the word yes was not typed." in ran("Type 'yes' to do it", "no", *put)
    assert room.values()["value"].tolist() == [1]
    assert "Key topic of kitchen is put" in ran("Type 'yes' to do it", "yes", *put)
    assert room.values()["value"].tolist() == [2]
    phrase = room.wipe().phrase or ""
    wipe = ("wipe", "shop.toml", "rooms", "kitchen")
    assert "that is not the phrase" in ran(f"Type '{phrase}' to do it", "yes", *wipe)
    assert len(room.values()) == 1
    assert "All that kitchen had stored is deleted" in ran(f"Type '{phrase}' to do it", phrase, *wipe)
    assert len(room.values()) == 0
