"""How long a Worker takes to start, to be replaced and to answer, and what idle Workers cost. Run with -m benchmark."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import statistics
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from capnp_text import file_of

from notebook_do.local.process.listening import bind, server_of
from notebook_do.local.process.workers_port import workers_server
from notebook_do.local.runtime.config import Layout, config_of
from notebook_do.local.runtime.probe import probe
from notebook_do.local.runtime.runtime import Runtime
from notebook_do.local.runtime.spare import Starter
from notebook_do.local.runtime.spec import HostedNamespace, ModuleFile, RunnableWorker
from notebook_do.local.runtime.workerd import Workerd, _listening, _tied_to_parent, start_workerd
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from notebook_do.local.runtime.capnp import Struct

pytestmark = pytest.mark.benchmark

COUNTER = """
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async increment() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
}
export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/plain") return new Response("plain");
    return new Response(String(await env.COUNTER.getByName("a").increment()));
  },
};
"""
BINDING = {"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"}
MANY = 1000
CALLED, UNCAPPED = 200, 30


def counter(module: Path, number: int, version: int = 0) -> RunnableWorker:
    """Make a Worker with a counter of its own."""
    return RunnableWorker(
        name=f"counter-{number}",
        version=str(version),
        main_module="index.js",
        modules=(ModuleFile(name="index.js", content_type="application/javascript+module", path=module),),
        bindings=(BINDING,),
        namespaces=(HostedNamespace(namespace_id=f"{number:032x}", class_name="Counter", sqlite=True),),
        compatibility_date="2026-10-01",
    )


@contextlib.asynccontextmanager
async def runtime_with(folder: Path, workers: dict[str, RunnableWorker], **more: Any) -> AsyncIterator[Runtime]:
    """Run a runtime."""
    runtime = Runtime(
        data=folder / "data",
        workerd=find_workerd(),
        workers=lambda: list(workers.values()),
        events=lambda _script, _item: None,
        **more,
    )
    try:
        yield runtime
    finally:
        await runtime.close()


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Give the file of the counter."""
    path = tmp_path / "counter.js"
    path.write_text(COUNTER)
    return path


def median(times: list[float]) -> str:
    """Show a median and a 99th percentile in milliseconds."""
    ordered = sorted(times)
    return f"p50 {statistics.median(ordered) * 1e3:.2f} ms, p99 {ordered[int(len(ordered) * 0.99)] * 1e3:.2f} ms"


def test_start_redeploy_and_probe(tmp_path: Path, module: Path, say: Callable[[str], None]) -> None:
    """Print the time from nothing to the first answer, of a replacement, and of a probe."""

    async def measure() -> None:
        starts, swaps, probes = [], [], []
        workers = {"counter-1": counter(module, 1)}
        async with runtime_with(tmp_path, workers) as runtime:
            for version in range(15):
                workers["counter-1"] = counter(module, 1, version)
                began = time.perf_counter()
                await probe(workers["counter-1"], partial(start_workerd, find_workerd(), folder=tmp_path))
                probes.append(time.perf_counter() - began)
                began = time.perf_counter()
                await runtime.changed(["counter-1"])
                async with runtime.lease("counter-1") as lease:
                    answer = await lease.upstream.fetch("GET", "/", host="counter-1.localhost")
                (swaps if version else starts).append(time.perf_counter() - began)
                assert answer.body == str(version + 1).encode()
            for _ in range(10):
                for island in set(runtime._by_script.values()):
                    await island.retire(5)
                began = time.perf_counter()
                async with runtime.lease("counter-1") as lease:
                    await lease.upstream.fetch("GET", "/", host="counter-1.localhost")
                starts.append(time.perf_counter() - began)
        say(f"start to first answer: {median(starts)}")
        say(f"replace to first answer of the new code: {median(swaps)}")
        say(f"probe: {median(probes)}")

    asyncio.run(measure())


async def by_text(workerd: Path, config: Struct, folder: Path, sockets: set[str]) -> Workerd:
    """Start workerd as it is started by hand, with its configuration as text in a file."""
    written = folder / "config.capnp"
    written.write_text(file_of(config))
    control, theirs = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(workerd, "serve", "--experimental", "-I", "/", f"--control-fd={theirs}", written),
        stderr=asyncio.subprocess.PIPE,
        env={},
        pass_fds=[theirs],
        preexec_fn=_tied_to_parent(),
    )
    os.close(theirs)
    assert await _listening(control, sockets)
    os.close(control)
    return Workerd(process)


def test_start_by_text_by_message_and_by_one_that_waits(
    tmp_path: Path, module: Path, say: Callable[[str], None]
) -> None:
    """Print how long a start takes until it listens, in turns, and how each way compares with text."""

    async def measure() -> None:
        workerd = find_workerd()
        times: dict[str, list[float]] = {"text": [], "message": [], "a process that waits": []}
        starter = Starter(workerd, tmp_path, idle=60)
        for number in range(16):
            for way, taken in times.items():
                folder = tmp_path / f"{number}-{len(way)}"
                folder.mkdir()
                layout = Layout(workers=(counter(module, 1),), folder=folder)
                config, sockets = config_of(layout), set(layout.sockets())
                began = time.perf_counter()
                if way == "text":
                    running = await by_text(workerd, config, folder, sockets)
                elif way == "message":
                    running = await start_workerd(workerd, config, folder=folder, sockets=sockets)
                else:
                    running = await starter.start(config, sockets=sockets)
                taken.append(time.perf_counter() - began)
                await running.stop(0)
                await asyncio.sleep(0.15)  # the next one is made meanwhile
        await starter.close()
        for way, taken in times.items():
            ratio = statistics.median(one / text for one, text in zip(taken[1:], times["text"][1:], strict=True))
            say(f"start by {way}: {median(taken[1:])}, {ratio:.2f} of text")

    asyncio.run(measure())


def test_a_call_through_the_port(tmp_path: Path, module: Path, say: Callable[[str], None]) -> None:
    """Print the time of a call through the workers port, with and without a write to an object."""

    def calls(port: int, path: str) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        times = []
        for _ in range(2000):
            began = time.perf_counter()
            connection.request("GET", path, headers={"Host": f"counter-1.localhost:{port}"})
            assert connection.getresponse().read()
            times.append(time.perf_counter() - began)
        connection.close()
        return times[200:]

    async def measure() -> None:
        async with runtime_with(tmp_path, {"counter-1": counter(module, 1)}) as runtime:
            listener = bind(0)
            server, port = workers_server(runtime), listener.getsockname()[1]
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.001)
            for path, what in (("/plain", "a plain call"), ("/", "a call that increments a stored counter")):
                say(f"{what}: {median(await asyncio.to_thread(calls, port, path))}")
            server.end()
            await serving

    asyncio.run(measure())


def test_what_the_named_protocol_saves(say: Callable[[str], None]) -> None:
    """Print the time of a small answer in two writes on a kept connection, with TCP named on the listener and not."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def calls(port: int) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        times = []
        for _ in range(60):
            began = time.perf_counter()
            connection.request("GET", "/")
            connection.getresponse().read()
            times.append(time.perf_counter() - began)
        connection.close()
        return statistics.median(times[10:])

    async def measure(listener: socket.socket) -> float:
        server = server_of(app)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.001)
        found = await asyncio.to_thread(calls, listener.getsockname()[1])
        server.end()
        await serving
        return found

    named = asyncio.run(measure(bind(0)))
    unnamed = asyncio.run(measure(socket.create_server(("127.0.0.1", 0))))
    times = f"{named * 1000:.2f} ms with TCP named, {unnamed * 1000:.2f} without"
    say(f"a call on a kept connection: {times}, {unnamed / named:.0f} x")


def test_idle_workers_cost_nothing(tmp_path: Path, module: Path, say: Callable[[str], None]) -> None:
    """Print the memory and the time that a thousand deployed Workers take while nobody calls them."""

    def memory() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    async def measure() -> None:
        before = memory()
        workers = {worker.name: worker for worker in (counter(module, number) for number in range(MANY))}
        async with runtime_with(tmp_path, workers) as runtime:
            began = time.perf_counter()
            await runtime.changed(workers)
            told = time.perf_counter() - began
            began = time.perf_counter()
            async with runtime.lease("counter-7") as lease:
                await lease.upstream.fetch("GET", "/", host="counter-7.localhost")
            first = time.perf_counter() - began
            assert len(runtime._by_script) == 1
        grown = (memory() - before) / 2**20
        say(f"{MANY} idle Workers: {grown:.1f} MB here, no process; told in {told * 1e3:.0f} ms")
        say(f"one of {MANY}, from nothing to its first answer: {first * 1e3:.0f} ms")

    asyncio.run(measure())


def memory_of_workerds() -> tuple[int, float, float]:
    """Give how many workerd processes this one has, their resident MB, and these with shared pages divided."""
    count, resident, proportional = 0, 0, 0
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name, _, facts = (place / "stat").read_text().partition("(")[2].rpartition(")")
            if name != "workerd" or int(facts.split()[1]) != os.getpid():
                continue
            sizes = dict(line.split(":") for line in (place / "smaps_rollup").read_text().splitlines()[1:])
            count += 1
            resident += int(sizes["Rss"].split()[0])
            proportional += int(sizes["Pss"].split()[0])
    return count, resident / 1024, proportional / 1024


def test_called_workers_stay_under_a_gigabyte(tmp_path: Path, module: Path, say: Callable[[str], None]) -> None:
    """Print the most memory that 200 Workers take which are called in turn, with the cap; and 30 without it."""

    async def measure(folder: Path, count: int, **more: Any) -> tuple[int, float, float]:
        workers = {worker.name: worker for worker in (counter(module, number) for number in range(count))}
        most = (0, 0.0, 0.0)
        async with runtime_with(folder, workers, **more) as runtime:
            for turn in ("1", "2"):
                for name in workers:
                    async with runtime.lease(name) as lease:
                        answer = await lease.upstream.fetch("GET", "/", host=f"{name}.localhost")
                    assert answer.body == turn.encode()
                    most = max(most, memory_of_workerds(), key=lambda found: found[1])
        return most

    free = asyncio.run(measure(tmp_path / "free", UNCAPPED, most=MANY))
    each = free[1] / free[0]
    capped = asyncio.run(measure(tmp_path / "capped", CALLED))
    say(f"{CALLED} Workers called twice: {capped[0]} processes, {capped[1]:.0f} MB, {capped[2]:.0f} MB shared out")
    say(f"without a cap {each:.0f} MB for each, {CALLED * each:.0f} MB for all: {CALLED * each / capped[1]:.0f} x")
