"""What must hold before the first step of a plan is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.errors import ConsentRequired, CredentialError, StalePlan
from notebook_do.model import CreateClass, RenameClass
from notebook_do.model.steps import DeleteScript, Forget, Upload
from notebook_do.plan.namespaces.marks import op_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.credentials.vault import Vault
    from notebook_do.deploy.result import Outcome
    from notebook_do.model import ObservedScript
    from notebook_do.plan.plan import Plan
    from notebook_do.state.journal import Journal


def check_secrets(plan: Plan, vault: Vault) -> None:
    """Read every secret once before anything is sent; one that is missing names its cell's line."""
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
    only = not plan.consents and not any(isinstance(s, DeleteScript | Forget) for s in plan.steps)
    return only and bool(uploads) and all(isinstance(c, CreateClass | RenameClass) for c in changes)


def check_decided(plan: Plan, recovered: Iterable[Outcome]) -> None:
    """Refuse a plan about a script of which an interrupted step is not known yet, unless it leaves that out."""
    left_out = {left.script_name for left in plan.undecided}
    for outcome in recovered:
        if outcome.status == "not known yet" and outcome.script_name in plan.scripts - left_out:
            raise StalePlan(
                f"plan {plan.digest} is stale: it is not known yet what became of this: {outcome.text}; "
                f"{outcome.detail} Nothing was sent; look at the new plan."
            )


def check_consents(plan: Plan, typed: frozenset[str]) -> None:
    """Refuse a plan that loses something as long as one of its phrases was not typed."""
    if missing := [c for c in plan.consents if c.phrase not in typed]:
        wrong = sorted(typed - {c.phrase for c in plan.consents})
        raise ConsentRequired(
            "this plan destroys data, and is deployed only with the typed phrase: "
            + ", ".join(repr(c.phrase) for c in missing)
            + (f", not {', '.join(map(repr, wrong))}" if wrong else "")
            + ". Nothing was sent."
        )


def not_our_own(journal: Journal, scripts: Iterable[ObservedScript]) -> list[ObservedScript]:
    """Return the scripts that no upload of this very journal made: only they can be another copy's."""
    own = {attempt.intent.op for attempt in journal.attempts()}
    return [script for script in scripts if op_of(script) not in own]
