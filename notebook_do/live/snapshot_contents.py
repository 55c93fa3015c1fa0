"""Counts what the content of a snapshot has: what is shown before it is put back is that, not what the file claims."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from notebook_do.model.changes import MadeBeside, ObjectContents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.live.stored import Form

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 9_223_372_036_854
"""The last alarm, in milliseconds: workerd counts nanoseconds in 64 bits."""
_SQLITE = b"SQLite format 3\0"
_OWN = ("_cf_", "sqlite_")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_DEPTH = 8
"""How deep the parts stand that are counted; what is deeper is the user's values."""


def checked_contents(content: bytes, form: Form, said: ObjectContents) -> ObjectContents:
    """Return what the content has. Raises ValueError where the file says something else of it, or it is none."""
    found = _of_rows(content) if form == "rows" else _of_file(content)
    if form == "rows":
        found = replace(found, size=said.size)  # that of the object's database, which the content does not tell
        if found.alarm != said.alarm:
            raise ValueError("it does not have the alarm that it says it has")
    if found.keys != said.keys:
        raise ValueError(f"it says that it has {said.keys:,} keys, and has {found.keys:,}")
    new = dict(found.tables)
    if [name for name, _ in said.tables] != list(dict.fromkeys(name for name, _ in said.tables)) or not all(
        name in new and (rows is None or new[name] in {None, rows}) for name, rows in said.tables
    ):
        raise ValueError("it does not have the tables or the rows that it says it has")
    if len(new) != len(said.tables):
        raise ValueError("it has tables that it does not tell of")
    return replace(found, tables=tuple((name, new[name]) for name, _ in said.tables))


# --- as an object wrote it down


def _of_rows(content: bytes) -> ObjectContents:
    held = _parsed(content.decode())
    alarm = held["alarm"]
    if alarm is not None and (type(alarm) is not int or not 0 < alarm <= _LATEST):
        raise ValueError("its alarm is no time that an alarm can have")
    beside = tuple(
        MadeBeside(kind=str(one["type"]), name=str(one["name"]), sql=str(one["sql"]))
        for one in held["schema"]
        if one["type"] != "table"
    )
    made = {str(one["name"]) for one in held["schema"] if one["type"] == "table"}
    rows = [(str(one["name"]), len(one["rows"])) for one in held["tables"]]
    virtual = [(name, None) for name in sorted(made - {name for name, _ in rows})]
    return ObjectContents(
        tables=(*rows, *virtual),
        keys=len(held["keys"]),
        alarm=None if alarm is None else _EPOCH + timedelta(milliseconds=alarm),
        beside=beside,
    )


def _parsed(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except RecursionError:  # a value may be nested as deep as JavaScript takes it
        found = json.loads("".join(_shallow(text)))
    return found


def _shallow(text: str) -> Iterator[str]:
    """Yield the JSON without what stands in lists and objects that are nested deep."""
    depth = start = 0
    for token in _TOKEN.finditer(text):
        if token[0] in {"[", "{"}:
            depth += 1
            if depth == _DEPTH:
                yield text[start : token.end()]
        elif token[0] in {"]", "}"}:
            if depth == _DEPTH:
                start = token.start()
            depth -= 1
    yield text[start:]


# --- the file of a local Cloudflare


def _of_file(content: bytes) -> ObjectContents:
    if not content.startswith(_SQLITE):
        raise ValueError("its content is no SQLite file")
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        try:
            # What a file says of its journal (bytes 18 and 19) cannot be had in memory, and is not needed to read it.
            database.deserialize(content[:18] + b"\1\1" + content[20:])
            return replace(_counted(database), size=len(content))
        except sqlite3.Error as error:
            raise ValueError(f"its content is no SQLite file: {error}") from None


def _counted(database: sqlite3.Connection) -> ObjectContents:
    database.execute("PRAGMA trusted_schema = OFF")
    kinds = {name: kind for _, name, kind, *_ in database.execute("PRAGMA table_list")}
    made = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    tables = [
        name for kind, name, _ in made if kind == "table" and kinds.get(name) != "shadow" and not name.startswith(_OWN)
    ]
    beside = (
        MadeBeside(kind=kind, name=name, sql=sql)
        for kind, name, sql in made
        if kind != "table" and sql is not None and not name.startswith(_OWN)
    )
    names = {name for _, name, _ in made}
    return ObjectContents(
        tables=tuple((name, _rows(database, name)) for name in tables),
        keys=_rows(database, "_cf_KV") or 0 if "_cf_KV" in names else 0,
        alarm=_alarm(database) if "_cf_METADATA" in names else None,
        beside=tuple(beside),
    )


def _rows(database: sqlite3.Connection, table: str) -> int | None:
    quoted = table.replace('"', '""')
    with contextlib.suppress(sqlite3.OperationalError):  # a virtual table whose module is not here
        return int(database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608 - quoted
    return None


def _alarm(database: sqlite3.Connection) -> datetime | None:
    row = database.execute("SELECT value FROM _cf_METADATA WHERE key = 1 AND value IS NOT NULL").fetchone()
    if row is None:
        return None
    if type(row[0]) is not int or not 0 < row[0] <= _LATEST * 1_000_000:
        raise ValueError("its alarm is no time that an alarm can have")
    return _EPOCH + timedelta(microseconds=row[0] // 1000)
