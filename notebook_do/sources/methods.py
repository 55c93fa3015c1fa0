"""Finds the methods of a class in the text of a source, to complete their names while they are typed. Runs nothing.

A name that is missed or too many is only that: what there is, the object says when it is called.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`""", re.DOTALL)
"""Comments and texts, in which a brace is only a letter."""
_METHOD = re.compile(r"(?:(?:async|public|override)\s+|\*\s*)*([A-Za-z$][\w$]*)\s*(?:<[^>()]*>)?\s*\(")
_SKIPPED = frozenset(
    ("constructor", "fetch", "alarm", "connect", "webSocketMessage", "webSocketClose", "webSocketError", "dup")
)
"""What no call reaches."""


def methods_of(source: str, class_name: str) -> list[str]:
    """Return the methods that a class has in a source, in order; what it inherits is not among them."""
    text = _QUIET.sub(lambda found: " " * len(found[0]), source)
    begun = re.search(rf"\bclass\s+{re.escape(class_name)}\b[^{{]*{{", text)
    if begun is None:
        return []
    found = (_METHOD.match(member) for member in _members(text, begun.end()))
    names = dict.fromkeys(one[1] for one in found if one)
    return [name for name in names if name not in _SKIPPED]


def _members(text: str, at: int) -> Iterator[str]:
    """Yield the text of each member of a class body, from where it begins to its first brace or semicolon."""
    depth, start = 0, at
    for place in range(at, len(text)):
        letter = text[place]
        if letter in "{[(":
            if depth == 0 and letter == "{":
                yield text[start:place].strip()
            depth += 1
        elif letter in "}])":
            if depth == 0:
                return
            depth -= 1
            start = place + 1 if depth == 0 and letter == "}" else start
        elif letter == ";" and depth == 0:
            start = place + 1
