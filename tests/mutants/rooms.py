"""Which modules are mutated, and which tests of their own room must kill each mutant; the quickest ones first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One room: its modules, the tests that run first, and those that run on what is left."""

    modules: tuple[str, ...]
    first: tuple[str, ...]
    then: tuple[str, ...] = ()
    share: int = 1
    """How many of a sample's mutants fall to this room, in proportion to the others."""


ROOMS = {
    "state": Room(
        modules=("notebook_do/state/*.py",),
        first=(
            "tests/state/test_file.py",
            "tests/state/test_disk.py",
            "tests/state/test_key.py",
            "tests/state/test_refusals.py",
            "tests/state/test_lock.py",
        ),
        then=("tests/state/test_power.py", "tests/state/test_fuzz.py"),
        share=2,
    ),
    "plan": Room(
        modules=("notebook_do/plan/*.py",),
        first=(
            "tests/plan/test_cases.py",
            "tests/plan/test_whole_plans.py",
            "tests/plan/test_failures.py",
            "tests/plan/test_mark.py",
            "tests/plan/test_settings.py",
            "tests/plan/test_triggers.py",
            "tests/plan/test_assets.py",
            "tests/deploy/test_stored_plan.py",
            "tests/plan/test_entries.py",
            "tests/plan/test_updates.py",
            "tests/plan/test_undecided.py",
            "tests/plan/test_import_export.py",
        ),
        then=("tests/plan/test_order.py", "tests/plan/test_orders.py", "tests/plan/test_histories.py"),
        share=4,
    ),
    "deploy": Room(
        modules=("notebook_do/deploy/*.py", "notebook_do/journal.py"),
        first=(
            "tests/deploy/test_run.py",
            "tests/deploy/test_meanwhile.py",
            "tests/deploy/test_there.py",
            "tests/deploy/test_drift.py",
            "tests/deploy/test_stored_plan.py",
            "tests/deploy/test_late.py",
            "tests/test_journal.py",
        ),
        then=(
            "tests/deploy/test_interrupt.py",
            "tests/deploy/test_two_clients.py",
            "tests/deploy/test_cancel.py",
            "tests/deploy/test_faults.py",
        ),
        share=3,
    ),
    "local": Room(
        modules=tuple(
            f"notebook_do/local/{name}.py"
            for name in ("rules", "reconcile", "metadata", "names", "ownership", "refusals", "scenarios", "namespaces")
        ),
        first=(
            "tests/local/test_metadata.py",
            "tests/local/test_rules.py",
            "tests/local/test_reconcile.py",
            "tests/local/test_names.py",
            "tests/local/test_ownership.py",
            "tests/local/test_account.py",
        ),
        then=(
            "tests/local/api/test_lifecycle.py",
            "tests/local/api/test_scripts.py",
            "tests/local/api/test_settings.py",
            "tests/local/api/test_versions.py",
            "tests/local/api/test_malformed.py",
        ),
        share=3,
    ),
}
