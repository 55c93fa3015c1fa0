"""What may be shown of a text: every character that a terminal obeys, or that nobody sees, is written out.

Names, values, log lines and error texts are other people's: a terminal must not be coloured, retitled or overwritten
by them, and no two of them may look alike. Whatever this package prints goes through here; data itself stays as it is.
"""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_COLOUR = re.compile("(\x1b\\[[0-9;]{0,20}m)")
_BLANKS = re.compile(r"[ \t\r\n\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")


def clean(value: str) -> str:
    """Write out control, escape, bidirectional and invisible characters as Python does; lines and tabs stay."""
    if value.isascii() and value.isprintable():
        return value
    return _UNSEEN.sub(_written, value.replace("\r\n", "\n"))


def one_line(value: str) -> str:
    """Clean `value` and put it on one line."""
    return clean(_BLANKS.sub(" ", value)).strip()


def coloured(value: str) -> str:
    """Clean what another program printed for a terminal: its colours stay, a line that it overwrote is a line."""
    pieces = _COLOUR.split(value.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(piece if n % 2 else clean(piece) for n, piece in enumerate(pieces))


def in_json(document: str) -> str:
    """Clean a JSON document without changing what it says: the same characters, written as JSON writes them."""
    return _UNSEEN.sub(lambda found: _units(found[0]), document)


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _units(letter: str) -> str:
    raw = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[n]:02x}{raw[n + 1]:02x}" for n in range(0, len(raw), 2))
