"""The workers port: hands each request for `<script>.localhost` to that Worker, and its answer back.

A custom domain's host name, or one that a route's pattern takes, stands for its Worker too.

The rules kept here: the Host header is matched exactly, before anything else happens; bodies stream both ways; a
request is sent to the Worker once. An Origin is not judged: that is the Worker's own business.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from notebook_do.local.spec import ScriptInvalid
from notebook_do.local.websocket import deny, relay

if TYPE_CHECKING:
    from notebook_do.local.http1 import Headers
    from notebook_do.local.island import Lease
    from notebook_do.local.runtime import Runtime
    from notebook_do.local.services.exchange import Answer
    from notebook_do.local.upstream import Exchange

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SCRIPT = re.compile(r"[a-z0-9_][a-z0-9_-]{0,254}")
_HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"),
        *(b"trailer", b"transfer-encoding", b"upgrade", b"expect"),
    }
)


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The request is not for a Worker here."""

    def __init__(self, status: int, line: str) -> None:
        """Keep the status and the one line to show."""
        super().__init__(line)
        self.status, self.line = status, line


class Entry(Protocol):
    """What is looked at before a Worker is asked."""

    def script_at(self, host: str, path: str) -> str | None:
        """Give the script that has a host name and path besides its own."""

    def static(self, script: str, method: str, target: str, headers: dict[bytes, bytes]) -> Answer | None:
        """Give the answer of a static asset; None where the Worker is asked."""


def workers_app(runtime: Runtime, front: Entry | None = None) -> App:
    """Make the ASGI application of the workers port; without `front` every request goes to the Worker of its host."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await _http(runtime, front, scope, receive, send)
            case "websocket":
                await _websocket(runtime, front, scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)

    return app


async def _lifespan(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def script_of(scope: Scope, front: Entry | None) -> str:
    """Read from the Host header which Worker is meant; raises Refused."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
    port = scope["server"][1] if scope.get("server") else None
    name, dot, rest = host.partition(".")
    if (
        front
        and scope["path"].startswith("/")
        and (declared := front.script_at(host.removesuffix(f":{port}"), scope["path"]))
    ):
        return declared
    if not dot or rest not in {f"localhost:{port}", "localhost" if port == 80 else ""} or not _SCRIPT.fullmatch(name):
        raise Refused(421, f"Workers answer at http://<script name>.localhost:{port}/, and at no other Host.")
    if not scope["path"].startswith("/"):
        raise Refused(400, "the request target must be a path.")
    return name


def target_of(scope: Scope) -> str:
    """Put path and query together as they were sent."""
    path: bytes = scope.get("raw_path") or scope["path"].encode("latin-1", "replace")
    query: bytes = scope.get("query_string", b"")
    return (path + (b"?" + query if query else b"")).decode("latin-1")


def headers_for(scope: Scope) -> Headers:
    """Choose the headers that the Worker sees: those of the request, and who sent it, as Cloudflare says it."""
    listed = {
        token.strip().lower()
        for name, value in scope["headers"]
        if name == b"connection"
        for token in value.split(b",")
    }
    dropped = _HOP_BY_HOP | listed | {b"cf-connecting-ip"}
    kept = [(name, value) for name, value in scope["headers"] if name not in dropped or name == b"host"]
    client = scope.get("client")
    return [*kept, (b"cf-connecting-ip", client[0].encode())] if client else kept


async def _http(runtime: Runtime, front: Entry | None, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        script = script_of(scope, front)
        if front and (found := front.static(script, scope["method"], target_of(scope), dict(scope["headers"]))):
            await _static(send, found)
            return
        runtime.names.hear(scope["path"], scope["query_string"])
        async with runtime.lease(script) as lease:
            await _forward(lease, script, scope, receive, send)
    except Refused as refused:
        await _line(send, refused.status, refused.line)
    except KeyError:
        await _line(send, 404, f'there is no Worker "{script}" here.')
    except ScriptInvalid as error:
        await _line(send, 503, str(error))


async def _static(send: Send, found: Answer) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in found.headers]
    headers.append((b"content-length", str(len(found.body)).encode()))
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": found.body})


async def _line(send: Send, status: int, line: str) -> None:
    body = line.encode() + b"\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _forward(lease: Lease, script: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Send one request and give its answer back, both as streams."""
    started = whole = False
    exchange = await lease.upstream.exchange()
    exchange.begin(
        scope["method"].encode(), target_of(scope).encode("latin-1"), headers_for(scope), chunked=_chunked(scope)
    )
    pump = asyncio.create_task(_send_body(exchange, receive, has_body=_has_body(scope)))
    try:
        status, answered = await exchange.response()
        headers = [(name, value) for name, value in answered if name not in _HOP_BY_HOP]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        started, more = True, True
        if any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers):
            lease.outlast()
        async for piece, more in exchange.body():
            await send({"type": "http.response.body", "body": piece, "more_body": more})
        if more:
            await send({"type": "http.response.body"})
        whole = True
    except ConnectionError:
        await _broken_off(lease, script, send, started=started, left=pump.done())
    finally:
        pump.cancel()
        if whole:
            lease.upstream.done(exchange)
        else:
            lease.upstream.drop(exchange)


def _chunked(scope: Scope) -> bool:
    return any(name == b"transfer-encoding" for name, _ in scope["headers"])


def _has_body(scope: Scope) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])


async def _send_body(exchange: Exchange, receive: Receive, *, has_body: bool) -> None:
    """Send the request's body as it comes, then wait: a client that leaves ends the Worker's work for it."""
    with contextlib.suppress(ConnectionError):
        if not has_body:
            exchange.end()
        while (message := await receive())["type"] == "http.request":
            if has_body:
                if data := message.get("body", b""):
                    await exchange.send(data)
                if not message.get("more_body", False):
                    exchange.end()
        exchange.writer.close()


async def _broken_off(lease: Lease, script: str, send: Send, *, started: bool, left: bool) -> None:
    """Say that the answer broke off, where that can still be said."""
    if left:
        return
    if not started:
        await _line(send, 502, f'Worker "{script}": the runtime ended while it was answering; try again.')
    elif lease.long_lived:
        await send({"type": "http.response.body"})  # server-sent events end cleanly: the client asks again


async def _websocket(runtime: Runtime, front: Entry | None, scope: Scope, receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    try:
        script = script_of(scope, front)
        runtime.names.hear(scope["path"], scope["query_string"])
        async with runtime.lease(script) as lease:
            lease.outlast()
            headers = [(name, value) for name, value in headers_for(scope) if not name.startswith(b"sec-websocket-")]
            await relay(lease, target_of(scope), headers, scope, receive, send)
    except Refused as refused:
        await deny(scope, send, refused.status, refused.line)
    except KeyError:
        await deny(scope, send, 404, f'there is no Worker "{script}" here.')
    except ScriptInvalid as error:
        await deny(scope, send, 503, str(error))
