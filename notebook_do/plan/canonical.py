"""Writes a plan as JSON in one way only, so that equal plans are equal texts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import Field, field, fields, is_dataclass
from enum import Enum
from typing import Any

_LATER = "later"


def later(default: Any) -> Any:
    """Make a field that was added later: at its default it is left out, so that older digests stay as they are."""
    return field(default=default, metadata={_LATER: True})


def _counts(one: Field[Any], value: Any) -> bool:
    return one.compare and not (one.metadata.get(_LATER) and value == one.default)


def canonical(body: dict[str, Any]) -> str:
    """Return the one way to write a JSON value."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def plain(value: Any) -> Any:
    """Reduce dataclasses, enums, bytes and sets to JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        told = ((f, getattr(value, f.name)) for f in fields(value))
        body = {f.name: plain(found) for f, found in told if _counts(f, found)}
        return {"is": type(value).__name__, **body}
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset | set):
        return sorted(plain(v) for v in value)
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    return value
