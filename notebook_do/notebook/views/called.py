"""What a call of an object's method is shown as: its value, or what it threw."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from notebook_do.display import clean, cut, in_json
from notebook_do.display.formats import counted, duration, size
from notebook_do.display.hiding import hidden, shown_json
from notebook_do.display.rich import code, rich, strong
from notebook_do.errors import JSError
from notebook_do.live.calling import became, said
from notebook_do.live.inspecting import Returned, Threw
from notebook_do.notebook.views.blocks import ROWS, AskedLine, Code, Folded, Item, Items, Line, Tone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.live.calling import Called
    from notebook_do.notebook.views.blocks import Block, Document

_WIDE = 94
_LONG = 60
_NAME = re.compile(r"[\w.:/-]{1,64}")
_FRAME = re.compile(r"\s*at (?:async )?(?P<what>[\w$.<> ]+?) \((?P<where>[^)]*)\)")


def called_document(called: Called) -> Document:
    """Show what became of a call."""
    match called.outcome:
        case Returned(value=value):
            return returned_document(called, value)
        case Threw(error=error):
            return threw_document(called, error)
    title = AskedLine(asked(called), became(called.outcome), Tone.ALERT, (duration(called.ms / 1000),))
    why = said(called.outcome, called.namespace.class_name, called.method)
    return (title, Line(why + "." * (not why.endswith(("?", "."))), Tone.ALERT))


def returned_document(called: Called, value: Any) -> Document:
    """Show what a method returned."""
    title = AskedLine(asked(called), "returned", Tone.ADD, (duration(called.ms / 1000), kind_of(value)))
    return (title, *_body(value))


def threw_document(called: Called, error: JSError) -> Document:
    """Show what a method threw: the error first, its stack folded."""
    title = AskedLine(asked(called), "threw", Tone.ALERT, (duration(called.ms / 1000),))
    frames = [line for line in (error.stack or "").splitlines() if line.lstrip().startswith("at ")]
    found = _FRAME.match(frames[0]) if frames else None
    place = rich(" in ", code(found["what"]), f" ({called.object})", f", {found['where']}") if found else ""
    threw = Items("", (Item(rich(strong(str(error)), place), Tone.ALERT),))
    if not frames:
        return (title, threw)
    return (title, threw, Folded(f"Stack ({counted(len(frames), 'frame')})", (Code("", error.stack or ""),)))


def asked(called: Called) -> str:
    """Write the call: `rooms / kitchen . add("ada")`; an argument behind a name has that name, as in code."""
    names = ("", *(arg if isinstance(arg, str) and _NAME.fullmatch(arg) else "" for arg in called.args))
    args = ", ".join(cut(argument_text(name, arg), _LONG) for name, arg in zip(names, called.args, strict=False))
    return f"{called.namespace.stable_id} / {called.object} . {called.method}({args})"


def argument_text(name: str, value: Any) -> str:
    """Write an argument on one line, or why it is hidden."""
    return hidden(name, value) or compact(shown_json(name, value))


def compact(value: Any) -> str:
    """Write a value on one line: as JSON where it is, else as Python does."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(float(value))]
    try:
        return in_json(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return clean(repr(value))


def kind_of(value: Any) -> str:
    """Say in a word what a value is, and how large."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return f"text of {counted(len(value), 'character')}"
        case bytes():
            return f"bytes, {size(len(value))}"
        case list():
            return f"array of {len(value):,}"
        case dict():
            return f"object of {counted(len(value), 'key')}"
        case set():
            return f"set of {len(value):,}"
        case JSError():
            return "error"
    return f"array of {len(value):,} {value.dtype}" if hasattr(value, "dtype") else type(value).__name__


def _body(value: Any) -> tuple[Block, ...]:
    if value is None:
        return ()
    lines = body_lines(value)
    if len(lines) <= ROWS:
        return (Code("", "\n".join(lines)),)
    rest = Folded(f"{len(lines) - ROWS:,} more lines", (Code("", "\n".join(lines[ROWS:])),))
    return (Code("", "\n".join(lines[:ROWS])), rest)


def body_lines(value: Any) -> Sequence[str]:
    """Write a value on lines: one for each item where that fits, else indented."""
    if isinstance(value, str):
        return clean(value).split("\n")
    if isinstance(value, bytes):
        return [repr(value[:32]) + (f" … {size(len(value))}" if len(value) > 32 else "")]
    if isinstance(value, list) and value:
        items = [compact(item) for item in value]
        if all(len(item) <= _WIDE for item in items):
            return ["[", *(f"  {item}," for item in items[:-1]), f"  {items[-1]}", "]"]
    line = compact(value)
    return [line] if len(line) <= _WIDE else _indented(value)


def _indented(value: Any) -> list[str]:
    try:
        text = in_json(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2))
    except (TypeError, ValueError, RecursionError):
        from pprint import pformat

        text = clean(pformat(value, width=_WIDE, sort_dicts=False))
    return text.split("\n")
