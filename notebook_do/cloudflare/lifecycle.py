"""Turns a migration into the part of an upload that carries it, `exports` or `migrations`, and reads what came of it.

`exports` is a map of everything the script hosts, with tombstones for what changes; `migrations` is what changes, as
steps, between two tags. A script speaks one of them. (developers.cloudflare.com/durable-objects/reference)
`exports` also has entries that are no classes (`worker`, `workflow`): those stand beside either form, and are repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.cloudflare.answer import objects_in, texts_in
from notebook_do.model import CreateClass, DeleteClass, Json, RenameClass, Storage, TransferClass, TransferredAway

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ClassMigration, Migration, MovedClass
    from notebook_do.model.steps import Upload


STORAGE_WORDS = {Storage.SQLITE: "sqlite", Storage.KV: "legacy-kv"}
CLASS_ENTRY = "durable-object"
"""The type of the entries of `exports` that are Durable Object classes."""
_OWN = frozenset(("type", "state", "storage", "renamed_to", "transferred_to", "transfer_from"))
"""The fields of a class's entry that are written anew with each upload; any other one is repeated."""
_API_DATE = {"Cloudflare-Workers-Script-Api-Date": "2026-11-09"}
"""What wrangler sends with an upload that has a `workflow` entry."""


def encode_lifecycle(step: Upload) -> dict[str, Any]:
    """Return the part of the metadata that is about `exports` and `migrations`; empty for an upload without any.

    Entries that are somebody else's, and the earlier names of classes, are repeated: the map is replaced as a whole.
    """
    body = encode_migration(step.migration) if step.migration else {}
    if "exports" in body:
        body["exports"] = _with_moved(body["exports"], step.moved)
    if step.entries.value:  # beside `migrations` too: entries that are no classes go with either form
        body["exports"] = _completed(body.get("exports", {}), step.entries.value)
    return body


def headers_of(step: Upload) -> dict[str, str]:
    """Return the headers that an upload needs for what its `exports` has."""
    entries = step.entries.value.values()
    return dict(_API_DATE) if any(entry.get("type") == "workflow" for entry in entries) else {}


def _with_moved(exports: Mapping[str, Any], moved: Iterable[MovedClass]) -> dict[str, Any]:
    """Add what became of earlier class names; an entry of the migration itself says the same."""
    entries = dict(exports)
    for one in moved:
        entries.setdefault(one.class_name, moved_entry(one))
    return dict(sorted(entries.items()))


def moved_entry(moved: MovedClass) -> dict[str, Any]:
    """Write the entry of an earlier class name: it says what became of the class.

    Left out too early it "could orphan" the bindings of other Workers (Cloudflare's page on class exports), so every
    upload repeats it until an answer lists it among `removable_entries`.
    """
    renamed = {"state": "renamed", "renamed_to": moved.renamed_to}
    became = renamed if moved.renamed_to else {"state": "transferred", "transferred_to": moved.to_script}
    return {"type": CLASS_ENTRY, **became}


def _completed(exports: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Add entries of other kinds, and the rest of the entries of classes that are still there."""
    entries = dict(exports)
    for name, entry in kept.items():
        if "type" in entry:  # of a class only the rest of its entry is kept, without a type
            if name in entries:
                raise AssertionError(f"{name} has two entries in one upload")
            entries[name] = entry
        elif name in entries and "storage" in entries[name]:  # a tombstone takes no field of a live class
            entries[name] = {**entry, **entries[name]}
    return dict(sorted(entries.items()))


def encode_migration(migration: Migration) -> dict[str, Any]:
    """Write `{"exports": {...}}` or `{"migrations": {...}}`; they exclude each other, and `exports` cannot be left."""
    if migration.wire == "exports":
        return {"exports": _exports(migration)}
    tags = {"old_tag": migration.old_tag, "new_tag": migration.new_tag}
    present: dict[str, Any] = {name: tag for name, tag in tags.items() if tag is not None}
    return {"migrations": present | {"steps": [_step(m) for m in migration.class_migrations]}}


def _exports(migration: Migration) -> dict[str, Any]:
    """Write every class that the script hosts, and a tombstone for each that is renamed, moved or deleted."""
    entries: dict[str, Any] = {
        class_name: {"type": CLASS_ENTRY, "storage": STORAGE_WORDS[storage]}
        for class_name, storage in migration.classes
    }
    for class_migration in migration.class_migrations:
        class_name, state = _state(class_migration)
        if state:
            if class_name in entries:  # the map would keep the later one, and forget the class or its tombstone
                raise AssertionError(f"class {class_name} has two entries in one upload")
            entries[class_name] = {"type": CLASS_ENTRY, **state}
    return dict(sorted(entries.items()))


def _state(migration: ClassMigration) -> tuple[str, dict[str, str]]:
    """Return the class and the fields of its entry; no fields for a class that simply begins: it is a live class."""
    match migration:
        case CreateClass():
            return migration.class_name, {}
        case RenameClass():  # the new name is among the live classes already
            return migration.from_class, {"state": "renamed", "renamed_to": migration.to_class}
        case TransferClass():  # announced by the target first; Cloudflare takes no other order
            source = {"state": "expecting-transfer", "transfer_from": migration.from_script}
            return migration.to_class, {**source, "storage": STORAGE_WORDS[migration.storage]}
        case TransferredAway():
            return migration.class_name, {"state": "transferred", "transferred_to": migration.to_script}
        case DeleteClass():
            return migration.class_name, {"state": "deleted"}
        case _:
            assert_never(migration)


def _step(migration: ClassMigration) -> dict[str, Any]:
    """Write one step of `migrations`; each class migration is one of its own, so that they apply in our order."""
    match migration:
        case CreateClass():
            key = "new_sqlite_classes" if migration.storage is Storage.SQLITE else "new_classes"
            return {key: [migration.class_name]}
        case RenameClass():
            return {"renamed_classes": [{"from": migration.from_class, "to": migration.to_class}]}
        case TransferClass():
            source = {"from": migration.from_class, "from_script": migration.from_script}
            return {"transferred_classes": [{**source, "to": migration.to_class}]}
        case DeleteClass():
            return {"deleted_classes": [migration.class_name]}
        case TransferredAway():
            raise AssertionError("in the `migrations` form a transfer is sent by its destination only")
        case _:
            assert_never(migration)


# --- a live `exports` -> model


def declares_classes(exports: Any) -> bool:
    """Say whether a live `exports` is about Durable Object classes: its other entries stand beside either form."""
    return any(entry.get("type") == CLASS_ENTRY for entry in _entries(exports).values())


def decode_entries(exports: Any) -> Json:
    """Return what a live `exports` has besides classes and their storage; see ObservedScript.entries."""
    kept: dict[str, Any] = {}
    for name, entry in _entries(exports).items():
        rest = {k: v for k, v in entry.items() if k not in _OWN and v is not None}
        if entry.get("type") != CLASS_ENTRY:
            kept[name] = {k: v for k, v in entry.items() if v is not None}
        elif rest:
            kept[name] = rest
    return Json(kept)


def decode_expected(exports: Any) -> tuple[str, ...]:
    """Return the classes that a live `exports` announces to take over from another script, sorted."""
    return tuple(sorted(n for n, e in _entries(exports).items() if e.get("state") == "expecting-transfer"))


def _entries(exports: Any) -> dict[str, dict[str, Any]]:
    return {n: e for n, e in exports.items() if isinstance(e, dict)} if isinstance(exports, dict) else {}


# --- what Cloudflare says of an upload with `exports`


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What the answer to one upload says.

    `began` are the classes that it created or renamed, None where it does not say; `removable` the earlier class names
    that no upload has to repeat any more; `notes` what a person needs to know, a sentence each.
    """

    began: frozenset[str] | None = None
    removable: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def decode_reconciliation(result: dict[str, Any], script_name: str) -> Reconciliation:
    """Return what the answer to an upload says of its `exports`."""
    report = result.get("exports_reconciliation")
    if not isinstance(report, dict):
        return Reconciliation()
    # An answer without the lists says nothing of who came first; then a script's deployments are asked instead.
    began, renamed = None, report.get("renamed", [])
    if isinstance(renamed, list):
        began = frozenset((*texts_in(report.get("created")), *(str(r.get("to")) for r in objects_in(renamed))))
    return Reconciliation(
        began=began,
        removable=frozenset(texts_in(report.get("removable_entries"))),
        notes=tuple(_notes(report, script_name)),
    )


def beginnings(migration: Migration) -> frozenset[str]:
    """Return the classes that an upload is to create or rename, by the names that they have after it."""
    changes = migration.class_migrations
    created = (c.class_name for c in changes if isinstance(c, CreateClass))
    return frozenset((*created, *(c.to_class for c in changes if isinstance(c, RenameClass))))


def _notes(report: dict[str, Any], script_name: str) -> list[str]:
    """Write every warning, and the infos that name other Workers: those have to be deployed anew.

    The other infos say every time that an entry may be left out; that is done without a word (`removable`).
    """
    notes = [f"Worker {script_name}: {_message(item)}" for item in objects_in(report.get("warnings"))]
    infos = objects_in(report.get("info"))
    bound = [(info.get("class"), ", ".join(texts_in(info.get("referencing_scripts")))) for info in infos]
    return notes + [
        f"Worker {script_name}: class {class_name} is still bound by that name by {others}. Deploy {others} with the "
        f"present class; until then each upload of {script_name} tells what became of it."
        for class_name, others in bound
        if others
    ]


def _message(item: dict[str, Any]) -> str:
    return str(item.get("message") or item.get("scenario") or "a warning without a text")
