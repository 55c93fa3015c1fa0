"""Says what another project that deploys the same Worker must add to its own list of class migrations.

Wrangler knows by the Worker's migration tag which of its migrations were applied; a tag that its list does not have
makes it send all of them again, which Cloudflare refuses (10074).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.model import TAG_PREFIX, CreateClass, DeleteClass, RenameClass, Storage, TransferClass, TransferredAway
from notebook_do.model.steps import Upload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import ClassMigration, Migration
    from notebook_do.model.steps import Step
    from notebook_do.plan.standing import Standing

_ALCHEMY = "alchemy:"


def has_another_project(standing: Standing) -> bool:
    """Say whether another project follows the live migration tag: it set the tag, or deployed last."""
    live = standing.live
    if live is None or live.migration_tag is None or standing.form != "migrations":
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
