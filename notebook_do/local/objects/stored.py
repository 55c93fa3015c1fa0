"""Looks into the files of stored objects while workerd may be writing them: which, what wakes when, what is in them.

The rules kept here: files are opened read-only, an id from outside is never made a path before it is known to be
hexadecimal, one statement reads one file and nothing else, and what is workerd's own stays hidden, as from a Worker.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import re
import shutil
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from notebook_do.local.objects import v8

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_NAMESPACE_ID = re.compile(r"[0-9a-f]{32}")
_OBJECT_FILE = re.compile(r"([0-9a-f]{64})\.sqlite")
_METADATA = "metadata.sqlite"
_ALARM_KEY = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object that has a file. `name` is None when it is not known: names are not stored with objects."""

    id: str
    has_stored_data: bool
    name: str | None = None


def object_id(namespace_id: str, name: str) -> str:
    """Compute the id that `idFromName(name)` gives in a namespace."""
    key = hashlib.sha256(namespace_id.encode()).digest()
    base = hmac.digest(key, name.encode("utf-8", "surrogatepass"), "sha256")[:16]
    return (base + hmac.digest(key, base, "sha256")[:16]).hex()


def folder_of(storage: Path, namespace_id: str) -> Path:
    """Say where the objects of a namespace are; raises ValueError for what is no namespace id."""
    if not _NAMESPACE_ID.fullmatch(namespace_id):
        raise ValueError(f"{namespace_id!r} is no namespace id")
    return storage / namespace_id


def stored_objects(storage: Path, namespace_id: str, *, after: str = "", most: int | None = None) -> list[StoredObject]:
    """List the objects of a namespace by id, behind `after`; with its name where an alarm is set, which alone keeps it.

    Only the files of those that are given are opened.
    """
    folder = folder_of(storage, namespace_id)
    files = {match[1]: path for path in folder.glob("*.sqlite") if (match := _OBJECT_FILE.fullmatch(path.name))}
    known = {alarm.object_id: alarm.name for alarm in alarms(storage, namespace_id) if alarm.name is not None}
    return [
        StoredObject(id=found, has_stored_data=_has_data(files[found]), name=known.get(found))
        for found in sorted(found for found in files if found > after)[:most]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm that is set: `at` is Unix time in seconds."""

    object_id: str
    at: float
    name: str | None


def alarms(storage: Path, namespace_id: str) -> list[Alarm]:
    """List the alarms that are set in a namespace, soonest first."""
    with reading(folder_of(storage, namespace_id) / _METADATA) as database:
        if database is None or not _tables(database) >= {"_cf_ALARM"}:
            return []
        columns = {row[1] for row in database.execute("PRAGMA table_info(_cf_ALARM)")}
        name = "actor_name" if "actor_name" in columns else "NULL"  # older workerd keeps no names
        rows = database.execute(f"SELECT actor_id, scheduled_time, {name} FROM _cf_ALARM ORDER BY 2").fetchall()  # noqa: S608 - one of two words
    return [Alarm(object_id=found, at=at / 1e9, name=name) for found, at, name in rows]


def next_alarm(storage: Path, namespaces: Iterable[str]) -> float | None:
    """Say when the soonest alarm of several namespaces is due, as Unix time."""
    return min((alarm.at for one in namespaces for alarm in alarms(storage, one)[:1]), default=None)


def remove_namespace(storage: Path, namespace_id: str) -> None:
    """Delete all objects of a namespace; out of sight at once, even when the deletion is cut short."""
    folder = folder_of(storage, namespace_id)
    if folder.exists():
        doomed = folder.rename(storage / f"deleted-{uuid4().hex}")
        shutil.rmtree(doomed, ignore_errors=True)


def sweep(storage: Path) -> None:
    """Finish deletions that were cut short."""
    for doomed in storage.glob("deleted-*"):
        shutil.rmtree(doomed, ignore_errors=True)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a file read-only; None when there is none."""
    if not path.is_file():
        yield None
        return
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
        yield database


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _has_data(path: Path) -> bool:
    """Look inside: an object that was only touched, or emptied, leaves a file too."""
    with reading(path) as database:
        if database is None:
            return False
        tables = _tables(database)
        if any(not name.startswith(("_cf_", "sqlite_")) for name in tables):
            return True
        if "_cf_KV" in tables and database.execute("SELECT 1 FROM _cf_KV LIMIT 1").fetchone():
            return True
        alarm = "SELECT 1 FROM _cf_METADATA WHERE key = ? AND value IS NOT NULL"
        return "_cf_METADATA" in tables and database.execute(alarm, (_ALARM_KEY,)).fetchone() is not None


MOST_ROWS = 100_000
SECONDS = 20.0
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_PRAGMAS = frozenset(("table_info", "table_list", "table_xinfo", "index_list", "index_info"))


class ReadError(ValueError):
    """A statement that cannot be run on an object; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What one statement gave: the names of its columns, and its rows as JSON values."""

    columns: tuple[str, ...]
    rows: list[list[Any]]


def select(path: Path, sql: str, params: Sequence[Any], *, until: float, most: int = MOST_ROWS) -> Selected | None:
    """Run one reading statement on one object's file; None for an object that has none. `until` is monotonic time."""
    with reading(path) as database:
        if database is None:
            return None
        database.set_authorizer(_only_reads)
        database.set_progress_handler(lambda: time.monotonic() > until, 10_000)
        try:
            cursor = database.execute(sql, tuple(params))
            rows = [[_plain(value) for value in row] for row in cursor.fetchmany(most + 1)]
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            raise ReadError(_said(error)) from None
        if cursor.description is None:
            raise ReadError("this is no statement that reads; begin with SELECT")
        if len(rows) > most:
            raise ReadError(f"it gives more than {most:,} rows; narrow it with WHERE or LIMIT")
        return Selected(columns=tuple(column[0] for column in cursor.description), rows=rows)


def values(path: Path) -> Iterator[tuple[str, Any]]:
    """Give what `storage.put` stored in one object's file, by key; what cannot be read is `{"undecoded": why}`."""
    with reading(path) as database:
        if database is None or not database.execute("SELECT 1 FROM sqlite_master WHERE name = '_cf_KV'").fetchone():
            return
        for key, stored in database.execute("SELECT key, value FROM _cf_KV ORDER BY key"):
            try:
                yield str(key), v8.decode(stored)
            except v8.DecodeError as error:
                yield str(key), {"undecoded": str(error)}


def _only_reads(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA:
        return sqlite3.SQLITE_OK if first in _PRAGMAS else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_READ and str(first).startswith("_cf_"):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and second == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return {"$base64": base64.b64encode(value).decode()}
        case float():
            return v8.finite(value)
    return value


def _said(error: Exception) -> str:
    match str(error):
        case "not authorized":
            return "this statement does more than read; only SELECT is run on a live object"
        case "interrupted":
            return f"it takes longer than {SECONDS:.0f} s; narrow it with WHERE or LIMIT"
    return str(error)
