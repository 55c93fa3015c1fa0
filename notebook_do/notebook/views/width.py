"""How wide a text is, and how it is broken into lines."""

from __future__ import annotations

import re
import unicodedata

from notebook_do.display import one_line


def width_of(value: str) -> int:
    """Count the columns that a terminal gives to `value`."""
    if value.isascii():
        return len(value)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in value)


def wrap(value: str, width: int, *, words: bool = True) -> list[str]:
    """Break `value` into lines of at most `width` columns, between words where that is possible."""
    if width_of(value) <= width:
        return [value]
    lines, line = [], ""
    for piece in _pieces(value, width, words=words):
        if width_of(line) + width_of(piece.rstrip()) > width and line:
            lines.append(line.rstrip())
            line = ""
        line += piece
    return [*lines, line.rstrip()]


def _pieces(value: str, width: int, *, words: bool) -> list[str]:
    """Cut into words with their blanks, and into single characters where a word alone is too long."""
    found = re.findall(r"\S+\s*|\s+", value) if words else list(value)
    return [p for piece in found for p in ([piece] if width_of(piece.rstrip()) <= width else list(piece))]


def clipped(value: str, width: int) -> str:
    """Put `value` on one line of at most `width` columns; an ellipsis says that there is more."""
    return cut(one_line(value), width)


def cut(value: str, width: int) -> str:
    """Shorten a line to `width` columns, with an ellipsis, where it is longer."""
    if width_of(value) <= width:
        return value
    while width_of(value) > width - 1:
        value = value[: min(len(value) - 1, width)]
    return f"{value}…"
