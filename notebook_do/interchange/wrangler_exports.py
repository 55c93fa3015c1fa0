"""Writes the map `exports` for wrangler: the classes that a Worker hosts, and what else stands in it.

The map is replaced as a whole, so entries of other kinds and what became of earlier class names are repeated. Raises
CommandError, with the entry's name, for one that wrangler could not send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError
from notebook_do.model import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import DesiredWorker, ObservedScript, RecordedWorker

_WORDS = {Storage.SQLITE: "sqlite", Storage.KV: "legacy-kv"}
_CLASS = "durable-object"
_CARRIED: Mapping[str, frozenset[str]] = {
    _CLASS: frozenset({"container"}),
    "worker": frozenset({"cache"}),
    "workflow": frozenset({"name", "limits", "concurrency", "schedules", "default_retention", "jurisdiction"}),
}
"""By type of entry, the fields that wrangler sends besides those of a class's own life."""


def class_entries(
    worker: DesiredWorker, record: RecordedWorker | None, live: ObservedScript | None, classes: Mapping[str, Storage]
) -> dict[str, Any]:
    """Return the entries of the classes, with what stands beside their storage, and of their earlier names."""
    if live is not None and live.expects:
        raise CommandError(
            f"export: Worker {worker.id}: class {live.expects[0]} waits to be taken over from another Worker; finish "
            "that first, then export."
        )
    rest = _kept(worker, live)
    entries = {
        name: {"type": _CLASS, "storage": _WORDS[storage], **rest.get(name, {})} for name, storage in classes.items()
    }
    for one in record.moved if record else ():
        renamed = {"state": "renamed", "renamed_to": one.renamed_to}
        became = renamed if one.renamed_to else {"state": "transferred", "transferred_to": one.to_script}
        entries.setdefault(one.class_name, {"type": _CLASS, **became})
    return entries


def other_entries(worker: DesiredWorker, live: ObservedScript | None) -> dict[str, Any]:
    """Return the entries that are no classes; they stand beside either form of a class's life."""
    return {name: entry for name, entry in _kept(worker, live).items() if "type" in entry}


def _kept(worker: DesiredWorker, live: ObservedScript | None) -> dict[str, dict[str, Any]]:
    kept: dict[str, dict[str, Any]] = live.entries.value if live else {}
    for name, entry in kept.items():
        kind = entry.get("type", _CLASS)
        unknown = sorted(entry.keys() - {"type"} - _CARRIED.get(kind, frozenset()))
        if kind not in _CARRIED or unknown:
            what = f"field {unknown[0]} of" if kind in _CARRIED else f"type {kind} of"
            raise CommandError(
                f"export: Worker {worker.id}: wrangler cannot send {what} entry {name} in its exports, and would take "
                "it away; deploy this Worker from here."
            )
    return kept
