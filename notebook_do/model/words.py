"""The smallest words: ids, enumerations, a module, a place in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NewType

from notebook_do.display import has_half
from notebook_do.errors import DeclarationError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

StableId = NewType("StableId", str)
NamespaceId = NewType("NamespaceId", str)
MigrationTag = NewType("MigrationTag", str)

Lifecycle = Literal["exports", "migrations"]
Target = Literal["local", "cloudflare"]
Inspect = bool | Literal["calls"]
"""How the objects of a namespace can be asked from a notebook, on Cloudflare: their methods called, or looked into."""

TAG_PREFIX = "ndo-"
"""How every migration tag of ours begins."""

UPDATE_DEFAULT: Mapping[str, Any] = MappingProxyType({"mode": "deferred", "max_delay": 300})
"""The `code_update_strategy` of a Worker that declares none; the delay is in seconds."""


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


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Module:
    """One file of a Worker. `kind` may be given as the text of one of ModuleKind, such as "esm", "text" or "wasm"."""

    name: str
    content: bytes = field(repr=False)
    kind: ModuleKind = ModuleKind.ESM

    def __init__(self, *, name: str, content: bytes, kind: ModuleKind | str = ModuleKind.ESM) -> None:
        """Raise DeclarationError for what can be no file of a Worker."""
        # Checked here: people write nd.Module themselves, and its values never pass the table of fields.
        if not isinstance(name, str) or not isinstance(content, bytes):
            raise DeclarationError(f"module {name!r}: name must be a string and content bytes.")
        if has_half(name) or "\0" in name:
            raise DeclarationError(f"module {name!r}: no file can have this name.")
        if kind not in set(ModuleKind):
            raise DeclarationError(f"module {name}: kind {kind!r}: {nearest(str(kind), [*ModuleKind])}")
        for key, value in {"name": name, "content": content, "kind": ModuleKind(kind)}.items():
            object.__setattr__(self, key, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """How the line of a cell says something. `value` names what stands behind the option in the help; empty: a switch.

    `many`: it may be given more than once. `choices` are its only values; `completes` says what can stand there.
    """

    name: str
    value: str = ""
    help: str
    many: bool = False
    choices: tuple[str, ...] = ()
    completes: str = ""
    alone: str = ""
    """What it says where no value follows."""


DeclaredIn = Literal["line", "toml", "python", "form"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The place that a declaration came from, and how it was written; it never takes part in equality."""

    cell: str | None = None
    line: int = 1
    """The line of the cell, or of `file`."""
    body_line: int | None = None
    """The cell's 1-based line on which the script's first line stands, or None when it is not in the cell."""
    run: int = 0
    """Which of the kernel's runs of cells declared it: a cell that is run again has the same `cell` and a later run."""
    first: str = ""
    """The first line of the cell."""
    file: str = ""
    """The file of a Python program, or of a module that a cell called; then there is no cell."""
    form: DeclaredIn = "line"

    @property
    def name(self) -> str:
        """What a person calls the place: `cell [5]`, `file.py:12`, else what the cell is called or begins with."""
        if self.form == "form":
            return "a form"
        if self.file:
            return f"{self.file}:{self.line}"
        if self.run:
            return f"cell [{self.run}]"
        begins = f"the cell that begins {self.first}" if self.first else ""
        return self.cell or begins

    @property
    def stated(self) -> str:
        """The line and what it is a line of: `line 1 of cell [5]`, `file.py:12`; empty where none is known."""
        name = self.name
        return name if not name or self.file or self.form == "form" else f"line {self.line} of {name}"

    @property
    def of_error(self) -> tuple[int | None, str]:
        """The line that an error names that is raised later, in another cell perhaps, and what it is a line of."""
        return (None, "") if self.file else (self.line, self.name)

    @property
    def cell_line(self) -> int | None:
        """The line of the cell that an error names; None outside of cells, where a traceback has the line."""
        return None if self.file else self.line


OP_TAG = "ndo:op:"
"""The script tag that says which operation of ours uploaded what is live: it makes a lost answer decidable."""

LATER = "later"


def later(default: Any) -> Any:
    """Return a field that was added later: at its default a digest leaves it out, so that older ones stay."""
    return field(default=default, metadata={LATER: True})
