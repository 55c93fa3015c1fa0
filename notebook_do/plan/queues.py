"""Which steps need a queue to be there: a queue that the plan makes comes before the first of them.

Cloudflare refuses an upload that binds a queue which is not there (11000).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model import Resource, ValueBinding
from notebook_do.model.steps import SetTrigger, Upload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import ScriptBinding
    from notebook_do.model.steps import MakeQueue, Step


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
