"""Values of numpy's and pandas' on their way into objects, and the words for what has no form there.

Both are known by name and not imported.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from notebook_do.errors import CommandError

Write = Callable[[Any, str], Any]
"""Writes a part of a value, which stands at a path."""
Writer = Callable[[Any, str, Write], Any]
ARRAYS = {
    **{f"Int{bits}Array": f"int{bits}" for bits in (8, 16, 32)},
    **{f"Uint{bits}Array": f"uint{bits}" for bits in (16, 32)},
    **{f"Float{bits}Array": f"float{bits}" for bits in (16, 32, 64)},
    "BigInt64Array": "int64",
    "BigUint64Array": "uint64",
}
"""JavaScript's typed arrays and numpy's name of what they hold; a Uint8Array is bytes."""
_DTYPES = {name: tag for tag, name in ARRAYS.items()} | {"uint8": "bytes"}


def refused(value: Any, path: str, name: str = "") -> CommandError:
    """Return the error for a value that has no form in JavaScript; `name` where it is not that of its type."""
    kind = type(value)
    room = kind.__module__.partition(".")[0]
    name = name or kind.__name__
    named = name if room in {"builtins", "__main__"} else f"{room}.{name}"
    article = "an" if named[:1].lower() in set("aeiou") else "a"
    return CommandError(f"{path}: {article} {named} cannot be sent; {_instead(kind, name)}.")


def _instead(kind: type, name: str) -> str:
    match name:
        case "date":
            return "send value.isoformat(), or a datetime with a time zone"
        case "Decimal":
            return "send str(value) or float(value)"
        case "timedelta" | "Timedelta" | "timedelta64":
            return "JavaScript has no durations: send its seconds"
        case "datetime64":
            return "it has no time zone: send a datetime that has one"
    if hasattr(kind, "__dataclass_fields__"):
        return "send dataclasses.asdict(value)"
    return "send numbers, text, bytes, True, False, None, aware datetimes, and lists, dicts and sets of these"


def _of_numpy(value: Any, path: str, write: Write) -> Any:
    dtype = getattr(value, "dtype", None)
    if dtype is None or dtype.kind in "mMcV" or (dtype.kind == "f" and dtype.itemsize > 8):
        raise refused(value, path, {"m": "timedelta64", "M": "datetime64"}.get(getattr(dtype, "kind", ""), ""))
    if value.ndim == 0:
        return write(value.item(), path)
    tag = _DTYPES.get(dtype.name)
    if value.ndim == 1 and tag is not None:
        return {"$": tag, "v": base64.b64encode(value.astype(dtype.newbyteorder("<")).tobytes()).decode()}
    return write(value.tolist(), path)


def _of_pandas(value: Any, path: str, write: Write) -> Any:
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, datetime):  # a Timestamp, whose nanoseconds a Date has no place for
        return write(datetime.combine(value.date(), value.timetz()), path)
    if hasattr(value, "itertuples"):  # a DataFrame
        names = [str(name) for name in value.columns]
        rows = zip(*(items_of(value.iloc[:, at]) for at in range(len(names))), strict=True)
        return write([dict(zip(names, row, strict=True)) for row in rows], path)
    if hasattr(value, "tolist"):  # Series, Index and the arrays that they are made of
        return write(items_of(value), path)
    raise refused(value, path)


def items_of(column: Any) -> list[Any]:
    """Return what a column holds. What is missing among texts is None: there it may be a float's NaN to pandas."""
    texts = type(column.dtype).__name__ == "StringDtype"
    return [item if isinstance(item, str) else None for item in column] if texts else column.tolist()


_FOREIGN: Mapping[str, Writer] = {"numpy": _of_numpy, "pandas": _of_pandas}


def writer_of(kind: type) -> Writer | None:
    """Return what writes a value of numpy's or pandas', or of a class made of one of theirs."""
    rooms = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((_FOREIGN[room] for room in rooms if room in _FOREIGN), None)
