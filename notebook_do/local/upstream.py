"""Speaks HTTP/1.1 to one workerd socket: pooled connections, bodies streamed both ways, nothing buffered.

The rule kept here: a request is sent once. A pooled connection that is no longer good is noticed before it is
used, never by sending a request twice.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

Headers = list[tuple[bytes, bytes]]
_CHUNK = 1 << 16
_KEEP = 2.0  # seconds; workerd closes a connection that was idle for five


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole response, for the callers that want it in one piece."""

    status: int
    headers: Headers
    body: bytes


class Exchange:
    """One request and its response on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over a connection; `begin` comes first."""
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        self.used = time.monotonic()

    @property
    def fresh(self) -> bool:
        """Tell whether the connection can carry another request."""
        idle = time.monotonic() - self.used
        return idle < _KEEP and not self.reader.at_eof() and not self.writer.is_closing()

    def begin(self, method: bytes, target: bytes, headers: Headers) -> None:
        """Send the head of the request."""
        request = h11.Request(method=method, target=target, headers=headers)
        self.writer.write(self.http.send(request) or b"")

    async def send(self, data: bytes) -> None:
        """Send a piece of the request's body."""
        self.writer.write(self.http.send(h11.Data(data=data)) or b"")
        await self.writer.drain()

    def end(self) -> None:
        """Say that the request is whole."""
        self.writer.write(self.http.send(h11.EndOfMessage()) or b"")

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(_CHUNK))
        return event

    async def response(self) -> h11.Response:
        """Wait for the head of the response; raises ConnectionError when workerd goes away first."""
        try:
            while not isinstance(event := await self._next(), h11.Response):
                if not isinstance(event, h11.InformationalResponse):
                    raise ConnectionResetError("the runtime closed the connection without an answer")
        except h11.RemoteProtocolError as error:
            raise ConnectionResetError(str(error)) from None
        return event

    async def body(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Give the pieces of the response's body as they come, each with whether more may follow."""
        try:
            event = await self._next()
            while isinstance(event, h11.Data):
                following = self.http.next_event()  # often the end is here already
                yield bytes(event.data), not isinstance(following, h11.EndOfMessage)
                event = await self._next() if following is h11.NEED_DATA else following
        except h11.RemoteProtocolError as error:
            raise ConnectionResetError(str(error)) from None

    def recycle(self) -> bool:
        """Make ready for another request; False when the connection is used up."""
        if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        self.used = time.monotonic()
        return True


class Upstream:
    """The way to one unix socket, with the connections that are idle now."""

    def __init__(self, path: Path) -> None:
        """Remember the socket; nothing is opened."""
        self.path = path
        self._idle: list[Exchange] = []
        self._closed = False

    async def exchange(self) -> Exchange:
        """Give a connection for one request; the caller hands it back with `done` or `drop`."""
        while self._idle:
            known = self._idle.pop()
            if known.fresh:
                return known
            self.drop(known)
        return Exchange(*await asyncio.open_unix_connection(self.path, limit=_CHUNK * 2))

    def done(self, exchange: Exchange) -> None:
        """Take back a connection whose response was read to its end."""
        if not self._closed and exchange.recycle():
            self._idle.append(exchange)
        else:
            self.drop(exchange)

    def drop(self, exchange: Exchange) -> None:
        """Close a connection; workerd then cancels what it was doing for it."""
        exchange.writer.close()

    def close(self) -> None:
        """Close all idle connections, and those in use when they come back."""
        self._closed = True
        while self._idle:
            self.drop(self._idle.pop())

    async def fetch(
        self, method: str, path: str, *, host: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> Answer:
        """Send one small request and read the whole answer."""
        head = [(b"host", host.encode()), (b"content-length", str(len(body)).encode()), *headers]
        exchange = await self.exchange()
        try:
            exchange.begin(method.encode(), path.encode(), head)
            if body:
                await exchange.send(body)
            exchange.end()
            response = await exchange.response()
            content = b"".join([piece async for piece, _ in exchange.body()])
        except BaseException:
            self.drop(exchange)
            raise
        self.done(exchange)
        return Answer(status=response.status_code, headers=list(response.headers), body=content)
