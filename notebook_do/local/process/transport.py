"""Lenient websocket frames: what the API's port needs beyond uvicorn's own protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    import asyncio

_MASKED = 0x80
_NO_KEY = bytes(4)


class LenientFrames(WebSocketsSansIOProtocol):
    """Websockets that take unmasked frames from clients: wrangler's tail sends its first message so.

    A mask of four zero bytes says the same thing in the form that the protocol demands.
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
        """Take bytes as they arrive and give those that are complete."""
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
