"""Turns resolved namespaces into their moves, and refuses the moves that nobody declared or that have no way.

A namespace that is missing among the declarations is kept, never deleted. What could be a rename or a transfer but was
not declared as one is a refusal that names both sides and the choices: a guess would leave objects behind, or give them
to another class. A namespace on a Worker that is not declared here is bound by its class name, so that class must be of
its id.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.display.formats import short_namespace
from notebook_do.model import NamespaceId, Storage
from notebook_do.plan.described import suggested_id
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.moves import NamespaceMove
from notebook_do.plan.namespaces.readings import readings_of
from notebook_do.plan.workers.ownership import form_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import DesiredNamespace, ObservedNamespace
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.namespaces.destroy import DestroySet
    from notebook_do.plan.namespaces.identity import ResolvedNamespace
    from notebook_do.plan.namespaces.readings import Readings
    from notebook_do.plan.workers.ownership import Ownership


def move_of(
    resolved: ResolvedNamespace, facts: Facts, ownerships: dict[str, Ownership], findings: Findings
) -> NamespaceMove:
    """Return the move of one namespace from where it lives to where it is declared, be it the same place."""
    desired, live = resolved.desired, resolved.live
    goal = Slot(desired.script_name, desired.class_name)
    if live is None:
        _check_new_storage(desired, findings)
        # SQLite unless declared: the free plan takes nothing else (10097), no account without a key-value namespace
        # does since July 2026 (10099), and what began as key-value is never converted.
        storage = desired.storage or Storage.SQLITE
        return NamespaceMove(
            stable_id=desired.stable_id, namespace_id=NamespaceId(""), storage=storage, at=None, goal=goal
        )
    if desired.storage is not None and desired.storage is not live.storage:
        _refuse_flip(desired, live, findings)
    if live.script_name != desired.script_name:
        _check_transfer(resolved, live, facts, ownerships, findings)
    return NamespaceMove(
        stable_id=desired.stable_id,
        namespace_id=live.namespace_id,
        # The live one, whatever is declared: an `exports` entry with another is refused (`storage_type_mismatch`).
        storage=live.storage,
        at=Slot(live.script_name, live.class_name),
        goal=goal,
    )


def _check_new_storage(desired: DesiredNamespace, findings: Findings) -> None:
    """Warn of a new key-value namespace: refused on the free plan (10097), and where an account has none (10099)."""
    if desired.storage is Storage.KV:
        findings.warn("key-value-is-rare", stable_id=desired.stable_id)


def _refuse_flip(desired: DesiredNamespace, live: ObservedNamespace, findings: Findings) -> None:
    """Refuse another storage than the live one: it is settled when a namespace begins, and no migration changes it."""
    findings.refuse("storage-flip", desired.stable_id, where=desired.where, live=live, desired=desired)


def _check_transfer(
    resolved: ResolvedNamespace,
    live: ObservedNamespace,
    facts: Facts,
    ownerships: dict[str, Ownership],
    findings: Findings,
) -> None:
    """Refuse a move that was not declared, or that Cloudflare has no way for.

    A transfer is sent in one form: in `migrations` the destination takes over, in `exports` both scripts have a part in
    it. A switch to `exports` declares every class as it is now, so no transfer goes along with it.
    """
    desired = resolved.desired
    if facts.script_named(desired.transferred_from) != live.script_name:
        _refuse_move(desired, live, findings)
        return
    here, there = ownerships.get(live.script_name), ownerships.get(desired.script_name)
    source_form = form_of(live.script_name, ownerships, facts)
    if there and there.form != source_form:
        findings.refuse(
            "mixed-lifecycle-transfer",
            desired.stable_id,
            reason="live" if there.live else "from_exports" if source_form == "exports" else "from_migrations",
            where=desired.where,
            live=live,
            desired=desired,
            source_form=source_form,
            form=there.form,
            there=there.worker,
            older=there.worker if there.form == "migrations" else here.worker if here else None,
        )
    # In the `migrations` form the destination's upload does it all, so that a source outside the session will do.
    elif here is None and source_form == "exports":
        findings.refuse("transfer-source-missing", desired.stable_id, where=desired.where, live=live)
    elif (here and here.converts) or (there and there.converts):
        findings.refuse("convert-first", desired.stable_id, where=desired.where, live=live, desired=desired)


def _refuse_move(desired: DesiredNamespace, live: ObservedNamespace, findings: Findings) -> None:
    findings.refuse(
        "host-changed",
        desired.stable_id,
        reason="another" if desired.transferred_from else "undeclared",
        where=desired.where,
        live=live,
        desired=desired,
    )


def check_slots(moves: Iterable[NamespaceMove], destroyed: Mapping[str, str], facts: Facts, findings: Findings) -> None:
    """Refuse a goal that a namespace to be destroyed still holds.

    `destroyed` gives the stable ID by namespace id. One plan does not delete a class and give its name away: deletions
    come after all other uploads.
    """
    listed = list(moves)
    moving = {u.namespace_id for u in listed if u.goal}
    for move in listed:
        occupant = facts.slots.get(move.goal) if move.goal else None
        # An occupant with a goal of its own makes room, or is the namespace itself; the schedule orders that.
        if occupant is None or move.goal is None or occupant.namespace_id in moving:
            continue
        where = facts.namespaces[move.stable_id].where
        # Any other occupant is declared by nobody: `check_missing` refuses the upload of its Worker for that.
        if occupant.namespace_id in destroyed:
            findings.refuse(
                "destroy-first", move.stable_id, where=where, goal=move.goal, destroyed=destroyed[occupant.namespace_id]
            )


def check_missing(
    script: str, known: frozenset[str], new: Iterable[NamespaceMove], facts: Facts, findings: Findings
) -> None:
    """Refuse to upload a script that hosts live namespaces which nothing declares now.

    Cloudflare refuses an upload that does not export their classes (10064), and the code need not have them any more.
    `known` are the namespace ids that this plan holds or destroys; `new` are the namespaces to be created there.
    """
    missing = [n for n in facts.hosted.get(script, []) if n.namespace_id not in known]
    if not missing:
        return
    claims = readings_of(facts).claims
    left = [_undeclared(n, facts, claims.get(n.namespace_id, frozenset())) for n in missing]
    created = sorted(new, key=lambda u: u.stable_id)
    for move in created:
        _refuse_ambiguous(move, left, facts, findings)
    if created:  # the refusals about these name what is missing, too
        return
    for each in left:
        findings.refuse(
            "missing-declaration",
            each.stable_id if each.recorded else each.namespace.namespace_id,
            reason="recorded" if each.recorded else "unrecorded",
            where=facts.workers[script].where if script in facts.workers else None,
            script=script,
            left=each,
        )


@dataclass(frozen=True, slots=True)
class _Undeclared:
    """A live namespace that no declaration holds now."""

    namespace: ObservedNamespace
    stable_id: str
    """By its record, a cell or a mark; empty where nothing names it."""
    recorded: bool
    declared: bool
    """A cell says its id, and is refused for another reason, or its Worker is not declared here."""

    @property
    def name(self) -> str:
        """How a sentence names it."""
        known = f"namespace {self.stable_id}" if self.stable_id else "an unknown namespace"
        return f"{known} (class {self.namespace.class_name}, {short_namespace(self.namespace.namespace_id)})"

    @property
    def cell(self) -> str:
        """The line that declares it as it is."""
        live = self.namespace
        extra = "" if self.recorded else f" --namespace-id {live.namespace_id}"
        stable_id = self.stable_id or suggested_id(live.class_name)
        return f"%durable namespace {stable_id} --class {live.class_name} --script {live.script_name}{extra}"


def _undeclared(namespace: ObservedNamespace, facts: Facts, claims: frozenset[str]) -> _Undeclared:
    """Name a namespace by its record, by the cell that says its id, or by the one mark that does."""
    id_ = namespace.namespace_id
    recorded: list[str] = [r.stable_id for r in facts.recorded.namespaces if r.namespace_id == id_]
    declared = [n.stable_id for n in facts.desired.namespaces if n.namespace_id == id_]
    # A declared stable ID is another namespace, whatever a mark says; and of two that claim it neither is named.
    marked = [i for i in claims if len(claims) == 1 and i not in facts.namespaces]
    return _Undeclared(
        namespace=namespace,
        stable_id=next(iter((*recorded, *declared, *marked)), ""),
        recorded=bool(recorded),
        declared=bool(declared),
    )


def _refuse_ambiguous(move: NamespaceMove, left: list[_Undeclared], facts: Facts, findings: Findings) -> None:
    """Refuse a new stable ID beside a live namespace that is no longer declared: it may be the same one, renamed.

    One of the same class is the likely one; else any of them is.
    """
    desired = facts.namespaces[move.stable_id]
    same = [each for each in left if each.namespace.class_name == desired.class_name]
    likely = same or left
    findings.refuse(
        "stable-id-changed" if same else "ambiguous-rename",
        move.stable_id,
        where=desired.where,
        desired=desired,
        likely=" and ".join(e.name for e in likely),
        known=[e for e in likely if e.recorded],
        strange=[e for e in likely if not e.recorded and not e.declared],
        named_in_cells=[e for e in likely if e.declared and not e.recorded],
    )


def check_arrivals(
    moves: Iterable[NamespaceMove], ownerships: Mapping[str, Ownership], facts: Facts, findings: Findings
) -> None:
    """Refuse a transfer with a rename whose way is barred: in the `exports` form a class keeps its name on the way.

    Two that arrive under one name bar each other. (In the `migrations` form a transfer renames at once.)
    """
    listed = list(moves)
    # Every name counts once as one that is in use, and once more for each transfer that arrives under it.
    slots = Counter({slot for u in listed for slot in (u.at, u.goal) if slot})
    slots.update(Slot(u.goal.script, u.at.class_name) for u in listed if u.at and u.goal and u.leaves)
    for move in listed:
        if move.at is None or move.goal is None or move.at.script == move.goal.script:
            continue
        there = ownerships.get(move.goal.script)
        arrival = Slot(move.goal.script, move.at.class_name)
        if there and there.form == "exports" and arrival != move.goal and slots[arrival] > 1:
            findings.refuse(
                "transfer-and-rename",
                move.stable_id,
                where=facts.namespaces[move.stable_id].where,
                goal=move.goal,
                at=move.at,
                desired=facts.namespaces[move.stable_id],
            )


def check_foreign_hosts(facts: Facts, destroy_set: DestroySet, findings: Findings) -> None:
    """Refuse a namespace on a Worker that is neither declared here nor live with that class, of that namespace id."""
    readings = readings_of(facts)
    for namespace in facts.desired.namespaces:
        if namespace.host is not None or namespace.stable_id in destroy_set.stable_ids:
            continue
        script, class_name = namespace.script_name, namespace.class_name
        live, wanted = facts.slots.get(Slot(script, class_name)), _wanted(namespace, facts, readings)
        # A mark has the first twelve digits of an id, so that the beginning has to decide.
        if live is not None and live.namespace_id.startswith(wanted):  # with no id known, the class name has to do
            continue
        hosted = facts.hosted.get(script, [])
        classes = ", ".join(f"{n.class_name} ({short_namespace(n.namespace_id)})" for n in hosted) or "none"
        findings.refuse(
            "host-missing",
            namespace.stable_id,
            reason="known" if wanted else "unknown",
            where=namespace.where,
            desired=namespace,
            wanted=f"{wanted[:4]}…",
            classes=classes,
            hosted=hosted,
        )


def _wanted(namespace: DesiredNamespace, facts: Facts, readings: Readings) -> str:
    """Return the id that the namespace must have, or how it begins; empty where nothing says it."""
    record, mark = facts.records.get(namespace.stable_id), readings.marks.get(namespace.script_name)
    entry = mark.entries.get(namespace.stable_id) if mark else None
    # What the user says goes before what was recorded, and that before what tags say, which any tool can set.
    return namespace.namespace_id or (record.namespace_id if record else "") or (entry.begins if entry else "") or ""


def elsewhere(facts: Facts) -> dict[str, str]:
    """Return the live ids of the declared namespaces whose Worker is not declared here, by stable ID."""
    foreign = (n for n in facts.desired.namespaces if n.host is None)
    found = ((n.stable_id, facts.slots.get(Slot(n.script_name, n.class_name))) for n in foreign)
    return {stable_id: live.namespace_id for stable_id, live in found if live}
