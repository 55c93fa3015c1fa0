"""How changes of what objects have stored are shown: what is there, what would be, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from notebook_do.display.formats import count, counted, moment
from notebook_do.display.hiding import BY_NAME, hidden, shown_name
from notebook_do.display.rich import code, rich, strong
from notebook_do.errors import StaleChange
from notebook_do.model.changes import NOTHING
from notebook_do.notebook.views.blocks import Block, Code, Document, Folded, Header, Line, Row, Table, Tone, capped
from notebook_do.notebook.views.hidden_cells import hidden_cells
from notebook_do.notebook.views.stored import (
    changed_cell,
    json_text,
    shown_cell,
    statement_text,
    stored_change,
    stored_value,
    value_text,
    whole_object,
)

if TYPE_CHECKING:
    from datetime import datetime

    from notebook_do.display.rich import Rich
    from notebook_do.live.applying import AppliedChange
    from notebook_do.model.changes import ObjectChange, ObjectEdit, RowChange, SchemaChange, StatementEffect
    from notebook_do.notebook.views.stored import HiddenTexts

_SHOWN = 20
"""How many objects a change of many shows; its frame has all."""
_LONG = 60
_TONES = {"insert": Tone.ADD, "update": Tone.CHANGE, "delete": Tone.DROP}
_ONE = {
    "put": "Put key {what} of {name}",
    "delete": "Delete key {what} of {name}",
    "execute": "Run a statement on {name}: {effect}",
    "alarm": "Set the alarm of {name}",
    "run alarm": "Run alarm() of {name} now",
    "wipe": "Delete all that {name} has stored",
    "restore": "Restore {name} from {what}",
}
_MANY = {
    "put": "Put {key} of {objects}",
    "delete": "Delete {key} of {objects}",
    "execute": "Run a statement on {objects}: {effect}",
}
_DONE = {
    "put": "Key {what} of {name} is put",
    "delete": "Key {what} of {name} is deleted",
    "execute": "The statement ran on {name}: {effect}",
    "alarm": "The alarm of {name} is set",
    "run alarm": "alarm() of {name} ran",
    "wipe": "All that {name} had stored is deleted",
    "restore": "{name} is restored from {what}",
}


_SAME = {
    "put": "Key {what} of {name} has this value already",
    "execute": "The statement changes no row of {name}",
    "alarm": "{alarm}",
}
"""How the few are said that may change nothing."""


def sentence(change: ObjectChange) -> str:
    """Return what a change does, and where: the title, and the words of its button."""
    words = _MANY if len(change.edits) > 1 else _ONE
    return f"{words[change.action].format(**_facts(change))} in {change.stage} on {_target(change)}"


def _target(change: ObjectChange) -> str:
    return "local" if change.target == "local" else "Cloudflare"


def _facts(change: ObjectChange) -> dict[str, str]:
    return {
        "what": shown_name(change.what),
        "key": f"key {shown_name(change.what)}" if change.what else counted(len(change.edits), "key"),
        "name": change.edits[0].spoken,
        "objects": counted(len({edit.object_id for edit in change.edits}), "object"),
        "effect": _effect(change),
    }


def _effect(change: ObjectChange) -> str:
    if change.action != "execute":
        return ""
    rows = sum(len(edit.before.rows) for edit in change.edits)
    schema = sum(len(edit.before.schema) for edit in change.edits)
    parts = [counted(rows, "row")] if rows or not schema else []
    parts += [counted(schema, "change") + " of the schema"] if schema else []
    return " and ".join(parts)


def change_document(change: ObjectChange, *, offered: bool = False) -> Document:
    """Show a change; `offered` where a button or the line to approve it follows. One that changes nothing is a line."""
    if change.noop:
        return (Line(f"{_same(change)}: nothing would change.", Tone.SAME),)
    facts = (("session", change.session), ("namespace", change.stable_id), ("class", change.class_name))
    body = _many(change) if len(change.edits) > 1 else _one(change, change.edits[0])
    how = () if offered else (" · to send it: ", code(f"session.apply(change{_confirm(change)})"))
    return (
        Header(sentence(change), facts, _live(change)),
        *body,
        *(Line(note, Tone.CHANGE) for note in change.notes),
        Line(rich("change ", code(change.digest), *how), small=True),
    )


def _same(change: ObjectChange) -> str:
    edit, facts = change.edits[0], _facts(change)
    if len(change.edits) > 1:
        of = facts["objects"]
        return (
            f"The rows put what is in {of} already" if change.action == "put" else f"No statement changes a row of {of}"
        )
    alarm = f"The alarm of {edit.spoken} is set to this time already" if edit.after else f"{edit.spoken} has no alarm"
    return _SAME[change.action].format(**facts, alarm=alarm)


def _live(change: ObjectChange) -> Literal["", "live", "production"]:
    if change.target == "local":
        return ""
    return "production" if change.stage == "production" else "live"


def _confirm(change: ObjectChange) -> str:
    return "" if change.phrase is None else f", confirm={change.phrase!r}"


def _one(change: ObjectChange, edit: ObjectEdit) -> list[Block]:
    match change.action:
        case "put" | "delete":
            return [_table([_key_row(edit)]), *_whole(edit)]
        case "execute":
            cells = hidden_cells(change)
            return [Code("", statement_text(change.what, cells)), *_effects(edit.before, cells)]
        case "alarm":
            return [_table([_alarm_row(edit)])]
        case "run alarm":
            return []
    return whole_object(edit)


def _table(rows: list[tuple[Tone, Row]], caption: str = "") -> Table:
    return Table(caption, (), tuple(row for _, row in rows), tones=tuple(tone for tone, _ in rows))


def _key_row(edit: ObjectEdit) -> tuple[Tone, tuple[str, ...]]:
    tone = Tone.DROP if edit.after is NOTHING else Tone.ADD if edit.before is NOTHING else Tone.CHANGE
    action = {Tone.DROP: "delete", Tone.ADD: "create", Tone.CHANGE: "update"}[tone]
    return tone, (action, rich("key ", code(shown_name(edit.what))), *_moves(edit))


def _moves(edit: ObjectEdit) -> tuple[str]:
    if edit.after is NOTHING:
        return (rich("was ", stored_value(edit.what, edit.before, quoted=True)),)
    if edit.before is NOTHING:
        return (stored_value(edit.what, edit.after, quoted=True),)
    return (stored_change(edit.what, edit.before, edit.after),)


def _alarm_row(edit: ObjectEdit) -> tuple[Tone, Row]:
    before, after = ("no alarm" if at is None else code(moment(at)) for at in (edit.before, edit.after))
    tone = Tone.DROP if edit.after is None else Tone.ADD if edit.before is None else Tone.CHANGE
    return tone, ("alarm", rich(before, " → ", after))


def _whole(edit: ObjectEdit) -> list[Block]:
    """Return folds with the whole values where a row has only their beginning."""
    found: list[Block] = []
    for label, value in (("What is there now", edit.before), ("What would be there", edit.after)):
        told = value is not NOTHING and not isinstance(value, bytes) and not hidden(edit.what, value)
        text = json_text(value, name=edit.what, indent=2) if told else ""
        if len(text) > _LONG:
            found.append(Folded(label, (Code("", text),)))
    return found


def _effects(effect: StatementEffect, hidden: HiddenTexts) -> list[Block]:
    rows = _effect_rows(effect, hidden)
    if not rows:
        return [Line("No row would change.", Tone.SAME)]
    table = capped(
        "",
        (),
        tuple(row for _, row in rows),
        tones=tuple(tone for tone, _ in rows),
        rest="change.before.rows has all.",
    )
    return [table]


def _effect_rows(effect: StatementEffect, hidden: HiddenTexts) -> list[tuple[Tone, tuple[str, ...]]]:
    return [*map(_schema_row, effect.schema), *(_changed_row(row, hidden) for row in effect.rows)]


def _changed_row(row: RowChange, hidden: HiddenTexts) -> tuple[Tone, tuple[str, ...]]:
    return _TONES[row.kind], (row.kind, rich("row of ", strong(row.table)), _cells(row, hidden))


def _cells(row: RowChange, hidden: HiddenTexts) -> str:
    before, after = row.before, row.after
    if before is None or after is None:
        return rich(*_listed(row.columns, before or after or (), hidden))
    changed = [at for at in range(len(row.columns)) if (type(before[at]), before[at]) != (type(after[at]), after[at])]
    first = rich(f"{row.columns[0]} ", shown_cell(row.columns[0], before[0], hidden), ": ")
    parts: list[str] = [] if 0 in changed else [first]
    for at in changed:
        moved = changed_cell(row.columns[at], before[at], after[at], hidden)
        parts += [", " if at != changed[0] else "", f"{row.columns[at]} ", moved]
    return rich(*parts)


def _listed(columns: tuple[str, ...], cells: tuple[Any, ...], hidden: HiddenTexts) -> list[str]:
    parts: list[str] = []
    for at, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        parts += [", " if at else "", f"{column} ", shown_cell(column, cell, hidden)]
    return parts


def _schema_row(one: SchemaChange) -> tuple[Tone, tuple[str, ...]]:
    what = rich(f"{one.kind} ", strong(one.name))
    if one.after is None:
        goes = "" if one.rows is None else f"and its {counted(one.rows, 'row')}"
        return (Tone.ALERT if one.rows else Tone.DROP), ("drop", what, goes)
    if one.before is None:
        return Tone.ADD, ("create", what, code(statement_text(one.after)))
    before, after = (code(statement_text(text)) for text in (one.before, one.after))
    return Tone.CHANGE, ("alter", what, rich(before, " → ", after))


# --- many objects


def _many(change: ObjectChange) -> list[Block]:
    rows: list[tuple[Tone, Row]] = []
    cells = hidden_cells(change)
    for edit in change.edits[:_SHOWN]:
        effects: list[tuple[Tone, tuple[str, ...]]] = (
            [_key_row(edit)] if change.action != "execute" else _statement_rows(change, edit, cells)
        )
        rows += [(tone, (strong(edit.spoken), *row)) for tone, row in effects]
    left = len(change.edits) - _SHOWN
    where = "change.df has all" if change.action != "execute" or change.what else "change.edits has all"
    last = [Line(f"… {counted(left, 'more row')}; {where}.")] if left > 0 else []
    statement = [Code("", statement_text(change.what, cells))] if change.action == "execute" and change.what else []
    return [*statement, _table(rows), *last]


def _statement_rows(change: ObjectChange, edit: ObjectEdit, cells: HiddenTexts) -> list[tuple[Tone, tuple[str, ...]]]:
    """Return what a statement does to one object of many, and the statement itself where each has its own."""
    own: list[tuple[Tone, tuple[str, ...]]] = (
        [] if change.what else [(Tone.SAME, ("statement", "", code(statement_text(edit.what, cells))))]
    )
    return [*own, *(_effect_rows(edit.before, cells) or [(Tone.SAME, ("no row", "", "No row would change."))])]


# --- while it waits and while it is sent: a saved notebook may hold either


def waiting_document(change: ObjectChange) -> Document:
    """Say that a change waits for its button, and for its phrase where it loses something."""
    what = "the button below" if change.phrase is None else "the phrase and the button below"
    after = f" waits for {what}. After a restart of the kernel, run this cell again."
    return (Line(rich("Not sent yet. Change ", _short(change), after), Tone.SAME),)


def sending_document(change: ObjectChange, since: datetime) -> Document:
    """Say since when it is sent, and what is true when nothing else follows: nobody knows what became of it."""
    ended = "If you read this in a saved notebook, the kernel ended first: run this cell again, it reads what is there."
    said = rich("Sending change ", _short(change), f" since {moment(since)}. {ended}")
    return (Line(said, Tone.CHANGE, role="status"),)


def _short(change: ObjectChange) -> Rich:
    return code(change.digest[:8])


# --- afterwards


def failed_document(change: ObjectChange, error: BaseException, at: datetime, details: str = "") -> Document:
    """Say why a change was not made, or that nobody knows whether it was; `details` of what nobody expected."""
    stale = isinstance(error, StaleChange)
    said = str(error) if stale else f"{type(error).__name__}: {error}".rstrip(": ")
    return (
        Line(said, Tone.CHANGE if stale else Tone.ALERT, role="alert"),
        Line(rich("Change ", _short(change), f", {moment(at)}. To read what is there now, run this cell again.")),
        *((Folded("Details", (Code("", details),)),) if details else ()),
    )


def applied_document(applied: AppliedChange) -> Document:
    """Show what became of a change."""
    change = applied.change
    if change.noop:
        return (Line(f"{_same(change)}: nothing was sent.", Tone.SAME),)
    failed = [(edit, why) for edit, why in zip(change.edits, applied.errors, strict=True) if why]
    at = moment(applied.at)
    if len(change.edits) == 1:
        done = _DONE[change.action].format(**_facts(change))
        return (Line(f"{done}, {at}, change {change.digest[:8]}.", Tone.DONE), *_before(applied), *_returned(applied))
    done = _done(change, len(change.edits) - len(failed))
    tone = Tone.ALERT if failed else Tone.DONE
    rows = tuple((strong(edit.spoken), why) for edit, why in failed[:_SHOWN])
    table = [Table("", ("object", "why not"), rows, tones=(Tone.ALERT,) * len(rows))] if rows else []
    return (Line(f"{done}, {at}, change {change.digest[:8]}.", tone), *table)


def _done(change: ObjectChange, done: int) -> str:
    """Count objects, or their keys where several of one object change."""
    made, objects = len(change.edits), len({edit.object_id for edit in change.edits})
    if made == objects:
        return f"{counted(done, 'object')} of {count(made)} changed"
    return f"{counted(done, 'key')} of {count(made)} in {counted(objects, 'object')} changed"


def _before(applied: AppliedChange) -> list[Block]:
    """Return how to go back to what was there before a restore, where Cloudflare told it."""
    if applied.bookmark is None or applied.change.target == "local":
        return []
    line = code(f'ctx.storage.onNextSessionRestoreBookmark("{applied.bookmark}")')
    back = rich("For 30 days its class can go back to what was there before: ", line)
    return [Line(back, small=True)]


def _returned(applied: AppliedChange) -> list[Block]:
    (result,) = applied.results
    if not result:
        return []
    # The object tells no names of these columns, but what was hidden above is hidden here.
    cells = hidden_cells(applied.change)
    rows = tuple(tuple(BY_NAME if cells.tell(cell) else value_text(cell) for cell in row) for row in result)
    return [capped("What the statement returned", (), rows, rest="applied.results has all.")]
