"""KV namespaces behind real bindings on real workerd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

KV = {"type": "kv_namespace", "name": "KV", "namespace_id": "a" * 32}
OTHER = {"type": "kv_namespace", "name": "OTHER", "namespace_id": "../../" + "b" * 26}
HARD_KEYS = ["a/b", "a b", "per%20cent", "pl+us", "üñï", "q?x=1&y#z", "..a", "bulk/get", "new\nline", "😀"]


def test_a_value_comes_back_as_it_was_put(ask: Callable[..., None]) -> None:
    """Text, JSON and bytes come back; a key that is not there is null."""

    async def story(kv: Any) -> None:
        await kv.all(["KV", "put", "text", "hellö"], ["KV", "put", "bytes", {"$bytes": [0, 255, 1]}])
        await kv.one("KV", "put", "json", '{"a": [1]}')
        assert await kv.all(
            ["KV", "get", "text"],
            ["KV", "get", "bytes", "arrayBuffer"],
            ["KV", "get", "json", {"type": "json"}],
            ["KV", "get", "nothing"],
        ) == ["hellö", {"bytes": [0, 255, 1]}, {"a": [1]}, None]

    ask(story, KV)


def test_any_key_is_one_key(ask: Callable[..., None]) -> None:
    """A key may hold what a URL or a path would take apart."""

    async def story(kv: Any) -> None:
        for key in HARD_KEYS:
            assert await kv.one("KV", "put", key, "here") is None
            assert await kv.one("KV", "get", key) == "here"
            assert [k["name"] for k in (await kv.one("KV", "list"))["keys"]] == [key]
            assert await kv.all(["KV", "delete", key], ["KV", "get", key]) == [None, None]

    ask(story, KV)


def test_namespaces_do_not_share_keys(ask: Callable[..., None]) -> None:
    """Two namespaces have each their own values, whatever their ids look like."""

    async def story(kv: Any) -> None:
        await kv.all(["KV", "put", "k", "one"], ["OTHER", "put", "k", "two"])
        assert await kv.all(["KV", "get", "k"], ["OTHER", "get", "k"]) == ["one", "two"]

    ask(story, KV, OTHER)


def test_two_workers_share_a_namespace(ask: Callable[..., None]) -> None:
    """A value that one Worker put is read by another that binds the same id, in a process of its own."""

    async def story(kv: Any) -> None:
        await kv.one("KV", "put", "k", "shared")
        source = "export default { async fetch(r, env) { return new Response(await env.MINE.get('k')); } };"
        kv.stage.put("second", source, bindings=({**KV, "name": "MINE"},))
        assert await kv.stage.text("second") == "shared"
        assert kv.stage.pid("second") != kv.stage.pid("asked")

    ask(story, KV)


def test_metadata_comes_with_the_value_and_in_lists(ask: Callable[..., None]) -> None:
    """Metadata is any JSON; above 1,024 bytes it is refused as on Cloudflare."""

    async def story(kv: Any) -> None:
        await kv.one("KV", "put", "k", "v", {"metadata": {"ü": [1, None]}})
        found = await kv.one("KV", "getWithMetadata", "k")
        assert (found["value"], found["metadata"]) == ("v", {"ü": [1, None]})
        assert (await kv.one("KV", "list"))["keys"] == [{"name": "k", "metadata": {"ü": [1, None]}}]
        refused = await kv.one("KV", "put", "k", "v", {"metadata": "x" * 1100})
        assert refused["error"] == "KV PUT failed: 413 Metadata length of 1102 exceeds limit of 1024."

    ask(story, KV)


def test_a_value_expires(ask: Callable[..., None]) -> None:
    """A value is gone when its time to live is over, from get and from list."""

    async def story(kv: Any) -> None:
        now = kv.services.kv.clock()
        kv.services.kv.clock = lambda: now
        await kv.all(
            ["KV", "put", "ttl", "v", {"expirationTtl": 60}],
            ["KV", "put", "moment", "v", {"expiration": int(now) + 600}],
            ["KV", "put", "ever", "v"],
        )
        assert await kv.one("KV", "get", "ttl") == "v"
        assert (await kv.one("KV", "list", {"prefix": "moment"}))["keys"][0]["expiration"] == int(now) + 600
        kv.services.kv.clock = lambda: now + 61
        assert await kv.one("KV", "get", "ttl") is None
        assert [k["name"] for k in (await kv.one("KV", "list"))["keys"]] == ["ever", "moment"]

    ask(story, KV)


def test_too_short_a_life_is_refused(ask: Callable[..., None]) -> None:
    """Less than 60 seconds of life is an error that says so."""

    async def story(kv: Any) -> None:
        refused = await kv.one("KV", "put", "k", "v", {"expirationTtl": 59})
        assert (
            refused["error"] == "KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60."
        )
        assert await kv.one("KV", "get", "k") is None

    ask(story, KV)


def test_a_list_goes_on_where_it_stopped(ask: Callable[..., None]) -> None:
    """Keys come in the order of their UTF-8 bytes, by prefix, in pages that lose and repeat nothing."""

    async def story(kv: Any) -> None:
        names = [f"p/{number:03}" for number in range(25)] + ["p/é", "q"]
        await kv.all(*(["KV", "put", name, "v"] for name in names))
        seen: list[str] = []
        cursor = None
        for _ in range(4):
            page = await kv.one("KV", "list", {"prefix": "p/", "limit": 10, **({"cursor": cursor} if cursor else {})})
            seen += [key["name"] for key in page["keys"]]
            cursor = page.get("cursor")
            if page["list_complete"]:
                break
        assert seen == names[:-1]

    ask(story, KV)


def test_many_keys_are_read_at_once(ask: Callable[..., None]) -> None:
    """A list of keys gives a map, with null for what is not there."""

    async def story(kv: Any) -> None:
        await kv.all(["KV", "put", "a", "1"], ["KV", "put", "b", "2", {"metadata": {"m": 1}}])
        assert await kv.one("KV", "get", ["a", "b", "c"]) == {"a": "1", "b": "2", "c": None}
        found = await kv.one("KV", "getWithMetadata", ["b"])
        assert found == {"b": {"value": "2", "metadata": {"m": 1}}}

    ask(story, KV)


def test_a_thousand_calls_at_once(play: Callable[..., None]) -> None:
    """As many calls at once as a Worker may make are all answered."""
    source = (
        "export default { async fetch(r, env) {"
        " const calls = Array.from({ length: 999 }, (_, i) => env.KV.get(`k${i}`));"
        " return new Response(String((await Promise.all(calls)).filter((v) => v === null).length)); } };"
    )

    async def story(stage: Any) -> None:
        stage.put("w", source, bindings=(KV,))
        assert await stage.text("w") == "999"

    play(story)


def test_a_value_outlives_the_runtime(play: Callable[..., None]) -> None:
    """What was put is there after the whole local Cloudflare was started again."""
    source = "export default { async fetch(r, env) { const old = await env.KV.get('n'); await env.KV.put('n', 'kept'); return new Response(old ?? 'none'); } };"  # noqa: E501 - one Worker

    async def story(stage: Any) -> None:
        stage.put("w", source, bindings=(KV,))
        async with stage.running():
            assert await stage.text("w") == "none"
        async with stage.running():
            assert await stage.text("w") == "kept"

    play(story, running=False)
