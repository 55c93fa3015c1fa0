"""What stands in a form, without widgets: its faults field by field, the cell that says the same, and its declaration.

A form declares by the very cell that it shows, so the two cannot differ.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from notebook_do.declare.cell import parse_cell
from notebook_do.declare.check import STABLE_ID, check, check_identifier
from notebook_do.declare.options import BINDING_FLAGS, bound_to
from notebook_do.errors import DurableError
from notebook_do.model import BINDING_TYPES, Bindings, Namespace, StableId, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.model import BindingValue, Declaration

KINDS = {row.toml or row.word.lower(): row.type for row in BINDING_TYPES.values() if row.flag}
"""By a person's word for what a row of the form binds, its binding type."""
_WORDS = {type_: word for word, type_ in KINDS.items()}


@dataclass(slots=True, kw_only=True)
class NamespaceDraft:
    """The fields of a namespace form."""

    id: str = ""
    class_name: str = ""
    legacy_kv: bool = False
    script: str = ""
    renamed_from: str = ""
    unprotected: bool = False

    def faults(self) -> dict[str, str]:
        """Give one sentence for each field that cannot be right as it stands."""
        probe = Namespace(StableId("id"), class_name="Name")
        id_ = StableId(self.id if STABLE_ID.fullmatch(self.id) else "other")
        before = StableId(self.renamed_from) if self.renamed_from else None
        tries: dict[str, Callable[[], None]] = {
            "id": lambda: check(replace(probe, id=StableId(self.id))),
            "class_name": lambda: check_identifier(self.class_name, "class name", None),
            "script": lambda: check(replace(probe, script_name=self.script or None)),
            "renamed_from": lambda: check(replace(probe, id=id_, renamed_from=before)),
        }
        return _faults(tries, {"id": self.id, "class_name": self.class_name})

    def cell(self) -> str:
        """Give the line that declares the same."""
        words = ["namespace", self.id, "--class", self.class_name]
        words += ["--kv"] * self.legacy_kv
        words += ["--script", self.script] if self.script else []
        words += ["--renamed-from", self.renamed_from] if self.renamed_from else []
        words += ["--unprotect"] * self.unprotected
        return f"%durable {shlex.join(words)}"

    def declaration(self) -> tuple[Declaration, ...]:
        """Read the cell. Raises what the magic would raise."""
        return parse_cell(self.cell().removeprefix("%durable "), None)

    @classmethod
    def of(cls, item: Namespace) -> NamespaceDraft:
        """Begin with what is declared."""
        return cls(
            id=item.id,
            class_name=item.class_name,
            legacy_kv=item.sqlite is False,
            script=item.script_name or "",
            renamed_from=item.renamed_from or "",
            unprotected=not item.protect,
        )


@dataclass(slots=True, kw_only=True)
class BindingRow:
    """One row of the bindings of a Worker form."""

    name: str = ""
    kind: str = "namespace"
    target: str = ""


@dataclass(slots=True, kw_only=True)
class WorkerDraft:
    """The fields of a Worker form."""

    id: str = ""
    name: str = ""
    lang: str = "js"
    compat_date: str = ""
    source: str = ""
    rows: list[BindingRow] = field(default_factory=list)

    def faults(self) -> dict[str, str]:
        """Give one sentence for each field that cannot be right; the fault of row N stands under `row N`."""
        probe = Worker("id", script="x", bindings=Bindings("id", {}))
        tries: dict[str, Callable[[], None]] = {
            "id": lambda: check(replace(probe, id=self.id)),
            "name": lambda: check(replace(probe, name=self.name or None)),
            "compat_date": lambda: check(replace(probe, compatibility_date=self.compat_date or None)),
        }
        found = _faults(tries, {"id": self.id, "source": self.source.strip()})
        names = Counter(row.name for row in self.rows)
        for at, row in enumerate(self.rows):
            fault = _row_fault(row)
            if fault or names[row.name] > 1:
                found[f"row {at}"] = fault or f"binding {row.name} stands in two rows; give each name once."
        return found

    def cell(self) -> str:
        """Give the cell that declares the same."""
        words = ["worker", self.id]
        words += ["--name", self.name] if self.name else []
        words += ["--lang", self.lang] if self.lang != "js" else []
        words += ["--compat-date", self.compat_date] if self.compat_date else []
        for row in self.rows:
            words += [_flag(row), f"{row.name}={row.target}" if row.target else row.name]
        return f"%%durable {shlex.join(words)}\n{self.source}"

    def declaration(self) -> tuple[Declaration, ...]:
        """Read the cell. Raises what the magic would raise."""
        line, _, body = self.cell().removeprefix("%%durable ").partition("\n")
        return parse_cell(line, body)

    @classmethod
    def of(cls, item: Worker) -> WorkerDraft:
        """Begin with what is declared; bindings that a row cannot hold are not taken over."""
        rows = [row for name, value in item.bindings.items() if (row := _row_of(name, value))]
        return cls(
            id=item.id,
            name=item.name or "",
            lang=item.lang,
            compat_date=item.compatibility_date or "",
            source=item.script or "",
            rows=rows,
        )


def _faults(tries: dict[str, Callable[[], None]], needed: dict[str, str]) -> dict[str, str]:
    found = {name: "is missing." for name, value in needed.items() if not value}
    for name, attempt in tries.items():
        if name not in found:
            try:
                attempt()
            except DurableError as error:
                found[name] = error.message
    return found


def _row_fault(row: BindingRow) -> str:
    try:
        check_identifier(row.name, "binding name", None)
        if not row.target and row.kind != "secret":
            return "say what it is bound to."
        parse_cell(shlex.join(("worker", "id", _flag(row), f"{row.name}={row.target}")), "x")
    except DurableError as error:
        return error.message
    return ""


def _flag(row: BindingRow) -> str:
    return BINDING_FLAGS[KINDS[row.kind]].name


def _row_of(name: str, value: BindingValue) -> BindingRow | None:
    bound = bound_to(value)
    return BindingRow(name=name, kind=_WORDS[bound[0]], target=bound[1]) if bound else None
