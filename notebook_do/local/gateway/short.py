"""The short way to a Worker: a request that was read whole, and its answer of one piece, pass without a task.

Most calls are of this kind, and for them the steps of ASGI cost more than all the rest. Only a request of the plainest
form is taken: one host, one length at most, its body there already, and nothing about its connection. What is odd in
any way, and every answer that comes in pieces, goes the usual way (`gateway`), which alone refuses and says why.
"""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from notebook_do.local.gateway.requests import (
    AUTHORITY,
    HOP_BY_HOP,
    NotForWorkers,
    answer_headers,
    nowhere,
    script_of,
)
from notebook_do.local.runtime.edge import OURS, edge_headers
from notebook_do.local.runtime.http1 import WHOLE_REQUEST, headers_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.local.gateway.requests import ScriptAt
    from notebook_do.local.runtime.http1 import Headers
    from notebook_do.local.runtime.island import Lease
    from notebook_do.local.runtime.runtime import Runtime
    from notebook_do.local.runtime.upstream import Exchange, WholeAnswer

Address = tuple[str, int | None]
LONGEST = 1 << 16
"""How many bytes a request may have, body included."""
_DIFFICULT = HOP_BY_HOP | OURS
_DIGITS = frozenset(b"0123456789")


class ShortRequest(NamedTuple):
    """A request that can be read in one way only. Of its headers `headers` has those that go on to the Worker."""

    method: bytes
    target: bytes
    host: str
    headers: Headers
    body: bytes


class Begun(NamedTuple):
    """A request that was sent to its Worker, by whom it may be gone on with the usual way."""

    script: str
    lease: Lease
    exchange: Exchange
    data: bytes

    def done(self) -> None:
        """Give connection and lease back after the whole answer."""
        self.lease.upstream.done(self.exchange)
        self.lease.leave()

    def drop(self) -> None:
        """Give up: the Worker's work for it is cancelled."""
        self.lease.upstream.drop(self.exchange)
        self.lease.leave()


def short_request(data: bytes) -> ShortRequest | None:
    """Return the one request that `data` is from end to end; None where there is any doubt."""
    match = WHOLE_REQUEST.match(data) if len(data) <= LONGEST else None
    if match is None:
        return None
    headers: Headers = []
    host, length = "", b""
    for name, value in headers_in(match[3]):
        if name == b"content-length":
            if length or not value or not _DIGITS.issuperset(value) or len(value) > 6:
                return None
            length = value
            continue
        if name == b"connection" and value.lower() == b"keep-alive":
            continue
        if name in _DIFFICULT or (name == b"host" and host):
            return None
        if name == b"host":
            host = value.decode("latin-1")
        headers.append((name, value))
    body = data[match.end() :]
    if len(body) != int(length or 0) or not AUTHORITY.fullmatch(host):
        return None
    return ShortRequest(match[1], match[2], host, headers, body)


class ShortWay:
    """The short way to the Workers of a runtime; `script_at` as for `workers_app`."""

    def __init__(self, runtime: Runtime, script_at: ScriptAt = nowhere) -> None:
        """Nothing is opened."""
        self._runtime, self._script_at = runtime, script_at

    def begin(
        self,
        data: bytes,
        client: Address | None,
        server: Address | None,
        arrived: Callable[[Begun, WholeAnswer | None], None],
    ) -> Begun | None:
        """Send a request to its Worker if it can go the short way; `arrived` is called once then, as `ask` says."""
        request = short_request(data)
        if request is None or client is None or server is None:
            return None
        raw_path, _, query = request.target.partition(b"?")
        path = unquote(raw_path.decode("ascii"))
        try:
            script = script_of(request.host, server[1], path, self._script_at)
        except NotForWorkers:
            return None
        lease = self._runtime.enter(script)
        if lease is None:
            return None
        exchange = lease.upstream.idle()
        if exchange is None:  # one must be opened first
            lease.leave()
            return None
        self._runtime.names.collect(path, query)
        begun = Begun(script, lease, exchange, data)
        headers = [*request.headers, *edge_headers(client[0])]
        exchange.ask(request.method, request.target, headers, request.body, lambda answer: arrived(begun, answer))
        return begun


def written(answer: WholeAnswer, ours: Headers) -> bytes:
    """Write an answer for the client, with headers of our own; its length is its only framing."""
    headers = [*ours, *answer_headers(answer.headers)]
    lines = [b"HTTP/1.1 %d %b" % (answer.status, _phrase(answer.status)), *(b"%b: %b" % one for one in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + answer.body


@cache
def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
