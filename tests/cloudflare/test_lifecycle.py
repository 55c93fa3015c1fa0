"""What class migrations look like on the wire: as recorded from wrangler, and as Cloudflare's schema describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from notebook_do.cloudflare.lifecycle import (
    decode_entries,
    decode_expected,
    encode_lifecycle,
    encode_migration,
    headers_of,
)
from notebook_do.model import (
    ClassMigration,
    CreateClass,
    DeleteClass,
    Json,
    Lifecycle,
    Migration,
    MigrationTag,
    MovedClass,
    NamespaceId,
    RenameClass,
    StableId,
    Storage,
    TransferClass,
    TransferredAway,
)
from notebook_do.model.steps import Upload

HERE = Path(__file__).parent.parent
SCHEMAS = json.loads((HERE / "openapi" / "workers.json").read_text())["components"]["schemas"]
CAPTURE = json.loads((HERE / "wire" / "wrangler-4.164-deploy.json").read_text())
SQLITE, KV = Storage.SQLITE, Storage.KV
ID, NAMESPACE = StableId("counter"), NamespaceId("0" * 32)

CREATE = CreateClass(stable_id=ID, class_name="Counter", storage=SQLITE)
RENAME = RenameClass(stable_id=ID, namespace_id=NAMESPACE, from_class="Counter", to_class="Tally", storage=SQLITE)
TRANSFER = TransferClass(
    stable_id=ID, namespace_id=NAMESPACE, from_script="api", from_class="Counter", to_class="Counter", storage=KV
)
AWAY = TransferredAway(stable_id=ID, namespace_id=NAMESPACE, class_name="Counter", to_script="store")
DELETE = DeleteClass(stable_id=ID, namespace_id=NAMESPACE, class_name="Counter", storage=SQLITE)

STATES = {
    "created": "ExportsWorkersDurableObjectExport",
    "deleted": "ExportsWorkersDurableObjectDeletedExport",
    "renamed": "MetadataExportsWorkersDurableObjectRenamedExport",
    "transferred": "MetadataExportsWorkersDurableObjectTransferredExport",
    "expecting-transfer": "ExportsWorkersDurableObjectExpectingTransferExport",
}


def migration(
    wire: Lifecycle,
    *changes: ClassMigration,
    hosts: tuple[tuple[str, Storage], ...] = (),
    tags: tuple[str, str] | None = None,
) -> Migration:
    """Make a migration."""
    old, new = tags or (None, None)
    return Migration(
        wire=wire,
        class_migrations=changes,
        classes=hosts,
        old_tag=MigrationTag(old) if old else None,
        new_tag=MigrationTag(new) if new else None,
    )


def captured(key: str) -> list[Any]:
    """Give what wrangler sent under a key of the metadata, in order."""
    return [r["metadata"][key] for r in CAPTURE if key in r.get("metadata", {})]


def validate(schema: str, value: Any) -> None:
    """Validate against one schema of the API, with no field beyond it."""
    closed = {**SCHEMAS[schema], "additionalProperties": False, "components": {"schemas": SCHEMAS}}
    jsonschema.validate(value, closed)


def test_create_and_rename_as_wrangler_sends_them() -> None:
    """In the `migrations` form a creation and a rename are byte for byte what wrangler sends for the same scenario."""
    first = encode_migration(Migration(wire="migrations", class_migrations=(CREATE,), new_tag=MigrationTag("v1")))
    second = encode_migration(migration("migrations", RENAME, tags=("v1", "v2")))
    assert [first["migrations"], second["migrations"]] == captured("migrations")


def test_exports_as_wrangler_sends_them() -> None:
    """In the `exports` form a rename is byte for byte what wrangler sends: a tombstone and a live entry."""
    sent = encode_migration(migration("exports", RENAME, hosts=(("Tally", SQLITE),)))
    assert [sent["exports"]] == captured("exports")


@pytest.mark.parametrize(
    ("change", "hosts", "state"),
    [
        (CREATE, (("Counter", SQLITE),), None),
        (RENAME, (("Tally", SQLITE),), "renamed"),
        (TRANSFER, (), "expecting-transfer"),
        (AWAY, (), "transferred"),
        (DELETE, (), "deleted"),
    ],
)
def test_each_entry_of_exports_is_valid(
    change: ClassMigration, hosts: tuple[tuple[str, Storage], ...], state: str | None
) -> None:
    """Each entry has exactly the fields that Cloudflare's schema gives its state; the unchanged host stays declared."""
    sent = encode_migration(migration("exports", change, hosts=(*hosts, ("Other", KV))))["exports"]
    assert sent["Other"] == {"type": "durable-object", "storage": "legacy-kv"}
    assert sent["Counter"].get("state") == state
    for entry in sent.values():
        validate(STATES[entry.get("state", "created")], entry)


@pytest.mark.parametrize("change", [CREATE, RENAME, TRANSFER, DELETE])
def test_each_step_of_migrations_is_valid(change: ClassMigration) -> None:
    """Each class migration is one step of the schema; tags stand beside the steps."""
    sent = encode_migration(migration("migrations", change, tags=("a", "b")))["migrations"]
    validate("MetadataMigrationsWorkersMultipleStepMigrations", sent)
    (step,) = sent["steps"]
    validate("MigrationStepParam", step)
    assert (sent["old_tag"], sent["new_tag"]) == ("a", "b")


def test_storage_decides_the_list() -> None:
    """Key-value classes go to `new_classes`, SQLite classes to `new_sqlite_classes`."""
    kv = CreateClass(stable_id=ID, class_name="Old", storage=KV)
    steps = encode_migration(migration("migrations", CREATE, kv))["migrations"]["steps"]
    assert steps == [{"new_sqlite_classes": ["Counter"]}, {"new_classes": ["Old"]}]


def test_one_name_has_one_entry() -> None:
    """A class name that would need two entries in one upload is a bug that is not sent."""
    with pytest.raises(AssertionError, match="two entries"):
        encode_migration(migration("exports", RENAME, hosts=(("Tally", SQLITE), ("Counter", SQLITE))))
    with pytest.raises(AssertionError, match="destination only"):
        encode_migration(migration("migrations", AWAY))


LIVE_EXPORTS: dict[str, Any] = {
    "default": {"type": "worker", "cache": {"enabled": True}},
    "Flow": {"type": "workflow", "name": "flow", "limits": {"steps": 5}, "state": None},
    "Counter": {"type": "durable-object", "storage": "sqlite", "container": "box"},
    "Tally": {"type": "durable-object", "storage": "sqlite", "state": "expecting-transfer", "transfer_from": "x"},
    "Odd": {"type": "something-new", "a": [1]},
}


NO_ENTRIES = Json({})


def step(migration: Migration | None, *moved: MovedClass, entries: Json = NO_ENTRIES) -> Upload:
    """Make an upload."""
    return Upload(
        worker="w",
        script_name="w",
        main_module="index.js",
        modules=(),
        bindings=(),
        compatibility_date=None,
        compatibility_flags=(),
        options=Json({}),
        tags=(),
        migration=migration,
        moved=moved,
        entries=entries,
        creates=False,
    )


def test_entries_of_other_kinds_are_repeated_unchanged() -> None:
    """What a live `exports` has besides classes and storage goes into every upload, in either form and in none."""
    entries = decode_entries(LIVE_EXPORTS)
    assert entries.value == {
        "default": {"type": "worker", "cache": {"enabled": True}},
        "Flow": {"type": "workflow", "name": "flow", "limits": {"steps": 5}},
        "Counter": {"container": "box"},
        "Odd": {"type": "something-new", "a": [1]},
    }
    assert decode_expected(LIVE_EXPORTS) == ("Tally",)
    others = {k: v for k, v in entries.value.items() if k != "Counter"}
    assert encode_lifecycle(step(None, entries=entries)) == {"exports": dict(sorted(others.items()))}
    migrations = encode_lifecycle(step(migration("migrations", CREATE, tags=("v1", "v2")), entries=entries))
    assert migrations["exports"] == others
    assert migrations["migrations"]["new_tag"] == "v2"
    exports = encode_lifecycle(step(migration("exports", hosts=(("Counter", SQLITE),)), entries=entries))["exports"]
    assert exports == others | {"Counter": {"type": "durable-object", "storage": "sqlite", "container": "box"}}
    assert list(exports) == sorted(exports)


def test_an_upload_with_a_workflow_is_dated_as_wrangler_dates_it() -> None:
    """The header goes with a `workflow` entry, and with nothing else."""
    assert headers_of(step(None, entries=decode_entries(LIVE_EXPORTS))) == {
        "Cloudflare-Workers-Script-Api-Date": "2026-11-09"
    }
    assert headers_of(step(None, entries=Json({"default": {"type": "worker"}}))) == {}


def test_what_became_of_earlier_names_is_told_again() -> None:
    """Each is a tombstone; one that the migration itself makes is not written twice."""
    told = (
        MovedClass(class_name="Old", namespace_id=NAMESPACE, renamed_to="Tally"),
        MovedClass(class_name="Counter", namespace_id=NAMESPACE, renamed_to="Tally"),
        MovedClass(class_name="Gone", namespace_id=NamespaceId("1" * 32), to_script="store"),
    )
    body = encode_lifecycle(step(migration("exports", RENAME, hosts=(("Tally", SQLITE),)), *told))
    assert body["exports"] == {
        "Counter": {"type": "durable-object", "state": "renamed", "renamed_to": "Tally"},
        "Gone": {"type": "durable-object", "state": "transferred", "transferred_to": "store"},
        "Old": {"type": "durable-object", "state": "renamed", "renamed_to": "Tally"},
        "Tally": {"type": "durable-object", "storage": "sqlite"},
    }
