"""Records live Workers as this session's own, and finds those that it manages already and that are live as recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from notebook_do.model import (
    Json,
    RecordedNamespace,
    RecordedWorker,
    Secret,
    ValueBinding,
    is_secret,
)
from notebook_do.plan.namespaces.marks import op_of
from notebook_do.plan.workers.bindings import NOBODY, binding_changes
from notebook_do.plan.workers.ownership import UNKNOWN, Ownership, is_behind, serial_of
from notebook_do.plan.workers.settings import (
    fingerprint,
    imported_settings,
    read_fingerprint,
    setting_differences,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebook_do.model import (
        Desired,
        DesiredNamespace,
        DesiredWorker,
        Observed,
        ObservedNamespace,
        ObservedScript,
        Recorded,
        Trigger,
    )


# --- what is managed already


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """A Worker that is live as this session recorded it.

    `script` is what its cell is written from; `exactly`: the cell then declares just what was deployed.
    """

    script: ObservedScript
    exactly: bool


def managed(recorded: Recorded, desired: Desired, observed: Observed) -> dict[str, Managed]:
    """Return the Workers of `desired`, which is what is live, that are recorded and live as recorded, by script."""
    records = {w.script_name: w for w in recorded.workers}
    live = {s.name: s for s in observed.scripts}
    found = {}
    for worker in desired.workers:
        record, script = records.get(worker.script_name), live[worker.script_name]
        if record is None or not _is_as_left(record, script, recorded, observed):
            continue
        sent = read_fingerprint(record.settings_digest).upload
        same = next((s for s in _written(worker, script, record) if fingerprint(s[0]).upload == sent), None)
        if same is not None:
            # No cell can have a secret, so one that is set from here is never exactly what the cell declares.
            secret_free = not any(is_secret(b) for b in same[0].bindings)
            exactly = secret_free and worker.content_digest == record.content_digest
            found[script.name] = Managed(script=same[1], exactly=exactly)
        # No cell that can be written says what was sent, but nobody changed it since: so it is managed all the same.
        elif record.modified_on is not None and record.modified_on == script.modified_on:
            found[script.name] = Managed(script=script, exactly=False)
    return found


def _is_as_left(record: RecordedWorker, script: ObservedScript, recorded: Recorded, observed: Observed) -> bool:
    """Say whether what the record says of a script beside its settings is what is live."""
    before = read_fingerprint(record.settings_digest)
    known = {
        (n.namespace_id, n.class_name, n.storage) for n in recorded.namespaces if n.script_name == record.script_name
    }
    hosted = {
        (n.namespace_id, n.class_name, n.storage) for n in observed.namespaces if n.script_name == record.script_name
    }
    facts = (
        record.etag is not None and record.etag == script.etag,
        not script.split,
        not is_behind(script, recorded),
        # A script that hosts no class shows no form.
        script.lifecycle in {None, record.lifecycle},
        record.lifecycle != "migrations" or record.migration_tag == script.migration_tag,
        # By id, and class and storage with it: a namespace that another tool added or took away is a change too.
        known == hosted,
        # Only what this session set has to be there: what others added to a script stays theirs.
        script.url is None or before.url == "-" or (before.url == "open") == script.url,
        set(record.set_here.get("crons", ())) <= set(script.crons or ()),
        set(record.triggers) <= set(script.triggers),
    )
    return all(facts)


def _written(
    worker: DesiredWorker, script: ObservedScript, record: RecordedWorker
) -> Iterator[tuple[DesiredWorker, ObservedScript]]:
    """Yield the ways in which a cell can have said what is live: with or without what Cloudflare fills in.

    The record has no more than a digest of what was sent, so each way is tried until one has the same digest.
    """
    set_here = Json({name: value for name, value in worker.options.value.items() if name in record.set_here})
    live = Json({name: value for name, value in script.options.value.items() if name in record.set_here})
    secrets = (b.name for b in script.bindings or () if is_secret(b))
    sources = [ValueBinding(name=name, value=Secret.from_env("SECRET")) for name in secrets]
    bindings = tuple(sorted((*worker.bindings, *sources), key=lambda b: b.name))
    for options, shown in ((worker.options, script.options), (set_here, live)):
        for date in (script.compatibility_date, None):
            for bound in (worker.bindings, bindings):
                said = replace(worker, options=options, compatibility_date=date, bindings=bound)
                yield said, replace(script, options=shown, compatibility_date=date)


# --- what is recorded


def adopted(recorded: Recorded, desired: Desired, observed: Observed) -> Recorded:
    """Record the Workers and namespaces of `desired` as they are live, as if this session had deployed them.

    A Worker that is recorded already is recorded anew, since its declaration is what is live now; so is the place of
    each namespace that it hosts, under the stable ID that it has. Of another Worker of which a copy of this state file
    knows more, that is noted: this one is up to date with the Workers of `desired` only.
    """
    scripts = {s.name: s for s in observed.scripts}
    before = {w.script_name: w for w in recorded.workers}
    imported = {w.id: _worker_record(w, scripts[w.script_name], before.get(w.script_name)) for w in desired.workers}
    others = {w.id: _noted(w, scripts.get(w.script_name), recorded) for w in recorded.workers}
    workers = others | imported  # in this order: what is live now replaces what was recorded
    live: dict[str, ObservedNamespace] = {n.namespace_id: n for n in observed.namespaces}
    taken = {w.script_name for w in desired.workers}
    kept = [_as_live(n, live.get(n.namespace_id), taken) for n in recorded.namespaces]
    ids = {n.namespace_id for n in recorded.namespaces}
    hosted = [(n, _live_of(n, observed, live)) for n in desired.namespaces if n.host is not None]
    new = [_namespace_record(n, there) for n, there in hosted if there and there.namespace_id not in ids]
    return replace(
        recorded,
        account_id=observed.account_id,
        api_origin=observed.api_origin,
        workers=tuple(workers[id_] for id_ in sorted(workers)),
        namespaces=tuple(sorted((*kept, *new), key=lambda n: n.stable_id)),
    )


def as_project(record: RecordedWorker, worker: DesiredWorker, live: ObservedScript) -> RecordedWorker:
    """Record a Worker that was just recorded as it is live as a project declares it, as far as that is what is live.

    What is live and not of the project stays somebody else's; what differs is left for the plan to show.
    """
    declared, found = imported_settings(worker).value, record.set_here
    ours = {name: value for name, value in declared.items() if name in found}
    if "crons" in ours:
        ours["crons"] = [cron for cron in ours["crons"] if cron in (live.crons or ())]
    recorded = replace(record, settings=Json(ours), triggers=tuple(t for t in worker.triggers if _is_set(t, live)))
    ownership = Ownership(worker=worker, live=live, record=recorded, mark=None, form=live.lifecycle or "migrations")
    dates = {worker.compatibility_date, live.compatibility_date} - {None}
    differs = binding_changes(ownership, NOBODY, same=False)[0] or setting_differences(ownership) or len(dates) > 1
    if differs:
        return recorded
    sent = replace(read_fingerprint(record.settings_digest), upload=fingerprint(worker).upload)
    return replace(recorded, settings_digest=str(sent))


def _is_set(trigger: Trigger, live: ObservedScript) -> bool:
    """Say whether a trigger is live as it is declared; Cloudflare fills in settings of a consumer."""
    there = next((t for t in live.triggers if (t.kind, t.key) == (trigger.kind, trigger.key)), None)
    return there is not None and trigger.settings.value.items() <= there.settings.value.items()


def newest_serial(recorded: Recorded, observed: Observed) -> int:
    """Return the highest serial at which any copy of this state file uploaded what is live; 0 where none did."""
    # The state file goes on above it, so that no later upload from here looks older than what is live.
    return max((serial_of(s, recorded) or 0 for s in observed.scripts), default=0)


def _noted(worker: RecordedWorker, script: ObservedScript | None, recorded: Recorded) -> RecordedWorker:
    behind = worker.op is None and script is not None and is_behind(script, recorded)
    return replace(worker, op=UNKNOWN) if behind else worker


def _live_of(
    namespace: DesiredNamespace, observed: Observed, live: Mapping[str, ObservedNamespace]
) -> ObservedNamespace | None:
    if namespace.namespace_id is not None:
        return live.get(namespace.namespace_id)
    slot = namespace.script_name, namespace.class_name
    return next((n for n in observed.namespaces if (n.script_name, n.class_name) == slot), None)


def _as_live(record: RecordedNamespace, live: ObservedNamespace | None, scripts: set[str]) -> RecordedNamespace:
    """Record where a namespace is now, where it is on one of `scripts`."""
    if live is None or live.script_name not in scripts:
        return record
    history = record.class_history
    if not history or history[-1] != live.class_name:
        history = (*history, live.class_name)
    return replace(
        record,
        script_name=live.script_name,
        class_name=live.class_name,
        storage=live.storage,
        class_history=history,
    )


def _worker_record(worker: DesiredWorker, live: ObservedScript, before: RecordedWorker | None) -> RecordedWorker:
    """Return what a deploy of `worker` would have recorded, had it left the script as it is live.

    Only what is recorded of it tells which earlier class names to repeat; and, while it hosts no class, its form, which
    no script can leave.
    """
    # Without secrets: who set them is not known, and what is not recorded as ours is never taken away.
    return RecordedWorker(
        id=worker.id,
        script_name=live.name,
        etag=live.etag,
        lifecycle=live.lifecycle or (before.lifecycle if before else None),
        migration_tag=live.migration_tag,
        content_digest=worker.content_digest,
        settings_digest=str(fingerprint(worker)),
        triggers=tuple(trigger for trigger in worker.triggers if trigger.kind != "workflow"),
        settings=imported_settings(worker),
        modified_on=live.modified_on,
        op=op_of(live),
        moved=before.moved if before else (),
    )


def _namespace_record(namespace: DesiredNamespace, live: ObservedNamespace) -> RecordedNamespace:
    return RecordedNamespace(
        stable_id=namespace.stable_id,
        namespace_id=live.namespace_id,
        script_name=live.script_name,
        class_name=live.class_name,
        storage=live.storage,
        class_history=(live.class_name,),
    )
