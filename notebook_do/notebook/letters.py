"""What may be shown of a text, and how wide it is: no control, bidirectional or invisible character survives."""

from __future__ import annotations

import re
import unicodedata

_ANSI = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\^_])")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"\s+")


def clean(value: str) -> str:
    """Take out terminal sequences, control, bidirectional and invisible characters; lines stay."""
    if value.isascii() and value.isprintable():
        return value
    value = _ANSI.sub("", value.replace("\r\n", "\n"))
    return _SURROGATE.sub("\ufffd", _UNSEEN.sub("", value))


def one_line(value: str) -> str:
    """Clean `value` and put it on one line."""
    return _BLANKS.sub(" ", clean(value)).strip()


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
