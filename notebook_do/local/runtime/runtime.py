"""Runs the deployed Workers: an island of them per workerd process, started when somebody asks, ended when nobody does.

The rules kept here: a namespace's files belong to one process at a time; a pending alarm is never slept through;
a thousand deployed Workers that nobody calls cost nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.errors import TargetError
from notebook_do.local.objects import stored
from notebook_do.local.objects.names import Names
from notebook_do.local.process.ownership import fresh_folder, locked
from notebook_do.local.runtime import sites
from notebook_do.local.runtime import workerd as process
from notebook_do.local.runtime.bindings import SYSTEM, worker_service
from notebook_do.local.runtime.config import Layout, config_text
from notebook_do.local.runtime.events import EventServer, Sink
from notebook_do.local.runtime.island import Island, Lease, Retired, neighbours
from notebook_do.local.runtime.probe import probe
from notebook_do.local.runtime.spec import ProbeReport, RunnableWorker, ScriptInvalid
from notebook_do.local.services.assembly import Services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from notebook_do.local.objects.stored import StoredObject

IDLE = 60.0
GRACE = 5.0
CHECK_TIMEOUT = 10.0
_STABLE = 2.0  # seconds of life after which a crash is no longer held against the next start
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
        idle: float = IDLE,
        grace: float = GRACE,
        check_timeout: float = CHECK_TIMEOUT,
    ) -> None:
        """Take the data directory; raises TargetError when another process has it.

        `workers` gives the deployed set now. `events` gets (script name, trace item). An island without requests
        ends after `idle` seconds; one that must end waits `grace` seconds for the requests inside.
        """
        if sys.platform == "win32":
            raise TargetError("the local Cloudflare does not run on Windows; use it in WSL, or target cloudflare.")
        self.storage = data / "objects"
        self.storage.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = locked(data / "runtime.lock", data)
        self._folder, self._mark = fresh_folder(data / "run")
        self._workerd, self._workers, self._idle, self._grace = workerd, workers, idle, grace
        self._events = EventServer(self._folder / "events", events)
        self.services = Services(data / "services")
        self.names, self._sites = Names(data / "names"), data / "sites"
        self._plan = Layout(
            workers=(),
            folder=self._folder,
            storage=self.storage,
            events=self._events.path,
            resources=self._folder / "resources",
            sites=self._sites,
        )
        self._by_script: dict[str, Island] = {}
        self._crashes: dict[frozenset[str], tuple[int, float]] = {}
        self._wakes: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._started: asyncio.Task[None] | None = None
        self._closed, self._check_timeout = False, check_timeout
        with contextlib.suppress(RuntimeError):
            self._started = asyncio.get_running_loop().create_task(self._start())

    async def start(self) -> None:
        """Begin to take events and to watch for alarms; every other method does this by itself."""
        if self._closed:
            raise TargetError("the local Cloudflare is being stopped; try again when it is up.")
        if self._started is None:
            self._started = asyncio.create_task(self._start())
        await asyncio.shield(self._started)

    async def _start(self) -> None:
        await self._events.start()
        await self.services.start(self._folder / "resources", self.run_queue)
        await asyncio.to_thread(stored.sweep, self.storage)
        await asyncio.to_thread(sites.sweep, self._sites)
        await self._plan_wakes(one.namespace_id for worker in self._workers() for one in worker.namespaces)

    # --- requests ---------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def lease(self, script_name: str) -> AsyncIterator[Lease]:
        """Give a way to a Worker for one request, starting its island if it must be.

        Raises KeyError when it is not deployed, ScriptInvalid when its island cannot start.
        """
        async with self._lease(script_name, worker_service(script_name)) as lease:
            yield lease

    @contextlib.asynccontextmanager
    async def _lease(self, script_name: str, service: str) -> AsyncIterator[Lease]:
        await self.start()
        async with contextlib.AsyncExitStack() as stack:
            lease = None
            while lease is None:
                island = self._by_script.get(script_name) or await self._new_island(script_name)
                if island is not None:
                    with contextlib.suppress(Retired):
                        lease = await stack.enter_async_context(island.lease(service))
            yield lease

    async def _new_island(self, script_name: str) -> Island | None:
        """Plan the island of a Worker; None when something had to be waited for and all must be looked at again."""
        island = Island(
            neighbours(script_name, self._workers()),
            workerd=self._workerd,
            plan=self._plan,
            over=self._lay_down,
        )
        if in_the_way := self._overlapping(island):
            await asyncio.gather(*(other.retire(self._grace) for other in in_the_way))
            return None
        crashes, last = self._crashes.get(island.names, (0, 0.0))
        wait = last + min(_SLOWEST_RESTART, 0.05 * 2**crashes) - time.monotonic() if crashes > 1 else 0
        if wait > 0:
            await asyncio.sleep(wait)
            return None
        self._by_script.update(dict.fromkeys(island.names, island))
        self._background(self._tend(island))
        return island

    def _overlapping(self, island: Island) -> list[Island]:
        """Find islands that still hold a Worker or a namespace of this one: they must be over first."""
        return [
            other
            for other in set(self._by_script.values())
            if other.names & island.names or other.namespaces & island.namespaces
        ]

    async def _tend(self, island: Island) -> None:
        """End an island when it is idle."""
        pause = self._idle
        while not island.gone.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(island.gone.wait(), pause)
                return
            pause = await self._pause(island)
            if pause <= 0:
                await island.retire(self._grace)

    def _lay_down(self, island: Island) -> None:
        """Forget an island that is over, remember whether it crashed, and see to its alarms."""
        for name in island.names:
            if self._by_script.get(name) is island:
                del self._by_script[name]
        now = time.monotonic()
        if island.crashed:
            count, _ = self._crashes.get(island.names, (0, 0.0))
            self._crashes[island.names] = (1 if now - island.born > _STABLE else count + 1, now)
        else:
            self._crashes.pop(island.names, None)
        if not self._closed:
            self._background(self._plan_wakes(island.namespaces))

    async def _pause(self, island: Island) -> float:
        """Say how long to leave an island alone; 0 when it can end."""
        rest = self._idle - island.quiet_for()
        if rest > 0:
            return rest
        due = await asyncio.to_thread(stored.next_alarm, self.storage, island.namespaces)
        soon = due is not None and due < time.time() + self._idle
        return self._idle if soon or island.leases else 0

    # --- alarms -----------------------------------------------------------------------------------------------

    async def _plan_wakes(self, namespaces: Iterable[str]) -> None:
        """Set a timer for each namespace whose next alarm would otherwise find its island asleep."""
        for namespace, due in (await asyncio.to_thread(self._due, list(namespaces))).items():
            if known := self._wakes.pop(namespace, None):
                known.cancel()
            if due is not None and not self._closed:
                wake = asyncio.get_running_loop().call_later
                self._wakes[namespace] = wake(max(0.0, due - time.time()), self._wake, namespace)

    def _due(self, namespaces: list[str]) -> dict[str, float | None]:
        return {namespace: stored.next_alarm(self.storage, [namespace]) for namespace in namespaces}

    def _wake(self, namespace: str) -> None:
        self._wakes.pop(namespace, None)
        for worker in self._workers():
            if _hosts(worker, namespace) and not self._closed:
                self._background(self._warm(worker.name))

    async def _warm(self, script_name: str) -> None:
        """Start a Worker's island, if it can be started; whoever asks it next is told why not."""
        with contextlib.suppress(KeyError, ScriptInvalid, TargetError):
            async with self.lease(script_name):
                pass

    # --- changes ----------------------------------------------------------------------------------------------

    async def check(self, worker: RunnableWorker) -> None:
        """Boot a Worker as it would be deployed, but alone and in memory; raises ScriptInvalid."""
        await self.start()
        sockets = Path(tempfile.mkdtemp(dir=self._folder, prefix=""))
        layout = Layout(workers=(worker,), folder=sockets, sites=self._sites)
        try:
            await sites.lay_out([worker], self._sites)
            running = await process.start(
                self._workerd,
                config_text(layout),
                folder=sockets,
                sockets=layout.sockets(),
                timeout=self._check_timeout,
            )
            await running.stop(0)
        except process.DidNotStart as error:
            raise ScriptInvalid(str(error)) from None
        except TimeoutError:
            raise ScriptInvalid("Script startup exceeded CPU time limit.") from None
        finally:
            shutil.rmtree(sockets, ignore_errors=True)

    async def probe(self, worker: RunnableWorker) -> ProbeReport:
        """Find out what a Worker exports, in a folder that is removed whatever becomes of this process."""
        return await probe(worker, self._workerd, folder=self._folder)

    async def changed(self, names: Iterable[str]) -> None:
        """Replace the islands that these scripts were, or are now, part of; requests inside them finish first."""
        await self.start()
        touched = set(names)
        stale = [island for island in set(self._by_script.values()) if self._is_stale(island, touched)]
        await asyncio.gather(*(island.retire(self._grace) for island in stale))
        deployed = {worker.name: worker for worker in self._workers()}
        await asyncio.to_thread(sites.sweep, self._sites, deployed.values())
        for name in {name for island in stale for name in island.names} & deployed.keys():
            self._background(self._warm(name))
        await self._plan_wakes(
            one.namespace_id
            for name in touched & deployed.keys() - self._by_script.keys()
            for one in deployed[name].namespaces
        )

    def _is_stale(self, island: Island, touched: set[str]) -> bool:
        if island.names & touched:
            return True
        try:
            now = neighbours(next(iter(island.names)), self._workers())
        except KeyError:
            return True
        return {worker.name: worker.version for worker in now} != {one.name: one.version for one in island.workers}

    async def forget(self, namespace_id: str) -> None:
        """Delete the objects of a namespace; the island that holds them ends first."""
        folder = stored.folder_of(self.storage, namespace_id)
        holders = [island for island in set(self._by_script.values()) if namespace_id in island.namespaces]
        await asyncio.gather(*(island.retire(self._grace) for island in holders))
        if timer := self._wakes.pop(namespace_id, None):
            timer.cancel()
        self.names.forget(namespace_id)
        if folder.exists():
            await asyncio.to_thread(stored.remove_namespace, self.storage, namespace_id)

    # --- looking and doing ------------------------------------------------------------------------------------

    async def objects(self, namespace_id: str, *, after: str = "", most: int | None = None) -> list[StoredObject]:
        """List the objects of a namespace by id, behind `after`, with the names that are known."""
        hosts = [worker.name for worker in self._workers() if _hosts(worker, namespace_id)]
        tied = [worker for host in hosts for worker in neighbours(host, self._workers())]

        def look() -> list[StoredObject]:
            found = stored.stored_objects(self.storage, namespace_id, after=after, most=most)
            unnamed = [one.id for one in found if one.name is None]
            names = self.names.prove(namespace_id, unnamed, tied) if unnamed else {}
            return [replace(one, name=one.name or names.get(one.id)) for one in found]

        return await asyncio.to_thread(look)

    async def run_cron(self, script_name: str, cron: str, at: float | None = None) -> dict[str, Any]:
        """Run a Worker's `scheduled` handler now; gives workerd's `outcome` and `noRetry`. Raises as `lease` does."""
        moment = int((time.time() if at is None else at) * 1000)
        body = json.dumps({"script": script_name, "cron": cron, "time": moment}).encode()
        async with self._lease(script_name, SYSTEM) as lease:
            answer = await lease.upstream.fetch("POST", "/", host=SYSTEM, body=body)
        if answer.status != 200:
            raise ScriptInvalid(f'the scheduled handler of Worker "{script_name}" could not be run')
        result: dict[str, Any] = json.loads(answer.body)
        return result

    async def run_queue(self, script_name: str, queue: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Give a batch to a Worker's `queue` handler; gives workerd's result. Raises as `lease` does."""
        body = json.dumps({"script": script_name, "queue": queue, "messages": messages}).encode()
        async with self._lease(script_name, SYSTEM) as lease:
            answer = await lease.upstream.fetch("POST", "/", host=SYSTEM, body=body)
        if answer.status != 200:
            raise ScriptInvalid(f'the queue handler of Worker "{script_name}" could not be run')
        result: dict[str, Any] = json.loads(answer.body)
        return result

    async def close(self) -> None:
        """End every island, after the requests inside, and give the data directory back."""
        self._closed = True
        await self.services.stop_delivery()
        for timer in self._wakes.values():
            timer.cancel()
        await asyncio.gather(*(island.retire(self._grace) for island in set(self._by_script.values())))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._events.close()
        await self.services.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # only a link is left
            (self.storage.parent / "run").unlink()
        for descriptor in (self._mark, self._lock):
            if descriptor is not None:
                os.close(descriptor)

    async def _quiet(self) -> None:
        """Wait until nothing is being planned or started in the background."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _hosts(worker: RunnableWorker, namespace_id: str) -> bool:
    return any(one.namespace_id == namespace_id for one in worker.namespaces)
