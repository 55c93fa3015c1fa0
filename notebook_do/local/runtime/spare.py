"""A workerd that is there before it is needed: it has loaded, and waits for its configuration.

Loading is the larger part of a start, and the same for every Worker. One process waits at most, and only after
another was started: a local Cloudflare that nobody uses keeps none. It has no place of its own (`Places`), as it opens
nothing and runs no script.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from notebook_do.errors import TargetError
from notebook_do.local.runtime.workerd import DidNotStart, RuntimeMissing, message_of, spawn_workerd

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from pathlib import Path
    from typing import Any

    from notebook_do.local.runtime.capnp import Struct
    from notebook_do.local.runtime.workerd import Unconfigured, Workerd

_ASKED = 0.005
_PAUSE = 0.1
"""Seconds: to make a process holds this one up for a few milliseconds, which what comes first would wait for.

A trial is asked once, and an island's start follows it within tens of milliseconds; an island has requests.
"""
_Program = tuple[int, int, int]


def stopping() -> RuntimeMissing:
    """Return the error of whoever wants a process while all are ended for good."""
    return RuntimeMissing("the local Cloudflare is being stopped; try again when it is up.")


class Starter:
    """Starts processes for one data directory; the next one is made when a start is over. Close it in the end.

    Then whatever it started has ended: a trial, say, that nobody waits for any more.
    """

    def __init__(self, workerd: Path, folder: Path, *, idle: float) -> None:
        """Take the program, the folder that all processes have a place in, and for how long one waits at most."""
        self._workerd, self._folder, self._idle = workerd, folder, idle
        self._spare: tuple[Unconfigured, _Program] | None = None
        self._making: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._starting = 0
        self._closed = False
        self._running: set[Workerd] = set()
        self._ends: set[asyncio.Task[None]] = set()

    async def start(
        self,
        config: Struct,
        *,
        sockets: Iterable[str],
        timeout: float = 30.0,  # noqa: ASYNC109 - it ends a process, not only a wait
        cpu_seconds: int | None = None,
        pause: float = _ASKED,
    ) -> Workerd:
        """Start a process as `start_workerd` does; `pause` seconds after that the next one is made."""
        message = await message_of(config)
        wanted = set(sockets)
        self._starting += 1
        try:
            if (waiting := await self._take()) is not None:
                try:
                    return await self._run(waiting, message, wanted, timeout, cpu_seconds)
                except DidNotStart as error:
                    if error.lines:
                        raise
                    # It died without a word, between being looked at and being sent anything: it was not the script.
            fresh = await spawn_workerd(self._workerd, self._folder)
            return await self._run(fresh, message, wanted, timeout, cpu_seconds)
        finally:
            self._starting -= 1
            self._soon(pause)

    async def _run(
        self, made: Unconfigured, message: bytes, sockets: set[str], seconds: float, cpu_seconds: int | None
    ) -> Workerd:
        if self._closed:
            await made.end()
            raise stopping()
        self._running = {one for one in self._running if not one.ended.is_set()} | {made.process}
        try:
            return await made.run(message, sockets, seconds, cpu_seconds)
        except DidNotStart:
            if self._closed:  # it was killed, whatever it has said
                raise stopping() from None
            raise

    async def start_island(
        self,
        config: Struct,
        *,
        sockets: Iterable[str],
        timeout: float = 30.0,  # noqa: ASYNC109 - it ends a process, not only a wait
        cpu_seconds: int | None = None,
    ) -> Workerd:
        """Start a process whose first requests wait already: they are answered before the next one is made."""
        return await self.start(config, sockets=sockets, timeout=timeout, cpu_seconds=cpu_seconds, pause=_PAUSE)

    async def _take(self) -> Unconfigured | None:
        """Return the process that waits, if it is one of the program that is there now, and lives."""
        if self._making is not None:
            await asyncio.wait([self._making])
        if self._spare is None:
            return None
        (waiting, program), self._spare = self._spare, None
        self._cancel()
        if not waiting.process.ended.is_set() and program == _program(self._workerd):
            return waiting
        self._aside(waiting.end())
        return None

    def _soon(self, pause: float) -> None:
        """Have the next one made, unless one is there or a start is under way, which that would hold up."""
        if self._spare is None and self._making is None and not self._starting and not self._closed:
            self._cancel()
            self._timer = asyncio.get_running_loop().call_later(pause, self._begin)

    def _begin(self) -> None:
        if not self._starting and not self._closed:
            self._making = asyncio.create_task(self._make())

    async def _make(self) -> None:
        try:
            # Of another program, which is found where this one is gone, nothing is kept: it is looked for every time.
            if (program := _program(self._workerd)) is not None:
                self._spare = (await spawn_workerd(self._workerd, self._folder), program)
                self._timer = asyncio.get_running_loop().call_later(self._idle, self._drop)
        except (TargetError, OSError):  # the next start meets the same, and says so to whoever waits for it
            return
        finally:
            self._making = None

    def _drop(self) -> None:
        if self._spare is not None:
            (waiting, _), self._spare = self._spare, None
            self._aside(waiting.end())

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    async def close(self) -> None:
        """Make no more, and return when none is left."""
        self._closed = True
        self._cancel()
        if self._making is not None:
            await asyncio.wait([self._making])
        self._cancel()
        self._drop()
        await asyncio.gather(*self._ends, *(one.stop(0) for one in self._running))


def _program(path: Path) -> _Program | None:
    """Return what tells a program from another one at the same path; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
