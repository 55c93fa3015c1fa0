"""Whose the live script of each declared Worker is, in which form it speaks, and whether it can be judged at all.

A script may be this session's, another's, or nobody's known; it may have been uploaded with another copy of this very
state file, which therefore knows more; and a gradual deployment may run two versions, of which one can be what is
declared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from notebook_do.model import TAG_PREFIX, Storage
from notebook_do.plan.namespaces.marks import Mark, op_of, read_mark
from notebook_do.plan.plan import Action, Change, Objection
from notebook_do.plan.sentences import say

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from notebook_do.model import DesiredWorker, Lifecycle, MigrationTag, ObservedScript, Recorded, RecordedWorker
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.namespaces.identity import ResolvedNamespace


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
    worker: DesiredWorker,
    action: Action,
    kind: str,
    detail: str,
    *,
    field: str = "",
    before: str = "",
    after: str = "",
    happens: str = "",
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
        happens=happens,
    )


def ownership_of(worker: DesiredWorker, facts: Facts, findings: Findings) -> Ownership:
    """Find out whose a declared Worker's live script is, and in which form it speaks; refusals go to `findings`."""
    live = facts.scripts.get(worker.script_name)
    record = facts.script_records.get(worker.script_name)
    mark = read_mark(live.tags) if live else None
    # Without a state file our mark says whose the script is: its tags are live, and survive the loss of the file.
    mine = mark is not None and mark.is_of(facts.desired.session, facts.desired.stage)
    _check_name(worker, facts, findings)
    if live and not record and not mine and not worker.adopt:
        _refuse_foreign(worker, live, mark, findings)
    if record and not live:
        detail = say("worker-gone", script=worker.script_name)
        findings.drift.append(change_of(worker, Action.DELETE, "worker", detail))
    if live and not record:
        text = say("worker-unrecorded", "ours" if mine else "adopted", script=worker.script_name)
        findings.outside.append(Objection(kind="take-over", text=text))
    form, converts, free = _form(worker, live, record, facts, findings)
    known_tag = _tag_is_known(worker, live, record, facts)
    if not known_tag and not worker.adopt:
        _refuse_tag(worker, live, record, findings)
    if not known_tag and live:
        text = say("tag-noted", tag=live.migration_tag, script=live.name)
        findings.outside.append(Objection(kind="take-over", text=text))
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
        return  # where the old script is gone there is nothing that could be left behind
    findings.refuse("worker-renamed", worker.id, where=worker.where, record=record, worker=worker)


def _refuse_foreign(worker: DesiredWorker, live: ObservedScript, mark: Mark | None, findings: Findings) -> None:
    if worker.inspector:  # nobody declared it, so that nobody can declare adopt=True or another name on it
        findings.refuse("inspector-exists", worker.id, where=worker.where, live=live)
        return
    if mark:
        reason = "session"
    # Alchemy deploys over the API like anybody else (`last_deployed_from` is `api`), so its tags have to tell.
    elif any(tag.startswith("alchemy:") for tag in live.tags):
        reason = "alchemy"
    else:
        reason = "tool" if live.last_deployed_from else "unknown"
    findings.refuse("worker-exists", worker.id, reason=reason, where=worker.where, live=live, mark=mark, worker=worker)


def _form(
    worker: DesiredWorker, live: ObservedScript | None, record: RecordedWorker | None, facts: Facts, findings: Findings
) -> tuple[Lifecycle, bool, bool]:
    """Return the wire form, whether the Worker is converted to it, and whether it is still free to take another.

    A live Worker keeps its form. One that hosts classes and shows none speaks `migrations`: `exports` would be shown.
    """
    has_classes = worker.script_name in facts.hosted
    now: Lifecycle | None = None
    if live:
        now = live.lifecycle or (record.lifecycle if record else None) or ("migrations" if has_classes else None)
        if record and record.lifecycle == "exports" and not has_classes:
            now = "exports"  # one-way, and only a script that hosts a class shows it
        elif record and record.lifecycle and live.lifecycle and record.lifecycle != live.lifecycle:
            detail = say("form-changed-outside", script=live.name, form=live.lifecycle)
            # The plan follows it: what is live is what comes to be declared.
            shown = {"before": record.lifecycle, "after": live.lifecycle}
            findings.drift.append(change_of(worker, Action.UPDATE, "setting", detail, field="lifecycle", **shown))
    if worker.lifecycle == "auto":  # a new Worker gets the form that Cloudflare recommends for new ones
        return now or "exports", False, now is None
    if now == "exports" and worker.lifecycle == "migrations":
        findings.refuse("lifecycle-mix", worker.id, where=worker.where, worker=worker)
        return "exports", False, False
    # Only from `migrations` to `exports`: the other way was refused above, since Cloudflare has none.
    return worker.lifecycle, now is not None and now != worker.lifecycle, False


def is_drawn_here(tag: MigrationTag, recorded: Recorded) -> bool:
    """Say whether a migration tag was drawn by a deploy with this state file, or with a copy of it."""
    return tag.startswith(f"{TAG_PREFIX}{recorded.lineage[:8]}-")


def _tag_is_known(
    worker: DesiredWorker, live: ObservedScript | None, record: RecordedWorker | None, facts: Facts
) -> bool:
    """Say whether the live migration tag is one that we left, or was there when we last looked."""
    tag = live.migration_tag if live else None
    if tag is None or (record and record.migration_tag == tag):
        return True
    if record is None and worker.adopt:
        return False  # whoever set it: the plan that takes the Worker over shows that its tag is taken note of
    if is_drawn_here(tag, facts.recorded):
        return True  # set by a deploy of ours that ended before it could be recorded
    return record is None and tag.startswith(TAG_PREFIX)  # the state file was lost: our mark says that it is ours


def _refuse_tag(
    worker: DesiredWorker, live: ObservedScript | None, record: RecordedWorker | None, findings: Findings
) -> None:
    findings.refuse(
        "unknown-tag",
        worker.id,
        reason="left" if record else "unrecorded",
        where=worker.where,
        script=worker.script_name,
        tag=live.migration_tag if live else None,
        left=(record.migration_tag if record else None) or "none",
        worker=worker,
    )


# --- the form, where moves and storage decide it


def settle_forms(
    resolved: Iterable[ResolvedNamespace], ownerships: dict[str, Ownership], facts: Facts, findings: Findings
) -> None:
    """Settle the form of each of `ownerships` in place; refusals go to `findings`.

    First come the moves: a transfer needs the same form on both sides. Then the new key-value namespaces, which only
    `migrations` can create.
    """
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
        # The form of what moves here is settled already, and a new namespace takes it.
        takes_over = any(o.desired.host == one.desired.host and _moves(o) for o in listed)
        if ownership.free and not takes_over:
            ownerships[one.desired.script_name] = replace(ownership, form="migrations")
        elif ownership.form == "exports":
            desired = one.desired
            findings.refuse(
                "kv-not-creatable",
                desired.stable_id,
                where=desired.where,
                script=desired.script_name,
                desired=desired,
            )


def _moves(resolved: ResolvedNamespace) -> bool:
    return resolved.live is not None and resolved.live.script_name != resolved.desired.script_name


def form_of(script: str, ownerships: dict[str, Ownership], facts: Facts) -> Lifecycle:
    """Return the form of a script that hosts namespaces, declared or only live."""
    if script in ownerships:
        return ownerships[script].form
    live = facts.scripts.get(script)
    return (live.lifecycle if live else None) or "migrations"


# --- another copy of the state file

UNKNOWN = ""
"""The recorded operation of a Worker of which another copy of the state file knows more."""
_OP = re.compile(r"([0-9a-f]{8})\.(\d{1,12})\.[0-9a-f]{16}")
"""An operation as an upload names it in a tag: the begin of the lineage, the serial, and what tells it from others."""


def serial_of(script: ObservedScript, recorded: Recorded) -> int | None:
    """Return the serial at which this lineage uploaded what is live; None where another one did."""
    found = _OP.fullmatch(op_of(script) or "")
    return int(found[2]) if found and found[1] == recorded.lineage[:8] else None


def is_behind(script: ObservedScript, recorded: Recorded) -> bool:
    """Say whether a copy of this state file uploaded what this one does not know.

    A record of the first edition does not name its upload: there the serial tells, which only grows.
    """
    record = next((w for w in recorded.workers if w.script_name == script.name), None)
    return _is_behind(script, recorded, record)


def _is_behind(script: ObservedScript, recorded: Recorded, record: RecordedWorker | None) -> bool:
    serial = serial_of(script, recorded)
    if serial is None:
        return False  # another lineage: that is drift, or a Worker of somebody else
    return serial >= recorded.serial if record is None or record.op is None else record.op != op_of(script)


def check_behind(
    scripts: Iterable[ObservedScript], recorded: Recorded, own: Collection[str], findings: Findings
) -> None:
    """Refuse a plan that rests on an older state file than what is live; `own` are the operations of our journal."""
    records = {w.script_name: w for w in recorded.workers}
    ahead = [s for s in scripts if op_of(s) not in own and _is_behind(s, recorded, records.get(s.name))]
    if not ahead:
        return
    # Any other refusal rests on facts that are old, and its choices could be wrong.
    findings.refusals = [r for r in findings.refusals if r.code == "other-account"]
    names = " ".join(sorted(s.name for s in ahead))
    for script in ahead:
        serial = serial_of(script, recorded)
        findings.refuse("state-behind", script.name, serial=serial, recorded=recorded, scripts=names)


# --- two versions at once


def split_drift(ownership: Ownership) -> list[Change]:
    """Return the drift of a gradual deployment: whichever version is the declared one, the other answers too."""
    worker, live = ownership.worker, ownership.live
    if live is None or not live.split:
        return []
    detail = say("worker-split", script=worker.script_name)
    return [change_of(worker, Action.UPDATE, "code", detail, field="deployment")]


def check_split(ownership: Ownership, findings: Findings, *, lifecycle: bool) -> None:
    """Refuse a change of classes while two versions run; warn that any other upload ends that.

    Class migrations cannot be gradual, and the versions of one deployment must have the same `exports` (100405).
    """
    live = ownership.live
    if live is None or not live.split:
        return
    if lifecycle or ownership.converts:
        findings.refuse("split-deployment", ownership.worker.id, where=ownership.worker.where, script=live.name)
    else:
        findings.warn("split-ends", script=live.name)
