"""Snapshots of objects on Cloudflare, and their way back: by value, in one transaction of the object, or nothing."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.errors import CommandError, ConsentRequired, StaleChange, TargetError

if TYPE_CHECKING:
    from notebook_do.local.process.launch import LocalTarget
    from notebook_do.model import Target

SOURCE = Path(__file__).with_name("snapshots.js").read_text()
CLASSES = {"rooms": "Room", "olds": "Legacy", "mutes": "Silent"}


def opened(target: Target = "cloudflare") -> nd.Session:
    """Deploy a Worker whose objects hold one of everything."""
    session = nd.session(f"snaps-{target}", target=target)
    bound = {
        id_.upper(): nd.DurableObjectNamespace(id_, class_name=name, sqlite=id_ != "olds", inspect=True)
        for id_, name in CLASSES.items()
    }
    nd.Worker(f"snaps-{target}", script=SOURCE, bindings=bound)
    session.deploy(session.plan())
    return session


def put_back(session: nd.Session, change: Any) -> Any:
    """Send a restore with its phrase."""
    return session.apply(change, confirm=change.phrase or "")


def test_all_that_an_object_has_comes_back_by_value(far: LocalTarget, tmp_path: Path) -> None:
    """Integers beyond 2**53, REAL 1.0, blobs, NULL, rowids, any value of a key, schema, alarm; its object says so."""
    del far
    session = opened()
    room = session.object("rooms", "kitchen")
    room.fill()
    before = room.all()
    for part in (
        "9007199254740993integer",
        "1.0real",
        "X''blob",
        "9223372036854775806",
        "4102455845006",
        '"sqlite_seq',
    ):
        assert part in before
    taken = room.snapshot(tmp_path / "kitchen.ndsnap")
    assert (taken.name, taken.stable_id, taken.form) == ("kitchen", "rooms", "rows")
    assert taken.contents.alarm == datetime(2100, 1, 1, 3, 4, 5, 6000, tzinfo=UTC)
    assert "7 tables with 21 rows, 21 keys and the alarm of 2100-01-01" in str(taken)
    room.run("DELETE FROM child")
    room.run("DROP VIEW seen")
    room.run("CREATE TABLE other (x REFERENCES parent)")
    room.run("INSERT INTO other VALUES (7)")
    room.keep("map", 1)
    room.keep("new", 1)
    session.apply(room.set_alarm(None))
    change = room.restore(taken)
    assert [name for name, _ in change.before.tables] == [*dict(taken.contents.tables), "other"]
    assert "would be deleted for ever" in str(change)
    assert f"Then it has: {len(taken.contents.tables)} tables" in str(change)
    for kind, name in (("index", "byname"), ("view", "seen"), ("trigger", "noted")):
        assert re.search(rf"{kind} +{name} +CREATE {kind.upper()} {name} ", str(change)), "what comes with the tables"
    assert change.phrase == f"delete kitchen {taken.object_id[-8:]}"
    with pytest.raises(ConsentRequired):
        session.apply(change)
    assert put_back(session, change).ok
    assert room.all() == before
    with pytest.raises(CommandError, match="applied already"):
        put_back(session, change)
    empty = session.object("rooms", "attic")
    empty.keep("x", 1)
    with pytest.raises(CommandError, match="is of kitchen of rooms, another object; say other=True"):
        empty.restore(taken)
    put_back(session, empty.restore(taken, other=True))
    assert empty.all() == before


def test_a_restore_is_stale_where_anything_moved(far: LocalTarget, tmp_path: Path) -> None:
    """A row of any table, a key or the alarm that was written after it was shown: nothing is sent, nothing is lost."""
    del far
    session = opened()
    room = session.object("rooms", "kitchen")
    room.fill()
    taken = room.snapshot(tmp_path / "kitchen.ndsnap")
    moves = (
        lambda: room.run("UPDATE [odd \"name] SET n = 2 WHERE [a key] = 'x'"),
        lambda: room.keep("map", 2),
        lambda: room.run("UPDATE sqlite_sequence SET seq = 8"),
        lambda: session.apply(room.set_alarm(None)),
    )
    for move in moves:
        for change in (room.restore(taken), room.wipe()):
            move() if change.action == "restore" else room.keep("late", change.digest)
            now = room.all()
            with pytest.raises(StaleChange, match="kitchen moved after the change"):
                put_back(session, change)
            assert room.all() == now


def test_what_cannot_be_put_back_is_said_and_undone(far: LocalTarget, tmp_path: Path) -> None:
    """A snapshot that is altered, a virtual table, a value without a form, a class without alarm(): one line each."""
    del far
    session = opened()
    room = session.object("rooms", "kitchen")
    room.fill()
    taken = room.snapshot(tmp_path / "kitchen.ndsnap")
    with zipfile.ZipFile(taken.path) as archive:
        about, content = json.loads(archive.read("snapshot.json")), json.loads(archive.read("object.json"))
    content["tables"][0]["rows"][0][1] = "no number"
    path = tmp_path / "forged.ndsnap"
    text = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("snapshot.json", json.dumps({**about, "digest": hashlib.sha256(text).hexdigest()}))
        archive.writestr("object.json", text)
    before = room.all()
    with pytest.raises(CommandError, match="is not what the snapshot has, so all of it was undone"):
        put_back(session, room.restore(path))
    assert room.all() == before
    mute = session.object("mutes", "one")
    mute.keep("x", 1)
    with pytest.raises(CommandError, match=r"the snapshot has an alarm, and the class has no alarm\(\)"):
        put_back(session, mute.restore(taken, other=True))
    assert mute.values()["key"].tolist() == ["x"]
    room.boxed()
    with pytest.raises(CommandError, match="snapshot: kitchen: key boxed: an instance of Number"):
        room.snapshot(tmp_path / "boxed.ndsnap")
    text_index = session.object("rooms", "fts")
    text_index.run("CREATE VIRTUAL TABLE words USING fts5(body)")
    text_index.run("INSERT INTO words VALUES ('hello')")
    with pytest.raises(CommandError, match="its table words is a virtual one, whose rows cannot be written back"):
        text_index.snapshot(tmp_path / "words.ndsnap")
    put_back(session, text_index.wipe())
    assert not (tmp_path / "words.ndsnap").exists()
    keyed = session.object("rooms", "keyed")
    for sql in ("CREATE TABLE p(a)", "CREATE UNIQUE INDEX u ON p(a)", "CREATE TABLE c(a REFERENCES p(a))"):
        keyed.run(sql)
    for sql in ("INSERT INTO p VALUES (1)", "INSERT INTO c VALUES (1)", "DROP INDEX u"):
        keyed.run(sql)
    with pytest.raises(CommandError, match="its table c has a foreign key to columns that no key makes unique"):
        keyed.snapshot(tmp_path / "keyed.ndsnap")


def _forged(taken: nd.Snapshot, path: Path, **content: Any) -> Path:
    """Write a snapshot anew with other content, and a digest that fits it."""
    with zipfile.ZipFile(taken.path) as archive:
        about, held = json.loads(archive.read("snapshot.json")), json.loads(archive.read("object.json"))
    text = json.dumps({**held, **content}, separators=(",", ":"), ensure_ascii=False).encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("snapshot.json", json.dumps({**about, "digest": hashlib.sha256(text).hexdigest()}))
        archive.writestr("object.json", text)
    return path


@pytest.mark.parametrize("alarm", [-5, 0, 1.5, 1e300, 9_223_372_036_855, "soon", True])
def test_an_alarm_that_cannot_be_set_changes_nothing(far: LocalTarget, tmp_path: Path, alarm: Any) -> None:
    """It is refused before the rows and keys are replaced, by the file and by the object itself: never after it."""
    del far
    session = opened()
    room = session.object("rooms", "kitchen")
    room.keep("precious", 1)
    taken = room.snapshot(tmp_path / "kitchen.ndsnap")
    room.keep("precious", 2)
    path = _forged(taken, tmp_path / "forged.ndsnap", alarm=alarm)
    with pytest.raises(CommandError, match="its alarm is no time that an alarm can have"):
        room.restore(path)
    content = zipfile.ZipFile(path).read("object.json")
    change = room.restore(taken)
    op = json.dumps({**json.loads(change.edits[0].op), "content": hashlib.sha256(content).hexdigest()})
    change = replace(change, edits=(replace(change.edits[0], op=op),), content=content)
    change = replace(change, made=f"x {change.digest}")
    with pytest.raises(CommandError, match=r"its alarm is no time that an alarm can have\. Nothing was changed"):
        put_back(session, change)
    assert room.values()["value"].tolist() == [2]


def test_what_fails_after_the_commit_says_that_it_was_done(far: LocalTarget, tmp_path: Path) -> None:
    """Where the runtime refuses the alarm of a snapshot that is written already, nobody is told that nothing was."""
    del far
    session = opened()
    room = session.object("rooms", "kitchen")
    room.keep("precious", 1)
    session.apply(room.set_alarm(datetime(2100, 1, 1, tzinfo=UTC)))
    taken = room.snapshot(tmp_path / "kitchen.ndsnap")
    room.keep("precious", 2)
    room.breaks()
    change = room.restore(taken)
    with pytest.raises(TargetError, match="it was done, and its result cannot be told: Error: no alarm today"):
        put_back(session, change)
    assert room.values()["value"].tolist() == [1]
    with pytest.raises(CommandError, match="was applied already"):
        put_back(session, change)


TIED = {
    "numbers that were forgotten": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO p VALUES (7)",
        "DELETE FROM sqlite_sequence",
        "CREATE TABLE c (p)",
    ),
    "a NOT NULL that SET NULL would break": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p NOT NULL REFERENCES p ON DELETE SET NULL)",
    ),
    "a trigger that writes elsewhere": (
        "CREATE TABLE audit (x)",
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p REFERENCES p (id) ON DELETE CASCADE)",
        "CREATE TRIGGER noted AFTER DELETE ON c BEGIN INSERT INTO audit VALUES (old.p); END",
    ),
    "a trigger that forbids it": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p REFERENCES p (id) ON DELETE CASCADE)",
        "CREATE TRIGGER stays BEFORE DELETE ON c BEGIN SELECT RAISE(ABORT, 'rows stay'); END",
    ),
    "tables that refer to each other and to themselves": (
        (
            "CREATE TABLE p (id INTEGER PRIMARY KEY, p NOT NULL REFERENCES p ON DELETE SET NULL,"
            " c NOT NULL REFERENCES c (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED)"
        ),
        (
            "CREATE TABLE c (id INTEGER PRIMARY KEY, p NOT NULL REFERENCES p (id) ON DELETE RESTRICT,"
            " c NOT NULL REFERENCES c ON DELETE SET NULL)"
        ),
        "PRAGMA defer_foreign_keys = ON; INSERT INTO p VALUES (1, 1, 1); INSERT INTO c VALUES (1, 1, 1)",
    ),
    "what is unique by an index alone": (
        "CREATE TABLE p (id, b, c)",
        "CREATE UNIQUE INDEX by_id ON p (id)",
        "CREATE UNIQUE INDEX [by b] ON p (c, b)",
        "CREATE TABLE c (p REFERENCES P (ID) ON DELETE CASCADE, x, y, FOREIGN KEY (x, y) REFERENCES p (b, c))",
    ),
    "a table that is not there": (
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE later (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p REFERENCES p ON DELETE CASCADE, l REFERENCES later ON DELETE SET NULL)",
        "INSERT INTO p VALUES (2)",
        "INSERT INTO c VALUES (2, NULL)",
        "DROP TABLE later",
    ),
}


def test_tables_that_are_tied_to_each_other_come_back(far: LocalTarget, tmp_path: Path) -> None:
    """Whatever foreign keys and triggers say of a row that goes: all is put back, over it and over another object's."""
    del far
    session = opened()
    objects = {}
    for number, (name, statements) in enumerate(TIED.items()):
        one = session.object("rooms", f"tied {number}")
        for statement in statements:
            one.run(statement)
        if "not there" not in name and "themselves" not in name:
            one.run("INSERT INTO p (id) VALUES (1)")
            one.run("INSERT INTO c (p) VALUES (1)")
        objects[name] = (one, one.all(), one.snapshot(tmp_path / f"{number}.ndsnap"))
    before: Any = None
    for name, (one, held, taken) in objects.items():
        assert put_back(session, one.restore(taken)).ok, name
        assert one.all() == held, name
        if before is not None:
            put_back(session, one.restore(before[1], other=True))
            assert one.all() == before[0], name
        before = (held, taken)


@pytest.mark.thorough
def test_a_snapshot_is_bounded_and_whole(far: LocalTarget, tmp_path: Path) -> None:
    """What is too large is refused with its bound and never cut; a large one comes back in parts, as one change."""
    del far
    session = opened()
    room = session.object("rooms", "large")
    room.large()
    with pytest.raises(CommandError, match="large: it holds more than 15 MiB as it is written down, so it can"):
        room.snapshot(tmp_path / "large.ndsnap")
    with pytest.raises(CommandError, match="more than 15 MiB as it is written down, so it cannot be compared"):
        room.wipe()
    assert not (tmp_path / "large.ndsnap").exists()
    random = session.object("rooms", "random")
    random.random()
    held = random.values()["value"].tolist()
    taken = random.snapshot(tmp_path / "random.ndsnap")
    assert taken.path.stat().st_size > 7_000_000, "more than one request takes"
    random.keep("r0.0", 1)
    assert put_back(session, random.restore(taken)).ok
    assert random.values()["value"].tolist() == held


def test_keys_and_values_alone_come_back_too(far: LocalTarget, tmp_path: Path) -> None:
    """Storage without SQL: more keys than one call takes, and the alarm."""
    del far
    session = opened()
    old = session.object("olds", "one")
    old.fill(300)
    before = old.all()
    taken = old.snapshot(tmp_path / "old.ndsnap")
    old.fill(301)
    session.apply(old.set_alarm(None))
    put_back(session, old.restore(taken))
    assert old.all() == before
    room = session.object("rooms", "kitchen")
    room.keep("x", 1)
    with pytest.raises(CommandError, match="has kv storage; rooms has sqlite, so it cannot take it"):
        room.restore(taken, other=True)


def test_a_snapshot_of_cloudflare_is_put_back_locally(far: LocalTarget, tmp_path: Path) -> None:
    """What was taken there comes into a local object by value; a local file goes nowhere on Cloudflare, and says so."""
    del far
    session = opened()
    room = session.object("rooms", "kitchen")
    room.fill()
    before = room.all()
    taken = room.snapshot(tmp_path / "far.ndsnap")
    near = opened("local")
    mine = near.object("rooms", "mine")
    mine.keep("x", 1)
    change = mine.restore(taken, other=True)
    mine.keep("y", 1)
    with pytest.raises(StaleChange, match="mine moved"):
        put_back(near, change)
    put_back(near, mine.restore(taken, other=True))
    assert mine.all() == before
    local = mine.snapshot(tmp_path / "near.ndsnap")
    with pytest.raises(CommandError, match="is the file of mine of rooms of a local Cloudflare"):
        room.restore(local, other=True)
