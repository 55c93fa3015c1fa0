"""What stands in a form, without widgets: its faults field by field, the cell that says the same, and its declaration.

Which fields there are, and how the cell says them, follows the rows of the table of fields. A form declares by the
very cell that it shows, so the two cannot differ.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.declare.cell import parse_cell
from notebook_do.declare.making import (
    FIELDS,
    STABLE_ID,
    WORKER_ID,
    Kind,
    check,
    check_identifier,
    namespace_of,
    worker_of,
)
from notebook_do.declare.options import BINDING_FLAGS, bound_to, words_of
from notebook_do.errors import DurableError
from notebook_do.model import BINDING_TYPES, REQUIRED, Namespace, Worker

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

    def faults(self) -> dict[str, str]:
        """Return one sentence for each field that cannot be right; the fault of row N stands under `row N`."""
        found = dict.fromkeys(self._lacking(), "is missing.")
        for name in ("id", *(name for name, _ in shown(self.kind))):
            if name not in found and (fault := self._fault(name)):
                found[name] = fault
        names = Counter(row.name for row in self.rows)
        # Rows are named by place and not by binding: two of them may bear the same name.
        for at, row in enumerate(self.rows):
            fault = _row_fault(row)
            if fault or names[row.name] > 1:
                found[f"row {at}"] = fault or f"binding {row.name} stands in two rows; give each name once."
        return found

    def cell(self) -> str:
        """Return the line, or the cell, that declares the same."""
        # The order of the table, with the bindings last: it is how a person writes such a line.
        words, body = [self.kind, self.values["id"]], None
        for name, row in shown(self.kind):
            if is_body(row):
                body = self.values[name]
            elif (value := _given(row, self.values[name])) not in (None, row.default):
                words += words_of(row, value)
        for one in self.rows:
            words += [_flag(one), f"{one.name}={one.target}" if one.target else one.name]
        line = f"%durable {shlex.join(words)}"
        return line if body is None else f"%{line}\n{body}"

    def declaration(self) -> tuple[Declaration, ...]:
        """Read the cell. Raises what the magic would raise."""
        text = self.cell().lstrip("%").removeprefix("durable ")
        if not any(is_body(row) for _, row in shown(self.kind)):
            return parse_cell(text, None)
        line, _, body = text.partition("\n")
        return parse_cell(line, body)

    def _lacking(self) -> list[str]:
        """List the fields that must be given and are not."""
        values = self.values
        needed = [n for n, row in shown(self.kind) if row.default is REQUIRED and not values[n]]
        bodies = [n for n, row in shown(self.kind) if is_body(row) and not values[n].strip()]
        return [*([] if values["id"] else ["id"]), *needed, *bodies]

    def _fault(self, name: str) -> str:
        """Return what is wrong with one field, told by a declaration that has this field alone of the form's."""
        form = STABLE_ID if self.kind == "namespace" else WORKER_ID
        # Under an id that is wrong itself, every field of the form would be found at fault.
        id_ = self.values["id"] if name == "id" or form.fullmatch(self.values["id"]) else "other"
        # The least that a declaration must have, so that the one field is what is judged.
        given: dict[str, Any] = {"class_name": "Name"} if self.kind == "namespace" else {"script": "x"}
        if name != "id":
            given[name] = _given(FIELDS[self.kind][name], self.values[name])
        try:
            check(namespace_of(id_, given, None) if self.kind == "namespace" else worker_of(id_, given, None))
        except DurableError as error:
            # The field stands beside it: whose it is need not be said again.
            return error.message if name == "id" else error.message.split(f" {id_}: ", 1)[-1]
        return ""


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


def _row_fault(row: BindingRow) -> str:
    try:
        check_identifier(row.name, "binding name", None)
        if not row.target and row.kind != "secret":
            return "say what it is bound to."
        # By the parser of lines itself: what a row takes is what the cell takes that the form writes.
        parse_cell(shlex.join(("worker", "id", _flag(row), f"{row.name}={row.target}")), "x")
    except DurableError as error:
        return error.message
    return ""


def _flag(row: BindingRow) -> str:
    return BINDING_FLAGS[KINDS[row.kind]].name


def _row_of(name: str, value: BindingValue) -> BindingRow | None:
    bound = bound_to(value)
    return BindingRow(name=name, kind=_WORDS[bound[0]], target=bound[1]) if bound else None
