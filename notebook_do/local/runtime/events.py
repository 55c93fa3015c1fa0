"""Takes the tail events of all islands, at one unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime.http1 import HEAD_LIMIT, length_of, read_body, read_head
from notebook_do.local.runtime.inspecting import as_called

if TYPE_CHECKING:
    from pathlib import Path

Sink = Callable[[str, dict[str, Any]], None]
"""Takes (script name, tail event)."""
_BACKLOG = 4096
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_NOBODY = b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"
"""Tells `system.js` to report no more, as events cost more than the requests that they are about."""


class EventServer:
    """Takes the tail events that the runtime's own Worker in each island posts to a unix socket.

    They come this way and not by workerd's output, which has no script names and flattens what was logged.
    """

    def __init__(self, path: Path, sink: Sink, wanted: Callable[[], bool]) -> None:
        """Remember where to listen; `wanted` says whether anybody takes what `sink` gets."""
        self.path = path
        self._sink, self._wanted = sink, wanted
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.path, limit=HEAD_LIMIT, backlog=_BACKLOG)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while True:
                _, headers = await read_head(reader)
                body = b"".join([piece async for piece, _ in read_body(reader, length_of(headers) or 0)])
                # Before it is handed on: the Worker's tail waits for it, and a listener may be slow.
                writer.write(_TAKEN if (wanted := self._wanted()) else _NOBODY)
                if wanted:
                    self._deliver(body)
                await writer.drain()
        writer.close()

    def _deliver(self, body: bytes) -> None:
        for message in json.loads(body):
            script = message["script"]
            for item in filter(None, map(as_called, message["items"])):
                self._sink(script, {**item, "scriptName": script})
