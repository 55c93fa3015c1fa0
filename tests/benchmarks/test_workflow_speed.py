"""What a workflow costs the process of its Worker, as ratios within one run. Run with -m benchmark."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from notebook_do.local.runtime.config import Layout, config_of
from notebook_do.local.runtime.spec import HostedWorkflow, ModuleFile, RunnableWorker
from notebook_do.local.runtime.workerd import start_workerd
from notebook_do.local.runtime.workflows import make_links
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.benchmark

FLOW = Path(__file__).parents[1] / "local" / "programs" / "flow.js"
ROUNDS = 9


async def started(folder: Path, worker: RunnableWorker) -> tuple[float, float]:
    """Start a process with one Worker; return the seconds until it listens, and its resident megabytes."""
    sockets, storage = folder / "run", folder / "objects"
    for made in (folder, sockets, storage):
        made.mkdir(parents=True)
    layout = Layout(workers=(worker,), folder=sockets, storage=storage)
    make_links(layout.workers, storage, layout.links)
    began = time.perf_counter()
    running = await start_workerd(find_workerd(), config_of(layout), folder=folder, sockets=layout.sockets())
    took = time.perf_counter() - began
    memory = resident(running.pid)
    await running.stop(0)
    return took, memory


def resident(pid: int) -> float:
    """Return the resident megabytes of a process."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def test_a_process_with_a_workflow_beside_one_without(tmp_path: Path, say: Callable[[str], None]) -> None:
    """The same Worker with and without its workflow, in turn: the ratio of start times and of memory."""
    module = ModuleFile(name="index.js", content_type="application/javascript+module", path=FLOW)
    plain = RunnableWorker(
        name="api", version="1", main_module="index.js", modules=(module,), compatibility_date="2026-10-01"
    )
    flow = HostedWorkflow(workflow_id="f" * 32, name="orders", class_name="Flow")
    binding = {"type": "workflow", "name": "FLOW", "workflow_name": "orders"}
    with_flow = replace(plain, workflows=(flow,), bindings=(binding,))

    async def rounds() -> list[tuple[tuple[float, float], tuple[float, float]]]:
        return [
            (await started(tmp_path / f"p{n}", plain), await started(tmp_path / f"w{n}", with_flow))
            for n in range(ROUNDS)
        ]

    found = asyncio.run(rounds())
    start = statistics.median(flow[0] for _, flow in found) / statistics.median(plain[0] for plain, _ in found)
    memory = statistics.median(flow[1] - plain[1] for plain, flow in found)
    say(f"start with a workflow / without: {start:.2f}; memory: {memory:+.1f} MB")
    assert len(found) == ROUNDS
