"""Says in one sentence what a plan does to each namespace, what it leaves as it is, and when new code answers.

Running objects get new code with a delay of up to `max_delay` seconds (Cloudflare: code updates of Durable Objects).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.model import UPDATE_DEFAULT
from notebook_do.model.steps import Upload
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.marks import read_mark
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.workers.assets import kept_assets
from notebook_do.plan.workers.diff import binding_change
from notebook_do.plan.workers.exports import kept_entries
from notebook_do.plan.workers.ownership import change_of
from notebook_do.plan.workers.secrets import others_secrets
from notebook_do.plan.workers.settings import kept_settings
from notebook_do.plan.workers.triggers import kept_cron_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import Desired, Observed, Recorded, Target
    from notebook_do.model.steps import SetMark, Step
    from notebook_do.plan.facts import Facts
    from notebook_do.plan.namespaces.destroy import DestroySet
    from notebook_do.plan.namespaces.identity import ResolvedNamespace
    from notebook_do.plan.workers.diff import WorkerDiff
    from notebook_do.plan.workers.ownership import Ownership


def namespace_changes(resolved: Iterable[ResolvedNamespace]) -> list[Change]:
    """Give the changes of the declared namespaces, renamed stable IDs included."""
    changes = []
    for one in resolved:
        changes.append(_change_of(one))
        if one.formerly:
            detail = (
                f"The stable ID {one.formerly} becomes {one.desired.stable_id}; nothing else changes for its objects."
            )
            changes.append(
                _row(one, Action.UPDATE, detail, field="stable_id", before=one.formerly, after=one.desired.stable_id)
            )
    return changes


def _change_of(resolved: ResolvedNamespace) -> Change:
    desired, live = resolved.desired, resolved.live
    if live is None:
        storage = "key-value" if desired.storage == "kv" else "SQLite"
        detail = f"Namespace {desired.stable_id} begins empty: class {desired.class_name}, {storage} storage."
        return _row(resolved, Action.CREATE, detail, field="class", after=desired.class_name)
    was, now = Slot(live.script_name, live.class_name), Slot(desired.script_name, desired.class_name)
    if was == now:
        return _row(resolved, Action.NOOP, f"Namespace {desired.stable_id} stays as it is.")
    if was.script == now.script:
        detail = (
            f"Namespace {desired.stable_id} keeps its id and its objects; class {was.class_name} "
            f"becomes {now.class_name}."
        )
        return _row(resolved, Action.RENAME, detail, field="class", before=was.class_name, after=now.class_name)
    detail = f"Namespace {desired.stable_id} moves with its objects from Worker {was.script} to {now.script}."
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
    """Tell of ids that are put into a mark although nothing else of the Worker is sent."""
    detail = (
        f"The tags of Worker {step.script_name} are to say which namespaces {', '.join(step.stable_ids)} are; an "
        "interrupted deploy left their ids out."
    )
    change = Change(action=Action.UPDATE, kind="setting", id=step.worker, worker=step.worker, name=step.script_name)
    return replace(change, field="tags", detail=detail)


def kept_changes(facts: Facts, destroy_set: DestroySet, resolved: Iterable[ResolvedNamespace]) -> list[Change]:
    """Give what is recorded and live but not declared now: kept, never deleted for that."""
    mine = {h.live.namespace_id for h in resolved if h.live} | set(destroy_set.by_id())
    changes = []
    for record in sorted(facts.recorded.namespaces, key=lambda r: r.stable_id):
        if (
            record.namespace_id in facts.live
            and record.namespace_id not in mine
            and record.stable_id not in facts.namespaces
        ):
            detail = f"Namespace {record.stable_id} is live and not declared in this session; it is kept."
            changes.append(
                _kept("namespace", record.stable_id, record.script_name, record.class_name, detail, record.namespace_id)
            )
    declared = {w.id for w in facts.desired.workers} | {w.script_name for w in facts.desired.workers}
    for worker in sorted(facts.recorded.workers, key=lambda w: w.id):
        if (
            worker.script_name in facts.scripts
            and not {worker.id, worker.script_name} & declared
            and worker.id not in destroy_set.workers
        ):
            detail = f"Worker {worker.script_name} is live and not declared in this session; it is kept."
            changes.append(_kept("worker", worker.id, worker.id, worker.script_name, detail, ""))
    return changes


def gone_changes(facts: Facts, destroy_set: DestroySet) -> list[Change]:
    """Give what is recorded, not declared now, and no longer live: drift that no declaration would show."""
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
            detail=f"Namespace {record.stable_id} ({record.namespace_id}) is gone from the account, with its objects; "
            f"it is not declared in this session. `%durable destroy {record.stable_id}` forgets it.",
            destructive=True,
            namespace_id=record.namespace_id,
        )
        for record in sorted(gone, key=lambda r: r.stable_id)
    ]


def _kept(  # noqa: PLR0913, PLR0917 - the cells of a row
    kind: str, id_: str, worker: str, name: str, detail: str, namespace_id: str
) -> Change:
    return Change(
        action=Action.NOOP, kind=kind, id=id_, worker=worker, name=name, detail=detail, namespace_id=namespace_id
    )


def destroy_changes(destroy_set: DestroySet) -> list[Change]:
    """Give what is destroyed, with all its objects, and what is only forgotten."""
    changes = [
        Change(
            action=Action.DELETE,
            kind="namespace",
            id=stable_id,
            worker=live.script_name,
            name=live.class_name,
            before=live.class_name,
            detail=f"Namespace {stable_id} is destroyed with all its objects; this cannot be undone.",
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
            detail=f"Worker {script} is deleted.",
            destructive=any(n.script_name == script for n in destroy_set.namespaces.values()),
        )
        for id_, script in sorted(destroy_set.workers.items())
    ]
    gone = [("namespace", i) for i in destroy_set.forgotten] + [("worker", i) for i in destroy_set.forgotten_workers]
    changes += [
        Change(
            action=Action.DELETE,
            kind=kind,
            id=id_,
            detail=f"{kind.capitalize()} {id_} is gone already; it is forgotten.",
        )
        for kind, id_ in gone
    ]
    return changes


def undeclared_words(desired: Desired, recorded: Recorded, observed: Observed) -> tuple[str, ...] | None:
    """Say what is live or recorded of this session where nothing at all is declared; None where something is."""
    if desired.workers or desired.namespaces:
        return None
    scripts = {s.name for s in observed.scripts}
    ids = {n.namespace_id for n in observed.namespaces}
    recorded_scripts = {w.script_name for w in recorded.workers}
    marks = ((s.name, read_mark(s.tags)) for s in observed.scripts)
    ours = {name for name, mark in marks if mark and mark.is_of(desired.session, desired.stage)} - recorded_scripts
    return (
        *(f"Worker {name} ({_whereabouts(name in scripts)})" for name in sorted(recorded_scripts)),
        *(f"Worker {name} (live, not recorded)" for name in sorted(ours)),
        *(
            f"namespace {n.stable_id} ({_whereabouts(n.namespace_id in ids)})"
            for n in sorted(recorded.namespaces, key=lambda n: n.stable_id)
        ),
    )


def _whereabouts(live: bool) -> str:  # noqa: FBT001 - a comparison's outcome
    return "live" if live else "recorded, no longer live"


def kept(diff: WorkerDiff) -> list[Change]:
    """Tell of what an upload leaves as it is though it could replace it, what is not declared here included."""
    rows = [*_kept_secrets(diff), *kept_assets(diff.ownership, diff.before), *_kept_settings(diff.ownership)]
    rows += [] if diff.sets_crons else kept_cron_rows(diff.ownership, diff.before)
    return [*rows, *kept_entries(diff.ownership)]


def _kept_settings(ownership: Ownership) -> list[Change]:
    kept = "of {}, which is not declared here, is kept."
    return [
        change_of(
            ownership.worker,
            Action.NOOP,
            "setting",
            f"Setting {name} {kept.format(ownership.worker.script_name)}",
            field=name,
            after=value,
        )
        for name, value in kept_settings(ownership)
    ]


def _kept_secrets(diff: WorkerDiff) -> list[Change]:
    ownership, worker = diff.ownership, diff.ownership.worker
    others = others_secrets(ownership)
    rows = []
    for live in sorted(ownership.live.bindings or () if ownership.live else (), key=lambda b: b.name):
        kept = diff.secret_statuses.get(live.name) == "kept"
        if not kept and live.name not in others:
            continue
        row = binding_change(ownership, Action.NOOP, live.name, live, live, "")
        which = "" if kept else ", which is not declared here,"
        rows.append(replace(row, detail=f"Secret {live.name} of {worker.script_name}{which} is kept."))
    return rows


def secret_notes(diffs: Iterable[WorkerDiff]) -> tuple[str, ...]:
    """Name the live secrets that somebody else set and nobody declares, whether their Worker is uploaded or not."""
    return tuple(
        f"Secret {name} of {diff.ownership.worker.script_name} is live, and was neither set from here nor declared: "
        "it is kept."
        for diff in diffs
        for name in others_secrets(diff.ownership)
    )


_NAMED = 3


def update_notes(steps: Iterable[Step], target: Target, *, done: bool = False) -> tuple[str, ...]:
    """Return a sentence for each delay that uploads ask for; none for what is handed over at once.

    On the local Cloudflare new code takes over at once, which is said of a plan, and of what is `done` only where
    another delay than the default was asked for.
    """
    delays: dict[float, set[str]] = {}
    for step in steps:
        strategy = step.options.value.get("code_update_strategy", {}) if isinstance(step, Upload) else {}
        delay = strategy.get("max_delay", UPDATE_DEFAULT["max_delay"])
        silent = done and target == "local" and delay == UPDATE_DEFAULT["max_delay"]
        if strategy.get("mode") == "deferred" and delay and not silent:
            delays.setdefault(delay, set()).add(step.script_name if isinstance(step, Upload) else "")
    return tuple(_sentence(sorted(names), delay, target) for delay, names in sorted(delays.items()))


def _sentence(names: list[str], delay: float, target: Target) -> str:
    who = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} Workers"
    said = f"Code updates of {who} are deferred (code_update_strategy):"
    if target == "local":
        return f"{said} on Cloudflare old code may answer for up to {delay:g} s; here new code answers at once."
    return f"{said} after the deploy old code may answer for up to {delay:g} s."
