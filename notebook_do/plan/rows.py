"""Turns plan values into the rows that show them: of changes, of bindings, of class migrations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from notebook_do.model import (
    ClassBinding,
    CreateClass,
    DeleteClass,
    RenameClass,
    TransferClass,
    TransferredAway,
)
from notebook_do.model.steps import Upload
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.marks import read_mark
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.sentences import say
from notebook_do.plan.workers.bindings import kept_secrets, kind_and_target, others_secrets
from notebook_do.plan.workers.diff import kept_assets
from notebook_do.plan.workers.lifecycle import kept_entries
from notebook_do.plan.workers.ownership import change_of
from notebook_do.plan.workers.settings import kept_settings
from notebook_do.plan.workers.triggers import kept_cron_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ClassMigration, Desired, Observed, Recorded, ScriptBinding
    from notebook_do.model.steps import SetMark, Step
    from notebook_do.plan.facts import Facts
    from notebook_do.plan.namespaces.destroy import DestroySet
    from notebook_do.plan.namespaces.identity import ResolvedNamespace
    from notebook_do.plan.workers.diff import WorkerDiff
    from notebook_do.plan.workers.ownership import Ownership


# --- changes of namespaces


def namespace_changes(resolved: Iterable[ResolvedNamespace]) -> list[Change]:
    """Return the changes of the declared namespaces, renamed stable IDs included."""
    changes = []
    for one in resolved:
        changes.append(_change_of(one))
        if one.formerly:
            shown = {"before": one.formerly, "after": one.desired.stable_id}
            detail = say("stable-id-renamed", before=one.formerly, after=one.desired.stable_id)
            changes.append(_row(one, Action.UPDATE, detail, field="stable_id", **shown))
    return changes


def _change_of(resolved: ResolvedNamespace) -> Change:
    desired, live = resolved.desired, resolved.live
    stable_id = desired.stable_id
    if live is None:
        storage = "kv" if desired.storage == "kv" else "sqlite"
        detail = say("namespace-created", storage, stable_id=stable_id, class_name=desired.class_name)
        return _row(resolved, Action.CREATE, detail, field="class", after=desired.class_name)
    was, now = Slot(live.script_name, live.class_name), Slot(desired.script_name, desired.class_name)
    if was == now:
        return _row(resolved, Action.NOOP, say("namespace-unchanged", stable_id=stable_id))
    if was.script == now.script:
        detail = say("namespace-renamed", stable_id=stable_id, was=was, now=now)
        return _row(resolved, Action.RENAME, detail, field="class", before=was.class_name, after=now.class_name)
    detail = say("namespace-moved", stable_id=stable_id, was=was, now=now)
    return _row(resolved, Action.TRANSFER, detail, field="worker", before=".".join(was), after=".".join(now))


def _row(  # noqa: PLR0913 - the cells of a row
    resolved: ResolvedNamespace, action: Action, detail: str, *, field: str = "", before: str = "", after: str = ""
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
    )


def mark_change(step: SetMark) -> Change:
    """Return the row of ids that are put into a mark although nothing else of the Worker is sent."""
    detail = say("mark-completed", script=step.script_name, stable_ids=", ".join(step.stable_ids))
    change = Change(action=Action.UPDATE, kind="setting", id=step.worker, worker=step.worker, name=step.script_name)
    return replace(change, field="tags", detail=detail)


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


def destroy_changes(destroy_set: DestroySet) -> list[Change]:
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
        )
        for id_, script in sorted(destroy_set.workers.items())
    ]
    changes += [
        Change(action=Action.DELETE, kind="namespace", id=id_, detail=say("forgotten", "namespace", name=id_))
        for id_ in destroy_set.forgotten
    ]
    changes += [
        Change(action=Action.DELETE, kind="worker", id=id_, detail=say("forgotten", "worker", name=id_))
        for id_ in destroy_set.forgotten_workers
    ]
    return changes


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


# --- the rows of `plan.bindings` and `plan.migrations`: text cells under fixed names

KEPT = "kept"
"""What the column `action` says of a live binding that is not declared, and stays."""


def binding_rows(
    facts: Facts, diffs: Mapping[str, WorkerDiff], namespace_ids: Mapping[str, str]
) -> tuple[dict[str, str], ...]:
    """Return one row for each declared binding, and one for each secret of somebody else's that stays.

    `namespace_ids` has the live id by stable ID.
    """
    rows = []
    for worker in facts.desired.workers:
        diff = diffs.get(worker.script_name)
        for binding in worker.bindings:
            action = diff.binding_actions.get(binding.name, Action.NOOP) if diff else Action.NOOP
            rows.append(_binding_row(worker.id, worker.script_name, binding, namespace_ids, action))
        rows += _others_rows(diff.ownership) if diff else []
    return tuple(rows)


def _others_rows(ownership: Ownership) -> list[dict[str, str]]:
    """Return a row for each secret that is live and neither declared nor set from here."""
    live = {b.name: b for b in (ownership.live.bindings or () if ownership.live else ())}
    worker = ownership.worker
    rows = [_binding_row(worker.id, worker.script_name, live[n], {}, Action.NOOP) for n in others_secrets(ownership)]
    return [{**row, "target": say("secret-of-others"), "action": KEPT} for row in rows]


def _binding_row(
    worker: str, script: str, binding: ScriptBinding, namespace_ids: Mapping[str, str], action: Action
) -> dict[str, str]:
    kind, target = kind_and_target(binding)
    row = {
        "worker": worker,
        "binding": binding.name,
        "type": kind,
        "target": target,
        "class_name": "",
        "script_name": "",
        "environment": "",
        "namespace_id": "",
        "action": action.value,
    }
    if isinstance(binding, ClassBinding):
        stable_id = binding.stable_id or ""
        row |= {
            "target": stable_id or target,
            "class_name": binding.class_name,
            "script_name": binding.script_name or script,
            "environment": binding.environment or "",
            "namespace_id": namespace_ids.get(stable_id, ""),
            "role": "host" if binding.script_name in (None, script) else "client",
        }
    return row


def migration_rows(steps: Iterable[Step]) -> tuple[dict[str, str], ...]:
    """Return one row for each class migration of the uploads, in the order in which they are sent."""
    rows = []
    for step in steps:
        if not isinstance(step, Upload) or step.migration is None:
            continue
        shared = {
            "worker": step.worker,
            "wire": step.migration.wire,
            "old_tag": step.migration.old_tag or "",
            "new_tag": step.migration.new_tag or "",
        }
        rows += [_migration_row(m, shared) for m in step.migration.class_migrations]
    return tuple(rows)


def _migration_row(migration: ClassMigration, shared: Mapping[str, str]) -> dict[str, str]:
    word, before, after = _words(migration)
    cells = {
        "worker": shared["worker"],
        "step": word,
        "stable_id": str(migration.stable_id),
        "from_class": before,
        "to_class": after,
        "namespace_id": "" if isinstance(migration, CreateClass) else str(migration.namespace_id),
        "storage": "" if isinstance(migration, TransferredAway) else migration.storage.value,
    }
    return cells | {key: shared[key] for key in ("wire", "old_tag", "new_tag")}


def _words(migration: ClassMigration) -> tuple[str, str, str]:
    match migration:
        case CreateClass():
            return "create", "", migration.class_name
        case RenameClass():
            return "rename", migration.from_class, migration.to_class
        case TransferClass():
            return "transfer", f"{migration.from_script}.{migration.from_class}", migration.to_class
        case TransferredAway():
            return "hand over", migration.class_name, f"{migration.to_script}.{migration.class_name}"
        case DeleteClass():
            return "delete", migration.class_name, ""
        case _:
            assert_never(migration)
