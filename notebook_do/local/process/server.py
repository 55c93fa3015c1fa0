"""The process that serves the API and the Workers, both on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import signal
from typing import TYPE_CHECKING

from notebook_do.local.account.account import Account
from notebook_do.local.account.publish import Cloud, forget
from notebook_do.local.account.zones import Zones
from notebook_do.local.api.app import ROOT, app_of
from notebook_do.local.api.assets import AssetUploads
from notebook_do.local.api.tails import Tails
from notebook_do.local.gateway.gateway import workers_app
from notebook_do.local.process.home import Home, LocalTarget
from notebook_do.local.process.listening import PATIENCE, LenientFrames, Server, bind, server_of
from notebook_do.local.process.traffic import Traffic
from notebook_do.local.runtime.runtime import Runtime
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


LOG_BYTES = 1 << 20
_log = logging.getLogger(__name__)


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
        traffic, servers = Traffic(app_of(cloud, token, patience=patience)), []
        cloud.settled = traffic.settled
        for app, listener in (
            (traffic, api),
            (workers_app(runtime, cloud.zones.script_at), workers),
        ):
            server = server_of(app, frames=LenientFrames if listener is api else None, patience=patience)
            if app is traffic:
                traffic.watch(server, listener)
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
