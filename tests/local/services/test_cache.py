"""The Cache API on real workerd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

WORKER = """
export default {
  async fetch(request) {
    const out = [];
    for (const [name, method, url, ...more] of await request.json()) {
      const cache = name === "default" ? caches.default : await caches.open(name);
      try {
        if (method === "put") {
          const [body, init] = more;
          out.push((await cache.put(url, new Response(body, init))) ?? null);
        } else {
          const found = await cache[method](method === "match" ? new Request(url, { headers: more[0] ?? {} }) : url);
          out.push(found?.headers ? { status: found.status, text: await found.text(),
            headers: Object.fromEntries(found.headers) } : found ?? null);
        }
      } catch (error) {
        out.push({ error: error.message });
      }
    }
    return Response.json(out);
  },
};
"""
URL = "https://example.com/a?b=c"
FRESH = {"headers": {"cache-control": "max-age=60", "x-mine": "1"}}


@pytest.fixture
def cached(play: Callable[..., None]) -> Callable[..., None]:
    """Run an async story with a function that has a Worker use its caches."""

    def cached(story: Callable[..., Any]) -> None:
        async def told(stage: Any) -> None:
            stage.put("w", WORKER)

            async def use(*calls: list[Any], worker: str = "w") -> list[Any]:
                answer = await stage.call(worker, method="POST", json=list(calls))
                assert answer.status_code == 200, answer.text
                result: list[Any] = answer.json()
                return result

            await story(stage, use)

        play(told)

    return cached


def test_a_response_is_put_found_and_deleted(cached: Callable[..., None]) -> None:
    """A response comes back with its status, headers and body until it is deleted."""

    async def story(_stage: Any, use: Any) -> None:
        assert await use(["default", "match", URL]) == [None]
        await use(["default", "put", URL, "hellö", {**FRESH, "status": 203}])
        (found,) = await use(["default", "match", URL])
        assert (found["status"], found["text"], found["headers"]["x-mine"]) == (203, "hellö", "1")
        assert found["headers"]["cf-cache-status"] == "HIT"
        assert await use(["default", "delete", URL], ["default", "delete", URL], ["default", "match", URL]) == [
            True,
            False,
            None,
        ]

    cached(story)


def test_caches_urls_and_workers_are_apart(cached: Callable[..., None]) -> None:
    """Another cache, another scheme, another query and another Worker do not see a response."""

    async def story(stage: Any, use: Any) -> None:
        await use(["default", "put", URL, "one", FRESH], ["named", "put", URL, "two", FRESH])
        found = await use(["default", "match", URL], ["named", "match", URL])
        assert [one["text"] for one in found] == ["one", "two"]
        others = [["default", "match", URL.replace("https", "http")], ["default", "match", URL + "d"]]
        assert await use(*others, ["other", "match", URL]) == [None, None, None]
        stage.put("second", WORKER)
        assert await use(["default", "match", URL], worker="second") == [None]

    cached(story)


NOT_KEPT = (
    {"cache-control": "no-store"},
    {"cache-control": "private, max-age=60"},
    {"cache-control": "no-cache"},
    {"cache-control": "max-age=0"},
    {"cache-control": "max-age=60", "set-cookie": "a=b"},
    {"expires": "Thu, 01 Jan 1970 00:00:00 GMT"},
)


def test_what_may_not_be_kept_is_not(cached: Callable[..., None]) -> None:
    """A put of a response that forbids it is no error and no hit."""

    async def story(_stage: Any, use: Any) -> None:
        for headers in NOT_KEPT:
            put = ["default", "put", URL, "x", {"headers": headers}]
            assert await use(put, ["default", "match", URL]) == [None, None], headers

    cached(story)


def test_a_response_grows_old(cached: Callable[..., None]) -> None:
    """s-maxage outweighs max-age, and a response is gone after it."""

    async def story(stage: Any, use: Any) -> None:
        cache = stage.runtime.services.cache
        now = cache.clock()
        cache.clock = lambda: now
        headers = {"cache-control": "max-age=10, s-maxage=100"}
        await use(["default", "put", URL, "x", {"headers": headers}])
        cache.clock = lambda: now + 90
        assert int((await use(["default", "match", URL]))[0]["headers"]["age"]) == 90
        cache.clock = lambda: now + 101
        assert await use(["default", "match", URL]) == [None]

    cached(story)


def test_a_match_can_ask_for_a_part_or_a_change(cached: Callable[..., None]) -> None:
    """A range gives 206 and a known etag 304."""

    async def story(_stage: Any, use: Any) -> None:
        await use(["default", "put", URL, "0123456789", {"headers": {**FRESH["headers"], "etag": '"v1"'}}])
        part, same, other = await use(
            ["default", "match", URL, {"range": "bytes=2-4"}],
            ["default", "match", URL, {"if-none-match": '"v1"'}],
            ["default", "match", URL, {"if-none-match": '"v2"'}],
        )
        assert (part["status"], part["text"], part["headers"]["content-range"]) == (206, "234", "bytes 2-4/10")
        assert (same["status"], other["status"]) == (304, 200)

    cached(story)
