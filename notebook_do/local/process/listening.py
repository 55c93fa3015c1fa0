"""The two listening sockets on 127.0.0.1 and the connections on them, where uvicorn's own trust the client too much.

A head or a body that stops in the middle ends the connection after a while. An answer is not lost because the client
was still sending. How long and how many of a client's unwanted bytes are read is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from notebook_do.errors import TargetError
from notebook_do.local.runtime.http1 import FRAMING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PATIENCE = 20.0
"""How many seconds a client may stay silent in the middle of a head, or of a body that is read in one piece."""
BODY_PATIENCE = 6
"""How many times `PATIENCE` it may stay silent in the middle of a body that goes to a Worker which has not answered."""
DRAIN_SECONDS = 10.0
DRAIN_BYTES = 128 << 20
"""How much of a request is still read after its answer: many clients look for an answer only when all is sent."""
GARBAGE_BYTES = 1 << 20
"""How much is read of what is no HTTP."""


class _Lingering:
    """A transport whose `close` lets the client read what was written, although it is still sending."""

    def __init__(self, transport: asyncio.Transport, connection: HttpConnection) -> None:
        self._transport, self._connection = transport, connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        self._connection.linger()

    def is_closing(self) -> bool:
        return self._connection.lingering or self._transport.is_closing()


class HttpConnection(H11Protocol):
    """HTTP/1.1 with deadlines, and an end that resets no connection under an answer."""

    patience = PATIENCE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock with the connection."""
        self._wire, self.lingering, self._drained = transport, False, 0
        self._last_received = self._head_since = self.loop.time()
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]
        self._clock = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._clock.cancel()
        self.lingering = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what arrives; what comes after the answer is counted, and dropped where nobody will read it."""
        if self.lingering or self._answered_early():
            self._drained += len(data)
            if self._drained > (GARBAGE_BYTES if self.conn.their_state is h11.ERROR else DRAIN_BYTES):
                self._wire.abort()
                return
        if self.lingering:
            return
        self._last_received = self.loop.time()
        if not self._within_head():
            self._head_since = self._last_received
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Bound what is read of a request that was answered before it was whole."""
        super().on_response_complete()
        if self._answered_early() and not self.lingering:
            self._drained = 0
            self._clock.cancel()
            self._clock = self.loop.call_later(DRAIN_SECONDS, self._look)

    def linger(self) -> None:
        """Close the connection; where the client is still sending, end our side only and read on for a while.

        A socket that is closed with unread bytes in it sends a reset, which makes the client's kernel throw away the
        answer that the client has not read yet.
        """
        if self.lingering:
            return
        self.lingering = True
        if self._wire.is_closing() or not (self._answered_early() or self.conn.their_state is h11.ERROR):
            self._wire.close()
            return
        self._clock.cancel()
        self._clock = self.loop.call_later(DRAIN_SECONDS, self._wire.abort)
        with contextlib.suppress(OSError):  # the client went away meanwhile
            self._wire.write_eof()
        self._wire.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; in the middle of an answer only the connection's end can."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self._wire.abort()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the websocket protocol, without our deadlines; a handshake has no body."""
        # A body would be read as the first frames, though a proxy before us took it for a part of the handshake.
        if any(name in FRAMING and value != b"0" for name, value in self.headers):
            self.send_400_response("A websocket's handshake has no body.")
            return
        self.transport = self._wire
        super().handle_websocket_upgrade(event)

    def shutdown(self) -> None:
        """End with the server: a connection that only drains at once, another one after its answer."""
        if self.lingering:
            self._wire.abort()
        else:
            super().shutdown()

    def may_hold_a_request(self) -> bool:
        """Say whether something may have arrived that nobody works on yet: part of a head, or bytes not read so far."""
        if self.lingering or self._wire.is_closing() or self.conn.their_state not in {h11.IDLE, h11.DONE}:
            return False  # of a request whose body is read, the application runs
        return self._within_head() or readable(self._wire.get_extra_info("socket"))

    def _answered_early(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY and self.cycle is not None and bool(self.cycle.response_complete)

    def _within_head(self) -> bool:
        return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    def _look(self) -> None:
        """End the connection when its time is over, else look again then."""
        if self.lingering or self._wire.is_closing() or self._wire.get_protocol() is not self:
            return
        left = self._time_left()
        if left <= 0:
            self._wire.abort()
        else:
            self._clock = self.loop.call_later(max(left, 0.05), self._look)

    def _time_left(self) -> float:
        """Return for how many seconds the client may still be silent."""
        now = self.loop.time()
        if self.conn.their_state is h11.IDLE and (self.cycle is None or self._within_head()):
            # Since the head began: a client that sends one byte now and then must not hold the connection for ever.
            return self._head_since + self.patience - now
        if self._answered_early():
            return 0.0  # the clock was set when the answer was complete
        if self.conn.their_state is h11.SEND_BODY and self.cycle is not None and not self.cycle.response_started:
            if self.flow.read_paused:
                self._last_received = now  # it is the Worker that does not read
            return self._last_received + self.patience * BODY_PATIENCE - now
        return self.patience


def readable(place: Any) -> bool:
    """Say whether the kernel holds something for a socket: bytes or an end, or a connection for one that listens."""
    if place is None or place.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(place.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def patient(patience: float, connection: type[HttpConnection] = HttpConnection) -> type[HttpConnection]:
    """Return the protocol with another deadline: uvicorn makes its instances itself, so it cannot be an argument."""
    return type("Patient", (connection,), {"patience": patience})


_MASKED = 0x80
_NO_KEY = bytes(4)


class LenientFrames(WebSocketsSansIOProtocol):
    """Websockets that take unmasked frames from clients: wrangler's tail sends its first message so.

    A mask of four zero bytes says the same thing in the form that the protocol demands. `websockets` refuses unmasked
    frames, as RFC 6455 (5.1) asks, and has no switch for it.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with the handshake, which is not made of frames."""
        self._shaken = False
        self._masker = Masker()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass frames on, masked."""
        if self._shaken:
            data = self._masker.feed(data)
        self._shaken = True
        super().data_received(data)


class Masker:
    """Rewrites a stream of client frames so that every one is masked; payloads pass through unchanged."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they arrive; return those that can be passed on. The head of a frame is held until whole."""
        out, at = bytearray(), 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                out += piece
                at += len(piece)
                self._left -= len(piece)
                continue
            self._head.append(data[at])
            at += 1
            if len(self._head) == self._head_length():
                out += self._finish_head()
        return bytes(out)

    def _head_length(self) -> int:
        if len(self._head) < 2:
            return 2
        extended = {126: 2, 127: 8}.get(self._head[1] & 0x7F, 0)
        return 2 + extended + (4 if self._head[1] & _MASKED else 0)

    def _finish_head(self) -> bytes:
        head = bytes(self._head)
        short = head[1] & 0x7F
        size = {126: 2, 127: 8}.get(short, 0)
        self._left = int.from_bytes(head[2 : 2 + size], "big") if size else short
        self._head.clear()
        if head[1] & _MASKED:
            return head
        return bytes([head[0], head[1] | _MASKED]) + head[2:] + _NO_KEY


HEADER_BYTES = 64 << 10
_BACKLOG = 512


class Server(uvicorn.Server):
    """A server that leaves the signals to its process, which runs two of them, and ends as soon as it is told to.

    uvicorn looks for its end ten times a second and sleeps through it: a stop took three tenths of a second for that.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Capture no signals."""
        yield

    def end(self) -> None:
        """Let the server end: no connection is accepted from now on, and each closes after the answer it waits for."""
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        """Wait for the end; once a second the date that answers have is written anew."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listening sockets and the connections, and cancel what is not answered in time."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - no event for it
                    await asyncio.sleep(0.002)
        for task in self.server_state.tasks:
            task.cancel()


def server_of(
    app: ASGIApp | Any,
    *,
    frames: type[asyncio.Protocol] | None = None,
    connection: type[HttpConnection] = HttpConnection,
    patience: float = PATIENCE,
) -> Server:
    """Return the server of an application; `frames` is the protocol of its websockets where the usual one will not do.

    `patience` says for how many seconds a client may stay silent in the middle of a head.
    """
    config = uvicorn.Config(
        app,
        http=patient(patience, connection),
        ws=frames or "websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=65,  # uvicorn's 5 s are httpx's own: a request on a kept connection would meet its end
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return Server(config)


def bind(port: int, *, remembered: int = 0) -> socket.socket:
    """Listen on 127.0.0.1: on the asked port or not at all, on the remembered one if it is free, else on any."""
    for wanted in (port,) if port else (remembered, 0):
        try:
            return _listening(wanted)
        except OSError as error:
            if port and error.errno in (errno.EADDRINUSE, errno.EACCES):
                why = "is in use" if error.errno == errno.EADDRINUSE else "may not be opened by this user"
                raise TargetError(f"port {port} {why}: choose another one, or 0 for any") from None
            if not wanted:
                raise
    raise AssertionError


def _listening(port: int) -> socket.socket:
    """Listen with the protocol named: asyncio sets TCP_NODELAY on accepted sockets only where it sees IPPROTO_TCP.

    Without it every answer on a connection that is used again waits 40 ms for the client's acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
