"""Settles in which form the class migrations of a Worker are sent, and what that means for another project.

A Worker that is free to choose takes the form of what it takes over. Another project that deploys the same Worker must
add the migration to its own list, or its next deploy fails (10074).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.model import TAG_PREFIX, CreateClass, DeleteClass, RenameClass, Storage, TransferClass, TransferredAway
from notebook_do.model.steps import Upload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import ClassMigration, Lifecycle, Migration
    from notebook_do.model.steps import Step
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.namespaces.identity import ResolvedNamespace
    from notebook_do.plan.workers.ownership import Ownership


def settle_forms(
    resolved: Iterable[ResolvedNamespace], ownerships: dict[str, Ownership], facts: Facts, findings: Findings
) -> None:
    """Settle `ownerships` in place; refusals go to `findings`."""
    listed = list(resolved)
    for one in listed:
        ownership = ownerships[one.desired.script_name]
        if ownership.free and one.live and one.live.script_name != one.desired.script_name:
            ownerships[one.desired.script_name] = replace(
                ownership, form=form_of(one.live.script_name, ownerships, facts)
            )
    for one in listed:
        if one.live is not None or one.desired.storage is not Storage.KV:
            continue
        ownership = ownerships[one.desired.script_name]
        takes_over = any(o.desired.host == one.desired.host and _moves(o) for o in listed)
        if ownership.free and not takes_over:
            ownerships[one.desired.script_name] = replace(ownership, form="migrations")
        elif ownership.form == "exports":
            findings.refuse(
                "kv-not-creatable",
                one.desired.stable_id,
                f"namespace {one.desired.stable_id} asks for key-value storage on Worker {one.desired.script_name}, "
                "which uses `exports`; there a new namespace can only be SQLite.",
                "leave sqlite=False (--kv) out",
                where=one.desired.where,
            )


def _moves(resolved: ResolvedNamespace) -> bool:
    return resolved.live is not None and resolved.live.script_name != resolved.desired.script_name


def form_of(script: str, ownerships: dict[str, Ownership], facts: Facts) -> Lifecycle:
    """Give the form of a script that hosts namespaces, declared or only live."""
    if script in ownerships:
        return ownerships[script].form
    live = facts.scripts.get(script)
    return (live.lifecycle if live else None) or "migrations"


_ALCHEMY = "alchemy:"


def has_another_project(ownership: Ownership) -> bool:
    """Say whether another project follows the live migration tag: it set the tag, or deployed last."""
    live = ownership.live
    if live is None or live.migration_tag is None or ownership.form != "migrations":
        return False
    return not live.migration_tag.startswith(TAG_PREFIX) or live.last_deployed_from == "wrangler"


def handovers(steps: Iterable[Step]) -> list[str]:
    """Give a warning for each Worker whose classes change under a tag of another project, with the lines to paste."""
    told: dict[str, list[Migration]] = {}
    for step in steps:
        if isinstance(step, Upload) and step.migration and step.migration.told:
            told.setdefault(step.script_name, []).append(step.migration)
    return [_warning(script, migrations) for script, migrations in sorted(told.items())]


def _warning(script: str, migrations: list[Migration]) -> str:
    before = migrations[0].old_tag or ""
    if before.startswith(_ALCHEMY):
        return f"Worker {script} bears the migration tag {before} of Alchemy, which does not know the tag that follows."
    lines = ", ".join(json.dumps(entry(migration)) for migration in migrations)
    return (
        f"Worker {script} bears the migration tag {before} of another project. Before that one deploys it again, add "
        f'this at the end of "migrations" in its wrangler configuration, and give its code these class names: {lines}'
    )


def entry(migration: Migration) -> dict[str, Any]:
    """Write a migration as an entry of `migrations` in wrangler.jsonc."""
    found: dict[str, Any] = {"tag": migration.new_tag}
    for change in migration.class_migrations:
        if told := _told(change):
            found.setdefault(told[0], []).append(told[1])
    return found


def _told(change: ClassMigration) -> tuple[str, Any] | None:
    match change:
        case CreateClass():
            return "new_sqlite_classes" if change.storage is Storage.SQLITE else "new_classes", change.class_name
        case RenameClass():
            return "renamed_classes", {"from": change.from_class, "to": change.to_class}
        case TransferClass():
            moved = {"from": change.from_class, "from_script": change.from_script, "to": change.to_class}
            return "transferred_classes", moved
        case DeleteClass():
            return "deleted_classes", change.class_name
        case TransferredAway():
            return None
        case _:
            assert_never(change)
