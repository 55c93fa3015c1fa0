"""The steps of a deploy as rows: while it runs, in the panel, and in the record of how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.display.formats import duration
from notebook_do.notebook.views.blocks import Table, Tone, capped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.deploy.result import DeployResult, Outcome

_TONES = {"done": Tone.DONE, "running": Tone.RUNNING, "failed": Tone.ALERT, "not known": Tone.UNKNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step: `state` is a word, or `waits 23 s`; `seconds` is how long it took, or has taken until now."""

    state: str
    text: str
    seconds: float | None = None


def steps_table(rows: Sequence[StepRow]) -> Table:
    """Return the table of the steps; the red row of a failure is red as a whole."""
    cells = tuple((row.state, row.text, "" if row.seconds is None else duration(row.seconds)) for row in rows)
    return capped("", ("", "step", "time"), cells, tones=tuple(map(_tone, rows)), rest="The result has all.")


def _tone(row: StepRow) -> Tone:
    return Tone.CHANGE if row.state.startswith("waits ") else _TONES.get(row.state, Tone.WAITING)


def rows_of(result: DeployResult) -> tuple[StepRow, ...]:
    """Return the rows of a deploy that ended."""
    return tuple(StepRow(state=state_of(one), text=one.text, seconds=one.seconds) for one in result.outcomes)


def state_of(outcome: Outcome) -> str:
    """Return how one step ended, in the word that stands in its row."""
    if outcome.status == "done":
        return "done"
    if outcome.status == "not done":
        # A step that was begun was refused; one that was not reached has no beginning.
        return "not done" if outcome.started is None else "failed"
    return "not known"
