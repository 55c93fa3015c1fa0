"""Says whose the live script of each declared Worker is, and whether what is live can be judged at all.

A script may be this session's, another's, or nobody's known; it may have been uploaded with another copy of this very
state file, which therefore knows more; and a gradual deployment may run two versions, of which one can be what is
declared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.model import TAG_PREFIX
from notebook_do.plan.namespaces.marks import Mark, op_of, read_mark
from notebook_do.plan.plan import Action, Change

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from notebook_do.model import DesiredWorker, Lifecycle, MigrationTag, ObservedScript, Recorded, RecordedWorker
    from notebook_do.plan.facts import Facts, Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
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


def change_of(  # noqa: PLR0913 - the cells of a row
    worker: DesiredWorker, action: Action, kind: str, detail: str, *, field: str = "", before: str = "", after: str = ""
) -> Change:
    """Return a row about a Worker."""
    return Change(
        action=action,
        kind=kind,
        id=worker.id,
        worker=worker.id,
        name=worker.script_name,
        field=field,
        before=before,
        after=after,
        detail=detail,
    )


def ownership_of(worker: DesiredWorker, facts: Facts, findings: Findings) -> Ownership:
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
        findings.drift.append(change_of(worker, Action.DELETE, "worker", detail))
    form, converts, free = _form(worker, live, record, facts, findings)
    known_tag = _tag_is_known(worker, live, record, facts)
    if not known_tag and not worker.adopt:
        _refuse_tag(worker, live, record, findings)
    return Ownership(
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
            shown = {"before": record.lifecycle, "after": live.lifecycle}
            findings.drift.append(change_of(worker, Action.UPDATE, "setting", detail, field="lifecycle", **shown))
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


UNKNOWN = ""
"""The recorded operation of a Worker of which another copy of the state file knows more."""
_OP = re.compile(r"([0-9a-f]{8})\.(\d{1,12})\.[0-9a-f]{16}")


def serial_of(script: ObservedScript, recorded: Recorded) -> int | None:
    """Return the serial at which this lineage uploaded what is live; None where another one did."""
    found = _OP.fullmatch(op_of(script) or "")
    return int(found[2]) if found and found[1] == recorded.lineage[:8] else None


def is_behind(script: ObservedScript, recorded: Recorded) -> bool:
    """Say whether a copy of this state file uploaded what this one does not know.

    A record of the first edition does not name its upload: there the serial tells, which only grows.
    """
    serial = serial_of(script, recorded)
    if serial is None:
        return False
    record = next((w for w in recorded.workers if w.script_name == script.name), None)
    return serial >= recorded.serial if record is None or record.op is None else record.op != op_of(script)


def check_behind(
    scripts: Iterable[ObservedScript], recorded: Recorded, own: Collection[str], findings: Findings
) -> None:
    """Refuse a plan that rests on an older state file than what is live; `own` are the operations of our journal."""
    ahead = [s for s in scripts if op_of(s) not in own and is_behind(s, recorded)]
    if not ahead:
        return
    findings.refusals = [r for r in findings.refusals if r.code == "other-account"]  # the rest is about old facts
    names = " ".join(sorted(s.name for s in ahead))
    for script in ahead:
        findings.refuse(
            "state-behind",
            script.name,
            f"Worker {script.name} was deployed with another copy of this state file (at serial "
            f"{serial_of(script, recorded)}; this one is at {recorded.serial}), or the journal of that deploy is lost: "
            "what this file says of it is old.",
            f"bring this file up to date: %durable import {names}",
            "go on with the copy that deployed last",
            "open a session of another name",
        )


def split_drift(ownership: Ownership) -> list[Change]:
    """Return the row that says so: whichever of the two is the declared one, the other answers part of the requests."""
    worker, live = ownership.worker, ownership.live
    if live is None or not live.split:
        return []
    detail = (
        f"Worker {worker.script_name} runs two versions at once (a gradual deployment), so not everything "
        "that answers is what is declared; this plan ends that at 100 % of the declared code."
    )
    return [change_of(worker, Action.UPDATE, "code", detail, field="deployment")]


def check_split(ownership: Ownership, findings: Findings, *, lifecycle: bool) -> None:
    """Refuse a change of classes while two versions run; warn that any other upload ends that."""
    live = ownership.live
    if live is None or not live.split:
        return
    if lifecycle or ownership.converts:
        findings.refuse(
            "split-deployment",
            ownership.worker.id,
            f"Worker {live.name} runs two versions at once (a gradual deployment), and classes cannot "
            "change meanwhile.",
            "bring one version to 100 % first (npx wrangler versions deploy), then plan again",
            "deploy without the change of classes first: that ends it at 100 % of the declared code",
            where=ownership.worker.where,
        )
    else:
        findings.warnings.append(
            f"Worker {live.name} runs two versions at once; this plan ends that at 100 % of the new code. To go on "
            "with it instead, do not deploy this plan; the tool that began it ends it (npx wrangler versions deploy)."
        )
