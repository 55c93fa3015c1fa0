"""Which steps have to wait for which: the plan's order, loosened where Workers have nothing to do with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model import ClassBinding, CreateClass, ServiceBinding, ValueBinding
from notebook_do.model.steps import DeleteScript, Forget, MakeQueue, RemoveTrigger, SetMark, Upload
from notebook_do.plan.workers.triggers import queues_of

if TYPE_CHECKING:
    from notebook_do.model.steps import Step


def waits_for(steps: tuple[Step, ...]) -> tuple[frozenset[int], ...]:
    """Give for each step the indexes of the earlier steps that must be done before it.

    A step that renames, moves or deletes anything waits for all before it, and all after wait for it: what it must
    follow (an unbinding, say) does not show in the steps themselves.
    """
    return tuple(frozenset(i for i in range(j) if _ordered(steps[i], steps[j])) for j in range(len(steps)))


def _ordered(earlier: Step, later: Step) -> bool:
    if _stands_alone(earlier) or _stands_alone(later):
        return True
    one, two = _script(earlier), _script(later)
    if isinstance(earlier, SetMark) or isinstance(later, SetMark):
        return one == two  # what others bind does not change by it
    if isinstance(earlier, MakeQueue):
        return earlier.queue in queues_of(later)  # whoever is to consume it
    if isinstance(later, MakeQueue):
        return one == two
    return one == two or one in reaches(later) or two in reaches(earlier)


def _stands_alone(step: Step) -> bool:
    if isinstance(step, Upload):
        changes = step.migration.class_migrations if step.migration else ()
        return not all(isinstance(c, CreateClass) for c in changes)
    return isinstance(step, RemoveTrigger | DeleteScript | Forget)


def _script(step: Step) -> str:
    return "" if isinstance(step, Forget) else step.script_name


def reaches(step: Step) -> frozenset[str]:
    """Give the other scripts that an upload binds, or sends its tail to."""
    found = (
        {str(t["service"]) for t in step.options.value.get("tail_consumers", ())} if isinstance(step, Upload) else set()
    )
    for binding in step.bindings if isinstance(step, Upload) else ():
        if isinstance(binding, ClassBinding) and binding.script_name:
            found.add(binding.script_name)
        elif isinstance(binding, ValueBinding) and isinstance(binding.value, ServiceBinding):
            found.add(binding.value.worker)
    return frozenset(found)
