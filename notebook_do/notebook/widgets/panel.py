"""The Deploy panel: core widgets around a `DeployController`. It shows the controller's state and passes presses on.

The static view of the plan is an output of its own, before the panel: it stays readable when the kernel is gone.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import ipywidgets as w

from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views import html
from notebook_do.notebook.views.blocks import Block, Code, Folded, Header, Line, Tone
from notebook_do.notebook.views.plan import lost, masked, plan_document, target_words
from notebook_do.notebook.widgets.controller import DeployController, Phase
from notebook_do.notebook.widgets.progress import event_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.deploy.result import DeployResult
    from notebook_do.plan.plan import Consent, Plan
    from notebook_do.sessions.session import Session

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
        button.disabled = True
        if not self.controller.press(generation):
            self.refresh()

    def _said(self) -> tuple[Block, ...]:
        """Give what the controller has to say, announced to a screen reader, with the details folded."""
        now = self.controller
        tone, role = (Tone.ALERT, "alert") if now.alert else (Tone.SAME, "status")
        line = (Line(now.message, tone, role=role),) if now.message else ()
        return (*line, *((Folded("Details", (Code("", now.details),)),) if now.details else ()))


def _header(plan: Plan) -> Header:
    facts = [("session", plan.session), ("stage", plan.stage), ("target", target_words(plan.target))]
    return Header("Deploy", (*facts, ("account", masked(plan.baseline.account_id)), ("plan", plan.digest)))
