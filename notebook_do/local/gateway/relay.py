"""Websockets through the Workers port: the Worker's side is a client of its own, messages and close codes pass."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from notebook_do.local.gateway.requests import request_headers, target_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from notebook_do.local.runtime.http1 import Headers
    from notebook_do.local.runtime.island import Lease

PLAIN = [(b"content-type", b"text/plain; charset=utf-8")]
_SERVICE_RESTART = 1012
_UNSENDABLE = {1005, 1006, 1015}  # RFC 6455, 7.4.1: they report what happened and are never in a frame
_OF_THE_HANDSHAKE = (b"sec-websocket-", b"connection", b"upgrade", b"host", b"transfer-encoding", b"content-length")


async def deny(scope: Scope, send: Send, status: int, body: bytes, headers: Headers = PLAIN) -> None:
    """Answer a handshake with an ordinary response, where the server can send one."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def relay(lease: Lease, scope: Scope, receive: Receive, send: Send) -> None:
    """Open the Worker's side with the client's request, then carry messages until either side closes."""
    lease.outlast()
    headers = request_headers(scope)
    host = next(value.decode("latin-1") for name, value in headers if name == b"host")
    connect = unix_connect(
        str(lease.upstream.path),
        f"ws://{host}{target_of(scope)}",
        additional_headers=[
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in headers
            if not name.startswith(_OF_THE_HANDSHAKE)
        ],
        subprotocols=[Subprotocol(name) for name in scope.get("subprotocols", ())] or None,
        user_agent_header=None,
        compression=None,  # the client's own extensions are between it and this port
        max_size=None,  # what is too long is for the other side to say
        ping_interval=None,  # the client decides whether to ping
    )
    try:
        worker = await connect
    except InvalidStatus as error:
        answer = error.response
        kept = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.raw_items()]
        kept = [(name, value) for name, value in kept if not name.lower().startswith(_OF_THE_HANDSHAKE)]
        await deny(scope, send, answer.status_code, bytes(answer.body or b""), kept)
        return
    except (InvalidHandshake, OSError, EOFError) as error:
        await deny(scope, send, 502, f"the Worker did not accept the websocket: {error}\n".encode())
        return
    async with worker:
        await _accept(worker, send)
        await _carry(worker, lease, receive, send)


async def _accept(worker: ClientConnection, send: Send) -> None:
    raw = worker.response.headers.raw_items() if worker.response else ()
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in raw]
    headers = [(name, value) for name, value in headers if not name.startswith(_OF_THE_HANDSHAKE)]
    await send({"type": "websocket.accept", "subprotocol": worker.subprotocol, "headers": headers})


async def _carry(worker: ClientConnection, lease: Lease, receive: Receive, send: Send) -> None:
    """Carry messages until the client, the Worker or the island ends."""
    up = asyncio.create_task(_from_client(worker, receive))
    down = asyncio.create_task(_from_worker(worker, send))
    ending = asyncio.create_task(lease.closing.wait())
    try:
        await asyncio.wait({up, down, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not up.done() and not down.done():
            with contextlib.suppress(RuntimeError):
                await send(
                    {"type": "websocket.close", "code": _SERVICE_RESTART, "reason": "the Worker is being replaced"}
                )
            worker.transport.abort()
    finally:
        for task in (up, down, ending):
            task.cancel()
        for ended in await asyncio.gather(up, down, ending, return_exceptions=True):
            if isinstance(ended, Exception) and not isinstance(ended, ConnectionClosed):
                raise ended


async def _from_client(worker: ClientConnection, receive: Receive) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        await worker.send(message["bytes"] if text is None else text)
    code = message.get("code", 1005)
    if code == 1006:
        worker.transport.abort()  # an end without a close frame, as the client's was
    else:
        await worker.close(1000 if code in _UNSENDABLE else code, message.get("reason") or "")


async def _from_worker(worker: ClientConnection, send: Send) -> None:
    try:
        while True:
            message = await worker.recv()
            await send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else 1011
        reason = closed.rcvd.reason if closed.rcvd else "the Worker's side ended"
        with contextlib.suppress(RuntimeError):  # the client may be the one that closed
            await send({"type": "websocket.close", "code": 1000 if code in _UNSENDABLE else code, "reason": reason})
