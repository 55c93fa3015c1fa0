"""The Cache API, in the protocol that workerd speaks: responses by URL, as long as their own headers allow.

As on Cloudflare: `no-store`, `private`, `no-cache` and `Set-Cookie` keep a response out, without an error; without a
lifetime of its own a response is kept as long as is usual for its status. The least recently used are removed first.
"""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage, parse_headers
from typing import TYPE_CHECKING, Any

from notebook_do.local.services.server import (
    PROTOCOL_HEADER,
    Database,
    ServiceAnswer,
    ServiceRefusal,
    ServiceRequest,
    header_span,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MAX_TOTAL = 256 << 20
MAX_BODY = 64 << 20
# Cloudflare's own for an answer that says nothing (Cache, "Default cache behavior", Edge TTL).
_STATUS_SECONDS = {200: 7200, 301: 7200, 302: 1200, 303: 1200, 404: 180, 410: 180}
_KEEP_OUT = frozenset({"no-store", "private", "no-cache"})
_DROPPED = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    owner TEXT NOT NULL, cache TEXT NOT NULL, url TEXT NOT NULL, status INTEGER NOT NULL, headers TEXT NOT NULL,
    body BLOB NOT NULL, stored REAL NOT NULL, expires REAL NOT NULL, used REAL NOT NULL, PRIMARY KEY (owner, cache, url)
);
"""
# workerd asks with `only-if-cached`, whose miss is a 504 (RFC 9111, 5.2.1.7).
_MISS = ServiceAnswer(status=504, headers=(("CF-Cache-Status", "MISS"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Response:
    """A response as a Worker gave it to `put`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name)


class CacheService:
    """The caches of all Workers of one data directory; each Worker has its own, as if each had its own zone."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._db = Database(path, _SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def handle(self, request: ServiceRequest) -> ServiceAnswer:
        """Answer one request of the Cache API; the resource is the script's name."""
        key = (request.resource, request.headers.get("cf-cache-namespace", ""), _url(request))
        match request.method:
            case "GET":
                return self._match(key, request.headers)
            case "PUT":
                return self._put(key, request)
            case "PURGE":
                return self._purge(key)
        raise ServiceRefusal(405, "Method Not Allowed")

    def _match(self, key: tuple[str, str, str], asked: Mapping[str, str]) -> ServiceAnswer:
        now = self.clock()
        with self._db.writing() as db:
            # One statement finds the response and notes that it was used: what was used last is removed last.
            row = db.execute(
                "UPDATE entry SET used = ? WHERE owner = ? AND cache = ? AND url = ? AND expires > ?"
                " RETURNING status, headers, body, stored",
                (now, *key, now),
            ).fetchone()
        if row is None:
            return _MISS
        status, headers, body, stored = row
        found = _Response(status=status, headers=[(n, v) for n, v in json.loads(headers)], body=body)
        return _shown(found, asked, int(now - stored))

    def _put(self, key: tuple[str, str, str], request: ServiceRequest) -> ServiceAnswer:
        if request.size > MAX_BODY:
            raise ServiceRefusal(413, "Payload Too Large")
        response, now = _parsed(request.body.read()), self.clock()
        seconds = _lifetime(response, now)
        with self._db.writing() as db:
            if seconds > 0:
                headers = json.dumps(response.headers)
                row = (*key, response.status, headers, response.body, now, now + seconds, now)
                db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            db.execute("DELETE FROM entry WHERE expires <= ?", (now,))
            # From the last used on, whatever goes beyond the total.
            db.execute(
                "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM (SELECT rowid, sum(length(body)) OVER"
                " (ORDER BY used DESC, rowid DESC) AS total FROM entry) WHERE total > ?)",
                (MAX_TOTAL,),
            )
        return ServiceAnswer(status=204)

    def _purge(self, key: tuple[str, str, str]) -> ServiceAnswer:
        # What has expired counts as absent: `cache.delete()` must not say true of what `cache.match()` no longer finds.
        query = "DELETE FROM entry WHERE owner = ? AND cache = ? AND url = ? AND expires > ?"
        with self._db.writing() as db:
            gone = db.execute(query, (*key, self.clock())).rowcount
        return ServiceAnswer(status=200 if gone else 404)


def _url(request: ServiceRequest) -> str:
    query = "" if not request.query_text else f"?{request.query_text}"
    return f"{request.headers.get(PROTOCOL_HEADER, 'http')}://{request.headers.get('host', '')}{request.path}{query}"


def _parsed(raw: bytes) -> _Response:
    """Read a response as it goes over the wire, its body without any transfer coding."""
    stream = io.BytesIO(raw)
    line = re.fullmatch(rb"HTTP/1\.\d (\d{3})(?: .*)?", stream.readline().rstrip(b"\r\n"))
    try:
        message = parse_headers(stream) if line else HTTPMessage()
    except HTTPException:
        line = None
    if line is None:
        raise ServiceRefusal(400, "the response cannot be read")
    # What frames the message is between workerd and this service; the rest is the Worker's.
    headers = [(name, str(value)) for name, value in message.items() if name.lower() not in _DROPPED]
    return _Response(status=int(line[1]), headers=headers, body=stream.read())


def _lifetime(response: _Response, now: float) -> float:
    """Return for how many seconds a response may be kept; 0 for not at all."""
    directives = _directives(response.header("cache-control"))
    # `private=set-cookie` keeps only that header to the one client, and so lets a response in that has a cookie.
    cookie = bool(response.header("set-cookie")) and directives.get("private", "").lower() != "set-cookie"
    if cookie or (_KEEP_OUT & directives.keys() and directives.get("private", "").lower() != "set-cookie"):
        return 0
    # In this order: `s-maxage` is for shared caches, and either makes `Expires` count for nothing (RFC 9111, 5.2.2.10
    # and 5.3). A lifetime that is no number is over (4.2.1).
    for directive in ("s-maxage", "max-age"):
        if directive in directives:
            return int(directives[directive]) if directives[directive].isdigit() else 0
    if expires := response.header("expires"):
        try:
            # No date, `Expires: 0` above all, is one in the past (RFC 9111, 5.3).
            return parsedate_to_datetime(expires).timestamp() - now
        except ValueError:
            return 0
    return _STATUS_SECONDS.get(response.status, 0)


def _directives(header: str) -> dict[str, str]:
    found = re.findall(r"([\w-]+)\s*(?:=\s*(?:\"([^\"]*)\"|([^,\s]*)))?", header)
    return {name.lower(): quoted or plain for name, quoted, plain in found}


def _shown(found: _Response, asked: Mapping[str, str], age: int) -> ServiceAnswer:
    """Answer with a kept response, or with the part of it, or the 304, that the request's headers ask for."""
    # Whoever answers from a cache says how old the response is (RFC 9111, 4).
    headers = [*found.headers, ("CF-Cache-Status", "HIT"), ("Age", str(age))]
    if _unchanged(found, asked):
        return ServiceAnswer(status=304, headers=tuple(headers))
    span = header_span(asked["range"], len(found.body)) if "range" in asked and found.status == 200 else None
    if span is None:
        return ServiceAnswer(status=found.status, headers=tuple(headers), body=found.body)
    offset, length = span
    headers.append(("Content-Range", f"bytes {offset}-{offset + length - 1}/{len(found.body)}"))
    return ServiceAnswer(status=206, headers=tuple(headers), body=found.body[offset : offset + length])


def _unchanged(found: _Response, asked: Mapping[str, str]) -> bool:
    # First and alone: beside it `If-Modified-Since` is not looked at (RFC 9110, 13.1.3). Etags are compared weakly.
    if etags := asked.get("if-none-match"):
        mine = found.header("etag").removeprefix("W/")
        return bool(mine) and (etags.strip() == "*" or mine in re.findall(r'"[^"]*"', etags))
    since, modified = asked.get("if-modified-since"), found.header("last-modified")
    return bool(since and modified) and _moment(modified) <= _moment(since)


def _moment(text: Any) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return 0.0
