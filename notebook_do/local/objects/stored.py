"""The files of stored objects, read while workerd may be writing them: which there are, their alarms, contents, names.

Files are opened read-only, which loses nothing to workerd and never sees half a transaction (2,775 openings beside 500
writes). An id from outside is never made a path before it is known to be hexadecimal. One statement reads one file and
nothing else, and what is workerd's own stays hidden, as it is from a Worker.

Names are not stored with objects: `names` finds them.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import shutil
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from notebook_do.local.objects import v8
from notebook_do.local.objects.tags import cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from notebook_do.local.objects.written import Written

_NAMESPACE_ID = re.compile(r"[0-9a-f]{32}")
_OBJECT_FILE = re.compile(r"([0-9a-f]{64})\.sqlite")
_METADATA = "metadata.sqlite"
_ALARM_KEY = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object that has a file. `name` is None when it is not known: names are not stored with objects.

    `size` is that of its database in bytes, `last_write` and `alarm` are Unix time in seconds.
    """

    id: str
    has_stored_data: bool
    name: str | None = None
    size: int = 0
    last_write: float = 0.0
    alarm: float | None = None


def object_id(namespace_id: str, name: str) -> str:
    """Return the id that `idFromName(name)` gives in a namespace, computed as workerd does from its `uniqueKey`."""
    key = hashlib.sha256(namespace_id.encode()).digest()
    base = hmac.digest(key, name.encode("utf-8", "surrogatepass"), "sha256")[:16]
    return (base + hmac.digest(key, base, "sha256")[:16]).hex()


def folder_of(storage: Path, namespace_id: str) -> Path:
    """Return where the objects of a namespace are; raises ValueError for what is no namespace id."""
    if not _NAMESPACE_ID.fullmatch(namespace_id):
        raise ValueError(f"{namespace_id!r} is no namespace id")
    return storage / namespace_id


def stored_objects(  # noqa: PLR0913 - where, and which part of it
    storage: Path, namespace_id: str, written: Written, *, after: str = "", most: int | None = None, only: str = ""
) -> list[StoredObject]:
    """List the objects of a namespace by id, behind `after`, with the names that workerd keeps: those of set alarms.

    Only the files of those that are listed are opened; `only` is the id of the one that is wanted.
    """
    folder = folder_of(storage, namespace_id)
    written.look([folder])
    names = (f"{only}.sqlite",) if only else (path.name for path in folder.glob("*.sqlite"))
    files = {match[1]: folder / name for name in names if (match := _OBJECT_FILE.fullmatch(name))}
    set_ = {alarm.object_id: alarm for alarm in alarms(storage, namespace_id)}
    chosen = sorted(found for found in files if found > after)[:most]
    return [one for id_ in chosen if (one := _looked(files[id_], set_.get(id_), written)) is not None]


def _looked(path: Path, alarm: Alarm | None, written: Written) -> StoredObject | None:
    """Look at one object; None where its file is gone."""
    with contextlib.suppress(FileNotFoundError), reading(path) as database:
        if database is None:
            return None
        # As `databaseSize` of a Worker has it: what is committed, wherever it is written.
        pages, size = (database.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size"))
        return StoredObject(
            id=path.stem,
            has_stored_data=_has_data(database),
            name=None if alarm is None else alarm.name,
            size=pages * size,
            last_write=written.last(path),
            alarm=None if alarm is None else alarm.at,
        )
    return None


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
    """Return when the soonest alarm of several namespaces is due, as Unix time; None where none is set."""
    return min((alarm.at for one in namespaces for alarm in alarms(storage, one)[:1]), default=None)


def remove_namespace(storage: Path, namespace_id: str) -> None:
    """Delete all objects of a namespace; out of sight at once, even when the deletion is cut short."""
    folder = folder_of(storage, namespace_id)
    if folder.exists():
        gone = folder.rename(storage / f"deleted-{uuid4().hex}")
        shutil.rmtree(gone, ignore_errors=True)


def sweep(storage: Path) -> None:
    """Finish deletions that were cut short."""
    for gone in storage.glob("deleted-*"):
        shutil.rmtree(gone, ignore_errors=True)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a file read-only; None when there is none."""
    if (database := _opened(path)) is None:
        yield None
        return
    with contextlib.closing(database):
        yield database


_PASSING = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
"""What a first read may meet while another process opens or closes the file, whose `-wal` comes and goes with that."""
_TRIES, _PAUSE = 100, 0.01


def _opened(path: Path) -> sqlite3.Connection | None:
    for left in reversed(range(_TRIES)):
        if not path.is_file():
            return None
        database = None
        try:
            # Not `immutable`, which would not see what is in the `-wal`: most of what workerd wrote lately.
            database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
            database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        except sqlite3.OperationalError as error:  # `connect` fails too, where the file was removed a moment ago
            if database is not None:
                database.close()
            if not left or error.sqlite_errorcode & 0xFF not in _PASSING:
                raise
            time.sleep(_PAUSE)
        else:
            return database
    return None


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _has_data(database: sqlite3.Connection) -> bool:
    """Look inside: an object that was only touched, or emptied by `deleteAll()`, leaves a file of 4,096 bytes too."""
    tables = _tables(database)
    if any(not name.startswith(("_cf_", "sqlite_")) for name in tables):
        return True
    if "_cf_KV" in tables and database.execute("SELECT 1 FROM _cf_KV LIMIT 1").fetchone():
        return True
    alarm = "SELECT 1 FROM _cf_METADATA WHERE key = ? AND value IS NOT NULL"
    return "_cf_METADATA" in tables and database.execute(alarm, (_ALARM_KEY,)).fetchone() is not None


MOST_ROWS = 100_000
MOST_BYTES = 16 << 20
SECONDS = 20.0
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_PRAGMAS = frozenset(("table_info", "table_list", "table_xinfo", "index_list", "index_info"))


class ReadError(ValueError):
    """A statement cannot be run on an object; the message says why, `rule` is the refusal of the API for it."""

    def __init__(self, message: str, rule: str = "bad_query") -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementResult:
    """The result of one statement: the names of its columns, and its rows as JSON values."""

    columns: tuple[str, ...]
    rows: list[list[Any]]


class Bounds:
    """What one answer may still cost: 20 seconds, 100,000 rows and 16 MiB of JSON, of all objects together."""

    def __init__(self) -> None:
        """Begin now."""
        self.until = time.monotonic() + SECONDS
        self._rows, self._bytes = MOST_ROWS, MOST_BYTES

    def take(self, row: Any, hint: str) -> None:
        """Add a row to the answer. Raises ReadError, which ends with the `hint`, where it is one too many."""
        self._rows, self._bytes = self._rows - 1, self._bytes - len(json.dumps(row))
        if self._rows < 0:
            raise ReadError(f"it gives more than {MOST_ROWS:,} rows; {hint}")
        if self._bytes < 0:
            raise ReadError(f"it gives more than {MOST_BYTES >> 20} MiB; {hint}")


@contextlib.contextmanager
def bounded(database: sqlite3.Connection | None, bounds: Bounds) -> Iterator[None]:
    """Let statements take no longer than `bounds` have left; what SQLite refuses is a ReadError."""
    if database is not None:
        # SQLite asks every 10,000 steps: a recursive query has no end of its own.
        database.set_progress_handler(lambda: time.monotonic() > bounds.until, 10_000)
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeEncodeError) as error:
        raise _told(error) from None


def select(path: Path, sql: str, params: Sequence[Any], bounds: Bounds) -> StatementResult | None:
    """Run one reading statement on one object's file; None for an object that has none."""
    with reading(path) as database, bounded(database, bounds):
        if database is None:
            return None
        database.set_authorizer(_only_reads)
        rows = []
        cursor = database.execute(sql, tuple(params))
        for row in cursor:
            rows.append([cell(value) for value in row])
            bounds.take(rows[-1], "narrow it with WHERE or LIMIT")
        if cursor.description is None:  # an empty statement, or a comment
            raise ReadError("this is no statement that reads; begin with SELECT")
        return StatementResult(columns=tuple(column[0] for column in cursor.description), rows=rows)


def values(path: Path, prefix: str = "", key: str | None = None) -> Iterator[tuple[str, Any, bytes]]:
    """Yield what `storage.put` stored in one object's file: each key with the value, tagged, and the bytes of it.

    By key; only those that begin with `prefix`, or only this `key`. What cannot be read is tagged as such.
    """
    with reading(path) as database:
        if database is None or not database.execute("SELECT 1 FROM sqlite_master WHERE name = '_cf_KV'").fetchone():
            return
        # Not LIKE, and no function of text: those end at a NUL, which a key may have.
        asked = "SELECT key, value FROM _cf_KV WHERE key >= ? ORDER BY key", (prefix,)
        if key is not None:
            asked = "SELECT key, value FROM _cf_KV WHERE key = ?", (key,)
        for found, stored in database.execute(*asked):
            if not found.startswith(prefix):
                return
            try:
                yield found, v8.decode(stored), stored
            except v8.DecodeError as error:
                yield found, {"$": "undecoded", "v": str(error)}, stored


def _only_reads(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA:
        return sqlite3.SQLITE_OK if first in _PRAGMAS else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_READ and str(first).startswith("_cf_"):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and second == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY


def _told(error: Exception) -> ReadError:
    """Return SQLite's message, or what it means here."""
    text = str(error)
    match text:
        case "not authorized":
            return ReadError("this statement does more than read; only SELECT is run on a live object", "not_a_read")
        case "interrupted":
            return ReadError(f"it takes longer than {SECONDS:.0f} s; narrow it with WHERE or LIMIT")
        case "You can only execute one statement at a time.":
            return ReadError("it is more than one statement; run one at a time")
    if text.startswith("access to _cf_") and text.endswith("is prohibited"):
        return ReadError("tables that begin with _cf_ are the runtime's own; what is stored by key is read with values")
    return ReadError(text, "no_table" if text.startswith("no such table: ") else "bad_query")
