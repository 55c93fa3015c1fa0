"""Finds the live namespace behind every stable ID: by the state file, by our mark, or by what the user adopts.

A namespace is its namespace id. A class name makes an identity only where it can be read in one way, or where the user
adopts the Worker and nobody else claims the namespace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.readings import Reading, readings_of, refuse_doubt
from notebook_do.plan.plan import Action, Change, Objection
from notebook_do.plan.sentences import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebook_do.model import DesiredNamespace, ObservedNamespace, RecordedNamespace, StableId
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.namespaces.destroy import DestroySet
    from notebook_do.plan.namespaces.readings import Readings
    from notebook_do.plan.workers.ownership import Ownership


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedNamespace:
    """A declared namespace and what is known of it. `live` is None when it is to be created."""

    desired: DesiredNamespace
    live: ObservedNamespace | None
    record: RecordedNamespace | None
    formerly: StableId | None = None
    """The stable ID that it had until now, where the declaration names that one in `renamed_from`."""


def identify(
    facts: Facts, ownerships: Mapping[str, Ownership], destroy_set: DestroySet, findings: Findings
) -> list[ResolvedNamespace]:
    """Resolve the declared namespaces that a declared Worker hosts, in their order.

    Left out are those to be destroyed, and those that are refused: no live namespace is resolved twice.
    """
    resolved: list[ResolvedNamespace] = []
    # Records first: which stable ID takes a namespace must not depend on the order of the declarations.
    owner: dict[str, StableId] = {r.namespace_id: r.stable_id for r in facts.recorded.namespaces if r.namespace_id}
    readings, destroyed = readings_of(facts), destroy_set.by_id()
    known = _Known(facts, readings)
    for desired in facts.desired.namespaces:
        # A Worker that is to be deleted has no ownership; `check_declared_there` speaks of what is declared on it.
        if desired.host is None or desired.stable_id in destroy_set.stable_ids or desired.script_name not in ownerships:
            continue
        found = _Search(facts, ownerships, findings, desired, readings, known).find()
        if found is None:
            continue
        if found.live is not None:
            if found.live.namespace_id in destroyed:
                _refuse_destroyed(desired, found.live, destroyed[found.live.namespace_id], findings)
                continue
            other = owner.setdefault(found.live.namespace_id, desired.stable_id)
            # A stable ID takes over from the one that it is renamed from, as long as that one is declared no more.
            renamed = other == found.formerly and other not in facts.namespaces
            if other != desired.stable_id and not renamed:
                _refuse_claimed(desired, found.live, other, findings)
                continue
            owner[found.live.namespace_id] = desired.stable_id  # one name takes over from another, and no second one
        if found.live is not None and found.record is None:
            id_ = found.live.namespace_id
            text = say("namespace-unrecorded", stable_id=desired.stable_id, namespace_id=id_)
            findings.outside.append(Objection(kind="take-over", text=text))
        resolved.append(found)
    return resolved


class _Known:
    """Which live namespaces are known to be those of declared stable IDs, without any class name."""

    def __init__(self, facts: Facts, readings: Readings) -> None:
        self._facts, self._readings = facts, readings

    @cached_property
    def by_id(self) -> dict[str, set[StableId]]:
        """The stable IDs by namespace id: as declared, recorded or marked, by the name before too."""
        found: dict[str, set[StableId]] = {}
        for desired in self._facts.desired.namespaces:
            read = (reading.live.namespace_id for reading in self._read(desired) if reading and reading.live)
            for id_ in (desired.namespace_id, *read):
                if id_ is not None:
                    found.setdefault(id_, set()).add(desired.stable_id)
        return found

    def _read(self, desired: DesiredNamespace) -> Iterator[Reading | None]:
        """Read what is recorded, or else marked, of a stable ID and of the one that it is renamed from."""
        for name in filter(None, (desired.stable_id, desired.renamed_from)):
            record = self._facts.records.get(name)
            yield self._readings.recorded(record) if record else self._readings.marked(name, desired.script_name)


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for one declared namespace."""

    facts: Facts
    ownerships: Mapping[str, Ownership]
    findings: Findings
    desired: DesiredNamespace
    readings: Readings
    known: _Known

    def find(self) -> ResolvedNamespace | None:
        """Try the record, that of the former stable ID, the declared id, marks, and adoption; None after a refusal.

        What we wrote down ourselves comes first. Adoption goes by a class name and comes last: the class may have been
        renamed since, and another namespace have its name now.
        """
        desired, records = self.desired, self.facts.records
        record = records.get(desired.stable_id)
        former = records.get(desired.renamed_from) if desired.renamed_from else None
        if record is not None:
            if former is None:
                return self._recorded(record, None)
            # Both have objects, and Cloudflare has no way to make one namespace of two.
            self._refuse_two(record, former)
            return None
        if former is not None:
            return self._recorded(former, former.stable_id)
        if desired.namespace_id is not None:
            return self._explicit()
        formerly, reading = None, self._marked(desired.stable_id)
        if reading is None and desired.renamed_from:
            formerly, reading = desired.renamed_from, self._marked(desired.renamed_from)
        if reading is not None:
            return self._found(reading, formerly)
        return self._unnamed()

    def _unnamed(self) -> ResolvedNamespace | None:
        """Adopt by class name, or begin an empty namespace: neither record nor mark names the stable ID."""
        desired = self.desired
        # On a Worker of ours an `adopt` that was left in the cell makes no class an identity, as long as the mark has
        # a stable ID without a namespace id: it may be about this very class.
        if self._adopts and self.readings.is_ours(desired.script_name) and self.readings.nameless(desired.script_name):
            candidates = tuple(self.facts.hosted.get(desired.script_name, ()))
            reading = Reading(slot=self._slot, doubtful=True, candidates=candidates)
            refuse_doubt(desired.stable_id, reading, self.findings, desired)
            return None
        adopted = self.facts.slots.get(self._slot) if self._adopts else None
        if adopted and self._is_anothers(adopted):
            adopted = None  # it leaves this class by the same plan
        if adopted and self.readings.claims.get(adopted.namespace_id, frozenset()) - {desired.stable_id}:
            self._refuse_claimed_elsewhere(adopted)
            return None
        if desired.renamed_from and not adopted:
            self.findings.warn("renamed-from-unknown", stable_id=desired.stable_id, former=desired.renamed_from)
        elif (source := self.facts.script_named(desired.transferred_from)) in self.facts.hosted and not adopted:
            self.findings.warn("transferred-from-unknown", stable_id=desired.stable_id, source=source)
        return ResolvedNamespace(desired=desired, live=adopted, record=None)

    def _is_anothers(self, live: ObservedNamespace) -> bool:
        """Say whether a live namespace is known to be that of another declared stable ID."""
        return bool(self.known.by_id.get(live.namespace_id, set()) - {self.desired.stable_id})

    @property
    def _slot(self) -> Slot:
        return Slot(self.desired.script_name, self.desired.class_name)

    @property
    def _adopts(self) -> bool:
        ownership = self.ownerships.get(self.desired.script_name)
        return ownership is not None and ownership.worker.adopt and ownership.live is not None

    def _marked(self, stable_id: str) -> Reading | None:
        return self.readings.marked(stable_id, self.desired.script_name, adopts=self._adopts)

    def _found(self, reading: Reading, formerly: StableId | None) -> ResolvedNamespace | None:
        """Take what marks or Alchemy's tags say."""
        script = self.desired.script_name
        if reading.doubtful and reading.slot == self._slot and self._adopts and not self.readings.is_ours(script):
            return self._unnamed()  # what the user takes over is what is live under this very class
        if reading.doubtful:
            refuse_doubt(self.desired.stable_id, reading, self.findings, self.desired)
            return None
        if reading.live is None:
            # Never begun anew by itself: an empty namespace under the same name would hide that the objects are gone.
            self._refuse_lost(reading.slot)
            return None
        self._note_moved(reading.slot, reading.live)
        return ResolvedNamespace(desired=self.desired, live=reading.live, record=None, formerly=formerly)

    def _recorded(self, record: RecordedNamespace, formerly: StableId | None) -> ResolvedNamespace | None:
        """Take what the state file says; an id in the cell counts only where the record has none, or a lost one."""
        desired = self.desired
        if not record.namespace_id and desired.namespace_id:
            resolved = self._explicit()
            return replace(resolved, record=record, formerly=formerly) if resolved else None
        # The cell and the record name two namespaces; only where the recorded one is gone there is nothing to lose.
        if desired.namespace_id not in {None, record.namespace_id}:
            if desired.namespace_id in self.facts.live and record.namespace_id not in self.facts.live:
                self._note_gone(record)  # nothing is left of what was recorded; the user says what the stable ID is now
                return self._explicit()
            self.findings.refuse(
                "namespace-id-conflict", desired.stable_id, where=desired.where, record=record, desired=desired
            )
            return None
        reading = self.readings.recorded(record)
        if reading.doubtful:
            refuse_doubt(self.desired.stable_id, reading, self.findings, self.desired)
            return None
        if reading.live is None:
            self._refuse_gone(record)
            return None
        self._note_moved(reading.slot, reading.live)
        return ResolvedNamespace(desired=desired, live=reading.live, record=record, formerly=formerly)

    def _refuse_two(self, record: RecordedNamespace, former: RecordedNamespace) -> None:
        desired = self.desired
        self.findings.refuse(
            "renamed-from-taken",
            desired.stable_id,
            where=desired.where,
            record=record,
            former=former,
            desired=desired,
        )

    def _refuse_gone(self, record: RecordedNamespace) -> None:
        self._note_gone(record)
        desired = self.desired
        self.findings.refuse("namespace-gone", desired.stable_id, reason="recorded", where=desired.where, record=record)

    def _note_gone(self, record: RecordedNamespace) -> None:
        """Note as drift that a recorded namespace was deleted outside."""
        desired = self.desired
        detail = say("namespace-gone", stable_id=desired.stable_id, namespace_id=record.namespace_id)
        self.findings.drift.append(
            Change(
                action=Action.DELETE,
                kind="namespace",
                id=desired.stable_id,
                worker=desired.host or "",
                name=record.class_name,
                detail=detail,
                destructive=True,
                namespace_id=record.namespace_id,
            )
        )

    def _note_moved(self, slot: Slot, live: ObservedNamespace) -> None:
        """Note as drift that a namespace is not where it was when we wrote it down."""
        if (live.script_name, live.class_name) == slot:
            return
        before, after = ".".join(slot), f"{live.script_name}.{live.class_name}"
        self.findings.drift.append(
            Change(
                action=Action.RENAME if slot.script == live.script_name else Action.TRANSFER,
                kind="namespace",
                id=self.desired.stable_id,
                worker=self.desired.host or "",
                name=live.class_name,
                field="class",
                before=before,
                after=after,
                detail=say("namespace-moved-outside", stable_id=self.desired.stable_id, before=before, after=after),
                namespace_id=live.namespace_id,
            )
        )

    def _explicit(self) -> ResolvedNamespace | None:
        """Take the namespace id that is declared."""
        desired = self.desired
        live = self.facts.live.get(desired.namespace_id or "")
        if live is None:
            self.findings.refuse(
                "namespace-unknown",
                desired.stable_id,
                where=desired.where,
                namespace_id=desired.namespace_id,
                desired=desired,
            )
            return None
        return ResolvedNamespace(desired=desired, live=live, record=None)

    def _refuse_lost(self, slot: Slot) -> None:
        desired = self.desired
        self.findings.refuse("namespace-gone", desired.stable_id, reason="marked", where=desired.where, slot=slot)

    def _refuse_claimed_elsewhere(self, live: ObservedNamespace) -> None:
        desired = self.desired
        self.findings.asked_about.add(live.namespace_id)
        others = ", ".join(sorted(self.readings.claims[live.namespace_id] - {desired.stable_id}))
        self.findings.refuse(
            "namespace-claimed",
            desired.stable_id,
            reason="adopted",
            where=desired.where,
            live=live,
            others=others,
            desired=desired,
        )


def _refuse_destroyed(desired: DesiredNamespace, live: ObservedNamespace, destroyed: str, findings: Findings) -> None:
    findings.refuse("destroy-conflict", desired.stable_id, where=desired.where, live=live, destroyed=destroyed)


def _refuse_claimed(desired: DesiredNamespace, live: ObservedNamespace, other: str, findings: Findings) -> None:
    findings.refuse(
        "namespace-claimed",
        desired.stable_id,
        reason="known",
        where=desired.where,
        live=live,
        other=other,
        desired=desired,
    )
