"""What the state file holds after a step: recorded x intent x live -> recorded. Pure.

Only what was seen live becomes a record, under the id that it has there; what is destroyed leaves a tombstone, so that
its id is never taken for a new namespace's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.model import Json, Recorded, RecordedNamespace, Tombstone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import (
        NamespaceId,
        ObservedNamespace,
        ObservedScript,
        RecordedWorker,
        StableId,
        Trigger,
    )
    from notebook_do.state.journal import Intent


def after_intent(  # noqa: PLR0913 - what was recorded, and what came of the intent
    recorded: Recorded,
    intent: Intent,
    *,
    script: ObservedScript | None,
    live: Mapping[NamespaceId, ObservedNamespace],
    at: str,
    removable: frozenset[str] = frozenset(),
) -> Recorded:
    """Record that `intent` was carried out.

    `script` is what an upload answered, `live` are the namespaces seen after it, `at` is the tombstones' date, and
    `removable` are the earlier class names that no later upload of the script has to repeat.
    """
    workers = {w.id: w for w in recorded.workers}
    if intent.kind == "delete":
        workers.pop(intent.worker, None)
    elif intent.worker_record is not None:
        moved = tuple(m for m in intent.worker_record.moved if m.class_name not in removable)
        workers[intent.worker] = replace(_uploaded(intent.worker_record, intent, script), moved=moved)
    # An upload's record is whole; every other step changes one fact of a Worker that is recorded already.
    elif intent.trigger is not None and intent.worker in workers:
        is_set = intent.kind == "trigger"
        workers[intent.worker] = _with_trigger(workers[intent.worker], intent.trigger, is_set=is_set)
    elif intent.settings_digest is not None and intent.worker in workers:
        workers[intent.worker] = replace(workers[intent.worker], settings_digest=intent.settings_digest)
        if intent.kind == "crons":
            workers[intent.worker] = _with_crons(workers[intent.worker], intent)
    records = tuple(_identified(n, intent, live) for n in intent.namespace_records)
    changed = replace(recorded, workers=tuple(workers[id_] for id_ in sorted(workers)))
    return _with_namespaces(changed, records, intent.forgotten, at)


def _with_crons(worker: RecordedWorker, intent: Intent) -> RecordedWorker:
    """Record which cron triggers this session set: those that somebody else set are sent too, and stay theirs."""
    own = [cron for cron in intent.crons if cron not in intent.kept]
    return replace(worker, settings=Json({**worker.set_here, "crons": own}))


def _uploaded(worker: RecordedWorker, intent: Intent, script: ObservedScript | None) -> RecordedWorker:
    """Record what an upload left behind."""
    # An answer need not hold either. A record without a time of change is never taken for exactly what is live.

    etag, modified_on = (script.etag, script.modified_on) if script else (None, None)
    return replace(worker, etag=etag or worker.etag, modified_on=modified_on, op=intent.op)


def _with_trigger(worker: RecordedWorker, trigger: Trigger, *, is_set: bool) -> RecordedWorker:
    """Record that a trigger was set or removed."""
    kept = {(t.kind, t.key): t for t in worker.triggers}
    kept.pop((trigger.kind, trigger.key), None)
    if is_set:
        kept[trigger.kind, trigger.key] = trigger
    return replace(worker, triggers=tuple(kept[place] for place in sorted(kept)))


def after_forget(recorded: Recorded, stable_ids: Iterable[StableId], workers: Iterable[str], at: str) -> Recorded:
    """Drop records of what is no longer live."""
    gone = frozenset(workers)
    kept = replace(recorded, workers=tuple(w for w in recorded.workers if w.id not in gone))
    return _with_namespaces(kept, (), tuple(stable_ids), at)


def unclaimed(
    recorded: Recorded, intent: Intent, live: Mapping[NamespaceId, ObservedNamespace]
) -> tuple[RecordedNamespace, ...]:
    """Return the intent's records that take neither a stable ID nor a namespace from what is recorded."""
    by_id = {n.namespace_id: n.stable_id for n in recorded.namespaces if n.namespace_id}
    by_stable = {n.stable_id: n.namespace_id for n in recorded.namespaces if n.namespace_id}
    known = [(r, _identified(r, intent, live).namespace_id) for r in intent.namespace_records]
    return tuple(
        r for r, id_ in known if by_id.get(id_, r.stable_id) == r.stable_id and by_stable.get(r.stable_id, id_) == id_
    )


def missing(intent: Intent, live: Mapping[NamespaceId, ObservedNamespace]) -> list[str]:
    """Name the namespaces that should be live after `intent` and are not, or are not what they should be."""
    concerned = (n for n in intent.namespace_records if n.stable_id in intent.verify)
    return [problem for n in concerned if (problem := _mismatch(n, intent, live))]


def _mismatch(record: RecordedNamespace, intent: Intent, live: Mapping[NamespaceId, ObservedNamespace]) -> str | None:
    """Say how a namespace is not what it should be; None where it is."""
    known = _identified(record, intent, live)
    there = live.get(known.namespace_id)
    what = f"namespace {record.stable_id} (class {record.class_name} on {record.script_name})"
    if there is None:
        return f"{what} is not listed"
    if (there.script_name, there.class_name) != (record.script_name, record.class_name):
        return f"{what} is listed as class {there.class_name} on {there.script_name}"
    if there.storage != record.storage:
        return f"{what} is stored as {there.storage}, not {record.storage}"
    return None


def _identified(
    record: RecordedNamespace, intent: Intent, live: Mapping[NamespaceId, ObservedNamespace]
) -> RecordedNamespace:
    """Return a namespace that was just created with its id: the one of its class on its script that is new.

    Where two fit, somebody else created one at the same moment: then neither is recorded.
    """
    if record.namespace_id:
        return record
    place = record.script_name, record.class_name
    new = (n for n in live.values() if n.namespace_id not in intent.known)
    ids = [n.namespace_id for n in new if (n.script_name, n.class_name) == place]
    return replace(record, namespace_id=ids[0]) if len(ids) == 1 else record


def _with_namespaces(
    recorded: Recorded, records: tuple[RecordedNamespace, ...], forgotten: tuple[StableId, ...], at: str
) -> Recorded:
    """Record `records` and drop those `forgotten`, with a tombstone for each that is gone for good."""
    gone = [n for n in recorded.namespaces if n.stable_id in forgotten]
    namespaces = {n.stable_id: n for n in recorded.namespaces if n.stable_id not in forgotten}
    namespaces |= {n.stable_id: n for n in records if n.namespace_id}
    # One that goes on under another stable ID is not destroyed, and each destroyed one has one tombstone.
    kept = {n.namespace_id for n in namespaces.values()} | {t.namespace_id for t in recorded.tombstones}
    tombstones = tuple(
        Tombstone(
            stable_id=n.stable_id,
            namespace_id=n.namespace_id,
            class_name=n.class_name,
            script_name=n.script_name,
            at=at,
        )
        for n in gone
        if n.namespace_id not in kept
    )
    return replace(
        recorded,
        namespaces=tuple(namespaces[id_] for id_ in sorted(namespaces)),
        tombstones=recorded.tombstones + tombstones,
    )
