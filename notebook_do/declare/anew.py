"""Writes how a thing is declared with other values of some of its fields, in the form in which it is declared now."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.declare.making import FIELDS, Kind
from notebook_do.declare.notes import form_of
from notebook_do.declare.options import line_of, words_of
from notebook_do.display.hiding import hidden
from notebook_do.display.rich import code, joined, rich
from notebook_do.model import Json, Namespace, PlainText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import Worker
    from notebook_do.model.words import DeclaredIn


_LONGEST_LINE = 240
"""Characters of a line that a person still takes over whole; of a longer one only what changes is said."""


def declared_again(item: Namespace | Worker, changes: Mapping[str, Any]) -> str:
    """Return how a thing is declared with other values of some fields, in the form in which it is declared now.

    A value that is the default of its field leaves the field out. No value that is hidden is written.
    """
    kind: Kind = "namespace" if isinstance(item, Namespace) else "worker"
    form = form_of(item)
    if form == "python" and isinstance(item, Namespace):
        return code(_called(replace(item, **changes)))
    if form in {"line", "form"} and (line := _shown_line(kind, replace(item, **changes))):
        if kind == "namespace":
            return code(f"%durable {line}")
        return rich(_stands(item), code(f"%%durable {line}"))
    place = item.where.stated if item.where else ""
    words = (_changed(kind, form, name, value) for name, value in changes.items())
    return rich(joined(" and ", words), f" for {_noun(kind)} {item.id}", f" ({place})" if place else "")


def _shown_line(kind: Kind, item: Namespace | Worker) -> str:
    """Return the line of a declaration; empty where no line can say it, it is very long, or a value of it is hidden."""
    bindings = {} if isinstance(item, Namespace) else item.bindings
    values = {name: value.text for name, value in bindings.items() if isinstance(value, PlainText | Json)}
    if any(hidden(name, text) for name, text in values.items()):
        return ""
    line = line_of(kind, item) or ""
    return line if len(line) <= _LONGEST_LINE else ""


def _stands(item: Namespace | Worker) -> str:
    """Say of the line of a Worker where it is to stand, where the source is below it: alone it has no body."""
    below = not isinstance(item, Namespace) and item.script is not None and item.where is not None and item.where.run
    return f"as the first line of {item.where.name} write " if item.where and below else ""


def _noun(kind: Kind) -> str:
    return "namespace" if kind == "namespace" else "Worker"


def _called(item: Namespace) -> str:
    given = [f"{n}={row.of(item)!r}" for n, row in FIELDS["namespace"].items() if row.is_set(item)]
    return f"nd.DurableObjectNamespace({', '.join((repr(str(item.id)), *given))})".replace("'", '"')


def _changed(kind: Kind, form: DeclaredIn, name: str, value: Any) -> str:
    row = FIELDS[kind][name]
    if value == row.default:
        option = row.flag.name if row.flag and form in {"line", "form"} else name
        return rich("leave out ", code(option))
    match form:
        case "line" | "form":
            return rich("write ", code(" ".join(words_of(row, value))))
        case "toml":
            return rich("write ", code(f"{name} = {json.dumps(value)}"))
        case "python":
            return rich("write ", code(f"{name}={json.dumps(value) if isinstance(value, str) else repr(value)}"))
        case _:
            assert_never(form)
