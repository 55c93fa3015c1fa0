"""The file of a snapshot: private, whole, new, and never through a link."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tracemalloc
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.errors import CommandError
from notebook_do.live.snapshots import read_snapshot, write_snapshot
from notebook_do.live.stored import TakenObject
from notebook_do.model.changes import ObjectContents
from notebook_do.model.states import ObservedObject, RecordedNamespace
from notebook_do.model.words import Storage
from notebook_do.state import disk

if TYPE_CHECKING:
    from pathlib import Path

ROOMS = RecordedNamespace(
    stable_id="rooms", namespace_id="0" * 32, script_name="chat", class_name="Room", storage=Storage.SQLITE
)


def _sqlite(*statements: str) -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)
        return database.serialize()


CONTENT = _sqlite("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
TAKEN = TakenObject(
    one=ObservedObject(object_id="1" * 64, name="kitchen", stored=True),
    holds=ObjectContents(tables=(("t", 1),), size=len(CONTENT)),
    content=CONTENT,
    form="file",
)


def test_a_snapshot_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds all that an object has stored: 0600, whatever the umask; nothing else is left beside it."""
    old = os.umask(0)
    try:
        made = write_snapshot(tmp_path / "kitchen.ndsnap", ROOMS, TAKEN)
    finally:
        os.umask(old)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["kitchen.ndsnap"]
    assert read_snapshot(made.path) == (made, CONTENT)


@pytest.mark.parametrize("there", ["file", "link", "dangling", "directory"])
def test_what_is_there_stays_as_it_is(tmp_path: Path, there: str) -> None:
    """A file, a link to one, a link to nothing: none is written over, and no link chooses where the data goes."""
    path, elsewhere = tmp_path / "kitchen.ndsnap", tmp_path / "elsewhere"
    if there == "file":
        path.write_bytes(b"mine")
    elif there == "directory":
        path.mkdir()
    else:
        path.symlink_to(elsewhere)
    if there == "link":
        elsewhere.write_bytes(b"mine")
    with pytest.raises(CommandError, match="is there already and was left as it is; name another file"):
        write_snapshot(path, ROOMS, TAKEN)
    assert elsewhere.exists() == (there == "link")
    assert not path.is_file() or path.read_bytes() == b"mine"
    assert not list(tmp_path.glob(".*"))


def test_half_of_a_snapshot_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves no file: neither the snapshot nor its beginning. Also without hard links."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    def without_links(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(disk.os, "write", full)
        with pytest.raises(CommandError, match="cannot be written: No space left on device"):
            write_snapshot(tmp_path / "kitchen.ndsnap", ROOMS, TAKEN)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(disk.os, "link", without_links)
    made = write_snapshot(tmp_path / "kitchen.ndsnap", ROOMS, TAKEN)
    assert made.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="is there already"):
        write_snapshot(made.path, ROOMS, TAKEN)
    assert [path.name for path in tmp_path.iterdir()] == ["kitchen.ndsnap"]


ROWS = {
    "is": "notebook-do-object-1",
    "schema": [
        {"type": "table", "name": "t", "sql": "CREATE TABLE t (a)"},
        {"type": "trigger", "name": "z", "sql": "CREATE TRIGGER z AFTER INSERT ON t BEGIN DELETE FROM t; END"},
    ],
    "sequence": [],
    "tables": [{"name": "t", "columns": ["a"], "rowid": "rowid", "rows": [["ii", "1", "5"]]}],
    "keys": [["k", 1]],
    "alarm": 4102455845006,
}
AS_ROWS = {"tables": [["t", 1]], "keys": 1, "alarm": "2100-01-01T03:04:05.006000+00:00"}


def _file(path: Path, content: bytes, within: str = "object.sqlite", **said: Any) -> Path:
    """Write a snapshot as somebody would who edits one: the digest fits."""
    made = write_snapshot(path.with_suffix(".made"), ROOMS, TAKEN)
    with zipfile.ZipFile(made.path) as archive:
        about = json.loads(archive.read("snapshot.json"))
    made.path.unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        about = {**about, "digest": hashlib.sha256(content).hexdigest(), **said}
        archive.writestr("snapshot.json", json.dumps(about))
        archive.writestr(within, content)
    return path


def _refused(path: Any, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        read_snapshot(path)


def test_what_is_shown_of_a_snapshot_is_counted_in_its_content(tmp_path: Path) -> None:
    """What snapshot.json claims of tables, rows, keys, alarm and the content does not have: refused, in both forms."""
    text = json.dumps(ROWS).encode()
    found, _ = read_snapshot(_file(tmp_path / "rows.ndsnap", text, "object.json", **AS_ROWS))
    assert [(one.kind, one.name) for one in found.contents.beside] == [("trigger", "z")]
    assert (found.contents.tables, found.contents.keys) == ((("t", 1),), 1)
    claims: list[tuple[dict[str, Any], str]] = [
        ({"tables": [["orders", 1_000_000]]}, "does not have the tables or the rows that it says"),
        ({"tables": [["t", 2]]}, "does not have the tables or the rows that it says"),
        ({"tables": [["t", 1], ["t", 1]]}, "does not have the tables or the rows that it says"),
        ({"tables": []}, "has tables that it does not tell of"),
        ({"keys": 99}, "says that it has 99 keys, and has"),
    ]
    for number, (claim, why) in enumerate(claims):
        _refused(_file(tmp_path / f"r{number}.ndsnap", text, "object.json", **{**AS_ROWS, **claim}), why)
        _refused(_file(tmp_path / f"f{number}.ndsnap", CONTENT, **claim), why)
    silent = _file(tmp_path / "silent.ndsnap", text, "object.json", **{**AS_ROWS, "alarm": None})
    _refused(silent, "does not have the alarm that it says it has")


def test_of_a_file_the_content_tells_size_alarm_and_what_is_beside(tmp_path: Path) -> None:
    """The alarm that would be set is shown, whatever the file says; its views too; an alarm that is none is refused."""
    metadata = "CREATE TABLE _cf_METADATA (key INTEGER PRIMARY KEY, value BLOB)"
    statements = ("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)", "CREATE VIEW v AS SELECT a FROM t", metadata)
    content = _sqlite(*statements, "INSERT INTO _cf_METADATA VALUES (1, 4102455845006000000)")
    found, _ = read_snapshot(_file(tmp_path / "alarm.ndsnap", content, size=5))
    assert str(found.contents.alarm) == "2100-01-01 03:04:05.006000+00:00"
    assert (found.contents.size, found.contents.beside[0].name) == (len(content), "v")
    for number, value in enumerate(("'soon'", "-1", "0", "1.5", "x'00'")):
        odd = _sqlite(*statements, f"INSERT INTO _cf_METADATA VALUES (1, {value})")
        _refused(_file(tmp_path / f"{number}.ndsnap", odd), "its alarm is no time that an alarm can have")
    for number, none in enumerate((b"", b"x" * 8192, CONTENT[:100] + b"\xff" * 300 + CONTENT[400:])):
        _refused(_file(tmp_path / f"n{number}.ndsnap", none), "its content is no SQLite file")


def test_values_may_be_nested_as_deep_as_javascript_takes_them(tmp_path: Path) -> None:
    """A snapshot of such an object is counted like another: it is the object that reads the values."""
    deep = json.dumps({**ROWS, "keys": [["k", 1], [']\\"', "DEEP"]]}).replace('"DEEP"', "[" * 50_000 + "]" * 50_000)
    found, _ = read_snapshot(_file(tmp_path / "deep.ndsnap", deep.encode(), "object.json", **{**AS_ROWS, "keys": 2}))
    assert (found.contents.keys, found.contents.tables) == (2, (("t", 1),))


@pytest.mark.parametrize(
    "said",
    [
        {"keys": float("inf")},
        {"keys": -1},
        {"keys": True},
        {"size": "5"},
        {"tables": [[1, 1]]},
        {"tables": 5},
        {"name": {"a": 1}},
        {"bookmark": [1]},
        {"taken": "0001-01-01T00:00:00+23:59"},
        {"taken": "2026-01-01T00:00:00"},
        {"alarm": "soon"},
        {"stable_id": None},
    ],
    ids=str,
)
def test_what_a_snapshot_says_has_its_kind(tmp_path: Path, said: dict[str, Any]) -> None:
    """A number that is none, a name that is no text, a time outside of the calendar: one line, and the file in it."""
    path = _file(tmp_path / "odd.ndsnap", CONTENT, **said)
    with pytest.raises(CommandError, match=r"odd\.ndsnap is no snapshot of an object that can be read"):
        read_snapshot(path)


def test_a_file_that_cannot_be_unpacked_is_one_line(tmp_path: Path) -> None:
    """Damaged, encrypted, packed by an unknown method, cut, nested too deep, a list, nothing, no path at all."""
    good = _file(tmp_path / "good.ndsnap", CONTENT).read_bytes()
    at = good.index(b"snapshot.json") + len("snapshot.json")
    directory = good.index(b"PK\x01\x02")

    def altered(name: str, **places: int) -> Path:
        changed = bytearray(good)
        for place, value in places.items():
            changed[int(place[1:])] = value
        (tmp_path / name).write_bytes(changed)
        return tmp_path / name

    _refused(altered("flate.ndsnap", **{f"_{at}": 0xFF, f"_{at + 1}": 0xFF}), "can be read: ")
    _refused(altered("locked.ndsnap", **{"_6": 1, f"_{directory + 8}": 1}), "is encrypted")
    _refused(altered("method.ndsnap", **{"_8": 99, f"_{directory + 10}": 99}), "compression method")
    for length in (0, 10, at, len(good) // 2, len(good) - 1):
        (tmp_path / "cut.ndsnap").write_bytes(good[:length])
        _refused(tmp_path / "cut.ndsnap", "can be read: ")
    for about in ("[" * 100_000, "[]", "5", "null", "{}", "{", '"', "9" * 5000):
        with zipfile.ZipFile(tmp_path / "about.ndsnap", "w") as archive:
            archive.writestr("snapshot.json", about)
            archive.writestr("object.sqlite", CONTENT)
        _refused(tmp_path / "about.ndsnap", "can be read: ")
    for path in (123, None, b"x", ["x"]):
        _refused(path, "takes the path of a snapshot, or a snapshot, not a")
    for odd in (tmp_path, "a\0b"):
        with pytest.raises(CommandError, match="can be read: "):
            read_snapshot(odd)


@pytest.mark.parametrize("name", ["snapshot.json", "object.sqlite", "object.json"])
def test_a_small_file_that_unpacks_to_a_large_one_is_not_unpacked(tmp_path: Path, name: str) -> None:
    """Its size is looked at first: what is larger than an object can be takes neither memory nor time."""
    with zipfile.ZipFile(tmp_path / "bomb.ndsnap", "w", zipfile.ZIP_DEFLATED) as archive:
        for one in dict.fromkeys(("snapshot.json", "object.sqlite", name)):
            archive.writestr(one, bytes(80 << 20) if one == name else b"{}")
    tracemalloc.start()
    _refused(tmp_path / "bomb.ndsnap", f"its {name} is larger than ")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
