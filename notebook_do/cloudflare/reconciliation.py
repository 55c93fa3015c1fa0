"""Reads what Cloudflare says of an upload with `exports`: what began, what is worth telling, what may be left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.model import CreateClass, RenameClass

if TYPE_CHECKING:
    from notebook_do.model import Migration


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What the answer to one upload tells.

    `began` are the classes that it created or renamed, None where it does not say; `removable` the earlier class names
    that no upload need tell of any more; `notes` what a person needs to know, a sentence each.
    """

    began: frozenset[str] | None = None
    removable: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def decode_reconciliation(result: dict[str, Any], script_name: str) -> Reconciliation:
    """Return what the answer to an upload says of its `exports`."""
    told = result.get("exports_reconciliation")
    if not isinstance(told, dict):
        return Reconciliation()
    renamed = told.get("renamed", [])
    began = None
    if isinstance(renamed, list):
        began = frozenset((*_texts(told.get("created")), *(str(r.get("to")) for r in renamed if isinstance(r, dict))))
    return Reconciliation(
        began=began,
        removable=frozenset(_texts(told.get("removable_entries"))),
        notes=tuple(_notes(told, script_name)),
    )


def beginnings(migration: Migration) -> frozenset[str]:
    """Return the classes that an upload is to create or rename, by the names that they have after it."""
    changes = migration.class_migrations
    created = (c.class_name for c in changes if isinstance(c, CreateClass))
    return frozenset((*created, *(c.to_class for c in changes if isinstance(c, RenameClass))))


def _notes(told: dict[str, Any], script_name: str) -> list[str]:
    """Word every warning, and the infos that name other Workers: those have to be deployed anew."""
    notes = [f"Worker {script_name}: {_message(item)}" for item in _items(told.get("warnings"))]
    bound = [(i.get("class"), ", ".join(_texts(i.get("referencing_scripts")))) for i in _items(told.get("info"))]
    return notes + [
        f"Worker {script_name}: class {class_name} is still bound by that name by {others}. Deploy {others} with the "
        f"present class; until then each upload of {script_name} tells what became of it."
        for class_name, others in bound
        if others
    ]


def _message(item: dict[str, Any]) -> str:
    return str(item.get("message") or item.get("scenario") or "a warning without a text")


def _items(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()
