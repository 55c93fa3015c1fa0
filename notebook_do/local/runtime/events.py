"""Takes the tail events that islands post to a unix socket and hands each one on with its Worker's name."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime import http1

if TYPE_CHECKING:
    from pathlib import Path

Sink = Callable[[str, dict[str, Any]], None]


class EventServer:
    """A small HTTP server for workerd's tail Worker alone."""

    def __init__(self, path: Path, sink: Sink) -> None:
        """Plan to listen at `path`."""
        self.path = path
        self._sink = sink
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.path, limit=http1.HEAD_LIMIT, backlog=4096)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while True:
                _, headers = await http1.read_head(reader)
                length = http1.length_of(headers) or 0
                body = b"".join([piece async for piece, _ in http1.read_body(reader, length)])
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                self._deliver(body)
                await writer.drain()
        writer.close()

    def _deliver(self, body: bytes) -> None:
        for message in json.loads(body):
            script = message["script"]
            for item in message["items"]:
                self._sink(script, {**item, "scriptName": script})
