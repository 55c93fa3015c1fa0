"""Values on their way to and from objects: JSON in which an object with the key `$` is a tag, and Python's values.

What JSON has no form for is a tag (`{"$": "bytes", "v": ...}`); an object of a user's that has a key `$` is one too, so
nothing that was stored can be taken for a mark of ours. Pure; numpy and pandas are known by name and not imported.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}
_ARRAYS = {
    **{f"Int{bits}Array": f"int{bits}" for bits in (8, 16, 32)},
    **{f"Uint{bits}Array": f"uint{bits}" for bits in (16, 32)},
    **{f"Float{bits}Array": f"float{bits}" for bits in (16, 32, 64)},
    "BigInt64Array": "int64",
    "BigUint64Array": "uint64",
}
"""JavaScript's typed arrays and numpy's name of what they hold; a Uint8Array is bytes."""
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Undecoded:
    """Stands for a stored value that cannot be read from outside of its object; `why` says what is in the way."""

    why: str


def decode(node: Any, shared: dict[int, Any] | None = None) -> Any:
    """Return the Python value of tagged JSON. Raises CommandError for a tag that is not known.

    A Date is an aware datetime in UTC, a Map a dict (a list of pairs where Python has no such keys), a Set a set, a
    typed array a numpy array; what holds itself holds itself in Python too.
    """
    shared = {} if shared is None else shared
    if isinstance(node, list):
        return [decode(item, shared) for item in node]
    if not isinstance(node, dict):
        return node
    if "$" not in node:
        return {key: decode(item, shared) for key, item in node.items()}
    return _tagged(node, shared)


def _tagged(node: dict[str, Any], shared: dict[int, Any]) -> Any:  # noqa: C901 - one case a tag
    tag, held = node["$"], node.get("v")
    match tag, held:
        case "number", str():
            return _NUMBERS[held]
        case "bytes", str():
            return base64.b64decode(held)
        case "date", _:
            return _moment(held)
        case "object", list():
            return {key: decode(item, shared) for key, item in held}
        case "map", list():
            return _dict([(decode(key, shared), decode(item, shared)) for key, item in held])
        case "set", list():
            return _set([decode(item, shared) for item in held])
        case "def", _:
            return _whole(node["n"], held, shared)
        case "ref", int():
            return shared[held]
        case "undecoded", str():
            return Undecoded(held)
        case str(), str() if tag in _ARRAYS:
            import numpy as np

            return np.frombuffer(base64.b64decode(held), dtype=np.dtype(_ARRAYS[tag]).newbyteorder("<")).copy()
    raise CommandError(f"an object answered with a value of kind {str(tag)[:40]!r}, which this version cannot read.")


def _moment(held: float | None) -> datetime | str | None:
    if held is None:  # new Date(NaN)
        return None
    try:
        return _EPOCH + timedelta(milliseconds=held)
    except OverflowError:  # JavaScript's years reach further than Python's
        return f"{held:.0f} ms since 1970"


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
    """Return a value that holds itself: it is known under its number before its parts are read."""
    made: Any
    if isinstance(node, list):
        made = shared[number] = []
        made.extend(decode(item, shared) for item in node)
    elif isinstance(node, dict) and node.get("$", "object") == "object":
        made = shared[number] = {}
        pairs = node["v"] if "$" in node else node.items()
        made.update((key, decode(item, shared)) for key, item in pairs)
    else:  # a Map or a Set that holds itself, which Python's cannot
        shared[number] = "[circular]"
        made = shared[number] = decode(node, shared)
    return made


def encode(value: Any) -> Any:
    """Return a decoded value as tagged JSON again, of which a program that reads `--json` can tell everything apart."""
    return _encoded(value, {}, set())


def _encoded(value: Any, above: dict[int, int], rings: set[int]) -> Any:
    """Write one value; `above` are the values around it with their depth, `rings` the depths of those it refers to."""
    if not isinstance(value, dict | list | tuple | set):
        return _scalar(value)
    if id(value) in above:
        rings.add(above[id(value)])
        return {"$": "ref", "v": above[id(value)]}
    depth = len(above)
    made = _container(value, lambda item: _encoded(item, {**above, id(value): depth}, rings))
    if depth not in rings:
        return made
    rings.remove(depth)
    return {"$": "def", "n": depth, "v": made}


def _container(value: Any, write: Callable[[Any], Any]) -> Any:
    match value:
        case dict() if not all(isinstance(key, str) for key in value):
            return {"$": "map", "v": [[write(key), write(item)] for key, item in value.items()]}
        case dict():
            made = {key: write(item) for key, item in value.items()}
            return {"$": "object", "v": [list(pair) for pair in made.items()]} if "$" in made else made
        case set():
            return {"$": "set", "v": [write(item) for item in value]}
    return [write(item) for item in value]


def _scalar(value: Any) -> Any:
    match value:
        case float():
            number = float(value)
            name = next((n for n, of in _NUMBERS.items() if repr(of) == repr(number)), None)
            return number if name is None else {"$": "number", "v": name}
        case bytes():
            return {"$": "bytes", "v": base64.b64encode(value).decode()}
        case datetime():
            return {"$": "date", "v": (value - _EPOCH) // timedelta(milliseconds=1)}
        case Undecoded():
            return {"$": "undecoded", "v": value.why}
    array = next((tag for tag, name in _ARRAYS.items() if name == str(getattr(value, "dtype", ""))), None)
    if array is not None and getattr(value, "ndim", 0) == 1:
        return {"$": array, "v": base64.b64encode(value.tobytes()).decode()}
    return value


# --- parameters of a statement


def parameters(values: Iterable[Any]) -> list[Any]:
    """Return the parameters of a statement as tagged JSON: what SQLite can hold, and Python's and numpy's words for it.

    A boolean is 1 or 0, an aware datetime the text that a Worker's `toISOString()` writes, NaN is NULL, as SQLite has
    it. Raises CommandError, which names the place and the type, for anything else.
    """
    return [_parameter(value, f"query: parameter {place}") for place, value in enumerate(values, 1)]


def _parameter(value: Any, what: str) -> Any:
    kind = type(value)
    # NaT passes for a datetime, and numpy's float64 for a float.
    if value is None or kind.__name__ in {"NAType", "NaTType"}:
        return None
    if kind.__module__ == "numpy" and kind.__name__ not in {"datetime64", "timedelta64", "longdouble", "void"}:
        value = value.item() if getattr(value, "ndim", None) == 0 else value
    match value:
        case int():
            return _whole_number(int(value), what)
        case float():
            return encode(float(value))
        case bytes() | bytearray() | memoryview():
            return encode(bytes(value))
        case str():
            return _text(str(value), what)
        case datetime() if value.tzinfo is not None:
            moment = value.astimezone(UTC).isoformat(timespec="milliseconds")
            return moment.replace("+00:00", "Z")
    raise CommandError(f"{what} is a {_named(kind)}, which SQLite cannot hold; {_instead(value)}.")


def _whole_number(value: int, what: str) -> int:
    if not -_LARGEST - 1 <= value <= _LARGEST:
        raise CommandError(f"{what} is beyond the whole numbers of SQLite, which end at {_LARGEST}; send it as text.")
    return value


def _text(value: str, what: str) -> str:
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise CommandError(f"{what} has half of a character (a lone surrogate), which SQLite cannot hold.")
    return value


def _named(kind: type) -> str:
    room = kind.__module__.partition(".")[0]
    return kind.__name__ if room == "builtins" else f"{room}.{kind.__name__}"


def _instead(value: Any) -> str:
    match type(value).__name__:
        case "datetime" | "Timestamp":
            return "it has no time zone: use .astimezone(), or replace(tzinfo=UTC)"
        case "datetime64":
            return "it has no time zone: send a datetime that has one"
        case "date":
            return "send value.isoformat()"
        case "Decimal":
            return "send str(value) or float(value)"
        case "timedelta" | "Timedelta" | "timedelta64":
            return "send its seconds"
        case "list" | "tuple" | "set" | "ndarray" | "Series":
            return "give its items one by one: query(..., *values)"
    return "send a number, text, bytes, True, False, an aware datetime or None"
