"""What goes on by itself: a namespace is woken in time for its next alarm, and instances of workflows are taken up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING

from notebook_do.local.objects import stored
from notebook_do.local.objects.instances import at_work
from notebook_do.local.runtime.bindings import SYSTEM
from notebook_do.local.runtime.island import Retired
from notebook_do.local.runtime.spec import ScriptInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from notebook_do.local.runtime.island import Island
    from notebook_do.local.runtime.spec import RunnableWorker


class Wakes:
    """One timer for each namespace that has an alarm; `wake` is called with its id when it is due."""

    def __init__(
        self, storage: Path, workers: Callable[[], Iterable[RunnableWorker]], wake: Callable[[str], None]
    ) -> None:
        """Set no timer yet."""
        self.timers: dict[str, asyncio.TimerHandle] = {}
        self._storage, self._workers, self._wake = storage, workers, wake
        self._closed = False

    async def plan(self, namespaces: Iterable[str]) -> None:
        """Set a timer for each namespace whose next alarm would otherwise find its process asleep."""
        flows = {one.workflow_id for worker in self._workers() for one in worker.workflows}
        for namespace, due in (await asyncio.to_thread(self._due, list(namespaces), flows)).items():
            self.drop(namespace)  # only the soonest alarm counts: the others are read again when the process is over
            if due is not None and not self._closed:
                later = asyncio.get_running_loop().call_later
                self.timers[namespace] = later(max(0.0, due - time.time()), self._ring, namespace)

    def _due(self, namespaces: list[str], flows: set[str]) -> dict[str, float | None]:
        cut_short = {one for one in namespaces if one in flows and any(at_work(self._storage, one))}
        return {one: 0.0 if one in cut_short else stored.next_alarm(self._storage, [one]) for one in namespaces}

    def _ring(self, namespace: str) -> None:
        del self.timers[namespace]
        self._wake(namespace)

    def drop(self, namespace: str) -> None:
        """Forget the timer of a namespace."""
        if timer := self.timers.pop(namespace, None):
            timer.cancel()

    def close(self) -> None:
        """Forget all timers, and set no more."""
        self._closed = True
        for namespace in list(self.timers):
            self.drop(namespace)


async def take_up(storage: Path, island: Island) -> None:
    """Let the instances go on that an earlier process left in the middle of a step.

    The engine does so when it is asked about one; by itself only for those that wait, as it has their alarms.
    """
    for one in island.workflows:
        for instance_id in await asyncio.to_thread(lambda: list(at_work(storage, one.workflow_id))):  # noqa: B023
            asked = {"workflow": one.name, "call": "getInstance", "args": [instance_id]}
            with contextlib.suppress(Retired, ScriptInvalid, OSError):  # the next process does it
                async with island.lease(SYSTEM) as lease:
                    await lease.upstream.fetch("POST", "/", host=SYSTEM, body=json.dumps(asked).encode())
