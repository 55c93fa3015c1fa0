"""Compares declared, recorded and live triggers (routes, custom domains, consumed queues) and makes their steps.

The rules kept here: a trigger that another Worker holds is refused, never taken; one is removed only when we set it and
its declaration no longer names it, or its Worker is destroyed. When each step has its turn is said in sequence.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from notebook_do.model import ObservedTrigger
from notebook_do.model.steps import MakeQueue, RemoveTrigger, SetTrigger
from notebook_do.plan.plan import Action, Change

if TYPE_CHECKING:
    from notebook_do.model import Desired, DesiredWorker, Recorded, Trigger
    from notebook_do.plan.destroy import Doom
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.standing import Standing


@dataclass(slots=True, kw_only=True)
class Triggering:
    """What happens to triggers: the rows of the plan, and the steps."""

    changes: list[Change] = field(default_factory=list)
    removals: list[RemoveTrigger] = field(default_factory=list)
    sets: list[SetTrigger] = field(default_factory=list)
    makes: list[MakeQueue] = field(default_factory=list)

    def heirs(self, standing: Standing) -> frozenset[str]:
        """Name the scripts that take over a queue which a script stops to consume: best uploaded before it."""
        script = standing.worker.script_name
        left = {s.trigger.key for s in self.removals if s.trigger.kind == "consumer" and s.script_name == script}
        takes = {s.script_name for s in self.sets if s.trigger.kind == "consumer" and s.trigger.key in left}
        return frozenset(takes) if stops_consuming(standing.worker) else frozenset()


def triggers_concerned(desired: Desired, recorded: Recorded) -> tuple[Trigger, ...]:
    """Give the triggers that a plan must look at, each once."""
    listed = [*(w.triggers for w in desired.workers), *(w.triggers for w in recorded.workers)]
    by_place = {(t.kind, t.key): t for triggers in listed for t in triggers}
    return tuple(by_place[place] for place in sorted(by_place))


def stops_consuming(worker: DesiredWorker) -> bool:
    """Say whether a Worker is declared without any queue: its source need not have `queue()` any more."""
    return not any(trigger.kind == "consumer" for trigger in worker.triggers)


def trigger_steps(facts: Facts, standings: dict[str, Standing], doom: Doom, findings: Findings) -> Triggering:
    """Decide about every trigger; refusals and drift go to the findings."""
    result = Triggering()
    live = {(t.kind, t.key): t for t in facts.observed.triggers}
    _check_twice(standings, findings)
    for script, standing in sorted(standings.items()):
        recorded = standing.record.triggers if standing.record else ()
        wanted = {(t.kind, t.key) for t in standing.worker.triggers}
        for trigger in recorded:
            if (trigger.kind, trigger.key) not in wanted:
                _remove(result, standing.worker.id, script, trigger)
    for id_, script in sorted(doom.workers.items()):
        record = facts.worker_records.get(id_)
        for trigger in record.triggers if record else ():
            _remove(result, id_, script, trigger)
    leaving = {(s.trigger.kind, s.trigger.key, s.script_name) for s in result.removals}
    for _, standing in sorted(standings.items()):
        for trigger in standing.worker.triggers:
            there = live.get((trigger.kind, trigger.key))
            place = ObservedTrigger(kind=trigger.kind, key=trigger.key, parent="-") if there is None else there
            if place.script is not None and (place.kind, place.key, place.script) in leaving:
                place = ObservedTrigger(kind=place.kind, key=place.key, parent=place.parent)
            _settle(result, standing, trigger, place, findings)
    return result


def _settle(
    result: Triggering, standing: Standing, trigger: Trigger, live: ObservedTrigger, findings: Findings
) -> None:
    """Decide about one declared trigger."""
    worker, script = standing.worker, standing.worker.script_name
    ours = {(t.kind, t.key): t for t in (standing.record.triggers if standing.record else ())}
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
        findings.drift.append(_row(standing.worker.id, script, trigger, Action.UPDATE, detail))
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


def _check_twice(standings: dict[str, Standing], findings: Findings) -> None:
    """Refuse a trigger that two declared Workers name."""
    holders: dict[tuple[str, str], Standing] = {}
    for _, standing in sorted(standings.items()):
        for trigger in standing.worker.triggers:
            first = holders.setdefault((trigger.kind, trigger.key), standing)
            if first is not standing:
                findings.refuse(
                    "trigger-twice",
                    standing.worker.id,
                    f"{trigger.label} is declared by {first.worker.id} and by {standing.worker.id}; one Worker has it.",
                    f"take it out of {first.worker.id} or out of {standing.worker.id}",
                    where=standing.worker.where,
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
