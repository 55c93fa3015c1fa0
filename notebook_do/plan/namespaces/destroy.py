"""Turns what the user asked to destroy into a destroy set: what is deleted, and what is only forgotten.

A namespace whose Worker stays is deleted by an upload; a Worker is deleted whole, with every namespace that it hosts.
Either way each namespace has a consent of its own, and nothing that is protected, or that something else still binds,
is in the set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from notebook_do.model import ClassBinding, ServiceBinding, StableId
from notebook_do.plan.described import bound_by, unprotecting
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.marks import read_mark
from notebook_do.plan.namespaces.moves import NamespaceMove
from notebook_do.plan.namespaces.readings import Readings, reading_of, readings_of, refuse_doubt
from notebook_do.plan.plan import Action, Consent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.model import Observed, ObservedNamespace, ObservedScript, ScriptBinding
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.plan import Plan

    _Binders = Iterator[tuple[str, str, str, str]]


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
            self.findings.refuse("ambiguous-destroy", asked)
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
        self.findings.refuse("unknown-destroy", asked, known=", ".join(known) or "none")

    # --- a namespace

    def _add_namespace(self, stable_id: StableId) -> None:
        reading = reading_of(stable_id, self.facts, self.readings)
        live = reading.live if reading else None
        self.found.stable_ids.add(stable_id)
        if reading is not None and reading.doubtful:
            desired = self.facts.namespaces.get(stable_id)
            refuse_doubt(stable_id, reading, self.findings, desired.where if desired else None)
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
            self.findings.refuse("worker-exists", id_, reason="destroy", live=live)
            return
        self.found.workers[id_] = script
        self._add_hosted(id_, script)

    def _add_hosted(self, id_: str, script: str) -> None:
        """Add every namespace of a script that is to be deleted; each needs a stable ID to be consented to."""
        for hosted in self.facts.hosted.get(script, []):
            stable_id = self._stable_ids.get(hosted.namespace_id)
            if stable_id is None:
                self.findings.refuse("unmanaged-namespace", id_, live=hosted)
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


# --- who still needs it


def check_binders(destroy_set: DestroySet, rewritten: frozenset[str], facts: Facts, findings: Findings) -> None:
    """Refuse to destroy what something that stays still binds, and name it.

    `rewritten` are the scripts that this plan uploads, with the declared bindings and no others. Of the two forms only
    `exports` is documented to refuse such a deletion (`tombstone_delete_blocked_by_external_bindings`).
    """
    binders: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for subject, script, name, how in (
        *_declared_binders(destroy_set, facts),
        *_live_binders(destroy_set, rewritten, facts),
    ):
        binders.setdefault(subject, {}).setdefault(script, []).append((name, how))
    for subject, script in _listed_binders(destroy_set, rewritten, facts):
        # Named by the list alone: it may know of a version that the settings do not tell of. Never taken for nothing.
        binders.setdefault(subject, {}).setdefault(script, [(f"Worker {script}", "listed")])
    for subject, by_script in sorted(binders.items()):
        findings.refuse("still-bound", subject, binders=bound_by(by_script.values()))
    ends = rewritten | destroy_set.scripts
    unread = sum(script.bindings is None for script in facts.observed.scripts if script.name not in ends)
    if unread and not _is_told(destroy_set, facts):
        findings.warn("bindings-unread", "several" if unread > 1 else "one", count=unread)


def _is_told(destroy_set: DestroySet, facts: Facts) -> bool:
    """Say whether the account's list names whoever binds what is destroyed, so that nobody else need be read."""
    losing = {live.script_name for live in destroy_set.namespaces.values()} | destroy_set.scripts
    return all(_names_binders(facts.scripts.get(name), deleted=name in destroy_set.scripts) for name in losing)


def _names_binders(script: ObservedScript | None, *, deleted: bool) -> bool:
    """Say whether a list told who binds the namespaces of a script and, where it is deleted, who calls it."""
    binders = script.binders if script else None
    return binders is not None and not binders.problem and not (deleted and binders.callers is None)


def binders_to_read(plan: Plan, observed: Observed) -> frozenset[str]:
    """Return the scripts whose bindings were not read and that bind, or may bind, what a plan destroys.

    Those that the account's list names; where it does not say of what is destroyed who binds it, any script may.
    """
    ids = {consent.namespace_id for consent in plan.consents}
    deleted = {c.name for c in plan.changes if c.kind == "worker" and c.action is Action.DELETE and c.name}
    unread = {s.name for s in observed.scripts if s.bindings is None} - deleted
    scripts, found = {s.name: s for s in observed.scripts}, set[str]()
    for name in deleted | {consent.worker for consent in plan.consents}:
        binders = scripts[name].binders if name in scripts else None
        if binders is None or not _names_binders(scripts[name], deleted=name in deleted):
            return frozenset(unread)
        found |= {binder for id_, binder in binders.pairs if id_ in ids}
        found |= {*(binders.callers or ())} if name in deleted else set()
    return frozenset(found & unread)


def _declared_binders(destroy_set: DestroySet, facts: Facts) -> _Binders:
    """Yield (stable ID or Worker id, script, binding) of the declared bindings to what is destroyed."""
    for worker in facts.desired.workers:
        for binding in worker.bindings if worker.id not in destroy_set.workers else ():
            stable_id = binding.stable_id if isinstance(binding, ClassBinding) else None
            subject = stable_id if stable_id in destroy_set.namespaces else _called(binding, destroy_set)
            if subject:
                yield subject, worker.script_name, f"{binding.name} of Worker {worker.id}", "declared"


def _live_binders(destroy_set: DestroySet, rewritten: frozenset[str], facts: Facts) -> _Binders:
    """Yield (stable ID or Worker id, script, binding) of the live bindings to what is destroyed."""
    ids, ends = destroy_set.by_id(), destroy_set.scripts | rewritten
    slots = {Slot(n.script_name, n.class_name): i for i, n in destroy_set.namespaces.items()}
    for script in facts.observed.scripts:
        for binding in (script.bindings or ()) if script.name not in ends else ():
            if not isinstance(binding, ClassBinding):
                subject = _called(binding, destroy_set)
            elif binding.script_name is None or binding.script_name == script.name:
                continue  # its own class: the upload that deletes it goes without the binding
            elif binding.namespace_id is not None:
                subject = ids.get(binding.namespace_id)  # what it reaches, be it by an earlier class name
            else:
                subject = slots.get(Slot(binding.script_name, binding.class_name))
            if subject:
                yield subject, script.name, f"{binding.name} of Worker {facts.known.worker(script.name)}", "live"


def _listed_binders(destroy_set: DestroySet, rewritten: frozenset[str], facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield (stable ID or Worker id, script) of those that the account's list names as binding what is destroyed."""
    ids, deleted, ends = destroy_set.by_id(), destroy_set.scripts, destroy_set.scripts | rewritten
    for script in facts.observed.scripts:
        if script.binders is None:
            continue
        callers = (script.binders.callers or ()) if script.name in deleted else ()
        named = [(ids.get(id_), name) for id_, name in script.binders.pairs]
        named += [(destroy_set.worker_of(script.name), name) for name in callers]
        yield from ((subject, name) for subject, name in named if subject and name not in ends | {script.name})


def _called(binding: ScriptBinding, destroy_set: DestroySet) -> str | None:
    """Return the id of the Worker that a service binding calls, where that one is destroyed."""
    if isinstance(binding, ClassBinding) or not isinstance(binding.value, ServiceBinding):
        return None
    return destroy_set.worker_of(binding.value.worker)


def check_hosts(destroy_set: DestroySet, facts: Facts, findings: Findings) -> None:
    """Refuse to delete a namespace whose Worker stays but is not declared: there is nothing to upload without it."""
    for move in destroy_set.moves():
        if move.at and move.at.script not in facts.workers:
            findings.refuse("host-not-declared", move.stable_id, at=move.at)


def check_forgotten(destroy_set: DestroySet, facts: Facts, findings: Findings) -> None:
    """Let what is gone already be forgotten by a plan of its own, and say what becomes of its declaration."""
    if not destroy_set.forgets(facts):
        return
    gone = ", ".join(sorted({*destroy_set.forgotten, *destroy_set.forgotten_workers}))
    if moves := destroy_set.moves():
        findings.refuse("forget-first", ",".join(sorted(u.stable_id for u in moves)), gone=gone)
    else:
        findings.warn("only-forgets", gone=gone)
