"""Compares declared, recorded and live triggers (routes, domains, queues, workflows) and makes their steps.

A cron trigger that this session never set stays; so does every workflow, with its instances. A queue that a plan makes
comes before the first step that needs it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from notebook_do.display.hiding import shown_value
from notebook_do.display.rich import rich
from notebook_do.model import ObservedTrigger
from notebook_do.model.steps import MakeQueue, RemoveTrigger, SetTrigger, Upload
from notebook_do.plan.described import declared_at
from notebook_do.plan.happens import lists_change
from notebook_do.plan.plan import Action, Change, Objection
from notebook_do.plan.sentences import say
from notebook_do.plan.workers.bindings import bound_queues
from notebook_do.plan.workers.ownership import change_of
from notebook_do.plan.workers.settings import UNSET, Fingerprint, crons_part, set_here

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import Desired, DesiredWorker, Recorded, Trigger
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
        """Return the scripts that take over a queue which a script stops to consume: best uploaded before it.

        Then the queue can be handed from one consumer to the other in two requests, with no upload between them.
        """
        script = ownership.worker.script_name
        left = {s.trigger.key for s in self.removals if s.trigger.kind == "consumer" and s.script_name == script}
        takes = {s.script_name for s in self.sets if s.trigger.kind == "consumer" and s.trigger.key in left}
        return frozenset(takes) if stops_consuming(ownership.worker) else frozenset()


def triggers_concerned(desired: Desired, recorded: Recorded) -> tuple[Trigger, ...]:
    """Return the triggers that a plan must look at, each once, by kind and key."""
    listed = [*(w.triggers for w in desired.workers), *(w.triggers for w in recorded.workers)]
    by_place = {(t.kind, t.key): t for triggers in listed for t in triggers}
    return tuple(by_place[place] for place in sorted(by_place))


def stops_consuming(worker: DesiredWorker) -> bool:
    """Say whether a Worker is declared without any queue: its source need not have `queue()` any more.

    Cloudflare refuses an upload without it while a queue has the script as its consumer (11001).
    """
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
    # Cloudflare deletes no script that is a queue's consumer (10064), so its triggers are removed before it.
    for id_, script in sorted(destroy_set.workers.items()):
        record = facts.worker_records.get(id_)
        for trigger in record.triggers if record else ():
            _remove(result, id_, script, trigger)
    leaving = {(s.trigger.kind, s.trigger.key, s.script_name) for s in result.removals}
    for _, ownership in sorted(ownerships.items()):
        for trigger in ownership.worker.triggers:
            there = live.get((trigger.kind, trigger.key))
            # What was not read counts as free, in a zone that exists: it is set, and Cloudflare says whether it can be.
            place = ObservedTrigger(kind=trigger.kind, key=trigger.key, parent="-") if there is None else there
            # What another Worker of ours gives up by this plan is free: its removal comes before this one is set.
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
        findings.refuse("trigger-taken", worker.id, where=worker.where, trigger=trigger, live=live)
        return
    if live.parent is None and trigger.kind != "consumer":  # a zone is bought and set up elsewhere, a queue is made
        findings.refuse("zone-missing", worker.id, where=worker.where, trigger=trigger)
        return
    there = live.settings.value
    # Cloudflare fills in the settings of a consumer that were not sent; those are no difference.
    same = live.script == script and all(there.get(k) == v for k, v in trigger.settings.value.items())
    if same and (record == trigger or trigger.kind == "workflow"):
        return  # one that is live and not recorded gets a step all the same: only what is recorded is ever removed
    if record == trigger:
        how = "unset" if live.script is None else "changed"
        detail = say("trigger-changed-outside", how, label=_label(trigger), script=script)
        findings.drift.append(_row(ownership.worker.id, script, trigger, Action.UPDATE, detail))
    elif record is not None and _is_changed(record, script, live):
        text = say("undone", "trigger", name=_label(trigger), script=script)
        findings.outside.append(Objection(kind="put-back", text=text))
    elif record is None and live.script and trigger.kind != "workflow":
        text = say("trigger-unrecorded", label=_label(trigger), script=script)
        findings.outside.append(Objection(kind="take-over", text=text))
    makes = trigger.kind == "consumer" and live.parent is None
    action = Action.UPDATE if live.script else Action.CREATE
    reason = "adopted" if same else "changed" if live.script else "set"
    detail = say("trigger", reason, label=_label(trigger), script=script)
    if makes:
        detail = f"{say('queue-made', queue=trigger.key)} {detail}"
    result.changes.append(_row(worker.id, script, trigger, action, detail))
    result.sets.append(SetTrigger(worker=worker.id, script_name=script, trigger=trigger))
    if makes:
        result.makes.append(MakeQueue(worker=worker.id, script_name=script, queue=trigger.key))


def _is_changed(record: Trigger, script: str, live: ObservedTrigger) -> bool:
    """Say whether a trigger that this session set is no longer live as it was set."""
    there = live.settings.value
    return live.script != script or any(there.get(k) != v for k, v in record.settings.value.items())


def _remove(result: Triggering, worker: str, script: str, trigger: Trigger) -> None:
    detail = say("trigger-removed", label=_label(trigger), script=script)
    result.changes.append(_row(worker, script, trigger, Action.DELETE, detail))
    result.removals.append(RemoveTrigger(worker=worker, script_name=script, trigger=trigger))


def _check_twice(ownerships: dict[str, Ownership], findings: Findings) -> None:
    """Refuse a trigger that two declared Workers name."""
    holders: dict[tuple[str, str], Ownership] = {}
    for _, ownership in sorted(ownerships.items()):
        for trigger in ownership.worker.triggers:
            first = holders.setdefault((trigger.kind, trigger.key), ownership)
            if first is not ownership:
                worker = ownership.worker
                findings.refuse(
                    "trigger-twice",
                    worker.id,
                    where=worker.where,
                    trigger=trigger,
                    first=first.worker.id,
                    place=declared_at(first.worker.where),
                )


def _label(trigger: Trigger) -> str:
    return trigger.label[:1].upper() + trigger.label[1:]


def _row(worker: str, script: str, trigger: Trigger, action: Action, detail: str) -> Change:
    settings = shown_value("", trigger.settings.value) if trigger.settings.value else rich()
    return Change(
        action=action,
        kind=trigger.kind,
        id=f"{worker}.{trigger.key}",
        worker=worker,
        name=script,
        field=trigger.key,
        after="" if action is Action.DELETE else str(settings),
        detail=detail,
        happens=rich(_HAPPENS[action], *((": ", settings) if settings and action is not Action.DELETE else ())),
    )


_HAPPENS = {Action.CREATE: "is set", Action.UPDATE: "is set again", Action.DELETE: "is removed"}


def wanted_crons(ownership: Ownership, before: Fingerprint) -> tuple[str, ...]:
    """Return the cron triggers that are to be live. A declared list is the whole list."""
    return ownership.worker.crons or kept_crons(ownership, before)


def kept_crons(ownership: Ownership, before: Fingerprint) -> tuple[str, ...]:
    """Return the live cron triggers that stay though they are not declared: those that this session never set."""
    live = (ownership.live.crons or ()) if ownership.live else ()
    if ownership.worker.crons or not live:
        return ()
    # A state file from before settings were recorded has only the fingerprint: it tells of all of them together.
    known = ownership.record and ownership.record.settings
    mine = set_here(ownership).get("crons", ()) if known else live if crons_part(live) == before.crons else ()
    return tuple(cron for cron in live if cron not in mine)


def crons_differ(ownership: Ownership, before: Fingerprint) -> bool:
    """Say whether the cron triggers must be replaced; where they were not read, by what was set last.

    One request replaces the whole list, so those that stay are sent again.
    """
    read = ownership.live.crons if ownership.live else None
    if read is None:
        return crons_part(ownership.worker.crons) != (before.crons if ownership.live else UNSET)
    return set(wanted_crons(ownership, before)) != set(read)


def lost_crons(ownership: Ownership, before: Fingerprint) -> frozenset[str]:
    """Return the cron triggers that this session set, that are to be live, and that somebody else removed."""
    live, wanted = ownership.live.crons if ownership.live else None, ownership.worker.crons
    same = wanted if crons_part(wanted) == before.crons else ()  # a state file from before settings were recorded
    mine = frozenset(set_here(ownership).get("crons", same))
    return frozenset() if live is None else mine & frozenset(wanted) - frozenset(live)


def cron_change(ownership: Ownership, before: Fingerprint) -> Change:
    """Return the row of cron triggers that change, which names those that are removed."""
    worker = ownership.worker
    read = ownership.live.crons if ownership.live else ()
    live, wanted = read or (), wanted_crons(ownership, before)
    action = Action.CREATE if read == () else Action.UPDATE if wanted else Action.DELETE
    if not worker.crons:
        detail = say("cron-removed", crons=", ".join(c for c in live if c not in wanted), script=worker.script_name)
    else:
        detail = say("crons", "set" if read == () else "replaced", script=worker.script_name)
        if crons_part(worker.crons) == before.crons:
            detail += f" {say('changed-outside', 'several')}"
    shown = {"before": ", ".join(live), "after": ", ".join(wanted)}
    return _cron_row(ownership, action, detail, happens=lists_change(live, wanted), **shown)


def kept_cron_rows(ownership: Ownership, before: Fingerprint) -> list[Change]:
    """Return the rows of the cron triggers that stay though they are not declared here."""
    script = ownership.worker.script_name
    return [
        _cron_row(ownership, Action.NOOP, say("cron-kept", cron=cron, script=script), after=cron)
        for cron in kept_crons(ownership, before)
    ]


def _cron_row(ownership: Ownership, action: Action, detail: str, **shown: str) -> Change:
    return change_of(ownership.worker, action, "cron", detail, field="crons", **shown)


# --- queues


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
