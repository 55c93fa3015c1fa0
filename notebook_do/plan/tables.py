"""The rows of `plan.bindings` and `plan.migrations`: text cells under fixed names."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from notebook_do.model import (
    ClassBinding,
    CreateClass,
    DeleteClass,
    RenameClass,
    ServiceBinding,
    TransferClass,
    TransferredAway,
    ValueBinding,
)
from notebook_do.model.steps import Upload
from notebook_do.plan.described import kind_and_target
from notebook_do.plan.plan import Action
from notebook_do.plan.sentences import say
from notebook_do.plan.workers.bindings import others_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ClassMigration, ScriptBinding
    from notebook_do.model.steps import Step
    from notebook_do.plan.facts import Facts
    from notebook_do.plan.workers.diff import WorkerDiff
    from notebook_do.plan.workers.ownership import Ownership

KEPT = "kept"
"""What the column `action` says of a live binding that is not declared, and stays."""


def binding_rows(
    facts: Facts, diffs: Mapping[str, WorkerDiff], namespace_ids: Mapping[str, str]
) -> tuple[dict[str, str], ...]:
    """Return one row for each declared binding, and one for each secret of somebody else's that stays.

    `namespace_ids` has the live id by stable ID.
    """
    rows = []
    for worker in facts.desired.workers:
        diff = diffs.get(worker.script_name)
        for binding in worker.bindings:
            action = diff.binding_actions.get(binding.name, Action.NOOP) if diff else Action.NOOP
            row = _binding_row(worker.id, worker.script_name, binding, namespace_ids, action)
            called = isinstance(binding, ValueBinding) and isinstance(binding.value, ServiceBinding)
            rows.append({**row, "role": "service", "called": facts.known.worker(row["target"])} if called else row)
        rows += _others_rows(diff.ownership) if diff else []
    return tuple(rows)


def _others_rows(ownership: Ownership) -> list[dict[str, str]]:
    """Return a row for each secret that is live and neither declared nor set from here."""
    live = {b.name: b for b in (ownership.live.bindings or () if ownership.live else ())}
    worker = ownership.worker
    rows = [_binding_row(worker.id, worker.script_name, live[n], {}, Action.NOOP) for n in others_secrets(ownership)]
    return [{**row, "target": say("secret-of-others"), "action": KEPT} for row in rows]


def _binding_row(
    worker: str, script: str, binding: ScriptBinding, namespace_ids: Mapping[str, str], action: Action
) -> dict[str, str]:
    kind, target = kind_and_target(binding)
    row = {
        "worker": worker,
        "binding": binding.name,
        "type": kind,
        "target": target,
        "class_name": "",
        "script_name": "",
        "environment": "",
        "namespace_id": "",
        "action": action.value,
    }
    if isinstance(binding, ClassBinding):
        stable_id = binding.stable_id or ""
        row |= {
            "target": stable_id or target,
            "class_name": binding.class_name,
            "script_name": binding.script_name or script,
            "environment": binding.environment or "",
            "namespace_id": namespace_ids.get(stable_id, ""),
            "role": "host" if binding.script_name in (None, script) else "client",
        }
    return row


def migration_rows(steps: Iterable[Step]) -> tuple[dict[str, str], ...]:
    """Return one row for each class migration of the uploads, in the order in which they are sent."""
    rows = []
    for step in steps:
        if not isinstance(step, Upload) or step.migration is None:
            continue
        shared = {
            "worker": step.worker,
            "wire": step.migration.wire,
            "old_tag": step.migration.old_tag or "",
            "new_tag": step.migration.new_tag or "",
        }
        rows += [_migration_row(m, shared) for m in step.migration.class_migrations]
    return tuple(rows)


def _migration_row(migration: ClassMigration, shared: Mapping[str, str]) -> dict[str, str]:
    word, before, after = _words(migration)
    cells = {
        "worker": shared["worker"],
        "step": word,
        "stable_id": str(migration.stable_id),
        "from_class": before,
        "to_class": after,
        "namespace_id": "" if isinstance(migration, CreateClass) else str(migration.namespace_id),
        "storage": "" if isinstance(migration, TransferredAway) else migration.storage.value,
    }
    return cells | {key: shared[key] for key in ("wire", "old_tag", "new_tag")}


def _words(migration: ClassMigration) -> tuple[str, str, str]:
    match migration:
        case CreateClass():
            return "create", "", migration.class_name
        case RenameClass():
            return "rename", migration.from_class, migration.to_class
        case TransferClass():
            return "transfer", f"{migration.from_script}.{migration.from_class}", migration.to_class
        case TransferredAway():
            return "hand over", migration.class_name, f"{migration.to_script}.{migration.class_name}"
        case DeleteClass():
            return "delete", migration.class_name, ""
        case _:
            assert_never(migration)
