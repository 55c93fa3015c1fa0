"""One background event loop on which every coroutine of the package runs; synchronous callers wait for it here.

A thread of its own works in every shell and front-end, queued cells and interrupts included. `nest_asyncio` can be
chosen instead (`%config Durable.async_mode = "nest"`): then a coroutine runs on the caller's own loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
AsyncMode = Literal["thread", "nest"]


class Bridge:
    """A lazily started daemon thread with an event loop; usable again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self.mode: AsyncMode = "thread"

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` to its end and give its result; an interrupt of the caller cancels it first."""
        if self.mode == "nest":
            return _run_nested(coroutine)
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop())
        try:
            return future.result()
        except BaseException:
            if not future.done():
                self._cancel_and_wait(future)
            raise

    async def arun(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the background loop and await its result on the caller's loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.loop()))

    def loop(self) -> asyncio.AbstractEventLoop:
        """Give the background loop, starting its thread when there is none in this process."""
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="notebook-do", daemon=True)
                self._thread.start()
            if threading.current_thread() is self._thread:
                raise RuntimeError("a coroutine of notebook_do called a synchronous method; await its a... twin")
            return self._loop

    def close(self) -> None:
        """Stop the thread; the next use starts another."""
        with self._lock:
            if self._loop is not None and self._pid == os.getpid() and self._thread is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(timeout=5)
                self._loop.close()
            self._loop = self._thread = None

    @staticmethod
    def _cancel_and_wait(future: Any) -> None:
        """Let an interrupted coroutine finish its own clean-up (journal, lock) before the caller goes on."""
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        future.cancel()
        ended.wait(timeout=10)


def _run_nested(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run on the caller's loop with nest_asyncio2, or nest_asyncio where that cannot freeze queued cells."""
    try:
        import nest_asyncio2 as nest
    except ImportError:
        from importlib.metadata import version

        import nest_asyncio as nest

        if int(version("ipykernel").split(".")[0]) >= 7:
            coroutine.close()
            raise CommandError(
                "async_mode 'nest' with nest_asyncio 1.x would freeze queued cells on ipykernel 7; "
                "install nest-asyncio2, or use %config Durable.async_mode = 'thread'."
            ) from None
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    nest.apply(loop)
    return loop.run_until_complete(coroutine)


bridge = Bridge()
