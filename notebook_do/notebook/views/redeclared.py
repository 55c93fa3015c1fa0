"""What changed when something was declared again, as blocks: a row each, and the code as a diff."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING, Any

from notebook_do.declare.redeclared import DeclaredDifference, differences
from notebook_do.display.formats import clipped_value, counted
from notebook_do.display.hiding import CHANGED, hidden, json_changes, json_line, shown_json
from notebook_do.display.rich import Rich, code, rich
from notebook_do.display.source import shown_code
from notebook_do.model import NAMESPACE_FIELDS, WORKER_FIELDS, Json, Namespace, PlainText, Worker
from notebook_do.notebook.views.blocks import Diff, Folded, Line, Table, Tone
from notebook_do.notebook.views.declared_bindings import Around, type_word, value_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.display.tokens import Language
    from notebook_do.model import Declaration
    from notebook_do.notebook.views.blocks import Block

differences_of = differences
_FLAGS = {True: "yes", False: "no"}


def again(before: Declaration, now: Declaration, around: Around) -> Iterator[Block]:
    """Yield what `now` changed of the declaration whose place it took."""
    found = differences(before, now)
    where = before.where.name if before.where else ""
    of = f"the declaration of {where}" if where else "the earlier declaration"
    yield Line(f"Replaces {of}. Changed since then:")
    rows = tuple((one.what, *_cells(one, now, around)) for one in found)
    yield Table("", ("what", "before", "now"), rows, tuple(map(_tone, found)))
    if any(one.part == "code" for one in found) and isinstance(before, Worker) and isinstance(now, Worker):
        yield from _diff(before, now)


def _tone(one: DeclaredDifference) -> Tone:
    return Tone.ADD if one.before is None else Tone.DROP if one.after is None else Tone.CHANGE


def change_words(one: DeclaredDifference, now: Declaration, around: Around) -> str:
    """Return one difference for a sentence: `binding LIMIT 20 → 5`."""
    was, value = _cells(one, now, around)
    if one.before is None or one.after is None:
        return f"{one.what} {'added' if one.before is None else 'removed'}"
    return rich(f"{one.what} ", was, " → " if was else "", value)


def _cells(one: DeclaredDifference, now: Declaration, around: Around) -> tuple[str, str]:
    """Return the cells `before` and `now` of one difference."""
    if one.part == "code":
        return _code_cells(one.before, one.after)
    if one.part == "binding" and isinstance(now, Worker):
        return _binding_cells(one, now, around)
    before, after = (_field_words(one, value, now) for value in (one.before, one.after))
    return before, after or "removed"


def _binding_cells(one: DeclaredDifference, worker: Worker, around: Around) -> tuple[str, str]:
    before, now = one.before, one.after
    if isinstance(before, Json) and isinstance(now, Json):
        return "", json_changes(one.name, before.value, now.value)
    if isinstance(before, PlainText) and isinstance(now, PlainText) and hidden(one.name, now.text):
        return value_words(worker, one.name, before, around), CHANGED
    kinds = [type_word(value, around) for value in (before, now) if value is not None]
    typed = len(set(kinds)) > 1 or len(kinds) == 1
    was = _with_type(worker, one.name, before, around, typed=typed)
    return was, _with_type(worker, one.name, now, around, typed=typed) if now is not None else "removed"


def _with_type(worker: Worker, name: str, value: Any, around: Around, *, typed: bool) -> str:
    if value is None:
        return ""
    kind = type_word(value, around)
    # Of a namespace, a Worker or a secret the words say what it is.
    say = typed and kind not in {"Durable Object", "Worker", "secret"}
    return rich(value_words(worker, name, value, around), f" ({kind})" if say else "")


def _field_words(one: DeclaredDifference, value: Any, item: Declaration) -> str:
    row = (NAMESPACE_FIELDS if isinstance(item, Namespace) else WORKER_FIELDS)[one.name]
    if row.takes == "switch":
        value = row.default if value is None else value
        # Under its label is said whether its box is ticked, and under its name its value.
        if not isinstance(value, str):
            return _FLAGS[value is row.sets if row.label else bool(value)]
    if value is None:
        return ""
    if isinstance(value, str):
        return rich(code(clipped_value(value)))
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return code(clipped_value(", ".join(value)))
    return code(clipped_value(json_line(shown_json(one.name, value))))


# --- the code

_LANGUAGES: dict[str, Language] = {"js": "javascript", "ts": "javascript", "py": "python"}


def _code_cells(before: Worker, now: Worker) -> tuple[str, str]:
    if before.script is None or now.script is None:
        return _source(before), _source(now)
    added, removed, _ = _changed_lines(before, now)
    return _source(before), rich(_source(now), f" (+{added} \N{MINUS SIGN}{removed})")


def _source(worker: Worker) -> Rich:
    if worker.script is not None:
        return rich(counted(len(worker.script.strip().splitlines()), "line"))
    return rich("file ", code(worker.entrypoint)) if worker.entrypoint else rich(counted(len(worker.modules), "module"))


def _changed_lines(before: Worker, now: Worker) -> tuple[int, int, tuple[str, ...]]:
    """Return how many lines were added and removed, and the diff with three lines around each change."""
    was, is_ = ((one.script or "").strip("\n").splitlines() for one in (before, now))
    changed = list(unified_diff(was, is_, lineterm="", n=3))[2:]  # without the names of files
    added, removed = (sum(line.startswith(sign) for line in changed) for sign in "+-")
    # What is hidden is hidden in the whole text: a line alone does not tell what stands in quotes.
    shown = (shown_code((one.script or "").strip("\n"), language=_LANGUAGES[one.lang]) for one in (before, now))
    was, is_ = (text.splitlines() for text in shown)
    return added, removed, tuple(unified_diff(was, is_, lineterm="", n=3))[2:]


def _diff(before: Worker, now: Worker) -> Iterator[Block]:
    if before.script is None or now.script is None:
        return
    added, removed, lines = _changed_lines(before, now)
    if not added and not removed:
        return
    said = [f"{counted(added, 'line')} added"] if added else []
    said += [f"{removed} removed" if added else f"{counted(removed, 'line')} removed"] if removed else []
    yield Folded(f"Code: {', '.join(said)}", (Diff(lines, "the rest is longer than a view shows"),))
