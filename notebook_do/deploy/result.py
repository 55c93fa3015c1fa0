"""What a deploy tells: events while it runs, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.display import Shown
from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from notebook_do.model import Recorded
    from notebook_do.plan.plan import Plan

EventKind = Literal["step", "done", "failed", "waiting", "finished"]

Ending = Literal["done", "not done", "uncertain", "not known yet"]
"""How a step ended. `not known yet`: it was sent by a deploy that was interrupted, and may still be carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to step `index` (from 1) of `total`; `finished` is the last one, with index `total`."""

    kind: EventKind
    index: int
    total: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one step ended. `detail` is one sentence for a person, empty when all went well."""

    text: str
    status: Ending
    detail: str = ""
    script_name: str = ""
    """The script that an interrupted step was about."""


@dataclass(kw_only=True)
class DeployResult(Shown):
    """What a deploy did: one outcome a step, the script names and namespace ids, the number of requests.

    `result["my-worker"]` is the deployed Worker, once the session has added the addresses.
    """

    plan_digest: str
    outcomes: tuple[Outcome, ...] = ()
    workers: dict[str, str] = field(default_factory=dict)
    namespaces: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    notes: tuple[str, ...] = ()
    """What a person should know or do next, a sentence each."""
    deployed: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True when every step is done."""
        return all(o.status == "done" for o in self.outcomes)

    def __getitem__(self, worker: str) -> Any:
        if worker in self.deployed:
            return self.deployed[worker]
        known = ", ".join(self.deployed) or "none"
        raise CommandError(f"this deploy's result has no Worker {worker!r}; deployed Workers: {known}.")


def of_nothing(plan: Plan, recorded: Recorded) -> DeployResult:
    """Return the result of a plan without steps: what is recorded is live already."""
    return DeployResult(
        plan_digest=plan.digest,
        workers={w.id: w.script_name for w in recorded.workers},
        namespaces={n.stable_id: n.namespace_id for n in recorded.namespaces},
        notes=plan.notes,
    )
