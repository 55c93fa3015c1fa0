"""What is settled before the first step of a plan is sent: that it may run at all, and which steps wait for which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.errors import ConsentRequired, CredentialError, StalePlan
from notebook_do.model import ClassBinding, CreateClass, RenameClass, ServiceBinding, ValueBinding
from notebook_do.model.steps import DeleteScript, Forget, MakeQueue, RemoveTrigger, SetMark, Upload
from notebook_do.plan.workers.triggers import queues_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.credentials.vault import Vault
    from notebook_do.deploy.result import Outcome
    from notebook_do.model.steps import Step
    from notebook_do.plan.plan import Plan


def check_secrets(plan: Plan, vault: Vault) -> None:
    """Read every secret once before anything is sent; one that is missing names its cell's line."""
    # Before the lock and before any request: a secret that is not there would else stop the deploy half-way.
    for step in plan.steps:
        if not isinstance(step, Upload):
            continue
        for name, secret in wire.secrets_of(step).items():
            try:
                vault.read(secret)
            except CredentialError as error:
                text = f"secret {name} of Worker {step.script_name}: {error.message}"
                raise CredentialError(text, line=step.line) from None


def verified_afterwards(plan: Plan) -> bool:
    """Say whether the namespace list need not be read before the first step.

    So it is where a plan only uploads, creates and renames: each upload is verified afterwards, and nobody creates or
    renames a namespace without uploading its script, which the script list shows by the time of its last change.
    """
    uploads = [step for step in plan.steps if isinstance(step, Upload)]
    changes = [c for step in uploads if step.migration for c in step.migration.class_migrations]
    # What is to be lost or forgotten is compared with the list first: it cannot be undone.
    only = not plan.consents and not any(isinstance(s, DeleteScript | Forget) for s in plan.steps)
    return only and bool(uploads) and all(isinstance(c, CreateClass | RenameClass) for c in changes)


def check_decided(plan: Plan, recovered: Iterable[Outcome]) -> None:
    """Raise StalePlan for a plan about a script of which an interrupted step is not known yet.

    A plan that was made after the interruption leaves such scripts out (`plan.undecided`).
    """
    left_out = {left.script_name for left in plan.undecided}
    for outcome in recovered:
        if outcome.status == "not known yet" and outcome.script_name in plan.scripts - left_out:
            raise StalePlan(
                f"plan {plan.digest} is stale: it is not known yet what became of this: {outcome.text}; "
                f"{outcome.detail} Nothing was sent; look at the new plan."
            )


def check_consents(plan: Plan, typed: frozenset[str]) -> None:
    """Raise ConsentRequired for a plan that loses something as long as one of its phrases was not typed."""
    if missing := [c for c in plan.consents if c.phrase not in typed]:
        wrong = sorted(typed - {c.phrase for c in plan.consents})
        raise ConsentRequired(
            "this plan destroys data, and is deployed only with the typed phrase: "
            + ", ".join(repr(c.phrase) for c in missing)
            + (f", not {', '.join(map(repr, wrong))}" if wrong else "")
            + ". Nothing was sent."
        )


def waits_for(steps: tuple[Step, ...]) -> tuple[frozenset[int], ...]:
    """Return for each step the indexes of the earlier steps that must be done before it.

    This is the plan's order, loosened where Workers have nothing to do with each other. A step that renames, moves or
    deletes anything waits for all before it, and all after wait for it: what it must follow (an unbinding, say) does
    not show in the steps themselves.
    """
    return tuple(frozenset(i for i in range(j) if _ordered(steps[i], steps[j])) for j in range(len(steps)))


def _ordered(earlier: Step, later: Step) -> bool:
    """Say whether `later` has to wait for `earlier`."""
    if _stands_alone(earlier) or _stands_alone(later):
        return True
    one, two = _script(earlier), _script(later)
    if isinstance(earlier, SetMark) or isinstance(later, SetMark):
        return one == two  # what others bind does not change by it
    if isinstance(earlier, MakeQueue):
        return earlier.queue in queues_of(later)  # whoever is to consume it
    if isinstance(later, MakeQueue):
        return one == two
    # A client Worker is refused while its host lacks the class (10061); where the plan has the client first, its order
    # is kept as well.
    return one == two or one in reaches(later) or two in reaches(earlier)


def _stands_alone(step: Step) -> bool:
    """Say whether a step renames, moves, deletes or forgets anything."""
    if isinstance(step, Upload):
        changes = step.migration.class_migrations if step.migration else ()
        return not all(isinstance(c, CreateClass) for c in changes)
    return isinstance(step, RemoveTrigger | DeleteScript | Forget)


def _script(step: Step) -> str:
    return "" if isinstance(step, Forget) else step.script_name


def reaches(step: Step) -> frozenset[str]:
    """Return the other scripts that an upload binds, or sends its tail to."""
    if not isinstance(step, Upload):
        return frozenset()
    found = {str(consumer["service"]) for consumer in step.options.value.get("tail_consumers", ())}
    for binding in step.bindings:
        if isinstance(binding, ClassBinding) and binding.script_name:
            found.add(binding.script_name)
        elif isinstance(binding, ValueBinding) and isinstance(binding.value, ServiceBinding):
            found.add(binding.value.worker)
    return frozenset(found)
