"""What is settled before the first step of a plan is sent: that it may run at all, and which steps wait for which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.display.formats import short_digest
from notebook_do.errors import ConsentRequired, CredentialError, StalePlan
from notebook_do.model import ClassBinding, CreateClass, RenameClass, ServiceBinding, ValueBinding
from notebook_do.model.steps import DeleteScript, Forget, MakeQueue, RemoveTrigger, SetMark, Upload
from notebook_do.plan.workers.triggers import queues_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
                f"plan {short_digest(plan.digest)} is stale: it is not known yet what became of this: {outcome.text}; "
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


def waves_of(steps: tuple[Step, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the indexes of the steps in waves: what is sent together, each wave once all before it are done.

    This is the plan's order, loosened where Workers have nothing to do with each other. A step that renames, moves or
    deletes anything waits for all before it, and all after wait for it: what it must follow (an unbinding, say) does
    not show in the steps themselves.
    """
    seen, waves = _Earlier(), list[list[int]]()
    for index, step in enumerate(steps):
        number = seen.wave_of(step)
        waves += [[] for _ in range(number + 1 - len(waves))]
        waves[number].append(index)
    return tuple(map(tuple, waves))


class _Earlier:
    """The steps so far, as the first wave that may follow those that a later step has to wait for."""

    def __init__(self) -> None:
        self._first = self._last = 0
        """The first wave that a step may be in by now, and the first that follows all steps."""
        # By script name, and by the name of a queue: a plan may have thousands of steps, and is not compared pairwise.
        self._own: dict[str, int] = {}
        self._marked: dict[str, int] = {}
        self._made: dict[str, int] = {}
        self._reached: dict[str, int] = {}
        self._queues: dict[str, int] = {}

    def wave_of(self, step: Step) -> int:
        """Return the wave of the next step, and note it."""
        if _stands_alone(step):
            wave = self._last
            self._first = self._last = wave + 1
            return wave
        wave = max((self._first, *self._followed(step)))
        self._note(step, wave + 1)
        self._last = max(self._last, wave + 1)
        return wave

    def _followed(self, step: Step) -> Iterator[int]:
        """Return the first waves that may follow what a step has to wait for."""
        script = _script(step)
        for of_script in (self._own, self._marked):
            yield of_script.get(script, 0)
        if isinstance(step, SetMark):
            yield self._made.get(script, 0)
            return  # what others bind does not change by it
        if self._queues:  # whoever is to consume it
            yield from (self._queues.get(queue, 0) for queue in queues_of(step))
        if isinstance(step, MakeQueue):
            return
        # A client Worker is refused while its host lacks the class (10061); where the plan has the client first, its
        # order is kept as well.
        yield self._reached.get(script, 0)
        for other in reaches(step):
            yield self._own.get(other, 0)

    def _note(self, step: Step, after: int) -> None:
        script = _script(step)
        notes = [(self._own, {script})]
        if isinstance(step, SetMark):
            notes = [(self._marked, {script})]
        elif isinstance(step, MakeQueue):
            notes = [(self._made, {script}), (self._queues, {step.queue})]
        else:
            notes.append((self._reached, set(reaches(step))))
        for by_name, names in notes:
            for name in names:
                by_name[name] = max(by_name.get(name, 0), after)


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
