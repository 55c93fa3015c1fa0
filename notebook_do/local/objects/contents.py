"""Looks into what objects have stored, while workerd may be writing it: their tables by SQL, their values by key.

The rules kept here: a file is opened read-only, one statement reads this one file and nothing else, and what is
workerd's own stays hidden, as it is from a Worker.
"""

from __future__ import annotations

import base64
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.local.objects import v8
from notebook_do.local.objects.objects import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

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
