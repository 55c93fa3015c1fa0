"""One message of a client is one request of the Worker, however its end is told: refused, or read in one way only."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pytest

from notebook_do.local.runtime import http1

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTING = """
let seen = [];
export default { async fetch(request) {
  const path = new URL(request.url).pathname;
  if (path === "/seen") { const told = seen; seen = []; return Response.json(told); }
  const framing = ["content-length", "transfer-encoding", "upgrade", "trailer"].filter((n) => request.headers.has(n));
  let body;
  try { body = await request.text(); } catch { body = "broken"; }
  seen.push([request.method, path, body]);
  return new Response("one", { headers: { "x-framing": framing.join() } });
} };
"""
EVIL = "GET /evil HTTP/1.1\r\nHost: HOST\r\n\r\n"
SIZE = "SIZE"
"""Stands for the length of `EVIL`, as it goes over the wire."""
END = "Connection: close\r\n"


class Vector(NamedTuple):
    """What is sent, the status that it gets (None: none at all), and the requests that reach the Worker."""

    sent: str
    status: int | None
    seen: tuple[tuple[str, str, str], ...] = ()


def post(headers: str, body: str = "", *, target: str = "/a", version: str = "1.1") -> str:
    """Write a POST."""
    return f"POST {target} HTTP/{version}\r\nHost: HOST\r\n{headers}\r\n{body}"


def once(body: str, method: str = "POST", path: str = "/a") -> tuple[tuple[str, str, str], ...]:
    """Say that one request arrives."""
    return ((method, path, body),)


LISTED = (
    "content-length",
    "Content-Length",
    "host",
    "transfer-encoding",
    "trailer",
    "upgrade",
    "close, content-length",
)
TWO_FORMS = f"Content-Length: {SIZE}\r\nTransfer-Encoding: chunked\r\n"
CHUNKS = "3\r\nabc\r\n0\r\n\r\n"
VECTORS = {
    **{
        f"Connection lists {name}": Vector(
            post(f"Connection: {name}\r\nContent-Length: {SIZE}\r\n", EVIL), 200, once(EVIL)
        )
        for name in LISTED
    },
    "Connection lists it in a second line": Vector(
        post(f"Connection: keep-alive\r\nConnection: content-length\r\nContent-Length: {SIZE}\r\n", EVIL),
        200,
        once(EVIL),
    ),
    "Connection lists transfer-encoding, chunked": Vector(
        post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", CHUNKS), 200, once("abc")
    ),
    "Connection lists content-length of a GET": Vector(
        f"GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: content-length\r\nContent-Length: {SIZE}\r\n\r\n{EVIL}",
        200,
        once(EVIL, "GET"),
    ),
    "both framings": Vector(post(f"{TWO_FORMS}{END}", CHUNKS), 400),
    "both framings, the body ends early": Vector(post(TWO_FORMS, f"0\r\n\r\n{EVIL}"), 400),
    "two lengths": Vector(post("Content-Length: 0\r\nContent-Length: 5\r\n", "abcde"), 400),
    "two lengths in one line": Vector(post("Content-Length: 0, 5\r\n", "abcde"), 400),
    "one length twice": Vector(post(f"Content-Length: 3\r\nContent-Length: 3\r\n{END}", "abc"), 200, once("abc")),
    "a signed length": Vector(post("Content-Length: +3\r\n", "abc"), 400),
    "a length in hex": Vector(post("Content-Length: 0x3\r\n", "abc"), 400),
    "a length with an underline": Vector(post("Content-Length: 1_0\r\n", "abcdefghij"), 400),
    "an empty length": Vector(post("Content-Length: \r\n", "abc"), 400),
    "a negative length": Vector(post("Content-Length: -1\r\n", "abc"), 400),
    "a length of 30 digits": Vector(post(f"Content-Length: {'9' * 30}\r\n", "abc"), 400),
    "a folded header": Vector(post(f"X-A: b\r\n c\r\nContent-Length: 3\r\n{END}", "abc"), 200, once("abc")),
    "a folded length": Vector(post(f"Content-Length:\r\n 3\r\n{END}", "abc"), 200, once("abc")),
    "a folded coding": Vector(post(f"Transfer-Encoding:\r\n chunked\r\n{END}", CHUNKS), 200, once("abc")),
    "a fold before the first header": Vector("POST /a HTTP/1.1\r\n Host: HOST\r\n\r\n", 400),
    "a blank before the colon": Vector(post("Content-Length : 3\r\n", "abc"), 400),
    "a tab before the colon": Vector(post("Transfer-Encoding\t: chunked\r\n", CHUNKS), 400),
    "a header without a name": Vector(post(": x\r\n"), 400),
    "a header without a colon": Vector(post("Content-Length 3\r\n", "abc"), 400),
    "a bare CR in a value": Vector(post(f"X-A: b\rContent-Length: {SIZE}\r\n", EVIL), 400),
    "a NUL in a value": Vector(post("X-A: b\0c\r\n"), 400),
    "a bare CR in the request line": Vector("GET /a HTTP/1.1\rX: y\r\nHost: HOST\r\n\r\n", 400),
    "another coding": Vector(post("Transfer-Encoding: gzip, chunked\r\n", CHUNKS), 400),
    "a coding that only looks like it": Vector(post("Transfer-Encoding: xchunked\r\n", CHUNKS), 400),
    "a coding with a vertical tab": Vector(post("Transfer-Encoding: \x0bchunked\r\n", CHUNKS), 400),
    "two codings": Vector(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKS), 400),
    "a coding in capitals": Vector(post(f"TRANSFER-ENCODING: ChUnKeD\r\n{END}", CHUNKS), 200, once("abc")),
    "a coding in HTTP/1.0": Vector(post("Transfer-Encoding: chunked\r\n", CHUNKS, version="1.0"), 400),
    "a chunk's extension": Vector(
        post(f"Transfer-Encoding: chunked\r\n{END}", "3;a=b\r\nabc\r\n0;c\r\n\r\n"), 200, once("abc")
    ),
    "a trailer": Vector(
        post(f"Transfer-Encoding: chunked\r\n{END}", "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n"), 200, once("abc")
    ),
    "a chunk size beyond 64 bits": Vector(
        post("Transfer-Encoding: chunked\r\n", "1" * 21 + "\r\nabc\r\n0\r\n\r\n"), 400, once("broken")
    ),
    "a signed chunk size": Vector(
        post("Transfer-Encoding: chunked\r\n", "+3\r\nabc\r\n0\r\n\r\n"), 400, once("broken")
    ),
    "a chunk size in 0x": Vector(
        post("Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n"), 400, once("broken")
    ),
    "a chunk longer than it says": Vector(
        post("Transfer-Encoding: chunked\r\n", "3\r\nabcdef\r\n0\r\n\r\n"), 400, once("broken")
    ),
    "two requests in one": Vector(
        f"GET /a HTTP/1.1\r\nHost: HOST\r\n\r\nGET /b HTTP/1.1\r\nHost: HOST\r\n{END}\r\n",
        200,
        (("GET", "/a", ""), ("GET", "/b", "")),
    ),
    "a request after the last one": Vector(f"GET /a HTTP/1.1\r\nHost: HOST\r\n{END}\r\n{EVIL}", 200, once("", "GET")),
    "a whole address": Vector("GET http://HOST/a HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "another whole address": Vector("GET http://evil.example/a HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "a target with a fragment": Vector("GET /a#b HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "a target that only decoded is a path": Vector("GET %2Fa HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "a target with a blank": Vector("GET /a b HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "two slashes": Vector(
        f"GET //evil.example/a HTTP/1.1\r\nHost: HOST\r\n{END}\r\n", 200, once("", "GET", "//evil.example/a")
    ),
    "a tunnel": Vector("CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "a tunnel to a path": Vector(f"CONNECT /a HTTP/1.1\r\nHost: HOST\r\n\r\n{EVIL}", 400),
    "a method that is none": Vector("GE T /a HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "a method with a bracket": Vector("GET{} /a HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "another protocol that is not spoken": Vector(
        f"GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n{EVIL}",
        200,
        (("GET", "/a", ""), ("GET", "/evil", "")),
    ),
    "the preface of HTTP/2": Vector("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421),
    "a version that is none": Vector("GET /a HTTP/2.0\r\nHost: HOST\r\n\r\n", 400),
    "a handshake with a body": Vector(
        "GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: {SIZE}\r\n\r\n{EVIL}",
        400,
    ),
    "two hosts": Vector(f"GET /a HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n{END}\r\n", 400),
}


def on_the_wire(text: str, host: str) -> bytes:
    """Put in what depends on the port."""
    size = len(EVIL.replace("HOST", host))
    return text.replace("HOST", host).replace(SIZE, str(size)).encode("latin-1")


async def spoken(port: int, sent: bytes) -> bytes:
    """Send bytes; give everything that comes back until a short silence or the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        writer.write(sent)
        await writer.drain()
        wait = 5.0
        while piece := await asyncio.wait_for(reader.read(1 << 16), wait):
            received += piece
            wait = 0.3
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return received


async def told(stage: Any) -> list[Any]:
    """Give what reached the Worker since the last time; whatever lay in wait would come first or instead."""
    for _ in range(3):
        assert await stage.text("page", "/after") == "one"
    seen = json.loads(await stage.text("page", "/seen"))
    return [tuple(item) for item in seen if item[1] != "/after"]


@pytest.mark.thorough
def test_each_message_is_one_request_or_none(play: Callable[..., None]) -> None:
    """Every way to say the end of a message in two ways is refused or forwarded in one: nothing is smuggled."""

    async def story(stage: Any) -> None:
        stage.put("page", COUNTING)
        host = stage.host("page")
        wrong = {}
        for name, vector in VECTORS.items():
            answer = await spoken(stage.port, on_the_wire(vector.sent, host))
            status = int(answer.split(b" ", 2)[1]) if answer else None
            wanted = tuple((method, path, body.replace("HOST", host)) for method, path, body in vector.seen)
            # a request whose body breaks off may be over before the Worker has noted it
            seen = tuple(item for item in await told(stage) if item[2] != "broken")
            if (status, seen) != (vector.status, tuple(item for item in wanted if item[2] != "broken")):
                wrong[name] = (status, seen)
        assert wrong == {}

    play(story)


def test_a_body_is_framed_although_connection_lists_its_length(play: Callable[..., None]) -> None:
    """The Worker gets the whole body and its length, whatever `Connection` lists; other listed headers are dropped."""
    mirror = """
    export default { async fetch(request) {
      return Response.json([await request.text(), Object.fromEntries(request.headers)]);
    } };
    """

    async def story(stage: Any) -> None:
        stage.put("page", mirror)
        for name in ("content-length", "transfer-encoding", "x-mine, content-length, host"):
            headers = {"connection": name, "x-mine": "1"}
            body, seen = (await stage.call("page", method="POST", content=b"data", headers=headers)).json()
            assert (body, seen["content-length"], seen["host"]) == ("data", "4", stage.host("page")), name
            assert ("x-mine" in seen) is ("x-mine" not in name)

    play(story)


def test_a_worker_cannot_frame_its_answer_in_two_ways(play: Callable[..., None]) -> None:
    """What a Worker writes into the framing headers of its answer changes nothing of what the client reads after it."""
    source = """
    export default { fetch(request) {
      const [name, value] = decodeURIComponent(new URL(request.url).search.slice(1)).split(": ");
      if (!value) return new Response("one");
      try { return new Response("body", { headers: { [name]: value } }); }
      catch (error) { return new Response("body"); }
    } };
    """
    codings = ("Content-Length: 100", "Content-Length: 0", "Transfer-Encoding: gzip", "Connection: close")

    async def story(stage: Any) -> None:
        stage.put("page", source)
        for coding in codings:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            for path, body in ((f"/?{quote(coding)}", b"body"), ("/after", b"one")):
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {stage.host('page')}\r\n\r\n".encode())
                async with asyncio.timeout(60):
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    assert head.startswith(b"http/1.1 200")
                    assert head.count(b"content-length:") + head.count(b"transfer-encoding:") == 1
                    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    assert await reader.readexactly(length) == body, coding
            writer.close()

    play(story)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: 3\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\n\r\n",
        b"garbage\r\n\r\n",
    ],
)
def test_an_unclear_answer_is_none(raw: bytes) -> None:
    """An answer from the runtime whose end is told in two ways is not passed on."""

    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(raw)
        reader.feed_eof()
        start, headers = await http1.read_head(reader)
        http1.status_of(start)
        http1.length_of(headers)

    with pytest.raises(http1.Malformed):
        asyncio.run(read())


@pytest.mark.parametrize(
    "chunk", [b"+3\r\nabc\r\n", b"0x3\r\nabc\r\n", b"3\r\nabcdef\r\n", b" 3\r\nabc\r\n", b"\r\n", b"-1\r\n"]
)
def test_an_unclear_chunk_is_none(chunk: bytes) -> None:
    """A chunk whose size is no plain hexadecimal number, or not its size, ends the answer with an error."""

    async def read() -> list[bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(chunk + b"0\r\n\r\n")
        reader.feed_eof()
        return [piece async for piece, _ in http1.read_body(reader, -1)]

    with pytest.raises(http1.Malformed):
        asyncio.run(read())
