"""Turns desired, recorded and observed into a plan: changes that explain, steps that are sent, refusals that forbid.

The rules kept here: a delete only from an explicit destroy, a rename only because one stable ID changed its class, a
transfer only when it was declared. A plan with a refusal has no steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from notebook_do.model import ClassBinding
from notebook_do.model.steps import Forget, SetMark, Upload
from notebook_do.plan.facts import Facts, Findings, gather, newest_deployments, scripts_concerned, set_aside
from notebook_do.plan.namespaces.binders import check_binders
from notebook_do.plan.namespaces.destroy import (
    DestroySet,
    check_forgotten,
    check_hosts,
    destroy_set_of,
)
from notebook_do.plan.namespaces.identity import ResolvedNamespace, identify
from notebook_do.plan.namespaces.moves import NamespaceMove, can_alias
from notebook_do.plan.namespaces.order import CrossedTransfer, closed_last, in_sequence, with_deletions
from notebook_do.plan.namespaces.schedule import ScheduledUpload, UploadRequest, schedule_uploads
from notebook_do.plan.namespaces.transfer import (
    check_arrivals,
    check_foreign_hosts,
    check_missing,
    check_slots,
    elsewhere,
    move_of,
)
from notebook_do.plan.plan import Action, Change, Objection, Plan, take_baseline
from notebook_do.plan.rows import (
    destroy_changes,
    gone_changes,
    kept,
    kept_changes,
    mark_change,
    namespace_changes,
    undeclared_words,
)
from notebook_do.plan.sentences import say
from notebook_do.plan.tables import binding_rows, migration_rows
from notebook_do.plan.uploads import Uploads
from notebook_do.plan.workers.bindings import called_by, secret_notes
from notebook_do.plan.workers.diff import WorkerDiff, compare
from notebook_do.plan.workers.exported import check_exports
from notebook_do.plan.workers.inspected import check_inspected, inspect_changes
from notebook_do.plan.workers.lifecycle import check_entries, handovers
from notebook_do.plan.workers.ownership import (
    Ownership,
    change_of,
    check_behind,
    check_split,
    ownership_of,
    settle_forms,
)
from notebook_do.plan.workers.triggers import Triggering, trigger_steps
from notebook_do.plan.workers.unserved import unserved

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from notebook_do.model import Desired, Observed, Recorded, Target
    from notebook_do.model.states import SecretReading
    from notebook_do.model.steps import Step


def build_plan(  # noqa: PLR0913 - the three states, and what else a plan rests on
    desired: Desired,
    recorded: Recorded,
    observed: Observed,
    *,
    target: Target,
    default_compatibility_date: str,
    secret_readings: Mapping[tuple[str, str], SecretReading] = MappingProxyType({}),
    undecided: Mapping[str, str] = MappingProxyType({}),
    own: Collection[str] = (),
) -> Plan:
    """Compare the three states and return the plan; the same three make a byte-equal plan.

    `default_compatibility_date` is for Workers that are not live yet and declare none. `secret_readings` tells of each
    declared secret, by script name and binding, whether its value is the one that was set last; `undecided` are the
    scripts to leave out, with the reason; `own` are the operations of this session's journal.
    """
    asked, undeclared = desired.destroy, undeclared_words(desired, recorded, observed)
    desired, recorded, observed, left_out = set_aside(desired, recorded, observed, undecided)
    facts, findings = gather(desired, recorded, observed, secret_readings), Findings()
    _check_account(facts, target, findings)
    destroy_set = destroy_set_of(facts, findings)  # first: what is to be destroyed is planned for in no other way
    work = _survey(facts, destroy_set, findings)
    check_inspected(facts, target, findings)
    scripts = scripts_concerned(facts.desired, facts.recorded)
    # After everything else: where this state file is old, the refusals so far rest on it and are dropped.
    check_behind([s for s in observed.scripts if s.name in scripts], recorded, own, findings)
    steps = [] if findings.refusals else _steps(work, default_compatibility_date)
    if findings.refusals:  # ordering found one more
        steps = []
    lacking = unserved(steps, facts.workers, target)
    namespace_ids: dict[str, str] = {h.desired.stable_id: h.live.namespace_id for h in work.resolved if h.live}
    ids = frozenset((*namespace_ids.values(), *destroy_set.by_id(), *(r.namespace_id for r in recorded.namespaces)))
    return Plan(
        session=desired.session,
        stage=desired.stage,
        target=target,
        changes=_changes(work, steps),
        drift=tuple(findings.drift),
        steps=tuple(steps),
        # In an order of their own, since the digest covers them: the order of the cells must not change it.
        refusals=tuple(sorted(findings.refusals, key=lambda r: (r.subject, r.code))),
        consents=destroy_set.consents(),
        warnings=(*findings.warnings, *lacking.bindings, *lacking.containers),
        notes=secret_notes(work.diffs[script].ownership for script in sorted(work.diffs)),
        baseline=take_baseline(recorded, observed, scripts, ids),
        scripts=scripts,
        namespace_ids=ids,
        undecided=left_out,
        deployments=newest_deployments(observed),
        binding_rows=binding_rows(facts, work.diffs, elsewhere(facts) | namespace_ids),
        migration_rows=migration_rows(steps),
        asked=asked,
        undeclared=undeclared,
        outside=tuple(findings.outside),
        lasting=lacking.containers,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What was found about everything declared, before any order is made."""

    facts: Facts
    findings: Findings
    destroy_set: DestroySet
    ownerships: dict[str, Ownership]
    resolved: list[ResolvedNamespace]
    moves: list[NamespaceMove]
    diffs: dict[str, WorkerDiff]
    triggering: Triggering
    relabelled: dict[str, str]
    """Recorded Worker ids whose script is now declared under another id, by script."""


def _check_account(facts: Facts, target: Target, findings: Findings) -> None:
    recorded, observed = facts.recorded, facts.observed
    # Against another account, or the local Cloudflare, everything that is recorded would read as if it were gone.
    if recorded.account_id not in {None, observed.account_id} or recorded.api_origin not in {None, observed.api_origin}:
        before = "local" if str(recorded.api_origin).startswith("local:") else "cloudflare"
        alike = "locals" if target == "local" else "accounts"
        findings.refuse(
            "other-account",
            str(recorded.account_id),
            reason=alike if before == target else "from_local" if before == "local" else "to_local",
            recorded=recorded,
            observed=observed,
            desired=facts.desired,
            before=before,
            target=target,
        )


def _survey(facts: Facts, destroy_set: DestroySet, findings: Findings) -> _Work:
    """Look at every declared Worker and namespace that is not to be destroyed."""
    workers = (
        [] if destroy_set.forgets(facts) else [w for w in facts.desired.workers if w.id not in destroy_set.workers]
    )
    ownerships = {w.script_name: ownership_of(w, facts, findings) for w in workers}
    resolved = identify(facts, ownerships, destroy_set, findings)
    # Before any move: whether one can be made depends on the form of both ends.
    settle_forms(resolved, ownerships, facts, findings)
    moves = [move_of(h, facts, ownerships, findings) for h in resolved]
    relabelled = {
        script: s.record.id for script, s in ownerships.items() if s.record and s.record.id != s.worker.id and s.live
    }
    renamed = {h.desired.script_name for h in resolved if h.formerly or _is_another(h, facts)}
    named = relabelled.keys() | renamed
    diffs = {n: compare(s, facts, relabelled=n in named) for n, s in ownerships.items()}
    for diff in diffs.values():
        _check_secrets(diff, facts, findings)
        findings.drift += diff.drift
        findings.outside += (Objection(kind="put-back", text=text) for text in diff.undone)
    findings.drift += gone_changes(facts, destroy_set)
    work = _Work(
        facts=facts,
        findings=findings,
        destroy_set=destroy_set,
        ownerships=ownerships,
        resolved=resolved,
        moves=[*moves, *destroy_set.moves()],
        diffs=diffs,
        triggering=trigger_steps(facts, ownerships, destroy_set, findings),
        relabelled=relabelled,
    )
    _check_together(work)
    return work


def _is_another(resolved: ResolvedNamespace, facts: Facts) -> bool:
    """Say whether a stable ID is another namespace than its record says: the record is to be written anew."""
    record = facts.records.get(resolved.desired.stable_id)
    if record is None or not record.namespace_id or resolved.live is None:
        return False
    return resolved.live.namespace_id != record.namespace_id


def _check_secrets(diff: WorkerDiff, facts: Facts, findings: Findings) -> None:
    """Refuse a secret that has to be set and has no value here."""
    worker = diff.ownership.worker
    for name in (n for n, status in diff.secret_statuses.items() if status == "missing"):
        findings.refuse(
            "secret-missing",
            f"{worker.id}.{name}",
            where=worker.where,
            secret=name,
            script=worker.id,
            problem=facts.secret_readings[worker.script_name, name].problem,
        )


def _busy_scripts(work: _Work) -> set[str]:
    """Return the scripts that are uploaded by this plan."""
    busy = {script for script, diff in work.diffs.items() if diff.changed}
    for move in work.moves:
        # Both ends of a move: in the `exports` form the one announces a transfer and the other hands over.
        if move.at != move.goal:
            busy |= {slot.script for slot in (move.at, move.goal) if slot} & work.diffs.keys()
    return busy


def _check_together(work: _Work) -> None:
    """Refuse what only shows when everything declared is seen at once."""
    facts, findings, destroy_set = work.facts, work.findings, work.destroy_set
    busy = _busy_scripts(work)
    check_slots(work.moves, destroy_set.by_id(), facts, findings)
    check_arrivals(work.moves, work.ownerships, facts, findings)
    # What a refusal asks about, or a declaration is refused for, is not missing as well: one question at a time.
    declared = {r.namespace_id for i, r in facts.records.items() if i in facts.namespaces}
    known = frozenset(u.namespace_id for u in work.moves) | declared | findings.asked_about
    new: dict[str, list[NamespaceMove]] = {}
    for move in work.moves:
        if move.at is None and move.goal:
            new.setdefault(move.goal.script, []).append(move)
    # Only an upload takes a class away that nothing declares (10064); a Worker that is left alone keeps what it has.
    for script in sorted(busy):
        check_missing(script, known, new.get(script, []), facts, findings)
    moving = {slot.script for u in work.moves if u.at != u.goal for slot in (u.at, u.goal) if slot}
    for script in sorted(busy):
        check_split(work.ownerships[script], findings, lifecycle=script in moving)
    check_entries(work.moves, work.ownerships, busy, facts, findings)
    check_binders(destroy_set, frozenset(busy), facts, findings)
    check_hosts(destroy_set, facts, findings)
    check_forgotten(destroy_set, facts, findings)
    check_foreign_hosts(facts, destroy_set, findings)
    check_exports(work.resolved, work.ownerships, findings)


# --- steps


def _steps(work: _Work, default_compatibility_date: str) -> list[Step]:
    """Order everything into steps; a refusal that only the order shows goes to the findings."""
    requests = {script: _request_of(work, script) for script in work.diffs}
    try:
        scheduled = schedule_uploads(work.moves, requests, work.facts.scripts.keys() & work.diffs.keys())
    except CrossedTransfer as crossed:
        work.findings.refuse(
            "crossed-transfer",
            ",".join(crossed.scripts),
            where=work.facts.workers[crossed.scripts[0]].where,
            scripts=" and ".join(crossed.scripts),
        )
        return []
    _check_aliases(work, scheduled)
    uploads = Uploads(
        facts=work.facts,
        diffs=work.diffs,
        resolved={h.desired.stable_id: h for h in work.resolved},
        moves={u.stable_id: u for u in work.moves},
        default_compatibility_date=default_compatibility_date,
        closed_last=closed_last(work.triggering),
    )
    steps = uploads.steps(scheduled)
    work.findings.warnings += [*uploads.warnings, *handovers(steps)]
    if work.relabelled:  # their uploads record them under their new ids; without this they would be recorded twice
        steps.append(Forget(workers=tuple(sorted(work.relabelled.values()))))
    return with_deletions(in_sequence(steps, work.triggering, work.ownerships), work.destroy_set, work.facts)


def _request_of(work: _Work, script: str) -> UploadRequest:
    diff = work.diffs[script]
    worker = diff.ownership.worker
    classes = frozenset(b.stable_id for b in worker.bindings if isinstance(b, ClassBinding) and b.stable_id)
    return UploadRequest(
        script=script,
        form=diff.ownership.form,
        changed=diff.changed or _must_unbind(work, script),
        converts=diff.ownership.converts,
        binds=classes,
        bound_classes=frozenset(b.class_name for b in worker.bindings if isinstance(b, ClassBinding)),
        serves=(called_by(worker) & work.diffs.keys()) - {script},
        follows=work.triggering.heirs(diff.ownership),
    )


def _must_unbind(work: _Work, script: str) -> bool:
    """Say whether the live script still binds, or may still bind, a class of its own that is to be deleted.

    Cloudflare deletes no class that the live version binds (10061), so an upload without the binding comes first.
    """
    deleted = {u.at.class_name for u in work.destroy_set.moves() if u.at and u.at.script == script}
    live = work.facts.scripts.get(script)
    if not deleted or live is None:
        return False
    if live.bindings is None:
        return True  # one upload too many does no harm, a refused deletion stops the deploy
    return any(isinstance(b, ClassBinding) and b.class_name in deleted for b in live.bindings)


def _check_aliases(work: _Work, scheduled: list[ScheduledUpload]) -> None:
    for script in sorted({s.script for s in scheduled if any(a != b for a, b in s.exports.items())}):
        worker = work.diffs[script].ownership.worker
        if not can_alias(worker.main_module, worker.modules):
            work.findings.refuse("alias-impossible", worker.id, where=worker.where, script=worker.script_name)


# --- what the plan says and covers


def _changes(work: _Work, steps: list[Step]) -> tuple[Change, ...]:
    changes: list[Change] = []
    uploaded = {s.script_name for s in steps if isinstance(s, Upload)}
    changes += (mark_change(s) for s in steps if isinstance(s, SetMark) and s.script_name not in uploaded)
    for script, diff in sorted(work.diffs.items()):
        if not diff.changes:
            worker = diff.ownership.worker
            detail = say("worker-unchanged", script=script)
            changes.append(change_of(worker, Action.NOOP, "worker", detail))
        changes += (*diff.changes, *(kept(diff) if script in uploaded else ()))
    changes += work.triggering.changes
    changes += [*namespace_changes(work.resolved, work.facts.known), *inspect_changes(work.facts)]
    changes += destroy_changes(work.destroy_set, work.facts)
    changes += kept_changes(work.facts, work.destroy_set, work.resolved)
    return tuple(changes)
