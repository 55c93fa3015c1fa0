"""A client's connection on either port: its socket's options, and the deadlines of what stops in the middle."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do
from notebook_do.local.process import listening
from notebook_do.local.process.listening import bind, server_of

if TYPE_CHECKING:
    from collections.abc import Callable

HELLO = 'export default { async fetch(request) { return new Response("hello " + await request.text()); } };'


def test_an_accepted_socket_sends_at_once() -> None:
    """TCP_NODELAY is set on the sockets that both servers accept, because the listener is made with IPPROTO_TCP."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def story() -> list[int]:
        listener = bind(0)
        assert listener.proto == socket.IPPROTO_TCP
        server = server_of(app)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.001)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        accepted = [one.transport.get_extra_info("socket") for one in server.server_state.connections]
        found = [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in accepted]
        writer.close()
        server.end()
        await serving
        return found

    (option,) = asyncio.run(story())
    assert option


def test_nobody_else_makes_a_listening_socket() -> None:
    """Each TCP listener of the package comes from `bind`; the others are unix sockets."""
    root = Path(notebook_do.__file__).parent
    makes = re.compile(r"create_server\(|start_server\(|\.listen\(")
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if makes.search(path.read_text())}
    assert found == {"local/process/listening.py"}


async def closed_after(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, *pieces: bytes) -> float:
    """Send pieces, half a second apart, and give how long it took until the server closed."""
    started = time.monotonic()
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.2)
        while await reader.read(1 << 16):
            pass
    except ConnectionError:
        pass
    writer.close()
    return time.monotonic() - started


HEAD = "POST / HTTP/1.1\r\nHost: HOST\r\n"


@pytest.mark.parametrize(
    ("before", "pieces", "seconds"),
    [
        ("", [HEAD], 1.5),
        ("", [HEAD, *("X-A: b\r\n" for _ in range(20))], 1.5),
        ("kept", [HEAD], 1.5),
        ("kept", [HEAD, *("X-A: b\r\n" for _ in range(20))], 1.5),
        ("", [HEAD + "Content-Length: 10\r\n\r\nabc"], 3),
        ("kept", [HEAD + "Transfer-Encoding: chunked\r\n\r\n5\r\nab"], 3),
    ],
    ids=["head", "head-in-drops", "second-head", "second-head-in-drops", "body", "second-body"],
)
def test_what_stops_in_the_middle_is_closed(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch, before: str, pieces: list[str], seconds: float
) -> None:
    """A head that does not end in time and a body that falls silent end the connection, the second request's too."""
    monkeypatch.setattr(listening, "BODY_PATIENCE", 2)

    async def story(stage: Any) -> None:
        stage.put("page", HELLO)
        await stage.text("page")
        host = stage.host("page")
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        if before:
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            await reader.readuntil(b"hello ")
        async with asyncio.timeout(60):
            took = await closed_after(writer, reader, *(piece.replace("HOST", host).encode() for piece in pieces))
        assert took >= seconds - 0.2
        assert await stage.text("page") == "hello "

    play(story, patience=1.5)  # a busy machine may need a second between a connection and its first byte


def test_a_slow_body_and_a_slow_answer_are_left_alone(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trickling body, a streaming answer, a Worker that thinks and a quiet socket outlive the deadline."""
    monkeypatch.setattr(listening, "BODY_PATIENCE", 2)
    source = """
    const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
    export default { async fetch(request) {
      const path = new URL(request.url).pathname;
      if (path === "/think") { await sleep(3500); return new Response("thought"); }
      if (path === "/body") return new Response(await request.text());
      if (path === "/echo") return new Response(request.body);
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", ({ data }) => server.send(data));
      return new Response(null, { status: 101, webSocket: client });
    } };
    """

    async def drops() -> Any:
        for _ in range(14):
            yield b"x"
            await asyncio.sleep(0.25)

    async def echoed(stage: Any) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        head = (
            f"POST /echo HTTP/1.1\r\nHost: {stage.host('page')}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        )
        writer.write(f"{head}\r\n1\r\na\r\n".encode())
        await reader.readuntil(b"1\r\na\r\n")
        await asyncio.sleep(3.5)  # the answer has begun: both sides may wait as long as they like
        writer.write(b"1\r\nb\r\n0\r\n\r\n")
        return await reader.read()

    async def spoken(stage: Any) -> Any:
        from websockets.asyncio.client import connect

        uri = f"ws://{stage.host('page')}/socket"
        async with connect(uri, host="127.0.0.1", port=stage.port, proxy=None) as sock:
            await asyncio.sleep(3.5)
            await sock.send("still here")
            return await sock.recv()

    async def story(stage: Any) -> None:
        stage.put("page", source)
        await stage.text("page", "/body")  # its process starts
        thought, body, echo, said = await asyncio.gather(
            stage.text("page", "/think"),
            stage.text("page", "/body", method="POST", content=drops()),
            echoed(stage),
            spoken(stage),
        )
        assert (thought, body, said) == ("thought", "x" * 14, "still here")
        assert echo.startswith(b"1\r\nb\r\n")

    play(story, patience=1.5)
