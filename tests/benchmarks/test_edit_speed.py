"""From an edit to the new live answer, and what of that is whose. Prints ratios of one run; never fails on a time."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
from measuring import COUNTER, ROUNDS, ask, running, spawn, timed

import notebook_do as nd
from notebook_do.local.runtime.probe import Trials
from notebook_do.local.runtime.spec import HostedNamespace, ModuleFile, RunnableWorker
from notebook_do.local.runtime.workerd import start_workerd
from notebook_do.toolchain import find_esbuild, find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.benchmark

MANY = 60


def declared(word: str) -> None:
    """Run the cell of the Worker."""
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("hello", script=COUNTER.format(word=word), bindings={"COUNTER": counter})


@pytest.mark.usefixtures("cloud")
def test_from_an_edit_to_the_new_answer(tmp_path: Path, say: Callable[[str], None]) -> None:
    """Print an edit, an update and plans of nothing to do, each beside workerd's own spawn to its first answer."""
    session = nd.session("speed")
    declared("a")
    session.deploy(session.plan())
    port = running().workers_port
    host = f"hello-dev.localhost:{port}"
    ask(port, host, "a")

    def update(number: int) -> None:
        declared(f"u{number}-")
        session.deploy(session.plan())

    def edit(number: int) -> None:
        declared(f"e{number}-")
        session.deploy(session.plan())
        ask(port, host, f"e{number}-")

    once = spawn(tmp_path)
    # In turns, so that what else the machine does meanwhile slows all of them.
    works = (once, edit, update, lambda _: session.plan(), once)
    rounds = [[timed(lambda _, n=number, work=work: work(n), 1) for work in works] for number in range(ROUNDS)]
    before, edited, updated, noop, after = (statistics.median(times) for times in zip(*rounds, strict=True))
    bare = (before + after) / 2
    assert session.plan().empty
    say(f"workerd spawn -> 200: {bare * 1e3:.1f} ms")
    say(f"edit -> new answer: {edited * 1e3:.1f} ms, {edited / bare:.2f} x spawn (goal 4)")
    say(f"update in a kernel, all requests answered: {updated * 1e3:.1f} ms, {updated / bare:.2f} x spawn")
    say(f"plan of nothing to do, from a cell: {noop * 1e3:.1f} ms, {noop / bare:.2f} x spawn (goal 1)")


@pytest.mark.usefixtures("cloud")
def test_a_plan_from_files(tmp_path: Path, say: Callable[[str], None]) -> None:
    """Print a plan of nothing to do from TypeScript files, which bundles them, beside esbuild's own time."""
    source = tmp_path / "index.ts"
    source.write_text('import { word } from "./word";\nexport default { fetch() { return new Response(word); } };\n')
    (tmp_path / "word.ts").write_text('export const word: string = "hello";\n')
    session = nd.session("files")
    nd.Worker("typed", entrypoint=str(source))
    session.deploy(session.plan())
    out = tmp_path / "out.js"
    command = [str(find_esbuild()), str(source), "--bundle", "--format=esm", f"--outfile={out}", "--log-level=error"]
    esbuild = timed(lambda _: subprocess.run(command, check=True))
    kept = timed(lambda _: session.plan())
    assert session.plan().empty
    say(f"esbuild's own process: {esbuild * 1e3:.1f} ms")
    say(f"plan of nothing to do, from files: {kept * 1e3:.1f} ms ({kept / esbuild:.2f} x esbuild)")


def starts(folder: Path) -> tuple[float, float, float]:
    """Return the seconds that an upload's verification takes: by a probe and then a trial, by one start, as an edit."""
    source = folder / "source.js"
    source.write_text(COUNTER.format(word="a"))
    worker = RunnableWorker(
        name="one",
        version="1",
        main_module="index.js",
        modules=(ModuleFile(name="index.js", content_type="application/javascript+module", path=source),),
        bindings=({"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"},),
        namespaces=(HostedNamespace(namespace_id="0" * 32, class_name="Counter", sqlite=True),),
        compatibility_date="2026-06-01",
    )

    async def ready() -> None:
        pass

    async def measure() -> tuple[float, float, float]:
        start = partial(start_workerd, find_workerd(), folder=folder)
        trials = Trials(start, folder, folder / "sites", ready=ready)
        two, one, loaded = [], [], []
        for number in range(ROUNDS):
            began = time.perf_counter()
            await trials.probe(worker)
            await trials.check(worker)
            two.append(time.perf_counter() - began)
            began = time.perf_counter()
            await trials.examine(replace(worker, name=f"w{number}"))  # each the first one of its name
            one.append(time.perf_counter() - began)
        await asyncio.sleep(1)  # the process that loads edits starts
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await trials.examine(replace(worker, name="w0"))
            loaded.append(time.perf_counter() - began)
        await trials.close()
        return statistics.median(two), statistics.median(one), statistics.median(loaded)

    return asyncio.run(measure())


@pytest.mark.usefixtures("cloud")
def test_sixty_uploads(tmp_path: Path, say: Callable[[str], None]) -> None:
    """Print 60 first uploads, one at a time and eight at a time, beside the first edition's two starts in a row."""
    session = nd.session("speed")
    session.plan()  # starts it
    target = running()
    metadata = {
        "main_module": "index.js",
        "compatibility_date": "2026-06-01",
        "bindings": [{"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"}],
        "migrations": {"new_sqlite_classes": ["Counter"]},
    }
    local = threading.local()

    def upload(name: str) -> None:
        if not hasattr(local, "http"):
            headers = {"Authorization": f"Bearer {target.token()}"}
            local.http = httpx.Client(base_url=target.api, headers=headers, timeout=60, trust_env=False)
        source = COUNTER.format(word=name)
        files = {
            "metadata": (None, json.dumps(metadata)),
            "index.js": ("index.js", source, "application/javascript+module"),
        }
        answer = local.http.put(f"/accounts/{target.account_id}/workers/scripts/{name}", files=files)
        assert answer.status_code == 200, answer.text

    took = {}
    for workers in (1, 8):
        began = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(upload, [f"w{workers}-{n}" for n in range(MANY)]))
        took[workers] = time.perf_counter() - began
    one, eight = took[1], took[8]
    two_starts, one_start, edit = starts(tmp_path)
    before = one + MANY * (two_starts - one_start)
    say(f"probe and trial start: {two_starts * 1e3:.0f} ms; one start for both: {one_start * 1e3:.0f} ms")
    say(f"an edit, which is loaded: {edit * 1e3:.0f} ms, {edit / one_start:.2f} x one start")
    say(f"{MANY} uploads under the lock with two starts each (reckoned): {before:.2f} s, {before / eight:.1f} x eight")
    say(f"{MANY} uploads: one at a time {one:.2f} s, eight at a time {eight:.2f} s, {one / eight:.1f} x as fast")
