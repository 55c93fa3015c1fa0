"""A change of stored objects without what is hidden of it: for `--json`, and for the line that approves it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notebook_do.display.hiding import BY_NAME, shown_json, shown_name
from notebook_do.display.hiding import hidden as is_hidden
from notebook_do.model.changes import NOTHING, ObjectChange, StatementEffect
from notebook_do.notebook.views.stored import HiddenTexts, statement_text

if TYPE_CHECKING:
    from notebook_do.live.applying import AppliedChange
    from notebook_do.model.changes import ObjectEdit, RowChange, SchemaChange

HELD = "hidden, because it holds what is hidden"


def hidden_cells(change: ObjectChange) -> HiddenTexts:
    """Return the texts that are hidden in the rows of a statement: they stand in it, and in its parameters, as well."""
    effects = [edit.before for edit in change.edits if isinstance(edit.before, StatementEffect)]
    cells = HiddenTexts(cell for effect in effects for row in effect.rows for cell in _texts(row))
    # What such a cell was made of may stand in another one as well.
    given = [param for edit in change.edits if edit.params != HELD for param in json.loads(edit.params)]
    return HiddenTexts(cells.texts | {param for param in given if cells.tell(param)})


def _texts(row: RowChange) -> list[str]:
    return [
        str(cell)
        for cells in (row.before, row.after)
        for name, cell in zip(row.columns, cells or (), strict=False)  # a row that is not there has no cells
        if isinstance(cell, str | int | float) and is_hidden(name, cell)
    ]


def shown_parameter(value: Any, cells: HiddenTexts) -> Any:
    """Return a parameter or a cell without a name, or in words why it is hidden."""
    if isinstance(value, list | tuple):
        return [shown_parameter(item, cells) for item in value]
    return BY_NAME if cells.tell(value) else shown_json("", value)


def change_as_shown(change: ObjectChange) -> ObjectChange:
    """Return a change with words in place of what is hidden: to be read, and never to be sent."""
    cells = hidden_cells(change)
    edits = tuple(_edit_as_shown(edit, cells) for edit in change.edits)
    return replace(change, what=_what(change.what, change.action, cells), edits=edits)


def applied_as_shown(applied: AppliedChange) -> AppliedChange:
    """Return what became of a change with words in place of what is hidden."""
    cells = hidden_cells(applied.change)
    results = tuple(shown_parameter(result, cells) for result in applied.results)
    return replace(applied, change=change_as_shown(applied.change), results=results)


def _what(what: str, action: str, cells: HiddenTexts) -> str:
    return statement_text(what, cells) if action == "execute" else shown_name(what)


def _edit_as_shown(edit: ObjectEdit, cells: HiddenTexts) -> ObjectEdit:
    is_statement = isinstance(edit.before, StatementEffect)
    before, after = (_side(edit.what, value, cells) for value in (edit.before, edit.after))
    what = _what(edit.what, "execute" if is_statement else "", cells)
    params = json.loads(edit.params)
    if what == edit.what and before is edit.before and after is edit.after and shown_parameter(params, cells) == params:
        return edit
    return replace(edit, what=what, before=before, after=after, op=HELD, checks=HELD, params=HELD)


def _side(name: str, value: Any, hidden: HiddenTexts) -> Any:
    if value is NOTHING:
        return value
    if not isinstance(value, StatementEffect):
        return shown_json(name, value)
    rows, schema = tuple(_row(row, hidden) for row in value.rows), tuple(map(_schema, value.schema))
    same = rows == value.rows and schema == value.schema
    return value if same else replace(value, rows=rows, schema=schema)


def _row(row: RowChange, hidden: HiddenTexts) -> RowChange:
    before, after = (
        None
        if cells is None
        else tuple(
            BY_NAME if hidden.tell(cell) and not is_hidden(name, cell) else shown_json(name, cell)
            for name, cell in zip(row.columns, cells, strict=False)
        )
        for cells in (row.before, row.after)
    )
    return replace(row, before=before, after=after)


def _schema(one: SchemaChange) -> SchemaChange:
    before, after = (text and statement_text(text) for text in (one.before, one.after))
    return replace(one, before=before, after=after)
