"""The server of one data directory: the process, its two ports on 127.0.0.1, and when it ends.

`launch` starts it as `python -m notebook_do.local.process.server --data DIR`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import DurableError
from notebook_do.local.account.account import Account
from notebook_do.local.account.publish import forget
from notebook_do.local.account.zones import Zones
from notebook_do.local.api.app import ROOT, app_of
from notebook_do.local.api.assets import AssetUploads
from notebook_do.local.api.envelope import Cloud
from notebook_do.local.api.tails import Tails
from notebook_do.local.process.clock import Clock
from notebook_do.local.process.home import Home, LocalTarget
from notebook_do.local.process.listening import (
    PATIENCE,
    HttpConnection,
    LenientFrames,
    Server,
    bind,
    readable,
    server_of,
)
from notebook_do.local.process.workers_port import workers_server
from notebook_do.local.runtime.runtime import Runtime
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send


LOG_BYTES = 1 << 20
SETTLED_WITHIN = 1.0
"""How many seconds `Traffic.settled` waits at most for what was sent before the question."""
_LOOK_AGAIN = 0.002
_log = logging.getLogger("notebook_do.local.server")  # by name: as the main module this one is called `__main__`


def main() -> int:
    """Serve until nobody needs it; a failure is reported to the process that waits for the start."""
    parser = argparse.ArgumentParser(prog="python -m notebook_do.local.process.server")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--api-port", type=int, default=0)
    parser.add_argument("--workers-port", type=int, default=0)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--crons", action="store_true")
    parser.add_argument("--patience", type=float, default=PATIENCE)
    parser.add_argument("--linger", type=float, default=None)
    parser.add_argument("--ready-fd", type=int, default=None)
    options = parser.parse_args()
    os.umask(0o077)

    def report(message: dict[str, object]) -> None:
        if options.ready_fd is not None:
            os.write(options.ready_fd, json.dumps(message).encode() + b"\n")
            os.close(options.ready_fd)

    if options.ready_fd is not None:
        # Not for workerd: a copy of it there would hide this process' death from `launch`, which reads until the end.
        os.set_inheritable(options.ready_fd, False)  # noqa: FBT003
    work = serve(
        options.data,
        api_port=options.api_port,
        workers_port=options.workers_port,
        strict=options.strict,
        crons=options.crons,
        linger=options.linger,
        patience=options.patience,
        announce=lambda target: report({"pid": target.pid}),
    )
    try:
        asyncio.run(work)
    except DurableError as error:
        report({"error": str(error)})
        return 1
    return 0


async def serve(  # noqa: PLR0913 - the facts of one server
    data: Path,
    *,
    api_port: int = 0,
    workers_port: int = 0,
    strict: bool = False,
    crons: bool = False,
    linger: float | None = None,
    patience: float = PATIENCE,
    announce: Callable[[LocalTarget], None] | None = None,
) -> None:
    """Serve a data directory until a signal, or for `linger` seconds after its last user left.

    With `crons` the cron triggers of all Workers are on a clock, without it those that a user wants there. `announce`
    is called once, when both ports answer.
    """
    home = Home(data)
    with home.server_lock():
        _log_to(home)
        home.tidy()
        stop = _stop_event()
        async with _running(home, api_port, workers_port, patience, strict=strict) as (cloud, servers):
            target = replace(_target(home, cloud), crons=crons)
            clock = Clock(cloud.runtime, lambda: _on_clock(cloud.account, [""] if crons else home.clocked()))
            ticking = asyncio.create_task(clock.run())
            home.write_target(target)
            if announce:
                announce(target)
            try:
                await _until_over(stop, servers, home, linger)
            finally:
                # First of all: whoever looks from now on waits for the lock instead of calling a dying server.
                home.forget_target()
                ticking.cancel()
                await asyncio.wait([ticking])
                for server, _ in servers:
                    server.end()
                await asyncio.gather(*(task for _, task in servers), return_exceptions=True)
    _log.info("ended")


@contextlib.asynccontextmanager
async def _running(
    home: Home, api_port: int, workers_port: int, patience: float, *, strict: bool
) -> AsyncIterator[tuple[Cloud, list[tuple[Server, asyncio.Task[None]]]]]:
    """Open the account, start the runtime and listen on both ports; all of it ends with the context."""
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
        runtime = Runtime(
            data=home.data,
            workerd=workerd,
            workers=account.runnable,
            events=tails.publish,
            listening=tails.listening,
        )
        tails.begins = runtime.report_events
        stack.push_async_callback(runtime.close)
        cloud = Cloud(
            account=account,
            runtime=runtime,
            tails=tails,
            zones=zones,
            uploads=uploads,
            api_port=api.getsockname()[1],
            workers_port=workers.getsockname()[1],
            strict=strict,
        )
        # The next server of this directory listens there again if it can: an address stays good over a restart.
        for key, port in (("api_port", cloud.api_port), ("workers_port", cloud.workers_port)):
            if account.setting(key) != str(port):
                account.set_setting(key, str(port))
        # A server that was killed between a delete and the removal of its files left this to do.
        await forget(cloud, account.deleted_namespaces())
        token = home.token()
        traffic = Traffic(app_of(cloud, token, patience=patience))
        cloud.settled = traffic.settled
        of_api = server_of(traffic, frames=LenientFrames, patience=patience)
        traffic.watch(of_api, api)
        of_workers = workers_server(runtime, zones.script_at, patience=patience)
        servers = [
            (server, asyncio.create_task(server.serve(sockets=[listener])))
            for server, listener in ((of_api, api), (of_workers, workers))
        ]
        while not all(server.started for server, _ in servers):  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.001)
        yield cloud, servers


def _on_clock(account: Account, tags: list[str]) -> list[tuple[str, str]]:
    """List (script, cron trigger) of the Workers that have a tag which begins with one of `tags`, an empty one: all."""
    found = [
        name
        for name, script in account.scripts.items()
        if "" in tags or any(tag.startswith(tuple(tags)) for tag in script.settings.get("tags", ()))
    ]
    return [(name, cron) for name in found for cron, _ in account.schedules(name)]


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


async def _until_over(
    stop: asyncio.Event, servers: list[tuple[Server, asyncio.Task[None]]], home: Home, linger: float | None
) -> None:
    """Wait for a signal, the end of a server, or the last user's leaving."""
    waits = [asyncio.create_task(stop.wait()), *(task for _, task in servers)]
    if linger is not None:
        waits.append(asyncio.create_task(_until_unused(home, linger)))
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in waits:
        if task not in {task for _, task in servers}:
            task.cancel()
    for task in done:
        task.result()


async def _until_unused(home: Home, linger: float) -> None:
    """Return when nobody has used the server for `linger` seconds; no one can come in between."""
    loop = asyncio.get_running_loop()
    last = loop.time()
    while True:
        if home.users():
            last = loop.time()
        elif loop.time() - last >= linger and home.close_if_unused():
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


class Traffic:
    """The application of the API's port, which can say when all that was sent to it before a moment is carried out.

    A client that was killed leaves its request in the kernel, before or behind the accepting of its connection, or
    running here. None of that is later than the question, so what is not there after it never comes. A deploy that
    was interrupted asks this before it decides that a request is lost.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: set[object] = set()
        self._server: Server | None = None
        self._listener: socket.socket | None = None

    def watch(self, server: Server, listener: socket.socket) -> None:
        """Look at the connections of `server`, which accepts on `listener`."""
        self._server, self._listener = server, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; one that may change something is counted while it runs, even when its client is gone."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        mark = object()
        self._running.add(mark)
        try:
            await self._app(scope, receive, send)
        finally:
            self._running.discard(mark)

    async def settled(self, within: float = SETTLED_WITHIN) -> bool:
        """Wait until all that was sent before is carried out; False where that takes too long or is not known."""
        if self._server is None or self._listener is None:
            return False
        try:
            async with asyncio.timeout(within):
                await self._drain(self._server, self._listener)
                await asyncio.sleep(SETTLED_WITHIN / 10)  # what the kernel was still carrying from socket to socket
                await self._drain(self._server, self._listener)
        except TimeoutError:
            return False
        return True

    async def _drain(self, server: Server, listener: socket.socket) -> None:
        """Wait for what lies in the kernel, then for the connections that were accepted, then for the requests.

        In this order, because each can only become the next: a request that is read at the second step runs at the
        third.
        """
        await _until(lambda: not readable(listener))
        await _turn()
        waiting = {c for c in server.server_state.connections if isinstance(c, HttpConnection)}
        for connection in waiting:
            await _until(lambda one=connection: not one.may_hold_a_request())  # type: ignore[misc]
        await _turn()
        running = set(self._running)
        await _until(lambda: not running & self._running)


async def _until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110 - the kernel has no event for it
        await asyncio.sleep(_LOOK_AGAIN)


async def _turn() -> None:
    """Let the loop begin what it has accepted and read: a connection and a request take a few rounds each."""
    for _ in range(10):
        await asyncio.sleep(0)


if __name__ == "__main__":
    raise SystemExit(main())
