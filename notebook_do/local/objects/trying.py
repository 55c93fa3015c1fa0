"""What a statement would change in one object, row by row: it is run on a copy of the object's file.

On a copy, and not in the object with everything undone: a sleeping object stays asleep and its constructor does not
run, nothing of the user's code sees the attempt, whole numbers stay exact (a Worker has them as doubles), and another
request cannot be kept waiting by it. The rows that were shown are compared again inside of the object when the
statement is sent. SQLite here may be another version than workerd's: what only one of them knows is refused by it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.local.objects.pages import quoted, tables_of
from notebook_do.local.objects.stored import ReadError, bounded
from notebook_do.local.objects.tags import cell, of_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from notebook_do.local.objects.pages import StoredTable
    from notebook_do.local.objects.stored import Bounds

    _Row = tuple[Any, ...]
    _Rows = Iterator[_Row]
    _Pairs = Iterator[tuple[_Row | None, _Row | None]]

_CHANGES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_DENIED = {
    *(sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT),
    *(sqlite3.SQLITE_CREATE_TEMP_INDEX, sqlite3.SQLITE_CREATE_TEMP_TABLE, sqlite3.SQLITE_CREATE_TEMP_TRIGGER),
    *(sqlite3.SQLITE_CREATE_TEMP_VIEW, sqlite3.SQLITE_PRAGMA),
}
_OTHER_EACH_TIME = frozenset(
    (
        *("random", "randomblob", "date", "time", "datetime", "julianday", "strftime", "unixepoch"),
        *("current_timestamp", "current_date", "current_time"),
        *("changes", "total_changes", "last_insert_rowid"),  # these tell of the connection, which is another one
    )
)
_WORDS = re.compile(r"\w+")
_AT_ONCE = 20
"""How many rows one statement of the comparison reads: a Worker's may have a hundred parameters."""
_COLUMNS = 50
"""How many columns it reads: two results each, and workerd refuses a statement of more than a hundred."""
_SCHEMA = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\' AND sql IS NOT NULL"


@dataclass(slots=True)
class _Watch:
    """What SQLite said that a statement does, before it ran."""

    changes: bool = False
    denied: str = ""
    tables: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    def allow(self, action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
        if action in _DENIED:
            self.denied = "PRAGMA, ATTACH, transaction or temporary table of a statement's own"
            return sqlite3.SQLITE_DENY
        if str(first).lower().startswith("_cf_"):
            self.denied = "statement on tables that begin with _cf_, which are the runtime's own"
            return sqlite3.SQLITE_DENY
        self.changes |= action not in _READS
        if action in _CHANGES and first:
            self.tables.add(first)
        if action == sqlite3.SQLITE_FUNCTION and second:
            if second.lower() == "load_extension":
                return sqlite3.SQLITE_DENY
            self.functions.add(second.lower())
        return sqlite3.SQLITE_OK


def attempt(copy: Path, sql: str, params: Sequence[Any], bounds: Bounds) -> dict[str, Any]:
    """Run one statement on a copy of an object and tell what it changes; the copy is as before afterwards.

    `changes` are the rows with what they were and are, `schema` what was made or dropped, `expect` the selects with
    which the object compares the rows again. `rests_on` is a digest of what is there and of what would be, which may be
    read from other rows than those; of what would be only where nothing `varies`. Raises ReadError.
    """
    with (
        contextlib.closing(_opened(copy)) as before,
        contextlib.closing(_opened(copy)) as after,
        bounded(before, bounds),
        bounded(after, bounds),
    ):
        after.execute("PRAGMA journal_mode = WAL")  # so that `before` reads on when `after` has written
        after.execute("PRAGMA foreign_keys = ON")  # as in workerd
        after.execute("BEGIN")
        return _attempt(before, after, sql, params, bounds)


def _opened(copy: Path) -> sqlite3.Connection:
    database = sqlite3.connect(copy, isolation_level=None)
    database.text_factory = lambda held: held.decode("utf-8", "surrogateescape")
    return database


def _attempt(
    before: sqlite3.Connection, after: sqlite3.Connection, sql: str, params: Sequence[Any], bounds: Bounds
) -> dict[str, Any]:
    watch = _Watch()
    after.set_authorizer(watch.allow)
    try:
        cursor = after.execute(sql, tuple(params))
    except sqlite3.DatabaseError:
        if watch.denied:
            raise ReadError(f"an object runs no {watch.denied}") from None
        raise
    columns = [column[0] for column in cursor.description or ()]
    rows = [[cell(value) for value in row] for row in cursor]
    after.set_authorizer(None)
    (count,) = after.execute("SELECT changes()").fetchone()
    if not watch.changes:
        raise ReadError("this statement changes nothing; read with query")
    schema = _schema_changes(before, after)
    touched = _with_children(after, {name.lower() for name in watch.tables})
    changes = [
        change
        for old, new in _tables(before, after)
        if new.name.lower() in touched
        for change in _changes(old, new, before, after, bounds)
    ]
    varies = sorted((watch.functions | _of_defaults(after, touched)) & _OTHER_EACH_TIME)
    kept = [
        [one["table"], one["kind"], one["before"] and one["key"], one["before"], *([] if varies else [one["after"]])]
        for one in changes
    ]
    grown = list(_grown(before, changes))
    last = [[one["sql"], one["rows"]] for one in grown]
    return {
        "columns": columns,
        "rows": rows,
        "count": count,
        "changes": changes,
        "schema": schema,
        "varies": varies,
        "rests_on": hashlib.sha256(json.dumps([kept, last, schema]).encode()).hexdigest(),
        "expect": [*_expected(before, changes), *grown],
    }


def _of_defaults(database: sqlite3.Connection, tables: set[str]) -> set[str]:
    """Return the words of the defaults of these tables: of a function in one SQLite says nothing."""
    rows = (
        row
        for one in tables_of(database)
        if one.name.lower() in tables
        for row in database.execute(f"PRAGMA table_xinfo({quoted(one.name)})")
    )
    return {word.lower() for row in rows for word in _WORDS.findall(str(row[4] or ""))}


def _schema_changes(before: sqlite3.Connection, after: sqlite3.Connection) -> list[dict[str, Any]]:
    was, now = ({(kind, name): sql for kind, name, sql in one.execute(_SCHEMA)} for one in (before, after))
    found = []
    for kind, name in dict.fromkeys([*was, *now]):
        old, new = was.get((kind, name)), now.get((kind, name))
        if old != new:
            count = f"SELECT count(*) FROM {quoted(name)}"  # noqa: S608 - quoted
            lost = before.execute(count).fetchone()[0] if kind == "table" and new is None else None
            found.append({"type": kind, "name": name, "before": old, "after": new, "rows": lost})
    return found


def _with_children(database: sqlite3.Connection, names: set[str]) -> set[str]:
    """Add the tables that refer to these: a row that is deleted may take theirs along, of which SQLite says nothing."""
    refers = {
        one.name.lower(): {str(row[2]).lower() for row in database.execute(_refers(one.name))}
        for one in tables_of(database)
    }
    while more := {name for name, parents in refers.items() if parents & names} - names:
        names |= more
    return names


def _refers(name: str) -> str:
    return f"PRAGMA foreign_key_list({quoted(name)})"


def _tables(before: sqlite3.Connection, after: sqlite3.Connection) -> Iterator[tuple[StoredTable | None, StoredTable]]:
    """Yield the tables that are there afterwards, with what they were; not those whose columns are others now."""
    was = {one.name: one for one in tables_of(before)}
    for now in tables_of(after):
        old = was.get(now.name)
        if old is None or old == now:  # a new one has rows too (CREATE TABLE ... AS)
            yield old, now


def _changes(
    old: StoredTable | None,
    new: StoredTable,
    before: sqlite3.Connection,
    after: sqlite3.Connection,
    bounds: Bounds,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one table that differ, exactly: 1 and 1.0 do."""
    was = iter(()) if old is None else _selected(before, old)
    keys = len(new.key)
    for one, other in (_merged if new.by_rowid else _matched)(was, _selected(after, new), keys):
        if one is None or other is None or not _same(one, other):
            key = (one or other or ())[:keys]
            change = _change(new, key, one and one[keys:], other and other[keys:])
            bounds.take(change, "change fewer at once")
            yield change


def _selected(database: sqlite3.Connection, table: StoredTable) -> _Rows:
    """Read the rows of a table, each behind its key; in the order of the rowids where there are such."""
    columns = ", ".join(map(quoted, (*table.key, *table.names)))
    order = f" ORDER BY {quoted(table.key[0])}" if table.by_rowid else ""
    yield from database.execute(f"SELECT {columns} FROM {quoted(table.name)}{order}")  # noqa: S608 - quoted


def _merged(was: _Rows, now: _Rows, _keys: int) -> _Pairs:
    """Bring together rows that come in one order; nothing of a large table is kept."""
    old, new = next(was, None), next(now, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old[0] < new[0]):
            yield old, None
            old = next(was, None)
        elif old is None or new[0] < old[0]:
            yield None, new
            new = next(now, None)
        else:
            yield old, new
            old, new = next(was, None), next(now, None)


def _matched(was: _Rows, now: _Rows, keys: int) -> _Pairs:
    left = {_kinds(row[:keys]): row for row in was}
    for row in now:
        yield left.pop(_kinds(row[:keys]), None), row
    for row in left.values():
        yield row, None


def _kinds(row: _Row) -> _Row:
    return tuple((type(value), value) for value in row)


def _same(one: _Row, other: _Row) -> bool:
    return one == other and all(type(a) is type(b) for a, b in zip(one, other, strict=True))


def _change(table: StoredTable, key: _Row, before: _Row | None, after: _Row | None) -> dict[str, Any]:
    return {
        "table": table.name,
        "kind": "insert" if before is None else "delete" if after is None else "update",
        "columns": table.names,
        "by": table.key[0] if table.by_rowid else None,
        "key": [cell(value) for value in key],
        "keyed": list(table.key),
        "before": None if before is None else [cell(value) for value in before],
        "after": None if after is None else [cell(value) for value in after],
    }


def _expected(database: sqlite3.Connection, changes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield selects of the rows as they are, to be run again inside of the object, where whole numbers must be text."""
    of_table: dict[str, list[dict[str, Any]]] = {}
    for one in changes:
        if one["before"] is not None and one["by"]:
            of_table.setdefault(one["table"], []).append(one)
        elif one["before"] is not None:
            yield from _of_key(database, one)
    for name, rows in of_table.items():
        key = quoted(rows[0]["by"])
        for at in range(0, len(rows), _AT_ONCE):
            given = [str(one["key"][0]) for one in rows[at : at + _AT_ONCE]]
            marks = ", ".join(["CAST(? AS INTEGER)"] * len(given))
            for select in _selects(name, rows[0]["columns"]):
                yield _held(database, f"{select} WHERE {key} IN ({marks}) ORDER BY {key}", given)


def _selects(table: str, columns: Sequence[str]) -> Iterator[str]:
    """Yield the selects that read these columns, each cell with its kind; the object runs all in one transaction."""
    for at in range(0, len(columns), _COLUMNS):
        cells = (
            f"typeof({c}), CASE typeof({c}) WHEN 'integer' THEN CAST({c} AS TEXT) ELSE {c} END"
            for c in map(quoted, columns[at : at + _COLUMNS])
        )
        yield f"SELECT {', '.join(cells)} FROM {quoted(table)}"  # noqa: S608 - quoted


def _of_key(database: sqlite3.Connection, one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield selects of a row that no rowid tells apart, by its key; all columns are one where there is none."""
    given = [str(value) if type(value) is int else value for value in one["key"]]
    marks = ("CAST(? AS INTEGER)" if type(value) is int else "?" for value in one["key"])
    same = " AND ".join(f"{quoted(name)} IS {mark}" for name, mark in zip(one["keyed"], marks, strict=True))
    for select in _selects(one["table"], one["columns"]):
        yield _held(database, f"{select} WHERE {same}", given)


def _held(database: sqlite3.Connection, sql: str, given: list[Any]) -> dict[str, Any]:
    rows = database.execute(sql, [of_cell(value) for value in given])
    return {"sql": sql, "params": given, "rows": [[cell(value) for value in row] for row in rows]}


def _grown(database: sqlite3.Connection, changes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield for each table that gets rows a select of its last one: what was inserted once is not inserted again."""
    for name, key in dict.fromkeys((one["table"], one["by"]) for one in changes if one["kind"] == "insert"):
        if key and any(one.name == name for one in tables_of(database)):
            sql = f"SELECT CAST(max({quoted(key)}) AS TEXT) FROM {quoted(name)}"  # noqa: S608 - quoted
            yield {"sql": sql, "params": [], "rows": [list(row) for row in database.execute(sql)]}
