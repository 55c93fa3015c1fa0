"""Copies values so that nobody who holds the first can change the copy, not even by force (`object.__setattr__`).

`copy.deepcopy` does the same, in a second and more for the plan of a thousand Workers: it asks each value how it wants
to be copied and remembers every one. The values here are dataclasses, tuples and texts, and refer to each other in no
circle.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any, TypeVar

T = TypeVar("T")
_Way = Callable[[Any], Any]
_SHARED = frozenset((str, int, float, bool, bytes, NoneType))
"""What nobody can change is the same in both."""


def copied(value: T) -> T:
    """Return a copy of a value that shares nothing with it that can be changed."""
    kind: type = type(value)
    copy: T = value if kind in _SHARED else _way_of(kind)(value)
    return copy


@cache
def _way_of(kind: type) -> _Way:
    """Return how values of a type are copied."""
    if issubclass(kind, Enum | str):  # of a text that knows more, what it says stays
        return lambda value: value
    if is_dataclass(kind):
        return _slotted(kind) if "__slots__" in kind.__dict__ else _open(kind)
    if kind in {tuple, list, frozenset}:
        return lambda value: kind([item if type(item) in _SHARED else copied(item) for item in value])
    if kind is dict:
        return lambda value: {key: item if type(item) in _SHARED else copied(item) for key, item in value.items()}
    return deepcopy


def _slotted(kind: type) -> _Way:
    """Return how a dataclass with slots is copied: past its `__init__`, which may take other things than it keeps."""
    names = [f.name for f in fields(kind)]
    # A frozen dataclass refuses to be set by attribute; its slots themselves do not.
    slots = [getattr(kind, name).__set__ for name in names]
    read = attrgetter(*names) if len(names) > 1 else lambda value: [getattr(value, name) for name in names]

    def way(value: Any) -> Any:
        new: Any = object.__new__(kind)
        for place, item in zip(slots, read(value), strict=True):
            place(new, item if type(item) in _SHARED else copied(item))
        return new

    return way


def _open(kind: type) -> _Way:
    """Return how a dataclass without slots is copied: its fields, and nothing that it has computed of them."""
    names = [f.name for f in fields(kind)]

    def way(value: Any) -> Any:
        new: Any = object.__new__(kind)
        new.__dict__.update({name: copied(getattr(value, name)) for name in names})
        return new

    return way
