"""The API as an ASGI application, and the process that serves it beside the Workers, both on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import re
import signal
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute

from notebook_do.local.account.account import Account
from notebook_do.local.account.publish import Cloud, forget
from notebook_do.local.account.zones import Zones
from notebook_do.local.api import account as routes_account
from notebook_do.local.api import assets as routes_assets
from notebook_do.local.api import contents as routes_contents
from notebook_do.local.api import queues as routes_queues
from notebook_do.local.api import resources as routes_resources
from notebook_do.local.api import scripts as routes_scripts
from notebook_do.local.api import secrets as routes_secrets
from notebook_do.local.api import settings as routes_settings
from notebook_do.local.api import versions as routes_versions
from notebook_do.local.api import workers as routes_workers
from notebook_do.local.api import zones as routes_zones
from notebook_do.local.api.assets import AssetUploads
from notebook_do.local.api.envelope import no
from notebook_do.local.api.guard import TAIL_PREFIX, Guard, NoTraceback
from notebook_do.local.api.tails import Tails
from notebook_do.local.gateway.gateway import workers_app
from notebook_do.local.process.connection import PATIENCE
from notebook_do.local.process.home import Home, LocalTarget
from notebook_do.local.process.listening import Server, bind, server_of
from notebook_do.local.process.transport import LenientFrames
from notebook_do.local.rules.refusals import Refused, refuse
from notebook_do.local.runtime.runtime import Runtime
from notebook_do.local.runtime.workerd import Absent
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

ROOT = "/client/v4"
LOG_BYTES = 1 << 20
_ACCOUNT_ID = re.compile(r"[0-9a-f]{32}\Z")
_log = logging.getLogger(__name__)


def app_of(cloud: Cloud, token: str, *, patience: float = PATIENCE) -> ASGIApp:
    """Build the API's application with its gate."""
    account = f"{ROOT}/accounts/{cloud.account.id}"
    groups = (
        *(routes_account, routes_scripts, routes_settings, routes_secrets, routes_versions, routes_workers),
        *(routes_queues, routes_resources, routes_contents, routes_zones, routes_assets),
    )
    routes = [route for group in groups for route in group.routes(account)]
    other = [
        Route(ROOT + "/accounts/{account_id}", _other_account, methods=_METHODS),
        Route(ROOT + "/accounts/{account_id}/{rest:path}", _other_account, methods=_METHODS),
    ]
    app = Starlette(
        routes=[
            *routes_account.user_routes(ROOT),
            *routes,
            *other,
            WebSocketRoute(TAIL_PREFIX + "{secret}", _tail),
        ],
        exception_handlers={Refused: _refused, Absent: _absent, HTTPException: _not_routed, Exception: _failed},
    )
    app.router.redirect_slashes = False
    app.state.cloud = cloud
    app.state.patience = patience
    return NoTraceback(
        Guard(app, port=cloud.api_port, token=token, opens_tail=cloud.tails.opens, opens_upload=cloud.uploads.opens)
    )


_METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE"]


async def _tail(websocket: WebSocket) -> None:
    await websocket.app.state.cloud.tails.serve(websocket)


async def _other_account(request: Request) -> Response:
    """Every path of an account that no route took."""
    given = request.path_params["account_id"]
    ours = request.app.state.cloud.account.id
    if given != ours and _ACCOUNT_ID.match(given):
        raise refuse("wrong_account")
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


async def serve(  # noqa: PLR0913 - the facts of one server
    data: Path,
    *,
    api_port: int = 0,
    workers_port: int = 0,
    strict: bool = False,
    linger: float | None = None,
    patience: float = PATIENCE,
    announce: Callable[[LocalTarget], None] | None = None,
) -> None:
    """Serve a data directory until a signal, or for `linger` seconds after its last user left.

    `announce` is called once, when both ports answer.
    """
    home = Home(data)
    with home.server_lock():
        _log_to(home)
        home.tidy()
        stop = _stop_event()
        async with _running(home, api_port, workers_port, patience, strict=strict) as (cloud, servers):
            target = _target(home, cloud)
            home.write_target(target)
            if announce:
                announce(target)
            try:
                await _until(stop, servers, home, linger)
            finally:
                # Gone first: whoever looks from now on waits for the lock instead of calling a dying server.
                home.forget_target()
                for server, _ in servers:
                    server.should_exit = True
                await asyncio.gather(*(task for _, task in servers), return_exceptions=True)
    _log.info("ended")


@contextlib.asynccontextmanager
async def _running(
    home: Home, api_port: int, workers_port: int, patience: float, *, strict: bool
) -> AsyncIterator[tuple[Cloud, list[tuple[Server, asyncio.Task[None]]]]]:
    """Give the account, the runtime and both listening servers."""
    async with contextlib.AsyncExitStack() as stack:
        account = Account(home.data)
        stack.callback(account.close)
        api = stack.enter_context(bind(api_port, remembered=int(account.setting("api_port") or 0)))
        workers = stack.enter_context(bind(workers_port, remembered=int(account.setting("workers_port") or 0)))
        tails = Tails()
        zones = Zones(home.data / "zones.sqlite")
        stack.callback(zones.close)
        uploads = AssetUploads(home.data / "assets.sqlite", account.blobs)
        stack.callback(uploads.close)
        workerd = find_workerd()
        runtime = Runtime(data=home.data, workerd=workerd, workers=account.runnable, events=tails.publish)
        stack.push_async_callback(runtime.close)
        cloud = Cloud(
            data=home.data,
            account=account,
            runtime=runtime,
            tails=tails,
            zones=zones,
            uploads=uploads,
            api_port=api.getsockname()[1],
            workers_port=workers.getsockname()[1],
            strict=strict,
        )
        for key, port in (("api_port", cloud.api_port), ("workers_port", cloud.workers_port)):
            if account.setting(key) != str(port):
                account.set_setting(key, str(port))
        # A server that was killed between a delete and the removal of its files left this to do.
        await forget(cloud, account.doomed())
        token = home.token()
        servers = []
        for app, listener in (
            (app_of(cloud, token, patience=patience), api),
            (workers_app(runtime, cloud.zones.script_at), workers),
        ):
            server = server_of(app, frames=LenientFrames if listener is api else None, patience=patience)
            task = asyncio.create_task(server.serve(sockets=[listener]))
            servers.append((server, task))
        while not all(server.started for server, _ in servers):  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.001)
        yield cloud, servers


def _target(home: Home, cloud: Cloud) -> LocalTarget:
    return LocalTarget(
        api=f"http://127.0.0.1:{cloud.api_port}{ROOT}",
        url=f"http://127.0.0.1:{cloud.workers_port}",
        account_id=cloud.account.id,
        token_file=home.token_file,
        data=home.data,
        pid=os.getpid(),
        workers_port=cloud.workers_port,
        strict=cloud.strict,
    )


async def _until(
    stop: asyncio.Event, servers: list[tuple[Server, asyncio.Task[None]]], home: Home, linger: float | None
) -> None:
    """Wait for a signal, the end of a server, or the last user's leaving."""
    waits = [asyncio.create_task(stop.wait()), *(task for _, task in servers)]
    if linger is not None:
        waits.append(asyncio.create_task(_deserted(home, linger)))
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in waits:
        if task not in {task for _, task in servers}:
            task.cancel()
    for task in done:
        task.result()


async def _deserted(home: Home, linger: float) -> None:
    """Return when nobody has used the server for `linger` seconds; no one can come in between."""
    loop = asyncio.get_running_loop()
    last = loop.time()
    while True:
        if home.users():
            last = loop.time()
        elif loop.time() - last >= linger and home.close_if_deserted():
            return
        await asyncio.sleep(min(0.5, linger / 4 + 0.05))


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(RuntimeError, ValueError):
            # Not the main thread: whoever started this thread handles signals.
            loop.add_signal_handler(number, stop.set)
    return stop


def _log_to(home: Home) -> None:
    """Write a bounded log into the data directory."""
    handler = logging.handlers.RotatingFileHandler(home.data / "server.log", maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in ("notebook_do.local", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO if name == "notebook_do.local" else logging.WARNING)
        logger.propagate = False
    _log.info("started, pid %d", os.getpid())
