"""What the state file holds after a step: intent x live -> what was done of it, recorded x done -> recorded.

All pure but `Recording`, which writes it. Only what was seen live becomes a record, under the id that it has there;
what is destroyed leaves a tombstone, so that its id is never taken for a new namespace's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.model import Json, Recorded, RecordedNamespace, Tombstone
from notebook_do.state.journal import Done

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
    from notebook_do.state.file import StateFile
    from notebook_do.state.journal import Intent


def done_of(
    intent: Intent,
    *,
    script: ObservedScript | None,
    live: Mapping[NamespaceId, ObservedNamespace],
    at: str,
    removable: frozenset[str] = frozenset(),
) -> Done:
    """Return what was seen of an intent that was carried out.

    `script` is what an upload answered, `live` are the namespaces seen after it, `at` is the tombstones' date, and
    `removable` are the earlier class names that no later upload of the script has to repeat.
    """
    script = script if intent.worker_record else None  # only an upload is recorded with them
    known = (_identified(n, intent, live) for n in intent.namespace_records)
    return Done(
        at=at,
        etag=script.etag if script else None,
        modified_on=script.modified_on if script else None,
        namespace_ids=tuple((n.stable_id, n.namespace_id) for n in known if n.namespace_id),
        removable=tuple(sorted(removable)),
    )


def after_done(recorded: Recorded, happened: Iterable[tuple[Intent, Done]]) -> Recorded:
    """Record what was carried out, oldest first. Once more on top of that it changes nothing."""
    records = _Records(recorded)
    for intent, done in happened:
        records.upload_or_set(intent, done)
        ids = dict(done.namespace_ids)
        hosted = (replace(n, namespace_id=ids[n.stable_id]) for n in intent.namespace_records if n.stable_id in ids)
        records.host(tuple(hosted), intent.forgotten, done.at)
    return records.recorded()


def after_forget(recorded: Recorded, stable_ids: Iterable[StableId], workers: Iterable[str], at: str) -> Recorded:
    """Drop records of what is no longer live."""
    records = _Records(recorded)
    for worker in workers:
        records.workers.pop(worker, None)
    records.host((), tuple(stable_ids), at)
    return records.recorded()


class Recording:
    """Writes what a deploy sees happen: each thing into the journal at once, all of them together into the state file.

    `recorded` is what the state file holds. A crash in between loses nothing: `recover` makes one of the other.
    """

    def __init__(self, state: StateFile, recorded: Recorded) -> None:
        self.recorded = recorded
        self._state, self._journal = state, state.journal
        self._done: list[tuple[Intent, Done]] = []

    def done(self, intent: Intent, done: Done) -> None:
        """Write into the journal that an intent was carried out."""
        self._journal.end(intent.op, "done", done=done)
        self._done.append((intent, done))

    def save(self) -> None:
        """Write into the state file what happened since it was written; nothing where nothing did."""
        if self._done:
            self.put(after_done(self.recorded, self._done))
            self._done.clear()
            self._journal.saved(self.recorded.serial)

    def put(self, recorded: Recorded) -> None:
        """Write into the state file what no intent is about."""
        self.recorded = self._state.save(recorded)


class _Records:
    """What is recorded, by id, while it changes."""

    def __init__(self, recorded: Recorded) -> None:
        self._before = recorded
        self.workers = {w.id: w for w in recorded.workers}
        self._namespaces = {n.stable_id: n for n in recorded.namespaces}
        self._tombstones = list(recorded.tombstones)

    def recorded(self) -> Recorded:
        """Return what is recorded now, in order."""
        return replace(
            self._before,
            workers=tuple(self.workers[id_] for id_ in sorted(self.workers)),
            namespaces=tuple(self._namespaces[id_] for id_ in sorted(self._namespaces)),
            tombstones=tuple(self._tombstones),
        )

    def upload_or_set(self, intent: Intent, done: Done) -> None:
        """Record of a Worker what a mutation left of it."""
        if intent.kind == "delete":
            self.workers.pop(intent.worker, None)
        elif intent.worker_record is not None:
            self.workers[intent.worker] = _uploaded(intent.worker_record, intent, done)
        # An upload's record is whole; every other step changes one fact of a Worker that is recorded already.
        elif (worker := self.workers.get(intent.worker)) is not None:
            self.workers[intent.worker] = _set(worker, intent)

    def host(self, records: tuple[RecordedNamespace, ...], forgotten: tuple[StableId, ...], at: str) -> None:
        """Record namespaces and drop those `forgotten`, with a tombstone for each that is gone for good."""
        gone = [n for stable_id in forgotten if (n := self._namespaces.pop(stable_id, None)) is not None]
        self._namespaces |= {n.stable_id: n for n in records}
        if not gone:
            return
        # One that goes on under another stable ID is not destroyed, and each destroyed one has one tombstone.
        kept = {n.namespace_id for n in self._namespaces.values()} | {t.namespace_id for t in self._tombstones}
        self._tombstones += [
            Tombstone(
                stable_id=n.stable_id,
                namespace_id=n.namespace_id,
                class_name=n.class_name,
                script_name=n.script_name,
                at=at,
            )
            for n in sorted(gone, key=lambda n: n.stable_id)
            if n.namespace_id not in kept
        ]


def _set(worker: RecordedWorker, intent: Intent) -> RecordedWorker:
    """Record what was set of a Worker that is recorded already."""
    if intent.trigger is not None:
        return _with_trigger(worker, intent.trigger, is_set=intent.kind == "trigger")
    if intent.settings_digest is None:
        return worker
    worker = replace(worker, settings_digest=intent.settings_digest)
    return _with_crons(worker, intent) if intent.kind == "crons" else worker


def _with_crons(worker: RecordedWorker, intent: Intent) -> RecordedWorker:
    """Record which cron triggers this session set: those that somebody else set are sent too, and stay theirs."""
    own = [cron for cron in intent.crons if cron not in intent.kept]
    return replace(worker, settings=Json({**worker.set_here, "crons": own}))


def _uploaded(worker: RecordedWorker, intent: Intent, done: Done) -> RecordedWorker:
    """Record what an upload left behind."""
    moved = tuple(m for m in worker.moved if m.class_name not in done.removable)
    # An answer need not hold either. A record without a time of change is never taken for exactly what is live.
    return replace(worker, etag=done.etag or worker.etag, modified_on=done.modified_on, op=intent.op, moved=moved)


def _with_trigger(worker: RecordedWorker, trigger: Trigger, *, is_set: bool) -> RecordedWorker:
    """Record that a trigger was set or removed; a workflow is not, as what is recorded may be taken away again."""
    if trigger.kind == "workflow":
        return worker
    kept = {(t.kind, t.key): t for t in worker.triggers}
    kept.pop((trigger.kind, trigger.key), None)
    if is_set:
        kept[trigger.kind, trigger.key] = trigger
    return replace(worker, triggers=tuple(kept[place] for place in sorted(kept)))


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


def hosted_by(live: Mapping[NamespaceId, ObservedNamespace]) -> dict[str, list[ObservedNamespace]]:
    """Return the namespaces of each script."""
    found: dict[str, list[ObservedNamespace]] = {}
    for namespace in live.values():
        found.setdefault(namespace.script_name, []).append(namespace)
    return found


def concerned(
    intent: Intent, live: Mapping[NamespaceId, ObservedNamespace], by_script: Mapping[str, list[ObservedNamespace]]
) -> dict[NamespaceId, ObservedNamespace]:
    """Return what an intent's records can be about: their own namespaces, and those of their scripts."""
    records = intent.namespace_records
    found = {n.namespace_id: n for script in {r.script_name for r in records} for n in by_script.get(script, ())}
    return found | {r.namespace_id: live[r.namespace_id] for r in records if r.namespace_id in live}


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
