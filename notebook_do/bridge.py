"""One background event loop on which every coroutine of the package runs; synchronous callers wait for it here.

A thread of its own works in every shell and front-end, queued cells and interrupts included. `nest_asyncio` can be
chosen instead (`%config Durable.async_mode = "nest"`): then a coroutine runs on the caller's own loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import ModuleType

T = TypeVar("T")
AsyncMode = Literal["thread", "nest"]
_CLEAN_UP_SECONDS = 10


class Bridge:
    """A lazily started daemon thread with an event loop; usable again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self.mode: AsyncMode = "thread"

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` to its end and return its result; an interrupt of the caller cancels it first."""
        if self.mode == "nest":
            return _run_nested(coroutine)
        loop, ended = self.loop(), threading.Event()
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            tasks.append(loop.create_task(coroutine))
            tasks[0].add_done_callback(lambda _: ended.set())

        def stop() -> None:
            if tasks:
                tasks[0].cancel()
            else:  # interrupted before it was handed over
                coroutine.close()
                ended.set()

        # Not run_coroutine_threadsafe: its future reports a cancellation at once, before the coroutine has cleaned up.
        try:
            loop.call_soon_threadsafe(start)  # in here: an interrupt in the moment after it must stop the coroutine too
            ended.wait()
        except BaseException:  # let it finish its own clean-up (journal, lock) before the caller goes on
            loop.call_soon_threadsafe(stop)
            ended.wait(timeout=_CLEAN_UP_SECONDS)
            raise
        return tasks[0].result()

    async def arun(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the background loop and await its result on the caller's loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.loop()))

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the background loop, starting its thread where this process has none, as after a fork."""
        with self._lock:
            # A thread does not live on in a forked child, though the loop object does.
            if self._loop is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="notebook-do", daemon=True)
                self._thread.start()
            # It would wait for itself for ever.
            if threading.current_thread() is self._thread:
                raise RuntimeError("a coroutine of notebook_do called a synchronous method; await its a... twin")
            return self._loop

    def close(self) -> None:
        """Cancel what runs, let it clean up, and stop the thread; the next use starts another, in thread mode."""
        with self._lock:
            if self._loop is not None and self._pid == os.getpid() and self._thread is not None:
                ended = asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop)
                with contextlib.suppress(TimeoutError):  # what does not end in time ends with the process
                    ended.result(timeout=_CLEAN_UP_SECONDS)
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(timeout=5)
                self._loop.close()
            self._loop = self._thread = None
            self.mode = "thread"


async def _end_tasks() -> None:
    """Cancel every other task of this loop, wait for their clean-up, and end the loop's worker threads."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()


def _run_nested(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on the caller's loop, nested in what that is doing."""
    try:
        nest = _nest()
        loop = asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner() as runner:  # not asyncio.run, which nest_asyncio replaces by one that cleans up nothing
            return runner.run(coroutine)
    except CommandError:
        coroutine.close()
        raise
    # Never at import: it changes asyncio for the whole process (outlines issue 520).
    nest.apply(loop)
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():  # as above
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        raise


def _nest() -> ModuleType:
    """Return nest_asyncio2, or nest_asyncio where that cannot freeze queued cells. Raises CommandError where it would.

    Before 1.7.3 nest_asyncio2 froze them too.
    """
    # Its check of an entered context came with 1.7.3; before, queued cells hang on ipykernel 7 (measured, 6 of 6).
    if _installed("nest-asyncio2") >= (1, 7, 3):
        return import_module("nest_asyncio2")
    if _installed("ipykernel") >= (7,):
        raise CommandError(
            "async_mode 'nest': nest_asyncio 1.x freezes queued cells on ipykernel 7. "
            "Install nest-asyncio2 1.7.3 or newer, or use %config Durable.async_mode = 'thread'."
        )
    return import_module("nest_asyncio")


def _installed(package: str) -> tuple[int, ...]:
    """Return a package's version as numbers; empty when it is not installed, which is less than any."""
    from importlib.metadata import PackageNotFoundError, version  # takes longer to load than all else here

    try:
        found = version(package)
    except PackageNotFoundError:
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", found)[:3])


bridge = Bridge()
