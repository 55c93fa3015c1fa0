"""The Workers port: hands each request for `<script>.localhost` to that Worker, and its answer back.

A custom domain's host name, or one that a route's pattern takes, leads to its Worker too.

The Host header is matched exactly, before anything else happens. Bodies stream both ways. A request is sent to the
Worker once. How a message is framed is never copied from one side to the other: it is read on one side, refused where
it could be read in two ways, and written anew on the other. So are websockets: the Worker's side is a client of its
own, messages pass as they are and close codes are kept. An Origin is not judged: that is the Worker's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from notebook_do.local.runtime.http1 import FRAMING, of_connection
from notebook_do.local.runtime.spec import ScriptInvalid

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from notebook_do.local.runtime.http1 import Headers
    from notebook_do.local.runtime.island import Lease
    from notebook_do.local.runtime.runtime import Runtime
    from notebook_do.local.runtime.upstream import Exchange

ScriptAt = Callable[[str, str], str | None]
"""(host name, path) -> the script that a custom domain or a route has there."""
_SERVICE_RESTART = 1012
_UNSENDABLE = {1005, 1006, 1015}  # RFC 6455, 7.4.1: they report what happened and are never in a frame
_OF_THE_HANDSHAKE = (b"sec-websocket-", b"connection", b"upgrade", b"host", b"transfer-encoding", b"content-length")
_PLAIN = [(b"content-type", b"text/plain; charset=utf-8")]
_ENDED = 'Worker "{}": the runtime ended while it was answering; try again.'
_SCRIPT = re.compile(r"[a-z0-9_][a-z0-9_-]{0,254}")
_HOP_BY_HOP = FRAMING | {
    *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"),
    *(b"trailer", b"upgrade", b"expect", b"http2-settings"),
}
_OURS = frozenset((b"cf-connecting-ip",))  # a Worker trusts it, so a client's own must not pass
_KEPT = frozenset((b"host",))  # even where `connection` lists it: without one there is no request
_AUTHORITY = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?")
_NO_HEADER = bytes.maketrans(b"\x0b\x0c\x00", b"   ")
"""What can stand in an answer's header and h11 does not send: the answer would fail as a whole."""


class NotForWorkers(Exception):  # noqa: N818 - an answer, not a failure
    """The request is not for a Worker here."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


def target_of(scope: Scope) -> str:
    """Return path and query as they were sent, percent-encoding included."""
    path: bytes = scope.get("raw_path") or scope["path"].encode("latin-1", "replace")
    query: bytes = scope.get("query_string", b"")
    return (path + (b"?" + query if query else b"")).decode("latin-1")


def host_of(scope: Scope) -> str:
    """Return the one Host header; empty where there is none, several, or one that is no host name."""
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return hosts[0] if len(hosts) == 1 and _AUTHORITY.fullmatch(hosts[0]) else ""


def check_target(scope: Scope) -> None:
    """Refuse a request line that another server could read in another way; raises NotForWorkers."""
    target = target_of(scope)
    if not target.startswith("/") or "#" in target:
        raise NotForWorkers(400, "the request target must be a path.")
    if scope.get("http_version", "1.1") not in {"1.0", "1.1"}:
        raise NotForWorkers(400, "only HTTP/1.1 is spoken here.")
    if scope.get("method") == "CONNECT":
        raise NotForWorkers(400, "CONNECT opens a tunnel, and there is none here.")


def body_length(scope: Scope) -> int:
    """Return how long the request's body is, -1 for one in chunks; raises NotForWorkers where it is said twice."""
    codings = [value for name, value in scope["headers"] if name == b"transfer-encoding"]
    lengths = {value for name, value in scope["headers"] if name == b"content-length"}
    if codings and (lengths or len(codings) > 1 or scope.get("http_version") == "1.0"):
        raise NotForWorkers(400, "the request says in two ways where it ends (content-length and transfer-encoding).")
    if codings:
        return -1
    if len(lengths) > 1:
        raise NotForWorkers(400, "the request says in two ways where it ends (two lengths).")
    return int(lengths.pop()) if lengths else 0


def request_headers(scope: Scope) -> Headers:
    """Return the headers that the Worker sees: those of the request, and who sent it, as Cloudflare says it."""
    dropped = (_HOP_BY_HOP | of_connection(scope["headers"]) | _OURS) - _KEPT
    kept = [(name, value) for name, value in scope["headers"] if name not in dropped]
    client = scope.get("client")
    return [*kept, (b"cf-connecting-ip", client[0].encode())] if client else kept


def answer_headers(answered: Headers) -> Headers:
    """Return the headers that the client sees; a length stays, as `upstream` has made it the only framing."""
    dropped = _HOP_BY_HOP - {b"content-length"}
    return [(name, value.translate(_NO_HEADER).strip()) for name, value in answered if name not in dropped]


def nowhere(_host: str, _path: str) -> None:
    """Return None: no Worker has a host name or path besides its own."""


def workers_app(runtime: Runtime, script_at: ScriptAt = nowhere) -> ASGIApp:
    """Return the ASGI application of the Workers port; `script_at` says whose a custom domain or a route is."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http"
        if not is_http:
            await receive()  # websocket.connect, which ASGI sends first
        try:
            script = script_of(scope, script_at)
            check_target(scope)
            length = body_length(scope) if is_http else 0  # of a handshake the port itself refuses one
            runtime.names.collect(scope["path"], scope["query_string"])
            async with runtime.lease(script) as lease:
                if is_http:
                    await _forward(lease, script, scope, receive, send, length=length)
                else:
                    await _relay(lease, scope, receive, send)
        except NotForWorkers as refused:
            status, line = refused.status, refused.line
        except KeyError:
            status, line = 404, f'there is no Worker "{script}" here.'
        except ScriptInvalid as error:
            status, line = 503, str(error)
        else:
            return
        await (_line(send, status, line) if is_http else _deny(scope, send, status, f"{line}\n".encode()))

    return app


def script_of(scope: Scope, script_at: ScriptAt) -> str:
    """Return the Worker that the Host header means; raises NotForWorkers."""
    host = host_of(scope)
    port = scope["server"][1] if scope.get("server") else None
    name, dot, rest = host.partition(".")
    if host and target_of(scope).startswith("/"):  # first, as a declared host name may end in `.localhost` as well
        declared = script_at(host.removesuffix(f":{port}"), scope["path"])
        if declared:
            return declared
    if not dot or rest not in {f"localhost:{port}", "localhost" if port == 80 else ""} or not _SCRIPT.fullmatch(name):
        raise NotForWorkers(421, f"Workers answer at http://<script name>.localhost:{port}/, and at no other Host.")
    return name


async def _line(send: Send, status: int, line: str) -> None:
    body = line.encode() + b"\n"
    headers = [*_PLAIN, (b"content-length", str(len(body)).encode())]
    if status == 400:
        headers.append((b"connection", b"close"))  # what follows may be a part of it
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _forward(  # noqa: PLR0913 - the parts of one ASGI call
    lease: Lease, script: str, scope: Scope, receive: Receive, send: Send, *, length: int
) -> None:
    """Send one request and hand its answer back, both as streams; an answer may come before the request is whole."""
    started = False
    try:
        exchange = await lease.upstream.exchange()
    except OSError:
        await _line(send, 502, _ENDED.format(script))
        return
    body = _Body(exchange, receive)
    pump = asyncio.create_task(body.pump(scope["method"].encode(), scope, length))  # an answer may come before its end
    whole = False
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
        self._exchange, self._receive = exchange, receive
        self.client_left = False

    async def pump(self, method: bytes, scope: Scope, length: int) -> None:
        """Send the request, then wait: a client that leaves ends the Worker's work for it.

        What workerd no longer reads is read from the client all the same: it may look for its answer only afterwards.
        """
        try:
            await self._exchange.begin(
                method, target_of(scope).encode("latin-1"), request_headers(scope), length=length
            )
            if length == 0:
                await self._exchange.end()
            await self._send(wanted=length != 0)
        except ConnectionError:
            while not self.client_left:
                await self._next()
        except Exception:
            self._exchange.close()  # whoever waits for the answer learns it so
            raise

    async def _send(self, *, wanted: bool) -> None:
        while (message := await self._next()) is not None:
            if wanted and (data := message.get("body", b"")):
                await self._exchange.send(data)
            if wanted and not message.get("more_body", False):
                await self._exchange.end()

    async def _next(self) -> Message | None:
        """Return the next message of the client; None when it left."""
        message = await self._receive()
        if message["type"] == "http.request":
            return message
        self.client_left = True
        self._exchange.close()
        return None


async def _broken_off(lease: Lease, script: str, send: Send, *, started: bool) -> None:
    """Say that the answer broke off, where that can still be said."""
    if not started:
        await _line(send, 502, _ENDED.format(script))
    elif lease.long_lived:
        await send({"type": "http.response.body"})  # server-sent events end cleanly: the client asks again


async def _deny(scope: Scope, send: Send, status: int, body: bytes, headers: Headers = _PLAIN) -> None:
    """Answer a handshake with an ordinary response, where the server can send one."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def _relay(lease: Lease, scope: Scope, receive: Receive, send: Send) -> None:
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
        await _deny(scope, send, answer.status_code, bytes(answer.body or b""), kept)
        return
    except (InvalidHandshake, OSError, EOFError) as error:
        await _deny(scope, send, 502, f"the Worker did not accept the websocket: {error}\n".encode())
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
