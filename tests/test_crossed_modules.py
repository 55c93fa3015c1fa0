"""How many modules a declaration, a plan, a deploy and a fetch of README's project cross: numbers that only fall."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sharing import COUNTER

import notebook_do as nd
from notebook_do.bridge import bridge

if TYPE_CHECKING:
    from types import FrameType

PACKAGE = Path(nd.__file__).parent
NOT_COUNTED = {"model", "errors", "display"}
"""What every room may name: values, errors and how they are shown."""

CROSSED = {"declare": 6, "plan": 67, "deploy": 44, "fetch": 15}
"""How many modules are crossed at most. The aim is 30 for a plan and 25 for a deploy.

Raised once for what a plan shows now: the values and the code that differ, who asks objects, and what a record says;
by one for who still binds what is to be destroyed, which is a subject of its own; and by one for the plans that are
kept, within bounds, which each plan is added to and each deploy taken from."""


class Recorder:
    """Notes in which modules of the package a function runs, in every thread that starts from now on."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def __enter__(self) -> Self:
        bridge.close()  # its thread and those that it starts are to be new ones
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)
        bridge.close()

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name != "<module>" and (path := Path(code.co_filename)).is_relative_to(PACKAGE):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            if parts[0] not in NOT_COUNTED:
                self.found.add(".".join(parts))

    def since(self) -> set[str]:
        """Return what was crossed since the last call."""
        found, self.found = self.found, set()
        return found


def test_the_ways_of_a_cell_cross_few_modules(cloud: Path) -> None:
    """A warm declaration, plan, deploy and fetch of README's project cross no more modules than agreed."""
    ways: dict[str, set[str]] = {}

    def declare(source: str) -> None:
        counter = nd.DurableObjectNamespace("counter", class_name="Counter")
        nd.Worker("my-worker", script=source, bindings={"COUNTER": counter})

    with Recorder() as recorder:
        session = nd.session("tour")
        declare(COUNTER)
        session.deploy(session.plan())["my-worker"].fetch("/")
        recorder.since()
        declare(f"{COUNTER}// edited\n")
        ways["declare"] = recorder.since()
        plan = session.plan()
        ways["plan"] = recorder.since()
        result = session.deploy(plan)
        ways["deploy"] = recorder.since()
        assert result["my-worker"].fetch("/").text == "2"
        ways["fetch"] = recorder.since()
        session.close()
    numbers = {way: len(modules) for way, modules in ways.items()}
    assert all(numbers[way] <= CROSSED[way] for way in ways), f"{numbers} {ways}"
