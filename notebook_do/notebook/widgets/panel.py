"""The panel below a plan: the fields for the phrases, one button, and while a deploy runs how far each step is.

It has no header and no result: the plan stands above it, and what came of it is recorded there, in outputs that stay
readable when the kernel is gone. What remains here after the end is the button that plans again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import ipywidgets as w

from notebook_do.display.formats import short_account
from notebook_do.display.rich import code, rich
from notebook_do.notebook.views import html
from notebook_do.notebook.views.blocks import Line
from notebook_do.notebook.views.purpose import is_production, purpose_of, sentence_of
from notebook_do.notebook.views.steps import steps_table
from notebook_do.notebook.widgets.controller import DeployController, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.deploy.result import DeployResult
    from notebook_do.notebook.views.blocks import Document
    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.session import Session

_last: WeakKeyDictionary[Session, DeployController] = WeakKeyDictionary()
_LABEL = {"description_width": "11em"}


def below_record(widget: w.Widget, options: dict[str, Any]) -> Any:
    """Return what displays a widget that stands below a record, and nothing as its text."""
    bundle = widget._repr_mimebundle_(**options)
    # Where no widget is drawn, as on a code host, the record above says all there is to say.
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    data["text/plain"] = ""
    return bundle


def switch(button: w.Button, colour: str, *, on: bool) -> None:
    """Let a button be pressed or not; it has its colour only where it can be.

    What a dark JupyterLab writes on a coloured button is dark, and nobody can read it on one that is off; and it is to
    be read before the phrase is typed.
    """
    button.disabled, button.button_style = not on, colour if on else ""


class DeployPanel:
    """Phrase fields, one button, progress while it runs; `recorded` is given each new record, to show it above.

    A newer panel of the same session, in `cell`, switches the older ones off: at most one button of a session can be
    pressed.
    """

    def __init__(
        self,
        session: Session,
        plan: Plan,
        *,
        recorded: Callable[[Document], None] = lambda _: None,
        finished: Callable[[DeployResult], None] = lambda _: None,
        cell: str = "",
    ) -> None:
        self.ended: Callable[[], None] = lambda: None
        """Called once when nothing can be pressed here any more."""
        if (before := _last.get(session)) is not None:
            before.retire(cell)
        self.controller = DeployController(session, plan, recorded=recorded, finished=finished)
        _last[session] = self.controller
        self.phrases = w.VBox()
        self.button = w.Button()
        self.buttons = w.HBox()
        self.stop = w.Button(layout=w.Layout(width="auto"))
        self.again = w.Button(description="Plan again", layout=w.Layout(width="auto"))
        self.bar = w.IntProgress(min=0, max=1, layout=w.Layout(width="30em", margin="2px 8px 2px 2px"))
        self.count = w.HTML()
        self.steps = w.HTML()
        self.progress = w.VBox([w.HBox([self.bar, self.count]), self.steps])
        self.stop.on_click(lambda _: self.controller.cancel())
        self.again.on_click(lambda _: self.controller.plan_again())
        self._built = -1
        # Reentrant: setting a trait may call back into a handler that draws again.
        self._drawing = threading.RLock()
        self.widget = w.VBox([self.phrases, self.buttons, self.progress])
        self.controller.changed = self.refresh
        self.refresh()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return below_record(self.widget, options)

    def refresh(self) -> None:
        """Draw the controller's state; called from any thread, drawn by one at a time, so that the last state stays."""
        with self._drawing:
            self._draw()

    def _draw(self) -> None:
        now = self.controller
        if self._built != now.generation:
            self._build()
        ready = now.phase is Phase.READY and now.plan.can_deploy
        running = now.phase is Phase.RUNNING
        planning = now.phase is Phase.PLANNING
        switch(self.button, self._colour, on=now.can_press)
        self.stop.disabled = now.stopping
        self.stop.description = "Stops when this step is done" if now.stopping else "Stop before the next step"
        self.again.disabled = planning
        self.again.description = "Planning…" if planning else "Plan again"
        for part, is_there in (
            (self.phrases, ready and bool(now.plan.consents)),
            (self.button, ready),
            (self.stop, running),
            (self.again, now.can_plan_again or planning),
            (self.progress, running),
        ):
            part.layout.display = "" if is_there else "none"
        if now.phase in {Phase.DONE, Phase.RETIRED} and self.widget.layout.display != "none":
            self.widget.layout.display = "none"
            self.ended()
        if running:
            self._draw_progress()
        elif self.steps.value:
            self.steps.value = self.count.value = ""  # it stands in the record

    def _draw_progress(self) -> None:
        progress = self.controller.progress
        self.bar.max, self.bar.value = max(progress.total, 1), progress.done
        self.count.value = html.render((Line(f"{progress.done:,} of {progress.total:,} steps", role="status"),))
        self.steps.value = html.render((steps_table(progress.rows()),))

    def _build(self) -> None:
        """Make a button and fields for the plan as it is now; the old button's clicks lead nowhere."""
        plan = self.controller.plan
        self._built = generation = self.controller.generation
        said = sentence_of(plan, account=plan.account or short_account(plan.baseline.account_id))
        self._colour = "danger" if purpose_of(plan).destroyed or is_production(plan) else "primary"
        self.phrases.children = tuple(_field(self.controller, consent.phrase) for consent in plan.consents)
        self.button = w.Button(description=said, tooltip=said, layout=w.Layout(width="auto"))
        self.button.on_click(lambda button: self._pressed(button, generation))
        self.buttons.children = (self.button, self.stop, self.again)

    def _pressed(self, button: Any, generation: int) -> None:
        # First thing: a second click comes before the first one's effect is seen.
        button.disabled = True
        if not self.controller.press(generation):
            self.refresh()


def _field(controller: DeployController, phrase: str) -> Any:
    def typed(text: str) -> bool:
        controller.type(phrase, text)
        return controller.is_typed(phrase)

    return w.VBox(phrase_field(phrase, typed))


def phrase_field(phrase: str, typed: Callable[[str], bool]) -> tuple[w.Text, w.HTML]:
    """Make the field for one phrase and the line below it, which has it; `typed` takes a text, and says if it is it."""
    field = w.Text(description="Type this to allow it", style=_LABEL, layout=w.Layout(width="40em"))
    below = w.HTML(html.render((_asked(phrase, typed=False),)), layout=w.Layout(margin="0 0 4px 11.6em"))

    def look(change: Any) -> None:
        below.value = html.render((_asked(phrase, typed=typed(change["new"])),))

    field.observe(look, names="value")
    return field, below


def _asked(phrase: str, *, typed: bool) -> Line:
    """Return the phrase to type, and whether it stands there: the button below may be off for another one."""
    return Line(rich(code(phrase), " ✓ as asked") if typed else code(phrase), small=True)
