"""Takes the tail events that islands post to a unix socket and hands each one on with its Worker's name."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h11

if TYPE_CHECKING:
    from pathlib import Path

Sink = Callable[[str, dict[str, Any]], None]
BODY_LIMIT = 16 << 20
_CHUNK = 1 << 16


class EventServer:
    """A small HTTP server for workerd's tail Worker alone."""

    def __init__(self, path: Path, sink: Sink) -> None:
        """Plan to listen at `path`."""
        self.path = path
        self._sink = sink
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        with contextlib.suppress(ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            while (body := await _request(reader, http)) is not None:
                self._deliver(body)
                answer = h11.Response(status_code=204, headers=[])
                writer.write((http.send(answer) or b"") + (http.send(h11.EndOfMessage()) or b""))
                await writer.drain()
                http.start_next_cycle()
        writer.close()

    def _deliver(self, body: bytes) -> None:
        message = json.loads(body)
        script = message["script"]
        for item in message["items"]:
            self._sink(script, {**item, "scriptName": script})


async def _request(reader: asyncio.StreamReader, http: h11.Connection) -> bytes | None:
    """Read one request's body; None when the connection is over."""
    pieces: list[bytes] = []
    while True:
        match http.next_event():
            case h11.NEED_DATA:
                http.receive_data(await reader.read(_CHUNK))
            case h11.Data(data=data):
                pieces.append(bytes(data))
                if sum(map(len, pieces)) > BODY_LIMIT:
                    return None
            case h11.EndOfMessage():
                return b"".join(pieces)
            case h11.ConnectionClosed() | h11.PAUSED:
                return None
            case _:
                pass
