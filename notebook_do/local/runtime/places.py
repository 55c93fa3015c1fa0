"""Which workerd processes run: how many at once, how many start at once, and when one ends for want of requests.

A process takes tens of megabytes, so a cap holds however many Workers are called; where one more is to start, the one
that was not used for the longest time goes. It is a cap on what nobody needs: a process with a request or a stream
inside, with work behind an answer (`waitUntil`), or whose alarm is near stays, and then more than the cap run. To wait
for it instead could be for ever, as its request may be the one that calls the Worker which is to start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from notebook_do.local.objects import stored
from notebook_do.local.objects.written import EVERY, Written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
    from pathlib import Path
    from typing import Any

    from notebook_do.local.runtime.island import Island
    from notebook_do.local.runtime.spec import RunnableWorker

MOST = 12
"""How many processes run at once, as far as nobody needs more: 61 MB each with a Durable Object, 15 of them its own."""
_NEAR = 10.0
"""Seconds: with an alarm so near a process is not ended for another one, as it would only be started again."""
BEHIND = 30.0
"""Seconds that work may go on behind an answer, as at Cloudflare: workerd drops it when it is told to end (SIGTERM)."""
_WORKS_BEHIND = re.compile(rb"waitUntil")
_WORKS_IN_OBJECTS = re.compile(rb"waitUntil|setTimeout|setInterval|scheduler")
"""What a script that works behind its answers must name; nothing tells when such work is over."""
_AGAIN = 1.0
_TURN = 2.0
"""Seconds after which a start no longer holds up others: a script may never come to an end."""
_LEAVING = 1.0
"""Seconds that a start waits for the end of the process whose place it takes."""


class Places:
    """The processes of one data directory. An island asks for its place before it starts."""

    def __init__(
        self,
        storage: Path,
        *,
        most: int,
        idle: float,
        grace: float,
        background: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Take the facts of the runtime; `background` runs what nobody waits for."""
        self._storage, self._most, self._idle, self._grace = storage, most, idle, grace
        self._background = background
        self._taken: set[Island] = set()
        self._shrinking = False
        self.written = Written()
        self._turns = asyncio.Semaphore(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)

    @property
    def taken(self) -> int:
        """Return how many processes run or start; one that is about to end has left its place."""
        return sum(not island.closing.is_set() for island in self._taken)

    @contextlib.asynccontextmanager
    async def starting(self, island: Island) -> AsyncIterator[None]:
        """Let an island start inside of this: in its turn, and after another made room where one can."""
        async with self._turn():
            while self.taken >= self._most and (other := await self._unused()):
                await asyncio.wait([asyncio.create_task(other.retire(self._grace))], timeout=_LEAVING)
            self._taken.add(island)
            yield

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        await self._turns.acquire()
        over = False

        def end() -> None:
            nonlocal over
            if not over:
                self._turns.release()
            over = True

        timer = asyncio.get_running_loop().call_later(_TURN, end)
        try:
            yield
        finally:
            timer.cancel()
            end()

    def over(self, island: Island) -> None:
        """Free the place of an island that is over, or did not start."""
        self._taken.discard(island)

    def left(self) -> None:
        """Take note that an island is no longer in use: while more than the cap ran, it may be the one to end."""
        if self.taken > self._most and not self._shrinking:
            self._shrinking = True
            self._background(self._shrink())

    async def _shrink(self) -> None:
        while self.taken > self._most:
            other = await self._unused()
            await (asyncio.sleep(_AGAIN) if other is None else other.retire(self._grace))
        self._shrinking = False

    async def _unused(self) -> Island | None:
        """Return the island that was not used for the longest time, of those that nobody needs now."""
        for island in sorted(self._taken, key=lambda one: one.last_used):
            # Asked twice: somebody may come while the disk is read.
            if self._can_go(island) and not await asyncio.to_thread(self._needed, island) and self._can_go(island):
                return island
        return None

    def _can_go(self, island: Island) -> bool:
        return not island.in_use and island.process is not None and not island.closing.is_set()

    def _needed(self, island: Island) -> bool:
        """Say whether an island that nobody uses has something to do: an alarm soon, a step, work behind an answer."""
        behind = island.quiet_for() < BEHIND and works_behind(island.workers)
        return behind or self._near(island, _NEAR) or island.at_work()

    def _near(self, island: Island, seconds: float) -> bool:
        due = stored.next_alarm(self._storage, island.namespaces)
        return due is not None and due < time.time() + min(seconds, self._idle)

    async def follow(self, island: Island) -> None:
        """Note when the objects of an island are written, until it is over; see `Written`."""
        while not island.gone.is_set():
            await self.before_end(island)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(island.gone.wait(), EVERY)
        await self.before_end(island)

    async def before_end(self, island: Island) -> None:
        """Note when its objects were written: the end of a process closes them all."""
        folders = [stored.folder_of(self._storage, one) for one in island.namespaces]
        await asyncio.to_thread(self.written.look, folders)

    async def end_when_idle(self, island: Island) -> None:
        """End an island when it is idle."""
        pause = self._idle
        while not island.gone.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(island.gone.wait(), pause)
                return
            pause = await self._pause(island)
            if pause <= 0:
                await island.retire(self._grace)

    async def _pause(self, island: Island) -> float:
        """Return for how many seconds to leave an island alone; 0 when it can end."""
        rest = self._idle - island.quiet_for()
        if rest > 0:
            return rest
        # With an alarm so near it would only be started again; workerd runs the alarm itself while it lives.
        needed = await asyncio.to_thread(self._near, island, self._idle) or await asyncio.to_thread(island.at_work)
        return self._idle if needed or island.in_use else 0  # somebody may have come while the disk was read


def works_behind(workers: Iterable[RunnableWorker]) -> bool:
    """Say whether one of these may go on after its answer: with `waitUntil`, or as an object with a timer."""
    return any(
        _mentions(module.path, _WORKS_IN_OBJECTS if worker.namespaces else _WORKS_BEHIND)
        for worker in workers
        for module in worker.modules
    )


@lru_cache(maxsize=4096)
def _mentions(path: Path, words: re.Pattern[bytes]) -> bool:
    try:
        return words.search(path.read_bytes()) is not None
    except FileNotFoundError:  # a version that was replaced meanwhile
        return True
