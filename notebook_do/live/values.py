"""Values that objects have stored, as tagged JSON again (see `inspector.values`), and the parameters of statements.

Pure; numpy and pandas are known by name and not imported.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from notebook_do.display import has_half
from notebook_do.errors import CommandError, JSError
from notebook_do.inspector.foreign import ARRAYS
from notebook_do.inspector.values import NUMBERS, Undecoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 2**63 - 1


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
            name = next((n for n, of in NUMBERS.items() if repr(of) == repr(number)), None)
            return number if name is None else {"$": "number", "v": name}
        case bytes():
            return {"$": "bytes", "v": base64.b64encode(value).decode()}
        case datetime():
            return {"$": "date", "v": (value - _EPOCH) // timedelta(milliseconds=1)}
        case Undecoded():
            return {"$": "undecoded", "v": value.why}
        case JSError():
            return {"$": "error", "name": value.name, "message": value.message, "stack": value.stack}
    array = next((tag for tag, name in ARRAYS.items() if name == str(getattr(value, "dtype", ""))), None)
    if array is not None and getattr(value, "ndim", 0) == 1:
        return {"$": array, "v": base64.b64encode(value.tobytes()).decode()}
    return value


# --- parameters of a statement


def parameters(values: Iterable[Any], verb: str = "query") -> list[Any]:
    """Return the parameters of a statement as tagged JSON: what SQLite can hold, and Python's and numpy's words for it.

    A boolean is 1 or 0, an aware datetime the text that a Worker's `toISOString()` writes, NaN is NULL, as SQLite has
    it. Raises CommandError, which names the place and the type, for anything else.
    """
    return [_parameter(value, f"{verb}: parameter {place}") for place, value in enumerate(values, 1)]


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
    return whole(value, what, "which SQLite cannot hold")


def whole(value: str, what: str, which: str) -> str:
    """Return a text. Raises CommandError for one with half of a character, `which` says why it is refused."""
    if has_half(value):
        raise CommandError(f"{what} has half of a character (a lone surrogate), {which}.")
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
