"""Changes of what objects have stored, on real workerd: shown with before and after, sent as shown or not at all."""

from __future__ import annotations

import asyncio
import copy
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import notebook_do as nd
from notebook_do.bridge import bridge
from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.cloudflare.client import Client
from notebook_do.errors import CommandError, ConsentRequired, StaleChange, StateError, TargetError
from notebook_do.inspector.values import UNDEFINED, bigint
from notebook_do.live.inspecting import Declined, LocalWay, NotKnown, Returned
from notebook_do.live.ways import way_to
from notebook_do.model.changes import NOTHING, ObjectContents

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.model.changes import RowChange

BIG = 2**53 + 1
ROOM = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS messages (author TEXT, text TEXT, at INTEGER, x REAL, raw BLOB)");
  }
  post(author) {
    this.ctx.storage.sql.exec("INSERT INTO messages VALUES (?, 'hello', 9007199254740993, 1.0, x'00ff')", author);
  }
  put(key, value) { return this.ctx.storage.put(key, value); }
  get(key) { return this.ctx.storage.get(key); }
  run(sql) { this.ctx.storage.sql.exec(sql); }
  odd(kind) { return this.ctx.storage.put("odd", ODD[kind]()); }
  ring(at) { return this.ctx.storage.setAlarm(at); }
  alarm() { return this.ctx.storage.put("rang", true); }
}
const ODD = {
  hole: () => [1, , 3],
  sparse: () => { const made = []; made[9] = 1; return made; },
  named: () => Object.assign([1], { length: 1, name: "x" }),
  pattern: () => /a/g,
  buffer: () => new ArrayBuffer(2),
  clamped: () => new Uint8ClampedArray(2),
  view: () => new DataView(new ArrayBuffer(2)),
  part: () => new Uint8Array([1, 0, 0]).subarray(1),
  twice: () => { const one = {}; return [one, one]; },
};
export class Plain {
  constructor(state) { this.state = state; }
  async fetch() { await this.state.storage.put("n", 1); return new Response("ok"); }
}
export class Closed extends DurableObject { put(key, value) { return this.ctx.storage.put(key, value); } }
Object.freeze(Closed.prototype);
export default { async fetch(request, env) {
  const name = new URL(request.url).pathname.slice(1);
  return env.PLAIN.get(env.PLAIN.idFromName(name)).fetch(request);
} };
"""


@pytest.fixture
def session(cloud: Path) -> nd.Session:
    """Deploy rooms, objects of a class without RPC and with key-value storage, and of one that takes no module."""
    del cloud
    return deployed("changes")


def deployed(name: str, source: str = ROOM) -> nd.Session:
    """Deploy the Worker in a session of this name."""
    session = nd.session(name)
    bindings = {
        "ROOMS": nd.DurableObjectNamespace("rooms", class_name="Room"),
        "PLAIN": nd.DurableObjectNamespace("plain", class_name="Plain", sqlite=False),
        "CLOSED": nd.DurableObjectNamespace("closed", class_name="Closed"),
    }
    nd.Worker("chat", script=source, bindings=bindings)
    session.deploy(session.plan())
    return session


def test_a_change_shows_what_is_there_and_sends_nothing(session: nd.Session) -> None:
    """Before, after and digest are read without a write; the digest is of what is sent and what it rests on."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    change = room.put("topic", {"dish": ["soup", 2.5]})
    assert (change.before, change.after) == ("cooking", {"dish": ["soup", 2.5]})
    assert room.put("topic", {"dish": ["soup", 2.5]}).digest == change.digest
    others = [
        room.put("topic", {"dish": ["soup", 2]}),
        room.put("other", {"dish": ["soup", 2.5]}),
        room.delete("topic"),
    ]
    assert len({change.digest, *(one.digest for one in others)}) == 4
    assert room.values()["value"].tolist() == ["cooking"]
    room.call("put", "topic", "baking")
    assert room.put("topic", {"dish": ["soup", 2.5]}).digest != change.digest
    assert 'key topic  "cooking" → {"dish": ["soup", 2.5]}' in str(change)
    assert change.df[["name", "value", "new_value"]].to_numpy().tolist() == [["kitchen", "cooking", change.after]]


@pytest.mark.parametrize(
    ("stored", "same", "other"),
    [
        ("x", "x", "y"),
        ({"a": [1, 2.5, None]}, {"a": [1.0, 2.5, None]}, {"a": [True, 2.5, None]}),
        (bigint(5), bigint(5), 5),
        ({1: "a"}, {1: "a"}, {"1": "a"}),
        (None, None, ""),
        ([UNDEFINED], [UNDEFINED], [None]),
    ],
)
def test_what_is_there_already_is_no_change(session: nd.Session, stored: Any, same: Any, other: Any) -> None:
    """Of the same value, as JavaScript tells values apart, a line says that nothing would change; nothing is sent."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", stored)
    change = room.put("topic", same)
    assert str(change) == "= Key topic of kitchen has this value already: nothing would change."
    for _ in range(2):  # it is not spent
        assert str(session.apply(change)) == "= Key topic of kitchen has this value already: nothing was sent."
    assert not session.state.sent_changes.load()
    assert not room.put("topic", other).noop
    room.call("put", "topic", other)
    with pytest.raises(StaleChange, match="key topic of kitchen moved"):
        session.apply(change)


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("hole", [1, None, 3]),
        ("sparse", [None] * 9 + [1]),
        ("named", [1]),
        ("pattern", "/a/"),
        ("buffer", bytes(2)),
        ("clamped", bytes(2)),
        ("view", bytes(2)),
        ("part", bytes(2)),
        ("twice", [{}, {}]),
    ],
)
def test_what_only_reads_like_the_value_is_changed(session: nd.Session, kind: str, read: Any) -> None:
    """Where more is stored than Python is told, a put of what is told is sent; of what it stored the next is none."""
    room = session.object("rooms", "kitchen")
    room.call("odd", kind)
    change = room.put("odd", read)
    assert (change.before, change.noop) == (read, False)
    assert session.apply(change).ok
    assert room.put("odd", read).noop


def test_a_statement_that_changes_what_no_row_shows_is_sent(session: nd.Session) -> None:
    """The next number of a table, and a row that a trigger takes away: SQLite counts them. What answers is run."""
    room = session.object("rooms", "kitchen")
    for sql in (
        "CREATE TABLE numbers (id INTEGER PRIMARY KEY AUTOINCREMENT, n)",
        "CREATE TRIGGER away AFTER INSERT ON numbers BEGIN DELETE FROM numbers; END",
    ):
        room.call("run", sql)
    for sql in ("INSERT INTO numbers (n) VALUES (1)", "UPDATE sqlite_sequence SET seq = 100"):
        change = room.execute(sql)
        assert (change.before.rows, change.noop) == ((), False)
        assert session.apply(change).ok
    assert room.query("SELECT seq FROM sqlite_sequence")["seq"].tolist() == [100]
    assert not room.execute("DELETE FROM messages RETURNING *").noop


def test_rows_of_a_map_that_would_follow_each_other_are_refused(session: nd.Session) -> None:
    """A row that would change nothing now is not left out beside one after which it would."""
    room = session.object("rooms", "kitchen")
    room.post("ada")
    room.call("put", "topic", 1)
    df = pd.DataFrame(
        {
            "room": "kitchen",
            "key": "topic",
            "value": [2, 1],
            "sql": ["DELETE FROM messages", "DELETE FROM messages WHERE author = 'bob'"],
        }
    )
    for change, args in (("put", ["key", "value"]), ("execute", ["sql"])):
        with pytest.raises(CommandError, match="map: there is more than one"):
            session.map("rooms", df, object="room", change=change, args=args)


def test_an_alarm_or_a_statement_that_changes_nothing_says_so(session: nd.Session) -> None:
    """No alarm to delete, the alarm that is set, no row that a statement finds; of a map that nothing is left of."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "x")
    assert str(room.set_alarm(None)) == "= kitchen has no alarm: nothing would change."
    at = datetime(2036, 1, 2, tzinfo=UTC)
    session.apply(room.set_alarm(at))
    assert str(room.set_alarm(at)) == "= The alarm of kitchen is set to this time already: nothing would change."
    assert not room.run_alarm().noop
    statement = room.execute("DELETE FROM messages")
    assert str(statement) == "= The statement changes no row of kitchen: nothing would change."
    assert session.apply(statement).ok
    assert not room.execute("CREATE TABLE more (n)").noop
    df = pd.DataFrame({"room": ["kitchen", "hall"], "key": "topic", "value": "x"})
    session.object("rooms", "hall").call("put", "topic", "y")
    change = session.map("rooms", df, object="room", change="put", args=["key", "value"])
    assert [one.spoken for one in change.edits] == ["hall"]
    assert change.notes == ("1 row whose value is there already: nothing is sent for it.",)
    session.apply(change)
    again = session.map("rooms", df, object="room", change="put", args=["key", "value"])
    assert str(again) == "= The rows put what is in 2 objects already: nothing would change."
    assert session.apply(again).ok


def test_an_error_in_a_map_of_changes_names_its_row(session: nd.Session) -> None:
    """Whatever is wrong with one row of many, its label in the frame and its object are told."""
    for name in ("kitchen", "hall"):
        session.object("rooms", name).post("ada")
    df = pd.DataFrame(
        {
            "room": ["kitchen", "hall"],
            "sql": ["DELETE FROM messages", "DELETE FROM mesages"],
            "key": ["a", ""],
            "value": [1, object()],
            "gone": ["kitchen", "nowhere"],
        },
        index=["first", "second"],
    )
    wrong: list[tuple[str, str, list[str], str]] = [
        ("room", "execute", ["sql"], "(hall): execute: no such table: mesages."),
        ("room", "put", ["key", "value"], "(hall): a key is a text, and not empty."),
        ("room", "put", ["sql", "value"], "(hall): value: an object cannot be sent"),
        ("gone", "put", ["sql", "sql"], "(nowhere): rooms has no object nowhere that stored something"),
    ]
    for named, change, args, said in wrong:
        with pytest.raises(CommandError) as error:
            session.map("rooms", df, object=named, change=change, args=args)
        assert str(error.value).startswith(f"map: row second {said}")


def test_a_change_of_many_says_whom_it_changes_where_its_phrase_lacks(session: nd.Session) -> None:
    """Of many objects which ones, and not how many alone; of one that what it has is lost."""
    names = [f"room{at:02}" for at in range(10)]
    for name in names:
        session.object("rooms", name).call("put", "topic", 1)
    df = pd.DataFrame({"room": names, "key": "topic", "value": 2})
    change = session.map("rooms", df, object="room", change="put", args=["key", "value"])
    with pytest.raises(
        ConsentRequired, match=r"10 objects of rooms would be changed at once: room00, .* and 3 more; no"
    ):
        session.apply(change)
    with pytest.raises(ConsentRequired, match="what room00 has is lost, and cannot be had back; nothing was sent"):
        session.apply(session.object("rooms", "room00").wipe())


def test_what_was_shown_is_sent_once(session: nd.Session) -> None:
    """A change is applied once, and so is a copy of it; afterwards storage holds exactly `after`, and a key is gone."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    value = {"at": datetime(2026, 1, 2, tzinfo=UTC), "big": BIG, "raw": b"\x00\xff", "set": {1}, "$": "mark"}
    change = room.put("topic", value)
    assert session.apply(change).ok
    assert room.values()["value"].tolist() == [change.after] == [value]
    for spent in (change, copy.copy(change)):
        with pytest.raises(CommandError, match="was applied already; make it anew to repeat it"):
            session.apply(spent)
    change = room.delete("topic")
    assert (change.before, change.after) == (value, NOTHING)
    session.apply(change)
    assert len(room.values()) == 0
    with pytest.raises(CommandError, match="takes the change that put"):
        session.apply("topic")  # type: ignore[arg-type]  # what a user may do


def test_a_change_that_was_not_sent_can_be_sent(session: nd.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing answers, the record cannot be written: the same change goes later. The first error is the one told."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    change, log, ask = room.put("topic", 1), session.state.sent_changes.path, Client.ask_objects
    broken: list[bool] = []

    async def lost(self: Client, namespace_id: str, asked: bytes, seconds: float) -> Any:
        if b'"op":"put"' not in asked:
            return await ask(self, namespace_id, asked, seconds)
        if broken:
            log.unlink()
            log.mkdir()
        raise NoAnswer("nothing answers; nothing was sent.", sent=False)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "ask_objects", lost)
        with pytest.raises(TargetError, match="nothing answers"):
            session.apply(change)
        broken.append(True)
        with pytest.raises(TargetError, match="nothing answers"):
            session.apply(change)
    with pytest.raises(StateError, match=r"changes\.log"):
        session.apply(change)
    log.rmdir()
    assert room.call("get", "topic") == "cooking"
    assert session.apply(change).ok
    with pytest.raises(CommandError, match="was applied already"):
        session.apply(change)


def test_a_change_that_was_begun_is_not_told_as_sent(session: nd.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that ended before the send, a request without answer: whether it was done is said to be not known."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    change = room.put("topic", 1)
    assert session.state.sent_changes.take(change.digest), "the kernel is killed right after this"
    with pytest.raises(CommandError, match="was begun to be sent before, and whether it was is not known"):
        session.apply(change)
    again = room.put("topic", 1)
    assert re.fullmatch(r"This change was begun to be sent once before, .* UTC, and .* not known\.", again.notes[-1])
    ask = Client.ask_objects

    async def lost(self: Client, namespace_id: str, asked: bytes, seconds: float) -> Any:
        if b'"op":"put"' not in asked:
            return await ask(self, namespace_id, asked, seconds)
        raise NoAnswer("no answer came", sent=True)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "ask_objects", lost)
        with pytest.raises(TargetError, match="whether it was done is not known"):
            session.apply(again)
    assert "2 times before, last " in room.put("topic", 1).notes[-1]
    third = room.put("topic", 1)
    session.apply(third)
    assert session.state.sent_changes.load()[third.digest].done


def test_requests_without_a_readable_answer_are_not_told_as_not_sent(
    session: nd.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many ops the later ones may have been done where what came is no answer; what follows was not sent."""
    session.object("rooms", "kitchen").call("put", "n", 1)
    asked, ask = list[bytes](), Client.ask_objects

    async def odd(self: Client, namespace_id: str, given: bytes, seconds: float) -> Any:
        asked.append(given)
        found = await ask(self, namespace_id, given, seconds)
        return [{"other": 1} for _ in found] if len(asked) == 2 else found

    async def all_of_it() -> list[Any]:
        connection = await session.connecting.connect()
        async with connection.client() as client:
            way = await way_to(connection, client, session.recorded(), "rooms")
            return await way.ask([{"object": {"name": "kitchen"}, "op": "info"}] * 100)

    monkeypatch.setattr(Client, "ask_objects", odd)
    kinds = [type(one) for one in bridge.run(all_of_it())]
    assert kinds == [Returned] * 40 + [NotKnown] * 40 + [Declined] * 20


def test_a_change_is_stale_when_its_value_moved(session: nd.Session) -> None:
    """An object that writes while a change is shown makes it stale, and nothing is sent; another key does not."""
    room = session.object("rooms", "kitchen")
    for key in ("topic", "other"):
        room.call("put", key, "cooking")
    fine, stale, gone, new = room.put("topic", 1), room.put("other", 1), room.delete("other"), room.put("new", 1)
    room.call("put", "other", "moved")
    room.call("put", "new", "moved")
    assert session.apply(fine).ok
    for change in (stale, gone, new):
        with pytest.raises(StaleChange, match=r"key \w+ of kitchen moved after the change .* nothing was sent"):
            session.apply(change)
    assert room.values().set_index("key")["value"].to_dict() == {"topic": 1, "other": "moved", "new": "moved"}


def test_two_sessions_cannot_both_send_what_rests_on_one_value(session: nd.Session) -> None:
    """Two people are shown the same value; the second to send is refused, and a third of another session too."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    mine = room.put("topic", "mine")
    other = nd.session("changes")
    theirs = other.object("rooms", "kitchen").put("topic", "theirs")
    assert mine.digest != theirs.digest
    other.apply(theirs)
    with pytest.raises(StaleChange):
        session.apply(mine)
    assert room.call("get", "topic") == "theirs"
    elsewhere = nd.session("elsewhere")
    with pytest.raises(CommandError, match="which is not in the state of this session; nothing was sent"):
        elsewhere.apply(room.put("topic", "x"))


def test_the_object_itself_compares_before_it_changes(session: nd.Session) -> None:
    """What is written in the last instant is found inside of the object: it does nothing, for a key, an alarm, rows."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    room.post("ada")
    count = {"sql": "SELECT count(*) FROM messages", "params": []}
    ops: list[dict[str, Any]] = [
        {"op": "put", "key": "topic", "value": 1, "checks": [{"key": "topic"}], "expect": ['"baking"']},
        {"op": "delete", "key": "topic", "checks": [{"key": "topic"}], "expect": ['"baking"']},
        {"op": "alarm", "at": 1, "checks": [{"alarm": True}], "expect": ["5"]},
        {"op": "change", "sql": "DELETE FROM messages", "checks": [count], "expect": ["[[2]]"]},
        {"op": "change", "sql": "DELETE FROM messages", "checks": [count], "expect": ["[[1]]"], "count": 2},
        {"op": "wipe", "checks": [count], "expect": ["[[2]]"]},
    ]

    async def ask() -> list[Any]:
        connection = await session.connecting.connect()
        async with connection.client() as client:
            way = await way_to(connection, client, session.recorded(), "rooms")
            return await way.ask([{"object": {"name": "kitchen"}, **op} for op in ops])

    assert [one.why if isinstance(one, Declined) else one for one in bridge.run(ask())] == ["moved"] * len(ops)
    assert (room.call("get", "topic"), room.alarm(), len(room.query("SELECT * FROM messages"))) == ("cooking", None, 1)


WRITES = (
    "DROP TABLE messages",
    "INSERT INTO messages VALUES ('x', 'x', 1, 1, x'') RETURNING author",
    "DELETE FROM messages",
)


def test_a_read_that_writes_is_undone_and_refused(session: nd.Session) -> None:
    """`query` reads a file and runs none of these; asked of the object itself, each is run, undone and refused."""
    room = session.object("rooms", "kitchen")
    room.post("ada")
    held = room.query("SELECT * FROM messages").to_numpy().tolist()
    for statement in WRITES:
        word = statement.split()[0]
        with pytest.raises(CommandError, match=f"^query only reads: {word} is not run"):
            room.query(statement)
    with pytest.raises(CommandError, match="more than one statement"):
        room.query("SELECT 1; DROP TABLE messages")
    statements = (*WRITES, "SELECT 1; DROP TABLE messages", "SELECT 1; DELETE FROM messages; SELECT 2")

    async def ask() -> list[Any]:
        connection = await session.connecting.connect()
        async with connection.client() as client:
            way = await way_to(connection, client, session.recorded(), "rooms")
            return await way.ask([{"object": {"name": "kitchen"}, "op": "select", "sql": sql} for sql in statements])

    outcomes = bridge.run(ask())
    assert [isinstance(one, Declined) for one in outcomes[:3]] == [True] * 3
    assert "this statement does more than read; it was undone" in str(outcomes[0])
    assert room.query("SELECT * FROM messages").to_numpy().tolist() == held


def _rows(changes: tuple[RowChange, ...]) -> list[tuple[Any, ...]]:
    return [(one.table, one.kind, one.before, one.after) for one in changes]


def test_execute_shows_the_rows_before_and_after(session: nd.Session, shared_data: Path) -> None:
    """Rows are exact beyond 2^53, 1.0 stays REAL; a sleeping object stays asleep and its file as it is, to the byte."""
    room = session.object("rooms", "kitchen")
    for author in ("ada", "grace"):
        room.post(author)
    deployed("changes", ROOM + "// the process ends\n")
    id_ = session.objects("rooms")["object_id"].iloc[0]
    (file,) = (shared_data / "objects").glob(f"*/{id_}.sqlite")
    held = file.read_bytes()
    change = room.execute("UPDATE messages SET text = ?, at = at + 1 WHERE author = ? RETURNING at", "bye", "ada")
    assert _rows(change.before.rows) == [
        ("messages", "update", ("ada", "hello", BIG, 1.0, b"\x00\xff"), ("ada", "bye", BIG + 1, 1.0, b"\x00\xff"))
    ]
    assert file.read_bytes() == held
    assert session.apply(change).results == ([[float(BIG + 1)]],), "as JavaScript has it"
    assert room.query("SELECT author, text, at, x FROM messages ORDER BY author").to_numpy().tolist() == [
        ["ada", "bye", BIG + 1, 1.0],
        ["grace", "hello", BIG, 1.0],
    ]
    moved = room.execute("DELETE FROM messages WHERE author = 'grace'")
    room.run("UPDATE messages SET text = 'late' WHERE author = 'grace'")
    with pytest.raises(StaleChange, match="the rows of kitchen moved"):
        session.apply(moved)
    more = room.execute("DELETE FROM messages WHERE text = 'late'")
    room.run("UPDATE messages SET text = 'late'")
    with pytest.raises(StaleChange):
        session.apply(more)
    assert len(room.query("SELECT * FROM messages")) == 2


@pytest.mark.parametrize("big", [BIG, -BIG, np.int64(BIG)])
def test_execute_refuses_a_number_that_the_object_cannot_bind(session: nd.Session, big: int) -> None:
    """A whole number beyond 2**53 is refused when the change is made, with its place; both ways out work, and query."""
    room = session.object("rooms", "kitchen")
    room.post("ada")
    with pytest.raises(CommandError, match=rf"^execute: parameter 2 is {big}, .* CAST\(\? AS INTEGER\)\.$"):
        room.execute("UPDATE messages SET text = ?, at = ?", "bye", big)
    frame = pd.DataFrame({"room": ["kitchen"], "sql": ["UPDATE messages SET at = ?"], "at": [big]})
    with pytest.raises(CommandError, match=rf"^map: row 0 \(kitchen\): execute: parameter 1 is {big}"):
        session.map("rooms", frame, object="room", change="execute", args=["sql", "at"])
    assert room.query("SELECT ? AS n", big)["n"].tolist() == [big]
    wanted = int(big) + (1 if big > 0 else -1)
    for sql, params in (
        (f"UPDATE messages SET at = {wanted}", ()),
        ("UPDATE messages SET at = CAST(? AS INTEGER)", (str(big),)),
    ):
        assert session.apply(room.execute(sql, *params)).ok
    assert room.query("SELECT at FROM messages")["at"].tolist() == [big]
    assert session.apply(room.execute("UPDATE messages SET at = ?", 2**53)).ok
    assert room.query("SELECT at FROM messages")["at"].tolist() == [2**53]


def test_execute_shows_what_goes_with_it(session: nd.Session) -> None:
    """Rows that a cascade or a trigger takes along, and changes of the schema, are shown as what they are."""
    room = session.object("rooms", "kitchen")
    room.run("""
      CREATE TABLE p (id INTEGER PRIMARY KEY);
      CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p (id) ON DELETE CASCADE);
      CREATE TABLE log (what) ; CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
      CREATE TRIGGER t AFTER DELETE ON p BEGIN INSERT INTO log VALUES (old.id); END;
      INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 1), (2, 2); INSERT INTO w VALUES ('a', 1), ('b', 2);
    """)
    change = room.execute("DELETE FROM p WHERE id = 1")
    taken = [("p", "delete", (1,), None), ("c", "delete", (1, 1), None), ("log", "insert", None, (1,))]
    assert _rows(change.before.rows) == taken
    session.apply(change)
    assert [len(room.query(f"SELECT * FROM {table}")) for table in ("p", "c", "log")] == [1, 1, 1]
    change = room.execute("WITH one AS (SELECT 'a' AS k) UPDATE w SET v = 1.0 WHERE k IN one")
    assert _rows(change.before.rows) == [("w", "update", ("a", 1), ("a", 1.0))]
    session.apply(change)
    assert room.query("SELECT typeof(v) AS t FROM w")["t"].tolist() == ["real", "integer"]
    change = room.execute("DROP TABLE w")
    assert [(one.kind, one.name, one.after, one.rows) for one in change.before.schema] == [("table", "w", None, 2)]
    assert "drop  table w  and its 2 rows" in str(change)
    session.apply(change)
    assert "w" not in room.tables()["table"].tolist()
    assert "random gives another value" in str(room.execute("INSERT INTO log VALUES (random())"))


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT * FROM messages", "this statement changes nothing; read with query"),
        ("DELETE FROM messages; SELECT 1", "it is more than one statement; run one at a time"),
        ("UPDATE _cf_KV SET value = 1", "an object runs no statement on tables that begin with _cf_"),
        ("PRAGMA user_version = 1", "an object runs no PRAGMA, ATTACH, transaction or temporary table"),
        ("BEGIN", "an object runs no PRAGMA, ATTACH, transaction or temporary table"),
        ("DELETE FROM mesages", "no such table: mesages"),
        ("DELETE", "incomplete input"),
    ],
)
def test_what_execute_refuses_is_said_in_one_line(session: nd.Session, sql: str, why: str) -> None:
    """What is no change of rows that an object could make is refused before anything is sent."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    with pytest.raises(CommandError, match=f"^execute: {why}"):
        room.execute(sql)


def test_alarms_are_set_deleted_and_run(session: nd.Session) -> None:
    """`set_alarm` and `run_alarm` show the alarm that is set; a moved one makes them stale; running keeps it set."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    change = room.set_alarm(at)
    assert (change.before, change.after) == (None, at)
    session.apply(change)
    assert room.alarm() == at
    stale = room.set_alarm(None)
    room.ring(round((at + timedelta(hours=1)).timestamp() * 1000))
    with pytest.raises(StaleChange, match="the alarm of kitchen moved"):
        session.apply(stale)
    session.apply(room.run_alarm())
    assert (room.call("get", "rang"), room.alarm()) == (True, at + timedelta(hours=1))
    session.apply(room.set_alarm(None))
    assert room.alarm() is None
    with pytest.raises(CommandError, match="takes an aware datetime, or None"):
        room.set_alarm(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_what_rings_is_approved_for_one_record_alone(session: nd.Session) -> None:
    """alarm() leaves nothing that tells that it ran: where the record of it is lost, its digest is another one."""
    room = session.object("rooms", "kitchen")
    room.post("ada")
    past = datetime(2020, 1, 1, tzinfo=UTC)
    makes = (room.run_alarm, lambda: room.set_alarm(past), lambda: room.put("n", 1))
    first = [make().digest for make in makes]
    assert [make().digest for make in makes] == first
    assert session.apply(room.run_alarm()).ok
    assert room.run_alarm().again == 1
    session.state.sent_changes.path.unlink()
    later = [make() for make in makes]
    assert not {later[0].digest, later[1].digest} & set(first)
    assert later[0].again == 0
    assert later[2].digest == first[2], "all else rests on what is there"
    assert room.run_alarm().digest == later[0].digest


def test_a_wiped_object_begins_anew(session: nd.Session) -> None:
    """`wipe` asks for its phrase, is stale when anything was written, and the constructor runs with the next call."""
    room = session.object("rooms", "kitchen")
    room.post("ada")
    room.call("put", "topic", 1)
    room.ring(round(datetime.now(UTC).timestamp() * 1000) + 3_600_000)
    stale = room.wipe()
    id_ = stale.edits[0].object_id
    assert stale.phrase == f"delete kitchen {id_[-8:]}"
    assert "1 table with 1 row, 1 key and the alarm of" in str(stale)
    for confirm in ((), "delete kitchen", "DELETE KITCHEN"):
        with pytest.raises(ConsentRequired, match=f'confirm="delete kitchen {id_[-8:]}"'):
            session.apply(stale, confirm=confirm)
    room.call("put", "topic", 2)
    with pytest.raises(StaleChange):
        session.apply(stale, confirm=stale.phrase)
    assert len(room.values()) == 1
    change = room.wipe()
    session.apply(change, confirm=change.phrase or "")
    assert session.objects("rooms")[["stored", "alarm"]].to_numpy().tolist() == [[False, None]] or room.alarm() is None
    assert (len(room.values()), len(room.tables())) == (0, 0)
    room.post("grace")
    assert room.query("SELECT author FROM messages")["author"].tolist() == ["grace"]


def test_a_wipe_is_refused_where_a_value_came_after_the_file_was_compared(
    session: nd.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object itself finds what was written in between, also another value under the same key, in the same row."""
    rooms = session.object("rooms", "kitchen"), session.object("rooms", "attic")
    writes = ("put", ("n", 2)), ("run", ("UPDATE messages SET text = 'late'",))
    ask = LocalWay.ask
    for room, (method, args) in zip(rooms, writes, strict=True):
        room.call("put", "n", 1)
        room.post("ada")
        change = room.wipe()

        written = {"op": "call", "method": method, "args": list(args), "request": "x"}

        async def late(way: LocalWay, ops: Any, *given: Any, first: Any = written, **more: Any) -> Any:
            if ops[0]["op"] == "wipe":
                await ask(way, [{"object": ops[0]["object"], **first}])
            return await ask(way, ops, *given, **more)

        with monkeypatch.context() as patch:
            patch.setattr(LocalWay, "ask", late)
            with pytest.raises(StaleChange, match="moved after the change"):
                session.apply(change, confirm=change.phrase or "")
        assert len(room.query("SELECT * FROM messages")) == 1
        again = room.wipe()
        assert session.apply(again, confirm=again.phrase or "").ok
        assert (len(room.values()), len(room.tables())) == (0, 0)


def test_what_is_not_there_is_refused_and_not_made(session: nd.Session) -> None:
    """No verb makes an object that is not in the list, and each says the nearest name; keys say the nearest key."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    absent = session.object("rooms", "kichen")
    verbs = (
        lambda: absent.put("k", 1),
        lambda: absent.delete("k"),
        lambda: absent.execute("DELETE FROM messages"),
        lambda: absent.set_alarm(None),
        absent.run_alarm,
        absent.wipe,
        absent.info,
        lambda: absent.values("t"),
        absent.tables,
        absent.alarm,
        lambda: absent.query("SELECT 1"),
    )
    for verb in verbs:
        with pytest.raises(
            CommandError, match=r"^rooms has no object kichen that stored something; the nearest name is"
        ):
            verb()
    assert session.objects("rooms")["name"].tolist() == ["kitchen"]
    with pytest.raises(CommandError, match=r"kitchen of rooms has no key topc; did you mean topic\?"):
        room.delete("topc")


@pytest.mark.parametrize("key", ["a b", "\x00", "é日本🎉", "'\"\\", "\u202egnp", "%_", "../x", "x" * 2048])
def test_keys_are_what_they_are(session: nd.Session, key: str) -> None:
    """Any text is a key: it is put, found by itself and as a prefix, shown without driving a terminal, and deleted."""
    room = session.object("rooms", "kitchen")
    room.call("put", "other", 1)
    change = room.put(key, [1])
    assert change.before is NOTHING
    session.apply(change)
    assert room.values(prefix=key)["key"].tolist() == [key]
    shown = str(room.put(key, [2]))
    assert "\u202e" not in shown
    assert "\x00" not in shown
    session.apply(room.delete(key))
    assert room.values()["key"].tolist() == ["other"]


def test_keys_and_values_that_cannot_be_are_refused(session: nd.Session) -> None:
    """An empty key, half a character, a value without a form; and what storage itself refuses changes nothing."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    for key, why in (("", "not empty"), ("\ud83d", "half a character"), ("x" * 2049, "at most 2,048 bytes")):
        with pytest.raises(CommandError, match=why):
            room.put(key, 1)
    with pytest.raises(CommandError, match="value"):
        room.put("topic", object())
    large = room.put("topic", "x" * 1_500_000)
    assert session.apply(large).ok
    assert room.values()["size"].iloc[0] > 1_500_000
    with pytest.raises(CommandError, match=r"put: the value is 8\.0 MB as it is sent, and 8\.0 MB can be sent at once"):
        room.put("topic", "x" * 8_000_000)
    assert len(room.values()["value"].iloc[0]) == 1_500_000


def test_classes_without_rpc_and_key_value_storage_are_changed_too(session: nd.Session) -> None:
    """A legacy class is asked by a request; a statement is refused where there is no SQL, a wipe is not."""
    assert session.fetch("chat", "/one").text == "ok"
    plain = session.object("plain", "one")
    change = plain.put("n", [2])
    assert change.before == 1
    session.apply(change)
    assert plain.values()["value"].tolist() == [[2]]
    with pytest.raises(CommandError, match="namespace plain has key-value storage without SQL"):
        plain.execute("CREATE TABLE t (a)")
    change = plain.wipe()
    assert change.before == ObjectContents(keys=1, size=change.before.size)
    session.apply(change, confirm=change.phrase or "")
    assert len(plain.values()) == 0


def test_a_class_that_takes_no_module_is_refused(session: nd.Session) -> None:
    """Of a frozen class only its own methods change anything; what it stored can be read all the same."""
    closed = session.object("closed", "one")
    closed.call("put", "n", 1)
    assert closed.values()["value"].tolist() == [1]
    with pytest.raises(CommandError, match="cannot be looked into"):
        session.apply(closed.put("n", 2))


def test_changes_can_be_awaited_at_once(session: nd.Session) -> None:
    """Applying from several threads sends a change once, and every other try says that it was."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", 1)
    change = room.put("topic", 2)

    async def race() -> list[Any]:
        return await asyncio.gather(
            *(asyncio.to_thread(session.apply, change) for _ in range(4)), return_exceptions=True
        )

    found = asyncio.run(race())
    assert sum(isinstance(one, CommandError) for one in found) == 3
    assert room.call("get", "topic") == 2


def test_a_frame_is_one_change_of_many_objects(session: nd.Session) -> None:
    """`map(change=)` reads for each row what is there, counts the objects in its phrase, and sends all of them once."""
    names = ["kitchen", "garden", "attic"]
    for name in names:
        session.object("rooms", name).call("put", "topic", f"old {name}")
    df = pd.DataFrame({"room": [*names, None], "key": "topic", "value": [1, 2.5, "three", 4]})
    change = session.map("rooms", df, object="room", change="put", args=["key", "value"])
    assert change.phrase == "put 3 objects of rooms"
    assert change.df[["name", "value", "new_value"]].to_numpy().tolist() == [
        [name, f"old {name}", new] for name, new in zip(names, [1, 2.5, "three"], strict=True)
    ]
    for said in ('key topic  "old garden" → 2.5', "1 row without a name of an object: left out"):
        assert said in str(change)
    with pytest.raises(ConsentRequired, match='confirm="put 3 objects of rooms"'):
        session.apply(change)
    assert session.apply(change, confirm="put 3 objects of rooms").ok
    assert session.values("rooms").set_index("name")["value"].to_dict() == {
        "kitchen": 1,
        "garden": 2.5,
        "attic": "three",
    }
    stale = session.map("rooms", df[:3], object="room", change="delete", args=["key"])
    session.object("rooms", "attic").call("put", "topic", "moved")
    with pytest.raises(StaleChange, match="key topic of attic moved"):
        session.apply(stale, confirm=stale.phrase or "")
    assert len(session.values("rooms")) == 3, "of a stale change not one object is changed"
    statements = pd.DataFrame({"room": names, "sql": "INSERT INTO messages (author) VALUES (?)", "who": names})
    change = session.map("rooms", statements, object="room", change="execute", args=["sql", "who"])
    assert "Run a statement on 3 objects: 3 rows in dev on local" in str(change)
    applied = session.apply(change, confirm=change.phrase or "")
    assert applied.df["error"].isna().all()
    assert session.query("rooms", "SELECT author FROM messages")["author"].tolist() == sorted(
        names, key=lambda name: session.objects("rooms").set_index("name")["object_id"][name]
    )


def test_a_change_of_many_shows_each_statement_that_is_sent(session: nd.Session) -> None:
    """Statements that differ are shown, but for those that change no row; what varies is said; secrets stay hidden."""
    names = ["kitchen", "garden", "attic"]
    for name in names:
        session.object("rooms", name).call("put", "topic", 1)
        session.object("rooms", name).post("ada")
        session.object("rooms", name).run("CREATE TABLE members (name TEXT, password TEXT)")
    statements = [
        "UPDATE messages SET at = random()",
        "INSERT INTO members VALUES ('bob', 'hunter2')",
        "DELETE FROM messages WHERE author = 'nobody'",
    ]
    df = pd.DataFrame({"room": names, "sql": statements})
    change = session.map("rooms", df, object="room", change="execute", args=["sql"])
    assert "random gives another value when the statement is sent." in change.notes
    shown = str(change)
    for said in (statements[0], "INSERT INTO members VALUES ('bob', '", "1 row of no change: nothing is sent for it."):
        assert said in " ".join(shown.split())
    assert [edit.spoken for edit in change.edits] == names[:2]
    assert statements[2] not in shown
    assert "hunter2" not in shown
    assert "hunter2" not in str(change._repr_mimebundle_())
    same = df.assign(sql="DELETE FROM messages")
    shown = str(session.map("rooms", same, object="room", change="execute", args=["sql"]))
    assert shown.count("DELETE FROM messages") == 1
    assert all(name in shown for name in names)


@pytest.mark.parametrize(
    ("row", "asked", "why"),
    [
        ({"room": "kichen", "key": "topic"}, {"change": "delete", "args": ["key"]}, "rooms has no object kichen"),
        ({"room": 7, "key": "topic"}, {"change": "delete", "args": ["key"]}, "named by a text, and not by 7"),
        ({"room": "kitchen", "key": "none"}, {"change": "delete", "args": ["key"]}, "no row of the frame changes"),
        ({"room": "kitchen", "key": "topic"}, {"change": "put", "args": ["key"]}, "args are the columns of key, value"),
        (
            {"room": "kitchen", "key": "topic"},
            {"change": "pt", "args": ["key"]},
            r"unknown change pt; did you mean put\?",
        ),
        ({"room": "kitchen", "key": "topic"}, {"args": ["key"]}, "say what to do with each row, once"),
    ],
)
def test_what_a_frame_cannot_change_is_refused_whole(
    session: nd.Session, row: dict[str, Any], asked: dict[str, Any], why: str
) -> None:
    """One row that cannot be refuses the whole change before anything is sent, and says which and why."""
    session.object("rooms", "kitchen").call("put", "topic", 1)
    with pytest.raises(CommandError, match=why):
        session.map("rooms", pd.DataFrame([row]), object="room", **asked)
    twice = pd.DataFrame({"room": ["kitchen", "kitchen"], "key": "topic"})
    with pytest.raises(CommandError, match="more than one change of key topic of kitchen"):
        session.map("rooms", twice, object="room", change="delete", args=["key"])


def test_only_what_was_made_and_shown_is_sent(session: nd.Session) -> None:
    """A change that is another one since, or whose namespace has another stable ID since, sends nothing."""
    room = session.object("rooms", "kitchen")
    room.call("put", "topic", "cooking")
    change = room.put("topic", 1)
    edit = replace(change.edits[0], op=change.edits[0].op.replace('"value":1', '"value":2'))
    for other in (replace(change, edits=(edit,)), replace(room.wipe(), action="alarm"), replace(change, made="")):
        with pytest.raises(CommandError, match="is not as it was made and shown; nothing was sent"):
            session.apply(other)
    with pytest.raises(CommandError, match="which is not in the state of this session"):
        session.apply(replace(change, stable_id="closed"))
    assert room.call("get", "topic") == "cooking"
    assert session.apply(change).ok
