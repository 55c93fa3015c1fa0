"""Reads and writes HTTP/1.1 messages on a stream whose other end is workerd.

Only as much of HTTP as that one well-behaved peer needs, because every call of every Worker passes here; what is
not understood ends the connection. The rule kept here: nothing that a client sent can begin a second message.
"""

from __future__ import annotations

import re
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Headers = list[tuple[bytes, bytes]]

HEAD_LIMIT = 1 << 20
PIECE = 1 << 16
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\r\n\0]*")
_TARGET = re.compile(rb"[^\s\0]+")


class Malformed(ConnectionError):  # noqa: N818 - what the bytes are
    """The other end did not speak HTTP as expected."""


def head(method: bytes, target: bytes, headers: Headers) -> bytes:
    """Write the head of a request. Raises ValueError for what would not stay one head."""
    if not (_TOKEN.fullmatch(method) and _TARGET.fullmatch(target)):
        raise ValueError("not a request line")
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    for name, value in headers:
        if not (_TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
            raise ValueError("not a header")
        lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def read_head(reader: StreamReader) -> tuple[bytes, Headers]:
    """Read a start line and headers, names in lower case; raises ConnectionError when there is none."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except IncompleteReadError:
        raise ConnectionResetError("the connection was closed without a message") from None
    except LimitOverrunError:
        raise Malformed("the head is too long") from None
    start, *lines = raw[:-4].split(b"\r\n")
    headers: Headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise Malformed("a header has no colon")
        headers.append((name.lower(), value.strip()))
    return start, headers


def length_of(headers: Headers) -> int | None:
    """Say how long the body is: a number of bytes, -1 for chunked, None when the headers do not say."""
    found = None
    for name, value in headers:
        if name == b"transfer-encoding" and value.lower() == b"chunked":
            return -1
        if name == b"content-length":
            if not value.isdigit():
                raise Malformed("the content length is no number")
            found = int(value)
    return found


async def read_body(reader: StreamReader, length: int | None) -> AsyncIterator[tuple[bytes, bool]]:
    """Give the pieces of a body as they come, each with whether more may follow; raises when it breaks off."""
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
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            while size:
                piece = await reader.read(min(PIECE, size))
                if not piece:
                    raise ConnectionResetError("the body broke off")
                size -= len(piece)
                yield piece
            await reader.readexactly(2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers are not passed on
    except (IncompleteReadError, LimitOverrunError, ValueError):
        raise Malformed("the chunks broke off") from None
