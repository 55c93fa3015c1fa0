"""Trials of an uploaded script: whether it starts as it would be deployed, and what it exports.

A trial is a process of its own with an end in sight: workerd only warns about a class that is not exported and never
gives up on an endless loop, and Cloudflare refuses both at upload. Only what is no more than an edit may pass without
one (`loading`). Nothing stored can be touched (memory only) and nothing reached (no network).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.local.runtime.bindings import bindings_of, externals
from notebook_do.local.runtime.config import (
    Layout,
    config_of,
    document,
    examined_config,
    listener,
    nowhere,
    service,
    system_service,
    worker_fields,
)
from notebook_do.local.runtime.loading import Loader, drawn_name
from notebook_do.local.runtime.sites import make_sites
from notebook_do.local.runtime.spec import Export, ProbeReport, RunnableWorker, ScriptInvalid
from notebook_do.local.runtime.upstream import Upstream
from notebook_do.local.runtime.workerd import DidNotStart, Start, Workerd
from notebook_do.local.runtime.workflows import make_links

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from notebook_do.local.runtime.capnp import Struct

PROBE_TIMEOUT = 5.0
CHECK_TIMEOUT = 10.0
IDLE = 60.0
"""Seconds for which a process stays that nobody uses."""
START_CPU_SECONDS = 2
"""Cloudflare gives a script 1 second of the processor to start (limits, "Worker startup time"); not all are as fast."""
TIMED_OUT = "Script startup exceeded CPU time limit."
"""Cloudflare's text for 10021 where a script does not come to an end; where it waits for ever, it is wall time."""
_TEMPLATE = Path(__file__).with_name("probe.js")
_INTACT = "export const { Response } = globalThis;\nexport const { stringify } = JSON;\n"
"""What the wrapper needs of the globals, evaluated before the script, which may change them."""
_REMEMBERED = 1000


class StartTimedOut(ScriptInvalid):
    """The script does not come to an end."""


class Trials:
    """The trials of one data directory: a few at once, as many as there are cores.

    What they need on the disk lies in `folder`, which the next owner of a data directory empties, and static assets in
    `sites`. `ready` returns when the runtime has started, and raises when it is closed. A process that loads edits ends
    after `idle` seconds without one.
    """

    def __init__(  # noqa: PLR0913 - what a trial needs, and how long it may take
        self,
        start: Start,
        folder: Path,
        sites: Path,
        *,
        ready: Callable[[], Awaitable[None]],
        check_timeout: float = CHECK_TIMEOUT,
        idle: float = IDLE,
    ) -> None:
        self._start, self._folder, self._sites, self._timeout = start, folder, sites, check_timeout
        self._ready = ready
        self._loader = Loader(start, folder, idle=idle, end=self.end_aside)
        self._passed: OrderedDict[str, RunnableWorker] = OrderedDict()
        self.under_way: list[RunnableWorker] = []
        """The Workers that are tried now: their static assets may not be swept."""
        self._most = max(2, os.cpu_count() or 2)
        self._at_once = asyncio.Semaphore(self._most)
        self._ends: set[asyncio.Task[None]] = set()

    async def probe(self, worker: RunnableWorker) -> ProbeReport:
        """Find out what a Worker exports, by loading it alone; raises ScriptInvalid."""
        async with self._at_once:
            await self._ready()
            return await probe(worker, self._start, folder=self._folder)

    async def check(self, worker: RunnableWorker) -> None:
        """Boot a Worker as it would be deployed, but alone and in memory; raises ScriptInvalid."""
        async with self._place(worker) as layout:
            names, seconds = layout.sockets(), self._timeout
            async with trial(self._start, config_of(layout), sockets=names, seconds=seconds):
                pass

    async def examine(self, worker: RunnableWorker) -> ProbeReport:
        """Boot a Worker as `check` does and ask it, in the same process, what it exports; raises ScriptInvalid.

        It passes nothing that `probe` or `check` refuses. Of what it refuses only these two can say which one does,
        and in which words, but for a script that does not come to an end. Where only the code differs from what passed
        before, loading it is enough.
        """
        around = replace(worker.shape, modules=())
        if self._passed.get(worker.name) == around:
            began = time.monotonic()
            if (found := await self._loader.load(worker, _wrapper(worker, again=True))) is not None:
                report = _report(found, time.monotonic() - began)
                if _has_what_it_links(worker, report):
                    return report
        try:
            report = await self._started(worker)
        finally:
            self._loader.soon()
        self._passed[worker.name] = around
        self._passed.move_to_end(worker.name)
        if len(self._passed) > _REMEMBERED:
            self._passed.popitem(last=False)
        return report

    async def _started(self, worker: RunnableWorker) -> ProbeReport:
        async with self._place(worker) as layout:
            asked = layout.folder / "probe"
            config = examined_config(layout, _wrapper(worker, again=True), asked)
            began = time.monotonic()
            async with trial(
                self._start,
                config,
                sockets=["probe"],
                seconds=min(PROBE_TIMEOUT, self._timeout),
                trials=self,
            ):
                startup = time.monotonic() - began
                async with asyncio.timeout(PROBE_TIMEOUT):
                    found = await _ask(asked)
        return _report(found, startup)

    @contextlib.asynccontextmanager
    async def _place(self, worker: RunnableWorker) -> AsyncIterator[Layout]:
        """Wait for a turn, and make a folder for the sockets of a Worker that is tried alone."""
        async with self._at_once:
            await self._ready()  # a runtime that starts removes all static assets
            sockets = Path(tempfile.mkdtemp(dir=self._folder, prefix=""))
            self.under_way.append(worker)
            try:
                await make_sites([worker], self._sites)
                layout = Layout(workers=(worker,), folder=sockets, sites=self._sites)
                make_links([worker], None, layout.links)
                yield layout
            finally:
                self.under_way.remove(worker)
                shutil.rmtree(sockets, ignore_errors=True)

    def end_aside(self, running: Workerd) -> None:
        """Kill a process of a trial without waiting for its end, which takes a few milliseconds."""
        task = asyncio.create_task(running.stop(0))
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    async def close(self) -> None:
        """Wait until every trial is over and its process gone; whoever waits for a turn finds the runtime closed."""
        await self._loader.close()
        for _ in range(self._most):
            await self._at_once.acquire()
        for _ in range(self._most):
            self._at_once.release()
        await asyncio.gather(*self._ends)


@contextlib.asynccontextmanager
async def trial(
    start: Start,
    config: Struct,
    *,
    sockets: Iterable[str],
    seconds: float,
    trials: Trials | None = None,
) -> AsyncIterator[None]:
    """Start a script once, to be ended with the context. Raises ScriptInvalid, with workerd's words or for the time."""
    try:
        running = await start(config, sockets=sockets, timeout=seconds, cpu_seconds=START_CPU_SECONDS)
        try:
            yield
        finally:
            if trials is None:
                await running.stop(0)
            else:
                trials.end_aside(running)
    except DidNotStart as error:
        raise ScriptInvalid(str(error)) from None
    except TimeoutError:
        raise StartTimedOut(TIMED_OUT) from None


async def probe(
    worker: RunnableWorker,
    start: Start,
    *,
    timeout: float = PROBE_TIMEOUT,  # noqa: ASYNC109 - it ends a process, not only a wait
    folder: Path | None = None,
) -> ProbeReport:
    """Report what a script exports, by loading it once. Raises as `trial`."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="") as own:
        listening = Path(own) / "probe"
        config = _probe_config(worker, listening)
        began = time.monotonic()
        async with trial(start, config, sockets=["probe"], seconds=timeout):
            startup = time.monotonic() - began
            async with asyncio.timeout(timeout):
                found = await _ask(listening)
    return _report(found, startup)


def _wrapper(worker: RunnableWorker, *, again: bool = False) -> list[Struct]:
    """Make the module that asks the main one, and the one it needs; the main one runs behind them.

    `again` all that the main one exports is exported: the default export under another name, as workerd checks it like
    every other one. Their names are drawn: a script could import them here, and there is none where it is deployed.
    """
    name, intact = (drawn_name() for _ in range(2))
    main = json.dumps(f"./{worker.main_module}")
    source = _TEMPLATE.read_text(encoding="utf-8").replace('"NOTEBOOK_DO_MAIN_MODULE"', main)
    source = source.replace('"NOTEBOOK_DO_INTACT_MODULE"', json.dumps(f"./{intact}"))
    if again:
        source += f"export * from {main};\nexport const notebookDoDefault = main.default ?? {{}};\n"
    return [{"name": name, "esModule": source}, {"name": intact, "esModule": _INTACT}]


def _probe_config(worker: RunnableWorker, listening: Path) -> Struct:
    # Only values are bound: objects and other Workers are stand-ins, which a script may hold but not call at start.
    # Secrets are stand-ins too: a script that only has to be asked needs none.
    kinds = ("secret_text", "secret_key")
    bound = tuple({**b, "type": kinds[0], "text": "secret"} if b.get("type") in kinds else b for b in worker.bindings)
    fields = worker_fields(worker, before=_wrapper(worker))
    bindings = list(bindings_of(replace(worker, bindings=bound), {}, {}))
    probed = service("probe", worker={**fields, "bindings": bindings})
    services = [nowhere(), system_service(), *externals([worker], listening.with_name("none")), probed]
    return document(services, [listener("probe", listening)])


async def _ask(listening: Path) -> list[dict[str, Any]]:
    upstream = Upstream(listening)
    try:
        answer = await upstream.fetch("GET", "/", host="probe")
    finally:
        upstream.close()
    if answer.status != 200:
        raise ScriptInvalid(answer.body.decode("utf-8", "replace"))
    try:
        found: list[dict[str, Any]] = json.loads(answer.body)
    except ValueError:
        raise ScriptInvalid(
            "what it exports cannot be read: it changes JavaScript's own objects at its start"
        ) from None
    return found


def _has_what_it_links(worker: RunnableWorker, report: ProbeReport) -> bool:
    """Say whether a Worker exports what it binds, or runs, of itself: workerd looks when it starts it for good."""
    exports = {export.name: export.kind for export in report.exports}
    entrypoints = (b.get("entrypoint") for b in worker.bindings if b.get("service") == worker.name)
    flows = all(exports.get(flow.class_name) == "workflow" for flow in worker.workflows)
    return flows and all(not entrypoint or entrypoint in exports for entrypoint in entrypoints)


def _report(found: list[dict[str, Any]], startup: float) -> ProbeReport:
    exports = tuple(
        Export(name=item["name"], kind=item["kind"], handlers=tuple(item["handlers"]))
        for item in found
        if item["name"] != "default"
    )
    default = next((tuple(item["handlers"]) for item in found if item["name"] == "default"), ())
    return ProbeReport(exports=exports, default_handlers=default, startup_ms=round(startup * 1000))
