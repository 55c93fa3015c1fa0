"""How long the notebook surface takes: loading, and drawing plans. Prints; never fails on a time."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

from notebook_do.notebook import html, text
from notebook_do.notebook.plan_view import plan_document
from notebook_do.plan.plan import Action, Baseline, Change, Plan

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


@pytest.mark.parametrize("name", ["notebook_do", "autoreload", "sql"])
def test_load(name: str) -> None:
    """%load_ext in a fresh process; the goal is 25 ms. autoreload and jupysql (where installed) run beside it."""
    times = []
    for _ in range(7):
        done = subprocess.run(
            [sys.executable, "-c", LOAD.format(name=name)], capture_output=True, text=True, check=False
        )
        if done.returncode or not done.stdout.strip().replace(".", "").isdigit():
            pytest.skip(f"the extension {name} is not installed")
        times.append(float(done.stdout))
    print(f"\n%load_ext {name}: median {statistics.median(times):.1f} ms")  # noqa: T201 - what it is for


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
