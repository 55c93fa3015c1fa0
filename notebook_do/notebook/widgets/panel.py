"""The Deploy button: a controller without widgets that sends one plan, once, and the panel of core widgets around it.

An exception in a widget's callback is invisible in a notebook, so nothing may escape from the controller: `run` catches
everything and turns it into `message`. The deploy runs in a thread of its own, so that Cancel can be pressed meanwhile.
The static view of the plan is an output of its own, before the panel: it stays readable when the kernel is gone.
"""

from __future__ import annotations

import threading
import traceback
from enum import Enum
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import ipywidgets as w

from notebook_do.errors import DeployError, DurableError, StalePlan
from notebook_do.notebook.shells import event_text
from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views import html
from notebook_do.notebook.views.blocks import Block, Code, Folded, Header, Line, Tone
from notebook_do.notebook.views.plan import change_count, lost, masked, plan_document, target_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.deploy.result import DeployResult, Event
    from notebook_do.plan.plan import Consent, Plan
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
        """Return what the button does, and where."""
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
            # A click may have been queued for a plan that was replaced since; it must not send the new one.
            if not self.can_press or generation != self.generation:
                return False
            self.phase, self.message, self.details, self.alert = Phase.RUNNING, "", "", False
            self.event, self.steps_done, self.result = None, 0, None
            # Under the lock: a Cancel that came after the end of an earlier deploy must not stop this one.
            self._cancelled.clear()
        self.changed()
        # A callback runs on the kernel's main thread, where a running deploy would keep Cancel waiting (measured).
        # A daemon: a kernel that is shut down does not wait for a deploy, whose journal lets the next plan go on.
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
        """Show an expected error. Where nothing was sent yet, the same plan may be pressed again."""
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
        # A phrase allows the loss that stood there when it was typed.
        self._typed.clear()
        self.generation += 1
        after = "Read the plan as it is now; it needs its own press."
        if stale.plan.empty:
            waits = "Until that is known nothing can be deployed; to look again: %durable plan"
            after = waits if stale.plan.undecided else "Nothing is left to do."
        # Said once: the error may say it already, at the beginning of a sentence or inside one.
        sent = "" if "othing was sent" in stale.message else "Nothing was sent. "
        self._end(Phase.READY, f"{stale} {sent}{after}")

    def _end(self, phase: Phase, message: str, *, details: str = "", alert: bool = True) -> None:
        self.message, self.details, self.alert, self.phase = message, details, alert, phase
        self.changed()


# --- the widgets

_WIDE = {"description_width": "initial"}
_last: WeakKeyDictionary[Session, DeployController] = WeakKeyDictionary()


class DeployPanel:
    """Header, confirmation fields, the Deploy button, progress, Cancel and result, in one box.

    A newer panel of the same session switches the older ones off: at most one button of a session can be pressed.
    """

    def __init__(
        self, session: Session, plan: Plan, *, finished: Callable[[DeployResult], None] = lambda _: None
    ) -> None:
        self.controller = DeployController(session, plan, changed=self.refresh, finished=finished)
        self.header = w.HTML()
        self.plan_now = w.HTML()
        self.consents = w.VBox()
        self.buttons = w.HBox()
        self.button = w.Button()
        self.cancel = w.Button(description="Cancel after this step", layout=w.Layout(width="auto", display="none"))
        self.bar = w.IntProgress(min=0, max=1, description="Progress", layout=w.Layout(width="30em", display="none"))
        self.step = w.HTML()
        self.outcome = w.HTML()
        self.note = w.HTML(
            html.render((Line("The button works while this kernel runs; after a restart run the cell again."),))
        )
        self.cancel.on_click(lambda _: self.controller.cancel())
        self._built = -1
        # Reentrant: setting a trait may call back into a handler that draws again.
        self._drawing = threading.RLock()
        self.refresh()
        self.widget = w.VBox(
            [
                *(self.header, self.plan_now, self.consents, self.buttons),
                *(self.bar, self.step, self.outcome, self.note),
            ]
        )
        if (before := _last.get(session)) is not None:
            before.retire("A newer plan is shown further on; this button is off.")
        _last[session] = self.controller

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def refresh(self) -> None:
        """Draw the controller's state; called from any thread, drawn by one at a time, so that the last state stays."""
        with self._drawing:
            self._draw()

    def _draw(self) -> None:
        now = self.controller
        if self._built != now.generation:
            self._build()
        self.button.disabled = not now.can_press
        if now.phase is not Phase.READY:
            self.button.button_style = ""
        running = now.phase is Phase.RUNNING
        self.cancel.layout.display = "" if running else "none"
        self.bar.layout.display = "" if running or now.event else "none"
        self.note.layout.display = "" if now.phase is Phase.READY and now.plan.can_deploy else "none"
        if now.event:
            self.bar.max, self.bar.value = max(now.event.total, 1), now.steps_done
            self.bar.bar_style = {Phase.DONE: "success", Phase.FAILED: "danger"}.get(now.phase, "info")
            self.step.value = html.render((Line(event_text(now.event), role="status"),))
        replaced = now.generation > 0 and now.phase is Phase.READY
        # Why another plan stands here is said above it; everything else is said below the button.
        document = (*self._said(), *plan_document(now.plan, offered=True)) if replaced else ()
        self.plan_now.value = html.render(document) if document else self.plan_now.value
        below = (*(() if replaced else self._said()), *(views.document_of(now.result) if now.result else ()))
        self.outcome.value = html.render(below) if below else ""
        for part in (self.plan_now, self.step, self.outcome):  # an empty line is a gap
            part.layout.display = "" if part.value else "none"
        self.consents.layout.display = "" if self._consents() else "none"

    def _build(self) -> None:
        """Make a button and fields for the plan as it is now; the old button's clicks lead nowhere."""
        now = self.controller
        self._built = generation = now.generation
        self.header.value = html.render((_header(now.plan),))
        self.consents.children = tuple(part for c in self._consents() for part in self._field(c.phrase, lost(c)))
        self.button = w.Button(
            description=now.label,
            tooltip=now.label,
            button_style="danger" if now.destructive else "primary",
            layout=w.Layout(width="auto", display="" if now.plan.can_deploy else "none"),
        )
        self.button.on_click(lambda button: self._pressed(button, generation))
        self.buttons.children = (self.button, self.cancel)

    def _consents(self) -> tuple[Consent, ...]:
        """Return what can be allowed by typing: nothing of a plan that is refused."""
        plan = self.controller.plan
        return () if plan.refusals else plan.consents

    def _field(self, phrase: str, loses: str) -> tuple[Any, Any]:
        field = w.Text(description=f"Type “{phrase}” to allow it:", style=_WIDE, layout=w.Layout(width="60em"))
        field.observe(lambda change: self.controller.type(phrase, change["new"]), names="value")
        return w.HTML(html.render((Line(loses, Tone.ALERT),))), field

    def _pressed(self, button: Any, generation: int) -> None:
        # First thing: a second click comes before the first one's effect is seen.
        button.disabled = True
        if not self.controller.press(generation):
            self.refresh()

    def _said(self) -> tuple[Block, ...]:
        """Return what the controller has to say, announced to a screen reader, with the details folded."""
        now = self.controller
        tone, role = (Tone.ALERT, "alert") if now.alert else (Tone.SAME, "status")
        line = (Line(now.message, tone, role=role),) if now.message else ()
        return (*line, *((Folded("Details", (Code("", now.details),)),) if now.details else ()))


def _header(plan: Plan) -> Header:
    facts = [("session", plan.session), ("stage", plan.stage), ("target", target_words(plan.target))]
    return Header("Deploy", (*facts, ("account", masked(plan.baseline.account_id)), ("plan", plan.digest)))
