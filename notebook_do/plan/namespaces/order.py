"""Puts scripts and steps in their order: what must be first is first, what should be first is where that is possible.

Nothing that answers is removed before what replaces it is set: setting a trigger can fail, since somebody else may have
taken the host name.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from notebook_do.model import ClassBinding, ServiceBinding
from notebook_do.model.steps import DeleteScript, Forget, SetUrl, Upload
from notebook_do.plan.workers.triggers import stops_consuming, with_queues

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebook_do.model import ObservedScript, StableId
    from notebook_do.model.steps import RemoveTrigger, SetTrigger, Step
    from notebook_do.plan.facts import Facts
    from notebook_do.plan.namespaces.destroy import DestroySet
    from notebook_do.plan.workers.ownership import Ownership
    from notebook_do.plan.workers.triggers import Triggering


class CrossedTransfer(Exception):  # noqa: N818 - caught at once and turned into a refusal
    """Scripts hand namespaces to each other in a circle."""

    def __init__(self, scripts: tuple[str, ...]) -> None:
        super().__init__(scripts)
        self.scripts = scripts


def order_of(hard: Mapping[str, set[str]], soft: Mapping[str, set[str]]) -> list[str]:
    """Sort by both kinds of edges (node -> what comes before it); a circle of soft ones is broken by name.

    Of those that can be next the first by name is: the same edges give the same order. Raise CrossedTransfer where the
    hard edges make a circle.
    """
    waiting = {node: hard[node] | soft.get(node, set()) for node in hard}
    followers: dict[str, list[str]] = {node: [] for node in hard}
    for node, before in waiting.items():
        for earlier in before:
            followers[earlier].append(node)
    ready = [node for node, before in waiting.items() if not before]
    heapify(ready)
    order: list[str] = []
    done: set[str] = set()
    while len(order) < len(waiting):
        if not ready:  # only wishes are left that go in a circle: the first that must wait for nothing goes before them
            able = [n for n in sorted(waiting) if n not in done and hard[n] <= done]
            if not able:
                raise CrossedTransfer(tuple(n for n in sorted(waiting) if n not in done and hard[n] - done))
            heappush(ready, able[0])
        node = heappop(ready)
        done.add(node)
        order.append(node)
        for follower in followers[node]:
            waiting[follower].discard(node)
            if not waiting[follower] and follower not in done:
                heappush(ready, follower)
    return order


def closed_last(triggering: Triggering) -> frozenset[str]:
    """Return the scripts that get a route or a custom domain: their workers.dev address is closed only after that."""
    return frozenset(s.script_name for s in triggering.sets if s.trigger.kind in {"route", "domain"})


def in_sequence(steps: list[Step], triggering: Triggering, ownerships: Mapping[str, Ownership]) -> list[Step]:
    """Return `steps` in their order, with the steps about triggers put among the uploads and their settings.

    Triggers come after all uploads, with one exception: Cloudflare refuses an upload without `queue()` while the script
    consumes a queue (11001), so the queues of a Worker that is declared without any are freed before its first upload.
    They are given on at once where their new consumer is uploaded by then; a queue has one consumer (11004).
    """
    uploaded = {step.script_name for step in steps if isinstance(step, Upload)}
    idle = {n for n, ownership in ownerships.items() if n in uploaded and stops_consuming(ownership.worker)}
    early = [r for r in triggering.removals if r.trigger.kind == "consumer" and r.script_name in idle]
    waiting = {_place(s): s for s in triggering.sets}
    closings = [s for s in steps if _is_closing(s) and s.script_name in closed_last(triggering)]  # type: ignore[union-attr]
    placed: list[Step] = []
    for number, step in enumerate(steps):
        if isinstance(step, Upload):
            for removal in [r for r in early if r.script_name == step.script_name]:
                early.remove(removal)
                placed.append(removal)
                # An heir that is still to be uploaded may have no `queue()` yet (11001): it gets the queue after that.
                heir = waiting.get(_place(removal))
                if heir and not _uploads(steps[number:], heir.script_name):
                    placed.append(waiting.pop(_place(removal)))
        if step not in closings:
            placed.append(step)
    left = [r for r in triggering.removals if r not in placed]
    return with_queues([*placed, *_ending(left, waiting, closings)], triggering.makes)


def _ending(
    removals: list[RemoveTrigger], waiting: Mapping[tuple[str, str], SetTrigger], closings: list[Step]
) -> list[Step]:
    """Return what comes after the uploads: what is only set, what moves, and then what is only removed.

    A trigger that moves between two Workers is freed right before it is given: it is nobody's for a moment only.
    """
    moves = [r for r in removals if _place(r) in waiting]
    moved = {_place(r) for r in moves}
    ending: list[Step] = [s for place, s in waiting.items() if place not in moved]
    for removal in moves:
        ending += [removal, waiting[_place(removal)]]
    return [*ending, *closings, *(r for r in removals if r not in moves)]


def _place(step: SetTrigger | RemoveTrigger) -> tuple[str, str]:
    return step.trigger.kind, step.trigger.key


def _is_closing(step: Step) -> bool:
    return isinstance(step, SetUrl) and not step.enabled


def _uploads(steps: list[Step], script: str) -> bool:
    return any(isinstance(step, Upload) and step.script_name == script for step in steps)


# --- deletions


def with_deletions(steps: list[Step], destroy_set: DestroySet, facts: Facts) -> list[Step]:
    """Return `steps` with the deletions: after every upload, for by then nothing that stays binds what they take away.

    Inspectors go first: each binds the namespaces that it reaches, which an upload may be about to delete.
    """
    inspectors = {w.script_name for w in facts.recorded.workers if w.inspector}
    last = _deletions(destroy_set, facts)
    first = [step for step in last if isinstance(step, DeleteScript) and step.script_name in inspectors]
    return [*first, *steps, *(step for step in last if step not in first)]


def _deletions(destroy_set: DestroySet, facts: Facts) -> list[Step]:
    """Return the steps that delete scripts, clients before those they bind, and then forget what is gone already.

    Cloudflare refuses to delete a script that another one still binds, and our deletions are never forced: `force`
    takes the namespaces along whoever binds them.
    """
    ids = {script: worker for worker, script in destroy_set.workers.items()}
    hosted: dict[str, list[StableId]] = {}
    for stable_id, namespace in sorted(destroy_set.namespaces.items()):
        hosted.setdefault(namespace.script_name, []).append(stable_id)
    steps: list[Step] = [
        DeleteScript(
            worker=ids[script],
            script_name=script,
            namespace_ids=tuple(destroy_set.namespaces[i].namespace_id for i in hosted.get(script, ())),
            forgotten=tuple(i for i in hosted.get(script, ()) if i in facts.records),
        )
        for script in _clients_first(destroy_set.scripts, facts)
    ]
    if destroy_set.forgotten or destroy_set.forgotten_workers:
        steps.append(
            Forget(
                stable_ids=tuple(sorted(set(destroy_set.forgotten))),
                workers=tuple(sorted(destroy_set.forgotten_workers)),
            )
        )
    return steps


def _clients_first(scripts: frozenset[str], facts: Facts) -> list[str]:
    """Sort scripts so that each comes before those that it binds, as far as its bindings were read."""
    before: dict[str, set[str]] = {script: set() for script in scripts}
    for script in scripts:
        for target in _bound_scripts(facts.scripts[script]):
            if target in before and target != script:
                before[target].add(script)
    try:
        return order_of(before, {})
    except CrossedTransfer:  # they bind each other: no order is right, any is as good
        return sorted(before)


def _bound_scripts(script: ObservedScript) -> Iterator[str | None]:
    for binding in script.bindings or ():
        if isinstance(binding, ClassBinding):
            yield binding.script_name
        elif isinstance(binding.value, ServiceBinding):
            yield binding.value.worker
