"""Turns a migration into the part of the upload's metadata that carries it: `exports` or `migrations`.

`exports` is a map of everything the script hosts, with tombstones for what changes; `migrations` is what changes, as
steps, between two tags. A script speaks one of them. (developers.cloudflare.com/durable-objects/reference)
`exports` also has entries that are no classes (`worker`, `workflow`): those stand beside either form, and are repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.model import CreateClass, DeleteClass, Json, RenameClass, Storage, TransferClass, TransferredAway

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ClassMigration, Migration, MovedClass
    from notebook_do.model.steps import Upload

_STORAGE = {Storage.SQLITE: "sqlite", Storage.KV: "legacy-kv"}
_CLASS = "durable-object"
_OWN = frozenset(
    ("type", "state", "storage", "renamed_to", "transferred_to", "transfer_from")  # what this file writes itself
)
_API_DATE = {"Cloudflare-Workers-Script-Api-Date": "2026-11-09"}
"""What wrangler sends with an upload that has a `workflow` entry."""


def encode_lifecycle(step: Upload) -> dict[str, Any]:
    """Return the part of the metadata that is about `exports` and `migrations`; empty for an upload without any.

    Entries that are somebody else's, and the earlier names of classes, are repeated: the map is replaced as a whole.
    """
    body = encode_migration(step.migration) if step.migration else {}
    if "exports" in body:
        body["exports"] = _with_moved(body["exports"], step.moved)
    if step.entries.value:
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
        renamed = {"state": "renamed", "renamed_to": one.renamed_to}
        became = renamed if one.renamed_to else {"state": "transferred", "transferred_to": one.to_script}
        entries.setdefault(one.class_name, {"type": _CLASS, **became})
    return dict(sorted(entries.items()))


def _completed(exports: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Add entries of other kinds, and the rest of the entries of classes that are still there."""
    entries = dict(exports)
    for name, entry in kept.items():
        if "type" in entry:
            if name in entries:
                raise AssertionError(f"{name} has two entries in one upload")
            entries[name] = entry
        elif name in entries and "storage" in entries[name]:
            entries[name] = {**entry, **entries[name]}
    return dict(sorted(entries.items()))


def declares_classes(exports: Any) -> bool:
    """Say whether a live `exports` is about Durable Object classes: its other entries stand beside either form."""
    entries = exports.values() if isinstance(exports, dict) else ()
    return any(isinstance(e, dict) and e.get("type") == _CLASS for e in entries)


def decode_entries(exports: Any) -> Json:
    """Return what a live `exports` has besides classes and their storage; see ObservedScript.entries."""
    kept: dict[str, Any] = {}
    for name, entry in exports.items() if isinstance(exports, dict) else ():
        if not isinstance(entry, dict):
            continue
        rest = {k: v for k, v in entry.items() if k not in _OWN and v is not None}
        if entry.get("type") != _CLASS:
            kept[name] = {k: v for k, v in entry.items() if v is not None}
        elif rest:
            kept[name] = rest
    return Json(kept)


def decode_expected(exports: Any) -> tuple[str, ...]:
    """Return the classes that a live `exports` announces to take over from another script."""
    entries = exports.items() if isinstance(exports, dict) else ()
    return tuple(sorted(n for n, e in entries if isinstance(e, dict) and e.get("state") == "expecting-transfer"))


def encode_migration(migration: Migration) -> dict[str, Any]:
    """Give `{"exports": {...}}` or `{"migrations": {...}}`."""
    if migration.wire == "exports":
        return {"exports": _exports(migration)}
    tags = {"old_tag": migration.old_tag, "new_tag": migration.new_tag}
    present: dict[str, Any] = {name: tag for name, tag in tags.items() if tag is not None}
    return {"migrations": present | {"steps": [_step(m) for m in migration.class_migrations]}}


def _exports(migration: Migration) -> dict[str, Any]:
    entries: dict[str, Any] = {
        class_name: {"type": "durable-object", "storage": _STORAGE[storage]}
        for class_name, storage in migration.classes
    }
    for class_migration in migration.class_migrations:
        class_name, state = _state(class_migration)
        if state:
            if class_name in entries:
                raise AssertionError(f"class {class_name} has two entries in one upload")
            entries[class_name] = {"type": "durable-object", **state}
    return dict(sorted(entries.items()))


def _state(migration: ClassMigration) -> tuple[str, dict[str, str]]:
    """Give the class and the fields of its entry; none for a class that simply begins."""
    match migration:
        case CreateClass():
            return migration.class_name, {}
        case RenameClass():
            return migration.from_class, {"state": "renamed", "renamed_to": migration.to_class}
        case TransferClass():
            source = {"state": "expecting-transfer", "transfer_from": migration.from_script}
            return migration.to_class, {**source, "storage": _STORAGE[migration.storage]}
        case TransferredAway():
            return migration.class_name, {"state": "transferred", "transferred_to": migration.to_script}
        case DeleteClass():
            return migration.class_name, {"state": "deleted"}
        case _:
            assert_never(migration)


def _step(migration: ClassMigration) -> dict[str, Any]:
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
