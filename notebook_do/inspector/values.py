"""Values on their way to and from objects: JSON in which an object with the key `$` is a tag, and Python's values.

What JSON has no form for is a tag (`{"$": "bytes", "v": ...}`); an object of a user's that has a key `$` is one too, so
nothing that was stored can be taken for a mark of ours. wire.js is the other end. Pure; numpy and pandas are known by
name and not imported.

| JavaScript                 | Python out of it                   | Python into it                            |
|----------------------------|------------------------------------|-------------------------------------------|
| null, undefined            | None                               | None, pd.NA, pd.NaT; UNDEFINED            |
| boolean, string            | bool, str                          | bool, np.bool_, str                       |
| number                     | int if whole and exact, else float | float, np.floating; int to 2**53 - 1      |
| bigint                     | int                                | int beyond 2**53 - 1, bigint(5)           |
| Date                       | aware datetime, None if invalid    | aware datetime, Timestamp                 |
| Array                      | list                               | list, tuple, Series, ndarray, DataFrame   |
| object; Map                | dict (pairs: keys fall together)   | dict of str keys; dict of others          |
| Set                        | set (list: items fall together)    | set, frozenset                            |
| ArrayBuffer, Uint8Array    | bytes                              | bytes, bytearray, memoryview, uint8 array |
| other typed arrays         | ndarray                            | ndarray of one dimension and that dtype   |
| Error                      | JSError                            |                                           |
| RegExp                     | "/source/flags"                    |                                           |
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

from notebook_do.errors import CommandError, JSError
from notebook_do.inspector.foreign import ARRAYS, refused, writer_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAFE = 2**53 - 1
"""The largest whole number up to which a JavaScript number is exact."""
NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}
_BUILTIN = frozenset((int, float, str, bytes, list, tuple, dict, set, datetime))


class Undefined:
    """JavaScript's `undefined`, as an argument; there is one of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __bool__(self) -> bool:
        return False


UNDEFINED = Undefined()


class bigint(int):  # noqa: N801 - JavaScript's own name of it
    """A whole number that arrives as a BigInt, however small it is."""

    __slots__ = ()

    def __new__(cls, value: int) -> Self:
        """Take the number."""
        return super().__new__(cls, value)


@dataclass(frozen=True, slots=True)
class Undecoded:
    """Stands for a stored value that cannot be read from outside of its object; `why` says what is in the way."""

    why: str


# --- out of an object


def decode(node: Any, shared: dict[int, Any] | None = None) -> Any:
    """Return the Python value of tagged JSON. Raises CommandError for a tag that is not known.

    What holds itself holds itself in Python too.
    """
    shared = {} if shared is None else shared
    if isinstance(node, list):
        return [decode(item, shared) for item in node]
    if not isinstance(node, dict):
        return node
    if "$" not in node:
        return {key: decode(item, shared) for key, item in node.items()}
    return _tagged(node, shared)


def _tagged(node: dict[str, Any], shared: dict[int, Any]) -> Any:
    tag = node["$"]
    held: Any = node.get("v")
    match tag:
        case "object":
            return {decode(key, shared): decode(item, shared) for key, item in held}
        case "map":
            return _dict([(decode(key, shared), decode(item, shared)) for key, item in held])
        case "set":
            return _set([decode(item, shared) for item in held])
        case "def":
            return _whole(node["n"], held, shared)
        case "ref":
            return shared[held]
        case "error":
            return error_of(node, shared)
        case "regexp":
            return f"/{held}/{node.get('flags', '')}"
    if (read := _SCALARS.get(tag)) is None:
        raise CommandError(
            f"an object answered with a value of kind {str(tag)[:40]!r}, which this version cannot read."
        )
    return read(held)


def error_of(node: Mapping[str, Any], shared: dict[int, Any] | None = None) -> JSError:
    """Return the JavaScript error of its tag; its stack holds the frames of the user's own code."""
    stack, cause = node.get("stack"), node.get("cause")
    made = JSError(str(node["name"]), str(node["message"]), stack=stack if isinstance(stack, str) else None)
    made.cause = decode(cause, shared)
    return made


def _array(dtype: str, held: str) -> Any:
    import numpy as np

    return np.frombuffer(base64.b64decode(held), dtype=np.dtype(dtype).newbyteorder("<")).copy()


def _moment(held: float | None) -> datetime | str | None:
    if held is None:  # new Date(NaN)
        return None
    try:
        return _EPOCH + timedelta(milliseconds=held)
    except OverflowError:  # JavaScript's years reach further than Python's
        return f"{held:.0f} ms since 1970"


def _unwritten(held: str) -> float:
    """Return a number that JSON has no form for, or would have one of more digits than it has."""
    return NUMBERS[held] if held in NUMBERS else float(held)


def _units(held: str) -> str:
    return base64.b64decode(held).decode("utf-16-le", "surrogatepass")


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "undefined": lambda _: None,
    "number": _unwritten,
    "bigint": int,
    "bytes": base64.b64decode,
    "date": _moment,
    "utf16": _units,
    "undecoded": Undecoded,
    "Uint8ClampedArray": partial(_array, "uint8"),
    **{tag: partial(_array, dtype) for tag, dtype in ARRAYS.items()},
}
"""The tags of what holds nothing else, and what reads each."""


def _dict(pairs: list[tuple[Any, Any]]) -> Any:
    try:
        made = dict(pairs)
    except TypeError:
        return pairs
    return made if len(made) == len(pairs) else pairs  # 1 and true are two keys in JavaScript, and one here


def _set(items: list[Any]) -> Any:
    try:
        made = set(items)
    except TypeError:
        return items
    return made if len(made) == len(items) else items


def _whole(number: int, node: Any, shared: dict[int, Any]) -> Any:
    """Return a value that is met again, or holds itself: it is known under its number before its parts are read."""
    made: Any
    if isinstance(node, list):
        made = shared[number] = []
        made.extend(decode(item, shared) for item in node)
    elif isinstance(node, dict) and node.get("$", "object") == "object":
        made = shared[number] = {}
        pairs = node["v"] if "$" in node else node.items()
        made.update((decode(key, shared), decode(item, shared)) for key, item in pairs)
    else:  # a Map or a Set that holds itself, which Python's cannot
        shared[number] = "[circular]"
        made = shared[number] = decode(node, shared)
    return made


# --- into an object


def encode(value: Any, path: str) -> Any:
    """Return a Python value as tagged JSON. Raises CommandError, which begins with the path, for what has no form."""
    try:
        return _encoded(value, path, ())
    except RecursionError:
        raise CommandError(f"{path}: it is nested too deep to be sent.") from None


def _encoded(value: Any, path: str, above: tuple[int, ...]) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind not in _BUILTIN and (foreign := writer_of(kind)) is not None:
        return foreign(value, path, lambda one, where: _encoded(one, where, above))
    match value:
        case Undefined():
            return {"$": "undefined"}
        case int():
            return _whole_number(value)
        case float():
            return _number(float(value))
        case str():
            return _text(str.__str__(value))  # not str(), which a text that is an Enum writes its name into
        case datetime():
            return _date(value, path)
        case bytes() | bytearray() | memoryview():
            return _bytes(bytes(value))
    return _container(value, path, above)


def _whole_number(value: int) -> Any:
    whole = int(value)
    return whole if abs(whole) <= _SAFE and not isinstance(value, bigint) else {"$": "bigint", "v": str(whole)}


def _number(value: float) -> Any:
    if math.isfinite(value) and (value or math.copysign(1, value) > 0):
        return value
    return {"$": "number", "v": next(name for name, number in NUMBERS.items() if repr(number) == repr(value))}


def _text(value: str) -> Any:
    if value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value):
        return value
    return {"$": "utf16", "v": base64.b64encode(value.encode("utf-16-le", "surrogatepass")).decode()}


def _bytes(value: bytes, kind: str = "bytes") -> dict[str, str]:
    return {"$": kind, "v": base64.b64encode(value).decode()}


def _date(value: datetime, path: str) -> dict[str, Any]:
    if value.tzinfo is None:
        raise CommandError(f"{path}: {value} has no time zone: use .astimezone(), or replace(tzinfo=UTC).")
    return {"$": "date", "v": (value - _EPOCH) // timedelta(milliseconds=1)}


def _container(value: Any, path: str, above: tuple[int, ...]) -> Any:
    if id(value) in above:
        raise CommandError(f"{path}: it holds itself, which cannot be sent.")
    inside = (*above, id(value))
    match value:
        case list() | tuple():
            return [_encoded(item, f"{path}[{at}]", inside) for at, item in enumerate(value)]
        case Mapping():
            return _mapping(value, path, inside)
        case set() | frozenset():
            return {"$": "set", "v": [_encoded(item, f"{path}{{}}", inside) for item in value]}
    raise refused(value, path)


def _mapping(value: Mapping[Any, Any], path: str, above: tuple[int, ...]) -> Any:
    if not all(isinstance(key, str) for key in value):
        pairs = [(_encoded(k, f"{path}.key", above), _encoded(v, f"{path}[{k!r}]", above)) for k, v in value.items()]
        return {"$": "map", "v": [list(pair) for pair in pairs]}
    made = [(_text(str.__str__(key)), _encoded(item, f"{path}.{key}", above)) for key, item in value.items()]
    if all(isinstance(key, str) and key != "$" for key, _ in made):
        return dict(made)
    return {"$": "object", "v": [list(pair) for pair in made]}
