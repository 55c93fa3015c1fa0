"""Events of a Worker are reported while somebody listens, from the first request on, and cost nothing otherwise."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sharing import until

from notebook_do.local.runtime import events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import pytest

LOGS = 'export default { fetch(request) { console.log(new URL(request.url).pathname); return new Response("ok"); } };'


def test_events_are_reported_while_somebody_listens(play: Callable[..., None]) -> None:
    """A process reports nothing to nobody; whoever begins to listen gets the very next request, and all later ones."""
    asked: list[bool] = []
    listened = False

    def listening() -> bool:
        asked.append(listened)
        return listened

    async def story(stage: Any) -> None:
        nonlocal listened
        stage.put("page", LOGS)
        assert await stage.text("page", "/first") == "ok"
        await until(lambda: asked)
        told = -1
        while told < len(asked):  # the answer that nobody listens may still be on its way
            told = len(asked)
            for _ in range(3):
                await stage.text("page", "/nobody")
                await asyncio.sleep(0.1)
        for _ in range(20):
            await stage.text("page", "/nobody")
        await asyncio.sleep(0.1)
        assert len(asked) == told
        listened = True
        await stage.runtime.report_events()
        for number in range(20):
            await stage.text("page", f"/{number}")
        await stage.logged("page", "/19")
        seen = [log["message"][0] for item in stage.events["page"] for log in item["logs"]]
        assert seen == [f"/{number}" for number in range(20)]

    play(story, listening=listening)


def test_events_come_in_their_order(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever listens hears of a request before the next one, although receiving the first took longer."""
    real, delays = events.read_body, iter([0.5, 0.4, 0.3, 0.2])

    async def late(reader: asyncio.StreamReader, length: int) -> AsyncIterator[tuple[bytes, bool]]:
        async for piece in real(reader, length):
            yield piece
        await asyncio.sleep(next(delays, 0))

    async def story(stage: Any) -> None:
        stage.put("page", LOGS)
        for number in range(20):
            await stage.text("page", f"/{number}")
        await stage.logged("page", "/19")
        seen = [log["message"][0] for item in stage.events["page"] for log in item["logs"]]
        assert seen == [f"/{number}" for number in range(20)]

    monkeypatch.setattr(events, "read_body", late)
    play(story)


def test_a_listener_that_comes_while_nobody_is_told_is_not_missed(play: Callable[..., None]) -> None:
    """Whoever begins to listen while a message that nobody takes is under way still gets the next request."""
    listened = False

    async def story(stage: Any) -> None:
        nonlocal listened
        stage.put("page", LOGS)
        for number in range(30):
            listened = False
            await stage.text("page", "/before")
            await asyncio.sleep(0.002 * (number % 5))
            listened = True
            await stage.runtime.report_events()
            await stage.text("page", f"/{number}")
            assert await stage.logged("page", f"/{number}")

    play(story, listening=lambda: listened)
