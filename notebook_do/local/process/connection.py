"""One client's connection on either port, where uvicorn's own is too trusting or too quick.

The rules kept here: a head or a body that stops in the middle ends the connection after a while; an answer is not
lost because the client was still sending; how long a client's unwanted bytes are taken is bounded.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from notebook_do.local.runtime.http1 import FRAMING

if TYPE_CHECKING:
    import asyncio

PATIENCE = 20.0
"""How many seconds a client may stay silent in the middle of a head, or of a body that is read in one piece."""
BODY_PATIENCE = 6
"""How many times as long it may in the middle of a body that a Worker reads, as long as that has not answered."""
DRAIN_SECONDS = 10.0
DRAIN_BYTES = 128 << 20
"""How much of a request is still taken after its answer, so that a client that reads only then finds the answer."""
GARBAGE_BYTES = 1 << 20
"""How much of what is no HTTP."""


class _Lingering:
    """A transport whose `close` lets the client read what was written, although it is still sending."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport, self._connection = transport, connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        self._connection.linger()

    def is_closing(self) -> bool:
        return self._connection.lingering or self._transport.is_closing()


class Connection(H11Protocol):
    """HTTP/1.1 with deadlines, and an end that resets no connection under an answer."""

    patience = PATIENCE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock with the connection."""
        self._wire, self.lingering, self._drained = transport, False, 0
        self._heard = self._head_since = self.loop.time()
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]
        self._clock = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._clock.cancel()
        self.lingering = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what arrives, as long as it is part of something."""
        if self.lingering or self._answered_early():
            self._drained += len(data)
            if self._drained > (GARBAGE_BYTES if self.conn.their_state is h11.ERROR else DRAIN_BYTES):
                self._wire.abort()
                return
        if self.lingering:
            return
        self._heard = self.loop.time()
        if not self._within_head():
            self._head_since = self._heard
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Bound what is taken of a request that was answered before it was whole."""
        super().on_response_complete()
        if self._answered_early() and not self.lingering:
            self._drained = 0
            self._clock.cancel()
            self._clock = self.loop.call_later(DRAIN_SECONDS, self._look)

    def linger(self) -> None:
        """Close; where the client is still sending, say so, and read on for a while: unread bytes would reset all."""
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
        """Refuse what is no HTTP; in the middle of an answer only the end says it."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self._wire.abort()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection to the websocket protocol, with nothing between; a handshake has no body."""
        if any(name in FRAMING and value != b"0" for name, value in self.headers):
            self.send_400_response("A websocket's handshake has no body.")
            return
        self.transport = self._wire
        super().handle_websocket_upgrade(event)

    def shutdown(self) -> None:
        """Begin to end with the server."""
        if self.lingering:
            self._wire.abort()
        else:
            super().shutdown()

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
        """Say how long the client may still be silent."""
        now = self.loop.time()
        if self.conn.their_state is h11.IDLE and (self.cycle is None or self._within_head()):
            return self._head_since + self.patience - now
        if self._answered_early():
            return 0.0  # the clock was set when the answer was complete
        if self.conn.their_state is h11.SEND_BODY and self.cycle is not None and not self.cycle.response_started:
            if self.flow.read_paused:
                self._heard = now  # it is the Worker that does not read
            return self._heard + self.patience * BODY_PATIENCE - now
        return self.patience


def patient(patience: float) -> type[Connection]:
    """Make the protocol with another deadline."""
    return type("Patient", (Connection,), {"patience": patience})
