"""The clock of cron triggers: once a minute it runs the `scheduled` handlers that are due. Off unless asked for.

What was missed while nothing ran, or while the machine slept, is not made up for. The triggers are read in each minute,
so those of a redeployed Worker count from the next one on.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from notebook_do.errors import TargetError
from notebook_do.local.rules.crons import is_due
from notebook_do.local.runtime.spec import ScriptInvalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

MINUTE = 60
_log = logging.getLogger(__name__)


class Crons(Protocol):
    """What runs a cron trigger: the runtime."""

    async def run_cron(self, script_name: str, cron: str, at: float | None = None) -> dict[str, Any]:
        """Run a Worker's `scheduled` handler."""


class Clock:
    """Runs what `triggers` lists, as (script, cron), in the minutes in which it is due.

    `now` and `sleep` are those of the machine, in seconds.
    """

    def __init__(
        self,
        crons: Crons,
        triggers: Callable[[], Iterable[tuple[str, str]]],
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._crons, self._triggers, self._now, self._sleep = crons, triggers, now, sleep
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Watch the time until it is cancelled, with all that it runs."""
        last = int(self._now() // MINUTE)  # the minute that is under way began without it
        try:
            while True:
                await self._sleep(MINUTE - self._now() % MINUTE)
                minute = int(self._now() // MINUTE)
                # A clock that was set back, or a sleep that ended early, must not run a minute twice.
                if minute > last:
                    last = minute
                    try:
                        self._begin(minute * MINUTE)
                    except (sqlite3.Error, OSError):  # a full disk, say: the next minute may find it better
                        _log.exception("the cron triggers of a minute could not be read")
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def _begin(self, moment: int) -> None:
        """Begin what is due in a minute; a run that takes longer holds up no later one."""
        at = datetime.fromtimestamp(moment, UTC)
        for script, cron in self._triggers():
            if is_due(cron, at):
                task = asyncio.create_task(self._run(script, cron, moment))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _run(self, script: str, cron: str, moment: int) -> None:
        # What the handler itself throws is an event of the Worker too, as each failure of a handler is.
        try:
            outcome = (await self._crons.run_cron(script, cron, at=moment)).get("outcome")
        except (KeyError, ScriptInvalid, TargetError, OSError) as error:
            outcome = f"could not be run: {error}"
        if outcome != "ok":
            _log.warning("cron trigger %s of Worker %s: %s", cron, script, outcome)
