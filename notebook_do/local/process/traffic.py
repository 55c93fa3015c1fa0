"""Tells when all that was sent to a port before a moment has been carried out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from notebook_do.local.process.listening import Connection, readable

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from notebook_do.local.process.listening import Server

SETTLED_WITHIN = 1.0
"""How many seconds a question waits at most for what was sent before it."""
_LOOK_AGAIN = 0.002


class Traffic:
    """The application of one port, which tells when all that was sent to it before a moment has been carried out.

    A client that was killed leaves its request in the kernel, before or behind the accepting of its connection, or
    running here. None of that is later than the question, so what is not there after it never comes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[object] = set()
        self._server: Server | None = None
        self._listener: socket.socket | None = None

    def watch(self, server: Server, listener: socket.socket) -> None:
        """Look at the connections of `server`, which accepts on `listener`."""
        self._server, self._listener = server, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; one that may change something is known while it runs, its client gone or not."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        mark = object()
        self._running.add(mark)
        try:
            await self._app(scope, receive, send)
        finally:
            self._running.discard(mark)

    async def settled(self, within: float = SETTLED_WITHIN) -> bool:
        """Wait until all that was sent before is carried out; False where that takes too long or cannot be told."""
        if self._server is None or self._listener is None:
            return False
        try:
            async with asyncio.timeout(within):
                await self._drain(self._server, self._listener)
                await asyncio.sleep(SETTLED_WITHIN / 10)  # what the kernel was still carrying from socket to socket
                await self._drain(self._server, self._listener)
        except TimeoutError:
            return False
        return True

    async def _drain(self, server: Server, listener: socket.socket) -> None:
        await _until(lambda: not readable(listener))
        await _turn()
        waiting = {c for c in server.server_state.connections if isinstance(c, Connection)}
        for connection in waiting:
            await _until(lambda one=connection: not one.may_hold_a_request())  # type: ignore[misc]
        await _turn()
        running = set(self._running)
        await _until(lambda: not running & self._running)


async def _until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110 - the kernel has no event for it
        await asyncio.sleep(_LOOK_AGAIN)


async def _turn() -> None:
    """Let the loop begin what it has accepted and read: a connection and a request take a few rounds each."""
    for _ in range(10):
        await asyncio.sleep(0)
