"""Gives triggers and addresses their turn among the uploads: nothing is removed before what replaces it is set.

Setting a trigger can fail (somebody else took the host name), so a removal waits until all that replaces it is set.
Two removals come earlier. Where one key moves between two Workers of the session, it is freed right before it is given.
And Cloudflare refuses an upload without `queue()` while the script consumes a queue (11001): the queues of a Worker
that is declared without any are freed before its first upload. A queue that is to be made comes first of all that
needs it (queues.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model.steps import SetUrl, Upload
from notebook_do.plan.queues import with_queues
from notebook_do.plan.triggers import stops_consuming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model.steps import RemoveTrigger, SetTrigger, Step
    from notebook_do.plan.standing import Standing
    from notebook_do.plan.triggers import Triggering


def closed_last(triggering: Triggering) -> frozenset[str]:
    """Name the scripts that get a route or a custom domain: their workers.dev address is closed only after that."""
    return frozenset(s.script_name for s in triggering.sets if s.trigger.kind != "consumer")


def in_sequence(steps: list[Step], triggering: Triggering, standings: Mapping[str, Standing]) -> list[Step]:
    """Put the steps about triggers among the uploads and their settings, which keep their order."""
    uploaded = {step.script_name for step in steps if isinstance(step, Upload)}
    idle = {n for n, standing in standings.items() if n in uploaded and stops_consuming(standing.worker)}
    early = [r for r in triggering.removals if r.trigger.kind == "consumer" and r.script_name in idle]
    waiting = {_place(s): s for s in triggering.sets}
    closings = [s for s in steps if _is_closing(s) and s.script_name in closed_last(triggering)]  # type: ignore[union-attr]
    placed: list[Step] = []
    for number, step in enumerate(steps):
        if isinstance(step, Upload):
            for removal in [r for r in early if r.script_name == step.script_name]:
                early.remove(removal)
                placed.append(removal)
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
    """Give what comes after the uploads: what is only set, what moves, and then what is only removed."""
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
