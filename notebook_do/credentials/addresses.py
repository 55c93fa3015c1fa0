"""Decides to which addresses a token may be sent: Cloudflare's API, and this machine.

A notebook can set environment variables, and a notebook can be somebody else's: no variable leads a token elsewhere.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from notebook_do.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOUDFLARE_API = "https://api.cloudflare.com/client/v4"
BASE_URL_VARIABLE = "CLOUDFLARE_API_BASE_URL"
PROXY_VARIABLE = "NOTEBOOK_DO_PROXY"
_CLOUDFLARE_HOSTS = frozenset({"api.cloudflare.com"})
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


def api_base_url(environ: Mapping[str, str] | None = None) -> str:
    """Return the API's base URL: Cloudflare's, or CLOUDFLARE_API_BASE_URL where that is allowed."""
    environ = os.environ if environ is None else environ
    return allowed_base_url(environ.get(BASE_URL_VARIABLE) or CLOUDFLARE_API)


def allowed_base_url(url: str) -> str:
    """Check an API base URL: https to Cloudflare's API host, or loopback. Raises TargetError for any other."""
    problem = TargetError(
        "the API base URL is not allowed: only https://api.cloudflare.com and loopback addresses are. "
        f"Correct or unset {BASE_URL_VARIABLE}."
    )
    # Before it is taken apart: on such characters urlsplit and httpx need not agree which part is the host.
    if not url.isascii() or any(c.isspace() or c in '\\"<>' or ord(c) < 33 for c in url):
        raise problem
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise problem from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment or "@" in url:
        raise problem
    cloudflare = parts.scheme == "https" and host in _CLOUDFLARE_HOSTS and port in (None, 443)
    loopback = parts.scheme in ("http", "https") and host in _LOOPBACK_HOSTS
    if not (cloudflare or loopback):
        raise problem
    return url.rstrip("/")


def proxy_for(base_url: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the proxy that NOTEBOOK_DO_PROXY asks for; other variables are ignored, and loopback has none.

    HTTPS_PROXY may have been set for anything; a proxy for the token is asked for by name.
    """
    asked = (os.environ if environ is None else environ).get(PROXY_VARIABLE, "").strip()
    if not asked or urlsplit(base_url).hostname in _LOOPBACK_HOSTS:
        return None
    if not _is_address(asked):
        del asked  # it may hold a password
        raise TargetError(
            f"{PROXY_VARIABLE} is no address of a proxy; write it as http://proxy.example:8080, or unset it."
        )
    return asked


def _is_address(text: str) -> bool:
    """Say whether a text is http(s)://HOST[:PORT]; a password with a `/` in it, say, makes it another one."""
    try:
        parts = urlsplit(text)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and parts.path in {"", "/"} and text.isascii() and not any(c.isspace() for c in text)


def origin_of(base_url: str) -> str:
    """Return scheme://host[:port] of a base URL."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"
