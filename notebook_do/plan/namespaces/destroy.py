"""Turns what the user asked to destroy into a destroy set: what is deleted, and what is only forgotten.

A namespace whose Worker stays is deleted by an upload; a Worker is deleted whole, with every namespace that it hosts.
Either way each namespace has a consent of its own, and nothing that is protected, or that something else still binds,
is in the set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING

from notebook_do.model import StableId
from notebook_do.plan.described import suggested_id, unprotecting
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.marks import read_mark
from notebook_do.plan.namespaces.moves import NamespaceMove
from notebook_do.plan.namespaces.readings import Readings, reading_of, readings_of, refuse_doubt
from notebook_do.plan.plan import Consent

if TYPE_CHECKING:
    from notebook_do.model import ObservedNamespace
    from notebook_do.plan.facts import Facts, Findings


@dataclass(slots=True)
class DestroySet:
    """What is to be destroyed, and what is gone already and is to be forgotten."""

    namespaces: dict[StableId, ObservedNamespace] = field(default_factory=dict)
    """Live namespaces that lose their objects, by an upload or with their Worker."""
    workers: dict[str, str] = field(default_factory=dict)
    """The live scripts that are deleted, by Worker id."""
    forgotten: list[StableId] = field(default_factory=list)
    """Recorded namespaces that are no longer live."""
    forgotten_workers: list[str] = field(default_factory=list)
    """Recorded Workers, by id, that are no longer live."""
    stable_ids: set[str] = field(default_factory=set)
    """Every stable ID that was asked for, refused ones too, and those of the namespaces that a Worker takes with it."""

    @property
    def scripts(self) -> frozenset[str]:
        """The scripts to be deleted."""
        return frozenset(self.workers.values())

    def forgets(self, facts: Facts) -> bool:
        """Say whether something that is declared is gone already, and is only to be forgotten.

        Nothing else is planned then: what is declared begins anew with the next plan, from a state file without it.
        """
        workers = {w.id for w in facts.desired.workers}
        spaces = {i for n in facts.desired.namespaces for i in (n.stable_id, n.renamed_from)}
        return bool(spaces & {*self.forgotten} or workers & {*self.forgotten_workers})

    def by_id(self) -> dict[str, str]:
        """Return the stable IDs of the namespaces by namespace id."""
        return {n.namespace_id: stable_id for stable_id, n in self.namespaces.items()}

    def worker_of(self, script: str) -> str | None:
        """Return the id of the Worker that is deleted with a script."""
        return next((id_ for id_, deleted in self.workers.items() if deleted == script), None)

    def moves(self) -> list[NamespaceMove]:
        """Return the moves of the namespaces that are deleted by an upload of their Worker, which stays."""
        deleted = self.scripts
        return [
            NamespaceMove(
                stable_id=stable_id,
                namespace_id=live.namespace_id,
                storage=live.storage,
                at=Slot(live.script_name, live.class_name),
                goal=None,
            )
            for stable_id, live in sorted(self.namespaces.items())
            if live.script_name not in deleted
        ]

    def consents(self) -> tuple[Consent, ...]:
        """Return what must be typed: one phrase a namespace.

        It ends as the namespace id does, so that what was typed for one namespace covers no other of that stable ID.
        """
        return tuple(
            Consent(
                phrase=f"destroy {stable_id} {live.namespace_id[-8:]}",
                stable_id=stable_id,
                namespace_id=live.namespace_id,
                class_name=live.class_name,
                worker=live.script_name,
                objects=live.objects,
                objects_more=live.objects_more,
            )
            for stable_id, live in sorted(self.namespaces.items())
        )


def destroy_set_of(facts: Facts, findings: Findings) -> DestroySet:
    """Return what was asked for by name; what cannot be destroyed is refused in `findings`."""
    collector = _Collector(facts, readings_of(facts), findings, DestroySet())
    for asked in facts.desired.destroy:
        collector.add(asked)
    found = collector.found
    found.stable_ids.update(found.namespaces, found.forgotten)
    collector.check_declared_there()
    return found


@dataclass(frozen=True)
class _Collector:
    """What was found by the names so far. A name is looked up in the state file, the declarations and the marks."""

    facts: Facts
    readings: Readings
    findings: Findings
    found: DestroySet

    def add(self, asked: str) -> None:
        """Add what `asked` names: an id, or `namespace:` or `worker:` and an id."""
        kind, _, name = asked.rpartition(":")
        is_namespace = name in self.facts.records or name in self.facts.namespaces
        is_worker = name in self.facts.worker_records or any(w.id == name for w in self.facts.desired.workers)
        if kind not in {"", "namespace", "worker"} or not (is_namespace or is_worker):
            self._refuse_unknown(asked)
        # A stable ID and a Worker id may be the same word; which of the two loses its objects is never guessed.
        elif not kind and is_namespace and is_worker:
            where = next((w.where for w in self.facts.desired.workers if w.id == name), None)
            self.findings.refuse("ambiguous-destroy", asked, where=where)
        elif is_worker and kind != "namespace":
            self._add_worker(name)
        else:
            self._add_namespace(StableId(name))

    def check_declared_there(self) -> None:
        """Refuse a namespace that lives elsewhere and is declared on a Worker that is to be deleted.

        With its Worker left out of the plan nothing would be planned for it, neither a move nor its end.
        """
        for desired in self.facts.desired.namespaces:
            if desired.host not in self.found.workers or desired.stable_id in self.found.stable_ids:
                continue
            live = self._live(desired.stable_id)
            if live is not None and live.script_name not in self.found.scripts:
                self.findings.refuse(
                    "host-destroyed", desired.stable_id, where=desired.where, desired=desired, live=live
                )

    def _refuse_unknown(self, asked: str) -> None:
        known = sorted({*self.facts.records, *self.facts.worker_records})
        near = get_close_matches(asked, known, n=1)
        self.findings.refuse("unknown-destroy", asked, known=", ".join(known) or "nothing", near=near)

    # --- a namespace

    def _add_namespace(self, stable_id: StableId) -> None:
        reading = reading_of(stable_id, self.facts, self.readings)
        live = reading.live if reading else None
        self.found.stable_ids.add(stable_id)
        if reading is not None and reading.doubtful:
            refuse_doubt(stable_id, reading, self.findings, self.facts.namespaces.get(stable_id))
        elif live is not None:
            self._check_protected(stable_id, live)
            self.found.namespaces[stable_id] = live
        elif stable_id in self.facts.records:
            self.found.forgotten.append(stable_id)
        else:
            self._refuse_unknown(stable_id)

    def _live(self, stable_id: StableId) -> ObservedNamespace | None:
        return reading.live if (reading := reading_of(stable_id, self.facts, self.readings)) else None

    def _check_protected(self, stable_id: StableId, live: ObservedNamespace) -> None:
        """Refuse to destroy what is protected: by the declaration of now, or else as it was deployed."""
        desired, record = self.facts.namespaces.get(stable_id), self.facts.records.get(stable_id)
        # What neither a cell nor a record speaks of is protected, as everything is by default.
        protected = desired.protect if desired else record.protected if record else True
        if protected and stable_id not in self.found.namespaces:  # by two names it is still one decision
            line = unprotecting(stable_id, desired, live)
            self.findings.refuse("protected", stable_id, where=desired.where if desired else None, line=line)

    # --- a Worker

    def _add_worker(self, id_: str) -> None:
        record = self.facts.worker_records.get(id_)
        declared = next((w for w in self.facts.desired.workers if w.id == id_), None)
        # The recorded name first: what was deployed is deleted, not what a cell would call it by now.
        script = record.script_name if record else declared.script_name if declared else ""
        live = self.facts.scripts.get(script)
        if live is None and record is None:
            self._refuse_unknown(id_)
            return
        if live is None:  # the namespaces that it hosted were lost with it
            self.found.forgotten_workers.append(id_)
            self.found.forgotten += [n.stable_id for n in self.facts.recorded.namespaces if n.script_name == script]
            return
        mark = read_mark(live.tags)
        # A script of that name may be anybody's. Without a record only our mark says that this session made it.
        if record is None and not (mark and mark.is_of(self.facts.desired.session, self.facts.desired.stage)):
            where = declared.where if declared else None
            self.findings.refuse("worker-exists", id_, reason="destroy", where=where, live=live, worker=declared)
            return
        self.found.workers[id_] = script
        self._add_hosted(id_, script)

    def _add_hosted(self, id_: str, script: str) -> None:
        """Add every namespace of a script that is to be deleted; each needs a stable ID to be consented to."""
        for hosted in self.facts.hosted.get(script, []):
            stable_id = self._stable_ids.get(hosted.namespace_id)
            if stable_id is None:
                suggested = suggested_id(hosted.class_name)
                self.findings.refuse("unmanaged-namespace", id_, live=hosted, suggested=suggested)
                continue
            wanted = self.facts.namespaces.get(stable_id)
            # It is declared to move away with its objects, which the deletion of this Worker would take.
            if wanted and wanted.script_name not in {"", script}:
                self.findings.refuse(
                    "transfer-first", stable_id, where=wanted.where, script=script, desired=wanted, worker=id_
                )
            self.found.stable_ids.add(stable_id)
            self._check_protected(stable_id, hosted)
            self.found.namespaces[stable_id] = hosted

    @cached_property
    def _stable_ids(self) -> dict[str, StableId]:
        """The stable IDs that are recorded or declared, by the ids of their live namespaces."""
        known = [StableId(i) for i in sorted({*self.facts.records, *self.facts.namespaces})]
        return {live.namespace_id: stable_id for stable_id in known if (live := self._live(stable_id))}


def check_hosts(destroy_set: DestroySet, facts: Facts, findings: Findings) -> None:
    """Refuse to delete a namespace whose Worker stays but is not declared: there is nothing to upload without it."""
    for move in destroy_set.moves():
        if move.at and move.at.script not in facts.workers:
            worker = facts.known.worker(move.at.script)
            findings.refuse("host-not-declared", move.stable_id, at=move.at, worker=worker)


def check_forgotten(destroy_set: DestroySet, facts: Facts, findings: Findings) -> None:
    """Let what is gone already be forgotten by a plan of its own, and say what becomes of its declaration."""
    if not destroy_set.forgets(facts):
        return
    gone = sorted({*destroy_set.forgotten, *destroy_set.forgotten_workers})
    if moves := destroy_set.moves():
        subject = ",".join(sorted(u.stable_id for u in moves))
        findings.refuse("forget-first", subject, gone=", ".join(gone), words=" ".join(gone))
    else:
        findings.warn("only-forgets", gone=", ".join(gone))
