"""The workers port hands requests and answers through as streams, and only to the Worker that the Host header names."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

MIRROR = """
export default {
  async fetch(request) {
    const headers = [...request.headers];
    return Response.json({ url: request.url, method: request.method, headers, body: await request.text() });
  },
};
"""
HELLO = 'export default { fetch() { return new Response("hello"); } };'


def test_the_worker_sees_the_address_that_was_asked(play: Callable[..., None]) -> None:
    """URL, method, query, body and headers arrive as they were sent, and who sent them as Cloudflare says it."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR)
        answer = await stage.call(
            "page",
            "/a%20b/%2F?x=1&y=%26",
            "PATCH",
            content=b"data",
            headers={"x-own": "1", "cf-connecting-ip": "6.6.6.6"},
        )
        seen = answer.json()
        assert seen["url"] == f"http://{stage.host('page')}/a%20b/%2F?x=1&y=%26"
        assert (seen["method"], seen["body"]) == ("PATCH", "data")
        headers = dict(seen["headers"])
        assert (headers["x-own"], headers["cf-connecting-ip"]) == ("1", "127.0.0.1")

    play(story)


def test_hop_by_hop_headers_stay_on_their_hop(play: Callable[..., None]) -> None:
    """Connection headers, and those that Connection names, are not handed on."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR)
        headers = {
            "connection": "close, x-mine",
            "x-mine": "1",
            "te": "trailers",
            "proxy-authorization": "x",
            "x-kept": "1",
        }
        seen = dict((await stage.call("page", headers=headers)).json()["headers"])
        assert "x-kept" in seen
        assert not {"connection", "x-mine", "te", "proxy-authorization"} & seen.keys()

    play(story)


def test_answers_come_back_as_they_are(play: Callable[..., None]) -> None:
    """Status, repeated headers, redirects, encodings and bodies without content are left alone."""
    source = """
    export default { async fetch(request) {
      switch (new URL(request.url).pathname) {
        case "/cookies": {
          const headers = new Headers();
          headers.append("set-cookie", "a=1"); headers.append("set-cookie", "b=2");
          return new Response(null, { status: 204, headers });
        }
        case "/redirect": return Response.redirect("http://elsewhere.example/", 307);
        case "/gzip": return new Response("x".repeat(1000), { headers: { "content-encoding": "gzip" } });
        default: return new Response("teapot", { status: 418, headers: { "x-own": "1" } });
      }
    } };
    """

    async def story(stage: Any) -> None:
        stage.put("page", source)
        cookies = await stage.call("page", "/cookies")
        assert (cookies.status_code, cookies.headers.get_list("set-cookie")) == (204, ["a=1", "b=2"])
        redirect = await stage.call("page", "/redirect")
        assert (redirect.status_code, redirect.headers["location"]) == (307, "http://elsewhere.example/")
        assert (await stage.call("page", "/gzip")).text == "x" * 1000
        teapot = await stage.call("page")
        assert (teapot.status_code, teapot.text, teapot.headers["x-own"]) == (418, "teapot", "1")
        head = await stage.call("page", method="HEAD")
        assert (head.status_code, head.content) == (418, b"")
        assert (await stage.call("page")).text == "teapot"

    play(story)


@pytest.mark.parametrize("chunked", [True, False])
def test_large_bodies_pass_both_ways(play: Callable[..., None], *, chunked: bool) -> None:
    """Twenty megabytes go through a Worker and come back the same, with and without a length."""
    source = "export default { async fetch(request) { return new Response(await request.arrayBuffer()); } };"
    piece = bytes(range(256)) * 256

    async def pieces() -> Any:
        for _ in range(320):
            yield piece

    async def story(stage: Any) -> None:
        stage.put("page", source)
        answer = await stage.call("page", method="POST", content=pieces() if chunked else piece * 320)
        assert answer.content == piece * 320

    play(story)


def test_an_answer_streams_while_the_request_still_comes(play: Callable[..., None]) -> None:
    """Each piece sent is answered before the next one is sent: nothing is held back in between."""
    source = "export default { fetch(request) { return new Response(request.body); } };"

    async def story(stage: Any) -> None:
        stage.put("page", source)
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(f"POST / HTTP/1.1\r\nHost: {stage.host('page')}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        async with asyncio.timeout(60):
            writer.write(b"5\r\npiece\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readuntil(b"piece") == b"5\r\npiece"
            writer.write(b"4\r\nmore\r\n")
            assert (await reader.readuntil(b"more")).endswith(b"4\r\nmore")
            writer.write(b"0\r\n\r\n")
            assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
        writer.close()

    play(story)


def test_a_client_that_leaves_ends_the_workers_work(play: Callable[..., None]) -> None:
    """When the client goes away the Worker's stream is cancelled, and the island is free to end."""
    source = """
    export default { fetch(request, env, ctx) {
      const { readable, writable } = new TransformStream();
      ctx.waitUntil((async () => {
        const writer = writable.getWriter();
        try { while (true) { await writer.write(new Uint8Array(1)); await new Promise((r) => setTimeout(r, 5)); } }
        catch { console.log("left"); }
      })());
      return new Response(readable);
    } };
    """

    async def story(stage: Any) -> None:
        stage.put("page", source)
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(f"GET / HTTP/1.1\r\nHost: {stage.host('page')}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert stage.island("page").quiet_for() == 0
        writer.transport.abort()
        await stage.logged("page", "left")
        await stage.over("page")

    play(story, idle=0.3)


def test_server_sent_events_do_not_hold_up_a_deploy(play: Callable[..., None]) -> None:
    """A stream of server-sent events ends cleanly, at once, when its Worker is replaced."""
    source = """
    export default { fetch() {
      const { readable, writable } = new TransformStream();
      writable.getWriter().write(new TextEncoder().encode("data: 1\\n\\n"));
      return new Response(readable, { headers: { "content-type": "text/event-stream" } });
    } };
    """

    async def story(stage: Any) -> None:
        stage.put("page", source)
        headers = {"host": stage.host("page")}
        async with stage.client.stream("GET", "/", headers=headers) as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == b"data: 1\n\n"
            async with asyncio.timeout(60):
                await stage.deploy("page", HELLO)
                assert [piece async for piece in pieces] == []
        assert await stage.text("page") == "hello"

    play(story, grace=600)


def test_an_unknown_worker_is_one_line(play: Callable[..., None]) -> None:
    """A Host that names no deployed Worker gets 404 and a line that names it."""

    async def story(stage: Any) -> None:
        answer = await stage.call("nobody")
        assert (answer.status_code, answer.text) == (404, 'there is no Worker "nobody" here.\n')

    play(story)


HOSTS = (
    "",
    "PORTLESS",
    "page.localhost",
    "page.localhost.:PORT",
    "page.localhost:1",
    "PAGE.localhost:PORT",
    "evil.example:PORT",
    "page.localhost.evil.example:PORT",
    "page.evil.example:PORT",
    "localhost:PORT",
    "127.0.0.1:PORT",
    "0.0.0.0:PORT",
    "[::1]:PORT",
    "[::ffff:127.0.0.1]:PORT",
    "a.page.localhost:PORT",
    ".localhost:PORT",
    "page.localhost:PORT ",
    "page.localhost:0PORT",
    "../page.localhost:PORT",
    "page%00.localhost:PORT",
    "user@page.localhost:PORT",
)


def test_only_the_exact_host_is_served(play: Callable[..., None]) -> None:
    """A page of another site that points its name at this port gets nothing, nor does any other spelling."""

    async def story(stage: Any) -> None:
        stage.put("page", HELLO)
        for host in HOSTS:
            sent = host.replace("PORT", str(stage.port)).replace("PORTLESS", "page")
            status = await raw(stage, f"GET / HTTP/1.1\r\nHost: {sent}\r\nConnection: close\r\n\r\n")
            # a blank at the end is no part of a header's value
            assert status == (200 if sent.strip() == stage.host("page") else 421), host

    play(story)


ODD = (
    ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n", 400),
    ("GET / HTTP/1.0\r\n\r\n", 421),
    ("GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    ("GET http://evil.example/ HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    ("OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: HOST\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n", 200),
)


def test_odd_requests_get_no_further(play: Callable[..., None]) -> None:
    """Missing and double hosts and targets that are no path are refused; an Origin is the Worker's business."""

    async def story(stage: Any) -> None:
        stage.put("page", HELLO)
        for request, status in ODD:
            assert await raw(stage, request.replace("HOST", stage.host("page"))) == status, request

    play(story)


async def raw(stage: Any, text: str) -> int:
    """Send bytes to the port and give the status of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(text.encode())
    async with asyncio.timeout(60):
        line = await reader.readline()
    writer.close()
    return int(line.split()[1])


def test_a_mirror_shows_no_header_that_was_not_sent(play: Callable[..., None]) -> None:
    """The gateway adds the headers that Cloudflare adds: the client's address and country, and the ray."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR)
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(f"GET / HTTP/1.1\r\nHost: {stage.host('page')}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(
            next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split()[1]
        )
        seen = json.loads(await reader.readexactly(length))
        edge = {"cf-connecting-ip", "cf-ipcountry", "cf-ray"}
        assert {name for name, _ in seen["headers"]} == {"host", *edge}
        writer.close()

    play(story)
