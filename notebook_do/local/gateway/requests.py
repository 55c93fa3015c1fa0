"""What a request on the Workers port says: which Worker it is for, how long it is, and which headers go on.

The Host header is matched exactly, before anything else happens. How a message is framed is never copied from one side
to the other: it is read on one side, refused where it could be read in two ways, and written anew on the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from notebook_do.local.runtime.edge import FOLLOW, FOLLOWED, OURS, edge_headers
from notebook_do.local.runtime.http1 import FRAMING, of_connection

if TYPE_CHECKING:
    from starlette.types import Scope

    from notebook_do.local.runtime.http1 import Headers

ScriptAt = Callable[[str, str], str | None]
"""(host name, path) -> the script that a custom domain or a route has there."""
_SCRIPT = re.compile(r"[a-z0-9_][a-z0-9_-]{0,254}")
HOP_BY_HOP = FRAMING | {
    *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"),
    *(b"trailer", b"upgrade", b"expect", b"http2-settings"),
}
_KEPT = frozenset((b"host",))  # even where `connection` lists it: without one there is no request
AUTHORITY = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?")
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
    return hosts[0] if len(hosts) == 1 and AUTHORITY.fullmatch(hosts[0]) else ""


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
    dropped = (HOP_BY_HOP | of_connection(scope["headers"]) | OURS) - _KEPT
    kept = [(name, value) for name, value in scope["headers"] if name not in dropped]
    client, ids = scope.get("client"), (value for name, value in scope["headers"] if name == FOLLOW)
    return [*kept, *edge_headers(client[0], next(ids, b""))] if client else kept


def is_followed(scope: Scope) -> bool:
    """Say whether a request comes with an id by which it is followed."""
    return any(name == FOLLOW and FOLLOWED.fullmatch(value) for name, value in scope["headers"])


def answer_headers(answered: Headers) -> Headers:
    """Return the headers that the client sees; a length stays, as `upstream` has made it the only framing."""
    dropped = HOP_BY_HOP - {b"content-length"}
    return [(name, value.translate(_NO_HEADER).strip()) for name, value in answered if name not in dropped]


def nowhere(_host: str, _path: str) -> None:
    """Return None: no Worker has a host name or path besides its own."""


def script_of(host: str, port: int | None, path: str, script_at: ScriptAt) -> str:
    """Return the Worker that a host name means; raises NotForWorkers. `path` is empty where the target is none."""
    name, dot, rest = host.partition(".")
    if host and path:  # first, as a declared host name may end in `.localhost` as well
        declared = script_at(host.removesuffix(f":{port}"), path)
        if declared:
            return declared
    if not dot or rest not in {f"localhost:{port}", "localhost" if port == 80 else ""} or not _SCRIPT.fullmatch(name):
        raise NotForWorkers(421, f"Workers answer at http://<script name>.localhost:{port}/, and at no other Host.")
    return name
