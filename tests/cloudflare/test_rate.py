"""How fast we ask: never into a refusal, whoever else asks beside us, and never without saying why we wait."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

import pytest
from sharing import thinned

from notebook_do.cloudflare.rate import RATE_REQUESTS, RATE_SECONDS, RESERVE, Rate
from notebook_do.cloudflare.retry import Cancelled, Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

QUOTA, LATENCY = 1200, 0.05


class Jumps(selectors.DefaultSelector):
    """A selector that does not wait: it lets the loop's own clock jump to when something is due."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Return at once."""
        self.now += max(timeout or 0.0, 1e-6)
        return super().select(0)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in time that passes only while everybody waits."""
    jumps = Jumps()
    loop = asyncio.SelectorEventLoop(jumps)
    loop.time = lambda: jumps.now  # type: ignore[method-assign]
    try:
        loop.run_until_complete(coroutine)
    finally:
        loop.close()


def pace(shown: list[str], cancel: Callable[[], bool] = lambda: False) -> Pace:
    """Wait on the running loop's clock."""
    return Pace(clock=asyncio.get_running_loop().time, sleep=asyncio.sleep, emit=shown.append, cancel=cancel)


class Api:
    """An API that counts the requests of all programs in windows of 5 minutes, and refuses what is too much."""

    def __init__(self, *, tells: bool = True, policy: bool = True) -> None:
        self.tells, self.policy = tells, policy
        self.ends, self.left = 0.0, 0
        self.refused: dict[str, int] = {}
        self.sent: dict[str, list[float]] = {}

    async def ask(self, who: str) -> tuple[int, dict[str, str]]:
        """Answer one request after a while: it is counted on its way in, and told of on its way out."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(LATENCY / 2)
        if clock() >= self.ends:
            self.ends, self.left = clock() + RATE_SECONDS, QUOTA
        self.sent.setdefault(who, []).append(clock())
        ok = self.left > 0
        self.left -= ok
        if not ok:
            self.refused[who] = self.refused.get(who, 0) + 1
        headers = {"ratelimit": f'"default";r={self.left};t={int(self.ends - clock())}'} if self.tells else {}
        if self.policy:
            headers["ratelimit-policy"] = f'"default";q={QUOTA};w=300'
        await asyncio.sleep(LATENCY / 2)
        return (200, headers) if ok else (429, headers | {"retry-after": str(int(self.ends - clock()) + 1)})


async def ours(api: Api, rate: Rate, requests: int, shown: list[str], at_once: int = 8) -> None:
    """Send requests as a client does, `at_once` of them together."""
    here, left = pace(shown), iter(range(requests))

    async def one() -> None:
        for _ in left:
            await rate.admit(here)
            rate.heed(*await api.ask("we"), here.clock())

    await asyncio.gather(*(one() for _ in range(at_once)))


async def another(api: Api, at_once: int) -> None:
    """Ask without end, as fast as the answers come, and rest where it is refused."""

    async def one() -> None:
        while True:
            status, headers = await api.ask("another")
            if status == 429:
                await asyncio.sleep(float(headers["retry-after"]))

    await asyncio.gather(*(one() for _ in range(at_once)))


@pytest.mark.parametrize(("busy", "policy"), thinned([0, 8], [True, False], of=2))
def test_we_are_never_refused_whoever_asks_beside_us(busy: int, policy: bool) -> None:  # noqa: FBT001
    """With another program as busy as we are, or none, 2,000 requests end without one 429 for us."""
    api, shown = Api(policy=policy), list[str]()

    async def both() -> None:
        other = asyncio.ensure_future(another(api, busy))
        await ours(api, Rate(), 2000, shown)
        other.cancel()

    run(both())
    assert len(api.sent["we"]) == 2000
    assert "we" not in api.refused
    assert any("s: Cloudflare's rate limit: the last " in line for line in shown)
    assert any("are left to what else you do" in line for line in shown)


def test_alone_we_use_what_we_may_of_each_window() -> None:
    """Where nobody else asks, three quarters of each window are used, and no time is lost beside."""
    api = Api()
    run(ours(api, Rate(), 2000, []))
    assert api.sent["we"][-1] < 3 * RATE_SECONDS
    first = [at for at in api.sent["we"] if at < RATE_SECONDS]
    assert len(first) == pytest.approx(QUOTA * (1 - RESERVE), abs=8)
    assert first[-1] < 2 * len(first) / 8 * LATENCY


def test_a_new_window_is_tried_by_one_request_alone() -> None:
    """Before an answer says what is left, one request goes and the others wait for its answer: at first, and anew."""
    api = Api()
    run(ours(api, Rate(), 1200, []))
    times = api.sent["we"]
    starts = [at for at, before in zip(times[1:], times, strict=False) if at - before > RATE_SECONDS / 2]
    for start in (times[0], *starts):
        assert sum(start <= at < start + LATENCY / 2 for at in times) == 1


def test_without_headers_our_own_bound_holds() -> None:
    """Where no answer says what is left, no 5 minutes see more than a third of Cloudflare's 1,200 requests (F36)."""
    api, shown = Api(tells=False, policy=False), list[str]()
    run(ours(api, Rate(), 3 * RATE_REQUESTS, shown))
    times = api.sent["we"]
    windows = [sum(at - RATE_SECONDS < t <= at for t in times) for at in times]
    assert max(windows) == RATE_REQUESTS <= 1200 / 3
    assert shown[0].startswith("waits ")
    assert shown[0].endswith("s: Cloudflare's rate limit, to stay at 400 requests in 5 minutes")


def test_a_refusal_stops_everybody_for_as_long_as_is_asked() -> None:
    """After a 429 with retry-after nothing is sent until then; then one request alone."""

    async def refused() -> None:
        here, rate = pace([]), Rate()
        await rate.admit(here)
        rate.heed(200, {"ratelimit": '"default";r=900;t=60'}, here.clock())
        await rate.admit(here)
        rate.heed(429, {"retry-after": "42"}, here.clock())
        await rate.admit(here)
        assert here.clock() == pytest.approx(42, abs=0.5)
        others = [asyncio.ensure_future(rate.admit(here)) for _ in range(3)]
        await asyncio.sleep(5)
        assert not any(other.done() for other in others)
        rate.heed(200, {"ratelimit": '"default";r=900;t=60'}, here.clock())
        await asyncio.gather(*others)

    run(refused())


def test_a_wait_is_cancelled_and_its_turn_is_not_used_up() -> None:
    """Cancel ends the wait for one's turn, also while another request asks what is left; the turn stays free."""

    async def cancelled() -> None:
        rate, clock = Rate(), asyncio.get_running_loop().time
        free = pace([])
        await rate.admit(free)
        with pytest.raises(Cancelled, match="waiting"):
            await rate.admit(pace([], lambda: clock() > 1))
        rate.heed(200, {"ratelimit": '"burst";r=25;t=100', "ratelimit-policy": '"burst";q=100;w=100'}, clock())
        with pytest.raises(Cancelled, match="the last 25 of 100 requests are left to what else you do"):
            await rate.admit(pace([], lambda: clock() > 10))
        assert clock() < 11
        await rate.admit(free)
        assert clock() >= 101

    run(cancelled())


def test_an_answer_that_is_lost_ends_its_turn() -> None:
    """Where no answer arrives nothing is learnt, and the next request asks again what is left."""

    async def lost() -> None:
        here, rate = pace([]), Rate()
        for _ in range(3):
            await rate.admit(here)
            rate.heed(0, {}, here.clock())
        assert here.clock() < 1

    run(lost())


def test_the_tightest_of_several_limits_counts() -> None:
    """Cloudflare may tell of several limits at once; the one that is nearly used up is waited for."""

    async def tight() -> None:
        here, rate = pace([]), Rate()
        await rate.admit(here)
        rate.heed(200, {"ratelimit": '"default";r=900;t=300, "burst";r=2;t=7'}, here.clock())
        await rate.admit(here)
        rate.heed(200, {"ratelimit": '"default";r=899;t=300, "burst";r=0;t=7'}, here.clock())
        await rate.admit(here)
        assert here.clock() >= 7

    run(tight())
