"""How long a plan takes, from declarations to steps and their digest, as sessions grow tenfold."""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import TYPE_CHECKING, TypeVar

import pytest
from large_sessions import ACCOUNT, ORIGIN, PER_WORKER, catalog_of, deployed, desired_of, plan_of

from notebook_do.model import Observed, Recorded
from notebook_do.model.copying import copied
from notebook_do.sessions.comparing import uncollected
from notebook_do.state.document import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.plan.plan import Plan

T = TypeVar("T")
SIZES = (100, 1000)
PLANS = ("first deploy", "no change", "every class renamed", "state file lost")


def measured(workers: int) -> tuple[dict[str, float], float]:
    """Give the seconds of CPU time of each part, and of writing and reading as much as the first plan with `json`."""
    times: dict[str, float] = {}

    def timed(name: str, act: Callable[[], T]) -> T:
        gc.collect()
        gc.freeze()  # what the parts before it left is not looked through again at its cost
        started = time.process_time()
        found = act()
        times[name] = times.get(name, 0.0) + time.process_time() - started
        return found

    def planned(name: str, prefix: str, recorded: Recorded, observed: Observed) -> Plan:
        catalog = catalog_of(workers, prefix)
        desired_of(catalog)  # esbuild parses each content once, whoever asks first
        with uncollected():  # as a session plans
            plan = timed(name, lambda: plan_of(catalog, recorded, observed))
            timed(name, lambda: plan.digest)
        return plan

    nothing = Observed(account_id=ACCOUNT, api_origin=ORIGIN)
    first = planned(PLANS[0], "Class", Recorded(lineage="f" * 32), nothing)
    assert len(first.migration_rows) == workers * PER_WORKER
    recorded, observed = deployed(first)
    assert planned(PLANS[1], "Class", recorded, observed).empty
    renamed = planned(PLANS[2], "Renamed", recorded, observed)
    assert len(renamed.migration_rows) == workers * PER_WORKER
    planned(PLANS[3], "Class", Recorded(lineage="e" * 32), observed)
    document = encode(recorded, {})
    assert len(timed("reading the state file", lambda: decode(document)).namespaces) == workers * PER_WORKER
    with uncollected():
        assert timed("the copy that is kept", lambda: copied(first)) == first
    assert f"{workers:,}" in timed("the first plan's view", lambda: str(first))
    assert len(timed("its DataFrames", lambda: first.df)) > workers * PER_WORKER
    timed("its DataFrames", lambda: first.bindings)
    body = json.loads(first.to_json())
    timed("json", lambda: json.loads(json.dumps(body, sort_keys=True)))
    return times, times.pop("json")


@pytest.mark.benchmark
def test_planner_speed(capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 13.7: 1,000 Workers with 10,000 namespaces, first plan too; from declarations to a plan with its digest.

    Ten times as much takes about ten times as long. The bound that no plan of Python values can reach: the same plan
    written and read once by `json`, in C.
    """
    measured(10)  # what is imported and compiled once
    (small, _), (large, bound) = (measured(workers) for workers in SIZES)
    lines = [f"{'seconds of CPU time':24}{SIZES[0]:>10,}{SIZES[1]:>10,}{'growth':>10}{'of json':>10}"]
    for name, seconds in large.items():
        growth, of_json = seconds / max(small[name], 1e-9), seconds / bound
        lines.append(f"{name:24}{small[name]:10.3f}{seconds:10.3f}{growth:9.1f}x{of_json:9.1f}x")
    lines.append(f"{'json, written and read':24}{'':10}{bound:10.3f}")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
