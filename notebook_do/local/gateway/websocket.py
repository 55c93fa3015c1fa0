"""Join a client's websocket with the Worker's: messages both ways as they are, close codes kept.

The Worker's side is a client of `websockets`, not a copy of the bytes: so each side's handshake and frames are checked,
and the end of an island can be said with a close code of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

if TYPE_CHECKING:
    from notebook_do.local.runtime.http1 import Headers
    from notebook_do.local.runtime.island import Lease

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_SERVICE_RESTART = 1012
_UNSENDABLE = {1005, 1006, 1015}  # RFC 6455, 7.4.1: they report what happened and are never in a frame
_OF_THE_HANDSHAKE = (b"sec-websocket-", b"connection", b"upgrade", b"host", b"transfer-encoding", b"content-length")


async def deny(scope: Scope, send: Send, status: int, text: str) -> None:
    """Answer a handshake with an ordinary response, where the server can send one."""
    await _deny(scope, send, status, [(b"content-type", b"text/plain; charset=utf-8")], text.encode() + b"\n")


async def _deny(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def relay(  # noqa: PLR0913, PLR0917 - the parts of one ASGI call
    lease: Lease, target: str, headers: Headers, scope: Scope, receive: Receive, send: Send
) -> None:
    """Open the Worker's side with the client's request, then carry messages until either side closes."""
    host = next(value.decode("latin-1") for name, value in headers if name == b"host")
    connect = unix_connect(
        str(lease.upstream.path),
        f"ws://{host}{target}",
        additional_headers=[
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in headers
            if not name.startswith(_OF_THE_HANDSHAKE)
        ],
        subprotocols=[Subprotocol(name) for name in scope.get("subprotocols", ())] or None,
        user_agent_header=None,
        compression=None,
        max_size=None,
        ping_interval=None,
    )
    try:
        worker = await connect
    except InvalidStatus as error:
        answer = error.response
        kept = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.raw_items()]
        kept = [(name, value) for name, value in kept if not name.lower().startswith(_OF_THE_HANDSHAKE)]
        await _deny(scope, send, answer.status_code, kept, bytes(answer.body or b""))
        return
    except (InvalidHandshake, OSError, EOFError) as error:
        await deny(scope, send, 502, f"the Worker did not accept the websocket: {error}")
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
        worker.transport.abort()  # the Worker sees what happened: an end without a close frame
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
