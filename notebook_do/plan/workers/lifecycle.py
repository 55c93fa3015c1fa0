"""What a change of classes means beside itself, in each of its two forms.

In the `migrations` form another project that deploys the same Worker must add the migration to its own list, or its
next deploy fails (10074).

In the `exports` form an upload replaces the whole map, entries of other kinds included, so they are sent again. Who
binds a class by an earlier name reaches its namespace as long as the map tells what became of that name; so the name is
told until Cloudflare knows that nobody needs it, and goes to no other namespace while a Worker outside the session may
still bind it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.model import (
    TAG_PREFIX,
    CreateClass,
    DeleteClass,
    MovedClass,
    RenameClass,
    Storage,
    TransferClass,
    TransferredAway,
)
from notebook_do.model.steps import Upload
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.moves import TEMPORARY
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.sentences import say
from notebook_do.plan.workers.ownership import change_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import (
        ClassMigration,
        Desired,
        Migration,
        NamespaceId,
        Observed,
        Recorded,
        StableId,
    )
    from notebook_do.model.steps import Step
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.namespaces.moves import NamespaceMove
    from notebook_do.plan.namespaces.schedule import ScheduledUpload
    from notebook_do.plan.plan import Plan
    from notebook_do.plan.workers.ownership import Ownership


# --- the `migrations` form: another project that follows the tag

_ALCHEMY = "alchemy:"


def has_another_project(ownership: Ownership) -> bool:
    """Say whether another project follows the live migration tag: it set the tag, or deployed last."""
    live = ownership.live
    if live is None or live.migration_tag is None or ownership.form != "migrations":
        return False
    # A wrangler that deployed last goes by a list of its own, also where the tag is ours: it deploys over it.
    return not live.migration_tag.startswith(TAG_PREFIX) or live.last_deployed_from == "wrangler"


def handovers(steps: Iterable[Step]) -> list[str]:
    """Return a warning for each Worker whose classes change under a tag of another project, with the lines to paste.

    wrangler takes a tag that is not in its list for none of it, and sends the whole list again.
    """
    handed: dict[str, list[Migration]] = {}
    for step in steps:
        if isinstance(step, Upload) and step.migration and step.migration.told:
            handed.setdefault(step.script_name, []).append(step.migration)
    return [_warning(script, migrations) for script, migrations in sorted(handed.items())]


def _warning(script: str, migrations: list[Migration]) -> str:
    tag = migrations[0].old_tag or ""
    entries = ", ".join(json.dumps(_entry(migration)) for migration in migrations)
    return say(
        "tag-handed-over", "alchemy" if tag.startswith(_ALCHEMY) else "project", script=script, tag=tag, entries=entries
    )


def _entry(migration: Migration) -> dict[str, Any]:
    """Return a migration as an entry of `migrations` in wrangler.jsonc."""
    found: dict[str, Any] = {"tag": migration.new_tag}
    for change in migration.class_migrations:
        if listed := _listed(change):
            found.setdefault(listed[0], []).append(listed[1])
    return found


def _listed(change: ClassMigration) -> tuple[str, Any] | None:
    """Return the list that a change goes into, and its item there; a transfer is listed by the Worker that receives."""
    match change:
        case CreateClass():
            return "new_sqlite_classes" if change.storage is Storage.SQLITE else "new_classes", change.class_name
        case RenameClass():
            return "renamed_classes", {"from": change.from_class, "to": change.to_class}
        case TransferClass():
            moved = {"from": change.from_class, "from_script": change.from_script, "to": change.to_class}
            return "transferred_classes", moved
        case DeleteClass():
            return "deleted_classes", change.class_name
        case TransferredAway():
            return None
        case _:
            assert_never(change)


# --- the `exports` form: what became of earlier class names


def moved_before(ownership: Ownership) -> tuple[MovedClass, ...]:
    """Return the earlier class names that uploads of a script tell of."""
    # A script that is gone took its map along; one that is created anew has nothing to tell.
    return ownership.record.moved if ownership.record and ownership.live else ()


def moved_after(
    scheduled: ScheduledUpload, before: tuple[MovedClass, ...], ids: Mapping[StableId, NamespaceId]
) -> tuple[MovedClass, ...]:
    """Return the earlier class names that an upload tells of: a name that a class has now is none of them."""
    hosted = {ids[i]: class_name for class_name, _, i in scheduled.hosted}
    moved = {one.class_name: one for one in before}
    taken = {class_name for class_name, _, _ in scheduled.hosted}
    for change in scheduled.class_migrations:
        if isinstance(change, RenameClass):
            moved[change.from_class] = MovedClass(class_name=change.from_class, namespace_id=change.namespace_id)
        elif isinstance(change, TransferredAway):
            moved[change.class_name] = MovedClass(
                class_name=change.class_name, namespace_id=change.namespace_id, to_script=change.to_script
            )
        elif isinstance(change, TransferClass):
            taken.add(change.to_class)
    # Renamed twice, an earlier name leads to the class of today: entries are no chain.
    latest = (replace(one, renamed_to=hosted.get(one.namespace_id)) for _, one in sorted(moved.items()))
    return tuple(
        one
        for one in latest
        if (one.renamed_to or one.to_script)
        and one.class_name not in taken
        # A temporary name lives within one deploy: no Worker outside can bind it.
        and not one.class_name.startswith(TEMPORARY)
    )


def binders_asked(plan: Plan, desired: Desired, recorded: Recorded, observed: Observed) -> tuple[str, ...]:
    """Return the scripts of which it matters who binds their classes: those renamed or moved, now or earlier.

    Where no list of the account says it, that takes a request for each script, so only these are asked about.
    """
    declared = {w.script_name for w in desired.workers}
    uploads = [step.migration for step in plan.steps if isinstance(step, Upload) and step.migration]
    changes = [c for migration in uploads for c in migration.class_migrations]
    ids = {c.namespace_id for c in changes if isinstance(c, RenameClass | TransferClass | TransferredAway)}
    ids |= {one.namespace_id for w in recorded.workers if w.script_name in declared for one in w.moved}
    told = {s.name for s in observed.scripts if s.binders is not None}
    return tuple(sorted({n.script_name for n in observed.namespaces if n.namespace_id in ids} - told))


# --- other entries of `exports`


def check_entries(
    moves: Iterable[NamespaceMove],
    ownerships: Mapping[str, Ownership],
    busy: Iterable[str],
    facts: Facts,
    findings: Findings,
) -> None:
    """Refuse what would lose an entry, or give away a name that others may still bind; warn of who else binds."""
    listed = sorted(moves, key=lambda u: u.stable_id)
    touching: dict[str, list[NamespaceMove]] = {}
    for move in listed:
        for script in {slot.script for slot in (move.at, move.goal) if slot}:
            touching.setdefault(script, []).append(move)
    for script in sorted(busy):
        there = touching.get(script, [])
        for move in there:
            _check_entry(move, ownerships[script], findings)
        _check_expected(ownerships[script], there, facts, findings)
        if ownerships[script].form == "exports":
            _check_names(ownerships[script], there, facts, findings)
    for move in listed:
        _warn_of_binders(move, facts, findings)
    for ownership in (ownerships[name] for name in sorted(ownerships)):
        _warn_of_earlier(ownership, facts, findings)


def _check_entry(move: NamespaceMove, ownership: Ownership, findings: Findings) -> None:
    """Refuse a class under the name of another kind of entry, and a move of what else a class's entry has.

    What was kept of an entry of another kind, a workflow say, has its `type`; of a class only the rest was kept.
    """
    script = ownership.worker.script_name
    entries = ownership.live.entries.value if ownership.live else {}
    there = entries.get(move.goal.class_name) if move.goal and move.goal.script == script else None
    if move.goal and there and "type" in there:
        findings.refuse(
            "entry-conflict",
            move.stable_id,
            where=ownership.worker.where,
            class_name=move.goal.class_name,
            script=script,
            type=there["type"],
        )
    rest = entries.get(move.at.class_name) if move.at and move.at.script == script and move.at != move.goal else None
    if move.at is None or not rest or "type" in rest:
        return
    class_name, fields = move.at.class_name, ", ".join(sorted(rest))
    if move.goal is None:
        findings.warn("entry-ends", class_name=class_name, script=script, rest=fields)
        return
    findings.refuse(
        "entry-lost",
        move.stable_id,
        where=ownership.worker.where,
        class_name=class_name,
        script=script,
        rest=fields,
        goal=".".join(move.goal),
    )


def _check_expected(ownership: Ownership, moves: list[NamespaceMove], facts: Facts, findings: Findings) -> None:
    """Warn of a transfer that another tool announced: an upload that does not say it again takes it back."""
    script = ownership.worker.script_name
    coming = {u.at.class_name for u in moves if u.at and u.goal and u.goal.script == script and u.leaves}
    # What is expected and there already was handed over meanwhile: nothing is taken back.
    for class_name in ownership.live.expects if ownership.live else ():
        if class_name not in coming and Slot(script, class_name) not in facts.slots:
            findings.warn("transfer-taken-back", script=script, class_name=class_name)


# --- names that others may still bind


def _outside(namespace_id: NamespaceId, facts: Facts) -> list[str] | None:
    """Return the Workers outside the session that bind a namespace; None where that is not known."""
    live = facts.live.get(namespace_id)
    host = facts.scripts.get(live.script_name) if live else None
    if live is None or host is None:
        return []
    # Not known is not none: for an earlier class name the callers refuse as if somebody bound it.
    if host.binders is None or host.binders.problem:
        return None
    # Whoever is declared here is deployed with the present name by the same plan.
    return sorted({s for i, s in host.binders.pairs if i == namespace_id} - facts.workers.keys() - {host.name})


def _check_names(ownership: Ownership, moves: list[NamespaceMove], facts: Facts, findings: Findings) -> None:
    """Refuse to give a class name to another namespace than the one that Workers outside may reach by it.

    Also refuses to move a namespace away while others may bind it by an earlier name: the map would end to tell of it.
    """
    script, moved = ownership.worker.script_name, {one.class_name: one for one in moved_before(ownership)}
    for move in moves:
        if move.goal is None or move.goal.script != script or move.at == move.goal:
            continue
        # A class that arrives bears its name of before first, and is renamed by a later upload.
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
    findings.refuse(
        "class-name-bound",
        move.stable_id,
        reason="unread" if not others else "one" if len(others) == 1 else "several",
        where=ownership.worker.where,
        binders=", ".join(others) if others else "a Worker outside this session",
        name=name,
        script=script,
    )


def _warn_of_binders(move: NamespaceMove, facts: Facts, findings: Findings) -> None:
    """Name the Workers outside the session that bind a class which is to be renamed or moved."""
    if move.at is None or move.goal is None or move.at == move.goal:
        return
    host = facts.scripts.get(move.at.script)
    if host and host.binders and host.binders.problem:
        findings.warn("binders-unread", at=move.at, stable_id=move.stable_id, problem=host.binders.problem)
    if others := ", ".join(_outside(move.namespace_id, facts) or ()):
        reason = "renamed" if move.at.script == move.goal.script else "moved"
        findings.warn(
            "class-bound-outside", reason, at=move.at, goal=move.goal, stable_id=move.stable_id, others=others
        )


def _warn_of_earlier(ownership: Ownership, facts: Facts, findings: Findings) -> None:
    """Name the Workers outside the session that may still bind a class by an earlier name."""
    script = ownership.worker.script_name
    for one in moved_before(ownership):
        if others := ", ".join(_outside(one.namespace_id, facts) or ()):
            now = facts.live[one.namespace_id]
            reason = "renamed" if now.script_name == script else "moved"
            findings.warn(
                "earlier-name-bound", reason, class_name=one.class_name, script=script, others=others, now=now
            )


# --- what stays


def kept_entries(ownership: Ownership) -> list[Change]:
    """Return a row for each entry of `exports` that is not declared here and stays."""
    worker, live = ownership.worker, ownership.live
    script, rows = worker.script_name, []
    for name, entry in live.entries.value.items() if live else ():
        type_, keys = entry.get("type"), ", ".join(sorted(entry))
        detail = say(
            "entry-kept", "type" if "type" in entry else "keys", name=name, type=type_, keys=keys, script=script
        )
        rows.append((name, detail))
    rows += [
        (one.class_name, say("earlier-name-told", class_name=one.class_name, script=script))
        for one in moved_before(ownership)
    ]
    return [change_of(worker, Action.NOOP, "setting", detail, field=f"exports.{name}") for name, detail in rows]
