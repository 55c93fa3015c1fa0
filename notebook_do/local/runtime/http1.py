"""HTTP/1.1 on a unix socket, as workerd speaks it: heads, framing, bodies, and a wire that survives a failed write.

Only as much of HTTP as that one well-behaved peer needs, because every call of every Worker passes here (httpcore is
15 times slower over this socket); what is not understood ends the connection. Nothing that a client sent can begin a
second message: heads are written here alone, and checked to stay one head.

A server may answer before it has read the whole request, and close: then the rest of the request cannot be written,
but the answer is there. asyncio's own transports drop what was received when a write fails; so writing has a
descriptor of its own here, and a reset is only the end of what can be read.
"""

from __future__ import annotations

import asyncio
import re
import socket
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

Headers = list[tuple[bytes, bytes]]

HEAD_LIMIT = 1 << 20  # a Worker may answer with many cookies; asyncio's own limit of 64 kB would end the connection
PIECE = 1 << 16
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[^\s\0]+")
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9])(?: .*)?")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_LINES = rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
WHOLE_REQUEST = re.compile(rb"(GET|POST|PUT|PATCH|DELETE|OPTIONS) (/[!\"$-~]*) HTTP/1\.1\r\n" + _LINES)
_WHOLE_ANSWER = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?\r\n" + _LINES)
"""Heads of the plainest form; each line of one is a header, and nothing else can be read in it."""
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n]*)?\r\n")
_BODILESS = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"))
_WITHOUT_BODY = frozenset((b"204", b"304"))
FRAMING = frozenset((b"content-length", b"transfer-encoding"))
"""The headers that say where a message ends."""


class Malformed(ConnectionError):  # noqa: N818 - what the bytes are
    """The other end did not speak HTTP as expected."""


def head(method: bytes, target: bytes, headers: Headers) -> bytes:
    """Write the head of a request. Raises ValueError for what would not stay one head."""
    if not (_TOKEN.fullmatch(method) and _TARGET.fullmatch(target)):
        raise ValueError("not a request line")
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or not _is_value(value):
            raise ValueError("not a header")
        lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _is_value(value: bytes) -> bool:
    # Looked for one by one: a pattern takes ten times as long for a long value, and every request has one.
    return b"\n" not in value and b"\r" not in value and b"\0" not in value


def framing(method: bytes, length: int) -> Headers:
    """Return the headers that frame a body of `length` bytes, -1 for one sent in chunks.

    No body at all needs no header where the method is not expected to have one (RFC 9110, 8.6).
    """
    if length < 0:
        return [(b"transfer-encoding", b"chunked")]
    return [] if length == 0 and method in _BODILESS else [(b"content-length", b"%d" % length)]


async def read_head(reader: StreamReader) -> tuple[bytes, Headers]:
    """Read a start line and headers, names in lower case; raises ConnectionError when there is none."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except IncompleteReadError:
        raise ConnectionResetError("the connection was closed without a message") from None
    except LimitOverrunError:
        raise Malformed("the head is too long") from None
    start, *lines = raw[:-4].split(b"\r\n")
    return start, [_header(line) for line in lines]


def _header(line: bytes) -> tuple[bytes, bytes]:
    # No blank before the colon, no second line of a value: both were read in two ways often enough (RFC 9112, 5).
    name, colon, value = line.partition(b":")
    if not colon or not _TOKEN.fullmatch(name) or not _is_value(value):
        raise Malformed("a line is no header")
    return name.lower(), value.strip(b" \t")


def headers_in(lines: bytes) -> Headers:
    """Return the headers in the lines of a head that `WHOLE_REQUEST` or its like took; names in lower case."""
    parts = (line.partition(b":") for line in lines.split(b"\r\n")[:-1])
    return [(name.lower(), value.strip(b" \t")) for name, _, value in parts]


def whole_answer(data: bytes) -> tuple[int, Headers, bytes] | None:
    """Return status, headers and body of an answer that `data` is from end to end; None where it may be otherwise."""
    match = _WHOLE_ANSWER.match(data)
    if not match or match[1] in _WITHOUT_BODY:
        return None
    headers, body = headers_in(match[2]), data[match.end() :]
    lengths = [value for name, value in headers if name in FRAMING]
    # One length and no coding: whatever else may be meant, `length_of` decides it.
    return (int(match[1]), headers, body) if lengths == [b"%d" % len(body)] else None


def status_of(start: bytes) -> int:
    """Read the status of an answer; 101 is none, as websockets go another way (`gateway`)."""
    match = _STATUS.fullmatch(start)  # of HTTP/1.1 alone: the rules of framing are others in 1.0
    if not match or match[1] == b"101":
        raise Malformed("the answer has no status")
    return int(match[1])


def length_of(headers: Headers) -> int | None:
    """Return how long the body is: a number of bytes, -1 for chunked, None when the headers do not say."""
    lengths = {value for name, value in headers if name == b"content-length"}
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    # Two ways to say where a message ends are how requests are smuggled: never choose between them.
    if codings and (codings != [b"chunked"] or lengths):
        raise Malformed("the end of the body is not told clearly")
    if codings:
        return -1
    if len(lengths) > 1 or not all(map(_NUMBER.fullmatch, lengths)):
        raise Malformed("the content length is no number")
    return int(lengths.pop()) if lengths else None


def closes(headers: Headers) -> bool:
    """Say whether the other end announces that it closes the connection after this message."""
    return b"close" in of_connection(headers)


def of_connection(headers: Headers) -> set[bytes]:
    """Return what `connection` lists: the headers, besides the usual ones, that are for this one connection only."""
    return {token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")}


def unframed(headers: Headers, length: int | None) -> Headers:
    """Return headers that frame the message at most once: by a known `length`, else by the one length they name.

    A negative length is one that nobody knows in advance, and needs no header here: the next hop frames anew.
    """
    lengths = {value for name, value in headers if name == b"content-length" and _NUMBER.fullmatch(value)}
    kept = [(name, value) for name, value in headers if name not in FRAMING]
    if length is not None:
        lengths = {b"%d" % length} if length >= 0 else set()
    return [*kept, (b"content-length", lengths.pop())] if len(lengths) == 1 else kept


async def read_body(reader: StreamReader, length: int | None) -> AsyncIterator[tuple[bytes, bool]]:
    """Yield the pieces of a body as they come, each with whether more may follow; raises when it breaks off."""
    if length == -1:
        async for piece in _chunks(reader):
            yield piece, True
    elif length is None:
        while piece := await reader.read(PIECE):
            yield piece, True
    else:
        while length:
            piece = await reader.read(min(PIECE, length))
            if not piece:
                raise ConnectionResetError("the body broke off")
            length -= len(piece)
            yield piece, length > 0


async def _chunks(reader: StreamReader) -> AsyncIterator[bytes]:
    try:
        while size := _chunk_size(await reader.readuntil(b"\r\n")):
            while size:
                piece = await reader.read(min(PIECE, size))
                if not piece:
                    raise ConnectionResetError("the body broke off")
                size -= len(piece)
                yield piece
            if await reader.readexactly(2) != b"\r\n":  # else what follows could be read as something new
                raise Malformed("a chunk is not as long as it says")
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers are not passed on
    except (IncompleteReadError, LimitOverrunError):
        raise Malformed("the chunks broke off") from None


def _chunk_size(line: bytes) -> int:
    match = _CHUNK.fullmatch(line)
    if not match:
        raise Malformed("a chunk has no size")
    return int(match[1], 16)


class Reader(asyncio.StreamReader):
    """A stream that can say whether something lies in it unread."""

    @property
    def unread(self) -> bool:
        """Say whether bytes arrived that nobody has read."""
        return bool(self._buffer)  # type: ignore[attr-defined]


class _Incoming(asyncio.Protocol):
    """Feeds a reader; the end of the connection, of whatever kind, comes after all that was received."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.broken = False
        self.first: Callable[[bytes], bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._reader.set_transport(transport)

    def data_received(self, data: bytes) -> None:
        if not self._taken(data):
            self._reader.feed_data(data)

    def eof_received(self) -> bool:
        self._end()
        return True  # its owner closes it: the other direction may still be in use

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken = exc is not None
        self._end()  # not `set_exception`, which would hide what was received before

    def _end(self) -> None:
        self._reader.feed_eof()
        self._taken(b"")

    def _taken(self, data: bytes) -> bool:
        first, self.first = self.first, None
        return first is not None and first(data)


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
        """Say whether the other end broke the connection off instead of ending it."""
        return self._incoming.broken

    def send_now(self, data: bytes) -> int:
        """Write what the kernel takes at once and return how much it was; raises OSError when that is nothing."""
        if self.closed:
            raise ConnectionResetError("the connection is closed")
        return self._out.send(data)

    def on_first(self, take: Callable[[bytes], bool] | None) -> None:
        """Offer what arrives first to `take`, b"" for the end, once; what it does not take is read as usual."""
        self._incoming.first = take

    async def send(self, data: bytes) -> None:
        """Write all of `data`; raises ConnectionError when the other end reads no more."""
        if self.closed:
            raise ConnectionResetError("the connection is closed")
        # Waits while the other end reads slowly: nothing is kept here, however large a body is.
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
        out = into.dup()  # asyncio owns the first one, and lets nobody else write to it
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
