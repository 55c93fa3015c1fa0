"""The short way through the Workers port is the usual one in less time: the same requests, answers and refusals."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sharing import until

from notebook_do.local.gateway import short
from notebook_do.local.gateway.short import short_request
from notebook_do.local.runtime import upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIRROR = """
export default { async fetch(request, env) {
  const path = new URL(request.url).pathname;
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  console.log(path);
  if (path === "/late") { await wait(700); return new Response("late"); }
  if (path === "/never") {
    await (await env.BELL.fetch(request.url)).text();
    await wait(600000);
    console.log("waited");
  }
  if (path === "/behind") {
    const { readable, writable } = new TransformStream();
    (async () => {
      const writer = writable.getWriter();
      for (const piece of ["one", "two"]) { await writer.write(new TextEncoder().encode(piece)); await wait(100); }
      await writer.close();
    })();
    return new Response(readable);
  }
  if (path === "/large") return new Response("x".repeat(3000000));
  if (path === "/none") return new Response(null, { status: 204 });
  if (path === "/unchanged") return new Response(null, { status: 304 });
  if (path === "/odd") return new Response("odd", { status: 599, headers: [["set-cookie", "a"], ["set-cookie", "b"]] });
  const headers = [...request.headers].filter(([name]) => name !== "cf-ray");  // each request has one of its own
  return Response.json([request.method, request.url, headers, await request.text()]);
} };
"""
HELLO = 'export default { fetch() { return new Response("hello"); } };'
BELL = {"type": "service", "name": "BELL", "service": "bell"}
DATE = re.compile(rb"\r\ndate: [^\r]*")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Give the targets of the requests that went the short way."""
    found: list[bytes] = []
    begin = short.ShortWay.begin

    def noted(way: Any, data: bytes, *rest: Any) -> Any:
        begun = begin(way, data, *rest)
        if begun is not None:
            found.append(data.split(b" ", 2)[1])
        return begun

    monkeypatch.setattr(short.ShortWay, "begin", noted)
    monkeypatch.setattr(upstream, "_KEEP", 600.0)  # a connection that waited longer is not used again
    return found


class Line:
    """One connection of a client that writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, *pieces: bytes) -> None:
        """Send pieces that arrive one by one."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.02 if len(pieces) > 1 else 0)

    async def answer(self) -> bytes:
        """Read one answer with a length, without the date."""
        async with asyncio.timeout(60):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            return DATE.sub(b"", head) + (await self.reader.readexactly(int(length[1])) if length else b"")


@contextlib.asynccontextmanager
async def connected(stage: Any) -> Any:
    """Connect to the Workers port, after one call that leaves an open connection to the Worker behind it."""
    await stage.text("page")
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    yield Line(reader, writer)
    writer.close()


def request(stage: Any, path: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    """Write one request."""
    head = "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {stage.host('page')}", *lines))
    return f"{head}\r\n\r\n".encode() + body


async def inside_for_ever(stage: Any, line: Line) -> Any:
    """Send a request that is never answered; give the island once it is inside of the Worker."""
    await line.say(request(stage, "/never"))
    await stage.event("bell", bool)
    return stage.island("page")


def test_a_plain_request_goes_the_short_way_and_is_the_same(
    play: Callable[..., None], taken: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in two it goes the usual way: the Worker sees the same request, and the client the same answer."""
    ended: list[short.Begun] = []
    done = short.Begun.done
    monkeypatch.setattr(short.Begun, "done", lambda begun: (ended.append(begun), done(begun)))
    requests = [
        ("/a%20b?x=1&y=%26", "GET", (), b""),
        ("/a", "POST", ("Content-Length: 4", "X-Twice: 1", "x-twice:  2 "), b"data"),
        ("/b", "POST", ("Content-Length: 0", "Connection: keep-alive", "CF-Connecting-IP: 6.6.6.6"), b""),
        ("/c", "DELETE", ("Content-Length: 2", "Cookie: ü"), b"ab"),
        ("/odd", "GET", (), b""),
        ("/none", "GET", (), b""),
        ("/unchanged", "GET", (), b""),
        ("/large", "GET", (), b""),
    ]

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR)
        async with connected(stage) as line:
            for path, method, lines, body in requests:
                whole = request(stage, path, *lines, method=method, body=body)
                await line.say(whole)
                at_once = await line.answer()
                await line.say(whole[:30], whole[30:])
                assert await line.answer() == at_once
        assert taken == [path.encode() for path, _, lines, _ in requests if not any("CF-" in one for one in lines)]
        assert [one.data.split()[1] for one in ended] == [b"/a%20b?x=1&y=%26", b"/a", b"/c", b"/odd"]

    play(story)


def test_an_answer_in_pieces_is_gone_on_with(play: Callable[..., None], taken: list[bytes]) -> None:
    """A request that was sent the short way is sent once, also where its answer streams piece by piece."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR)
        async with connected(stage) as line:
            await line.say(request(stage, "/behind"))
            async with asyncio.timeout(60):
                head = await line.reader.readuntil(b"\r\n\r\n")
                assert b"transfer-encoding: chunked" in head.lower()
                assert await line.reader.readexactly(8) == b"3\r\none\r\n"
                assert await line.reader.readuntil(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"
            await line.say(request(stage, "/after"))
            assert b"/after" in await line.answer()
        assert {b"/behind", b"/after"} <= set(taken)
        await stage.logged("page", "/after")
        seen = [log["message"][0] for item in stage.events["page"] for log in item["logs"]]
        assert seen.count("/behind") == 1

    play(story)


def test_what_is_sent_meanwhile_is_answered_in_turn(play: Callable[..., None], taken: list[bytes]) -> None:
    """Requests that come before the answer to the first are answered after it, in their order, odd ones too."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR)
        async with connected(stage) as line:
            await line.say(request(stage, "/late"))
            await asyncio.sleep(0.1)
            await line.say(request(stage, "/two"), request(stage, "/three", "X-Folded: a\r\n b"))
            await line.say(request(stage, "/four", method="POST") + b"GARBAGE\r\n\r\n")
            assert b"late" in await line.answer()
            for path in (b"/two", b"/three", b"/four"):
                assert path in await line.answer()
            assert (await line.answer()).startswith(b"HTTP/1.1 400")
        assert b"/late" in taken

    play(story)


def test_a_client_that_leaves_the_short_way_ends_its_work(play: Callable[..., None], taken: list[bytes]) -> None:
    """The connection to the Worker is closed and the island is free, as on the usual way."""

    async def story(stage: Any) -> None:
        stage.put("bell", HELLO)
        stage.put("page", MIRROR, bindings=(BELL,))
        async with connected(stage) as line:
            island = await inside_for_ever(stage, line)
            assert island.quiet_for() == 0
            line.writer.transport.abort()
            await until(lambda: not island.in_use)
        assert await stage.text("page", "/after")
        left = await stage.event("page", lambda item: item["event"]["request"]["url"].endswith("/never"))
        assert [log["message"] for log in left["logs"]] == [["/never"]]
        assert b"/never" in taken

    play(story)


def test_a_runtime_that_ends_under_the_short_way_is_one_line(play: Callable[..., None], taken: list[bytes]) -> None:
    """A request inside when workerd is killed gets 502 and one line, and the connection goes on."""

    async def story(stage: Any) -> None:
        stage.put("bell", HELLO)
        stage.put("page", MIRROR, bindings=(BELL,))
        async with connected(stage) as line:
            island = await inside_for_ever(stage, line)
            os.kill(island.process.pid, signal.SIGKILL)
            answer = await line.answer()
            await island.gone.wait()
            assert answer.startswith(b"HTTP/1.1 502")
            assert answer.endswith(b'Worker "page": the runtime ended while it was answering; try again.\n')
            await line.say(request(stage, "/again"))
            assert b"/again" in await line.answer()
        assert b"/never" in taken

    play(story)


def test_a_deploy_waits_for_the_short_way(play: Callable[..., None], taken: list[bytes]) -> None:
    """A request on the short way gets the old code's answer, the next one on its connection the new code's."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR)
        async with connected(stage) as line:
            await line.say(request(stage, "/late"))
            await asyncio.sleep(0.2)
            swap = asyncio.create_task(stage.deploy("page", MIRROR.replace('Response("late")', 'Response("new!")')))
            assert (await line.answer()).endswith(b"late")
            await line.say(request(stage, "/late"))
            assert (await line.answer()).endswith(b"new!")
            await swap
        assert taken.count(b"/late") >= 1

    play(story, grace=60)


def test_a_quiet_connection_is_closed_after_the_short_way(play: Callable[..., None]) -> None:
    """A kept connection ends a while after its last answer, whichever way that came."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR)
        async with connected(stage) as line:
            await line.say(request(stage, "/a"))
            await line.answer()
            async with asyncio.timeout(60):  # without the `keep` below it is longer
                assert await line.reader.read() == b""

    play(story, keep=1)


def test_a_kept_connection_outlives_the_deadline_of_a_head(play: Callable[..., None], taken: list[bytes]) -> None:
    """Silent between two requests, a client has the time of a kept connection, and not that of half a head."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR)
        async with connected(stage) as line:
            for path in ("/one", "/two"):
                await line.say(request(stage, path))
                assert path.encode() in await line.answer()
                await asyncio.sleep(2.5)
        assert taken[0] == b"/one"

    play(story, patience=1.0)


def read_by_h11(data: bytes) -> list[Any]:
    """Read bytes as the usual way does; give its events up to the first that is none."""
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(data)
    found: list[Any] = []
    with contextlib.suppress(h11.RemoteProtocolError):
        # Told apart by what they are: an event of h11 has no hash.
        while (event := reader.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
            found.append(event)
            if isinstance(event, h11.EndOfMessage):
                found.append(reader.trailing_data[0])
                break
    return found


def same_reading(data: bytes) -> bool:
    """Return whether the short way takes bytes at all; where it does, h11 reads the same one request in them."""
    taken = short_request(data)
    if taken is None:
        return False
    first, *parts = read_by_h11(data)
    assert (first.method, first.target, first.http_version) == (taken.method, taken.target, b"1.1")
    assert b"".join(part.data for part in parts if isinstance(part, h11.Data)) == taken.body
    assert parts[-1] == b""
    names = [name for name, _ in first.headers]
    assert [name for name in names if name not in {b"connection", b"content-length"}] == [n for n, _ in taken.headers]
    assert set(taken.headers) <= set(first.headers)
    assert not set(names) & {b"transfer-encoding", b"upgrade", b"expect", b"te", b"trailer", b"cf-connecting-ip"}
    return True


LINES = st.sampled_from(
    [
        *(b"Host: page.localhost:1", b"Host:a", b"host: b ", b"Content-Length: 3", b"Content-Length: 0"),
        *(b"content-length:03", b"Content-Length: +3", b"Content-Length: 3, 3", b"Transfer-Encoding: chunked"),
        *(b"Connection: close", b"Expect: 100-continue", b"Connection: Keep-Alive", b"Connection: keep-alive, x"),
        *(b"X: \xff\xe9", b"X: a\0b", b"X : a", b" folded", b"X:", b":", b"X", b"X: a\rb", b"X: a\nb", b"X: a\x0bb"),
        *(b"Upgrade: websocket", b"TE: trailers", b"X:\t a\t", b"CF-Connecting-IP: 1.1.1.1"),
    ]
)
STARTS = st.sampled_from(
    [
        *(b"GET / HTTP/1.1", b"POST /a?b#c HTTP/1.1", b"POST /a?b HTTP/1.1", b"GET //x HTTP/1.1"),
        *(b"GET http://a/ HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"GET /a b HTTP/1.1", b"get / HTTP/1.1"),
        *(b" GET / HTTP/1.1", b"GET  / HTTP/1.1", b"\r\nGET / HTTP/1.1", b"CONNECT /a HTTP/1.1", b"HEAD / HTTP/1.1"),
        *(b"GET /\xe9 HTTP/1.1", b"PUT /'\"<>^`{|} HTTP/1.1"),
    ]
)
BODIES = st.sampled_from([b"", b"abc", b"abcd", b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"3\r\nabc\r\n0\r\n"])


HOSTS = st.sampled_from([[], [b"Host: page.localhost:1"]])
"""Without a host nothing is taken, and few of the lines above are one."""


@given(STARTS, HOSTS, st.lists(LINES, max_size=5), st.sampled_from([b"\r\n", b"\n"]), BODIES)
def test_both_ways_read_the_same(start: bytes, host: list[bytes], lines: list[bytes], end: bytes, body: bytes) -> None:
    """No bytes are one request to the short way and something else to h11."""
    taken = same_reading(end.join([start, *host, *lines, b"", b""]) + body)
    assert not taken or end == b"\r\n", "a bare line feed is for h11"


def test_each_smuggling_vector_is_read_the_same_way() -> None:
    """Nor are those of the smuggling tests."""
    place = Path(__file__).with_name("test_smuggling.py")
    spec = importlib.util.spec_from_file_location("smuggling", place)
    assert spec is not None
    assert spec.loader is not None
    smuggling = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(smuggling)
    for vector in smuggling.VECTORS.values():
        same_reading(smuggling.on_the_wire(vector.sent, "page.localhost:1"))
