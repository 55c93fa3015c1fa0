"""Reads JSON text strictly: what is not exactly what we write is refused with its line and column.

Python's json takes duplicate keys and NaN, and fails with foreign errors on deep or huge values. Here each of those,
a byte order mark, a carriage return and a merge conflict marker is one `Damage`, at one place: such a file was merged
or edited, and of two values of one key nobody knows which is meant. msgspec 0.22 and orjson 3.13 take the later of two
values as well, and msgspec names no line.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)
_MARKER = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?: |$)", re.MULTILINE)
_DEEPEST = 64
_LONGEST_NUMBER = 32
"""Characters; int() refuses more than 4,300 digits with an error of its own, and no number of ours is that long."""


class Damage(Exception):  # noqa: N818 - it is what was found, not what went wrong here
    """What is wrong with a text, and where."""


@dataclass(slots=True)
class _Open:
    """An object or array that the scan is inside of; `keys` is None for an array."""

    keys: set[str] | None
    awaits_key: bool = field(default=True)


def parse(content: bytes) -> Any:
    """Parse `content`; raises Damage that says what is wrong and where."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damage(f"it is not UTF-8 text ({_place(content[: error.start].decode('utf-8'), error.start)})") from None
    if not text.strip():
        raise Damage("it is empty")
    # As such before the rest: json names neither, but a column at which nothing is to be seen.
    for what, at in (("a byte order mark", text.find("\ufeff")), ("a carriage return", text.find("\r"))):
        if at >= 0 and (what != "a byte order mark" or at == 0):  # inside of a text it is a character like any other
            raise Damage(f"it has {what} ({_place(text, at)})")
    if marker := _MARKER.search(text):
        raise Damage(f"it has a merge conflict marker ({_place(text, marker.start())})")
    try:
        return _undamaged(text)
    except (_Doubt, ValueError, RecursionError):
        return _scanned(text)


class _Doubt(Exception):  # noqa: N818 - as above
    """Something may be wrong with a text; the scan says what, and where."""


def _undamaged(text: str) -> Any:
    """Parse what is as we write it, at json's own speed: the scan takes twenty times as long."""
    value = json.loads(text, object_pairs_hook=_unique, parse_int=_int, parse_float=_float, parse_constant=_refuse)
    if text.count("{") + text.count("[") > _DEEPEST:  # else it cannot be deeper
        level = [value]
        for _ in range(_DEEPEST):
            level = [inner for one in level for inner in _inside(one)]
        if any(isinstance(one, dict | list) for one in level):
            raise _Doubt
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Doubt
    return found


def _int(word: str) -> int:
    if len(word) > _LONGEST_NUMBER:
        raise _Doubt
    return int(word)


def _float(word: str) -> float:
    if len(word) > _LONGEST_NUMBER:
        raise _Doubt
    return _finite(word)


def _refuse(_word: str) -> None:
    raise _Doubt


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _scanned(text: str) -> Any:
    _scan(text)  # before json.loads, which is then never given a depth or a number that it fails on
    try:
        return json.loads(text, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise Damage(f"it is not JSON: {error.msg} (line {error.lineno} column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise Damage(f"it is not JSON that we write ({type(error).__name__})") from None


def _finite(word: str) -> float:
    if not math.isfinite(value := float(word)):
        raise ValueError("a number that no float holds")
    return value


def _place(text: str, at: int) -> str:
    before = text[:at]
    return f"line {before.count(chr(10)) + 1} column {at - before.rfind(chr(10))}"


def _scan(text: str) -> None:
    """Walk the tokens once for what json lets through: depth, duplicate keys, NaN, huge numbers."""
    inside: list[_Open] = []
    for match in _TOKEN.finditer(text):
        word, at = match[0], match.start()
        if word[0] == '"':
            _note_key(inside, word, text, at)
        elif word in "{}[]:,":
            _step(inside, word)
            if len(inside) > _DEEPEST:
                raise Damage(f"it is nested too deeply ({_place(text, at)})")
        elif word in ("NaN", "Infinity", "-Infinity") or len(word) > _LONGEST_NUMBER:
            raise Damage(f"it has {word[:12]}, which we never write ({_place(text, at)})")


def _step(inside: list[_Open], word: str) -> None:
    """Go into an object or array, out of one, or on to its next key or value."""
    if word in "{[":
        inside.append(_Open(set() if word == "{" else None))
    elif inside and word in "}]":
        inside.pop()
    elif inside:
        inside[-1].awaits_key = word == ","


def _note_key(inside: list[_Open], word: str, text: str, at: int) -> None:
    """Refuse a key that its object has already; a text that is no key is passed over."""
    if not inside or inside[-1].keys is None or not inside[-1].awaits_key:
        return
    try:
        key = json.loads(word)
    except ValueError:
        return  # json.loads of the whole text names this place
    if key in inside[-1].keys:
        raise Damage(f"the key {word[:60]} is there twice ({_place(text, at)})")
    inside[-1].keys.add(key)
