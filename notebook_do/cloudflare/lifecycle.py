"""Turns a migration into the part of the upload's metadata that carries it: `exports` or `migrations`.

`exports` is a map of everything the script hosts, with tombstones for what changes; `migrations` is what changes, as
steps, between two tags. A script speaks one of them. (developers.cloudflare.com/durable-objects/reference)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.model import CreateClass, DeleteClass, RenameClass, Storage, TransferClass, TransferredAway

if TYPE_CHECKING:
    from notebook_do.model import ClassMigration, Migration

_STORAGE = {Storage.SQLITE: "sqlite", Storage.KV: "legacy-kv"}


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
