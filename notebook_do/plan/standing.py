"""Says of each declared Worker whose the live script is, which form its class migrations take, and from which tag.

A live script is ours when the state file or our mark says so; anything else needs `adopt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.model import TAG_PREFIX
from notebook_do.plan.mark import Mark, read_mark
from notebook_do.plan.plan import Action, Change

if TYPE_CHECKING:
    from notebook_do.model import DesiredWorker, Lifecycle, MigrationTag, ObservedScript, RecordedWorker
    from notebook_do.plan.facts import Facts, Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a declared Worker's script is today."""

    worker: DesiredWorker
    live: ObservedScript | None
    record: RecordedWorker | None
    mark: Mark | None
    """The mark that the live script bears, ours or taken over with `adopt`."""
    form: Lifecycle
    converts: bool = False
    free: bool = False
    """Nothing has fixed the form yet: neither what is live nor the declaration."""
    adopts: bool = False
    notes_tag: bool = False
    """The live migration tag is not ours, and is taken note of with `adopt`; only a class change replaces it."""

    @property
    def old_tag(self) -> MigrationTag | None:
        """The tag that a migration must name."""
        return self.live.migration_tag if self.live else None


def stand(worker: DesiredWorker, facts: Facts, findings: Findings) -> Standing:
    """Find out how a declared Worker stands; refusals go to `findings`."""
    live = facts.scripts.get(worker.script_name)
    record = facts.script_records.get(worker.script_name)
    mark = read_mark(live.tags) if live else None
    mine = mark is not None and mark.is_of(facts.desired.session, facts.desired.stage)
    _check_name(worker, facts, findings)
    if live and not record and not mine and not worker.adopt:
        _refuse_foreign(worker, live, mark, findings)
    if record and not live:
        detail = (
            f"Worker {worker.script_name} was deployed before and is gone from the account; it would be created again."
        )
        findings.drift.append(
            Change(
                action=Action.DELETE,
                kind="worker",
                id=worker.id,
                worker=worker.id,
                name=worker.script_name,
                detail=detail,
            )
        )
    form, converts, free = _form(worker, live, record, facts, findings)
    known_tag = _tag_is_known(worker, live, record, facts)
    if not known_tag and not worker.adopt:
        _refuse_tag(worker, live, record, findings)
    return Standing(
        worker=worker,
        live=live,
        record=record,
        mark=mark if mine or worker.adopt else None,
        form=form,
        converts=converts,
        free=free,
        adopts=bool(live) and not record and not mine,
        notes_tag=not known_tag,
    )


def _check_name(worker: DesiredWorker, facts: Facts, findings: Findings) -> None:
    """Refuse a Worker whose script name changed: Cloudflare would see another, empty Worker."""
    record = facts.worker_records.get(worker.id)
    if record is None or record.script_name == worker.script_name or record.script_name not in facts.scripts:
        return
    findings.refuse(
        "worker-renamed",
        worker.id,
        f"Worker {worker.id} is deployed as {record.script_name} and now declared as {worker.script_name}: "
        "on Cloudflare that is another Worker, with empty namespaces.",
        f"keep the name: declare name={record.script_name!r} (--name {record.script_name})",
        f"declare the new one under another id, with transferred_from={record.script_name!r} on each namespace that "
        f"moves, and destroy {worker.id} afterwards",
        where=worker.where,
    )


def _refuse_foreign(worker: DesiredWorker, live: ObservedScript, mark: Mark | None, findings: Findings) -> None:
    origin = f"it was made by session {mark.session}, stage {mark.stage}" if mark else "it was not made by this session"
    if mark is None and any(tag.startswith("alchemy:") for tag in live.tags):
        origin = "its tags say that Alchemy manages it"
    elif mark is None and live.last_deployed_from:
        origin = f"it was last deployed from {live.last_deployed_from}"
    findings.refuse(
        "worker-exists",
        worker.id,
        f"a Worker called {live.name} already exists in the account: {origin}.",
        "take it over: declare adopt=True (--adopt); its namespaces are kept",
        "declare another name (--name NAME)",
        where=worker.where,
    )


def _form(
    worker: DesiredWorker, live: ObservedScript | None, record: RecordedWorker | None, facts: Facts, findings: Findings
) -> tuple[Lifecycle, bool, bool]:
    """Choose the wire form; a live Worker keeps its own. Gives also whether it is converted, and whether it is free."""
    has_classes = worker.script_name in facts.hosted
    now: Lifecycle | None = None
    if live:
        now = live.lifecycle or (record.lifecycle if record else None) or ("migrations" if has_classes else None)
        if record and record.lifecycle == "exports" and not has_classes:
            now = "exports"  # one-way, and only a script that hosts a class shows it
        elif record and record.lifecycle and live.lifecycle and record.lifecycle != live.lifecycle:
            detail = f"Worker {live.name} was switched to {live.lifecycle} outside; this plan follows it."
            findings.drift.append(
                Change(
                    action=Action.UPDATE,
                    kind="setting",
                    id=worker.id,
                    worker=worker.id,
                    name=live.name,
                    field="lifecycle",
                    before=record.lifecycle,
                    after=live.lifecycle,
                    detail=detail,
                )
            )
    if worker.lifecycle == "auto":
        return now or "exports", False, now is None
    if now == "exports" and worker.lifecycle == "migrations":
        findings.refuse(
            "lifecycle-mix",
            worker.id,
            f"Worker {worker.script_name} uses `exports`, and Cloudflare lets no Worker return to `migrations`.",
            "declare lifecycle='exports' or leave it out",
            where=worker.where,
        )
        return "exports", False, False
    return worker.lifecycle, now is not None and now != worker.lifecycle, False


def _tag_is_known(
    worker: DesiredWorker, live: ObservedScript | None, record: RecordedWorker | None, facts: Facts
) -> bool:
    """Say whether the live migration tag is one that we left, or was there when we last looked."""
    tag = live.migration_tag if live else None
    if tag is None or (record and record.migration_tag == tag):
        return True
    if record is None and worker.adopt:
        return False
    if tag.startswith(f"{TAG_PREFIX}{facts.recorded.lineage[:8]}-"):
        return True
    return record is None and tag.startswith(TAG_PREFIX)  # the state file was lost: our mark says that it is ours


def _refuse_tag(
    worker: DesiredWorker, live: ObservedScript | None, record: RecordedWorker | None, findings: Findings
) -> None:
    tag = live.migration_tag if live else None
    before = f"this session left {record.migration_tag or 'none'}" if record else "this session knows none"
    findings.refuse(
        "unknown-tag",
        worker.id,
        f"Worker {worker.script_name} bears the migration tag {tag}, {before}: something else changed its classes.",
        "look at what is live (%durable show namespaces), then take it over with adopt=True (--adopt)",
        "deploy it with the tool that set the tag",
        where=worker.where,
    )
