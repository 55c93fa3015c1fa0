"""The gate before every route: loopback name, no web page, bearer token. Nothing is routed before all three hold.

A page in a browser can reach 127.0.0.1, under any host name if it owns a DNS server; so the Host must be one of our
own, any sign of a page is refused, there are no CORS headers, and even reads need the token.
"""

from __future__ import annotations

import hmac
import logging
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from notebook_do.local.api.envelope import no
from notebook_do.local.rules.refusals import Refused, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

_log = logging.getLogger(__name__)
TAIL_PREFIX = "/tails/"
UPLOAD = "/workers/assets/upload"


class Guard:
    """ASGI middleware; `opens_tail` says whether a websocket path holds the secret of an open tail.

    `opens_upload` says whether a token is that of an open upload of static assets, and good for that path alone.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        port: int,
        token: str,
        opens_tail: Callable[[str], bool],
        opens_upload: Callable[[str], bool],
    ) -> None:
        self._app, self._token, self._opens_tail, self._opens_upload = app, token.encode(), opens_tail, opens_upload
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        try:
            self._check(scope)
        except Refused as refused:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await no(refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            raise refuse("wrong_host")
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            raise refuse("cross_site")
        if scope["type"] == "websocket":
            if not self._opens_tail(scope["path"]):
                raise refuse("wrong_token")
            return
        self._check_token(headers, scope["path"])

    def _check_token(self, headers: Headers, path: str) -> None:
        values = headers.getlist("authorization")
        if not values:
            raise refuse("no_token")
        scheme, _, given = values[0].partition(" ")
        if len(values) != 1 or scheme.lower() != "bearer" or not given:
            refused = refuse("bad_token_form")
            refused.errors[0]["error_chain"] = [{"code": 6111, "message": "Invalid format for Authorization header"}]
            raise refused
        if path.endswith(UPLOAD) and self._opens_upload(given):
            return
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            raise refuse("invalid_token" if path.endswith("/tokens/verify") else "wrong_token")


class NoTraceback:
    """ASGI middleware: what goes wrong inside is logged in full and answered without a word of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 10013 for whatever comes out."""
        started = False

        async def watch(message: object) -> None:
            nonlocal started
            started = True
            await send(message)  # type: ignore[arg-type]

        try:
            await self._app(scope, receive, watch)
        except Exception:  # noqa: BLE001 - the outermost frame; logged in full
            _log.exception("%s %s failed", scope.get("method", scope["type"]), scope["path"])
            if scope["type"] == "http" and not started:
                await no(refuse("unknown"))(scope, receive, send)
