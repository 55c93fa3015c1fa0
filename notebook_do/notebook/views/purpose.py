"""What a plan does, in the few words that its title, its button and its record share.

A plan that deletes no namespace and no Worker never says "destroy"; one that does nothing else never says "deploy".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from notebook_do.display.formats import counted, minute
from notebook_do.display.rich import code, joined, rich
from notebook_do.notebook.views.plan_changes import effective
from notebook_do.plan.plan import Action

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.plan.plan import Change, Consent, Plan


Form = Literal["", "ed", "ing"]
"""Of a verb: to deploy, deployed, deploying."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """How much a plan destroys, and how much else it changes."""

    changes: str
    """Such as `3 changes`; empty where it only destroys."""
    destroyed: str
    """Such as `1 namespace (1,204 objects) and 2 Workers`; empty where it destroys nothing."""
    gone: str = ""
    """The same without the objects."""
    others: tuple[Change, ...] = ()
    """The changes that are no part of what is destroyed."""

    def words(self, form: Form = "") -> str:
        """Return what is done, without a capital: `deploy 3 changes and destroy 1 namespace (12 objects)`."""
        parts = (("deploy", self.changes), ("destroy", self.destroyed))
        return " and ".join(f"{verb}{form} {what}" for verb, what in parts if what)

    @property
    def only_destroys(self) -> bool:
        """True when nothing is created or changed."""
        return bool(self.destroyed) and not self.changes


def purpose_of(plan: Plan) -> Purpose:
    """Return what a plan does; what goes with a deleted Worker is counted with it."""
    changes = effective(plan)
    # What is only forgotten, because it is gone already, has neither an id nor a name here: nothing is destroyed then.
    deleted = [c for c in changes if c.action is Action.DELETE]
    namespaces = {c.id for c in deleted if c.kind == "namespace" and c.destructive}
    workers = {c.worker for c in deleted if c.kind == "worker" and c.name}
    others = tuple(c for c in changes if c.id not in namespaces or c.kind != "namespace" if c.worker not in workers)
    objects = f" ({objects_of(plan.consents)})" if plan.consents else ""
    destroyed, gone = (_destroyed(len(namespaces), len(workers), more) for more in (objects, ""))
    # A plan that only repairs what was lost has steps, and no change.
    count = counted(len(others), "change") if others else "" if destroyed else counted(len(plan.steps), "step")
    return Purpose(changes=count, destroyed=destroyed, gone=gone, others=others)


def _destroyed(namespaces: int, workers: int, objects: str) -> str:
    counts = ((namespaces, "namespace", objects), (workers, "Worker", ""))
    return " and ".join(f"{counted(count, noun)}{more}" for count, noun, more in counts if count)


def objects_of(consents: Iterable[Consent]) -> str:
    """Return how many stored objects are lost in all; what was not counted is never shown as none."""
    found = list(consents)
    if any(consent.objects is None for consent in found):
        return "its objects were not counted" if len(found) == 1 else "not all objects were counted"
    count = sum(consent.objects or 0 for consent in found)
    return f"{'more than ' if any(c.objects_more for c in found) else ''}{counted(count, 'object')}"


def written_words(plan: Plan, consent: Consent) -> str:
    """Return which objects of a namespace were written lately, where the target tells: somebody uses them."""
    found = next((one for one in plan.written if one.namespace_id == consent.namespace_id), None)
    if found is None:
        return ""
    newest = rich("; the newest: ", joined(", ", map(code, found.newest)), ".") if found.newest else "."
    verb = "was" if found.within_hour == 1 else "were"
    many = f"{found.within_hour:,} of them {verb}" if found.within_hour else "None of them was"
    if consent.objects == 1 and not consent.objects_more:
        newest = rich("; its name: ", code(found.newest[0]), ".") if found.newest else "."
        many = "It was" if found.within_hour else "It was not"
    return rich(f"{many} written to in the hour before {minute(found.at)} UTC", newest)


def place_of(plan: Plan, *, account: str = "") -> str:
    """Return where a plan goes: `dev on local`, or `PRODUCTION on Cloudflare`; with the account where one is given."""
    if plan.target == "local":
        return f"{plan.stage} on local"
    stage = "PRODUCTION" if is_production(plan) else plan.stage
    return f"{stage} on Cloudflare{f', account {account}' if account else ''}"


def is_production(plan: Plan) -> bool:
    """Say whether this is the stage that people depend on, on Cloudflare."""
    return plan.target != "local" and plan.stage == "production"


def sentence_of(plan: Plan, form: Form = "", *, account: str = "") -> str:
    """Return what a plan does and where, as the button says it: `Deploy 5 changes to dev on local`."""
    purpose = purpose_of(plan)
    words = purpose.words(form)
    return f"{words[:1].upper()}{words[1:]} {'in' if purpose.destroyed else 'to'} {place_of(plan, account=account)}"


def doing(plan: Plan) -> str:
    """Return what a deploy that runs does."""
    return sentence_of(plan, "ing")
