"""Synchronous callers on one event loop: on a thread of its own, or nested in the caller's."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import threading
import warnings
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

import notebook_do.bridge as room
from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from notebook_do.bridge import AsyncMode


@pytest.fixture(params=["thread", "nest"])
def bridge(request: pytest.FixtureRequest) -> Iterator[room.Bridge]:
    """Give a bridge of each mode."""
    made = room.Bridge()
    mode: AsyncMode = request.param
    made.mode = mode
    yield made
    made.close()


async def _answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_a_caller_without_a_loop_gets_its_answer(bridge: room.Bridge) -> None:
    """Plain Python and terminal IPython run no loop."""
    assert [bridge.run(_answer()) for _ in range(3)] == [42] * 3


def test_a_caller_on_a_running_loop_gets_its_answer(bridge: room.Bridge) -> None:
    """A cell that awaits runs on the kernel's loop, and may call what is synchronous."""

    async def cell() -> int:
        return await _answer() + bridge.run(_answer())

    assert asyncio.run(cell()) == 84


def test_an_error_is_the_callers(bridge: room.Bridge) -> None:
    """What the coroutine raised is raised where it was called."""

    async def fails() -> None:
        raise CommandError("no")

    async def cell() -> None:
        bridge.run(fails())

    for call in (lambda: bridge.run(fails()), lambda: asyncio.run(cell())):
        with pytest.raises(CommandError, match="no"):
            call()


def test_an_interrupt_lets_the_coroutine_clean_up_first(bridge: room.Bridge) -> None:
    """SIGINT while a verb waits: its coroutine is cancelled and ends before the caller goes on."""
    ended = []

    async def slow() -> None:
        try:
            threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
            await asyncio.sleep(30)
        finally:
            ended.append(True)

    async def cell() -> None:
        bridge.run(slow())

    loop = asyncio.new_event_loop()  # as a kernel's: asyncio.run would have handled the signal itself
    interrupted = loop.create_task(cell())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(interrupted)
    # Else the collector tells of it in the middle of any other test: one that parses Python then would fail.
    assert isinstance(interrupted.exception(), KeyboardInterrupt)
    loop.close()
    with pytest.raises(KeyboardInterrupt):
        bridge.run(slow())
    assert ended == [True, True]


@pytest.mark.parametrize("handed_over", [False, True])
def test_an_interrupt_before_the_wait_begins_stops_the_coroutine_too(
    monkeypatch: pytest.MonkeyPatch, *, handed_over: bool
) -> None:
    """SIGINT in the moment in which a coroutine is handed over: it does not run on behind its caller's back."""
    bridge, told = room.Bridge(), []
    loop = bridge.loop()
    hand_over = loop.call_soon_threadsafe

    def interrupted(call: Callable[[], None]) -> None:
        monkeypatch.undo()
        if handed_over:
            hand_over(call)
        raise KeyboardInterrupt

    async def slow() -> None:
        told.append("begun")
        try:
            await asyncio.sleep(30)
        finally:
            told.append("cleaned up")

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)
    coroutine = slow()
    with pytest.raises(KeyboardInterrupt):
        bridge.run(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    assert told in ([], ["begun", "cleaned up"] if handed_over else [])
    bridge.close()


def test_closing_ends_what_runs_with_its_clean_up() -> None:
    """A coroutine that a thread waits for is cancelled, cleans up, and its waiter goes on; the next use starts anew."""
    bridge = room.Bridge()
    begun, told = threading.Event(), []

    async def slow() -> None:
        try:
            begun.set()
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            told.append("cleaned up")

    def wait() -> None:
        try:
            bridge.run(slow())
        except asyncio.CancelledError:
            told.append("went on")

    waiter = threading.Thread(target=wait)
    waiter.start()
    begun.wait(60)
    bridge.close()
    waiter.join(60)
    assert told == ["cleaned up", "went on"]
    assert bridge.run(_answer()) == 42
    bridge.close()


@pytest.mark.parametrize(
    ("installed", "refused"),
    [
        ({"nest-asyncio2": "1.7.4", "ipykernel": "7.4.0"}, False),
        ({"nest-asyncio2": "1.7.2", "ipykernel": "7.4.0"}, True),
        ({"ipykernel": "7.0.0a1"}, True),
        pytest.param({"ipykernel": "6.31.0"}, False, marks=pytest.mark.thorough),
        pytest.param({}, False, marks=pytest.mark.thorough),
    ],
)
def test_what_would_freeze_queued_cells_is_refused(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], *, refused: bool
) -> None:
    """nest_asyncio 1.x, and nest_asyncio2 before 1.7.3, are refused on ipykernel 7, and nothing is left unawaited."""

    def version(package: str) -> str:
        if package not in installed:
            raise metadata.PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(metadata, "version", version)
    bridge = room.Bridge()
    bridge.mode = "nest"

    async def cell() -> int:
        return bridge.run(_answer())

    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if refused:
            with pytest.raises(CommandError, match="freezes queued cells"):
                asyncio.run(cell())
        else:
            assert asyncio.run(cell()) == 42
        gc.collect()
