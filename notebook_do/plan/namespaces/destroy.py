"""Turns what the user asked to destroy into deletions: each namespace with its consent, binders named, protection kept.

A namespace whose Worker stays is deleted by an upload; a Worker is deleted whole, with every namespace that it hosts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from notebook_do.model import ClassBinding, ServiceBinding, StableId
from notebook_do.model.steps import DeleteScript, Forget
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.marks import read_mark
from notebook_do.plan.namespaces.order import CrossedTransfer, order_of
from notebook_do.plan.namespaces.readings import Reading, Readings, readings_of, refuse_doubt
from notebook_do.plan.namespaces.schedule import NamespaceMove
from notebook_do.plan.plan import Consent

if TYPE_CHECKING:
    from notebook_do.model import ObservedNamespace, ScriptBinding
    from notebook_do.model.steps import Step
    from notebook_do.plan.facts import Facts, Findings


@dataclass(slots=True)
class DestroySet:
    """What is to go."""

    namespaces: dict[StableId, ObservedNamespace] = field(default_factory=dict)
    """Live namespaces to be lost, however they go."""
    workers: dict[str, str] = field(default_factory=dict)
    """Worker ids to their live scripts, to be deleted."""
    forgotten: list[StableId] = field(default_factory=list)
    """Recorded namespaces that are no longer live."""
    forgotten_workers: list[str] = field(default_factory=list)
    stable_ids: frozenset[str] = frozenset()
    """Every stable ID asked for, and those that go with a Worker."""

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
        """Give stable IDs by namespace id."""
        return {n.namespace_id: stable_id for stable_id, n in self.namespaces.items()}

    def moves(self) -> list[NamespaceMove]:
        """Give the namespaces that go by an upload of their Worker, which stays."""
        return [
            NamespaceMove(
                stable_id=stable_id,
                namespace_id=live.namespace_id,
                storage=live.storage,
                at=Slot(live.script_name, live.class_name),
                goal=None,
            )
            for stable_id, live in sorted(self.namespaces.items())
            if live.script_name not in self.scripts
        ]

    def consents(self) -> tuple[Consent, ...]:
        """Give what must be typed: one phrase a namespace."""
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
    """Resolve what was asked for; refusals go to `findings`."""
    destroy_set, readings = DestroySet(), readings_of(facts)
    for asked in facts.desired.destroy:
        kind, _, name = asked.rpartition(":")
        is_namespace = name in facts.records or name in facts.namespaces
        is_worker = name in facts.worker_records or any(w.id == name for w in facts.desired.workers)
        if kind not in {"", "namespace", "worker"} or not (is_namespace or is_worker):
            _refuse_unknown(asked, facts, findings)
        elif not kind and is_namespace and is_worker:
            findings.refuse(
                "ambiguous-destroy",
                asked,
                f"{asked} is both a namespace and a Worker.",
                f"destroy namespace:{asked}",
                f"destroy worker:{asked}",
            )
        elif is_worker and kind != "namespace":
            _add_worker(name, facts, readings, destroy_set, findings)
        else:
            _add_namespace(StableId(name), facts, readings, destroy_set, findings)
    destroy_set.stable_ids = frozenset((*destroy_set.namespaces, *destroy_set.forgotten, *destroy_set.stable_ids))
    _check_declared_there(facts, readings, destroy_set, findings)
    return destroy_set


def _check_declared_there(facts: Facts, readings: Readings, destroy_set: DestroySet, findings: Findings) -> None:
    """Refuse a namespace that lives elsewhere and is declared on a Worker that is to go: nobody would plan for it."""
    for desired in facts.desired.namespaces:
        if desired.host not in destroy_set.workers or desired.stable_id in destroy_set.stable_ids:
            continue
        live = _live_of(desired.stable_id, facts, readings)
        if live is not None and live.script_name not in destroy_set.scripts:
            findings.refuse(
                "host-destroyed",
                desired.stable_id,
                f"namespace {desired.stable_id} is declared on Worker {desired.script_name}, which is to be deleted, "
                f"and lives on {live.script_name} as class {live.class_name}.",
                f"keep it where it is: declare script_name={live.script_name!r} (--script {live.script_name})",
                f"lose it too: destroy {desired.stable_id}",
                where=desired.where,
            )


def _refuse_unknown(asked: str, facts: Facts, findings: Findings) -> None:
    known = sorted({*facts.records, *facts.worker_records})
    findings.refuse(
        "unknown-destroy",
        asked,
        f"destroy {asked}: nothing of that name was deployed by this session; deployed are "
        f"{', '.join(known) or 'none'}.",
    )


def _add_namespace(
    stable_id: StableId, facts: Facts, readings: Readings, destroy_set: DestroySet, findings: Findings
) -> None:
    said = _said_of(stable_id, facts, readings)
    live = said.live if said else None
    destroy_set.stable_ids |= {stable_id}
    if said is not None and said.doubtful:
        desired = facts.namespaces.get(stable_id)
        refuse_doubt(stable_id, said, findings, desired.where if desired else None)
    elif live is not None:
        _check_protected(stable_id, live, facts, findings)
        destroy_set.namespaces[stable_id] = live
    elif stable_id in facts.records:
        destroy_set.forgotten.append(stable_id)
    else:
        _refuse_unknown(stable_id, facts, findings)


def _said_of(stable_id: StableId, facts: Facts, readings: Readings) -> Reading | None:
    """Read where a stable ID is: as recorded, as adopted by id, or as our mark says; None when nothing says it."""
    record, desired = facts.records.get(stable_id), facts.namespaces.get(stable_id)
    if record is not None and (record.namespace_id or desired is None or desired.namespace_id is None):
        return readings.recorded(record)
    if desired is None:
        return None
    if desired.namespace_id is not None:
        slot = Slot(desired.script_name, desired.class_name)
        return Reading(slot=slot, live=facts.live.get(desired.namespace_id))
    return readings.marked(stable_id, desired.script_name)


def _live_of(stable_id: StableId, facts: Facts, readings: Readings) -> ObservedNamespace | None:
    said = _said_of(stable_id, facts, readings)
    return said.live if said else None


def _check_protected(stable_id: StableId, live: ObservedNamespace, facts: Facts, findings: Findings) -> None:
    desired, record = facts.namespaces.get(stable_id), facts.records.get(stable_id)
    protected = desired.protect if desired else record.protected if record else True
    if protected:
        findings.refuse(
            "protected",
            stable_id,
            f"namespace {stable_id} ({live.namespace_id}) is protected.",
            f"lift it first: declare protect=False (%durable namespace {stable_id} --class {live.class_name} "
            "--unprotect), then destroy again",
            where=desired.where if desired else None,
        )


def _add_worker(id_: str, facts: Facts, readings: Readings, destroy_set: DestroySet, findings: Findings) -> None:
    record = facts.worker_records.get(id_)
    declared = next((w for w in facts.desired.workers if w.id == id_), None)
    script = record.script_name if record else declared.script_name if declared else ""
    live = facts.scripts.get(script)
    if live is None:
        if record is None:
            _refuse_unknown(id_, facts, findings)
            return
        destroy_set.forgotten_workers.append(id_)
        destroy_set.forgotten += [n.stable_id for n in facts.recorded.namespaces if n.script_name == script]
        return
    mark = read_mark(live.tags)
    if record is None and not (mark and mark.is_of(facts.desired.session, facts.desired.stage)):
        findings.refuse(
            "worker-exists",
            id_,
            f"Worker {script} was not made by this session, so it is not deleted.",
            "leave the destruction out: declare adopt=True on it (--adopt), deploy that, then destroy it",
        )
        return
    destroy_set.workers[id_] = script
    _condemn_hosted(id_, script, facts, readings, destroy_set, findings)


def _condemn_hosted(  # noqa: PLR0913, PLR0917 - what is asked, what is known, and where it goes
    id_: str, script: str, facts: Facts, readings: Readings, destroy_set: DestroySet, findings: Findings
) -> None:
    """Condemn every namespace of a script that is to be deleted; each needs a stable ID to be asked for."""
    ids = {live.namespace_id: i for i in _known_ids(facts) if (live := _live_of(i, facts, readings))}
    for hosted in facts.hosted.get(script, []):
        stable_id = ids.get(hosted.namespace_id)
        if stable_id is None:
            findings.refuse(
                "unmanaged-namespace",
                id_,
                f"Worker {script} hosts class {hosted.class_name} ({hosted.namespace_id}), which has no stable ID; "
                "its objects would be lost with the Worker.",
                f"declare it: %durable namespace ID --class {hosted.class_name} --script {script} "
                f"--namespace-id {hosted.namespace_id} --unprotect",
            )
            continue
        wanted = facts.namespaces.get(stable_id)
        if wanted and wanted.script_name not in {"", script}:
            findings.refuse(
                "transfer-first",
                stable_id,
                f"namespace {stable_id} is still on Worker {script}, which is to be deleted, and declared on "
                f"{wanted.script_name}.",
                f"deploy its move first (transferred_from={script!r}), then destroy {id_}",
                where=wanted.where,
            )
        destroy_set.stable_ids |= {stable_id}
        destroy_set.namespaces[stable_id] = hosted
        _check_protected(stable_id, hosted, facts, findings)


def _known_ids(facts: Facts) -> list[StableId]:
    return [StableId(i) for i in sorted({*facts.records, *facts.namespaces})]


# --- who still needs what is to go


def check_binders(destroy_set: DestroySet, rewritten: frozenset[str], facts: Facts, findings: Findings) -> None:
    """Refuse to destroy what something that stays still binds, and name it.

    `rewritten` are the scripts that this plan uploads, with the declared bindings and no others.
    """
    binders = _declared_binders(destroy_set, facts)
    for subject, name in _live_binders(destroy_set, rewritten, facts):
        binders.setdefault(subject, set()).add(name)
    for subject, names in sorted(binders.items()):
        findings.refuse(
            "still-bound",
            subject,
            f"{subject} cannot be destroyed: it is still bound by {', '.join(sorted(names))}.",
            "take the binding out of that Worker's cell and deploy it, then destroy",
            "destroy that Worker too",
        )
    unread = [
        s.name for s in facts.observed.scripts if s.bindings is None and s.name not in rewritten | destroy_set.scripts
    ]
    if unread and (destroy_set.namespaces or destroy_set.workers):
        findings.warnings.append(
            f"the bindings of {len(unread)} other Worker{'s' * (len(unread) > 1)} were not read; "
            "one of them may still bind what is destroyed."
        )


def _declared_binders(destroy_set: DestroySet, facts: Facts) -> dict[str, set[str]]:
    """Name the declared bindings to what is to go, by stable ID or Worker id."""
    binders: dict[str, set[str]] = {}
    for worker in facts.desired.workers:
        if worker.id in destroy_set.workers:
            continue
        for binding in worker.bindings:
            subject = _declared_subject(binding, destroy_set)
            if subject:
                binders.setdefault(subject, set()).add(f"{binding.name} of {worker.script_name} (declared)")
    return binders


def _live_binders(destroy_set: DestroySet, rewritten: frozenset[str], facts: Facts) -> list[tuple[str, str]]:
    """Name the live bindings to what is to go; a Worker's binding to a class of its own does not hold it."""
    slots = {Slot(n.script_name, n.class_name): i for i, n in destroy_set.namespaces.items()}
    found = []
    for script in facts.observed.scripts:
        if script.name in destroy_set.scripts or script.name in rewritten:
            continue
        for binding in script.bindings or ():
            own = isinstance(binding, ClassBinding) and binding.script_name in {None, script.name}
            subject = None if own else _live_subject(binding, script.name, slots, destroy_set)
            if subject:
                found.append((subject, f"{binding.name} of {script.name} (live)"))
    return found


def _declared_subject(binding: ScriptBinding, destroy_set: DestroySet) -> str | None:
    if isinstance(binding, ClassBinding):
        return binding.stable_id if binding.stable_id in destroy_set.namespaces else None
    if isinstance(binding.value, ServiceBinding):
        return next((i for i, script in destroy_set.workers.items() if script == binding.value.worker), None)
    return None


def _live_subject(
    binding: ScriptBinding, script: str, slots: dict[Slot, StableId], destroy_set: DestroySet
) -> str | None:
    if isinstance(binding, ClassBinding):
        if binding.namespace_id is not None:  # what it reaches, be it by an earlier class name
            return next((i for i, n in destroy_set.namespaces.items() if n.namespace_id == binding.namespace_id), None)
        return slots.get(Slot(binding.script_name or script, binding.class_name))
    if isinstance(binding.value, ServiceBinding):
        return next((i for i, name in destroy_set.workers.items() if name == binding.value.worker), None)
    return None


def check_hosts(destroy_set: DestroySet, facts: Facts, findings: Findings) -> None:
    """Refuse to delete a namespace whose Worker stays but is not declared: there is nothing to upload without it."""
    for move in destroy_set.moves():
        if move.at and move.at.script not in facts.workers:
            findings.refuse(
                "host-not-declared",
                move.stable_id,
                f"namespace {move.stable_id} is deleted by an upload of Worker {move.at.script}, which is "
                "not declared.",
                f"run the cell of Worker {move.at.script}, without class {move.at.class_name}",
                "destroy the Worker with everything in it",
            )


def check_forgotten(destroy_set: DestroySet, facts: Facts, findings: Findings) -> None:
    """Let what is gone already be forgotten by a plan of its own, and say what becomes of its declaration."""
    if not destroy_set.forgets(facts):
        return
    gone = ", ".join(sorted({*destroy_set.forgotten, *destroy_set.forgotten_workers}))
    if moves := destroy_set.moves():
        findings.refuse(
            "forget-first",
            ",".join(sorted(u.stable_id for u in moves)),
            f"{gone} is gone from the account already, and is forgotten by a plan of its own.",
            f"destroy {gone} alone and deploy that, then destroy the others",
        )
    else:
        findings.warnings.append(f"this plan only forgets {gone}; what else is declared is planned after it.")


def deletions(destroy_set: DestroySet, facts: Facts) -> list[Step]:
    """Give the steps that delete scripts, clients before those they bind, and forget what is gone already."""
    before: dict[str, set[str]] = {script: set() for script in destroy_set.scripts}
    for script in destroy_set.scripts:
        for binding in facts.scripts[script].bindings or ():
            target = binding.script_name if isinstance(binding, ClassBinding) else None
            if not isinstance(binding, ClassBinding) and isinstance(binding.value, ServiceBinding):
                target = binding.value.worker
            if target in before and target != script:
                before[target].add(script)
    try:
        order = order_of(before, {})
    except CrossedTransfer:  # they bind each other: no order is right, any is as good
        order = sorted(before)
    ids = {script: worker for worker, script in destroy_set.workers.items()}
    steps: list[Step] = []
    for script in order:
        hosted = {i: n for i, n in sorted(destroy_set.namespaces.items()) if n.script_name == script}
        steps.append(
            DeleteScript(
                worker=ids[script],
                script_name=script,
                namespace_ids=tuple(n.namespace_id for n in hosted.values()),
                forgotten=tuple(i for i in hosted if i in facts.records),
            )
        )
    if destroy_set.forgotten or destroy_set.forgotten_workers:
        steps.append(
            Forget(
                stable_ids=tuple(sorted(set(destroy_set.forgotten))),
                workers=tuple(sorted(destroy_set.forgotten_workers)),
            )
        )
    return steps
