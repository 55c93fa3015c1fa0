"""What JSON has no form for, as an object with the key `$`: bytes, and the numbers that JSON cannot write."""

from __future__ import annotations

import base64
import math
from typing import Any

TYPED_ARRAYS = {
    b"b": "Int8Array",
    b"w": "Int16Array",
    b"W": "Uint16Array",
    b"d": "Int32Array",
    b"D": "Uint32Array",
    b"h": "Float16Array",
    b"f": "Float32Array",
    b"F": "Float64Array",
    b"q": "BigInt64Array",
    b"Q": "BigUint64Array",
}
"""V8's letter -> the typed array; those of single bytes without a sign, and a DataView, are bytes."""


def tagged_bytes(held: bytes, kind: str = "bytes") -> dict[str, str]:
    """Write bytes, or what a typed array of this kind holds."""
    return {"$": kind, "v": base64.b64encode(held).decode()}


def unwritten(number: float) -> str:
    """Return JavaScript's name of a number that JSON has no form for; empty for any other."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return "-0" if number == 0 and math.copysign(1, number) < 0 else ""


def cell(value: Any) -> Any:
    """Write what SQLite holds in one cell, tagged: a REAL stays one (1.0), bytes and infinities are told from text."""
    match value:
        case bytes():
            return tagged_bytes(value)
        case float() if name := unwritten(value):
            return {"$": "number", "v": name}
    return value


def of_cell(given: Any) -> Any:
    """Read what `cell` writes. Raises ValueError for anything that SQLite cannot hold."""
    match given:
        case {"$": "bytes", "v": str(text)}:
            return base64.b64decode(text, validate=True)
        case {"$": "number", "v": "NaN" | "Infinity" | "-Infinity" | "-0" as name}:
            return float(name.replace("Infinity", "inf"))
        case str() | int() | float() | None:
            return given
    raise ValueError("must be a number, a string, null or a tag of bytes or of a number")
