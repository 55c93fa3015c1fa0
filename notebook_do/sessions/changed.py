"""Says what is declared otherwise since a plan was shown: by which cell, or of which Worker a file was edited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebook_do.model import Declaration, Desired, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDeclarations:
    """What was declared when a plan was made, and what that came to."""

    items: Mapping[tuple[str, str], Declaration]
    desired: Desired


def what_changed(before: ShownDeclarations, now: ShownDeclarations) -> str:
    """Return what is not as it was, as the beginning of a sentence: `cell [9] was run`."""
    found = dict.fromkeys((*_declared_anew(before, now), *_forgotten(before, now))) or dict.fromkeys(
        _edited(before, now)
    )
    return " and ".join(found) or "the declarations changed"


def _declared_anew(before: ShownDeclarations, now: ShownDeclarations) -> Iterator[str]:
    for (kind, id_), item in now.items.items():
        if before.items.get((kind, id_)) != item:
            cell = cell_of(item.where)
            yield f"{cell} was run" if cell else f"{kind} {id_} was declared anew"


def _forgotten(before: ShownDeclarations, now: ShownDeclarations) -> Iterator[str]:
    for kind, id_ in before.items.keys() - now.items.keys():
        yield f"the declaration of {kind} {id_} was forgotten"


def _edited(before: ShownDeclarations, now: ShownDeclarations) -> Iterator[str]:
    """Yield the Workers whose source is another one, though no cell was run."""
    known = {worker.id: worker for worker in before.desired.workers}
    for worker in now.desired.workers:
        if known.get(worker.id) != worker:
            yield f"a file of Worker {worker.id} was edited"


def cell_of(where: Where | None) -> str:
    """Return the cell of a place as a person finds it: `cell [9]`, or a file; empty where it is not known."""
    if where is None:
        return ""
    return where.name
