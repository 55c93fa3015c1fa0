"""What stands in a form, without widgets: what is missing and wrong, the cell that says the same, its declaration.

Which fields there are, and how the cell says them, follows the rows of the table of fields. A form declares by the
very cell that it shows, so the two cannot differ. Each field is judged alone: what is wrong with another one is no
business of its line.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from notebook_do.declare.cell import parse_cell
from notebook_do.declare.making import FIELDS, Kind
from notebook_do.declare.options import BINDING_FLAGS, bound_to, words_of
from notebook_do.display.hiding import hidden
from notebook_do.errors import DurableError
from notebook_do.model import BINDING_TYPES, REQUIRED, Namespace, Where, Worker
from notebook_do.notebook.widgets.rules import FIELD_FAULTS, binding_fault, date_fault, json_fault, secret_fault

if TYPE_CHECKING:
    from notebook_do.model import BindingValue, Declaration, Field

KINDS = {row.toml or row.word.lower(): row.type for row in BINDING_TYPES.values() if row.flag}
"""By a person's word for what a row of the form binds, its binding type."""
_WORDS = {type_: word for word, type_ in KINDS.items()}


@dataclass(slots=True, kw_only=True)
class BindingRow:
    """One row of the bindings of a Worker form."""

    name: str = ""
    kind: str = "namespace"
    target: str = ""

    @property
    def unfilled(self) -> bool:
        """Whether something must be typed still; a secret without a source is taken from the variable of its name."""
        return not self.name or (not self.target and self.kind not in {"secret", "text"})

    @property
    def is_hidden(self) -> bool:
        """Whether its value is not to be shown: by its name or shape it is a secret."""
        return self.kind == "text" and bool(hidden(self.name, self.target))


class RowFault(NamedTuple):
    """What is wrong with a row of bindings, and with which of its fields."""

    part: str
    text: str


@dataclass(slots=True, kw_only=True)
class Draft:
    """What stands in the form of one declaration.

    `values` has by field its text, or of a switch whether its box is ticked; `id` is one of them. Begin with
    `Draft.new` or `Draft.of`, which fill in the fields that are not given.
    """

    kind: Kind
    values: dict[str, Any]
    rows: list[BindingRow] = field(default_factory=list)

    @classmethod
    def new(cls, kind: Kind, *, rows: list[BindingRow] | None = None, **values: Any) -> Draft:
        """Return a form with these values, and with all else as it is in an empty one."""
        empty = {name: row.takes != "switch" and (row.default if row.choices else "") for name, row in shown(kind)}
        return cls(kind=kind, values={"id": "", **empty, **values}, rows=rows or [])

    @classmethod
    def of(cls, item: Declaration) -> Draft:
        """Return a form of what is declared; what no field of it and no row can hold is not taken over."""
        kind: Kind = "namespace" if isinstance(item, Namespace) else "worker"
        values = {name: _typed(row, row.of(item)) for name, row in shown(kind)}
        bound = item.bindings.items() if isinstance(item, Worker) else ()
        rows = [row for name, value in bound if (row := _row_of(name, value))]
        return cls.new(kind, rows=rows, id=item.id, **values)

    # --- what is to be filled in, and what is wrong

    def missing(self) -> list[str]:
        """List the fields that must be filled in and are empty, in the order of the form."""
        needed = [name for name, row in shown(self.kind) if row.default is REQUIRED or is_body(row)]
        return [name for name in ("id", *needed) if not self.values[name].strip()]

    def unfilled(self) -> list[int]:
        """List the rows in which something must be typed still, counted from 0."""
        return [at for at, row in enumerate(self.rows) if row.unfilled]

    def faults(self) -> dict[str, str]:
        """Return one sentence for each field that cannot be right, told of this field alone; an empty one is none."""
        typed = (name for name in ("id", *(name for name, _ in shown(self.kind))) if self.values[name])
        return {name: fault for name in typed if (fault := self._fault(name))}

    def row_faults(self) -> dict[int, RowFault]:
        """Return what is wrong with each row of bindings, counted from 0; what is not typed yet is no fault."""
        names = Counter(row.name for row in self.rows)
        found = {at: _row_fault(row, again=names[row.name] > 1) for at, row in enumerate(self.rows)}
        return {at: fault for at, fault in found.items() if fault is not None}

    @property
    def complete(self) -> bool:
        """Whether the form can be declared, as far as its text tells."""
        return not (self.missing() or self.unfilled() or self.faults() or self.row_faults())

    def _fault(self, name: str) -> str:
        if name == "renamed_from" and self.values[name] == self.values["id"]:
            return "This is its name now: write the one that it had before, or leave it empty."
        rule = FIELD_FAULTS.get((self.kind, name))
        if rule is not None:
            return rule(self.values[name])
        row = FIELDS[self.kind][name]
        value = _given(row, self.values[name])
        if value is None or not (problem := row.problem(value) or row.fault(value)):
            return ""
        if name == "compatibility_date":
            return date_fault(value)
        return f"{problem[:1].upper()}{problem[1:]}"

    # --- what it says

    def cell(self, *, visible: bool = False) -> str:
        """Return the line, or the cell, that declares the same; a `visible` one does not show what is hidden."""
        # The order of the table, with the bindings last: it is how a person writes such a line.
        words, body = [self.kind, self.values["id"]], None
        for name, row in shown(self.kind):
            if is_body(row):
                body = self.values[name]
            elif (value := _given(row, self.values[name])) not in (None, row.default):
                words += words_of(row, value)
        for one in self.rows:
            target = hidden(one.name, one.target) if visible and one.is_hidden else one.target
            words += [_flag(one), f"{one.name}={target}" if target or one.kind == "text" else one.name]
        line = f"%durable {shlex.join(words)}"
        return line if body is None else f"%{line}\n{body}"

    def declaration(self) -> tuple[Declaration, ...]:
        """Read the cell. Raises what the magic would raise."""
        text = self.cell().lstrip("%").removeprefix("durable ")
        line, newline, body = text.partition("\n")
        has_body = any(is_body(row) for _, row in shown(self.kind))
        found = parse_cell(line if has_body else text, body if has_body and newline else None)
        return tuple(replace(item, where=Where(form="form")) for item in found)


def shown(kind: Kind) -> list[tuple[str, Field]]:
    """List the fields that a form has, by name, in the order of the table."""
    return [(name, row) for name, row in FIELDS[kind].items() if row.label]


def is_body(row: Field) -> bool:
    """Return whether a field is the body of the cell: a text for which the line has no option."""
    return row.takes == "text" and row.flag is None


def _given(row: Field, typed: Any) -> Any:
    """Return what a text or a box says, in the form that its field takes; None where it says nothing."""
    if row.takes != "switch":
        return typed or None
    ticked = True if row.sets is None else row.sets
    return ticked if typed else None


def _typed(row: Field, value: Any) -> Any:
    """Return the text or the box that says a value: the reverse of `_given`."""
    if row.takes != "switch":
        return value or ""
    return value is (True if row.sets is None else row.sets)


def _row_fault(row: BindingRow, *, again: bool) -> RowFault | None:
    if row.name and (fault := binding_fault(row.name)):
        return RowFault("name", fault)
    if row.name and again:
        return RowFault("name", f"Another row is called {row.name} too.")
    if row.kind == "json" and row.target and (fault := json_fault(row.target)):
        return RowFault("target", fault)
    if row.kind == "secret" and (fault := secret_fault(row.name or "NAME", row.target)):
        return RowFault("target", fault)
    if row.unfilled:
        bound = row.name and row.kind == "namespace" and not row.target
        return RowFault("target", "Bound to what? A stable ID, such as counter.") if bound else None
    try:
        # By the parser of lines itself: what a row takes is what the cell takes that the form writes.
        parse_cell(shlex.join(("worker", "id", _flag(row), f"{row.name}={row.target}")), "x")
    except DurableError as error:
        said = error.message.rpartition(f"{row.name}: ")[2] or error.message
        return RowFault("target", f"{said[:1].upper()}{said[1:]}")
    return None


def _flag(row: BindingRow) -> str:
    return BINDING_FLAGS[KINDS[row.kind]].name


def _row_of(name: str, value: BindingValue) -> BindingRow | None:
    bound = bound_to(value)
    return BindingRow(name=name, kind=_WORDS[bound[0]], target=bound[1]) if bound else None
