"""What is read of one object before a change of it is shown: a value, or what a statement would do. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.model.changes import NOTHING

if TYPE_CHECKING:
    from notebook_do.model import ObservedObject
    from notebook_do.model.changes import ObjectContents, StatementEffect

Form = Literal["file", "rows"]
"""How a snapshot has what it holds: as the SQLite file of a local Cloudflare, or as an object wrote it down itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValue:
    """The value of one key; `digest` is that of the bytes that are stored.

    `node` is the value in tagged JSON, NOTHING where that is not all of it: a hole in an array reads as null, and of
    what an object answers a Map and an object are one dict in Python.
    """

    value: Any
    size: int
    digest: str
    node: Any = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedStatement:
    """What a statement would do to one object. `count` is how many rows SQLite says that it changes itself."""

    effect: StatementEffect
    count: int
    rests_on: str
    expect: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenObject:
    """All that one object holds at one moment. `bookmark`: where Cloudflare can go back to, None where it told none."""

    one: ObservedObject
    holds: ObjectContents
    content: bytes
    form: Form
    bookmark: str | None = None
