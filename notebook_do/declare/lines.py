"""Finds on which line of a TOML text each table and key stands. The text is known to be TOML: tomllib has read it.

tomllib itself tells no lines. Headers and keys are read with it, one at a time; strings and lists of several lines are
taken together.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Path = tuple[str, ...]
_LONG = ('"""', "'''")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a table or key stands; `content` is where its text begins, if its lines are lines here. From 0."""

    line: int
    content: int | None = None


class Lines:
    """The lines of one TOML text, counted as the cell's from `first` on; read only when one is asked for."""

    def __init__(self, text: str, first: int) -> None:
        self._text, self._first = text, first

    def of(self, *path: str) -> int:
        """Give the line of a table or key, or of the nearest one around it that has a line of its own."""
        near = (path[:end] for end in range(len(path), 0, -1))
        return self._first + next((self._places[one].line for one in near if one in self._places), 0)

    def content(self, *path: str) -> int | None:
        """Give the line on which the text of a key begins; None when it does not stand there line by line."""
        place = self._places.get(path)
        return None if place is None or place.content is None else self._first + place.content

    @cached_property
    def _places(self) -> dict[Path, Place]:
        found: dict[Path, Place] = {}
        for path, place in _read(self._text.split("\n")):
            found.setdefault(path, place)
            for end in range(1, len(path)):  # `a.b.c = 1` is also where a and a.b begin, when nothing said so before
                found.setdefault(path[:end], Place(line=place.line))
        return found


def _read(lines: Sequence[str]) -> Iterator[tuple[Path, Place]]:
    table: Path = ()
    at = 0
    while at < len(lines):
        stripped = lines[at].strip()
        if stripped.startswith("["):
            table = _path(stripped)
            yield table, Place(line=at)
        elif stripped and not stripped.startswith("#"):
            key, _, value = stripped.partition("=")
            path, end = (*table, *_path(f"{key} = 0")), _end(lines, at, value.strip())
            yield path, Place(line=at, content=_content(value.strip(), at, end))
            at = end
        at += 1


def _content(value: str, at: int, end: int) -> int | None:
    """Give the line on which the text of a string begins: TOML drops a line break right behind its quotes."""
    if value[:1] not in {'"', "'"} or "${py:" in value:
        return None
    if value[:3] in _LONG and end > at:
        return at + 1 if value in _LONG else at
    return None if "\\n" in value else at


def _path(line: str) -> Path:
    """Read one header or one `key = 0` into the path that it names."""
    keys: list[str] = []
    inside: Any = tomllib.loads(line)
    while inside and isinstance(inside, dict | list):
        if isinstance(inside, list):
            inside = inside[0]
            continue
        key = next(iter(inside))
        keys.append(key)
        inside = inside[key]
    return tuple(keys)


def _end(lines: Sequence[str], at: int, value: str) -> int:
    """Give the line on which the value that begins on line `at` ends."""
    if (quote := value[:3]) in _LONG:
        if quote in value[3:]:
            return at
        return next((n for n in range(at + 1, len(lines)) if quote in lines[n]), at)
    for end in range(at, len(lines)):
        try:
            tomllib.loads("\n".join(["k = " + value, *lines[at + 1 : end + 1]]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return at
