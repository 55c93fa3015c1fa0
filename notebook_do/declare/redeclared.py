"""Says what is different about two declarations of one thing, field by field and binding by binding. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.declare.making import FIELDS, Kind
from notebook_do.model import Namespace, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebook_do.model import Declaration, Field

Part = Literal["code", "binding", "setting", "field"]
_CODE = ("script", "entrypoint", "modules", "lang")
"""The fields that are the code of a Worker: one line says that it changed, whichever of them did."""
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredDifference:
    """One thing that two declarations say differently; `before` and `after` are None where it is not declared.

    Of a binding they are its values, of the code the declarations, of anything else what TOML would say.
    """

    part: Part
    name: str
    before: Any
    after: Any
    label: str = ""
    """What a person calls the field."""

    @property
    def what(self) -> str:
        """Return what is different in words: `code`, `binding LIMIT`, `setting limits`, `compatibility date`."""
        if self.part == "code":
            return "code"
        if self.part != "field":
            return f"{self.part} {self.name}"
        return f"{self.label[:1].lower()}{self.label[1:]}" or self.name.replace("_", " ")


def kind_of(item: Declaration) -> Kind:
    """Return of which kind a declaration is."""
    return "namespace" if isinstance(item, Namespace) else "worker"


def differences(before: Declaration, now: Declaration) -> tuple[DeclaredDifference, ...]:
    """Return what `now` says otherwise than `before`: the code, then what changed, came and went, each by name."""
    found = [*_code(before, now), *_bindings(before, now), *_fields(before, now)]
    return tuple(sorted(found, key=_place))


def _place(one: DeclaredDifference) -> tuple[int, int, str]:
    going = 2 if one.after is None else 1 if one.before is None else 0
    return (0 if one.part == "code" else 1), going, one.what


def _code(before: Declaration, now: Declaration) -> Iterator[DeclaredDifference]:
    if not isinstance(before, Worker) or not isinstance(now, Worker):
        return
    if any(getattr(before, name) != getattr(now, name) for name in _CODE):
        yield DeclaredDifference(part="code", name="", before=before, after=now)


def _bindings(before: Declaration, now: Declaration) -> Iterator[DeclaredDifference]:
    if isinstance(before, Worker) and isinstance(now, Worker):
        for name, was, value in _pairs(before.bindings, now.bindings):
            yield DeclaredDifference(part="binding", name=name, before=was, after=value)


def _fields(before: Declaration, now: Declaration) -> Iterator[DeclaredDifference]:
    rows = {n: row for n, row in FIELDS[kind_of(now)].items() if n not in _CODE and row.takes != "bindings"}
    said = ({n: row.of(item) for n, row in rows.items() if _says(row, item)} for item in (before, now))
    for name, was, value in _pairs(*said):
        part: Part = "setting" if rows[name].setting else "field"
        yield DeclaredDifference(part=part, name=name, before=was, after=value, label=rows[name].label)


def _says(row: Field, item: Declaration) -> bool:
    # A switch that is off is as much said as one that is on.
    return row.is_set(item) or (row.takes == "switch" and row.of(item) is not None)


def _pairs(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, earlier and present value of what differs; a value is None where there is none."""
    for name in sorted(before.keys() | now.keys()):
        was, value = before.get(name, _ABSENT), now.get(name, _ABSENT)
        if was != value:
            yield name, None if was is _ABSENT else was, None if value is _ABSENT else value
