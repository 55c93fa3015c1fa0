"""The one way to write a value as JSON: equal values are equal texts, which digests cover and `to_json` shows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from notebook_do.model.words import LATER

if TYPE_CHECKING:
    from collections.abc import Mapping

_AS_THEY_ARE = frozenset((str, int, float, bool, type(None)))
"""Told by their type alone, and first: the plan of a thousand Workers has a million values, nearly all of these."""


def canonical(body: Any) -> str:
    """Return the one way to write a JSON value."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def plain(value: Any, words: Mapping[str, str] | None = None) -> Any:
    """Return dataclasses, enums, bytes and sets as JSON values, bytes as their sha256.

    A dataclass says what it `is`: the name of its type, or the word for that in `words`.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if (counted := _counted(kind)) is None:  # type: ignore[arg-type]  # a class can be hashed
        return _other(value, words)
    body = {"is": words[kind.__name__] if words else kind.__name__}
    for name, left_out in counted:
        found = getattr(value, name)
        if left_out is MISSING or found != left_out:
            body[name] = found if type(found) in _AS_THEY_ARE else plain(found, words)
    return body


@cache
def _counted(kind: type) -> tuple[tuple[str, Any], ...] | None:
    """Return the fields of a dataclass that a digest covers; None for any other type.

    Each with the value at which it is left out, which MISSING is where there is none.
    """
    if not is_dataclass(kind):
        return None
    return tuple((f.name, f.default if f.metadata.get(LATER) else MISSING) for f in fields(kind) if f.compare)


def _other(value: Any, words: Mapping[str, str] | None) -> Any:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset | set):
        return sorted(plain(v, words) for v in value)
    if isinstance(value, tuple | list):
        return [v if type(v) in _AS_THEY_ARE else plain(v, words) for v in value]
    if isinstance(value, dict):
        return {str(k): plain(v, words) for k, v in value.items()}
    return value
