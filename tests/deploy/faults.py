"""The ways in which a request can fail, before or after the server acted: each answers in the network's place."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = "Tue, 24 Nov 2026 00:00:07 GMT"
NOW = "Tue, 24 Nov 2026 00:00:00 GMT"
EVIL = "https://evil.example/steal"


def says(status: int, body: bytes = b"", **headers: str) -> Any:
    """Answer without delivering the request."""

    async def fault(_request: httpx.Request, _deliver: Any) -> httpx.Response:
        return httpx.Response(status, content=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return fault


def after(change: Callable[[httpx.Response], httpx.Response]) -> Any:
    """Deliver the request, and spoil the answer."""

    async def fault(_request: httpx.Request, deliver: Any) -> httpx.Response:
        return change(deliver())

    return fault


def lost(error: type[httpx.TransportError], *, delivered: bool) -> Any:
    """Raise in the transport, before or after the request was delivered."""

    async def fault(request: httpx.Request, deliver: Any) -> httpx.Response:
        if delivered:
            deliver()
        raise error("lost", request=request)

    return fault


async def twice(_request: httpx.Request, deliver: Any) -> httpx.Response:
    """Deliver the request twice and answer with the second answer."""
    deliver()
    return deliver()


def envelope(code: int, message: str) -> bytes:
    """Write Cloudflare's refusal."""
    return json.dumps({"success": False, "errors": [{"code": code, "message": message}], "result": None}).encode()


def respond(status: int, body: bytes, kind: str = "application/json", **headers: str) -> httpx.Response:
    """Make an answer."""
    return httpx.Response(status, content=body, headers={"content-type": kind, **headers})


HTML = b"<html><body>502 Bad Gateway CANARY?</body></html>"
FAULTS: dict[str, Any] = {
    "429": says(429, envelope(10429, "slow down")),
    "429 in seconds": says(429, envelope(10429, "slow down"), retry_after="7"),
    "429 until a date": says(429, b"", retry_after=LATER, date=NOW),
    "429 for 30 years": says(429, b"", retry_after="1000000000"),
    "500": says(500, envelope(10013, "An unknown error has occurred.")),
    "500 after commit": after(lambda _: respond(500, envelope(10013, "An unknown error has occurred."))),
    "502 in HTML": says(502, HTML),
    "503": says(503),
    "504 after commit": after(lambda _: respond(504, HTML, "text/html")),
    "524": says(524),
    "refused": lost(httpx.ConnectError, delivered=False),
    "reset before": lost(httpx.ReadError, delivered=False),
    "reset after commit": lost(httpx.ReadError, delivered=True),
    "timeout after commit": lost(httpx.ReadTimeout, delivered=True),
    "cut off after commit": after(lambda r: respond(200, r.content[: len(r.content) // 2])),
    "protocol error after commit": lost(httpx.RemoteProtocolError, delivered=True),
    "not JSON after commit": after(lambda _: respond(200, b"{'success': True}")),
    "HTML after commit": after(lambda _: respond(200, HTML, "text/html")),
    "empty after commit": after(lambda _: respond(204, b"")),
    "deep JSON after commit": after(lambda _: respond(200, b"[" * 200_000)),
    "broken gzip after commit": after(
        lambda r: httpx.Response(200, stream=Raw(gzip.compress(r.content)[:-20]), headers={"content-encoding": "gzip"})
    ),
    "no, with 200": says(200, envelope(10013, "An unknown error has occurred."), content_type="application/json"),
    "no, with 200, after commit": after(lambda _: respond(200, envelope(10013, "An unknown error has occurred."))),
    "redirect to another host": says(307, location=EVIL),
    "delivered twice": twice,
}


class Raw(httpx.AsyncByteStream):
    """A body as it came over the wire, still compressed."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> Any:
        yield self.content
