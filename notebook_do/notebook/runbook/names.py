"""The names of one piece of Python, told from its syntax tree: what it reads, binds and may change, and what it runs.

Knows no flow and no values. Names inside of functions are apart (`later`): they are read when the function is called.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from IPython.core.inputtransformer2 import TransformerManager

if TYPE_CHECKING:
    from collections.abc import Collection

PACKAGE = re.compile(r"notebook_do(\.\w+)*")
MENTIONS = re.compile(r"%durable\b|\bnotebook_do\b|\bnotebook-do\b")
_COMMAND = re.compile(r"(?:^|[\s/'\"`(])notebook-do(?:$|[\s'\"])|-m\s*notebook_do\b")
# `pip install notebook-do` names the command too, and starts nothing.
_INSTALLS = re.compile(r"\b(pip3?|uv|conda|mamba|poetry|pipx)\b|\bwhich\b")


@dataclass(slots=True, kw_only=True)
class UsedNames:
    """What one piece of Python does with names, for those of the notebook's own scope."""

    loads: set[str] = field(default_factory=set)
    binds: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    """Names whose value it may change in place: by a call, or by an assignment into it."""
    into: set[str] = field(default_factory=set)
    """Names into whose attributes or items it assigns."""
    later: set[str] = field(default_factory=set)
    later_binds: set[str] = field(default_factory=set)
    later_changes: set[str] = field(default_factory=set)
    later_process: bool = False
    texts: set[str] = field(default_factory=set)
    """The texts that stand in it."""
    run_texts: set[str] = field(default_factory=set)
    """The texts that it runs as code, in its own words."""
    run_names: set[str] = field(default_factory=set)
    """The names of what it runs as code."""
    sources: set[str] = field(default_factory=set)
    """Names that an import binds to something of notebook_do."""
    named: bool = False
    """notebook_do, or the magic, stands in it itself."""
    process: bool = False
    """It changes what all of the process sees: its environment, its directory, where imports are found."""
    variables: set[str] = field(default_factory=set)
    """The environment variables that it sets by name."""
    writes: dict[str, str] = field(default_factory=dict)
    """The files that it writes as a magic, with their text."""
    dynamic: bool = False
    """It may bind names that do not stand in it."""
    shows: bool = False
    """It is a magic that only shows something."""
    refused: str = ""
    """What cannot be run beside declarations, as it stands there."""
    wrong: str = ""
    """Why this can neither be run nor left out, and what to write."""

    def tell(self, inner: UsedNames) -> None:
        """Take over what holds wherever it stands."""
        self.named |= inner.named
        self.dynamic |= inner.dynamic
        self.texts |= inner.texts
        self.run_texts |= inner.run_texts
        self.run_names |= inner.run_names
        self.refused = self.refused or inner.refused
        self.wrong = self.wrong or inner.wrong

    def take(self, inner: UsedNames, *, hidden: Collection[str] = ()) -> None:
        """Take over names of code that runs here and now, but for those that are its own."""
        own = set(hidden)
        self.loads |= inner.loads - own
        self.changes |= inner.changes - own
        self.into |= inner.into - own
        self.later |= inner.later - own
        self.later_binds |= inner.later_binds
        self.later_changes |= inner.later_changes - own
        self.later_process |= inner.later_process
        self.process |= inner.process
        self.variables |= inner.variables
        self.tell(inner)


@lru_cache(maxsize=1)
def _transformer() -> TransformerManager:
    return TransformerManager()  # type: ignore[no-untyped-call]


def transformed(source: str) -> str:
    """Turn magics into the calls that IPython makes of them; raises SyntaxError as it does."""
    return _transformer().transform_cell(source)


def starts_command(text: str) -> bool:
    """Say whether a shell that ran `text` would start notebook-do; to install it is not that."""
    return any(_COMMAND.search(part) and not _INSTALLS.search(part) for part in re.split(r"[;&|\n]", text))


def root(node: ast.AST) -> str | None:
    """Return the name at the root of `a.b[c].d()`; None when it begins with something else."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred | ast.Await):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def roots(node: ast.AST) -> set[str]:
    """Return the names whose very value, or a part of it, an expression may hold on to."""
    # A list or a dict holds on to the very values in it; a plain call makes a new one.
    match node:
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return {name for part in parts for name in roots(part)}
        case ast.Dict(values=parts):
            return {name for part in parts for name in roots(part)}
        case ast.IfExp(body=one, orelse=other):
            return roots(one) | roots(other)
        case ast.BoolOp(values=parts):
            return {name for part in parts for name in roots(part)}
        case ast.NamedExpr(value=value):
            return roots(value)
        case ast.Call(func=ast.Name()):
            return set()
    name = root(node)
    return set() if name is None else {name}


_PLAIN = {
    "str",
    "repr",
    "len",
    "int",
    "float",
    "bool",
    "bytes",
    "format",
    "isinstance",
    "hash",
    "id",
    "ord",
    "chr",
    "dumps",
}


def holds(node: ast.AST) -> set[str]:
    """Return the names whose value, or a part of it, the result of an expression may keep; plain values keep none."""
    match node:
        case ast.Name(id=name):
            return {name}
        case ast.Compare() | ast.JoinedStr():
            return set()
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in _PLAIN:
            return set()
    return {name for part in ast.iter_child_nodes(node) for name in holds(part)}
