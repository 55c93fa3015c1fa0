"""What passes from the client's connection to workerd's and back, and what belongs to one connection only.

The rule kept here: how a message is framed is never copied from one side to the other. It is read on one side,
refused where it could be read in two ways, and said anew on the other; no header can take that away.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime.http1 import FRAMING

if TYPE_CHECKING:
    from notebook_do.local.runtime.http1 import Headers

Scope = MutableMapping[str, Any]

_HOP_BY_HOP = FRAMING | {
    *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"),
    *(b"trailer", b"upgrade", b"expect", b"http2-settings"),
}
_OURS = frozenset((b"cf-connecting-ip",))
_KEPT = frozenset((b"host",))
_AUTHORITY = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?")
_NO_HEADER = bytes.maketrans(b"\x0b\x0c\x00", b"   ")


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The request is not for a Worker here."""

    def __init__(self, status: int, line: str) -> None:
        """Keep the status and the one line to show."""
        super().__init__(line)
        self.status, self.line = status, line


def target_of(scope: Scope) -> str:
    """Put path and query together as they were sent."""
    path: bytes = scope.get("raw_path") or scope["path"].encode("latin-1", "replace")
    query: bytes = scope.get("query_string", b"")
    return (path + (b"?" + query if query else b"")).decode("latin-1")


def host_of(scope: Scope) -> str:
    """Read the one Host header; empty where there is none, several, or one that is no host name."""
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return hosts[0] if len(hosts) == 1 and _AUTHORITY.fullmatch(hosts[0]) else ""


def check_target(scope: Scope) -> None:
    """Refuse a request line that another server could read in another way; raises Refused."""
    target = target_of(scope)
    if not target.startswith("/") or "#" in target:
        raise Refused(400, "the request target must be a path.")
    if scope.get("http_version", "1.1") not in {"1.0", "1.1"}:
        raise Refused(400, "only HTTP/1.1 is spoken here.")
    if scope.get("method") == "CONNECT":
        raise Refused(400, "CONNECT opens a tunnel, and there is none here.")


def body_length(scope: Scope) -> int:
    """Read how long the request's body is, -1 for one in chunks; raises Refused where that is told in two ways."""
    codings = [value for name, value in scope["headers"] if name == b"transfer-encoding"]
    lengths = {value for name, value in scope["headers"] if name == b"content-length"}
    if codings and (lengths or len(codings) > 1 or scope.get("http_version") == "1.0"):
        raise Refused(400, "the request says in two ways where it ends (content-length and transfer-encoding).")
    if codings:
        return -1
    if len(lengths) > 1:
        raise Refused(400, "the request says in two ways where it ends (two lengths).")
    return int(lengths.pop()) if lengths else 0


def request_headers(scope: Scope) -> Headers:
    """Choose the headers that the Worker sees: those of the request, and who sent it, as Cloudflare says it."""
    listed = {
        token.strip().lower()
        for name, value in scope["headers"]
        if name == b"connection"
        for token in value.split(b",")
    }
    dropped = (_HOP_BY_HOP | listed | _OURS) - _KEPT
    kept = [(name, value) for name, value in scope["headers"] if name not in dropped]
    client = scope.get("client")
    return [*kept, (b"cf-connecting-ip", client[0].encode())] if client else kept


def answer_headers(answered: Headers) -> Headers:
    """Choose the headers that the client sees; a length stays, as `upstream` has made it the only framing."""
    dropped = _HOP_BY_HOP - {b"content-length"}
    return [(name, value.translate(_NO_HEADER).strip()) for name, value in answered if name not in dropped]
