"""The state file's document: JSON <-> Recorded, with a checksum, schema upgrades, and unknown fields kept.

Knows no file. A document that is not what was written raises `Damage`; one of a newer schema raises `NewerSchema`.
Written by hand and not by a typed decoder: those drop fields that they do not know, while a newer edition of the same
schema may have written some, which have to be there still when this one saves.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, cast, get_args

from notebook_do.model import (
    Inspected,
    Inspector,
    Json,
    MigrationTag,
    MovedClass,
    NamespaceId,
    Recorded,
    RecordedNamespace,
    RecordedWorker,
    StableId,
    Storage,
    Tombstone,
    Trigger,
    TriggerKind,
)
from notebook_do.state.strict import Damage, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.model import Lifecycle

SCHEMA = 1
TOOL = "notebook_do"
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Schema -> what turns a document of it into one of the next schema; every schema ever released stays here."""

Document = dict[str, Any]


class NewerSchema(Exception):  # noqa: N818 - what was found
    """The document was written by a newer notebook_do."""


def read_document(content: bytes) -> Document:
    """Parse, verify and upgrade a document; raises Damage or NewerSchema."""
    document = _object(parse(content), "the file")
    schema = document.get("schema")
    if type(schema) is not int or schema < 1:  # not isinstance: true is an int for Python
        raise Damage("it has no schema number")
    # Before the checksum: a newer schema may compute that in another way, and the advice is then to upgrade.
    if schema > SCHEMA:
        raise NewerSchema(f"schema {schema}, and this notebook_do reads up to {SCHEMA}")
    if document.get("checksum") != checksum(document):
        raise Damage("its checksum does not match: it was edited by hand or damaged")
    while schema < SCHEMA:  # one step after the other: no upgrade has to know more than its own two schemas
        document, schema = UPGRADES[schema](document), schema + 1
    return document


def write_document(document: Document) -> bytes:
    """Write a document as readable text with its checksum."""
    sealed = {**document, "checksum": checksum(document)}
    return (json.dumps(sealed, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def checksum(document: Document) -> str:
    """Return a digest of everything but the checksum itself, whatever the layout."""
    body = {key: value for key, value in document.items() if key != "checksum"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


# --- Recorded -> document --------------------------------------------------------------------------------


def encode(recorded: Recorded, before: Document) -> Document:
    """Lay `recorded` over the document it came from, so that fields we do not know stay."""
    workers, namespaces = _section(before, "workers"), _section(before, "namespaces")
    tombstones = {t.get("namespace_id"): t for t in before.get("tombstones", ()) if isinstance(t, dict)}
    return {
        **before,  # first, so that whatever is known here is written over it
        "schema": SCHEMA,
        "tool": TOOL,
        "lineage": recorded.lineage,
        "serial": recorded.serial,
        "target": {
            **_section(before, "target"),
            "account_id": recorded.account_id,
            "api_origin": recorded.api_origin,
        },
        "workers": {w.id: {**_left(workers.get(w.id, {})), **encode_worker(w)} for w in recorded.workers},
        "namespaces": {
            n.stable_id: {**namespaces.get(n.stable_id, {}), **encode_namespace(n)} for n in recorded.namespaces
        },
        "tombstones": [{**tombstones.get(t.namespace_id, {}), **_encode_tombstone(t)} for t in recorded.tombstones],
    }


def _left(before: Document) -> Document:
    """Return what stays of a Worker's fields: all but what is left out where there is none."""
    return {key: value for key, value in before.items() if key != "inspector"}


def encode_worker(worker: RecordedWorker) -> Document:
    """Write one Worker's record, without its id."""
    return {
        "name": worker.script_name,
        "etag": worker.etag,
        "lifecycle": worker.lifecycle,
        "migration_tag": worker.migration_tag,
        "content_digest": worker.content_digest,
        "settings_digest": worker.settings_digest,
        "secrets": dict(worker.secrets),
        "triggers": [encode_trigger(t) for t in worker.triggers],
        # Left out and not null: the record of an edition that knew no settings stays what it was.
        **({} if worker.settings is None else {"settings": worker.settings.value}),
        "modified_on": worker.modified_on,
        "op": worker.op,
        "moved_classes": [_encode_moved(m) for m in worker.moved],
        # Left out as well: of nearly every Worker there is nothing to say.
        **({} if worker.inspector is None else {"inspector": _encode_inspector(worker.inspector)}),
    }


def _encode_inspector(inspector: Inspector) -> Document:
    return {
        "worker": inspector.script_name,
        "key": inspector.key,
        "namespaces": {
            one.stable_id: {"class_name": one.class_name, "inspect": one.inspect} for one in inspector.namespaces
        },
    }


def _encode_moved(moved: MovedClass) -> Document:
    return {
        "class_name": moved.class_name,
        "namespace_id": moved.namespace_id,
        "renamed_to": moved.renamed_to,
        "to_worker": moved.to_script,
    }


def encode_trigger(trigger: Trigger) -> Document:
    """Write one trigger."""
    return {"kind": trigger.kind, "key": trigger.key, "settings": trigger.settings.value}


def encode_namespace(namespace: RecordedNamespace) -> Document:
    """Write one namespace's record, without its stable ID."""
    return {
        "namespace_id": namespace.namespace_id,
        "worker": namespace.script_name,
        "class_name": namespace.class_name,
        "storage": namespace.storage.value,
        "protected": namespace.protected,
        "class_history": list(namespace.class_history),
    }


def _encode_tombstone(tombstone: Tombstone) -> Document:
    return {
        "stable_id": tombstone.stable_id,
        "namespace_id": tombstone.namespace_id,
        "class_name": tombstone.class_name,
        "worker": tombstone.script_name,
        "at": tombstone.at,
    }


# --- document -> Recorded --------------------------------------------------------------------------------


def decode(document: Document) -> Recorded:
    """Read a verified document; raises Damage that names the field."""
    target = _object(document.get("target"), "target")
    serial = document.get("serial")
    if type(serial) is not int or serial < 0:
        raise Damage("serial is not a number")
    workers = _object(document.get("workers"), "workers")
    namespaces = _object(document.get("namespaces"), "namespaces")
    tombstones = document.get("tombstones")
    if not isinstance(tombstones, list):
        raise Damage("tombstones is not a list")
    return Recorded(
        lineage=_text(document, "lineage", "lineage"),
        serial=serial,
        account_id=_optional(target, "account_id", "target"),
        api_origin=_optional(target, "api_origin", "target"),
        workers=tuple(decode_worker(id_, w) for id_, w in sorted(workers.items())),
        namespaces=tuple(decode_namespace(id_, n) for id_, n in sorted(namespaces.items())),
        tombstones=tuple(_decode_tombstone(t) for t in tombstones),
    )


def decode_worker(id_: str, value: Any) -> RecordedWorker:
    """Read one Worker's record; what earlier editions did not write is read as absent."""
    where = f"workers.{id_}"
    fields = _object(value, where)
    lifecycle, tag = _optional(fields, "lifecycle", where), _optional(fields, "migration_tag", where)
    if lifecycle not in (None, "exports", "migrations"):
        raise Damage(f"{where}.lifecycle is neither exports nor migrations")
    return RecordedWorker(
        id=id_,
        script_name=_text(fields, "name", where),
        etag=_optional(fields, "etag", where),
        lifecycle=cast("Lifecycle | None", lifecycle),
        migration_tag=MigrationTag(tag) if tag is not None else None,
        content_digest=_optional(fields, "content_digest", where),
        settings_digest=_optional(fields, "settings_digest", where),
        secrets=_marks(fields, where),
        triggers=tuple(decode_trigger(t, f"{where}.triggers") for t in _list(fields.get("triggers", []), where)),
        settings=Json(_object(fields["settings"], f"{where}.settings")) if "settings" in fields else None,
        modified_on=_optional(fields, "modified_on", where),
        op=_optional(fields, "op", where),
        moved=tuple(_decode_moved(m, f"{where}.moved_classes") for m in _list(fields.get("moved_classes", []), where)),
        inspector=_decode_inspector(fields["inspector"], f"{where}.inspector") if "inspector" in fields else None,
    )


def _decode_inspector(value: Any, where: str) -> Inspector:
    fields = _object(value, where)
    namespaces = _object(fields.get("namespaces"), f"{where}.namespaces")
    return Inspector(
        script_name=_text(fields, "worker", where),
        key=_text(fields, "key", where),
        namespaces=tuple(_decode_inspected(id_, n, f"{where}.{id_}") for id_, n in sorted(namespaces.items())),
    )


def _decode_inspected(stable_id: str, value: Any, where: str) -> Inspected:
    fields = _object(value, where)
    inspect = fields.get("inspect")
    if inspect is not True and inspect != "calls":
        raise Damage(f"{where}.inspect is neither true nor calls")
    return Inspected(stable_id=StableId(stable_id), class_name=_text(fields, "class_name", where), inspect=inspect)


def _decode_moved(value: Any, where: str) -> MovedClass:
    fields = _object(value, where)
    return MovedClass(
        class_name=_text(fields, "class_name", where),
        namespace_id=NamespaceId(_text(fields, "namespace_id", where)),
        renamed_to=_optional(fields, "renamed_to", where),
        to_script=_optional(fields, "to_worker", where),
    )


def decode_trigger(value: Any, where: str) -> Trigger:
    """Read one trigger; raises Damage that names the place."""
    fields = _object(value, where)
    kind = _text(fields, "kind", where)
    if kind not in get_args(TriggerKind):
        raise Damage(f"{where}: {kind!r} is no kind of trigger that is known")
    settings = Json(_object(fields.get("settings"), where))
    return Trigger(kind=cast("TriggerKind", kind), key=_text(fields, "key", where), settings=settings)


def _marks(fields: Document, where: str) -> tuple[tuple[str, str], ...]:
    """Read the marks of secrets; a file that was written before there were any has none."""
    marks = _object(fields.get("secrets", {}), f"{where}.secrets")
    if not all(isinstance(mark, str) for mark in marks.values()):
        raise Damage(f"{where}.secrets is not a table of marks")
    return tuple(sorted(marks.items()))


def decode_namespace(stable_id: str, value: Any) -> RecordedNamespace:
    """Read one namespace's record."""
    where = f"namespaces.{stable_id}"
    fields = _object(value, where)
    history, storage = fields.get("class_history"), _text(fields, "storage", where)
    if not isinstance(history, list) or not all(isinstance(h, str) for h in history):
        raise Damage(f"{where}.class_history is not a list of names")
    if storage not in tuple(Storage):
        raise Damage(f"{where}.storage is neither sqlite nor kv")
    if not isinstance(fields.get("protected"), bool):
        raise Damage(f"{where}.protected is neither true nor false")
    return RecordedNamespace(
        stable_id=StableId(stable_id),
        namespace_id=NamespaceId(_text(fields, "namespace_id", where)),
        script_name=_text(fields, "worker", where),
        class_name=_text(fields, "class_name", where),
        storage=Storage(storage),
        protected=fields["protected"],
        class_history=tuple(history),
    )


def _decode_tombstone(value: Any) -> Tombstone:
    fields = _object(value, "tombstones")
    return Tombstone(
        stable_id=StableId(_text(fields, "stable_id", "tombstones")),
        namespace_id=NamespaceId(_text(fields, "namespace_id", "tombstones")),
        class_name=_text(fields, "class_name", "tombstones"),
        script_name=_text(fields, "worker", "tombstones"),
        at=_text(fields, "at", "tombstones"),
    )


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise Damage(f"{where}: triggers or moved_classes is not a list")
    return value


def _object(value: Any, where: str) -> Document:
    if not isinstance(value, dict):
        raise Damage(f"{where} is not an object")
    return value


def _section(document: Document, key: str) -> Document:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _text(fields: Document, key: str, where: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise Damage(f"{where}: {key} is not a text")
    return value


def _optional(fields: Document, key: str, where: str) -> str | None:
    return None if fields.get(key) is None else _text(fields, key, where)
