"""Compares declared, recorded and live triggers (routes, custom domains, consumed queues) and makes their steps.

A cron trigger that this session never set stays. A queue that a plan makes comes before the first step that needs it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from notebook_do.model import ObservedTrigger, Resource, ValueBinding
from notebook_do.model.steps import MakeQueue, RemoveTrigger, SetTrigger, Upload
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.workers.ownership import change_of
from notebook_do.plan.workers.settings import UNSET, Fingerprint, crons_part, set_here

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import Desired, DesiredWorker, Recorded, ScriptBinding, Trigger
    from notebook_do.model.steps import Step
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.namespaces.destroy import DestroySet
    from notebook_do.plan.workers.ownership import Ownership


@dataclass(slots=True, kw_only=True)
class Triggering:
    """What happens to triggers: the rows of the plan, and the steps."""

    changes: list[Change] = field(default_factory=list)
    removals: list[RemoveTrigger] = field(default_factory=list)
    sets: list[SetTrigger] = field(default_factory=list)
    makes: list[MakeQueue] = field(default_factory=list)

    def heirs(self, ownership: Ownership) -> frozenset[str]:
        """Name the scripts that take over a queue which a script stops to consume: best uploaded before it."""
        script = ownership.worker.script_name
        left = {s.trigger.key for s in self.removals if s.trigger.kind == "consumer" and s.script_name == script}
        takes = {s.script_name for s in self.sets if s.trigger.kind == "consumer" and s.trigger.key in left}
        return frozenset(takes) if stops_consuming(ownership.worker) else frozenset()


def triggers_concerned(desired: Desired, recorded: Recorded) -> tuple[Trigger, ...]:
    """Give the triggers that a plan must look at, each once."""
    listed = [*(w.triggers for w in desired.workers), *(w.triggers for w in recorded.workers)]
    by_place = {(t.kind, t.key): t for triggers in listed for t in triggers}
    return tuple(by_place[place] for place in sorted(by_place))


def stops_consuming(worker: DesiredWorker) -> bool:
    """Say whether a Worker is declared without any queue: its source need not have `queue()` any more."""
    return not any(trigger.kind == "consumer" for trigger in worker.triggers)


def trigger_steps(
    facts: Facts, ownerships: dict[str, Ownership], destroy_set: DestroySet, findings: Findings
) -> Triggering:
    """Decide about every trigger; refusals and drift go to the findings."""
    result = Triggering()
    live = {(t.kind, t.key): t for t in facts.observed.triggers}
    _check_twice(ownerships, findings)
    for script, ownership in sorted(ownerships.items()):
        recorded = ownership.record.triggers if ownership.record else ()
        wanted = {(t.kind, t.key) for t in ownership.worker.triggers}
        for trigger in recorded:
            if (trigger.kind, trigger.key) not in wanted:
                _remove(result, ownership.worker.id, script, trigger)
    for id_, script in sorted(destroy_set.workers.items()):
        record = facts.worker_records.get(id_)
        for trigger in record.triggers if record else ():
            _remove(result, id_, script, trigger)
    leaving = {(s.trigger.kind, s.trigger.key, s.script_name) for s in result.removals}
    for _, ownership in sorted(ownerships.items()):
        for trigger in ownership.worker.triggers:
            there = live.get((trigger.kind, trigger.key))
            place = ObservedTrigger(kind=trigger.kind, key=trigger.key, parent="-") if there is None else there
            if place.script is not None and (place.kind, place.key, place.script) in leaving:
                place = ObservedTrigger(kind=place.kind, key=place.key, parent=place.parent)
            _settle(result, ownership, trigger, place, findings)
    return result


def _settle(
    result: Triggering, ownership: Ownership, trigger: Trigger, live: ObservedTrigger, findings: Findings
) -> None:
    """Decide about one declared trigger."""
    worker, script = ownership.worker, ownership.worker.script_name
    ours = {(t.kind, t.key): t for t in (ownership.record.triggers if ownership.record else ())}
    record = ours.get((trigger.kind, trigger.key))
    if live.script not in (None, script):
        findings.refuse(
            "trigger-taken",
            worker.id,
            f"{trigger.label} belongs to Worker {live.script}, and this session never takes one away from another.",
            f"remove it from {live.script} with the tool that set it, then plan again",
            f"take {trigger.key} out of the declaration of {worker.id}",
            where=worker.where,
        )
        return
    if live.parent is None and trigger.kind != "consumer":
        findings.refuse(
            "zone-missing",
            worker.id,
            f"{trigger.label}: no zone of this account holds that host name (or the token may not read zones).",
            "add the zone to the account, and give the token Zone: Read and Workers Routes: Edit",
            f"take {trigger.key} out of the declaration of {worker.id}",
            where=worker.where,
        )
        return
    there = live.settings.value
    same = live.script == script and all(there.get(k) == v for k, v in trigger.settings.value.items())
    if same and record == trigger:
        return
    if record == trigger:
        what = "is no longer set" if live.script is None else "was changed"
        detail = f"{_label(trigger)} of {script} {what}: somebody else did that; this plan puts it back."
        findings.drift.append(_row(ownership.worker.id, script, trigger, Action.UPDATE, detail))
    makes = trigger.kind == "consumer" and live.parent is None
    words = "is taken over" if same else "is changed" if live.script else "is set"
    first = f"Queue {trigger.key} is made. " if makes else ""
    action = Action.UPDATE if live.script else Action.CREATE
    detail = f"{first}{_label(trigger)} of {script} {words}."
    result.changes.append(_row(worker.id, script, trigger, action, detail))
    result.sets.append(SetTrigger(worker=worker.id, script_name=script, trigger=trigger))
    if makes:
        result.makes.append(MakeQueue(worker=worker.id, script_name=script, queue=trigger.key))


def _remove(result: Triggering, worker: str, script: str, trigger: Trigger) -> None:
    detail = f"{_label(trigger)} of {script}, which this session set, is removed."
    result.changes.append(_row(worker, script, trigger, Action.DELETE, detail))
    result.removals.append(RemoveTrigger(worker=worker, script_name=script, trigger=trigger))


def _check_twice(ownerships: dict[str, Ownership], findings: Findings) -> None:
    """Refuse a trigger that two declared Workers name."""
    holders: dict[tuple[str, str], Ownership] = {}
    for _, ownership in sorted(ownerships.items()):
        for trigger in ownership.worker.triggers:
            first = holders.setdefault((trigger.kind, trigger.key), ownership)
            if first is not ownership:
                findings.refuse(
                    "trigger-twice",
                    ownership.worker.id,
                    f"{trigger.label} is declared by {first.worker.id} and by {ownership.worker.id}; "
                    "one Worker has it.",
                    f"take it out of {first.worker.id} or out of {ownership.worker.id}",
                    where=ownership.worker.where,
                )


def _label(trigger: Trigger) -> str:
    return trigger.label[:1].upper() + trigger.label[1:]


def _row(worker: str, script: str, trigger: Trigger, action: Action, detail: str) -> Change:
    text = trigger.settings.text if trigger.settings.value else ""
    return Change(
        action=action,
        kind=trigger.kind,
        id=f"{worker}.{trigger.key}",
        worker=worker,
        name=script,
        field=trigger.key,
        after="" if action is Action.DELETE else text,
        detail=detail,
    )


def wanted_crons(ownership: Ownership, before: Fingerprint) -> tuple[str, ...]:
    """Give the cron triggers that shall be live. A declared list is the whole list."""
    return ownership.worker.crons or kept_crons(ownership, before)


def kept_crons(ownership: Ownership, before: Fingerprint) -> tuple[str, ...]:
    """Give the live cron triggers that stay though they are not declared: those that this session never set."""
    live = (ownership.live.crons or ()) if ownership.live else ()
    if ownership.worker.crons or not live:
        return ()
    known = ownership.record and ownership.record.settings
    mine = set_here(ownership).get("crons", ()) if known else live if crons_part(live) == before.crons else ()
    return tuple(cron for cron in live if cron not in mine)


def crons_differ(ownership: Ownership, before: Fingerprint) -> bool:
    """Say whether the cron triggers must be replaced; what was not read is compared with what was set."""
    read = ownership.live.crons if ownership.live else None
    if read is None:
        return crons_part(ownership.worker.crons) != (before.crons if ownership.live else UNSET)
    return set(wanted_crons(ownership, before)) != set(read)


def cron_change(ownership: Ownership, before: Fingerprint) -> Change:
    """Say how the cron triggers change, by name."""
    worker = ownership.worker
    live, wanted = (ownership.live.crons or ()) if ownership.live else (), wanted_crons(ownership, before)
    gone = ", ".join(cron for cron in live if cron not in wanted)
    detail = f"The cron triggers of {worker.script_name} are replaced."
    if not worker.crons:
        detail = f"Cron trigger {gone} of {worker.script_name}, set from here and no longer declared, is removed."
    elif crons_part(worker.crons) == before.crons:
        detail += " They were changed outside."
    shown = {"before": ", ".join(live), "after": ", ".join(wanted)}
    return _cron_row(ownership, Action.UPDATE, detail, **shown)


def kept_cron_rows(ownership: Ownership, before: Fingerprint) -> list[Change]:
    """Tell of the cron triggers that stay though they are not declared here."""
    name = ownership.worker.script_name
    return [
        _cron_row(
            ownership, Action.NOOP, f"Cron trigger {cron} of {name}, which is not declared here, is kept.", after=cron
        )
        for cron in kept_crons(ownership, before)
    ]


def _cron_row(ownership: Ownership, action: Action, detail: str, *, before: str = "", after: str = "") -> Change:
    return change_of(ownership.worker, action, "cron", detail, field="crons", before=before, after=after)


def bound_queues(bindings: Iterable[ScriptBinding]) -> frozenset[str]:
    """Return the queues that bindings send to."""
    values = [b.value for b in bindings if isinstance(b, ValueBinding)]
    bound = [v.fields.value for v in values if isinstance(v, Resource) and v.type == "queue"]
    return frozenset(str(fields.get("queue_name")) for fields in bound)


def queues_of(step: Step) -> frozenset[str]:
    """Return the queues that an upload binds, and those that a consumer reads from and leaves its dead letters in."""
    if isinstance(step, Upload):
        return bound_queues(step.bindings)
    if isinstance(step, SetTrigger) and step.trigger.kind == "consumer":
        dead = step.trigger.settings.value.get("dead_letter_queue")
        return frozenset({step.trigger.key} | ({str(dead)} if dead else set()))
    return frozenset()


def with_queues(steps: Iterable[Step], makes: Iterable[MakeQueue]) -> list[Step]:
    """Return `steps`, each after the queues that it is the first to need."""
    waiting = {make.queue: make for make in makes}
    placed: list[Step] = []
    for step in steps:
        placed += [waiting.pop(queue) for queue in sorted(queues_of(step) & waiting.keys())]
        placed.append(step)
    return placed
