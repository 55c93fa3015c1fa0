"""Says for each namespace, in one sentence, what a plan does to it; those left alone included."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.plan.facts import Slot
from notebook_do.plan.mark import read_mark
from notebook_do.plan.plan import Action, Change

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import Desired, Observed, Recorded
    from notebook_do.model.steps import SetMark
    from notebook_do.plan.destroy import Doom
    from notebook_do.plan.facts import Facts
    from notebook_do.plan.identity import Held


def namespace_changes(held: Iterable[Held]) -> list[Change]:
    """Give the changes of the declared namespaces, renamed stable IDs included."""
    changes = []
    for one in held:
        changes.append(_change_of(one))
        if one.formerly:
            detail = (
                f"The stable ID {one.formerly} becomes {one.desired.stable_id}; nothing else changes for its objects."
            )
            changes.append(
                _row(one, Action.UPDATE, detail, field="stable_id", before=one.formerly, after=one.desired.stable_id)
            )
    return changes


def _change_of(held: Held) -> Change:
    desired, live = held.desired, held.live
    if live is None:
        storage = "key-value" if desired.storage == "kv" else "SQLite"
        detail = f"Namespace {desired.stable_id} begins empty: class {desired.class_name}, {storage} storage."
        return _row(held, Action.CREATE, detail, field="class", after=desired.class_name)
    was, now = Slot(live.script_name, live.class_name), Slot(desired.script_name, desired.class_name)
    if was == now:
        return _row(held, Action.NOOP, f"Namespace {desired.stable_id} stays as it is.")
    if was.script == now.script:
        detail = (
            f"Namespace {desired.stable_id} keeps its id and its objects; class {was.class_name} "
            f"becomes {now.class_name}."
        )
        return _row(held, Action.RENAME, detail, field="class", before=was.class_name, after=now.class_name)
    detail = f"Namespace {desired.stable_id} moves with its objects from Worker {was.script} to {now.script}."
    return _row(held, Action.TRANSFER, detail, field="worker", before=".".join(was), after=".".join(now))


def _row(  # noqa: PLR0913 - the cells of a row
    held: Held, action: Action, detail: str, *, field: str = "", before: str = "", after: str = ""
) -> Change:
    return Change(
        action=action,
        kind="namespace",
        id=held.desired.stable_id,
        worker=held.desired.host or "",
        name=held.desired.class_name,
        field=field,
        before=before,
        after=after,
        detail=detail,
        namespace_id=held.live.namespace_id if held.live else "",
    )


def mark_change(step: SetMark) -> Change:
    """Tell of ids that are put into a mark although nothing else of the Worker is sent."""
    detail = (
        f"The tags of Worker {step.script_name} are to say which namespaces {', '.join(step.stable_ids)} are; an "
        "interrupted deploy left their ids out."
    )
    change = Change(action=Action.UPDATE, kind="setting", id=step.worker, worker=step.worker, name=step.script_name)
    return replace(change, field="tags", detail=detail)


def kept_changes(facts: Facts, doom: Doom, held: Iterable[Held]) -> list[Change]:
    """Give what is recorded and live but not declared now: kept, never deleted for that."""
    mine = {h.live.namespace_id for h in held if h.live} | set(doom.by_id())
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
            and worker.id not in doom.workers
        ):
            detail = f"Worker {worker.script_name} is live and not declared in this session; it is kept."
            changes.append(_kept("worker", worker.id, worker.id, worker.script_name, detail, ""))
    return changes


def gone_changes(facts: Facts, doom: Doom) -> list[Change]:
    """Give what is recorded, not declared now, and no longer live: drift that no declaration would show."""
    declared = {i for n in facts.desired.namespaces for i in (n.stable_id, n.renamed_from)}
    gone = [
        r
        for r in facts.recorded.namespaces
        if r.namespace_id not in facts.live and r.stable_id not in declared and r.stable_id not in doom.forgotten
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


def doom_changes(doom: Doom) -> list[Change]:
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
        for stable_id, live in sorted(doom.namespaces.items())
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
            destructive=any(n.script_name == script for n in doom.namespaces.values()),
        )
        for id_, script in sorted(doom.workers.items())
    ]
    gone = [("namespace", i) for i in doom.forgotten] + [("worker", i) for i in doom.forgotten_workers]
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
