"""Speaks HTTP/1.1 to one workerd socket: pooled connections, bodies streamed both ways, nothing buffered.

The rule kept here: a request is sent once. A pooled connection that is no longer good is noticed before it is
used, never by sending a request twice.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.local import http1

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from notebook_do.local.http1 import Headers

_KEEP = 2.0  # seconds; workerd closes a connection that was idle for five


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole response, for the callers that want it in one piece."""

    status: int
    headers: Headers
    body: bytes


class Exchange:
    """One request and its response on one connection; `begin` and `end` before `response`, then `body`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over a connection."""
        self.reader, self.writer = reader, writer
        self.used = time.monotonic()
        self._chunked = self._sent = self._received = self._closing = False
        self._method = b""
        self._length: int | None = None

    @property
    def fresh(self) -> bool:
        """Tell whether the connection can carry another request."""
        idle = time.monotonic() - self.used
        return idle < _KEEP and not self.reader.at_eof() and not self.writer.is_closing()

    def begin(self, method: bytes, target: bytes, headers: Headers, *, chunked: bool = False) -> None:
        """Send the head of the request; `chunked` when its body has no length."""
        self._method, self._chunked = method, chunked
        self._sent = self._received = False
        more = [(b"transfer-encoding", b"chunked")] if chunked else []
        self.writer.write(http1.head(method, target, [*headers, *more]))

    async def send(self, data: bytes) -> None:
        """Send a piece of the request's body."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self.writer.drain()

    def end(self) -> None:
        """Say that the request is whole."""
        if self._chunked:
            self.writer.write(b"0\r\n\r\n")
        self._sent = True

    async def response(self) -> tuple[int, Headers]:
        """Wait for status and headers; raises ConnectionError when workerd goes away first."""
        status = 100
        while status < 200:
            start, headers = await http1.read_head(self.reader)
            status = int(start.split(b" ", 2)[1])
        self._closing = (b"connection", b"close") in headers
        bodiless = self._method == b"HEAD" or status in {204, 304}
        self._length = 0 if bodiless else http1.length_of(headers)
        return status, headers

    async def body(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Give the pieces of the response's body as they come, each with whether more may follow."""
        async for piece in http1.read_body(self.reader, self._length):
            yield piece
        self._received = True

    def recycle(self) -> bool:
        """Make ready for another request; False when the connection is used up."""
        self.used = time.monotonic()
        return self._sent and self._received and not self._closing and self._length is not None


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
        return Exchange(*await asyncio.open_unix_connection(self.path, limit=http1.HEAD_LIMIT))

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
            status, answered = await exchange.response()
            content = b"".join([piece async for piece, _ in exchange.body()])
        except BaseException:
            self.drop(exchange)
            raise
        self.done(exchange)
        return Answer(status=status, headers=answered, body=content)
