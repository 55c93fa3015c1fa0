"""Turns plan values into the rows that show them: of changes, of bindings, of class migrations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.display.formats import listed
from notebook_do.plan.facts import Slot
from notebook_do.plan.happens import WITH_URL, namespace_created, namespace_destroyed, namespace_moved
from notebook_do.plan.namespaces.marks import read_mark
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.sentences import say
from notebook_do.plan.workers.bindings import kept_secrets
from notebook_do.plan.workers.diff import kept_assets
from notebook_do.plan.workers.lifecycle import kept_entries
from notebook_do.plan.workers.ownership import change_of
from notebook_do.plan.workers.settings import kept_settings, read_fingerprint
from notebook_do.plan.workers.triggers import kept_cron_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import Desired, Observed, Recorded
    from notebook_do.model.steps import SetMark
    from notebook_do.plan.facts import Facts
    from notebook_do.plan.happens import CalledNames
    from notebook_do.plan.namespaces.destroy import DestroySet
    from notebook_do.plan.namespaces.identity import ResolvedNamespace
    from notebook_do.plan.workers.diff import WorkerDiff
    from notebook_do.plan.workers.ownership import Ownership


# --- changes of namespaces


def namespace_changes(resolved: Iterable[ResolvedNamespace], known: CalledNames) -> list[Change]:
    """Return the changes of the declared namespaces, renamed stable IDs included."""
    changes = []
    for one in resolved:
        changes.append(_change_of(one, known))
        if one.formerly:
            happens = say("row-stable-id", before=one.formerly, after=one.desired.stable_id)
            shown = {"before": str(one.formerly), "after": str(one.desired.stable_id), "happens": happens}
            detail = say("stable-id-renamed", before=one.formerly, after=one.desired.stable_id)
            changes.append(_row(one, Action.UPDATE, detail, field="stable_id", **shown))
    return changes


def _change_of(resolved: ResolvedNamespace, known: CalledNames) -> Change:
    desired, live = resolved.desired, resolved.live
    stable_id = desired.stable_id
    if live is None:
        storage = "kv" if desired.storage == "kv" else "sqlite"
        detail = say("namespace-created", storage, stable_id=stable_id, class_name=desired.class_name)
        row = {"after": desired.class_name, "happens": namespace_created(desired.class_name, storage)}
        return _row(resolved, Action.CREATE, detail, field="class", **row)
    was, now = Slot(live.script_name, live.class_name), Slot(desired.script_name, desired.class_name)
    if was == now:
        return _row(resolved, Action.NOOP, say("namespace-unchanged", stable_id=stable_id))
    happens = namespace_moved(was, now, live.namespace_id, known)
    if was.script == now.script:
        detail = say("namespace-renamed", stable_id=stable_id, was=was, now=now)
        row = {"before": was.class_name, "after": now.class_name, "happens": happens}
        return _row(resolved, Action.RENAME, detail, field="class", **row)
    detail = say("namespace-moved", stable_id=stable_id, was=was, now=now)
    row = {"before": ".".join(was), "after": ".".join(now), "happens": happens}
    return _row(resolved, Action.TRANSFER, detail, field="worker", **row)


def _row(  # noqa: PLR0913 - the cells of a row
    resolved: ResolvedNamespace,
    action: Action,
    detail: str,
    *,
    field: str = "",
    before: str = "",
    after: str = "",
    happens: str = "",
) -> Change:
    return Change(
        action=action,
        kind="namespace",
        id=resolved.desired.stable_id,
        worker=resolved.desired.host or "",
        name=resolved.desired.class_name,
        field=field,
        before=before,
        after=after,
        detail=detail,
        namespace_id=resolved.live.namespace_id if resolved.live else "",
        happens=happens,
    )


def mark_change(step: SetMark) -> Change:
    """Return the row of ids that are put into a mark although nothing else of the Worker is sent."""
    detail = say("mark-completed", script=step.script_name, stable_ids=", ".join(step.stable_ids))
    change = Change(action=Action.UPDATE, kind="setting", id=step.worker, worker=step.worker, name=step.script_name)
    happens = say("row-mark", stable_ids=listed(step.stable_ids))
    return replace(change, field="tags", detail=detail, happens=happens)


# --- what is not declared now


def kept_changes(facts: Facts, destroy_set: DestroySet, resolved: Iterable[ResolvedNamespace]) -> list[Change]:
    """Return the rows of what is recorded and live but not declared now: kept, never deleted for that."""
    held = {h.live.namespace_id for h in resolved if h.live} | set(destroy_set.by_id())
    changes = [
        Change(
            action=Action.NOOP,
            kind="namespace",
            id=record.stable_id,
            worker=record.script_name,
            name=record.class_name,
            detail=say("namespace-kept", stable_id=record.stable_id),
            namespace_id=record.namespace_id,
        )
        for record in sorted(facts.recorded.namespaces, key=lambda r: r.stable_id)
        if record.namespace_id in facts.live
        and record.namespace_id not in held
        and record.stable_id not in facts.namespaces
    ]
    declared = {w.id for w in facts.desired.workers} | {w.script_name for w in facts.desired.workers}
    changes += [
        Change(
            action=Action.NOOP,
            kind="worker",
            id=worker.id,
            worker=worker.id,
            name=worker.script_name,
            detail=say("worker-kept", script=worker.script_name),
        )
        for worker in sorted(facts.recorded.workers, key=lambda w: w.id)
        if worker.script_name in facts.scripts
        and not {worker.id, worker.script_name} & declared
        and worker.id not in destroy_set.workers
    ]
    return changes


def gone_changes(facts: Facts, destroy_set: DestroySet) -> list[Change]:
    """Return the rows of what is recorded, not declared now, and no longer live: no declaration would show it."""
    declared = {i for n in facts.desired.namespaces for i in (n.stable_id, n.renamed_from)}
    gone = [
        r
        for r in facts.recorded.namespaces
        if r.namespace_id not in facts.live and r.stable_id not in declared and r.stable_id not in destroy_set.forgotten
    ]
    return [
        Change(
            action=Action.DELETE,
            kind="namespace",
            id=record.stable_id,
            worker=record.script_name,
            name=record.class_name,
            detail=say("undeclared-namespace-gone", stable_id=record.stable_id, namespace_id=record.namespace_id),
            destructive=True,
            namespace_id=record.namespace_id,
        )
        for record in sorted(gone, key=lambda r: r.stable_id)
    ]


def destroy_changes(destroy_set: DestroySet, facts: Facts) -> list[Change]:
    """Return the rows of what is destroyed, with all its objects, and of what is only forgotten."""
    hosts = {live.script_name for live in destroy_set.namespaces.values()}
    changes = [
        Change(
            action=Action.DELETE,
            kind="namespace",
            id=stable_id,
            worker=live.script_name,
            name=live.class_name,
            before=live.class_name,
            detail=say("namespace-destroyed", stable_id=stable_id),
            destructive=True,
            namespace_id=live.namespace_id,
            happens=namespace_destroyed(live.class_name, facts.known.worker(live.script_name), live.namespace_id),
        )
        for stable_id, live in sorted(destroy_set.namespaces.items())
    ]
    changes += [
        Change(
            action=Action.DELETE,
            kind="worker",
            id=id_,
            worker=id_,
            name=script,
            before=script,
            detail=say("worker-deleted", script=script),
            destructive=script in hosts,
            happens=WITH_URL if _is_open(facts, script) else "is deleted",
        )
        for id_, script in sorted(destroy_set.workers.items())
    ]
    changes += [
        Change(
            action=Action.DELETE,
            kind="namespace",
            id=id_,
            detail=say("forgotten", "namespace", name=id_),
            happens=say("row-forgotten"),
        )
        for id_ in destroy_set.forgotten
    ]
    changes += [
        Change(
            action=Action.DELETE,
            kind="worker",
            id=id_,
            detail=say("forgotten", "worker", name=id_),
            happens=say("row-forgotten"),
        )
        for id_ in destroy_set.forgotten_workers
    ]
    return changes


def _is_open(facts: Facts, script: str) -> bool:
    """Say whether the address of a script is open, as it was read, or else as it was recorded; not known is no."""
    live, record = facts.scripts.get(script), facts.script_records.get(script)
    if live is not None and live.url is not None:
        return live.url
    return record is not None and read_fingerprint(record.settings_digest).url == "open"


def undeclared_words(desired: Desired, recorded: Recorded, observed: Observed) -> tuple[str, ...] | None:
    """Return what is live or recorded of this session where nothing at all is declared; None where something is."""
    if desired.workers or desired.namespaces:
        return None
    scripts = {s.name for s in observed.scripts}
    ids = {n.namespace_id for n in observed.namespaces}
    recorded_scripts = {w.script_name for w in recorded.workers}
    marks = ((s.name, read_mark(s.tags)) for s in observed.scripts)
    ours = {name for name, mark in marks if mark and mark.is_of(desired.session, desired.stage)} - recorded_scripts
    namespaces = sorted(recorded.namespaces, key=lambda n: n.stable_id)
    return (
        *(say("worker-undeclared", "live" if s in scripts else "gone", script=s) for s in sorted(recorded_scripts)),
        *(say("worker-undeclared", "unrecorded", script=s) for s in sorted(ours)),
        *(
            say("namespace-undeclared", "live" if n.namespace_id in ids else "gone", stable_id=n.stable_id)
            for n in namespaces
        ),
    )


# --- what an upload leaves as it is


def kept(diff: WorkerDiff) -> list[Change]:
    """Return the rows of what an upload leaves as it is though it could replace it, undeclared things included."""
    ownership, before = diff.ownership, diff.before
    rows = [*kept_secrets(ownership, diff.secret_statuses), *kept_assets(ownership, before), *_kept_settings(ownership)]
    rows += [] if diff.sets_crons else kept_cron_rows(ownership, before)
    return [*rows, *kept_entries(ownership)]


def _kept_settings(ownership: Ownership) -> list[Change]:
    worker = ownership.worker
    return [
        change_of(
            worker,
            Action.NOOP,
            "setting",
            say("setting-kept", name=name, script=worker.script_name),
            field=name,
            after=value,
        )
        for name, value in kept_settings(ownership)
    ]
