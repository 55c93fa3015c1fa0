"""The buttons above a live tail: Stop, Pause, and Only errors. What is shown stands below them, in an output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as w

from notebook_do.notebook.widgets.panel import below_record

if TYPE_CHECKING:
    from notebook_do.notebook.following import Following


class FollowPanel:
    """Three buttons; once it is over there is nothing to press."""

    def __init__(self, following: Following) -> None:
        self._following, self._logs = following, following.logs
        auto = w.Layout(width="auto")
        self.stop = w.Button(description="Stop", layout=auto)
        self.pause = w.Button(description="Pause", layout=auto)
        self.errors = w.ToggleButton(description="Only errors", layout=auto)
        self.stop.on_click(lambda _: self._stop())
        self.pause.on_click(lambda _: self._pause())
        self.errors.observe(self._filter, names="value")
        self.widget = w.HBox([self.stop, self.pause, self.errors])

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return below_record(self.widget, options)

    def _stop(self) -> None:
        self._following.stop()
        for button in self.widget.children:
            button.disabled = True

    def _pause(self) -> None:
        if self._logs.paused:
            self._logs.go_on()
        else:
            self._logs.pause()
        self.pause.description = "Go on" if self._logs.paused else "Pause"

    def _filter(self, change: Any) -> None:
        self._logs.only_errors = change["new"]
