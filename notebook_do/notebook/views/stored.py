"""What is shown of stored values and of statements: in words, and without what is hidden by its name or its shape."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from notebook_do.display.formats import clipped_value, counted, listed, moment, size
from notebook_do.display.hiding import BY_NAME, CHANGED, hidden, shown_json, shown_name
from notebook_do.display.rich import Rich, code, rich, strong
from notebook_do.display.source import shown_code
from notebook_do.inspector.values import Undecoded
from notebook_do.live.snapshots import snapshot_words
from notebook_do.live.values import encode
from notebook_do.model.changes import NOTHING, ObjectContents
from notebook_do.notebook.views.blocks import Block, Document, Line, Row, Tone, capped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from notebook_do.live.snapshots import Snapshot
    from notebook_do.model.changes import ObjectEdit

_BYTES = 6


def stored_value(name: str, value: Any, *, quoted: bool = False) -> Rich:
    """Return what a row shows of a stored value: in the look of code, or in words why it is not shown."""
    if why := _why(name, value):
        return rich(why)
    if isinstance(value, bytes) and value and not quoted:
        return rich("bytes: ", code(_hexadecimal(value)))
    return code(value_text(value, name=name, quoted=quoted))


def stored_change(name: str, before: Any, after: Any) -> Rich:
    """Return what is shown of a value and of the one in its place: of hidden ones only whether they differ."""
    was, now = (stored_value(name, value, quoted=True) for value in (before, after))
    if _why(name, before) and _why(name, after):
        return rich("hidden, the same" if _exactly(before) == _exactly(after) else CHANGED)
    if was == now and shown_json(name, before) is not before and _exactly(before) != _exactly(after):
        return rich(was, ": " + CHANGED)
    return rich(was, " → ", now)


def _exactly(value: Any) -> str:
    return json.dumps(encode(value), default=repr)


def _why(name: str, value: Any) -> str:
    return "" if value is NOTHING else hidden(name, value)


def value_text(value: Any, *, name: str = "", quoted: bool = False) -> str:
    """Return a stored value on one line: text as it is, or `quoted`; anything else as JSON has it, or in words."""
    if why := _why(name, value):
        return why
    match value:
        case str() if not quoted:
            return clipped_value(value)
        case bytes():
            return f"bytes: {_hexadecimal(value)}" if value else "no bytes"
        case datetime():
            return moment(value)
        case Undecoded():
            return f"cannot be read here: {value.why}"
    if value is NOTHING:
        return "nothing"
    return clipped_value(json_text(value, name=name))


def json_text(value: Any, *, name: str = "", indent: int | None = None) -> str:
    """Return a stored value as JSON, with words in place of what JSON has no form for, and of what is hidden."""
    shown = shown_json(name, value)
    try:
        return json.dumps(shown, ensure_ascii=False, default=_in_words, indent=indent, allow_nan=True)
    except (ValueError, TypeError):  # it holds itself, or has keys that are no text
        return str(shown)


def _in_words(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if hasattr(value, "tolist"):
        return value.tolist()
    return value_text(value) if isinstance(value, bytes | datetime | Undecoded) else str(value)


def _hexadecimal(value: bytes) -> str:
    return value[:_BYTES].hex(" ") + (" …" if len(value) > _BYTES else "")


def statement_text(sql: str, cells: HiddenTexts | None = None) -> str:
    """Return a statement without what looks like a secret, and without the literals that are `cells`, which are hidden.

    Only rows tell that the second literal of an INSERT is a password.
    """
    shown = shown_name(shown_code(sql))
    if cells is None:
        return shown
    return _LITERAL.sub(lambda one: f"'{BY_NAME}'" if cells.tell(one[1].replace("''", "'")) else one[0], shown)


_LITERAL = re.compile(r"'((?:[^']|'')*+)'")
_PART, _LONG_WORD = 6, 12
"""Characters from which on a text that stands in another one is no chance; the more of a word of letters alone."""


class HiddenTexts:
    """Texts that are hidden, to find others that were made of one, or for one: `'Bearer ' || token`.

    A statement may change thousands of rows, each with such a text: they are not looked through one by one.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Take the texts."""
        self.texts = frozenset(texts)
        folded = {text.casefold() for text in self.texts}
        self._all = "\0".join(folded)
        # Of six characters of one, four begin at one of these places, and at one of the first three.
        self._within = {text[at : at + 4] for text in folded for at in range(0, len(text) - 3, 3)}
        self._by_beginning: dict[str, list[str]] = {}
        for text in filter(_is_no_chance, folded):
            self._by_beginning.setdefault(text[:_PART], []).append(text)

    def tell(self, value: Any) -> bool:
        """Say whether a value tells one of them: it is one, has one in it, or is a part of one."""
        if not isinstance(value, str) or not self.texts or value in self.texts:
            return isinstance(value, str) and value in self.texts
        text = value.casefold()
        if any(text[at : at + 4] in self._within for at in range(3)) and _is_no_chance(text) and text in self._all:
            return True
        begins = (text[at : at + _PART] for at in range(len(text) - _PART + 1))
        return any(one in text for begin in begins for one in self._by_beginning.get(begin, ()))


def _is_no_chance(part: str) -> bool:
    return len(part) >= (_LONG_WORD if part.isalpha() else _PART)


def shown_cell(column: str, cell: Any, texts: HiddenTexts) -> Rich:
    """Return what is shown of a cell; one that was computed of a hidden one is hidden as that is."""
    shown = stored_value(column, cell, quoted=True)
    return rich(BY_NAME) if texts.tell(cell) and not shown.startswith("hidden ") else shown


def changed_cell(column: str, before: Any, after: Any, texts: HiddenTexts) -> Rich:
    """Return what is shown of a cell and of the one in its place."""
    was, now = (shown_cell(column, cell, texts) for cell in (before, after))
    if (was, now) == tuple(stored_value(column, cell, quoted=True) for cell in (before, after)):
        return stored_change(column, before, after)
    return rich(CHANGED) if was.startswith("hidden ") and now.startswith("hidden ") else rich(was, " → ", now)


def shown_row(columns: Sequence[str], row: Sequence[Any]) -> tuple[Any, ...]:
    """Return the cells of a row, with words for those that were computed of one that is hidden: a generated column."""
    pairs = list(zip(columns, row, strict=True))
    told = HiddenTexts(cell for name, cell in pairs if isinstance(cell, str) and hidden(name, cell))
    return tuple(
        BY_NAME if told.tell(cell) and len(cell) >= _PART and not hidden(name, cell) else cell for name, cell in pairs
    )


# --- all that one object has stored, as a change shows it that replaces the whole


def contents_text(held: ObjectContents) -> str:
    """Return how much an object holds, in words; empty where that is nothing."""
    rows = sum(number or 0 for _, number in held.tables)
    parts = [f"{counted(len(held.tables), 'table')} with {counted(rows, 'row')}"] if held.tables else []
    parts += [counted(held.keys, "key")] if held.keys else []
    parts += [f"the alarm of {moment(held.alarm)}"] if held.alarm else []
    return f"{listed(parts)} ({size(held.size)})" if parts else ""


def whole_object(edit: ObjectEdit) -> list[Block]:
    """Return what goes, said once, and table by table what a snapshot puts in its place."""
    lost = Line(_lost(edit), Tone.ALERT)
    before, after = edit.before, edit.after
    if not (isinstance(before, ObjectContents) and isinstance(after, ObjectContents)):
        return [lost, Line("The object's constructor runs anew with its next call.")]
    rows = _replaced(before, after)
    heads = ("action", "what", "now", "then")
    table = capped("", heads, tuple(r for _, r in rows), tones=tuple(t for t, _ in rows), rest="change.edits has all.")
    then = Line(f"Then it has: {contents_text(after) or 'nothing'}.")
    return [lost, *([table] if rows else []), *_beside(after), then]


def _beside(held: ObjectContents) -> list[Block]:
    """Return the indexes, views and triggers of a snapshot: a trigger changes rows later on."""
    rows = tuple((one.kind, strong(one.name), code(clipped_value(statement_text(one.sql)))) for one in held.beside)
    rest = "change.after.beside has all."
    return [capped("What comes with its tables", ("kind", "name", "statement"), rows, rest=rest)] if rows else []


def held_table(held: ObjectContents) -> list[Block]:
    """Return the tables that a snapshot holds, where it holds any."""
    rows = tuple((strong(name), _rows(number)) for name, number in held.tables)
    return [capped("", ("table", "rows"), rows, rest="snapshot.contents.tables has all.")] if rows else []


def _lost(edit: ObjectEdit) -> str:
    held = edit.before
    if not isinstance(held, ObjectContents):
        return ""
    what = contents_text(held)
    return f"{edit.spoken}: {what} would be deleted for ever." if what else f"{edit.spoken} has nothing stored now."


def _replaced(before: ObjectContents, after: ObjectContents) -> list[tuple[Tone, Row]]:
    """Return one row a table, one for the keys and one for the alarm, of what is there now or would be."""
    old, new = dict(before.tables), dict(after.tables)
    rows = [
        _row(
            rich("table ", strong(name)),
            _rows(old[name]) if name in old else "",
            _rows(new[name]) if name in new else "",
        )
        for name in sorted({**old, **new})
    ]
    if before.keys or after.keys:
        rows.append(_row("keys", *(f"{held.keys:,}" if held.keys else "" for held in (before, after))))
    if before.alarm or after.alarm:
        rows.append(_row("alarm", *(moment(held.alarm) if held.alarm else "" for held in (before, after))))
    return rows


def _row(what: str, now: str, then: str) -> tuple[Tone, Row]:
    # Equal numbers are no claim that the rows are equal: all of it is replaced.
    tone, action = (Tone.CHANGE, "replace") if now and then else (Tone.ADD, "create") if then else (Tone.DROP, "delete")
    return tone, (action, what, now or "—", then or "—")


def _rows(number: int | None) -> str:
    return "rows not known" if number is None else counted(number, "row")


def snapshot_document(taken: Snapshot) -> Document:
    """Show where a snapshot is, and what is in it."""
    held, tables = contents_text(taken.contents) or "nothing", held_table(taken.contents)
    words = snapshot_words(taken, taken.path)
    return (
        Line(rich("Snapshot of ", strong(taken.spoken), f": {held}, in ", code(str(taken.path)), "."), Tone.DONE),
        *tables,
        Line(rich("To put it back: ", code(f"%durable restore {words}")), small=True),
    )
