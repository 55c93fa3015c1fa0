"""Which modules are mutated, and which tests of their own room must kill each mutant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One room: its modules, and the files of its tests."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    beyond: tuple[str, ...] = ()
    """What the others leave alive meets these files whole: tests that run the modules in other processes, where nobody
    sees which lines, or that have very many cases."""
    share: int = 1
    """How many of a sample's mutants fall to this room, in proportion to the others."""


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/test_{name}.py" for name in names)


ROOMS = {
    "state": Room(
        modules=("notebook_do/state/*.py",),
        tests=(
            *_in(
                "tests/state", "file", "disk", "refusals", "lock", "power", "fuzz", "observations", "sent", "inspectors"
            ),
            "tests/deploy/test_record.py",
            "tests/test_journal.py",
        ),
        beyond=_in("tests/state", "file", "lock"),
        share=2,
    ),
    "plan": Room(
        modules=("notebook_do/plan/**/*.py",),
        tests=(
            *_in(
                "tests/plan", "whole_plans", "cases", "failures", "marks", "settings", "triggers", "assets", "entries"
            ),
            *_in(
                "tests/plan",
                "entries",
                "updates",
                "plan_value",
                "readings",
                "undecided",
                "import_export",
                "order",
                "orders",
                "histories",
                "happens",
                "inspected",
                "wording",
                "unserved",
                "behind",
            ),
            *_in("tests", "bindings", "carried_entries", "same_code", "shown_plans"),
            "tests/deploy/test_stored_plan.py",
        ),
        beyond=_in("tests/plan", "cases", "whole_plans", "triggers", "happens", "inspected", "wording"),
        share=4,
    ),
    "deploy": Room(
        modules=("notebook_do/deploy/*.py",),
        tests=(
            *_in(
                "tests/deploy",
                "record",
                "script_faults",
                "run",
                "conflicts",
                "there",
                "drift",
                "stored_plan",
                "late",
                "interrupt",
            ),
            *_in("tests/deploy", "two_clients", "cancel", "faults", "result", "observe", "waves", "queues", "recorded"),
        ),
        share=3,
    ),
    "local": Room(
        modules=(
            *("notebook_do/local/rules/*.py", "notebook_do/local/account/metadata.py"),
            "notebook_do/local/objects/stored.py",  # not process/ownership: what ends processes would end others
        ),
        tests=(
            *_in("tests/local", "metadata", "rules", "bounds", "reconcile", "names", "account", "clock", "stored"),
            "tests/model/test_crons.py",
        ),
        beyond=_in("tests/local/api", "lifecycle", "scripts", "settings", "versions", "malformed", "contents"),
        share=3,
    ),
}
