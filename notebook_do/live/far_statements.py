"""Reads what an object answers to a statement: cells with their kinds, changed rows, and what was refused. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from notebook_do.declare.line import as_argument
from notebook_do.errors import CommandError
from notebook_do.live.querying import to_change
from notebook_do.live.values import encode as encoded
from notebook_do.model.changes import RowChange, SchemaChange, StatementEffect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_VARIES = re.compile(
    r"\b(random|randomblob|date|time|datetime|julianday|strftime|unixepoch|changes|total_changes|last_insert_rowid)\s*\("
    r"|\b(current_timestamp|current_date|current_time)\b",
    re.IGNORECASE,
)
SCHEMA_OF = (
    "SELECT sql FROM sqlite_master WHERE type IN ('table', 'trigger') AND tbl_name IN (SELECT value FROM json_each(?))"
)
"""Selects how tables and their triggers were made; a parameter has their names as JSON."""
_MARKS = {"i": "CAST(? AS INTEGER)"}
"""How a whole number is bound, which comes as text."""
_AT_ONCE = 20
"""How many rows one statement of a comparison reads: a Worker's may have a hundred parameters."""
_COLUMNS = 50
"""How many columns it reads: two results each, and workerd refuses a statement of more than a hundred."""


def cells_of(read: Mapping[str, Any]) -> list[list[Any]]:
    """Return rows with each cell as SQLite has it; `kinds` has a letter a cell, where the object could tell them.

    A Worker reads whole numbers as doubles and 1.0 as 1, so the object sends those as text.
    """
    if read.get("kinds") is None:
        return [list(row) for row in read["rows"]]
    return [_row(row, kinds) for row, kinds in zip(read["rows"], read["kinds"], strict=True)]


def _row(row: Sequence[Any], kinds: str) -> list[Any]:
    return [_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)]


def _cell(cell: Any, kind: str) -> Any:
    match kind:
        case "i":
            return int(cell)
        case "r":
            return float(cell)
    return cell


def effect_of(tried: Mapping[str, Any], texts: Iterable[str]) -> StatementEffect:
    """Return what a tried statement changes, to be shown; `texts` are it and the schema that it meets."""
    rows = [
        RowChange(
            table=one["table"],
            kind=one["kind"],
            columns=tuple(one["columns"]),
            before=_side(one["before"]),
            after=_side(one["after"]),
        )
        for one in tried["changes"]
    ]
    schema = [
        SchemaChange(kind=one["type"], **{part: one[part] for part in ("name", "before", "after", "rows")})
        for one in tried["schema"]
    ]
    varies = tuple(sorted({(one[1] or one[2]).lower() for text in texts for one in _VARIES.finditer(text)}))
    return StatementEffect(rows=tuple(rows), schema=tuple(schema), varies=varies)


def rests_on(tried: Mapping[str, Any], effect: StatementEffect) -> list[Any]:
    """Return what a statement rests on: what is there, and what would be, unless that is another each time."""
    if not effect.varies:
        return [tried["changes"], tried["schema"]]
    kept = [[one["table"], one["kind"], one["by"] and one["key"], one["before"]] for one in tried["changes"]]
    return [kept, tried["schema"]]


def _side(side: Mapping[str, Any] | None) -> tuple[Any, ...] | None:
    return None if side is None else tuple(_row(side["cells"], side["kinds"]))


def expected_of(changes: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield selects of the rows as they are, to be run again inside of the object right before the statement."""
    of_table: dict[str, list[Mapping[str, Any]]] = {}
    for one in changes:
        if one["before"] is not None and one["by"]:
            of_table.setdefault(one["table"], []).append(one)
        elif one["before"] is not None:
            yield from _of_key(one)
    for name, rows in of_table.items():
        key = _quoted(rows[0]["by"])
        for at in range(0, len(rows), _AT_ONCE):
            given = [str(one["key"]) for one in rows[at : at + _AT_ONCE]]
            marks = ", ".join(["CAST(? AS INTEGER)"] * len(given))
            for select in _selects(name, rows[0]["columns"]):
                yield {"sql": f"{select} WHERE {key} IN ({marks}) ORDER BY {key}", "params": given}


def _of_key(one: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield selects of a row that no rowid tells apart, by its key; all columns are one where there is none."""
    keyed = one["keyed"]
    same = (f"{name} IS {_MARKS.get(kind, '?')}" for name, kind in zip(keyed["names"], keyed["kinds"], strict=True))
    where, params = " AND ".join(same), [encoded(cell) for cell in keyed["cells"]]
    for select in _selects(one["table"], one["columns"]):
        yield {"sql": f"{select} WHERE {where}", "params": params}


def _selects(table: str, columns: Sequence[str]) -> Iterator[str]:
    """Yield the selects that read these columns, each cell with its kind; all of them run in one transaction."""
    for at in range(0, len(columns), _COLUMNS):
        cells = (
            f"typeof({c}), CASE typeof({c}) WHEN 'integer' THEN CAST({c} AS TEXT) ELSE {c} END"
            for c in map(_quoted, columns[at : at + _COLUMNS])
        )
        yield f"SELECT {', '.join(cells)} FROM {_quoted(table)}"  # noqa: S608 - quoted


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def statement_error(verb: str, stable_id: str, sql: str, why: str, name: str) -> CommandError:
    """Return the error of what an object refused, in words for a person."""
    said = why.removeprefix("Error: ").removesuffix(": SQLITE_ERROR")
    if said.startswith("no such table: "):
        return CommandError(f"No table {said.removeprefix('no such table: ')} in the objects of {stable_id} asked.")
    if "does more than read" in said:
        first = sql.split(maxsplit=1)[0].upper() if sql.split() else "this statement"
        hint = to_change(stable_id, as_argument(name), sql, first)
        return CommandError(f"query only reads: {first} was undone. {hint}")
    return CommandError(f"{verb}: {said.rstrip('.')}.")


def contents_refused(why: str, verb: str) -> str:
    """Return why all that an object holds was not told, and what to do instead, in words for a person."""
    said = why.removeprefix("Error: ").rstrip(".")
    if "does not know how to do that" in said:
        return "it runs an earlier edition of what was put into its Worker; deploy again (%durable plan shows it)."
    if "more than" not in said:
        return f"{said}."
    if verb == "snapshot":
        return f"{said}, so it cannot be one snapshot; read it in parts with query and values."
    return f"{said}, so it cannot be compared before it is sent; let a method of its class do it (storage.deleteAll())."
