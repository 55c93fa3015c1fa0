"""The connections of a client, against real sockets: kept, dropped where the other side closed them, never shared."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.cloudflare.client import Client
from notebook_do.cloudflare.retry import Pace
from notebook_do.credentials.token import Token
from notebook_do.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

YES = b'{"success": true, "errors": [], "result": {"id": "a"}}'


def answer(status: str = "200 OK", body: bytes = YES) -> bytes:
    """Write one answer."""
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[Callable[[], Client]]:
    """Serve each connection by `serve`, and give what makes clients, as each operation makes one."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/client/v4"
    token = Token("0123456789abcdef0123456789abcdef01234567")
    async with server:
        yield lambda: Client(base, "a" * 32, token, pace=Pace(attempts=1))


@asynccontextmanager
async def client_of(serve: Serve) -> AsyncIterator[Client]:
    """Serve each connection by `serve`, and give a client whose reads are sent once."""
    async with served(serve) as new, new() as client:
        yield client


class Counting:
    """Answers every request, and knows of each connection how many it carried."""

    def __init__(self, *, then_closes: bool = False) -> None:
        self.carried: list[int] = []
        self.then_closes = then_closes

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        place = len(self.carried)
        self.carried.append(0)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(0.01)
                self.carried[place] += 1
                writer.write(answer())
                if self.then_closes:
                    break
        except asyncio.IncompleteReadError:
            pass
        writer.close()


@pytest.fixture
def long_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have connections kept for longer than any pause of a busy machine."""
    monkeypatch.setattr("notebook_do.cloudflare.http.KEPT_SECONDS", 600.0)


@pytest.mark.usefixtures("long_kept")
def test_connections_are_kept() -> None:
    """Requests one after the other go over one connection; eight at a time take eight, again and again."""
    serve = Counting()

    async def ask() -> None:
        async with client_of(serve) as client:
            for _ in range(3):
                await client.get_account()
            for _ in range(4):
                await asyncio.gather(*(client.get_account() for _ in range(8)))

    asyncio.run(ask())
    assert serve.carried[0] >= 4
    assert len(serve.carried) == 8
    assert sum(serve.carried) == 35


@pytest.mark.usefixtures("long_kept")
def test_a_deploy_goes_on_with_the_connections_of_its_plan() -> None:
    """One operation after the other, or two at once, share connections; each request has one for itself."""
    serve = Counting()

    async def ask() -> None:
        async with served(serve) as new:
            for _ in range(3):
                async with new() as client:
                    await client.get_account()
            async with new() as one, new() as other:
                await asyncio.gather(one.get_account(), other.get_account())

    asyncio.run(ask())
    assert sorted(serve.carried) == [1, 4]


def test_connections_that_nobody_uses_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A while after the last operation they are closed, and the next one takes a new one."""
    monkeypatch.setattr("notebook_do.cloudflare.http.KEPT_SECONDS", 0.02)
    serve, ended = Counting(), asyncio.Semaphore(0)

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        ended.release()

    async def ask() -> None:
        async with served(counted) as new:
            async with new() as client:
                await client.get_account()
            await asyncio.wait_for(ended.acquire(), 60)
            async with new() as client:
                await client.get_account()

    asyncio.run(ask())
    assert serve.carried == [1, 1]


def test_connections_end_with_their_loop() -> None:
    """A loop that ends its tasks, as each does, closes the connections that it still keeps."""
    listener, then = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        connection, _ = listener.accept()
        with listener, connection:
            connection.recv(1 << 16)
            connection.sendall(answer())
            then.append(connection.recv(1))

    async def ask() -> None:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}/client/v4"
        async with Client(base, "a" * 32, Token("0123456789abcdef0123456789abcdef01234567")) as client:
            await client.get_account()

    serving = threading.Thread(target=serve)
    serving.start()
    asyncio.run(ask())
    serving.join(60)
    assert then == [b""]


def test_a_connection_that_the_other_side_closed_is_not_used() -> None:
    """A server may close what is idle, without a word in its answer: the next request takes a new connection."""
    serve = Counting(then_closes=True)

    async def ask() -> None:
        async with client_of(serve) as client:
            for _ in range(3):
                await client.get_account()
                await asyncio.sleep(0.02)

    asyncio.run(ask())
    assert serve.carried == [1, 1, 1]


def test_what_is_cancelled_spoils_no_connection() -> None:
    """The answer to a request that was given up is never taken for that of the next one."""
    places: list[int] = []

    async def ask() -> Any:
        asked, given_up, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            places.append(len(places))
            place = places[-1]
            while await reader.read(1 << 16):
                asked.set()
                if place == 0:
                    await given_up.wait()
                writer.write(answer(body=YES.replace(b'"a"', b'"%d"' % place)))
                answered.set()

        async with client_of(serve) as client:
            first = asyncio.ensure_future(client.get_account())
            await asked.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            given_up.set()
            await answered.wait()
            await asyncio.sleep(0.05)  # on a connection that was kept the answer would have come
            return await client.get_account()

    assert asyncio.run(ask()) == {"id": "1"}


def test_head_and_body_leave_together() -> None:
    """A small upload is in what the server reads first: no packet of its own for the head."""
    pieces: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces.append(await reader.read(1 << 16))
        writer.write(answer())

    async def ask() -> None:
        async with client_of(serve) as client:
            await client.set_tags("w", ("one", "two"))

    asyncio.run(ask())
    assert pieces[0].startswith(b"PATCH ")
    assert pieces[0].endswith(b'\r\n\r\n{"tags":["one","two"]}')


def test_an_answer_that_comes_before_all_was_sent() -> None:
    """A server that refuses a large upload before all of it is there is understood."""
    refused = b'{"success": false, "errors": [{"code": 10027, "message": "too large"}], "result": null}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer("413 Payload Too Large", refused))
        await writer.drain()
        while await reader.read(1 << 16):  # else the end of the connection may overtake the answer
            continue
        writer.close()

    async def ask() -> None:
        async with client_of(serve) as client:
            await client.set_tags("w", ("x" * (1 << 22),))

    with pytest.raises(ApiError, match="too large") as caught:
        asyncio.run(ask())
    assert (caught.value.status, caught.value.code) == (413, 10027)


def test_where_no_answer_comes() -> None:
    """A connection that ends in the middle proves nothing of a mutation; one that was never made proves that it is not.

    The message names httpx's error as before.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def ask(*, gone: bool) -> None:
        async with client_of(serve) as client:
            if gone:
                client.base_url = "http://127.0.0.1:1/client/v4"
            await client.set_tags("w", ())

    with pytest.raises(NoAnswer, match=r"the answer was lost \(RemoteProtocolError\) at PATCH") as lost:
        asyncio.run(ask(gone=False))
    with pytest.raises(NoAnswer, match=r"it cannot be reached \(ConnectError\) at PATCH") as unsent:
        asyncio.run(ask(gone=True))
    assert (lost.value.sent, unsent.value.sent) == (True, False)
