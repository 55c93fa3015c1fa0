"""One connection to a unix socket whose reading survives a failed write.

A server may answer before it has read the whole request, and close: then the rest of the request cannot be written,
but the answer is there. asyncio's own transports drop what was received when a write fails; so writing has a
descriptor of its own here, and a reset is only the end of what can be read.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Reader(asyncio.StreamReader):
    """A stream that can say whether something lies in it unread."""

    @property
    def unread(self) -> bool:
        """Whether bytes arrived that nobody has read."""
        return bool(self._buffer)  # type: ignore[attr-defined]


class _Incoming(asyncio.Protocol):
    """Feeds a reader; the end of the connection, of whatever kind, comes after all that was received."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._reader.set_transport(transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def eof_received(self) -> bool:
        self._reader.feed_eof()
        return True  # closed by its owner

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken = exc is not None
        self._reader.feed_eof()


class Wire:
    """Both directions of one connection."""

    def __init__(
        self, reader: Reader, incoming: _Incoming, transport: asyncio.BaseTransport, out: socket.socket
    ) -> None:
        """Take over what `connect` made."""
        self.reader = reader
        self._incoming, self._transport, self._out = incoming, transport, out
        self.closed = False

    @property
    def broken(self) -> bool:
        """Whether the other end broke the connection off instead of ending it."""
        return self._incoming.broken

    async def send(self, data: bytes) -> None:
        """Write all of `data`; raises ConnectionError when the other end reads no more."""
        if self.closed:
            raise ConnectionResetError("the connection is closed")
        await asyncio.get_running_loop().sock_sendall(self._out, data)

    def close(self) -> None:
        """Close both directions; not while a `send` is under way."""
        self.closed = True
        self._transport.close()
        self._out.close()


async def connect(path: Path, *, limit: int) -> Wire:
    """Connect to the unix socket at `path`; `limit` is the longest head that is read in one piece."""
    loop = asyncio.get_running_loop()
    into = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        into.settimeout(0)
        await loop.sock_connect(into, str(path))
        out = into.dup()
    except BaseException:
        into.close()
        raise
    reader = Reader(limit=limit, loop=loop)
    incoming = _Incoming(reader)
    try:
        transport, _ = await loop.create_unix_connection(lambda: incoming, sock=into)
    except BaseException:
        into.close()
        out.close()
        raise
    return Wire(reader, incoming, transport, out)
