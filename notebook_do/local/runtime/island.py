"""One island: the Workers that are tied by bindings, in one workerd process, from its first request to its end.

A request that was let in is waited for; nobody is let in once the end has begun. A Worker that keeps the process from
starting is replaced by a stand-in that says why, so that its neighbours still run: one bad script stops a whole
workerd.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.local.objects.instances import at_work
from notebook_do.local.runtime.bindings import SYSTEM, targets
from notebook_do.local.runtime.config import Faults, Layout, config_of, worker_fields
from notebook_do.local.runtime.sites import make_sites
from notebook_do.local.runtime.spec import RunnableWorker, ScriptInvalid
from notebook_do.local.runtime.upstream import Upstream
from notebook_do.local.runtime.workerd import DidNotStart, RuntimeMissing, Start, Workerd
from notebook_do.local.runtime.workflows import make_links

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from notebook_do.local.runtime.places import Places

_AFTER_STREAMS = 0.5
"""Seconds for SIGTERM: once a websocket was open workerd may never end by itself, even when that is closed."""
_LOOK_AGAIN = 0.05
_TOLD = 3.0
"""Seconds for the runtime's own Worker to take notice of something: only a busy machine or a loop makes it wait."""


class Retired(Exception):  # noqa: N818 - what happened, not whose error it is
    """The island is gone; there may be a new one."""


def neighbours(name: str, workers: Iterable[RunnableWorker]) -> tuple[RunnableWorker, ...]:
    """Find all Workers that must run in one process with `name`, itself included, in the order given.

    A binding reaches only inside of a process, so the ties are followed in both directions. Raises KeyError when
    there is no such Worker.
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


def is_stale(island: Island, touched: set[str], workers: Iterable[RunnableWorker]) -> bool:
    """Say whether an island is another one now that the scripts `touched` changed and `workers` are deployed."""
    if island.names & touched:
        return True
    try:  # one stands for all: a tie that is new or gone is a change of a neighbour's version or of the set
        now = neighbours(next(iter(island.names)), workers)
    except KeyError:
        return True
    return {worker.name: worker.version for worker in now} != {one.name: one.version for one in island.workers}


class Lease:
    """The right to use one Worker's socket; `closing` is set before the island ends under it."""

    def __init__(self, island: Island, upstream: Upstream) -> None:
        """Take part in the island's count of requests."""
        self._island = island
        self.upstream = upstream
        self.closing = island.closing
        self.long_lived = False

    def outlast(self) -> None:
        """Say that this is a stream without an end (websocket, server-sent events), which an end does not wait for."""
        if not self.long_lived:
            self.long_lived = True
            self._island.streams += 1
            self._island.streamed = True
            self._island.settle()

    def leave(self) -> None:
        """Give the right back."""
        self._island.left(self)


class Island:
    """A process that is started by its first lease. `gone` is set when it is over, for whatever reason."""

    def __init__(
        self,
        workers: tuple[RunnableWorker, ...],
        *,
        start: Start,
        plan: Layout,
        places: Places,
        over: Callable[[Island], None],
    ) -> None:
        """Prepare an island as `plan` says, with its own Workers; nothing is started.

        `over` is called once, when the process is gone or could not be started.
        """
        self.workers = workers
        self.names = frozenset(worker.name for worker in workers)
        self.namespaces = frozenset(one for worker in workers for one in worker.stored)
        self.workflows = tuple(one for worker in workers for one in worker.workflows)
        self.closing, self.gone = asyncio.Event(), asyncio.Event()
        self.crashed = False
        self.leases = 0
        self.streams = 0
        self.streamed = False
        self.last_used = time.monotonic()
        self.faults = Faults()
        self.process: Workerd | None = None
        self.born = self.last_used
        self._begin, self._plan, self._places, self._when_over = start, plan, places, over
        self._upstreams: dict[str, Upstream] = {}
        self._settled = asyncio.Event()
        self._boot: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None

    def at_work(self) -> bool:
        """Say whether a step of a workflow runs, which no request that is inside began. Reads the disk."""
        storage, runs = self._plan.storage, self.process is not None and not self.gone.is_set()
        return runs and any(next(at_work(storage, one.workflow_id), None) for one in self.workflows if storage)

    def settle(self) -> None:
        """Compare the counts again: the end waits until only streams without an end are left."""
        if self.leases > self.streams:
            self._settled.clear()
        else:
            self._settled.set()

    @property
    def traced(self) -> bool:
        """Whether its requests can be followed."""
        return self._plan.traced

    @property
    def in_use(self) -> bool:
        """Say whether somebody needs the process now."""
        return self.leases > 0

    def quiet_for(self) -> float:
        """Return for how many seconds nobody has used the island; 0 while somebody does."""
        return 0.0 if self.in_use else time.monotonic() - self.last_used

    @contextlib.asynccontextmanager
    async def lease(self, service: str) -> AsyncIterator[Lease]:
        """Let a request in, starting the process if need be. Raises Retired, or ScriptInvalid when it cannot start."""
        if self.closing.is_set():
            await self.gone.wait()  # the next island may not begin before this one is over
            raise Retired
        self.leases += 1  # before the first wait, so that no end can begin in between
        self.settle()
        lease = None
        try:
            await self.started()
            lease = Lease(self, self._upstreams[service])
            yield lease
        finally:
            self.left(lease)

    def enter(self, service: str) -> Lease | None:
        """Let a request in at once; None where something would have to be waited for. The caller calls `leave`."""
        if self.closing.is_set() or service not in self._upstreams:
            return None
        self.leases += 1
        self.settle()
        return Lease(self, self._upstreams[service])

    def left(self, lease: Lease | None) -> None:
        """Count out a request, which has got as far as `lease`."""
        self.leases -= 1
        self.streams -= lease is not None and lease.long_lived
        self.last_used = time.monotonic()
        self.settle()
        if not self.in_use:
            self._places.left()

    async def report_events(self) -> None:
        """Have events reported again, as somebody listens now; a process that only starts reports them anyway."""
        await self._tell(b'{"listen": true}')

    async def hurry_events(self) -> None:
        """Have what is kept of events handed over now, and not with the next ones."""
        await self._tell(b'{"hurry": true}')

    async def _tell(self, what: bytes) -> None:
        upstream = self._upstreams.get(SYSTEM)
        if upstream is not None:
            # It ends, and its last requests are over or end with it; or a script of it loops for ever.
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_TOLD):
                    await upstream.fetch("POST", "/", host=SYSTEM, body=what)

    async def started(self) -> None:
        """Wait until the process runs; the first caller starts it."""
        if self._boot is None:
            self._boot = asyncio.create_task(self._start())
        await asyncio.shield(self._boot)  # a caller that gives up must not end the start of all the others

    async def _start(self) -> None:
        sockets = Path(tempfile.mkdtemp(dir=self._plan.folder, prefix=""))  # short, as the path of a socket is limited
        try:
            layout = replace(
                self._plan,
                workers=self.workers,
                folder=sockets,
                token=secrets.token_hex(16),
                faults=unwritable(self.workers),
            )
            await make_sites(self.workers, layout.sites)
            make_links(self.workers, layout.storage, layout.links)
            async with self._places.starting(self):
                self.process = await self._start_somehow(layout)
        except (ScriptInvalid, DidNotStart, RuntimeMissing, TimeoutError, OSError) as error:
            # One line for whoever waits; the next request plans a new island, with what is deployed then.
            shutil.rmtree(sockets, ignore_errors=True)
            self._over(crashed=True)  # a start that failed waits like a crash: it would fail again at once
            raise ScriptInvalid(str(error) or "workerd was not ready in time") from None
        self._upstreams = {name: Upstream(path) for name, path in layout.sockets().items()}
        self._watcher = asyncio.create_task(self._watch(self.process, sockets))

    async def _start_somehow(self, layout: Layout) -> Workerd:
        """Start, and start again without each Worker or binding that workerd finds fault with."""
        while True:
            for path in layout.sockets().values():
                path.unlink(missing_ok=True)  # an attempt that failed may have bound it
            try:
                return await self._begin(config_of(layout), sockets=layout.sockets())
            except DidNotStart as error:
                faults = faults_in(error.lines, layout)
                if faults == layout.faults:
                    raise  # nothing new to leave out, so the next attempt would end as this one
                self.faults = faults
                layout = replace(layout, faults=faults)

    async def _watch(self, running: Workerd, sockets: Path) -> None:
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
            self._places.over(self)
            self._when_over(self)

    def begin_end(self, grace: float) -> asyncio.Task[None]:
        """Let nobody in from now on, and end the island; those inside have `grace` seconds. Safe to call again."""
        if self._end is None:
            self.closing.set()
            self._end = asyncio.create_task(self._wind_down(grace))
        return self._end

    async def retire(self, grace: float) -> None:
        """End the island as `begin_end` does, and return when it is over."""
        await asyncio.shield(self.begin_end(grace))

    async def _wind_down(self, grace: float) -> None:
        deadline = time.monotonic() + grace
        if self._boot is not None:
            await asyncio.wait([self._boot])  # a start cannot be taken back half way: its process would be nobody's
        try:
            await self._finish(grace, deadline)
        finally:  # whatever failed: one that lets nobody in and does not end holds up all that come
            for upstream in self._upstreams.values():
                upstream.close()
            if self.process is not None:
                rest = max(0.05, deadline - time.monotonic())
                await self.process.stop(min(rest, _AFTER_STREAMS) if self.streamed else rest)
            else:
                self._over(crashed=False)
            await self.gone.wait()

    async def _finish(self, grace: float, deadline: float) -> None:
        """Wait for the requests that are inside, and take over what the end of the process would lose."""
        with contextlib.suppress(TimeoutError):
            self.settle()
            await asyncio.wait_for(self._settled.wait(), grace)
        # As long as a request a step of a workflow is waited for: one that is cut short counts as a failed attempt.
        while time.monotonic() < deadline and await asyncio.to_thread(self.at_work):  # noqa: ASYNC110 - it is on the disk
            await asyncio.sleep(_LOOK_AGAIN)
        if not self.gone.is_set():
            await self.hurry_events()  # what waits to be handed over would end with the process
        if self.process is not None:
            await self._places.before_end(self)


_BAD_BINDING = re.compile(r'Worker "worker:(?P<worker>[^"]+)"\'s binding "(?P<binding>[^"]*)" (?P<what>.*)')
_BAD_WORKER = re.compile(r"service (?:worker|assets):(?P<worker>[^\s:]+): (?P<what>.*)")
_FOLLOWS = re.compile(r'refers to service "assets:[^"]*" with a named entrypoint')
"""What workerd says of a binding to an asset service after it has said what is wrong with that service itself."""


def unwritable(workers: Iterable[RunnableWorker]) -> Faults:
    """Find the Workers that cannot even be configured, such as those in Python."""
    found = {}
    for worker in workers:
        try:
            worker_fields(worker)
        except ScriptInvalid as error:
            found[worker.name] = f'Worker "{worker.name}" does not start: {error}'
    return Faults(workers=found)


def faults_in(lines: Iterable[str], layout: Layout) -> Faults:
    """Read from workerd's output which Workers and bindings keep it from starting, beside those known already.

    Faults can show one after the other, so a start can take several attempts.
    """
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
        elif current is not None and line.startswith(("  ", "'")):  # where in the script, or what was imported
            workers[current] += f"\n{line}"
    return Faults(workers=workers, bindings=bindings)
