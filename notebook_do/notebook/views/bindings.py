"""The bindings of Workers -> blocks: a table, and a drawing of who reaches what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.display.formats import counted
from notebook_do.model import binding_word
from notebook_do.notebook.views.blocks import ROWS, Block, Diagram, Edge, Line, Tone, capped
from notebook_do.plan.plan import Action
from notebook_do.plan.tables import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_APART = {Action.NOOP: Tone.SAME, Action.CREATE: Tone.ADD, Action.DELETE: Tone.DROP}
TONES = {action: _APART.get(action, Tone.CHANGE) for action in Action}
_EDGES = 120
_VALUES = frozenset(("plain_text", "json", "version_metadata"))
_SECRETS = frozenset(("secret_text", "secret_key"))


def reached(rows: Sequence[Mapping[str, str]]) -> tuple[Block, ...]:
    """Draw who reaches what, where any class, service or resource of a plan's rows changes; nothing else.

    A value that changes has a row of its own above, and is not counted again.
    """
    changed = [row for row in rows if row.get("action") not in {Action.NOOP, KEPT}]
    values = [row for row in changed if str(row.get("type")) in _VALUES | _SECRETS]
    if len(values) == len(changed):
        return ()
    return bindings_diagram([row for row in rows if row not in values], caption="", rest="")


def bindings_table(rows: Sequence[Mapping[str, str]]) -> tuple[Block, ...]:
    """Return the table of bindings, empty columns left out."""
    if not rows:
        return ()
    columns = ("worker", "binding", "type", "target", "class_name", "script_name", "environment", "namespace_id")
    used = [c for c in columns if any(row.get(c) for row in rows)]
    table = capped(
        f"{counted(len(rows), 'binding')}.",
        tuple(c.replace("_", " ") for c in used),
        tuple(
            tuple(binding_word(str(row.get(c))) if c == "type" else str(row.get(c) or "") for c in used)
            for row in rows[:ROWS]
        ),
        total=len(rows),
        tones=tuple(_row_tone(row) for row in rows[:ROWS]) if any(row.get("action") for row in rows) else (),
        rest="plan.bindings has all.",
    )
    return (table,)


def bindings_diagram(
    rows: Sequence[Mapping[str, str]], *, caption: str = "Who reaches what:", rest: str = "plan.bindings has all."
) -> tuple[Block, ...]:
    """Draw for the eye what reaches what; values and what a drawing has no room for are counted below it."""
    edges = _edges(rows)
    if not edges:
        return ()
    kinds = [str(row.get("type") or "") for row in rows]
    counts = (
        (max(len(edges) - _EDGES, 0), "more arrow"),
        (sum(kind in _VALUES for kind in kinds), "variable"),
        (sum(kind in _SECRETS for kind in kinds), "secret"),
    )
    left_out = ", ".join(counted(count, noun) for count, noun in counts if count)
    note = (Line(f"Not drawn: {left_out}. {rest}".rstrip(), small=True),) if left_out else ()
    return (Diagram(caption, tuple(edges[:_EDGES])), *note)


def _row_tone(row: Mapping[str, str]) -> Tone | None:
    action = row.get("action")
    return TONES[Action(action)] if action in set(Action) else None


def _edges(rows: Iterable[Mapping[str, str]]) -> list[Edge]:
    edges = []
    for row in rows:
        kind = str(row.get("type") or "")
        if kind in _VALUES | _SECRETS:
            continue
        said = f"class {row['class_name']}" if row.get("class_name") else binding_word(kind)
        edges.append(
            Edge(
                str(row.get("worker") or ""),
                str(row.get("binding") or ""),
                str(row.get("target") or said),
                _row_tone(row),
                about=said if row.get("target") else "",
                role=str(row.get("role") or ""),
            )
        )
    return edges
