"""The button of a change of stored objects, with its phrase: it sends the very change that is shown, once."""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from notebook_do.errors import DurableError, StaleChange
from notebook_do.notebook.views import html
from notebook_do.notebook.views.blocks import Block, Code, Folded, Line, Tone
from notebook_do.notebook.views.changes import applied_document, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.model.changes import ObjectChange
    from notebook_do.sessions.session import Session


class ChangeController:
    """Holds the very change that is shown. `changed` is called after every step, from any thread."""

    def __init__(self, session: Session, change: ObjectChange, changed: Callable[[], None] = lambda: None) -> None:
        self.session, self.change, self.changed = session, change, changed
        self.typed = ""
        self.said: tuple[Block, ...] = ()
        self._pressed = False
        self._lock = threading.Lock()

    @property
    def can_press(self) -> bool:
        """True when a press would send the change."""
        return not self._pressed and (self.change.phrase is None or self.typed.strip() == self.change.phrase)

    def type(self, text: str) -> None:
        """Take what stands in the field."""
        self.typed = text
        self.changed()

    def press(self) -> threading.Thread | None:
        """Send the change in a thread of its own; None when there is nothing to send."""
        with self._lock:
            if not self.can_press:
                return None
            self._pressed = True
        self.said = (Line("Sent; waiting for the answer.", Tone.RUNNING, role="status"),)
        self.changed()
        thread = threading.Thread(target=self._send, name="notebook-do-change", daemon=True)
        thread.start()
        return thread

    def _send(self) -> None:
        # An exception in a thread is seen by nobody, so none leaves it.
        try:
            self.said = applied_document(self.session.apply(self.change, confirm=self.change.phrase or ()))
        except StaleChange as stale:
            again = Line("To read it as it is now, run this cell again.")
            self.said = (Line(str(stale), Tone.CHANGE, role="alert"), again)
        except DurableError as error:
            self.said = (Line(f"{type(error).__name__}: {error}", Tone.ALERT, role="alert"),)
        except BaseException as error:  # noqa: BLE001 - as above
            details = Folded("Details", (Code("", traceback.format_exc()),))
            self.said = (Line(f"{type(error).__name__}: {error}", Tone.ALERT, role="alert"), details)
        self.changed()


class ChangePanel:
    """The field of the phrase, where one is asked for, the button, and below it what became of the change."""

    def __init__(self, session: Session, change: ObjectChange) -> None:
        self.controller = ChangeController(session, change, self.refresh)
        words = sentence(change)
        loses = change.phrase is not None
        self.button = w.Button(
            description=words,
            tooltip=words,
            button_style="danger" if loses else "primary",
            layout=w.Layout(width="auto"),
        )
        self.button.on_click(lambda _: self.controller.press())
        self.field = w.Text(description="Type this to allow it", style={"description_width": "initial"})
        self.field.layout.display = "" if loses else "none"
        self.field.observe(lambda change: self.controller.type(change["new"]), names="value")
        self.phrase = w.HTML(html.render((Code("", change.phrase),)) if change.phrase else "")
        self.outcome = w.HTML()
        self.widget = w.VBox([self.field, self.phrase, self.button, self.outcome])
        self.refresh()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def refresh(self) -> None:
        """Draw where the controller stands."""
        self.button.disabled = not self.controller.can_press
        self.phrase.layout.display = self.field.layout.display
        self.outcome.value = html.render(self.controller.said) if self.controller.said else ""
        self.outcome.layout.display = "" if self.controller.said else "none"
