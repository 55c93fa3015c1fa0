"""A Worker may answer before it has read the request: its answer arrives, whatever becomes of the rest of the body."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from sharing import thinned

from notebook_do.local.process import listening
from notebook_do.local.runtime.upstream import Exchange, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EARLY = 'export default { fetch() { return new Response("early", { status: 403 }); } };'
LARGE = """
export default { fetch(request) {
  if (request.method === "GET") return new Response("one");
  return new Response("x".repeat(5000000));
} };
"""


@pytest.mark.parametrize(("size", "chunked"), thinned([2, 3 << 20], [False, True], of=2))
def test_an_early_answer_arrives_every_time(play: Callable[..., None], size: int, *, chunked: bool) -> None:
    """Forty requests on one kept connection, each with a body that nobody reads: each gets the Worker's own answer."""

    async def pieces() -> Any:
        yield b"x" * size

    async def story(stage: Any) -> None:
        stage.put("page", EARLY)
        for _ in range(40):
            content = pieces() if chunked else b"x" * size
            answer = await stage.call("page", method="POST", content=content)
            assert (answer.status_code, answer.text) == (403, "early")

    play(story)


@pytest.mark.parametrize(("size", "chunked", "version"), thinned([2, 3 << 20], [False, True], ["1.1", "1.0"], of=3))
def test_a_client_that_reads_late_finds_the_answer(
    play: Callable[..., None], size: int, version: str, *, chunked: bool
) -> None:
    """With `Connection: close` too: the client sends all of its body before it reads, in pieces, and is not cut off."""
    if chunked and version == "1.0":
        pytest.skip("HTTP/1.0 has no chunks")

    async def story(stage: Any) -> None:
        stage.put("page", EARLY)
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        head = f"POST / HTTP/{version}\r\nHost: {stage.host('page')}\r\nConnection: close\r\n{framing}\r\n\r\n"
        for _ in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(head.encode())
            await writer.drain()
            await asyncio.sleep(0.02)  # the answer is there before the body
            for _ in range(2):
                half = b"x" * (size // 2)
                writer.write(b"%x\r\n%b\r\n" % (len(half), half) if chunked else half)
                await writer.drain()
            writer.write(b"0\r\n\r\n" if chunked else b"")
            await writer.drain()
            async with asyncio.timeout(60):
                answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 403"), answer
            assert answer.endswith(b"early")
            writer.close()

    play(story)


def test_a_large_early_answer_arrives_whole(play: Callable[..., None]) -> None:
    """Five megabytes come back while three that nobody reads still go out; the connection then carries another call."""

    async def story(stage: Any) -> None:
        stage.put("page", LARGE)
        for _ in range(5):
            answer = await stage.call("page", method="POST", content=b"x" * (3 << 20))
            assert (answer.status_code, len(answer.content)) == (200, 5_000_000)
            assert await stage.text("page") == "one"

    play(story)


@pytest.mark.parametrize("ending", ["closes", "resets", "stays"])
def test_an_answer_is_read_although_the_request_cannot_be_written(tmp_path: Path, ending: str) -> None:
    """A server answers without reading, and closes, resets or stays: the answer is read, the connection used up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(1)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
        await writer.drain()
        if ending == "stays":
            answered.set()
            await reader.read()
            writer.close()
            return
        if ending == "resets":
            writer.transport.abort()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        answered.set()

    async def sending(exchange: Exchange) -> None:
        for _ in range(100):
            await exchange.send(b"x")

    async def ask(upstream: Upstream) -> bytes:
        exchange = await upstream.exchange()
        answered.clear()
        await exchange.begin(b"POST", b"/", [(b"host", b"x")], length=100)
        await answered.wait()
        if ending != "stays":
            with pytest.raises(ConnectionError):
                await sending(exchange)
        assert (await exchange.response())[0] == 200
        content = b"".join([piece async for piece, _ in exchange.body()])
        upstream.done(exchange)
        return content

    async def story() -> None:
        server = await asyncio.start_unix_server(serve, tmp_path / "s", limit=1 << 10)
        upstream = Upstream(tmp_path / "s")
        assert [await ask(upstream), await ask(upstream)] == [b"early", b"early"]
        assert len(served) == 2
        upstream.close()
        server.close()

    served: list[int] = []
    answered = asyncio.Event()
    asyncio.run(story())


def test_what_is_taken_after_an_answer_is_bounded(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that goes on sending after its answer is cut off: after so many bytes, or after so many seconds."""
    monkeypatch.setattr(listening, "DRAIN_BYTES", 1 << 20)
    monkeypatch.setattr(listening, "DRAIN_SECONDS", 0.5)

    async def endless(writer: asyncio.StreamWriter, pause: float) -> None:
        while True:
            writer.write(b"x" * (1 if pause else 1 << 16))
            await writer.drain()
            await asyncio.sleep(pause)

    async def story(stage: Any) -> None:
        stage.put("page", EARLY)
        for kept in ("keep-alive", "close"):
            for pause in (0.0, 0.1):
                reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
                head = f"POST / HTTP/1.1\r\nHost: {stage.host('page')}\r\nConnection: {kept}\r\n"
                writer.write(f"{head}Content-Length: 100000000\r\n\r\n".encode())
                assert (await reader.readuntil(b"early")).startswith(b"HTTP/1.1 403")
                async with asyncio.timeout(60):
                    with pytest.raises(ConnectionError):
                        await endless(writer, pause)
                writer.close()

    play(story)


def test_a_runtime_that_is_gone_is_one_line(play: Callable[..., None]) -> None:
    """A Worker whose process ends while it is asked gets 502 and a line, with a body under way as well."""
    source = """
    export default { async fetch(request, env) {
      await (await env.BELL.fetch(request.url)).text();
      await new Promise((r) => setTimeout(r, 600000));
      return new Response("late");
    } };
    """

    async def story(stage: Any) -> None:
        stage.put("bell", LARGE)
        stage.put("page", source, bindings=({"type": "service", "name": "BELL", "service": "bell"},))
        asked = asyncio.create_task(stage.call("page", method="POST", content=b"x" * (3 << 20)))
        await stage.event("bell", bool)
        os.kill(stage.pid("page"), signal.SIGKILL)
        answer = await asked
        assert answer.status_code == 502
        assert answer.text == 'Worker "page": the runtime ended while it was answering; try again.\n'

    play(story)
