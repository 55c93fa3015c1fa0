"""Takes what the runtime's own Worker in each island posts to a unix socket: what the Workers did and logged.

It comes this way and not by workerd's output, which has no script names and flattens what was logged. Three kinds come
at three paths: whole tail events, for who listens now; short ones, to be kept; and the steps of requests that are
followed, while they run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime.followed import FollowedRequests
from notebook_do.local.runtime.http1 import HEAD_LIMIT, length_of, read_body, read_head
from notebook_do.local.runtime.inspecting import as_called
from notebook_do.local.runtime.stacks import Stacks
from notebook_do.local.services.logs import LogStore

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.local.runtime.island import Island
    from notebook_do.local.runtime.spec import RunnableWorker
    from notebook_do.local.services.logs import Seen

Sink = Callable[[str, dict[str, Any]], None]
"""Takes (script name, tail event)."""
Keeper = Callable[[bytes], None]
"""Takes one message, a JSON list."""
_BACKLOG = 4096
_GRACE = 1.0
_FOLLOWED_FOR = 3600.0
"""Seconds for which a Worker whose request was followed is started so that others can be."""
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_NOBODY = b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"
"""Tells `system.js` to report no more, as events cost more than the requests that they are about."""


class EventServer:
    """Takes the messages of all islands and hands them on."""

    def __init__(  # noqa: PLR0913 - to whom each kind goes
        self, path: Path, sink: Sink, wanted: Callable[[], bool], *, seen: Seen, kept: Keeper, followed: Keeper
    ) -> None:
        """Remember where to listen; `wanted` says whether anybody takes what `sink` gets."""
        self.path = path
        self._sink, self._wanted, self._seen = sink, wanted, seen
        self._keepers = {b"/kept": kept, b"/followed": followed}
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
                start, headers = await read_head(reader)
                body = b"".join([piece async for piece, _ in read_body(reader, length_of(headers) or 0)])
                keep = self._keepers.get(start.split(b" ")[1])
                # Before it is handed on: the Worker's tail waits for it, and a listener may be slow.
                writer.write(_TAKEN if (wanted := keep is not None or self._wanted()) else _NOBODY)
                if keep is not None:
                    keep(body)
                elif wanted:
                    self._deliver(body)
                await writer.drain()
        writer.close()

    def _deliver(self, body: bytes) -> None:
        for message in json.loads(body):
            script, version = message["script"], message["version"]
            for item in message["items"]:
                if (found := self._seen({**item, "script": script, "version": version})) is not None:
                    del found["script"], found["version"]
                    self._sink(script, {**found, "scriptName": script, "scriptVersion": {"id": version}})


class WorkerEvents:
    """All that is told of what Workers do: kept in `logs`, and of the requests that are `followed`."""

    def __init__(
        self,
        path: Path,
        data: Path,
        sink: Sink,
        wanted: Callable[[], bool],
        islands: Callable[[], Iterable[Island]],
    ) -> None:
        """Open what is kept in the data directory; `sink` and `wanted` as for `EventServer`."""
        self._islands = islands
        self._asked: dict[str, float] = {}
        self._stacks = Stacks()
        self.logs, self.followed = LogStore(data / "logs.sqlite", self._seen), FollowedRequests(self._seen)
        self._server = EventServer(
            path, sink, wanted, seen=self._seen, kept=self.logs.take, followed=self.followed.take
        )
        self.path, self.start = path, self._server.start

    def begin(self, workers: Iterable[RunnableWorker]) -> None:
        """Take note of Workers that are about to run."""
        self._stacks.know(workers)

    async def follow(self, script_name: str) -> None:
        """Have requests of a Worker followed from now on; one that runs is started anew, if nobody uses it now.

        As at Cloudflare, where the first tail of a Worker starts its objects anew.
        """
        self._asked[script_name] = time.monotonic()
        for island in set(self._islands()):
            if script_name in island.names and not island.traced and not island.in_use:
                await island.retire(_GRACE)

    def are_followed(self, names: Iterable[str]) -> bool:
        """Say whether somebody wanted to follow requests of one of these Workers lately."""
        now = time.monotonic()
        return any(now - self._asked[name] < _FOLLOWED_FOR for name in names if name in self._asked)

    async def forget(self, script_names: Iterable[str]) -> None:
        """Drop what is kept of Workers that are deleted, and have ended: others of their names begin anew."""
        await self.logs.taken()
        for name in script_names:
            self._asked.pop(name, None)
            self.logs.forget(name)

    async def settled(self) -> None:
        """Wait until all is kept that Workers have done so far."""
        await asyncio.gather(*(island.hurry_events() for island in set(self._islands())))
        await self.logs.taken()

    def _seen(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return an event as a person is to see it; None for what only a look of ours did."""
        found = as_called(event)
        if found is None:
            return None
        logged = (info for log in found["logs"] for info in log.get("errorInfo", ()))
        for error in (*found["exceptions"], *logged):
            error["stack"] = self.mapped(event["script"], event["version"], error.get("stack") or "")
        return found

    def mapped(self, script_name: str, version: str, stack: str) -> str:
        """Return a stack whose frames name the sources of a version of a script. Reads files."""
        return self._stacks.mapped(script_name, version, stack)

    async def close(self) -> None:
        """Stop listening, and close what is kept."""
        await self._server.close()
        await asyncio.to_thread(self.logs.close)
