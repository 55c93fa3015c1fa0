"""How far each step of a deploy is, by what the deploy tells while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.notebook.views.steps import StepRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from notebook_do.deploy.result import Event

_WAIT_SECONDS = 1.5
"""For how long what was told of a wait is true: it is told anew each second."""


@dataclass(slots=True)
class _OneStep:
    text: str
    state: str = "waiting"
    started: float | None = None
    ended: float | None = None
    wait: str = ""
    waits_since: float = 0.0


class Progress:
    """One row a step, in the plan's order. `take` may be called from any thread."""

    def __init__(self, texts: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = [_OneStep(text) for text in texts]
        self._clock = clock

    @property
    def total(self) -> int:
        """The number of steps."""
        return len(self._steps)

    @property
    def done(self) -> int:
        """The number of steps that are done."""
        return sum(step.state == "done" for step in self._steps)

    def take(self, event: Event) -> None:
        """Note what happened to a step; what is told of the whole deploy is left to its end."""
        if not 0 < event.index <= len(self._steps) or event.kind in {"finished", "reading"}:
            return
        step, now = self._steps[event.index - 1], self._clock()
        match event.kind:
            case "step":
                step.state, step.started = "running", now
            case "waiting":
                step.wait, step.waits_since = event.text, now
                step.started = now if step.started is None else step.started
            case "done":
                step.state, step.ended = "done", now
            case "failed":
                # A deploy that was cancelled says so of the step that would have been next.
                if step.started is not None:
                    step.state, step.ended = "failed", now

    def rows(self) -> tuple[StepRow, ...]:
        """Return the rows as they are now; a step that waits for Cloudflare says how long still, and why."""
        now = self._clock()
        return tuple(self._row(step, now) for step in self._steps)

    @staticmethod
    def _row(step: _OneStep, now: float) -> StepRow:
        seconds = None if step.started is None else (now if step.ended is None else step.ended) - step.started
        waits = step.ended is None and step.wait and now - step.waits_since < _WAIT_SECONDS
        if not waits:
            return StepRow(state=step.state, text=step.text, seconds=seconds)
        state, _, why = step.wait.partition(": ")
        return StepRow(state=state, text=f"{step.text}: {why}" if why else step.text, seconds=seconds)
