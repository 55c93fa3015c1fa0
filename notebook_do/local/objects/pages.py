"""One object whole, read from its file: its tables with their columns and newest rows, its keys with their values."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.local.objects.stored import bounded, reading, values
from notebook_do.local.objects.tags import cell

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.local.objects.stored import Bounds

ROWS = 10
"""How many rows of each table a page has."""
KEYS = 1000
"""How many keys a page has."""
_ROWIDS = ("rowid", "_rowid_", "oid")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTable:
    """One table of an object. `key` is what its rows are told apart by: a word for the rowid, or its primary key."""

    name: str
    columns: tuple[tuple[str, str, bool], ...]
    """Of each its name, its declared type, and whether it is part of the primary key."""
    key: tuple[str, ...]
    by_rowid: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of its columns."""
        return tuple(name for name, _, _ in self.columns)


def tables_of(database: sqlite3.Connection) -> list[StoredTable]:
    """Return the tables that a Worker made, in the order in which it did; what a virtual table keeps its own in is none."""  # noqa: E501
    made = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    kinds = {name: (kind, bool(without)) for _, name, kind, _, without, _ in database.execute("PRAGMA table_list")}
    found = []
    for (name,) in made:
        kind, without_rowid = kinds.get(name, ("table", False))
        if kind == "shadow" or name.startswith(("_cf_", "sqlite_")):
            continue
        rows = database.execute(f"PRAGMA table_xinfo({quoted(name)})").fetchall()
        # Hidden are 1, what a virtual table takes as an argument; 2 and 3 are generated columns, which a SELECT has.
        columns = tuple((column, kind, bool(pk)) for _, column, kind, _, _, pk, hidden in rows if hidden != 1)
        primary = tuple(one[1] for one in sorted(rows, key=lambda row: row[5]) if one[5])
        word = next((w for w in _ROWIDS if w not in {column.lower() for column, _, _ in columns}), None)
        by_rowid = word is not None and not without_rowid
        key = (word,) if by_rowid and word else primary or tuple(column for column, _, _ in columns)
        found.append(StoredTable(name=name, columns=columns, key=key, by_rowid=by_rowid))
    return found


def quoted(name: str) -> str:
    """Write a name as SQLite reads it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def page(path: Path, bounds: Bounds) -> dict[str, Any]:
    """Return what one object holds: its tables, the newest rows of each, its keys and values. Raises ReadError."""
    with reading(path) as database, bounded(database, bounds):
        tables = [] if database is None else [_table(database, one, bounds) for one in tables_of(database)]
    keys, more = list[dict[str, Any]](), False
    for key, value, held in values(path):
        more = len(keys) == KEYS
        if more:
            break
        keys.append({"key": key, "value": value, "size": len(held)})
        bounds.take(keys[-1], "read its values by a prefix")
    return {"tables": tables, "keys": keys, "more_keys": more}


def _table(database: sqlite3.Connection, table: StoredTable, bounds: Bounds) -> dict[str, Any]:
    shown = {"name": table.name, "columns": [list(one) for one in table.columns], "newest": table.by_rowid}
    name, key = quoted(table.name), ", ".join(map(quoted, table.key))
    order = f"ORDER BY {key} DESC" if table.by_rowid else ""
    columns = ", ".join(map(quoted, table.names))
    try:
        (count,) = database.execute(f"SELECT count(*) FROM {name}").fetchone()  # noqa: S608 - quoted
        rows = database.execute(f"SELECT {columns} FROM {name} {order} LIMIT {ROWS}").fetchall()  # noqa: S608 - quoted
    except sqlite3.Error as error:  # a virtual table whose module is not here, say
        return {**shown, "rows": None, "first": [], "why": str(error)}
    first = [[cell(value) for value in row] for row in rows]
    bounds.take(json.dumps(first), "query its tables one by one")
    return {**shown, "rows": count, "first": first}
