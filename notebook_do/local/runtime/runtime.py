"""The running Workers: one workerd process for each island of them, started on request, ended when it is idle.

A namespace's files belong to one process at a time: two that write them lose acknowledged writes. A pending alarm is
never slept through. A thousand deployed Workers that nobody calls cost nothing, while all of them in one process
would cost 2.3 GB and a restart of 7 seconds with each deploy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notebook_do.errors import TargetError
from notebook_do.local.objects import snapshots, stored
from notebook_do.local.objects.names import ObjectNames
from notebook_do.local.process.ownership import fresh_folder, locked
from notebook_do.local.runtime.away import Away
from notebook_do.local.runtime.bindings import SYSTEM, worker_service
from notebook_do.local.runtime.config import Layout
from notebook_do.local.runtime.events import Sink, WorkerEvents
from notebook_do.local.runtime.island import Island, Lease, Retired, is_stale, neighbours
from notebook_do.local.runtime.places import MOST, Places
from notebook_do.local.runtime.probe import CHECK_TIMEOUT, IDLE, Trials
from notebook_do.local.runtime.sites import sweep_sites
from notebook_do.local.runtime.spare import Starter, stopping
from notebook_do.local.runtime.spec import RunnableWorker, ScriptInvalid, WorkflowRefusal
from notebook_do.local.runtime.wakes import Wakes, take_up
from notebook_do.local.services.assembly import Services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from notebook_do.local.objects.stored import StoredObject

_log = logging.getLogger(__name__)
GRACE = 5.0
_STABLE = 2.0
"""Seconds of life after which a crash is no longer held against the next start."""
_SLOWEST_RESTART = 5.0


class Runtime:
    """All islands of one data directory. Make it inside a running event loop, or call `start` in one."""

    def __init__(  # noqa: PLR0913 - the facts of one data directory
        self,
        *,
        data: Path,
        workerd: Path,
        workers: Callable[[], Iterable[RunnableWorker]],
        events: Sink,
        listening: Callable[[], bool] = lambda: True,
        idle: float = IDLE,
        grace: float = GRACE,
        check_timeout: float = CHECK_TIMEOUT,
        most: int = MOST,
    ) -> None:
        """Take the data directory; raises TargetError when another process has it.

        `workers` gives the deployed set now. `events` gets (script name, trace item) while `listening` says that
        somebody wants them; whoever begins to calls `report_events`. An island without requests ends after `idle`
        seconds; one that must end waits `grace` seconds for the requests inside. Of islands that nobody uses at most
        `most` run at once.
        """
        if sys.platform == "win32":
            raise TargetError("the local Cloudflare does not run on Windows; use it in WSL, or target cloudflare.")
        self.storage = data / "objects"
        self.storage.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = locked(data / "runtime.lock", data)
        self._folder, self._mark = fresh_folder(data / "run")
        self._workers, self._grace = workers, grace
        self._places = Places(self.storage, most=most, idle=idle, grace=grace, background=self._background)
        self._by_script: dict[str, Island] = {}
        self.events = WorkerEvents(self._folder / "events", data, events, listening, self._by_script.values)
        self.services = Services(data / "services")
        self.names, self._sites = ObjectNames(data / "names"), data / "sites"
        self._plan = Layout(
            workers=(),
            folder=self._folder,
            storage=self.storage,
            events=self.events.path,
            resources=self._folder / "resources",
            sites=self._sites,
        )
        self._away = Away()
        self._crashes: dict[frozenset[str], tuple[int, float]] = {}
        self._wakes = Wakes(self.storage, workers, self._wake)
        self._tasks: set[asyncio.Task[None]] = set()
        self._started: asyncio.Task[None] | None = None
        self._closed = False
        self._starter = Starter(workerd, self._folder, idle=idle)
        start = self._starter.start
        self.trials = Trials(start, self._folder, self._sites, ready=self.start, check_timeout=check_timeout, idle=idle)
        with contextlib.suppress(RuntimeError):  # no loop yet: the first call of `start` does it
            self._started = asyncio.get_running_loop().create_task(self._start())

    async def start(self) -> None:
        """Begin to take events and to watch for alarms; every other method does this by itself."""
        if self._closed:
            raise stopping()
        started = self._started
        if started is None or (started.done() and (started.cancelled() or started.exception())):
            started = self._started = asyncio.create_task(self._start())
        await asyncio.shield(started)

    async def _start(self) -> None:
        # What a killed runtime left half done; the lock says that nobody else is at it. It comes first, as it may fail.
        await asyncio.to_thread(stored.sweep, self.storage)
        await asyncio.to_thread(snapshots.finish, self.storage)
        await asyncio.to_thread(sweep_sites, self._sites)
        await self.events.start()  # both before the first island, which would find nobody at their sockets
        await self.services.start(self._folder / "resources", self.run_queue)
        self._background(self._wakes.plan(one for worker in self._workers() for one in worker.stored))

    # --- requests ---------------------------------------------------------------------------------------------

    def lease(self, script_name: str) -> AbstractAsyncContextManager[Lease]:
        """Lend the socket of a Worker for one request, starting its island if need be.

        Raises KeyError when it is not deployed, ScriptInvalid when its island cannot start.
        """
        return self._lease(script_name, worker_service(script_name))

    @contextlib.asynccontextmanager
    async def _lease(self, script_name: str, service: str) -> AsyncIterator[Lease]:
        async with contextlib.AsyncExitStack() as stack:
            lease = None
            while lease is None:  # an island may end between being found and being entered
                await self.start()  # each time: nothing may begin once all is closed
                island = self._by_script.get(script_name) or await self._new_island(script_name)
                if island is not None:
                    with contextlib.suppress(Retired):
                        lease = await stack.enter_async_context(island.lease(service))
            yield lease

    def system(self, script_name: str) -> AbstractAsyncContextManager[Lease]:
        """Lend the socket of the runtime's own Worker beside a Worker. Raises as `lease`."""
        return self._lease(script_name, SYSTEM)

    def enter(self, script_name: str) -> Lease | None:
        """Lend the socket of a Worker that runs, without waiting; None where `lease` would wait or raise."""
        island = self._by_script.get(script_name)
        return None if island is None else island.enter(worker_service(script_name))

    async def _new_island(self, script_name: str) -> Island | None:
        """Plan the island of a Worker; None when something had to be waited for and all must be looked at again."""
        workers = neighbours(script_name, self._workers())
        island = Island(
            workers,
            start=self._starter.start_island,
            plan=replace(self._plan, traced=self.events.are_followed(one.name for one in workers)),
            places=self._places,
            over=self._forget,
        )
        if in_the_way := self._overlapping(island):
            await asyncio.gather(*(other.retire(self._grace) for other in in_the_way))
            return None  # another request may have planned the same island meanwhile
        if await self._away.waited(island.namespaces):
            return None
        # The first crash costs the next request nothing; a script that always crashes must not keep the machine busy.
        crashes, last = self._crashes.get(island.names, (0, 0.0))
        wait = last + min(_SLOWEST_RESTART, 0.05 * 2**crashes) - time.monotonic() if crashes > 1 else 0
        if wait > 0:
            await asyncio.sleep(wait)
            return None
        self.events.begin(island.workers)
        self._by_script.update(dict.fromkeys(island.names, island))
        self._background(self._places.end_when_idle(island))
        self._background(self._places.follow(island))
        if island.workflows:
            self._background(take_up(self.storage, island))
        return island

    def _overlapping(self, island: Island) -> list[Island]:
        """Find islands that still hold a Worker or a namespace of this one: they must be over first."""
        return [
            other
            for other in set(self._by_script.values())
            if other.names & island.names or other.namespaces & island.namespaces
        ]

    def _forget(self, island: Island) -> None:
        """Forget an island that is over, remember whether it crashed, and plan its alarms."""
        for name in island.names:
            if self._by_script.get(name) is island:
                del self._by_script[name]
        now = time.monotonic()
        if island.crashed:
            self.events.logs.crashed(island.names)
            count, _ = self._crashes.get(island.names, (0, 0.0))
            self._crashes[island.names] = (1 if now - island.born > _STABLE else count + 1, now)
        else:
            self._crashes.pop(island.names, None)
        if not self._closed:
            self._background(self._wakes.plan(island.namespaces))

    # --- alarms -----------------------------------------------------------------------------------------------

    def _wake(self, namespace: str) -> None:
        for worker in self._workers():
            if worker.hosts(namespace) and not self._closed:
                self._background(self._warm(worker.name))

    async def _warm(self, script_name: str) -> None:
        """Start a Worker's island, if it can be started; if not, the next request gets the reason."""
        with contextlib.suppress(KeyError, ScriptInvalid, TargetError):
            async with self.lease(script_name):
                pass

    # --- changes ----------------------------------------------------------------------------------------------

    async def changed(self, names: Iterable[str]) -> None:
        """Replace the islands that these scripts were, or are now, part of; requests inside them finish first.

        They let nobody in from now on, and end behind this: the next request waits for that. Until then old code runs
        the alarms that come due. They are started again at once: a client that had a websocket there is about to come
        back. What belongs to a script that is deleted has ended when this returns.
        """
        await self.start()
        touched = set(names)
        running = set(self._by_script.values())
        for island in running:
            if is_stale(island, touched, self._workers()):
                island.begin_end(self._grace)
                self._background(self._replace(island))
        deployed = {worker.name: worker for worker in self._workers()}
        if gone := touched - deployed.keys():
            await asyncio.gather(*(island.retire(self._grace) for island in running if island.names & gone))
            await self.events.forget(gone)
        served = [worker for island in running for worker in island.workers]
        await asyncio.to_thread(sweep_sites, self._sites, [*deployed.values(), *self.trials.under_way, *served])
        await self._wakes.plan(
            one for name in touched & deployed.keys() - self._by_script.keys() for one in deployed[name].stored
        )

    async def _replace(self, island: Island) -> None:
        await island.retire(self._grace)
        deployed = {worker.name for worker in self._workers()}
        await asyncio.gather(*(self._warm(name) for name in island.names & deployed))

    async def forget(self, namespace_id: str) -> None:
        """Delete the objects of a namespace; the island that holds them ends first.

        An open object would go on with a file that has no name any more, and a new one fail (SQLITE_CANTOPEN).
        """
        folder = stored.folder_of(self.storage, namespace_id)
        holders = [island for island in set(self._by_script.values()) if namespace_id in island.namespaces]
        await asyncio.gather(*(island.retire(self._grace) for island in holders))
        self._wakes.drop(namespace_id)
        self.names.forget(namespace_id)
        if folder.exists():
            await asyncio.to_thread(stored.remove_namespace, self.storage, namespace_id)

    @contextlib.asynccontextmanager
    async def away(self, namespace_id: str) -> AsyncIterator[None]:
        """Keep every process from the objects of a namespace; requests to its Workers wait meanwhile."""
        await self.start()
        async with self._away.hold(namespace_id):
            ran = [island for island in set(self._by_script.values()) if namespace_id in island.namespaces]
            await asyncio.gather(*(island.retire(self._grace) for island in ran))
            yield
        await self._wakes.plan([namespace_id])
        for name in {name for island in ran for name in island.names}:  # a websocket's client is about to come back
            self._background(self._warm(name))

    async def report_events(self) -> None:
        """Have every process report its events, as somebody listens now: what ends after this is reported."""
        await asyncio.gather(*(island.report_events() for island in set(self._by_script.values())))

    # --- looking and doing ------------------------------------------------------------------------------------

    async def objects(
        self, namespace_id: str, *, after: str = "", most: int | None = None, only: str = ""
    ) -> list[StoredObject]:
        """List objects of a namespace by id, behind `after`, with the names that are known; see `stored_objects`."""
        hosts = [worker.name for worker in self._workers() if worker.hosts(namespace_id)]
        tied = [worker for host in hosts for worker in neighbours(host, self._workers())]

        def look() -> list[StoredObject]:
            written = self._places.written
            found = stored.stored_objects(self.storage, namespace_id, written, after=after, most=most, only=only)
            unnamed = [one.id for one in found if one.name is None]
            names = self.names.find(namespace_id, unnamed, tied) if unnamed else {}
            return [replace(one, name=one.name or names.get(one.id)) for one in found]

        return await asyncio.to_thread(look)

    async def run_cron(self, script_name: str, cron: str, at: float | None = None) -> dict[str, Any]:
        """Run a Worker's `scheduled` handler now; returns workerd's `outcome` and `noRetry`. Raises as `lease` does."""
        moment = int((time.time() if at is None else at) * 1000)
        return await self._run(script_name, "scheduled", {"cron": cron, "time": moment})

    async def ask_workflow(self, script_name: str, workflow: str, call: str, *args: Any) -> Any:
        """Call the API of a workflow that a Worker hosts. Raises WorkflowRefusal in its words, or as `lease`."""
        answer = await self._run(script_name, "workflow", {"workflow": workflow, "call": call, "args": args})
        if error := answer.get("error"):
            raise WorkflowRefusal(str(error))
        return answer.get("result")

    async def run_queue(self, script_name: str, queue: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Hand a batch to a Worker's `queue` handler; returns workerd's result. Raises as `lease` does."""
        return await self._run(script_name, "queue", {"queue": queue, "messages": messages})

    async def _run(self, script_name: str, handler: str, event: dict[str, Any]) -> dict[str, Any]:
        """Run one handler of a Worker, through the runtime's own Worker in its island: no request can reach these."""
        body = json.dumps({"script": script_name, **event}).encode()
        async with self._lease(script_name, SYSTEM) as lease:
            answer = await lease.upstream.fetch("POST", "/", host=SYSTEM, body=body)
        if answer.status != 200:
            raise ScriptInvalid(f'the {handler} handler of Worker "{script_name}" could not be run')
        result: dict[str, Any] = json.loads(answer.body)
        return result

    async def close(self) -> None:
        """End every island, after the requests inside, and release the data directory."""
        self._closed = True
        await asyncio.gather(*filter(None, [self._started]), return_exceptions=True)  # it opens what is closed here
        await self.services.stop_delivery()  # before the islands: a batch would start one again
        self._wakes.close()
        await asyncio.gather(*(island.retire(self._grace) for island in set(self._by_script.values())))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(self.trials.close(), self._starter.close())
        await self.events.close()  # after the islands, whose last requests still report events and use bindings
        await self.services.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # only the link of a short folder is left (`fresh_folder`)
            (self.storage.parent / "run").unlink()
        for descriptor in (self._mark, self._lock):  # last of all: whoever waits for the lock finds nothing running
            if descriptor is not None:
                os.close(descriptor)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work in the background failed", exc_info=error)
