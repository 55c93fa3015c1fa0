"""How live objects are shown: the list of a namespace, and one object whole."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from notebook_do.declare.line import as_argument, as_option
from notebook_do.display.formats import count, counted, minute, moment, short_object, size
from notebook_do.display.hiding import shown_json, shown_name
from notebook_do.display.rich import code, joined, rich, strong
from notebook_do.notebook.views.blocks import ROWS, Block, Document, Folded, Header, Line, Table, capped
from notebook_do.notebook.views.stored import shown_row, stored_value, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from notebook_do.live.pages import ObjectPage, PageTable

_KEYS = 50
"""How many keys a page shows; the frame has all."""


def objects_document(  # noqa: PLR0913 - the facts of one list
    rows: Sequence[Mapping[str, Any]],
    *,
    stable_id: str,
    class_name: str,
    worker: str,
    local: bool,
    more: bool,
    said: str = "",
    call: str = "",
) -> Document:
    """Show the objects of a namespace: all, newest write first, or the first by id where there are more.

    `call` is the line that makes a first object, as far as the session knows its words.
    """
    of = rich("(class ", code(class_name), f" of {worker})")
    if not rows:
        return (
            Line(
                rich(
                    "Namespace ", strong(stable_id), " ", of, " stores no object yet. An object appears when it first "
                )
                + rich("stores something: ", code(call))
            ),
        )
    head = f"The first {counted(len(rows), 'object')}" if more else counted(len(rows), "object")
    caption: list[str] = [strong(f"{head} of namespace {stable_id}"), " ", of]
    if local:
        total = sum(row["size"] or 0 for row in rows)
        caption.append(f", {size(total)} in all" + (", by id; there are more" if more else ", newest write first"))
    else:
        caption.append(", by id; there are more" if more else ", by id")
    shown = sorted(rows, key=_newest_first) if local and not more else rows
    cells = tuple(_local_row(row) if local else _cloudflare_row(row) for row in shown[:200])
    columns = ("name", "id", "size", "last write (UTC)", "alarm (UTC)") if local else ("name", "id", "stored")
    rest = rich("All as a DataFrame: ", code(f"x = %durable objects {stable_id}"))
    table = capped(rich(*caption), columns, cells, total=len(rows), rest=rest)
    return (
        table,
        Line(rich(*_below(rows, shown, stable_id, local=local)), small=True),
        *([Line(said)] if said else []),
    )


def _newest_first(row: Mapping[str, Any]) -> tuple[float, str]:
    written = row["last_write"]
    return (-written.timestamp() if written is not None else 0.0, str(row["object_id"]))


def _below(
    rows: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]], stable_id: str, *, local: bool
) -> tuple[str, ...]:
    if not local:
        said = "Cloudflare tells no name, size or last write."
        if any(row["name"] for row in rows):
            said += " Names stand here where this session called the object by its name, or the object told it."
        return (said,)
    one = code(f"%durable object {stable_id} {word_of(shown[0])}")
    return ("One of them: ", one, " · all as a DataFrame: ", code(f"x = %durable objects {stable_id}"))


def word_of(row: Mapping[str, Any]) -> str:
    """Return how an object is named on a line: its name, written as it must be, else its id."""
    return as_argument(row["name"] or row["object_id"])


def _local_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        strong(row["name"]) if row["name"] is not None else "(no name)",
        code(short_object(row["object_id"])),
        size(row["size"]) if row["stored"] else "nothing",
        "" if row["last_write"] is None else f"{row['last_write']:%Y-%m-%d %H:%M:%S}",
        _due(row["alarm"]),
    )


def _cloudflare_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    name = strong(row["name"]) if row["name"] is not None else ""
    return (name, code(short_object(row["object_id"])), "yes" if row["stored"] else "no")


def _due(alarm: datetime | None) -> str:
    if alarm is None:
        return ""
    return minute(alarm) + (", overdue" if alarm < datetime.now(UTC) else "")


def values_document(rows: Sequence[Mapping[str, Any]], stable_id: str, *, only: str | None = None) -> Document:
    """Show what objects have stored by key, each value on a line; the id of an object stands behind, and short."""
    of = rich(" of namespace ", strong(stable_id))
    if not rows:
        whose = rich("Object ", strong(only)) if only else rich("No object")
        stores = " stores nothing by key." if only else " stores anything by key."
        return (Line(rich(whose, of, stores)),)
    cells = tuple(
        (
            strong(row["name"]) if row["name"] is not None else "(no name)",
            shown_name(row["key"]),
            stored_value(row["key"], row["value"]),
            "" if row["size"] is None else size(row["size"]),
            code(short_object(row["object_id"])),
        )
        for row in rows[:ROWS]
    )
    told = len({row["object_id"] for row in rows})
    caption = rich(strong(counted(len(rows), "value")), " in " + counted(told, "object"), of)
    line = f"x = %durable values {stable_id} {shlex.join(as_option('--object', only)) if only else ''}".rstrip()
    rest = rich("All as a DataFrame: ", code(line))
    columns = ("name", "key", "value", "size", "id")
    return (capped(caption, columns, cells, total=len(rows), rest=rest), *_as_frame(line, len(rows)))


def _as_frame(line: str, number: int) -> list[Block]:
    """Name the line that keeps the frame, where the table has not said it: it does where it leaves rows out."""
    return [] if number > ROWS else [Line(rich("As a DataFrame: ", code(line)), small=True)]


# --- one object


def page_document(page: ObjectPage) -> Document:
    """Show one object: what it is, when it was written, its tables, its keys."""
    title = page.name if page.name is not None else f"object {short_object(page.object_id)}"
    facts = (("namespace", page.stable_id), ("class", f"{page.class_name} of {page.worker}"))
    return (
        Header(title, facts),
        Line(_state(page)),
        *_tables(page),
        *_keys(page),
        Line(rich(*_more(page)), small=True),
    )


def _state(page: ObjectPage) -> str:
    parts = [size(page.size or 0) if page.stored else "stores nothing now"]
    if page.last_write is not None:
        parts.append(f"last write {moment(page.last_write)}")
    if page.alarm is not None:
        late = ", overdue" if page.alarm < datetime.now(UTC) else ""
        parts.append(f"next alarm {moment(page.alarm)}{late}")
    return " · ".join([*parts, *(["read through the object, which woke it"] if page.woken else [])])


def _tables(page: ObjectPage) -> list[Block]:
    if not page.tables:
        return []
    rows = tuple((one.name, "not known" if one.rows is None else count(one.rows), one.described) for one in page.tables)
    caption = strong(counted(len(page.tables), "table"))
    largest = max(page.tables, key=lambda one: one.rows or 0)
    return [Table(caption, ("table", "rows", "columns"), rows), *([_rows(largest)] if largest.rows else [])]


def _rows(table: PageTable) -> Folded:
    which = "the newest" if table.newest else "the first"
    summary = f"{table.name}: {which} {count(len(table.first))} of {counted(table.rows or 0, 'row')}"
    rows = tuple(
        tuple(
            value_text(cell, name=name) for name, cell in zip(table.columns, shown_row(table.columns, row), strict=True)
        )
        for row in table.first
    )
    return Folded(summary, (Table("", table.columns, rows),))


def _keys(page: ObjectPage) -> list[Block]:
    if not page.keys:
        return []
    many = f"the first {count(len(page.keys))} keys" if page.more_keys else counted(len(page.keys), "key")
    rows = tuple(
        (shown_name(one.key), stored_value(one.key, one.value), "" if one.size is None else size(one.size))
        for one in page.keys[:_KEYS]
    )
    given = shlex.join(as_option("--object", page.name or page.object_id))
    rest = rich("All as a DataFrame: ", code(f"x = %durable values {page.stable_id} {given}"))
    return [Table(strong(many), ("key", "value", "size"), rows, hidden=max(len(page.keys) - _KEYS, 0), rest=rest)]


def _more(page: ObjectPage) -> tuple[str, ...]:
    called = f"%durable call {page.stable_id} {_word(page)} METHOD"
    parts: list[str] = [rich("id ", code(page.object_id)), rich("call it: ", code(called))]
    if page.methods:
        parts.append(f"methods: {', '.join(page.methods)}")
    return (joined(" · ", parts),)


def _word(page: ObjectPage) -> str:
    return as_argument(page.name or page.object_id)


def page_as_shown(page: ObjectPage) -> ObjectPage:
    """Return a page as it is shown: for `--json`, with words in place of what is hidden."""
    tables = tuple(
        replace(
            one,
            first=tuple(tuple(map(shown_json, one.columns, shown_row(one.columns, row))) for row in one.first),
        )
        for one in page.tables
    )
    keys = tuple(replace(one, key=shown_name(one.key), value=shown_json(one.key, one.value)) for one in page.keys)
    return replace(page, tables=tables, keys=keys)
