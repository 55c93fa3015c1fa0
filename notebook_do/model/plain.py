"""The one way to write a value as JSON: equal values are equal texts, which digests cover and `to_json` shows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from notebook_do.model.words import LATER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def canonical(body: Any, words: Mapping[str, str] | None = None) -> str:
    """Return the one way to write a value: dataclasses, enums and sets as JSON values, bytes as their sha256.

    A dataclass says what it `is`: the name of its type, or the word for that in `words`. A dict has texts for keys.
    """
    # The encoder walks what JSON knows in C and asks for the rest alone: of a million values in the plan of a thousand
    # Workers that is every twentieth. No value refers to itself, so that nothing is kept to find that out.
    default = partial(_plain, words)
    return json.dumps(body, sort_keys=True, separators=(",", ":"), default=default, check_circular=False)


def _plain(words: Mapping[str, str] | None, value: Any) -> Any:
    """Return what JSON has for a value that it does not know."""
    kind = type(value)
    if (shape := _shape(kind)) is not None:  # type: ignore[arg-type]  # a class can be hashed
        found = dict(zip(shape.names, shape.read(value), strict=True))
        found["is"] = words[kind.__name__] if words else kind.__name__
        for name, left_out in shape.later:
            if found[name] == left_out:
                del found[name]
        return found
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{kind.__name__} has no way to be written as JSON")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """The fields of a dataclass that a digest covers; of the `later` ones, the value at which each is left out."""

    names: tuple[str, ...]
    read: Callable[[Any], tuple[Any, ...]]
    later: tuple[tuple[str, Any], ...]


@cache
def _shape(kind: type) -> _Shape | None:
    """Return how to read a dataclass; None for any other type."""
    if not is_dataclass(kind):
        return None
    counted = [f for f in fields(kind) if f.compare]
    names = tuple(f.name for f in counted)
    later = tuple((f.name, f.default) for f in counted if f.metadata.get(LATER) and f.default is not MISSING)
    # `attrgetter` returns a tuple from two names on.
    read = attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)
    return _Shape(names=names, read=read, later=later)
