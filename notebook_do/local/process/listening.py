"""The two listening sockets on 127.0.0.1, and what uvicorn is told about both."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from notebook_do.errors import TargetError
from notebook_do.local.process.connection import PATIENCE, patient

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp

HEADER_BYTES = 64 << 10
_BACKLOG = 512


class Server(uvicorn.Server):
    """A server that leaves the signals to its process, where two of them share these."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Capture none."""
        yield


def server_of(
    app: ASGIApp | Any, *, frames: type[asyncio.Protocol] | None = None, patience: float = PATIENCE
) -> Server:
    """Make the server of an application; `frames` is the protocol of its websockets, where the usual one will not do.

    `patience` says for how many seconds a client may stay silent in the middle of a head.
    """
    config = uvicorn.Config(
        app,
        http=patient(patience),
        ws=frames or "websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return Server(config)


def bind(port: int, *, remembered: int = 0) -> socket.socket:
    """Listen on 127.0.0.1: on the asked port or not at all, on the remembered one if it is free, else on any."""
    for wanted in (port,) if port else (remembered, 0):
        try:
            return _listening(wanted)
        except OSError as error:
            if port and error.errno in (errno.EADDRINUSE, errno.EACCES):
                why = "is in use" if error.errno == errno.EADDRINUSE else "may not be opened by this user"
                raise TargetError(f"port {port} {why}: choose another one, or 0 for any") from None
            if not wanted:
                raise
    raise AssertionError


def _listening(port: int) -> socket.socket:
    """Listen with the protocol named: asyncio sets TCP_NODELAY on accepted sockets only where it sees IPPROTO_TCP.

    Without it every answer on a connection that is used again waits 40 ms for the client's acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
