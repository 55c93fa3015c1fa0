"""The API as an ASGI application: the gate before every route, then the routes.

A page in a browser can reach 127.0.0.1, under any host name if it owns a DNS server; so the Host must be one of our
own, any sign of a page is refused, there are no CORS headers, and even reads need the token. Nothing is routed before
all that holds.
"""

from __future__ import annotations

import hmac
import logging
import re
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute

from notebook_do.local.api import (
    account,
    asking,
    assets,
    bucket_objects,
    instances,
    objects,
    queues,
    resources,
    scripts,
    secrets_store,
    sent,
    settings,
    tails,
    telemetry,
    triggers,
    versions,
    workers,
    workflows,
    zones,
)
from notebook_do.local.api.assets import UPLOAD
from notebook_do.local.api.envelope import no
from notebook_do.local.api.tails import TAIL_PREFIX
from notebook_do.local.rules.refusals import Refused, refuse
from notebook_do.local.runtime.workerd import RuntimeMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket

    from notebook_do.local.api.envelope import Cloud

ROOT = "/client/v4"
_METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE"]
_ACCOUNT_ID = re.compile(r"[0-9a-f]{32}\Z")
_log = logging.getLogger(__name__)


def app_of(cloud: Cloud, token: str, *, patience: float) -> ASGIApp:
    """Return the API's application with its gate."""
    path = f"{ROOT}/accounts/{cloud.account.id}"
    of_scripts = (account, scripts, settings, tails, versions, workers, triggers, assets, workflows, instances)
    groups = (*of_scripts, objects, asking, telemetry, queues, resources, bucket_objects, secrets_store, sent, zones)
    routes = [route for group in groups for route in group.routes(path)]
    other = [
        Route(ROOT + "/accounts/{account_id}", _other_account, methods=_METHODS),
        Route(ROOT + "/accounts/{account_id}/{rest:path}", _other_account, methods=_METHODS),
    ]
    app = Starlette(
        routes=[
            *account.user_routes(ROOT),
            *routes,
            *other,
            WebSocketRoute(TAIL_PREFIX + "{secret}", _tail),
        ],
        exception_handlers={Refused: _refused, RuntimeMissing: _absent, HTTPException: _not_routed, Exception: _failed},
    )
    app.router.redirect_slashes = False  # a redirect would lead a client to an address that Cloudflare does not have
    app.state.cloud = cloud
    app.state.patience = patience
    return NoTraceback(
        Guard(app, port=cloud.api_port, token=token, opens_tail=cloud.tails.opens, opens_upload=cloud.uploads.opens)
    )


async def _tail(websocket: WebSocket) -> None:
    await websocket.app.state.cloud.tails.serve(websocket)


async def _other_account(request: Request) -> Response:
    """Refuse a path of an account that no route took, as another account's, for its method or as unknown."""
    # Last of all routes: a path of this account that has others is there, with other methods.
    given = request.path_params["account_id"]
    own = request.app.state.cloud.account.id
    # What has not the form of an id is a wrong path (7003) and nobody's account.
    if given != own and _ACCOUNT_ID.match(given):
        raise refuse("wrong_account", given=given, own=own)
    path = request.url.path
    if any(
        isinstance(r, Route) and r.endpoint is not _other_account and r.path_regex.match(path)
        for r in request.app.routes
    ):
        raise refuse("no_method", method=request.method)
    raise refuse("no_route", path=path.removeprefix(ROOT)[:200])


async def _refused(_request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)  # noqa: S101 - for the type checker
    return no(refused)


async def _absent(_request: Request, error: Exception) -> Response:
    return no(refuse("no_runtime", why=error))


async def _not_routed(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        return no(refuse("no_method", method=request.method))
    return no(refuse("no_route", path=request.url.path.removeprefix(ROOT)[:200]))


async def _failed(_request: Request, _error: Exception) -> Response:
    return no(refuse("unknown"))


class Guard:
    """The gate: ASGI middleware before every route.

    `opens_tail` says whether a websocket path holds the secret of an open tail, as clients send no token there.
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
        hosts = headers.getlist("host")  # a page under its own name that leads to 127.0.0.1 sends that name here
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            raise refuse("wrong_host")
        # Only pages send these: no client of the API does, and there is no page that may.
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
            # 6003 says the same of every header; the chain says which one it is.
            refused.errors[0]["error_chain"] = [{"code": 6111, "message": "Invalid format for Authorization header"}]
            raise refused
        if path.endswith(UPLOAD) and self._opens_upload(given):  # wrangler sends the session's token in its place
            return
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._token):  # in a time that tells nothing
            # 1000 where a token is checked, 10000 everywhere else, as clients tell the two apart.
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
