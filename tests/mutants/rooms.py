"""Which modules are mutated, and which tests of their own room must kill each mutant; the quickest ones first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One room: its modules, and its tests in stages: what one stage leaves alive goes on to the next."""

    modules: tuple[str, ...]
    stages: tuple[tuple[str, ...], ...]
    share: int = 1
    """How many of a sample's mutants fall to this room, in proportion to the others."""


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/test_{name}.py" for name in names)


ROOMS = {
    "state": Room(
        modules=("notebook_do/state/*.py",),
        stages=(
            _in("tests/state", "file", "disk", "key"),
            _in("tests/state", "refusals", "lock"),
            _in("tests/state", "power", "fuzz"),
        ),
        share=2,
    ),
    "plan": Room(
        modules=("notebook_do/plan/*.py",),
        stages=(
            _in("tests/plan", "whole_plans", "cases"),
            (
                *_in(
                    "tests/plan",
                    "failures",
                    "mark",
                    "settings",
                    "triggers",
                    "assets",
                    "entries",
                    "updates",
                    "plan_value",
                ),
                *_in("tests/plan", "undecided", "import_export", "order"),
                "tests/deploy/test_stored_plan.py",
            ),
            _in("tests/plan", "orders", "histories"),
        ),
        share=4,
    ),
    "deploy": Room(
        modules=("notebook_do/deploy/*.py", "notebook_do/state/journal.py"),
        stages=(
            _in("tests/deploy", "record", "run", "meanwhile", "there"),
            (*_in("tests/deploy", "drift", "stored_plan", "late"), "tests/test_journal.py"),
            _in("tests/deploy", "interrupt", "two_clients", "cancel"),
            _in("tests/deploy", "faults"),
        ),
        share=3,
    ),
    "local": Room(
        modules=tuple(
            f"notebook_do/local/{name}.py" for name in ("rules/*", "api/metadata", "objects/names", "process/ownership")
        ),
        stages=(
            _in("tests/local", "metadata", "rules", "reconcile"),
            _in("tests/local", "names", "ownership", "account"),
            _in("tests/local/api", "lifecycle", "scripts", "settings", "versions", "malformed"),
        ),
        share=3,
    ),
}
