"""The way to one workerd socket: pooled connections of HTTP/1.1, bodies streamed both ways, nothing buffered.

A request is sent once: a call of an object may not be repeated without being asked to. So a pooled connection that is
no longer good is noticed before it is used, never by sending a request twice.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.local.runtime import http1
from notebook_do.local.runtime.http1 import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from notebook_do.local.runtime.http1 import Headers, Wire

_KEEP = 2.0
"""Seconds that a connection is kept idle: less than the five after which workerd closes it, as it may just do so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeAnswer:
    """A whole response, for callers that want it in one piece."""

    status: int
    headers: Headers
    body: bytes


class Exchange:
    """One request and its response on one connection; `begin` and `end` before `response`, then `body`."""

    def __init__(self, wire: Wire) -> None:
        """Take over a connection."""
        self._wire, self._reader = wire, wire.reader
        self.used = time.monotonic()
        self._sent = self._received = self._closing = self._early = False
        self._method = b""
        self._unsent = b""
        self._left = 0
        self._length: int | None = None

    @property
    def fresh(self) -> bool:
        """Say whether the connection can carry another request."""
        # An end, or bytes that nobody asked for, were seen before the next request is sent and never by it.
        idle = time.monotonic() - self.used
        return idle < _KEEP and not self._reader.at_eof() and not self._reader.unread and not self._wire.closed

    async def begin(self, method: bytes, target: bytes, headers: Headers, *, length: int = 0) -> None:
        """Send the head of a request whose body has `length` bytes, -1 when that is not known.

        How the message is framed is written here and nowhere else: `headers` must not say it.
        """
        self._method, self._left = method, length
        self._sent = self._received = self._early = False
        await self._wire.send(http1.head(method, target, [*headers, *http1.framing(method, length)]))

    def ask(
        self, method: bytes, target: bytes, headers: Headers, body: bytes, arrived: Callable[[WholeAnswer | None], None]
    ) -> None:
        """Send a whole request without waiting, and call `arrived` once: with its answer, if that comes in one piece.

        Else with None: then `finish` sends what may be left of the request, and `response` reads the answer.
        """
        self._method, self._left = method, 0
        self._sent = self._received = self._early = False
        head = http1.head(method, target, [*headers, *http1.framing(method, len(body))])

        def take(data: bytes) -> bool:
            found = http1.whole_answer(data) if self._sent else None
            if found is None:
                arrived(None)
                return False
            status, answered, content = found
            self._received, self._length, self._closing = True, len(content), http1.closes(answered)
            arrived(WholeAnswer(status=status, headers=http1.unframed(answered, len(content)), body=content))
            return True

        message = head + body
        try:
            self._unsent = message[self._wire.send_now(message) :]
        except BlockingIOError:
            self._unsent = message
        except OSError:  # nothing is read there any more; what was said before that is read as usual
            self._wire.on_first(None)
            asyncio.get_running_loop().call_soon(arrived, None)
            return
        self._sent = not self._unsent
        if self._sent:
            self._wire.on_first(take)
        else:
            asyncio.get_running_loop().call_soon(arrived, None)

    async def finish(self) -> None:
        """Send what `ask` could not send at once; raises as `send`."""
        unsent, self._unsent = self._unsent, b""
        if unsent:
            await self._wire.send(unsent)
            self._sent = True

    async def send(self, data: bytes) -> None:
        """Send a piece of the request's body; raises ConnectionError when workerd reads no more of it."""
        if self._left < 0:
            await self._wire.send(b"%x\r\n%b\r\n" % (len(data), data))
        elif len(data) > self._left:
            raise ValueError("more body than was announced")
        else:
            self._left -= len(data)
            await self._wire.send(data)

    async def end(self) -> None:
        """Finish the request's body."""
        if self._left < 0:
            await self._wire.send(b"0\r\n\r\n")
        self._sent = self._left <= 0

    async def response(self) -> tuple[int, Headers]:
        """Wait for status and headers; raises ConnectionError when workerd goes away first."""
        status = 100
        while status < 200:  # 1xx come before the answer (RFC 9110, 15.2)
            start, headers = await http1.read_head(self._reader)
            status = http1.status_of(start)
        self._early = not self._sent  # workerd may answer, and close, before it has read the request
        self._closing = http1.closes(headers)
        length = http1.length_of(headers)
        if self._method == b"HEAD" or status == 304:  # a length here is that of another answer (RFC 9110, 8.6)
            self._length = 0
            return status, http1.unframed(headers, None)
        self._length = 0 if status == 204 else length
        return status, http1.unframed(headers, -1 if status == 204 else length)

    async def body(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Yield the pieces of the response's body as they come, each with whether more may follow."""
        async for piece in http1.read_body(self._reader, self._length):
            yield piece
        if self._length is None and self._wire.broken:  # a body without a length is whole only if the end was orderly
            raise ConnectionResetError("the body broke off")
        self._received = True

    def recycle(self) -> bool:
        """Make ready for another request; False when the connection is used up.

        It also is when the answer came before the request was whole: nobody knows how much of the rest workerd reads,
        and what it does not read it would take for the next request.
        """
        self.used = time.monotonic()
        known = self._sent and not self._early and not self._closing and not self._reader.unread
        return known and self._received and self._length is not None

    def close(self) -> None:
        """Close the connection; workerd then cancels what it was doing for it. Not while a `send` is under way."""
        self._wire.close()


class Upstream:
    """The way to one unix socket, with the connections that are idle now."""

    def __init__(self, path: Path) -> None:
        """Remember the socket; nothing is opened."""
        self.path = path
        self._idle: list[Exchange] = []
        self._closed = False

    async def exchange(self) -> Exchange:
        """Return a connection for one request; the caller hands it back with `done` or `drop`."""
        return self.idle() or Exchange(await connect(self.path, limit=http1.HEAD_LIMIT))

    def idle(self) -> Exchange | None:
        """Return a connection that is open already, if there is one, as `exchange` does."""
        while self._idle:
            known = self._idle.pop()  # the youngest: the surplus of a busy moment grows old and is dropped
            if known.fresh:
                return known
            self.drop(known)
        return None

    def done(self, exchange: Exchange) -> None:
        """Take back a connection whose response was read to its end."""
        if not self._closed and exchange.recycle():
            self._idle.append(exchange)
        else:
            self.drop(exchange)

    def drop(self, exchange: Exchange) -> None:
        """Close a connection; workerd then cancels what it was doing for it."""
        exchange.close()

    def close(self) -> None:
        """Close all idle connections, and those in use when they come back."""
        self._closed = True
        while self._idle:
            self.drop(self._idle.pop())

    async def fetch(
        self, method: str, path: str, *, host: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> WholeAnswer:
        """Send one small request and read the whole answer."""
        head = [(b"host", host.encode()), *headers]
        exchange = await self.exchange()
        try:
            await exchange.begin(method.encode(), path.encode(), head, length=len(body))
            if body:
                await exchange.send(body)
            await exchange.end()
            status, answered = await exchange.response()
            content = b"".join([piece async for piece, _ in exchange.body()])
        except BaseException:
            self.drop(exchange)  # half an answer may be in it
            raise
        self.done(exchange)
        return WholeAnswer(status=status, headers=answered, body=content)
