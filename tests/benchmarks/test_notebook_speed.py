"""How long the notebook surface takes: loading, and drawing plans. Prints; never fails on a time."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from notebook_do.notebook.views import html, text
from notebook_do.notebook.views.plan import plan_document
from notebook_do.plan.plan import Action, Baseline, Change, Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.benchmark

LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
ip = InteractiveShell.instance()
import IPython.core.completer
start = time.perf_counter()
ip.run_line_magic("load_ext", "{name}")
print((time.perf_counter() - start) * 1000)
"""


FIRST_PLAN = """
import sys, time
import httpx
from notebook_do.cloudflare.http import Connections
from IPython.core.interactiveshell import InteractiveShell
ip = InteractiveShell.instance()
for line in ("load_ext notebook_do", "durable session speed", "durable namespace counter --class Counter"):
    ip.run_line_magic(*line.split(" ", 1))
ip.run_cell_magic("durable", "worker w --bind COUNTER=counter --quiet", "export class Counter {}\\nexport default {}")
network, real = [0.0], Connections.handle_async_request
async def timed(self, request):
    start = time.perf_counter()
    try:
        return await real(self, request)
    finally:
        network[0] += time.perf_counter() - start
Connections.handle_async_request = timed
start = time.perf_counter()
plan = ip.run_line_magic("durable", "plan")
shown = plan._repr_mimebundle_()
whole = time.perf_counter() - start
assert set(shown) >= {"text/plain", "text/html"} and "pandas" not in sys.modules
print("RESULT", whole * 1000, network[0] * 1000)
"""


@pytest.mark.parametrize("name", ["notebook_do", "autoreload", "sql"])
def test_load(name: str, install: Callable[..., Path]) -> None:
    """%load_ext in a fresh process; the goal is 25 ms. autoreload and jupysql run beside it."""
    places = [str(install("jupysql", ["jupysql==0.11.1"]))] if name == "sql" else []
    times = []
    for _ in range(9):
        done = subprocess.run(
            [sys.executable, "-c", LOAD.format(name=name)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
            capture_output=True,
            text=True,
            check=True,
        )
        times.append(float(done.stdout.splitlines()[-1]))
    print(f"\n%load_ext {name}: median {statistics.median(times):.1f} ms")  # noqa: T201 - what it is for


@pytest.mark.usefixtures("cloud")
def test_first_plan_view() -> None:
    """The first plan of a process, text and HTML included, beside what the network takes; the goal is 100 ms."""
    beside = []
    for _ in range(7):
        done = subprocess.run([sys.executable, "-c", FIRST_PLAN], capture_output=True, text=True, check=True)
        whole, network = map(float, done.stdout.rpartition("RESULT")[2].split())
        beside.append(whole - network)
    print(f"\nfirst plan view beside the network: median {statistics.median(beside):.1f} ms")  # noqa: T201 - what it is for


@pytest.mark.parametrize("count", [20, 1_000, 10_000])
def test_drawing(count: int) -> None:
    """A plan of this many changes as blocks, HTML and text; the goal is 5 ms of HTML for 1,000."""
    changes = tuple(
        Change(action=Action.CREATE, kind="binding", id=f"w{n}", worker=f"worker-{n}", name=f"B{n}", detail="Added.")
        for n in range(count)
    )
    baseline = Baseline(lineage="l", serial=0, account_id="a", api_origin="local:a", scripts=(), namespaces=())
    plan = Plan(session="s", stage="dev", target="local", baseline=baseline, changes=changes)
    document = plan_document(plan)
    for name, draw in (
        ("blocks", lambda: plan_document(plan)),
        *((m.__name__, lambda m=m: m.render(document)) for m in (html, text)),
    ):
        times = []
        for _ in range(9):
            start = time.perf_counter()
            draw()
            times.append((time.perf_counter() - start) * 1000)
        print(f"\n{count} changes, {name.rpartition('.')[2]}: median {statistics.median(times):.2f} ms")  # noqa: T201 - what it is for
