"""What a deploy says: events while it runs, how each step ended, its result, and the error that stopped it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from notebook_do.cloudflare.retry import Cancelled
from notebook_do.display import Shown
from notebook_do.errors import ApiError, CommandError, DeployError, SourceError
from notebook_do.plan.plan import Action
from notebook_do.plan.workers.settings import update_notes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import httpx

    from notebook_do.errors import DurableError
    from notebook_do.model import Recorded
    from notebook_do.plan.plan import Plan

_IN_MODULE = re.compile(r" at \S{1,200}:\d{1,9}:\d{1,9}( in \S{1,200})?$")
EventKind = Literal["step", "done", "failed", "waiting", "finished", "reading"]

Ending = Literal["done", "not done", "uncertain", "not known yet"]
"""How a step ended. `not known yet`: it was sent by a deploy that was interrupted, and may still be carried out."""


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
    started: datetime | None = field(default=None, compare=False)
    """When it was begun (UTC); None for a step that was not reached."""
    ended: datetime | None = field(default=None, compare=False)

    @property
    def seconds(self) -> float | None:
        """How long it took, waits for Cloudflare included; None for a step that was not reached."""
        return None if self.started is None or self.ended is None else (self.ended - self.started).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a deploy stopped in the step `index`, counted from 0.

    `message` is what was answered, and no more; `code` Cloudflare's, or 0. For a fault of the script `line` is the line
    of the `cell` of that Worker, and `excerpt` the lines around it.
    """

    index: int
    message: str
    code: int = 0
    worker: str = ""
    line: int | None = None
    cell: str = ""
    """Such as `cell [7]`."""
    excerpt: str = ""
    request: str = ""
    """What Cloudflare said no to, with the HTTP status."""

    @property
    def said(self) -> str:
        """Return the message, without the place in the uploaded module where the line of the cell is known."""
        return _IN_MODULE.sub("", self.message) if self.place else self.message

    @property
    def place(self) -> str:
        """Return where the fault is, such as `line 4 of cell [7]`; empty where that is not known."""
        if self.line is None:
            return ""
        return f"line {self.line} of {self.cell}" if self.cell else f"line {self.line} of the Worker's source"


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
    """What a deploy did: one outcome a step, the script names and namespace ids, the number of requests, the time.

    `result["my-worker"]` is the deployed Worker, once the session has added the addresses. `counts` are those of the
    plan's changes by their action, such as `{"create": 3, "delete": 1}`.
    """

    plan_digest: str
    outcomes: tuple[Outcome, ...] = ()
    stage: str = ""
    target: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    """When it began and ended (UTC)."""
    counts: dict[str, int] = field(default_factory=dict)
    failure: Failure | None = None
    """What stopped it; None for one that is done, or was stopped on request."""
    cancelled: bool = False
    """Whether it stopped before its end because it was asked to."""
    workers: dict[str, str] = field(default_factory=dict)
    namespaces: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    notes: tuple[str, ...] = ()
    """What a person should know or do next, a sentence each."""
    deployed: dict[str, Any] = field(default_factory=dict)
    plan: Plan | None = field(default=None, repr=False, compare=False)
    """The plan that was sent."""

    @property
    def seconds(self) -> float | None:
        """How long it took, from its lock to its last step."""
        return None if self.started is None or self.ended is None else (self.ended - self.started).total_seconds()

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


def result_of(  # noqa: PLR0913 - a plan, and what came of it
    plan: Plan,
    recorded: Recorded,
    outcomes: tuple[Outcome, ...] = (),
    *,
    requests: int = 0,
    notes: tuple[str, ...] = (),
    times: tuple[datetime, datetime] | tuple[None, None] = (None, None),
) -> DeployResult:
    """Return the result of a deploy that left `recorded`; without outcomes, of a plan that had nothing to do."""
    done = [s for s, o in zip(plan.steps, outcomes, strict=True) if o.status == "done"]
    actions = Counter(change.action for change in plan.changes)
    return DeployResult(
        plan_digest=plan.digest,
        outcomes=outcomes,
        stage=plan.stage,
        target=plan.target,
        started=times[0],
        ended=times[1],
        counts={action.value: actions[action] for action in Action if actions[action] and action is not Action.NOOP},
        workers={w.id: w.script_name for w in recorded.workers},
        namespaces={n.stable_id: n.namespace_id for n in recorded.namespaces},
        requests=requests,
        notes=(*plan.notes, *plan.lasting, *notes, *update_notes(done, plan.target)),
        plan=plan,
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
    # A wait that was ended on request is no fault of anything.
    result.cancelled = isinstance(error, Cancelled)
    result.failure = None if result.cancelled else failure_of(result, index, error)
    if isinstance(error, SourceError):
        fault = SourceError(error.message + tail, line=error.line)
        fault.excerpt, fault.code = error.excerpt, error.code
        fault.result = result
        return fault
    stop = DeployError(f"{failed.text} is {failed.status}: {error}{tail}")
    stop.result, stop.error = result, error
    return stop


def failure_of(result: DeployResult, index: int, error: DurableError) -> Failure:
    """Return why it stopped, for a person who sees the steps beside it."""
    code: int = getattr(error, "code", 0)
    source = error if isinstance(error, SourceError) else None
    step = result.plan.steps[index] if result.plan else None
    return Failure(
        index=index,
        message=error.message.removesuffix(f" [code {code}]"),
        code=code,
        worker=getattr(step, "worker", ""),
        line=source.line if source else None,
        excerpt=source.excerpt if source else "",
        request=error.request if isinstance(error, ApiError) else "",
    )
