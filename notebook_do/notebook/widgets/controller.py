"""The logic behind the Deploy button, without widgets: one press sends one plan, once, and whatever happens is shown.

An exception in a widget's callback is invisible in a notebook, so nothing may escape from here: `run` catches
everything and turns it into `message`. The deploy runs in a thread of its own; so Cancel can be pressed meanwhile.
"""

from __future__ import annotations

import threading
import traceback
from enum import Enum
from typing import TYPE_CHECKING

from notebook_do.errors import DeployError, DurableError, StalePlan
from notebook_do.notebook.views.plan import change_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.deploy.result import DeployResult, Event
    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.session import Session


class Phase(Enum):
    """Where a panel stands. Only READY can be pressed; nothing leads back to READY but an unsent plan."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    RETIRED = "retired"


class DeployController:
    """Holds the very plan that is shown. `changed` is called after every change, from any thread."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        *,
        changed: Callable[[], None] = lambda: None,
        finished: Callable[[DeployResult], None] = lambda _: None,
    ) -> None:
        self.session, self.plan = session, plan
        self.changed, self.finished = changed, finished
        self.phase = Phase.READY
        self.message, self.details, self.alert = "", "", False
        self.event: Event | None = None
        self.steps_done = 0
        self.result: DeployResult | None = None
        self.generation = 0
        """Grows when another plan takes the place of a stale one; a press names the generation it saw."""
        self._typed: dict[str, str] = {}
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def label(self) -> str:
        """Say what the button does, and where."""
        return f"Deploy {change_count(self.plan)} to {self.plan.stage} on {self.plan.target}"

    @property
    def destructive(self) -> bool:
        """True when stored objects would be lost."""
        return bool(self.plan.consents) or any(c.destructive for c in self.plan.changes)

    @property
    def missing(self) -> tuple[str, ...]:
        """The phrases that are not typed yet."""
        return tuple(c.phrase for c in self.plan.consents if self._typed.get(c.phrase, "").strip() != c.phrase)

    @property
    def can_press(self) -> bool:
        """True when a press would send something."""
        return self.phase is Phase.READY and self.plan.can_deploy and not self.missing

    def type(self, phrase: str, text: str) -> None:
        """Take what stands in the field for `phrase`."""
        self._typed[phrase] = text
        self.changed()

    def press(self, generation: int = 0) -> bool:
        """Start the deploy of the plan that was shown as `generation`. False when there is nothing to start."""
        with self._lock:
            if not self.can_press or generation != self.generation:
                return False
            self.phase, self.message, self.details, self.alert = Phase.RUNNING, "", "", False
            self.event, self.steps_done, self.result = None, 0, None
            self._cancelled.clear()
        self.changed()
        self._thread = threading.Thread(target=self.run, name="notebook-do-deploy", daemon=True)
        self._thread.start()
        return True

    def cancel(self) -> None:
        """Ask the running deploy to stop before its next step."""
        if self.phase is Phase.RUNNING:
            self._cancelled.set()
            self.message = "Stopping before the next step."
            self.changed()

    def retire(self, why: str) -> None:
        """Switch the button off for good, unless its deploy runs or has ended."""
        with self._lock:
            if self.phase is not Phase.READY:
                return
            self.phase, self.message, self.alert = Phase.RETIRED, why, False
        self.changed()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a started deploy to end. True when none runs any more."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def run(self) -> None:
        """Send the plan and keep what came of it; never raises."""
        try:
            result = self.session.deploy(
                self.plan,
                confirm=[c.phrase for c in self.plan.consents if c.phrase not in self.missing],
                emit=self._emit,
                cancel=self._cancelled.is_set,
            )
        except StalePlan as stale:
            self._replace(stale)
        except DurableError as error:
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 - a bug must be seen in the panel, there is no other place
            self._end(Phase.FAILED, f"Unexpected {type(error).__name__}: {error}", details=traceback.format_exc())
        else:
            self._succeed(result)

    def _fail(self, error: DurableError) -> None:
        """Say an expected error. Where nothing was sent yet, the same plan may be pressed again."""
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, DeployError) or error.result is not None:
            self.result = error.result
            self._end(Phase.FAILED, f"{text} To go on, plan again: %durable deploy")
        else:
            self._end(Phase.READY, text)

    def _emit(self, event: Event) -> None:
        self.event = event
        self.steps_done += event.kind == "done"
        self.changed()

    def _succeed(self, result: DeployResult) -> None:
        self.result = result
        if result.ok:
            self._end(Phase.DONE, "", alert=False)
        else:
            self._end(Phase.FAILED, "The deploy stopped before its end. To go on, plan again: %durable deploy")
        try:
            self.finished(result)
        except Exception as error:  # noqa: BLE001 - shown, like everything else
            self._end(self.phase, f"Deployed, but then {type(error).__name__}: {error}", details=traceback.format_exc())

    def _replace(self, stale: StalePlan) -> None:
        """Take the plan as it is now in place of the stale one; it needs a press of its own."""
        if stale.plan is None:
            self._end(Phase.FAILED, f"{stale} Nothing was sent. Plan again: %durable deploy")
            return
        self.plan = stale.plan
        self._typed.clear()
        self.generation += 1
        after = "Read the plan as it is now; it needs its own press."
        if stale.plan.empty:
            waits = "Until that is known nothing can be deployed; to look again: %durable plan"
            after = waits if stale.plan.undecided else "Nothing is left to do."
        sent = "" if "othing was sent" in stale.message else "Nothing was sent. "
        self._end(Phase.READY, f"{stale} {sent}{after}")

    def _end(self, phase: Phase, message: str, *, details: str = "", alert: bool = True) -> None:
        self.message, self.details, self.alert, self.phase = message, details, alert, phase
        self.changed()
