"""The Deploy button without its widgets: it sends one plan, once, and keeps the record of what came of it.

An exception in a widget's callback is invisible in a notebook, so nothing may escape from here: all that goes wrong is
said in the record. The deploy runs in a thread of its own, so that it can be stopped meanwhile.
"""

from __future__ import annotations

import threading
import traceback
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from notebook_do.errors import DurableError, StalePlan
from notebook_do.notebook.views import record
from notebook_do.notebook.views.stale import stale_document
from notebook_do.notebook.widgets.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.deploy.result import DeployResult, Event
    from notebook_do.notebook.views.blocks import Document
    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.session import Session

_TICK = 1.0
"""Seconds between two looks at the clock while a deploy runs."""


class Phase(Enum):
    """Where a panel stands. Only READY sends when it is pressed; from ENDED a new plan leads to READY."""

    READY = "ready"
    RUNNING = "running"
    PLANNING = "planning"
    ENDED = "ended"
    DONE = "done"
    RETIRED = "retired"


class DeployController:
    """Holds the very plan that is shown.

    `changed` is called after every change, from any thread; `recorded` is given each new record, and `finished` a
    result.
    """

    def __init__(
        self,
        session: Session,
        plan: Plan,
        *,
        changed: Callable[[], None] = lambda: None,
        recorded: Callable[[Document], None] = lambda _: None,
        finished: Callable[[DeployResult], None] = lambda _: None,
    ) -> None:
        self.session, self.plan = session, plan
        self.changed, self.recorded, self.finished = changed, recorded, finished
        self.phase = Phase.READY
        self.progress = Progress(())
        self.stopping = False
        """Whether the deploy that runs was asked to stop."""
        self.generation = 0
        """Grows when another plan takes the place of this one; a press names the generation it saw."""
        self.document: Document = ()
        """The record as it stands in the notebook."""
        self._above: Document = ()
        """What stays above it: how an earlier press of this panel ended, and the plan that took its place."""
        self._replaced_by: str | None = None
        """The cell of a newer panel of the session."""
        self._typed: dict[str, str] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._record(record.waiting(plan))

    @property
    def missing(self) -> tuple[str, ...]:
        """The phrases that are not typed yet."""
        return tuple(c.phrase for c in self.plan.consents if not self.is_typed(c.phrase))

    def is_typed(self, phrase: str) -> bool:
        """Say whether a phrase stands in its field."""
        return self._typed.get(phrase, "").strip() == phrase

    @property
    def can_press(self) -> bool:
        """True when a press would send something."""
        return self.phase is Phase.READY and self.plan.can_deploy and not self.missing

    @property
    def can_plan_again(self) -> bool:
        """True when something may be left that a new plan would show."""
        return self.phase is Phase.ENDED or (self.phase is Phase.READY and not self.plan.can_deploy)

    def type(self, phrase: str, text: str) -> None:
        """Take what stands in the field for `phrase`."""
        self._typed[phrase] = text
        self.changed()

    # --- what a person does

    def press(self, generation: int = 0) -> bool:
        """Start the deploy of the plan that was shown as `generation`. False when there is nothing to start."""
        with self._lock:
            # A click may have been queued for a plan that was replaced since; it must not send the new one.
            if not self.can_press or generation != self.generation:
                return False
            self.phase, self.stopping = Phase.RUNNING, False
            self.progress = Progress(step.summary for step in self.plan.steps)
            # Under the lock: a stop that came after the end of an earlier deploy must not stop this one.
            self._stop.clear()
        self._record(record.running(self.plan, datetime.now(UTC)))
        # A callback runs on the kernel's main thread, where a running deploy would keep a stop waiting (measured).
        self._start(self.run, "notebook-do-deploy")
        return True

    def cancel(self) -> None:
        """Ask the running deploy to stop before its next step."""
        if self.phase is Phase.RUNNING:
            self._stop.set()
            self.stopping = True
            self.changed()

    def plan_again(self) -> bool:
        """Make a new plan in the place of the one that ended. False when there is nothing to plan again."""
        with self._lock:
            if not self.can_plan_again:
                return False
            self.phase = Phase.PLANNING
        self.changed()
        self._start(self._replan, "notebook-do-plan")
        return True

    def retire(self, cell: str = "") -> None:
        """Switch the button off for good, because `cell` shows a newer plan; a deploy that runs goes on."""
        with self._lock:
            self._replaced_by = cell
            if self.phase not in {Phase.READY, Phase.ENDED}:
                return  # what runs is retired at its end
        self._end(self.phase)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for what was started to end. True when nothing runs any more."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def _start(self, act: Callable[[], None], name: str) -> None:
        # A daemon: a kernel that is shut down does not wait for a deploy, whose journal lets the next plan go on.
        self._thread = threading.Thread(target=act, name=name, daemon=True)
        self._thread.start()

    # --- what comes of it

    def run(self) -> None:
        """Send the plan and record what came of it; never raises."""
        ended = threading.Event()
        threading.Thread(target=self._tick, args=(ended,), name="notebook-do-clock", daemon=True).start()
        try:
            result = self.session.deploy(
                self.plan,
                confirm=[c.phrase for c in self.plan.consents if c.phrase not in self.missing],
                emit=self._emit,
                cancel=self._stop.is_set,
            )
        except StalePlan as stale:
            self._replace(stale)
        except DurableError as error:
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 - a bug must be seen in the notebook, there is no other place
            self._end(Phase.ENDED, record.broken(self.plan, error, traceback.format_exc(), datetime.now(UTC)))
        else:
            self._succeed(result)
        finally:
            ended.set()

    def _tick(self, ended: threading.Event) -> None:
        """Let the time of a step that runs be seen, though nothing happens."""
        while not ended.wait(_TICK):
            self.changed()

    def _emit(self, event: Event) -> None:
        self.progress.take(event)
        self.changed()

    def _fail(self, error: DurableError) -> None:
        """Record an expected error. Where nothing was sent yet, the same plan may be pressed again."""
        if error.result is None:
            self._end(Phase.READY, (*record.not_sent(error), *record.waiting(self.plan)))
        else:
            self._end(Phase.ENDED, record.result_document(error.result))

    def _succeed(self, result: DeployResult) -> None:
        self._end(Phase.DONE if result.ok else Phase.ENDED, record.result_document(result))
        try:
            self.finished(result)
        except Exception as error:  # noqa: BLE001 - shown, like everything else
            told = record.broken_after(error, traceback.format_exc())
            self._end(self.phase, (*record.result_document(result), *told))

    def _replace(self, stale: StalePlan) -> None:
        """Take the plan as it is now in place of the stale one; it needs a press of its own."""
        if stale.plan is None:
            self._end(Phase.ENDED, record.not_sent(stale))
        elif stale.plan.empty and not stale.plan.refusals:
            left = stale.plan.undecided
            self._end(Phase.ENDED if left else Phase.DONE, record.nothing_left(stale, stale.plan))
        else:
            why = stale_document(stale, self.plan, stale.plan)
            self._take(stale.plan, (*why, *record.whole_plan(stale.plan)))

    def _replan(self) -> None:
        """Show the plan as it is now below how the last press ended; never raises."""
        try:
            plan = self.session.plan(self.plan.asked)
        except BaseException as error:  # noqa: BLE001 - as in `run`
            self._end(Phase.ENDED, (*self.document, *record.no_plan(error)), whole=True)
            return
        if plan.empty and not plan.refusals:
            left = plan.undecided
            self._end(
                Phase.ENDED if left else Phase.DONE, (*self.document, *record.nothing_left(None, plan)), whole=True
            )
        else:
            self._above = self.document
            self._take(plan, record.whole_plan(plan))

    def _take(self, plan: Plan, shown: Document) -> None:
        """Put `plan`, as it is `shown`, in the place of the one before."""
        with self._lock:
            # A phrase allows the loss that stood there when it was typed.
            self._typed.clear()
            above, self.plan = self._above, plan
            self.generation += 1
            # What is sent has to be found in the saved notebook: it stays, folded, above what comes of it.
            self._above = (*above, *record.whole_plan(plan, shut=True))
        self._end(Phase.READY, (*above, *shown, *(record.waiting(plan) if plan.can_deploy else ())), whole=True)

    def _end(self, phase: Phase, document: Document | None = None, *, whole: bool = False) -> None:
        """Record how something ended, and let what can be pressed then be pressed; a newer panel allows nothing."""
        if document is not None:
            self._record(document, whole=whole)
        with self._lock:
            retired = self._replaced_by is not None and phase in {Phase.READY, Phase.ENDED}
            self.phase = Phase.RETIRED if retired else phase
        if retired and phase is Phase.READY:  # what ended stays as it is recorded
            self._record(record.replaced(self._replaced_by or "", again=bool(self._above)))
        self.changed()

    def _record(self, document: Document, *, whole: bool = False) -> None:
        self.document = document if whole else (*self._above, *document)
        self.recorded(self.document)
