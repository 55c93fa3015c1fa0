"""What proves something, what may be repeated, and how long is waited."""

from __future__ import annotations

import asyncio

import pytest

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.cloudflare.retry import RATE_REQUESTS, RATE_SECONDS, Cancelled, Pace, Rate, is_definite, is_transient
from notebook_do.errors import ApiError


@pytest.mark.parametrize(
    ("error", "definite", "transient"),
    [
        (ApiError("x", code=10021, status=400), True, False),
        (ApiError("x", code=10064, status=403), True, False),
        (ApiError("x", code=10007, status=404), True, False),
        (ApiError("x", code=10079, status=412), True, False),
        (ApiError("x", code=0, status=403), False, False),
        (ApiError("x", code=10429, status=429), False, True),
        (ApiError("x", code=1, status=408), False, True),
        (ApiError("x", code=1, status=409), False, True),
        (ApiError("x", code=1, status=425), False, True),
        (ApiError("x", code=10013, status=500), False, True),
        (ApiError("x", code=0, status=524), False, True),
        (ApiError("x", code=0, status=200), False, True),
        (ApiError("x", code=10021, status=200), False, False),
        (ApiError("x", code=10013, status=200), False, True),
        (ApiError("x", code=0, status=307), False, False),
        (NoAnswer("x", sent=False), True, True),
        (NoAnswer("x", sent=True), False, True),
    ],
)
def test_what_an_error_proves(error: ApiError | NoAnswer, definite: bool, transient: bool) -> None:  # noqa: FBT001
    """Only Cloudflare's own 4xx and a request that never left prove that nothing happened."""
    assert is_definite(error) is definite
    assert is_transient(error) is transient


def test_own_pace_doubles_and_the_servers_wish_wins() -> None:
    """Waits are 1, 2, 4 s where nothing is asked; what the answer asks is waited instead."""
    plain, asked = ApiError("x", status=503), ApiError("x", status=429)
    asked.retry_after = 11.0
    assert [Pace().pause(plain, n) for n in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert Pace().pause(asked, 3) == 11.0


class Waiting:
    """A clock that moves only while somebody waits, and what was shown meanwhile."""

    def __init__(self) -> None:
        self.now, self.shown = 0.0, list[str]()
        self.pace = Pace(clock=lambda: self.now, sleep=self.sleep, emit=self.shown.append)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def test_f36_a_process_stays_far_under_the_limit() -> None:
    """F36: whatever is asked, no 5 minutes see more than a third of Cloudflare's 1,200 requests; the wait is shown."""
    here, rate, sent = Waiting(), Rate(), list[float]()

    async def many() -> None:
        for number in range(3 * RATE_REQUESTS):
            here.now += number % 7 / 10
            await rate.admit(here.pace)
            sent.append(here.now)

    asyncio.run(many())
    windows = [sum(at - RATE_SECONDS < t <= at for t in sent) for at in sent]
    assert max(windows) == RATE_REQUESTS <= 1200 / 3
    assert here.shown[0].endswith("s: to stay at 400 requests in 5 minutes")


def test_f36_the_rate_is_waited_for_together_and_cancelled() -> None:
    """F36: of many at once none slips through; Cancel ends the wait for one's turn, and the turn is not used up."""
    here, rate = Waiting(), Rate()

    async def fill() -> None:
        await asyncio.gather(*(rate.admit(here.pace) for _ in range(RATE_REQUESTS)))
        assert here.shown == []
        here.pace.cancel = lambda: here.now > 10
        with pytest.raises(Cancelled, match="to stay at 400 requests"):
            await rate.admit(here.pace)
        assert here.now < 10.2
        here.pace.cancel = lambda: False
        await asyncio.gather(*(rate.admit(here.pace) for _ in range(3)))
        assert here.now >= RATE_SECONDS

    asyncio.run(fill())
