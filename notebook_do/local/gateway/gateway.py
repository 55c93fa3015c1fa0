"""The Workers port: hands each request for `<script>.localhost` to that Worker, and its answer back.

A custom domain's host name, or one that a route's pattern takes, leads to its Worker too.

Bodies stream both ways. A request is sent to the Worker once. What is plain enough takes the short way (`short`); an
answer that turns out to be long is gone on with here. An Origin is not judged: that is the Worker's business.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from notebook_do.local.gateway.relay import PLAIN, deny, relay
from notebook_do.local.gateway.requests import (
    NotForWorkers,
    answer_headers,
    body_length,
    check_target,
    host_of,
    is_followed,
    nowhere,
    request_headers,
    script_of,
    target_of,
)
from notebook_do.local.runtime.spec import ScriptInvalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from notebook_do.local.gateway.requests import ScriptAt
    from notebook_do.local.gateway.short import Begun
    from notebook_do.local.runtime.island import Lease
    from notebook_do.local.runtime.runtime import Runtime
    from notebook_do.local.runtime.upstream import Exchange

BEGUN = "begun"
"""Where an ASGI scope's `state` has a request that was sent to its Worker already, the short way."""
_ENDED = 'Worker "{}": the runtime ended while it was answering; try again.'


def workers_app(runtime: Runtime, script_at: ScriptAt = nowhere) -> ASGIApp:
    """Return the ASGI application of the Workers port; `script_at` says whose a custom domain or a route is."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http"
        if not is_http:
            await receive()  # websocket.connect, which ASGI sends first
        begun: Begun | None = scope.get("state", {}).get(BEGUN)
        if begun is not None:
            await _go_on(begun, receive, send)
            return
        try:
            script = _script_of(scope, script_at)
            check_target(scope)
            length = body_length(scope) if is_http else 0  # of a handshake the port itself refuses one
            runtime.names.collect(scope["path"], scope["query_string"])
            if is_http and is_followed(scope):
                await runtime.events.follow(script)
            async with runtime.lease(script) as lease:
                if is_http:
                    await _forward(lease, script, scope, receive, send, length=length)
                else:
                    await relay(lease, scope, receive, send)
        except NotForWorkers as refused:
            status, line = refused.status, refused.line
        except KeyError:
            status, line = 404, f'there is no Worker "{script}" here.'
        except ScriptInvalid as error:
            status, line = 503, str(error)
        else:
            return
        await (_line(send, status, line) if is_http else deny(scope, send, status, f"{line}\n".encode()))

    return app


def _script_of(scope: Scope, script_at: ScriptAt) -> str:
    port = scope["server"][1] if scope.get("server") else None
    return script_of(host_of(scope), port, scope["path"] if target_of(scope).startswith("/") else "", script_at)


async def _line(send: Send, status: int, line: str) -> None:
    body = line.encode() + b"\n"
    headers = [*PLAIN, (b"content-length", str(len(body)).encode())]
    if status == 400:
        headers.append((b"connection", b"close"))  # what follows may be a part of it
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _forward(  # noqa: PLR0913 - the parts of one ASGI call
    lease: Lease, script: str, scope: Scope, receive: Receive, send: Send, *, length: int
) -> None:
    """Send one request and hand its answer back, both as streams."""
    try:
        exchange = await lease.upstream.exchange()
    except OSError:
        await _line(send, 502, _ENDED.format(script))
        return
    body = _Body(exchange, receive)
    await _answer(lease, script, body, body.pump(scope["method"].encode(), scope, length), send)


async def _go_on(begun: Begun, receive: Receive, send: Send) -> None:
    """Hand back, as a stream, the answer to a request that was sent the short way."""
    body = _Body(begun.exchange, receive)
    try:
        await _answer(begun.lease, begun.script, body, body.rest(), send)
    finally:
        begun.lease.leave()


async def _answer(lease: Lease, script: str, body: _Body, sending: Coroutine[Any, Any, None], send: Send) -> None:
    """Hand an answer back as a stream; it may come before the request, which `sending` sends, is whole."""
    exchange, started, whole = body.exchange, False, False
    pump = asyncio.create_task(sending)
    try:
        status, answered = await exchange.response()
        headers = answer_headers(answered)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        started, more = True, True
        if any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers):
            lease.outlast()  # by its nature it never ends, and would hold up every deploy
        async for piece, more in exchange.body():
            await send({"type": "http.response.body", "body": piece, "more_body": more})
        if more:
            await send({"type": "http.response.body"})
        whole = True
    except ConnectionError:
        if not body.client_left:
            await _broken_off(lease, script, send, started=started)
    finally:
        pump.cancel()
        await asyncio.wait([pump])
        if whole:
            lease.upstream.done(exchange)
        else:
            lease.upstream.drop(exchange)


class _Body:
    """A request on its way to workerd, which may stop reading it at any moment."""

    def __init__(self, exchange: Exchange, receive: Receive) -> None:
        self.exchange, self._receive = exchange, receive
        self.client_left = False

    async def pump(self, method: bytes, scope: Scope, length: int) -> None:
        """Send the request, then wait as `_until_left` says."""
        async with self._until_left():
            target = target_of(scope).encode("latin-1")
            await self.exchange.begin(method, target, request_headers(scope), length=length)
            if length == 0:
                await self.exchange.end()
            await self._send(wanted=length != 0)

    async def rest(self) -> None:
        """Send what is left of a request that was sent the short way, then wait as `_until_left` says."""
        async with self._until_left():
            await self.exchange.finish()
            await self._send(wanted=False)

    @contextlib.asynccontextmanager
    async def _until_left(self) -> AsyncIterator[None]:
        """Read on when workerd stops reading: a client that leaves ends the Worker's work for it.

        What workerd no longer reads is read from the client all the same: it may look for its answer only afterwards.
        """
        try:
            yield
        except ConnectionError:
            while not self.client_left:
                await self._next()
        except Exception:
            self.exchange.close()  # whoever waits for the answer learns it so
            raise

    async def _send(self, *, wanted: bool) -> None:
        while (message := await self._next()) is not None:
            if wanted and (data := message.get("body", b"")):
                await self.exchange.send(data)
            if wanted and not message.get("more_body", False):
                await self.exchange.end()

    async def _next(self) -> Message | None:
        """Return the next message of the client; None when it left."""
        message = await self._receive()
        if message["type"] == "http.request":
            return message
        self.client_left = True
        self.exchange.close()
        return None


async def _broken_off(lease: Lease, script: str, send: Send, *, started: bool) -> None:
    """Say that the answer broke off, where that can still be said."""
    if not started:
        await _line(send, 502, _ENDED.format(script))
    elif lease.long_lived:
        await send({"type": "http.response.body"})  # server-sent events end cleanly: the client asks again
