"""Finds the live namespace behind every stable ID: by the state file, by our mark, or by what the user adopts.

A namespace is its namespace id. A class name alone never makes an identity, except where the user adopts the Worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.plan.facts import Slot
from notebook_do.plan.mark import alchemy_classes, read_mark
from notebook_do.plan.plan import Action, Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import DesiredNamespace, ObservedNamespace, RecordedNamespace, StableId
    from notebook_do.plan.destroy import Doom
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.standing import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A declared namespace and what is behind it. `live` is None when it is to be created."""

    desired: DesiredNamespace
    live: ObservedNamespace | None
    record: RecordedNamespace | None
    formerly: StableId | None = None
    """The stable ID that it had until now."""


def identify(facts: Facts, standings: Mapping[str, Standing], doom: Doom, findings: Findings) -> list[Held]:
    """Give every declared namespace that a declared Worker hosts, those to be destroyed left out."""
    held: list[Held] = []
    owner: dict[str, StableId] = {
        r.namespace_id: r.stable_id
        for r in facts.recorded.namespaces
        if r.namespace_id and r.stable_id not in facts.namespaces
    }
    marked, doomed = _marked_slots(facts), doom.by_id()
    for desired in facts.desired.namespaces:
        if desired.host is None or desired.stable_id in doom.stable_ids or desired.script_name not in standings:
            continue
        found = _Search(facts, standings, findings, desired, marked).find()
        if found is None:
            continue
        if found.live is not None:
            if found.live.namespace_id in doomed:
                _refuse_doomed(desired, found.live, doomed[found.live.namespace_id], findings)
                continue
            other = owner.setdefault(found.live.namespace_id, desired.stable_id)
            renamed = other == found.formerly and other not in facts.namespaces
            if other != desired.stable_id and not renamed:
                _refuse_claimed(desired, found.live, other, findings)
                continue
        held.append(found)
    return held


def _marked_slots(facts: Facts) -> dict[str, Slot]:
    """Give where the marks of this session and stage say that each stable ID lives, as far as it is live there."""
    ours = (facts.desired.session, facts.desired.stage)
    found: dict[str, Slot] = {}
    for name in sorted(facts.scripts):
        mark = read_mark(facts.scripts[name].tags)
        if mark is None or (mark.session, mark.stage) != ours:
            continue
        for stable_id, class_name in mark.classes.items():
            slot = Slot(name, class_name)
            if slot in facts.slots:
                found.setdefault(stable_id, slot)
    return found


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for one declared namespace."""

    facts: Facts
    standings: Mapping[str, Standing]
    findings: Findings
    desired: DesiredNamespace
    marked: Mapping[str, Slot]

    def find(self) -> Held | None:
        """Try record, former record, explicit id, mark, adoption; None after a refusal."""
        desired, records = self.desired, self.facts.records
        record = records.get(desired.stable_id)
        former = records.get(desired.renamed_from) if desired.renamed_from else None
        if record is not None:
            if former is None:
                return self._recorded(record, None)
            self._refuse_two(record, former)
            return None
        if former is not None:
            return self._recorded(former, former.stable_id)
        if desired.namespace_id is not None:
            return self._explicit()
        if marked := self._marked(desired.stable_id):
            return self._held_by_mark(marked, None)
        if desired.renamed_from and (marked := self._marked(desired.renamed_from)):
            return self._held_by_mark(marked, desired.renamed_from)
        adopted = self._adopted()
        if desired.renamed_from and not adopted:
            self.findings.warnings.append(
                f"namespace {desired.stable_id}: renamed_from names {desired.renamed_from}, which is not known here; "
                f"{desired.stable_id} begins empty."
            )
        return Held(desired=desired, live=adopted, record=None)

    def _recorded(self, record: RecordedNamespace, formerly: StableId | None) -> Held | None:
        desired = self.desired
        if desired.namespace_id not in {None, record.namespace_id}:
            self.findings.refuse(
                "namespace-id-conflict",
                desired.stable_id,
                f"namespace {desired.stable_id} is recorded as {record.namespace_id} and declared as "
                f"{desired.namespace_id}.",
                "leave namespace_id out to keep the recorded one",
                "declare the other namespace under a stable ID of its own",
                where=desired.where,
            )
            return None
        live = self.facts.live.get(record.namespace_id)
        if live is None and not record.namespace_id:
            live = self.facts.slots.get(Slot(record.script_name, record.class_name))
        if live is None:
            self._gone(record)
            return None
        if (live.script_name, live.class_name) != (record.script_name, record.class_name):
            self._moved(record, live)
        return Held(desired=desired, live=live, record=record, formerly=formerly)

    def _refuse_two(self, record: RecordedNamespace, former: RecordedNamespace) -> None:
        desired = self.desired
        self.findings.refuse(
            "renamed-from-taken",
            desired.stable_id,
            f"namespace {desired.stable_id} has objects of its own ({record.namespace_id}), so it cannot become what "
            f"{former.stable_id} is ({former.namespace_id}).",
            f"leave renamed_from out and declare {former.stable_id} again",
            f"destroy {desired.stable_id}, then plan again",
            where=desired.where,
        )

    def _gone(self, record: RecordedNamespace) -> None:
        desired = self.desired
        detail = f"namespace {desired.stable_id} ({record.namespace_id}) is gone from the account, with its objects."
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
        self.findings.refuse(
            "namespace-gone",
            desired.stable_id,
            f"namespace {desired.stable_id} ({record.namespace_id}, class {record.class_name} of {record.script_name}) "
            "is no longer in the account. It is not created again by itself: that would hide the loss.",
            f"forget it: destroy {desired.stable_id}, then plan again to begin an empty one",
            "restore it outside, then plan again",
            where=desired.where,
        )

    def _moved(self, record: RecordedNamespace, live: ObservedNamespace) -> None:
        before, after = f"{record.script_name}.{record.class_name}", f"{live.script_name}.{live.class_name}"
        self.findings.drift.append(
            Change(
                action=Action.RENAME if record.script_name == live.script_name else Action.TRANSFER,
                kind="namespace",
                id=self.desired.stable_id,
                worker=self.desired.host or "",
                name=live.class_name,
                field="class",
                before=before,
                after=after,
                detail=f"namespace {self.desired.stable_id} was {before} and is now {after}: changed outside.",
                namespace_id=live.namespace_id,
            )
        )

    def _explicit(self) -> Held | None:
        desired = self.desired
        live = self.facts.live.get(desired.namespace_id or "")
        if live is None:
            self.findings.refuse(
                "namespace-unknown",
                desired.stable_id,
                f"namespace {desired.stable_id}: no namespace {desired.namespace_id} is in the account.",
                "correct namespace_id, or leave it out to begin an empty namespace",
                where=desired.where,
            )
            return None
        return Held(desired=desired, live=live, record=None)

    def _marked(self, stable_id: str) -> Slot | None:
        """Find where the mark on the host says that the stable ID lives, or else the one on any Worker of ours."""
        standing = self.standings.get(self.desired.script_name)
        if standing and standing.live:
            classes = dict(alchemy_classes(standing.live)) if standing.worker.adopt else {}
            classes |= standing.mark.classes if standing.mark else {}
            if stable_id in classes:
                return Slot(standing.live.name, classes[stable_id])
        return self.marked.get(stable_id)

    def _held_by_mark(self, slot: Slot, formerly: StableId | None) -> Held | None:
        desired, live = self.desired, self.facts.slots.get(slot)
        if live is None:
            self.findings.refuse(
                "namespace-gone",
                desired.stable_id,
                f"Worker {slot.script} is marked to host namespace {desired.stable_id} as class {slot.class_name}, but "
                "has no such class now, and the state file does not know it either.",
                "name the live namespace: namespace_id= (--namespace-id ID); see %durable show namespaces",
                where=desired.where,
            )
            return None
        return Held(desired=desired, live=live, record=None, formerly=formerly)

    def _adopted(self) -> ObservedNamespace | None:
        standing = self.standings.get(self.desired.script_name)
        if standing and standing.worker.adopt and standing.live:
            return self.facts.slots.get(Slot(standing.live.name, self.desired.class_name))
        return None


def _refuse_doomed(desired: DesiredNamespace, live: ObservedNamespace, doomed: str, findings: Findings) -> None:
    findings.refuse(
        "destroy-conflict",
        desired.stable_id,
        f"namespace {live.namespace_id} is declared as {desired.stable_id} and to be destroyed as {doomed}.",
        f"keep it: do not destroy {doomed}",
        f"lose it: `%durable rm namespace {desired.stable_id}`, then destroy {doomed}",
        where=desired.where,
    )


def _refuse_claimed(desired: DesiredNamespace, live: ObservedNamespace, other: str, findings: Findings) -> None:
    findings.refuse(
        "namespace-claimed",
        desired.stable_id,
        f"namespace {live.namespace_id} already belongs to the stable ID {other}, so "
        f"{desired.stable_id} cannot be it too.",
        f"rename the stable ID: declare renamed_from={other!r} on {desired.stable_id}",
        f"keep the stable ID {other}",
        where=desired.where,
    )
