"""What is read of one object before a change of it is shown: a value, or what a statement would do. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notebook_do.model.changes import StatementEffect


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValue:
    """The value of one key; `digest` is that of the bytes that are stored."""

    value: Any
    size: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedStatement:
    """What a statement would do to one object. `count` is how many rows SQLite says that it changes itself."""

    effect: StatementEffect
    count: int
    rests_on: str
    expect: tuple[dict[str, Any], ...]
