"""Keeps what `exports` has besides the declared classes: entries of other kinds, and what became of earlier names.

An upload replaces the whole map. Who binds a class by an earlier name reaches its namespace as long as the map tells
what became of that name; so the name is told until Cloudflare knows that nobody needs it, and goes to no other
namespace while a Worker outside the session may still bind it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.model import MovedClass, RenameClass, TransferClass, TransferredAway
from notebook_do.model.steps import Upload
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.moves import TEMPORARY
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.workers.ownership import change_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import Desired, NamespaceId, Observed, Recorded, StableId
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.namespaces.moves import NamespaceMove
    from notebook_do.plan.namespaces.schedule import Stage
    from notebook_do.plan.plan import Plan
    from notebook_do.plan.workers.ownership import Ownership


def moved_before(ownership: Ownership) -> tuple[MovedClass, ...]:
    """Return the earlier class names that uploads of a script tell of."""
    return ownership.record.moved if ownership.record and ownership.live else ()


def moved_after(
    stage: Stage, before: tuple[MovedClass, ...], ids: Mapping[StableId, NamespaceId]
) -> tuple[MovedClass, ...]:
    """Return the earlier class names that an upload tells of: a name that a class has now is none of them."""
    hosted = {ids[i]: class_name for class_name, _, i in stage.hosted}
    moved = {one.class_name: one for one in before}
    taken = {class_name for class_name, _, _ in stage.hosted}
    for change in stage.class_migrations:
        if isinstance(change, RenameClass):
            moved[change.from_class] = MovedClass(class_name=change.from_class, namespace_id=change.namespace_id)
        elif isinstance(change, TransferredAway):
            moved[change.class_name] = MovedClass(
                class_name=change.class_name, namespace_id=change.namespace_id, to_script=change.to_script
            )
        elif isinstance(change, TransferClass):
            taken.add(change.to_class)
    told = (replace(one, renamed_to=hosted.get(one.namespace_id)) for _, one in sorted(moved.items()))
    return tuple(
        one
        for one in told
        if (one.renamed_to or one.to_script)
        and one.class_name not in taken
        and not one.class_name.startswith(TEMPORARY)
    )


def binders_asked(plan: Plan, desired: Desired, recorded: Recorded, observed: Observed) -> tuple[str, ...]:
    """Return the scripts of which it matters who binds their classes: those renamed or moved, now or earlier."""
    declared = {w.script_name for w in desired.workers}
    uploads = [step.migration for step in plan.steps if isinstance(step, Upload) and step.migration]
    changes = [c for migration in uploads for c in migration.class_migrations]
    ids = {c.namespace_id for c in changes if isinstance(c, RenameClass | TransferClass | TransferredAway)}
    ids |= {one.namespace_id for w in recorded.workers if w.script_name in declared for one in w.moved}
    return tuple(sorted({n.script_name for n in observed.namespaces if n.namespace_id in ids}))


def check_entries(
    moves: Iterable[NamespaceMove],
    ownerships: Mapping[str, Ownership],
    busy: Iterable[str],
    facts: Facts,
    findings: Findings,
) -> None:
    """Refuse what would lose an entry, or give away a name that others may still bind; warn of who else binds."""
    listed = sorted(moves, key=lambda u: u.stable_id)
    for script in sorted(busy):
        for move in listed:
            _check_entry(move, ownerships[script], findings)
        _check_expected(ownerships[script], listed, facts, findings)
        if ownerships[script].form == "exports":
            _check_names(ownerships[script], listed, facts, findings)
    for move in listed:
        _warn_of_binders(move, facts, findings)
    for ownership in (ownerships[name] for name in sorted(ownerships)):
        _warn_of_earlier(ownership, facts, findings)


def _check_entry(move: NamespaceMove, ownership: Ownership, findings: Findings) -> None:
    """Refuse a class under the name of another kind of entry, and a move of what else a class's entry has."""
    script = ownership.worker.script_name
    entries = ownership.live.entries.value if ownership.live else {}
    there = entries.get(move.goal.class_name) if move.goal and move.goal.script == script else None
    if move.goal and there and "type" in there:
        findings.refuse(
            "entry-conflict",
            move.stable_id,
            f"namespace {move.stable_id} would be class {move.goal.class_name} of {script}, whose `exports` has an "
            f"entry of that name and of type {there['type']}, which another tool made.",
            "declare another class name",
            "remove that entry with the tool that made it, then plan again",
            where=ownership.worker.where,
        )
    rest = entries.get(move.at.class_name) if move.at and move.at.script == script and move.at != move.goal else None
    if move.at is None or not rest or "type" in rest:
        return
    what = f"the `exports` entry of class {move.at.class_name} of {script} has {', '.join(sorted(rest))}"
    if move.goal is None:
        findings.warnings.append(f"{what}, which ends with the class.")
        return
    findings.refuse(
        "entry-lost",
        move.stable_id,
        f"{what}, which is not known here and cannot be taken along to {'.'.join(move.goal)}.",
        f"keep class {move.at.class_name} on {script}",
        "move the class with the tool that made that entry",
        where=ownership.worker.where,
    )


def _check_expected(ownership: Ownership, moves: list[NamespaceMove], facts: Facts, findings: Findings) -> None:
    """Warn of a transfer that another tool announced: an upload that does not say it again takes it back."""
    script = ownership.worker.script_name
    coming = {u.at.class_name for u in moves if u.at and u.goal and u.goal.script == script and u.leaves}
    for class_name in ownership.live.expects if ownership.live else ():
        if class_name not in coming and Slot(script, class_name) not in facts.slots:
            findings.warnings.append(
                f"Worker {script} waits to take over class {class_name} from another Worker; this plan takes that back."
            )


# --- names that others may still bind


def _outside(namespace_id: NamespaceId, facts: Facts) -> list[str] | None:
    """Name the Workers outside the session that bind a namespace; None where that is not known."""
    live = facts.live.get(namespace_id)
    host = facts.scripts.get(live.script_name) if live else None
    if live is None or host is None:
        return []
    if host.binders is None or host.binders.problem:
        return None
    return sorted({s for i, s in host.binders.pairs if i == namespace_id} - facts.workers.keys() - {host.name})


def _check_names(ownership: Ownership, moves: list[NamespaceMove], facts: Facts, findings: Findings) -> None:
    """Refuse to give a class name to another namespace than the one that Workers outside may reach by it."""
    script, moved = ownership.worker.script_name, {one.class_name: one for one in moved_before(ownership)}
    for move in moves:
        if move.goal is None or move.goal.script != script or move.at == move.goal:
            continue
        for name in sorted({move.goal.class_name} | ({move.at.class_name} if move.at and move.leaves else set())):
            earlier, now = moved.get(name), facts.slots.get(Slot(script, name))
            if earlier and earlier.namespace_id != move.namespace_id:
                others = _outside(earlier.namespace_id, facts)
                if others is None or others:
                    _refuse_name(move, script, name, others, findings, ownership)
            elif now and now.namespace_id != move.namespace_id and (others := _outside(now.namespace_id, facts)):
                _refuse_name(move, script, name, others, findings, ownership)
    for move in moves:
        names = sorted(n for n, one in moved.items() if one.namespace_id == move.namespace_id and move.leaves == script)
        others = _outside(move.namespace_id, facts) if names else []
        if others is None or others:
            _refuse_name(move, script, names[0], others, findings, ownership)


def _refuse_name(  # noqa: PLR0913, PLR0917 - what the sentence says
    move: NamespaceMove, script: str, name: str, others: list[str] | None, findings: Findings, ownership: Ownership
) -> None:
    who = ", ".join(others) if others else "a Worker outside this session"
    verb = "bind" if others and len(others) > 1 else "binds" if others else "may still bind"
    findings.refuse(
        "class-name-bound",
        move.stable_id,
        f"{who} {verb} a namespace that is or was class {name} of {script}; the upload could no longer tell what "
        f"became of that name, and at its next deploy {who} could reach other objects by it.",
        f"deploy {who} with the present class name, deploy {script} once more, then plan again"
        if others
        else f"plan again: who binds the classes of {script} could not be read",
        f"choose a class name for {move.stable_id} that was not in use on {script}",
        where=ownership.worker.where,
    )


def _warn_of_binders(move: NamespaceMove, facts: Facts, findings: Findings) -> None:
    """Name the Workers outside the session that bind a class which is to be renamed or moved."""
    if move.at is None or move.goal is None or move.at == move.goal:
        return
    host = facts.scripts.get(move.at.script)
    what = f"class {move.at.class_name} of {move.at.script} (namespace {move.stable_id})"
    if host and host.binders and host.binders.problem:
        findings.warnings.append(f"who else binds {what} could not be read: {host.binders.problem}")
    if others := ", ".join(_outside(move.namespace_id, facts) or ()):
        script = "" if move.at.script == move.goal.script else f" of {move.goal.script}"
        findings.warnings.append(
            f"{what} is bound by {others}, outside this session. Its bindings follow; at its next deploy it must name "
            f"class {move.goal.class_name}{script}."
        )


def _warn_of_earlier(ownership: Ownership, facts: Facts, findings: Findings) -> None:
    """Name the Workers outside the session that may still bind a class by an earlier name."""
    script = ownership.worker.script_name
    for one in moved_before(ownership):
        if others := ", ".join(_outside(one.namespace_id, facts) or ()):
            now = facts.live[one.namespace_id]
            place = now.class_name if now.script_name == script else f"{now.class_name} of {now.script_name}"
            findings.warnings.append(
                f"class {one.class_name} of {script} became {place}, and {others}, outside this session, binds it. If "
                f"that is still by the old name, deploy {others} with the new one; each upload of {script} tells what "
                "became of the name until nobody needs it."
            )


# --- what stays


def kept_entries(ownership: Ownership) -> list[Change]:
    """Return a row for each entry of `exports` that is not declared here and stays."""
    worker, live = ownership.worker, ownership.live
    said = []
    for name, entry in live.entries.value.items() if live else ():
        what = f"of type {entry['type']}" if "type" in entry else f"({', '.join(sorted(entry))} of a class)"
        said.append((name, f"The `exports` entry {name} {what} of {worker.script_name}, not declared here, is kept."))
    said += [
        (one.class_name, f"The upload tells again what became of class {one.class_name} of {worker.script_name}.")
        for one in moved_before(ownership)
    ]
    return [change_of(worker, Action.NOOP, "setting", detail, field=f"exports.{name}") for name, detail in said]
