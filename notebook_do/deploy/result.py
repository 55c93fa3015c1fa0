"""What a deploy says: events while it runs, how each step ended, its result, and the error that stopped it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from notebook_do.display import Shown
from notebook_do.errors import ApiError, CommandError, DeployError, SourceError
from notebook_do.model.steps import Upload
from notebook_do.plan.workers.bindings import bound_queues
from notebook_do.plan.workers.settings import update_notes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from notebook_do.errors import DurableError
    from notebook_do.model import Recorded
    from notebook_do.model.steps import Step
    from notebook_do.plan.plan import Plan

EventKind = Literal["step", "done", "failed", "waiting", "finished", "reading"]

Ending = Literal["done", "not done", "uncertain", "not known yet"]
"""How a step ended. `not known yet`: it was sent by a deploy that was interrupted, and may still be carried out."""
SCRIPT_FAULTS = frozenset({10021, 10070, 10061, 10064, 10068})
"""Refusals of what the script says or exports: it does not start, or lacks a class or a handler."""
_MISSING_CLASS = frozenset({"config_references_nonexistent_class", "config_export_not_in_code"})
"""The scenarios of 100402 (exports reconciliation) that are faults of the script: it does not export the class."""
_ABSENT_QUEUE = 11000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to step `index` (from 1) of `total`; `finished` is the last one, with index `total`.

    Of a plan: it is `reading`, and `index` of `total` Workers are read, or it is `waiting`.
    """

    kind: EventKind
    index: int
    total: int
    text: str


Emit = Callable[[Event], None] | None
Cancel = Callable[[], bool] | None
"""What may be given to a plan or a deploy: who is told what happens, and who says that it is to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one step ended. `detail` is one sentence for a person, empty when all went well."""

    text: str
    status: Ending
    detail: str = ""
    script_name: str = ""
    """The script that an interrupted step was about."""


class Caller(Protocol):
    """What calls a Worker by its id: a session."""

    def fetch(self, worker: str, path: str = "/", *, method: str = "GET", **options: Any) -> httpx.Response:
        """Call a Worker; `options` are those of `httpx.request`."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployed Worker, ready to be called. `url` is None while the account has no workers.dev name."""

    id: str
    script_name: str
    url: str | None
    session: Caller = field(repr=False)

    def fetch(self, path: str = "/", method: str = "GET", **options: Any) -> httpx.Response:
        """Call the Worker; see `Session.fetch`."""
        return self.session.fetch(self.id, path, method=method, **options)


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


# --- how a deploy ended


def all_outcomes(plan: Plan, outcomes: Mapping[int, Outcome], rest: str) -> tuple[Outcome, ...]:
    """Return one outcome a step; steps that were not reached are not done, because of `rest`."""
    return tuple(
        outcomes.get(i) or Outcome(text=s.summary, status="not done", detail=rest) for i, s in enumerate(plan.steps)
    )


def counted(outcomes: tuple[Outcome, ...]) -> str:
    """Write how many steps ended in each way, those that none did left out."""
    counts = [f"{sum(o.status == s for o in outcomes)} {s}" for s in ("done", "not done", "uncertain")]
    return ", ".join(c for c in counts if not c.startswith("0 "))


def result_of(
    plan: Plan,
    recorded: Recorded,
    outcomes: tuple[Outcome, ...] = (),
    *,
    requests: int = 0,
    notes: tuple[str, ...] = (),
) -> DeployResult:
    """Return the result of a deploy that left `recorded`; without outcomes, of a plan that had nothing to do."""
    done = [s for s, o in zip(plan.steps, outcomes, strict=True) if o.status == "done"]
    return DeployResult(
        plan_digest=plan.digest,
        outcomes=outcomes,
        workers={w.id: w.script_name for w in recorded.workers},
        namespaces={n.stable_id: n.namespace_id for n in recorded.namespaces},
        requests=requests,
        notes=(*plan.notes, *plan.lasting, *notes, *update_notes(done, plan.target, done=True)),
    )


def stopped(result: DeployResult, index: int, error: DurableError) -> DurableError:
    """Return the error that says how far a deploy came before `error` stopped it at step `index`.

    A fault of the script stays a SourceError, so that its line is shown; the outcome of every step is in `result`.
    """
    # Of steps that were sent together others may have been done, or failed too: none of them is left out.
    failed = result.outcomes[index]
    rest = [(o.text, o.status) for o in result.outcomes if o is not failed]
    tails = [(word, [text for text, status in rest if status == word]) for word in ("done", "not done", "uncertain")]
    tail = "".join(f" {word.capitalize()}: {'; '.join(texts)}." for word, texts in tails if texts)
    if isinstance(error, SourceError):
        fault = SourceError(error.message + tail, line=error.line)
        fault.result = result
        return fault
    stop = DeployError(f"{failed.text} is {failed.status}: {error}{tail}")
    stop.result, stop.error = result, error
    return stop


def with_line(error: DurableError, step: Step) -> DurableError:
    """Return the SourceError of an upload that was refused for what its script says, with the cell's line of it.

    The runtime counts lines from where the script begins. A refusal that need not name the queue (11000) gets the
    queues that it can be about; any other error is returned as it is.
    """
    if not (isinstance(step, Upload) and isinstance(error, ApiError)):
        return error
    if error.code == _ABSENT_QUEUE and (queues := sorted(bound_queues(step.bindings))):
        return DeployError(
            f"{error} Worker {step.worker} sends to {', '.join(queues)}: declare the Worker that consumes it, or make "
            "the queue (wrangler queues create NAME), and plan again."
        )
    if error.code not in SCRIPT_FAULTS and not error.scenarios & _MISSING_CLASS:
        return error
    # Bounded digits: the text is Cloudflare's, and int() refuses more than 4,300 of them.
    place = re.search(rf"\bat {re.escape(step.main_module)}:(\d{{1,9}}):\d{{1,9}}", error.message)
    line = step.line
    if place and step.body_line is not None:
        line = step.body_line + int(place[1]) - 1
    return SourceError(f"Worker {step.worker}: {error.message} [code {error.code}]", line=line)
