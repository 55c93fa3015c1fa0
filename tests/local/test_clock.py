"""Cron triggers by the clock: due once a minute, those that are set now, and nothing is made up for."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sharing import until

from notebook_do.local.process.clock import Clock
from notebook_do.local.rules.crons import is_cron, is_due

if TYPE_CHECKING:
    from collections.abc import Callable

BEGIN = int(datetime(2026, 11, 27, 4, 0, tzinfo=UTC).timestamp())
TIMER = """
export default {
  fetch() { return new Response("here"); },
  scheduled(event) {
    console.log(`${event.cron} at ${event.scheduledTime}`);
    if (event.cron === "*/3 * * * *") throw new Error("bad minute");
  },
};
"""

# (expression, minutes in which it is due, minutes in which it is not), of 2026: 1 January is a Thursday.
DUE = [
    ("* * * * *", ["01-01 00:00", "06-30 23:59"], []),
    ("*/20 * * * *", ["01-01 00:00", "01-01 00:20", "01-01 13:40"], ["01-01 00:10", "01-01 00:59"]),
    ("5/20 * * * *", ["01-01 00:05", "01-01 00:25", "01-01 00:45"], ["01-01 00:00", "01-01 00:20"]),
    ("50-10 * * * *", ["01-01 00:50", "01-01 00:59", "01-01 00:00", "01-01 00:10"], ["01-01 00:11", "01-01 00:49"]),
    ("50-10/5 * * * *", ["01-01 00:55", "01-01 00:00", "01-01 00:10"], ["01-01 00:51", "01-01 00:01"]),
    ("0 9-17 * * 2-6", ["01-01 09:00", "01-02 17:00"], ["01-03 09:00", "01-04 09:00", "01-01 08:00"]),
    ("0 17 * * sun", ["01-04 17:00"], ["01-05 17:00", "01-04 16:00"]),
    ("0 0 * * 1,7", ["01-03 00:00", "01-04 00:00"], ["01-02 00:00"]),
    ("0 0 * * FRI-MON", ["01-02 00:00", "01-05 00:00"], ["01-01 00:00", "01-06 00:00"]),
    ("0 0 1 * MON", ["01-01 00:00", "01-05 00:00"], ["01-02 00:00"]),  # either of the two days
    ("0 0 13 * *", ["01-13 00:00"], ["01-12 00:00"]),
    ("0 0 1 DEC-FEB *", ["12-01 00:00", "01-01 00:00", "02-01 00:00"], ["03-01 00:00", "11-01 00:00"]),
    ("0 0 L * *", ["01-31 00:00", "02-28 00:00"], ["01-30 00:00"]),
    ("0 0 L-3 * *", ["01-28 00:00", "02-25 00:00"], ["01-31 00:00"]),
    ("0 0 LW * *", ["01-30 00:00", "02-27 00:00", "03-31 00:00"], ["01-31 00:00", "02-28 00:00"]),
    ("0 0 L-1W * *", ["01-30 00:00", "05-29 00:00"], ["05-30 00:00"]),
    ("0 0 1W * *", ["01-01 00:00", "08-03 00:00", "11-02 00:00"], ["08-01 00:00", "11-01 00:00", "07-31 00:00"]),
    ("0 0 15W * *", ["01-15 00:00", "08-14 00:00", "11-16 00:00"], ["08-15 00:00", "11-15 00:00"]),
    ("0 0 31W * *", ["05-29 00:00", "01-30 00:00"], ["05-31 00:00", "04-30 00:00", "02-27 00:00"]),
    ("0 0 * * L", ["01-03 00:00"], ["01-04 00:00"]),
    ("0 0 * * 6L", ["01-30 00:00"], ["01-23 00:00", "01-31 00:00"]),
    ("0 0 * * monL", ["01-26 00:00"], ["01-19 00:00"]),
    ("0 0 * * MON#2", ["01-12 00:00"], ["01-05 00:00", "01-19 00:00"]),
    ("0 0 * * 5#5", ["01-29 00:00"], ["01-22 00:00", "02-26 00:00"]),
    ("00 007 * * *", ["01-01 07:00"], ["01-01 00:00"]),
]


@pytest.mark.parametrize(("text", "due", "idle"), DUE, ids=[text for text, *_ in DUE])
def test_when_a_trigger_is_due(text: str, due: list[str], idle: list[str]) -> None:
    """As Cloudflare's page on Cron Triggers says it, in UTC."""

    def says(minute: str) -> bool:
        return is_due(text, datetime.fromisoformat(f"2026-{minute}").replace(tzinfo=UTC))

    assert is_cron(text)
    assert [minute for minute in due if not says(minute)] == []
    assert [minute for minute in idle if says(minute)] == []


def test_every_expression_that_is_taken_can_be_asked() -> None:
    """No expression of the tests of the grammar stops the clock, on any day of a year."""
    texts = ["50-10 22-2 31-1 DEC-FEB FRI-MON", "0,5-10,10-30/3,30/3 * * * *", "5,* * * * *", "0 0 15W,3 * *"]
    year = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(365)]
    answers = [is_due(text, day) for text in filter(is_cron, texts) for day in year]
    assert set(answers) == {True, False}


class Time:
    """A time of the test's own: whoever sleeps wakes when it is turned on to that moment."""

    def __init__(self) -> None:
        self.now, self._wakes = BEGIN + 30.0, asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Return when the time was turned on by as much."""
        until = self.now + seconds
        while self.now < until:
            await self._wakes.wait()

    async def turn(self, to: float) -> None:
        """Turn the time on, and let all that waits for it go on."""
        self.now = to
        self._wakes.set()
        self._wakes = asyncio.Event()
        for _ in range(20):
            await asyncio.sleep(0)


def at(minute: int, seconds: float = 0.0) -> float:
    """Return a moment, counted from the beginning."""
    return BEGIN + minute * 60 + seconds


def test_the_clock_runs_what_is_due_once_a_minute(play: Callable[..., None], caplog: Any) -> None:
    """It reads the triggers anew each minute, runs none twice, makes nothing up, and logs what fails."""
    caplog.set_level(logging.WARNING, "notebook_do.local")
    triggers = [("timer", "*/2 * * * *"), ("timer", "*/3 * * * *"), ("gone", "*/2 * * * *")]

    async def story(stage: Any) -> None:
        await stage.deploy("timer", TIMER)
        time = Time()
        clock = Clock(stage.runtime, lambda: triggers, now=lambda: time.now, sleep=time.sleep)
        running = asyncio.create_task(clock.run())
        await asyncio.sleep(0)
        assert stage.events["timer"] == []  # not for the minute under way, in which */2 and */3 are due
        await time.turn(at(1))
        await time.turn(at(2, 0.2))
        await stage.logged("timer", f"*/2 * * * * at {at(2) * 1000:.0f}")
        await time.turn(at(2, 59))  # a sleep that ends early
        await time.turn(at(3))
        failed = await stage.logged("timer", f"*/3 * * * * at {at(3) * 1000:.0f}")
        assert (failed["outcome"], failed["exceptions"][0]["message"]) == ("exception", "bad minute")
        await until(lambda: "*/3 * * * * of Worker timer" in caplog.text)
        triggers[:] = [("timer", "*/4 * * * *")]  # as a deploy sets them
        await time.turn(at(60))  # the machine slept
        await stage.logged("timer", f"*/4 * * * * at {at(60) * 1000:.0f}")
        running.cancel()
        await asyncio.wait([running])
        runs = [str(log["message"][0]) for item in stage.events["timer"] for log in item["logs"]]
        assert [run.split(" at ")[0] for run in runs] == ["*/2 * * * *", "*/3 * * * *", "*/4 * * * *"]

    play(story)
    said = [record.getMessage() for record in caplog.records]
    assert "cron trigger */3 * * * * of Worker timer: exception" in said
    assert any(line.startswith("cron trigger */2 * * * * of Worker gone: could not be run") for line in said)
