"""The button of a change of stored objects, with its phrase: it sends the very change that is shown, once.

What becomes of the change is recorded above it, in an output that stays readable when the kernel is gone.
"""

from __future__ import annotations

import threading
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from notebook_do.errors import DurableError
from notebook_do.notebook.views.changes import applied_document, failed_document, sending_document, sentence
from notebook_do.notebook.widgets.panel import below_record, phrase_field, switch

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.model.changes import ObjectChange
    from notebook_do.notebook.views.blocks import Document
    from notebook_do.sessions.session import Session


class ChangeController:
    """Holds the very change that is shown.

    `recorded` is given each new record, `changed` is called after every step; both from any thread.
    """

    def __init__(
        self,
        session: Session,
        change: ObjectChange,
        changed: Callable[[], None] = lambda: None,
        recorded: Callable[[Document], None] = lambda _: None,
    ) -> None:
        self.session, self.change, self.changed, self._recorded = session, change, changed, recorded
        self.typed = ""
        self.said: Document = ()
        """The last record."""
        self.ended = False
        self._pressed = False
        self._lock = threading.Lock()

    @property
    def can_press(self) -> bool:
        """True when a press would send the change."""
        return not self._pressed and self.is_typed

    @property
    def is_typed(self) -> bool:
        """True when the phrase stands in its field, or none is asked for."""
        return self.change.phrase is None or self.typed.strip() == self.change.phrase

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
        self._record(sending_document(self.change, datetime.now(UTC)))
        thread = threading.Thread(target=self._send, name="notebook-do-change", daemon=True)
        thread.start()
        return thread

    def _send(self) -> None:
        # An exception in a thread is seen by nobody, so none leaves it.
        try:
            said = applied_document(self.session.apply(self.change, confirm=self.change.phrase or ()))
        except DurableError as error:
            said = failed_document(self.change, error, datetime.now(UTC))
        except BaseException as error:  # noqa: BLE001 - as above
            said = failed_document(self.change, error, datetime.now(UTC), traceback.format_exc())
        self.ended = True
        self._record(said)

    def _record(self, said: Document) -> None:
        self.said = said
        self._recorded(said)
        self.changed()


class ChangePanel:
    """The field of the phrase, where one is asked for, and the button; gone when the change was sent."""

    def __init__(
        self, session: Session, change: ObjectChange, *, recorded: Callable[[Document], None] = lambda _: None
    ) -> None:
        self.ended: Callable[[], None] = lambda: None
        """Called once when nothing can be pressed here any more."""
        self.controller = ChangeController(session, change, self.refresh, recorded)
        words = sentence(change)
        loses = change.phrase is not None
        self._colour = "danger" if loses else "primary"
        self.button = w.Button(description=words, tooltip=words, layout=w.Layout(width="auto"))
        self.button.on_click(lambda _: self.controller.press())
        self.field, self.phrase = phrase_field(change.phrase or "", self._typed)
        asked = w.VBox([self.field, self.phrase], layout=w.Layout(display="" if loses else "none"))
        # In a row of its own: what stands in a column alone is drawn as wide as the page.
        self.widget = w.VBox([asked, w.HBox([self.button])])
        self.refresh()

    def _typed(self, text: str) -> bool:
        self.controller.type(text)
        return self.controller.is_typed

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return below_record(self.widget, options)

    def refresh(self) -> None:
        """Draw where the controller stands."""
        switch(self.button, self._colour, on=self.controller.can_press)
        if self.controller.ended and self.widget.layout.display != "none":
            self.widget.layout.display = "none"
            self.ended()
