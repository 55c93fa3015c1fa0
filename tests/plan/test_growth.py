"""Planning grows in proportion to what is declared: counted in lines that are run, so that no clock takes part."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from large_sessions import ACCOUNT, ORIGIN, catalog_of, deployed, desired_of, plan_of

import notebook_do as nd
from notebook_do.model import Observed, Recorded
from notebook_do.plan.build import build_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from notebook_do.model import Desired

PACKAGE = str(Path(nd.__file__).parent)
SMALL, LARGE = 6, 24


def lines_of(act: Callable[[], object]) -> int:
    """Count the lines of the package that are run, each turn of a loop or comprehension as one more."""
    count = 0

    def line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def call(frame: FrameType, event: str, _: object) -> Any:
        return line if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def planning(kind: str, workers: int) -> Callable[[], object]:
    """Return a plan to be made, with its digest, of so many Workers with ten namespaces each."""
    catalog, nothing = catalog_of(workers), Observed(account_id=ACCOUNT, api_origin=ORIGIN)
    desired_of(catalog)
    new = Recorded(lineage="f" * 32)
    if kind == "first deploy":
        return lambda: plan_of(catalog, new, nothing).digest
    recorded, live = deployed(plan_of(catalog, new, nothing))
    if kind == "state file lost":
        return lambda: plan_of(catalog, new, live).digest
    if kind in {"adopted", "destroyed"}:
        return _planned(kind, desired_of(catalog), recorded, live)
    renamed = catalog_of(workers, "Renamed")
    desired_of(renamed)
    return lambda: plan_of(renamed if kind == "every class renamed" else catalog, recorded, live).digest


def _planned(kind: str, desired: Desired, recorded: Recorded, live: Observed) -> Callable[[], object]:
    """Return a plan that takes all Workers over, of which nothing here tells whose they are, or destroys them all."""
    workers, namespaces = desired.workers, tuple(replace(n, protect=False) for n in desired.namespaces)
    if kind == "adopted":
        workers = tuple(replace(worker, adopt=True) for worker in workers)
        recorded, live = (
            Recorded(lineage="e" * 32),
            replace(live, scripts=tuple(replace(s, tags=()) for s in live.scripts)),
        )
    asked = tuple(f"worker:{worker.id}" for worker in workers) if kind == "destroyed" else ()
    wanted = replace(desired, workers=workers, namespaces=namespaces, destroy=asked)
    plan = partial(build_plan, wanted, recorded, live, target="local", default_compatibility_date="2026-01-01")
    assert plan().can_deploy
    return lambda: plan().digest


KINDS = ("first deploy", "no change", "every class renamed", "state file lost", "adopted", "destroyed")


@pytest.mark.parametrize("kind", KINDS)
def test_planning_grows_in_proportion(kind: str) -> None:
    """Issue 13.7: four times as many Workers and namespaces are planned in four times as many lines, first plan too."""
    planning(kind, 2)()  # what is made once
    small, large = (lines_of(planning(kind, workers)) for workers in (SMALL, LARGE))
    assert large / small < LARGE / SMALL * 1.02
