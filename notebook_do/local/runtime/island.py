"""One island: the Workers that are tied by bindings, in one workerd process, from its first request to its end.

The rules kept here: a request that was let in is waited for; nobody is let in once the end has begun; a Worker
that keeps the process from starting is replaced by a stand-in that says why, so that its neighbours still run.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.local.runtime import workerd as process
from notebook_do.local.runtime.bindings import targets
from notebook_do.local.runtime.config import Faults, Layout, config_text, worker_fields
from notebook_do.local.runtime.sites import lay_out
from notebook_do.local.runtime.spec import RunnableWorker, ScriptInvalid
from notebook_do.local.runtime.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

_AFTER_STREAMS = 0.5  # seconds; once a websocket was open workerd may never end by itself, even when it is closed


class Retired(Exception):  # noqa: N818 - what happened, not whose error it is
    """The island is gone; there may be a new one."""


def neighbours(name: str, workers: Iterable[RunnableWorker]) -> tuple[RunnableWorker, ...]:
    """Find all Workers that must run in one process with `name`, itself included, in the order given.

    Raises KeyError when there is no such Worker.
    """
    by_name = {worker.name: worker for worker in workers}
    ties: dict[str, set[str]] = {worker: set() for worker in by_name}
    for worker in by_name.values():
        for target in targets(worker):
            if target in ties:
                ties[worker.name].add(target)
                ties[target].add(worker.name)
    found, ahead = {name}, [name]
    while ahead:
        new = ties[ahead.pop()] - found
        found |= new
        ahead += new
    return tuple(worker for worker in by_name.values() if worker.name in found)


class Lease:
    """The right to use one Worker's socket; the island does not end under it without a warning."""

    def __init__(self, island: Island, upstream: Upstream) -> None:
        """Take part in the island's count of requests."""
        self._island = island
        self.upstream = upstream
        self.closing = island.closing
        self.long_lived = False

    def outlast(self) -> None:
        """Say that this is a stream without an end (websocket, server-sent events): the island's end will not wait."""
        if not self.long_lived:
            self.long_lived = True
            self._island.streams += 1
            self._island.streamed = True
            self._island.settle()


class Island:
    """A process that is started by its first lease. `gone` is set when it is over, for whatever reason."""

    def __init__(
        self, workers: tuple[RunnableWorker, ...], *, workerd: Path, plan: Layout, over: Callable[[Island], None]
    ) -> None:
        """Plan an island; nothing is started. It is laid out as `plan`, with its own Workers, in `plan.folder`.

        `over` is called once, when the process is gone or could not be started.
        """
        self.workers = workers
        self.names = frozenset(worker.name for worker in workers)
        self.namespaces = frozenset(one.namespace_id for worker in workers for one in worker.namespaces)
        self.closing, self.gone = asyncio.Event(), asyncio.Event()
        self.crashed = False
        self.leases = 0
        self.streams = 0
        self.streamed = False
        self.last_used = time.monotonic()
        self.faults = Faults()
        self.process: process.Workerd | None = None
        self.born = self.last_used
        self._workerd, self._plan, self._when_over = workerd, plan, over
        self._upstreams: dict[str, Upstream] = {}
        self._settled = asyncio.Event()
        self._boot: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None

    def settle(self) -> None:
        """Note whether only streams without an end are left."""
        if self.leases > self.streams:
            self._settled.clear()
        else:
            self._settled.set()

    def quiet_for(self) -> float:
        """Say for how many seconds nobody has used the island; 0 while somebody does."""
        return 0.0 if self.leases else time.monotonic() - self.last_used

    @contextlib.asynccontextmanager
    async def lease(self, service: str) -> AsyncIterator[Lease]:
        """Let a request in, starting the process if need be. Raises Retired, or ScriptInvalid when it cannot start."""
        if self.closing.is_set():
            await self.gone.wait()
            raise Retired
        self.leases += 1
        self.settle()
        lease = None
        try:
            await self.started()
            lease = Lease(self, self._upstreams[service])
            yield lease
        finally:
            self.leases -= 1
            self.streams -= lease is not None and lease.long_lived
            self.last_used = time.monotonic()
            self.settle()

    async def started(self) -> None:
        """Wait until the process runs; the first caller starts it."""
        if self._boot is None:
            self._boot = asyncio.create_task(self._start())
        await asyncio.shield(self._boot)

    async def _start(self) -> None:
        sockets = Path(tempfile.mkdtemp(dir=self._plan.folder, prefix=""))
        try:
            layout = replace(self._plan, workers=self.workers, folder=sockets, faults=unwritable(self.workers))
            await lay_out(self.workers, layout.sites)
            self.process = await self._start_somehow(layout)
        except (ScriptInvalid, process.DidNotStart, process.Absent, TimeoutError, OSError) as error:
            shutil.rmtree(sockets, ignore_errors=True)
            self._over(crashed=True)
            raise ScriptInvalid(str(error) or "workerd was not ready in time") from None
        self._upstreams = {name: Upstream(path) for name, path in layout.sockets().items()}
        self._watcher = asyncio.create_task(self._watch(self.process, sockets))

    async def _start_somehow(self, layout: Layout) -> process.Workerd:
        """Start, and start again without each Worker or binding that workerd finds fault with."""
        while True:
            for path in layout.sockets().values():
                path.unlink(missing_ok=True)  # an attempt that failed may have bound it
            try:
                return await process.start(
                    self._workerd, config_text(layout), folder=self._plan.folder, sockets=layout.sockets()
                )
            except process.DidNotStart as error:
                faults = blame(error.lines, layout)
                if faults == layout.faults:
                    raise
                self.faults = faults
                layout = replace(layout, faults=faults)

    async def _watch(self, running: process.Workerd, sockets: Path) -> None:
        await running.ended.wait()
        shutil.rmtree(sockets, ignore_errors=True)
        self._over(crashed=not self.closing.is_set())

    def _over(self, *, crashed: bool) -> None:
        self.crashed = crashed
        self.closing.set()
        for upstream in self._upstreams.values():
            upstream.close()
        if not self.gone.is_set():
            self.gone.set()
            self._when_over(self)

    async def retire(self, grace: float) -> None:
        """End the island: nobody new, `grace` seconds for those inside, then the process. Safe to call again."""
        if self._end is None:
            self.closing.set()
            self._end = asyncio.create_task(self._wind_down(grace))
        await asyncio.shield(self._end)

    async def _wind_down(self, grace: float) -> None:
        deadline = time.monotonic() + grace
        if self._boot is not None:
            await asyncio.wait([self._boot])
        with contextlib.suppress(TimeoutError):
            self.settle()
            await asyncio.wait_for(self._settled.wait(), grace)
        for upstream in self._upstreams.values():
            upstream.close()
        if self.process is not None:
            rest = max(0.05, deadline - time.monotonic())
            await self.process.stop(min(rest, _AFTER_STREAMS) if self.streamed else rest)
        else:
            self._over(crashed=False)
        await self.gone.wait()


_BAD_BINDING = re.compile(r'Worker "worker:(?P<worker>[^"]+)"\'s binding "(?P<binding>[^"]*)" (?P<what>.*)')
_BAD_WORKER = re.compile(r"service (?:worker|assets):(?P<worker>[^\s:]+): (?P<what>.*)")
_FOLLOWS = re.compile(r'refers to service "assets:[^"]*" with a named entrypoint')
"""What workerd says of a binding to assets whose service has a fault of its own, said before."""


def unwritable(workers: Iterable[RunnableWorker]) -> Faults:
    """Find the Workers that cannot even be configured, such as those in Python."""
    found = {}
    for worker in workers:
        try:
            worker_fields(worker)
        except ScriptInvalid as error:
            found[worker.name] = f'Worker "{worker.name}" does not start: {error}'
    return Faults(workers=found)


def blame(lines: Iterable[str], layout: Layout) -> Faults:
    """Read from workerd's words which Workers and bindings keep it from starting, beyond those known already."""
    workers, bindings = dict(layout.faults.workers), dict(layout.faults.bindings)
    current: str | None = None
    for line in lines:
        if _FOLLOWS.search(line):
            current = None
        elif match := _BAD_BINDING.search(line):
            current = None
            message = f'binding "{match["binding"]}" {match["what"].replace("worker:", "")}'
            bindings[match["worker"], match["binding"]] = message
        elif match := _BAD_WORKER.search(line):
            current = match["worker"]
            workers[current] = f'Worker "{current}" does not start: {match["what"]}'
        elif current is not None and line.startswith(("  ", "'")):
            workers[current] += f"\n{line}"
    return Faults(workers=workers, bindings=bindings)
