"""The smallest words: ids, enumerations, a module, a place in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NewType

StableId = NewType("StableId", str)
NamespaceId = NewType("NamespaceId", str)
MigrationTag = NewType("MigrationTag", str)

Lifecycle = Literal["exports", "migrations"]
Target = Literal["local", "cloudflare"]

TAG_PREFIX = "ndo-"
"""How every migration tag of ours begins."""


class Storage(StrEnum):
    """How the objects of a namespace are stored; fixed for its life."""

    SQLITE = "sqlite"
    KV = "kv"


class ModuleKind(StrEnum):
    """What a module of a Worker is; the value is only our word, wire.py knows the content type."""

    ESM = "esm"
    COMMONJS = "commonjs"
    PYTHON = "python"
    WASM = "wasm"
    TEXT = "text"
    DATA = "data"
    JSON = "json"
    SOURCE_MAP = "source-map"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One file of a Worker."""

    name: str
    content: bytes = field(repr=False)
    kind: ModuleKind = ModuleKind.ESM


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The place in a notebook that a declaration came from; it never takes part in equality."""

    cell: str | None = None
    line: int = 1
    body_line: int | None = None
    """The cell's 1-based line on which the script's first line stands, or None when it is not in the cell."""
    run: int = 0
    """Which of the kernel's runs of cells declared it: a cell that is run again has the same `cell` and a later run."""
