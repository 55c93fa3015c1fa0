"""The HTTP client of one operation: what it heeds and trusts, how long it waits, and how much of an answer it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import LARGEST_ANSWER

if TYPE_CHECKING:
    import httpx

_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 60.0


def open_http(base_url: str, transport: httpx.AsyncBaseTransport | None, proxy: str | None) -> httpx.AsyncClient:
    """Return a client that follows no redirect and hears of no proxy but the one that is given."""
    import httpx

    return httpx.AsyncClient(
        transport=transport,
        # Else HTTP_PROXY and .netrc, which a user set for something else, would decide where a token is sent.
        trust_env=False,
        proxy=proxy,
        follow_redirects=False,
        verify=_tls(base_url),
        timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
        headers={"User-Agent": "notebook-do", "Accept": "application/json"},
        event_hooks={"request": [_in_one_piece]},
    )


async def _in_one_piece(request: httpx.Request) -> None:
    """Let a form leave as a whole: httpx would write its heads and parts one by one, each a packet of its own."""
    await request.aread()


async def read_capped(response: httpx.Response) -> bytes:
    """Read the body, decompressed, up to the cap; what is cut off there cannot be parsed and proves nothing."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            return b""
    return bytes(body)


def _tls(base_url: str) -> Any:
    """Load the certificates only where TLS is spoken: it takes 30 ms."""
    import ssl

    return True if base_url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
