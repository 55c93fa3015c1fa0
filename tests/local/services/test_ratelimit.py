"""Rate limits on real workerd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = {"type": "ratelimit", "name": "LIMIT", "namespace_id": "1001", "simple": {"limit": 2, "period": 60}}
SAME = {**LIMIT, "name": "SAME"}
OTHER = {**LIMIT, "name": "OTHER", "namespace_id": "1002"}


def test_calls_beyond_the_limit_do_not_succeed(ask: Callable[..., None]) -> None:
    """Each key has its own count, shared by bindings of one namespace, and a new one in the next window."""

    async def story(limit: Any) -> None:
        limits = limit.services.rate_limits
        limits.clock = lambda: 120.0
        calls = [["LIMIT", "limit", {"key": "a"}], ["SAME", "limit", {"key": "a"}], ["LIMIT", "limit", {"key": "a"}]]
        others = [["LIMIT", "limit", {"key": "b"}], ["OTHER", "limit", {"key": "a"}]]
        said = await limit.all(*calls, *others)
        assert [one["success"] for one in said] == [True, True, False, True, True]
        limits.clock = lambda: 180.0
        assert await limit.one("LIMIT", "limit", {"key": "a"}) == {"success": True}
        assert "error" in await limit.one("LIMIT", "limit", {})

        # No RPC is between a Worker and its limits, which an early date does not have.
        limit.again("early", (LIMIT,), compatibility_date="2022-03-21")
        assert await limit.one("LIMIT", "limit", {"key": "c"}, worker="early") == {"success": True}
        both = await limit.all(*[["LIMIT", "limit", {"key": "a"}]] * 2, worker="early")
        assert [one["success"] for one in both] == [True, False]

    ask(story, LIMIT, SAME, OTHER)
