"""Turns a plan's step into the intent to journal, and judges an intent by live facts. Pure but for the random names.

Cloudflare has no idempotency key. Two things that it keeps take the place of one: the script's tags, where each upload
leaves its own operation (`op`), and the migration tag, which an upload sets only over the one that it names.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from notebook_do.errors import DeployError
from notebook_do.model import (
    TAG_PREFIX,
    CreateClass,
    DeleteClass,
    MigrationTag,
    RenameClass,
    StableId,
    TransferClass,
    TransferredAway,
)
from notebook_do.model.steps import (
    DeleteScript,
    MakeQueue,
    RemoveTrigger,
    SetMark,
    SetSchedules,
    SetTrigger,
    SetUrl,
    Upload,
    is_kept,
)
from notebook_do.plan.namespaces.marks import completed_tags, op_of
from notebook_do.state.journal import Intent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import ClassMigration, Migration, NamespaceId, ObservedScript, Recorded
    from notebook_do.state.journal import Status

Mutation = Upload | SetMark | SetUrl | SetSchedules | MakeQueue | SetTrigger | RemoveTrigger | DeleteScript


def new_op(recorded: Recorded) -> str:
    """Name one attempt, uniquely: `<lineage>.<serial>.<random>` says later which state file it was made with."""
    # Random, for two copies of one state file have the same lineage and, until one of them deploys, the same serial.
    return f"{recorded.lineage[:8]}.{recorded.serial}.{secrets.token_hex(8)}"


def with_own_tags(step: Upload, recorded: Recorded, drawn: dict[MigrationTag, MigrationTag]) -> Upload:
    """Return `step` with a migration tag that no other attempt sets: `ndo-<lineage>-<what the plan says>-<random>`.

    `drawn` holds the tags of this deploy by the plan's: a later upload of the same script builds on an earlier one's.
    A tag that another project has to know (`migration.told`) is sent as the plan says it.

    """
    # With a tag that two attempts share, the second one would be refused (10079) and then find "its" tag live, that is,
    # take the other's work for its own: two copies of a project that deploy the same plan did so.
    if (migration := step.migration) and (planned := migration.new_tag):
        name = planned.removeprefix(TAG_PREFIX)
        own = planned if migration.told else f"{TAG_PREFIX}{recorded.lineage[:8]}-{name}-{secrets.token_hex(4)}"
        drawn[planned] = MigrationTag(own)
        old = drawn.get(migration.old_tag, migration.old_tag) if migration.old_tag else None
        step = replace(step, migration=replace(migration, old_tag=old, new_tag=drawn[planned]))
    if (record := step.worker_record) and record.migration_tag:
        tag = drawn.get(record.migration_tag, record.migration_tag)
        step = replace(step, worker_record=replace(record, migration_tag=tag))
    return step


def with_marks(step: Upload, known: Mapping[str, str], marks: Mapping[str, str]) -> Upload:
    """Return `step` with a record that holds the `marks` of what it sets, and those `known` of the secrets it keeps."""
    if (record := step.worker_record) is None:
        return step
    kept = {b.name for b in step.bindings if is_kept(b)}
    all_marks = {name: mark for name, mark in known.items() if name in kept} | dict(marks)
    return replace(step, worker_record=replace(record, secrets=tuple(sorted(all_marks.items()))))


def with_ids(step: SetMark, live: ObservedScript | None, known: Mapping[StableId, NamespaceId]) -> SetMark:
    """Complete the live tags with the ids that are `known`; raises DeployError when our mark is not there any more."""
    # Made of the tags as they are live now: PATCH script-settings replaces all tags, those of other tools included.
    ids: dict[str, str] = {stable_id: known[stable_id] for stable_id in step.stable_ids if stable_id in known}
    tags = live.tags if live else ()
    completed = completed_tags(tags, ids)
    if set(completed) == set(tags):
        raise DeployError(
            f"the tags of Worker {step.script_name} were changed by somebody else meanwhile; they were left as they "
            "are. Plan again and compare."
        )
    return replace(step, tags=completed)


def intent_of(  # noqa: PLR0913 - a step, and what was there before it
    step: Mutation,
    *,
    op: str,
    serial: int,
    live: ObservedScript | None,
    digest: str = "",
    known: frozenset[NamespaceId] = frozenset(),
) -> Intent:
    """Return the intent that says what is about to be sent, and what is live before it.

    `digest` is that of the upload's form; `known` are the namespaces that were there before: of a class that an upload
    creates, the one that is not among them is its own.
    """
    common = Intent(
        op=op,
        kind="upload",
        script_name=step.script_name,
        worker=step.worker,
        summary=step.summary,
        serial=serial,
        existed=live is not None,
        etag=live.etag if live else None,
        modified_on=live.modified_on if live else None,
        tag=live.migration_tag if live else None,
    )
    match step:
        case Upload():
            verify = _to_verify(step.migration)
            return replace(
                common,
                new_tag=step.migration.new_tag if step.migration else None,
                body_sha256=digest,
                worker_record=step.worker_record,
                namespace_records=step.namespace_records,
                verify=verify,
                forgotten=step.forgotten,
                known=known if verify else frozenset(),
            )
        case SetMark():
            return replace(common, kind="mark", tags=step.tags)
        case SetUrl():
            url = replace(common, kind="url", enabled=step.enabled, previews=step.previews)
            return replace(url, settings_digest=step.settings_digest)
        case SetSchedules():
            return replace(common, kind="crons", crons=step.crons, kept=step.kept, settings_digest=step.settings_digest)
        case MakeQueue():
            return replace(common, kind="queue", queue=step.queue)
        case SetTrigger():
            return replace(common, kind="trigger", trigger=step.trigger)
        case RemoveTrigger():
            return replace(common, kind="untrigger", trigger=step.trigger)
        case DeleteScript():
            return replace(common, kind="delete", forgotten=step.forgotten)
        case _:
            assert_never(step)


def judge(intent: Intent, scripts: Mapping[str, ObservedScript]) -> Status:
    """Judge from the script list whether an upload or a deletion happened; `uncertain` after somebody else's change.

    `not done` is what the list shows now. It may lag, and the request may still arrive: who asks decides how often to
    look again.
    """
    live = scripts.get(intent.script_name)
    if intent.kind == "delete":
        return "done" if live is None else "not done"  # whoever deleted it, it is gone with its namespaces
    if live is None:
        return "uncertain" if intent.existed else "not done"  # it may have arrived before somebody deleted the script
    # Either is enough: ten other tags leave no room for the op, and an upload of code alone sets no migration tag.
    if op_of(live) == intent.op or (intent.new_tag and live.migration_tag == intent.new_tag):
        return "done"
    before = intent.etag, intent.modified_on, intent.tag
    untouched = intent.existed and (live.etag, live.modified_on, live.migration_tag) == before
    return "not done" if untouched else "uncertain"


def _to_verify(migration: Migration | None) -> tuple[StableId, ...]:
    """Return the namespaces that must be live as recorded once the upload is accepted."""
    if migration is None:
        return ()
    return tuple(c.stable_id for c in migration.class_migrations if _shows(c, migration.wire == "exports"))


def _shows(change: ClassMigration, exports: bool) -> bool:  # noqa: FBT001 - the wire form, one of two
    """Say whether the namespace list shows the change as soon as the upload is accepted."""
    match change:
        case CreateClass() | RenameClass() | TransferredAway():
            return True
        case TransferClass():
            # The target's upload of `exports` only announces it ("expecting-transfer"); the source's commits it.
            return not exports
        case DeleteClass():
            return False  # nothing is recorded of it that could be compared

        case _:
            assert_never(change)
