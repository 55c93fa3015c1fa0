"""Turns desired, recorded and observed into a plan: changes that explain, steps that are sent, refusals that forbid.

The rules kept here: a delete only from an explicit destroy, a rename only because one stable ID changed its class, a
transfer only when it was declared. A plan with a refusal has no steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from notebook_do.model import ClassBinding
from notebook_do.model.steps import Forget, SetMark, Upload
from notebook_do.plan.alias import can_alias
from notebook_do.plan.behind import check_behind
from notebook_do.plan.bound import called_by
from notebook_do.plan.destroy import Doom, check_binders, check_forgotten, check_hosts, condemn, deletions
from notebook_do.plan.diff import WorkerDiff, compare
from notebook_do.plan.entries import check_entries
from notebook_do.plan.explain import (
    doom_changes,
    gone_changes,
    kept_changes,
    mark_change,
    namespace_changes,
    undeclared_words,
)
from notebook_do.plan.facts import Facts, Findings, gather, newest_deployments
from notebook_do.plan.foreign import check_foreign_hosts, elsewhere
from notebook_do.plan.forms import settle_forms
from notebook_do.plan.handover import handovers
from notebook_do.plan.identity import Held, identify
from notebook_do.plan.kept import kept, secret_notes
from notebook_do.plan.migrations import check_arrivals, check_missing, check_slots, unit_of
from notebook_do.plan.order import CrossedTransfer
from notebook_do.plan.plan import Action, Change, Plan, take_baseline
from notebook_do.plan.rows import binding_rows, migration_rows
from notebook_do.plan.schedule import Plot, Schedule, Stage, Unit
from notebook_do.plan.sequence import closed_last, in_sequence
from notebook_do.plan.splits import check_split
from notebook_do.plan.standing import Standing, stand
from notebook_do.plan.triggers import Triggering, trigger_steps
from notebook_do.plan.undecided import set_aside
from notebook_do.plan.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from notebook_do.model import Desired, Observed, Recorded, Target
    from notebook_do.model.states import Sight
    from notebook_do.model.steps import Step


def build_plan(  # noqa: PLR0913 - the three states, and what else a plan rests on
    desired: Desired,
    recorded: Recorded,
    observed: Observed,
    *,
    target: Target,
    default_compatibility_date: str,
    sights: Mapping[tuple[str, str], Sight] = MappingProxyType({}),
    undecided: Mapping[str, str] = MappingProxyType({}),
    own: Collection[str] = (),
) -> Plan:
    """Compare the three states and give the plan; the same three give a byte-equal plan.

    `default_compatibility_date` is for Workers that are not live yet and declare none. `sights` tells of each declared
    secret, by script name and binding, whether its value is the one that was set last; `undecided` gives the scripts
    to leave out, with the reason; `own` are the operations of this session's journal.
    """
    asked, undeclared = desired.destroy, undeclared_words(desired, recorded, observed)
    desired, recorded, observed, left_out = set_aside(desired, recorded, observed, undecided)
    facts, findings = gather(desired, recorded, observed, sights), Findings()
    _check_account(facts, findings)
    doom = condemn(facts, findings)
    work = _survey(facts, doom, findings)
    scripts = _scripts(facts)
    check_behind([s for s in observed.scripts if s.name in scripts], recorded, own, findings)
    steps = [] if findings.refusals else _steps(work, default_compatibility_date)
    if findings.refusals:  # ordering found one more
        steps = []
    namespace_ids: dict[str, str] = {h.desired.stable_id: h.live.namespace_id for h in work.held if h.live}
    ids = frozenset((*namespace_ids.values(), *doom.by_id(), *(r.namespace_id for r in recorded.namespaces)))
    return Plan(
        session=desired.session,
        stage=desired.stage,
        target=target,
        changes=_changes(work, steps),
        drift=tuple(findings.drift),
        steps=tuple(steps),
        refusals=tuple(sorted(findings.refusals, key=lambda r: (r.subject, r.code))),
        consents=doom.consents(),
        warnings=tuple(findings.warnings),
        notes=secret_notes(work.diffs[script] for script in sorted(work.diffs)),
        baseline=take_baseline(recorded, observed, scripts, ids),
        scripts=scripts,
        namespace_ids=ids,
        undecided=left_out,
        deployments=newest_deployments(observed),
        binding_rows=binding_rows(facts, work.diffs, elsewhere(facts) | namespace_ids),
        migration_rows=migration_rows(steps),
        asked=asked,
        undeclared=undeclared,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What was found about everything declared, before any order is made."""

    facts: Facts
    findings: Findings
    doom: Doom
    standings: dict[str, Standing]
    held: list[Held]
    units: list[Unit]
    diffs: dict[str, WorkerDiff]
    triggering: Triggering
    relabelled: dict[str, str]
    """Recorded Worker ids whose script is now declared under another id, by script."""


def _check_account(facts: Facts, findings: Findings) -> None:
    recorded, observed = facts.recorded, facts.observed
    if recorded.account_id not in {None, observed.account_id} or recorded.api_origin not in {None, observed.api_origin}:
        findings.refuse(
            "other-account",
            str(recorded.account_id),
            f"the state file belongs to account {recorded.account_id} at {recorded.api_origin}; this is account "
            f"{observed.account_id} at {observed.api_origin}.",
            "use the account that it belongs to",
            "open a session with another state file for this account",
        )


def _survey(facts: Facts, doom: Doom, findings: Findings) -> _Work:
    """Look at every declared Worker and namespace that is not to be destroyed."""
    workers = [] if doom.forgets(facts) else [w for w in facts.desired.workers if w.id not in doom.workers]
    standings = {w.script_name: stand(w, facts, findings) for w in workers}
    held = identify(facts, standings, doom, findings)
    settle_forms(held, standings, facts, findings)
    units = [unit_of(h, facts, standings, findings) for h in held]
    relabelled = {
        script: s.record.id for script, s in standings.items() if s.record and s.record.id != s.worker.id and s.live
    }
    renamed = {h.desired.script_name for h in held if h.formerly or _is_another(h, facts)}
    named = relabelled.keys() | renamed
    diffs = {n: compare(s, relabelled=n in named, sights=facts.sights) for n, s in standings.items()}
    for diff in diffs.values():
        _check_secrets(diff, facts, findings)
        findings.drift += diff.drift
    findings.drift += gone_changes(facts, doom)
    work = _Work(
        facts=facts,
        findings=findings,
        doom=doom,
        standings=standings,
        held=held,
        units=[*units, *doom.units()],
        diffs=diffs,
        triggering=trigger_steps(facts, standings, doom, findings),
        relabelled=relabelled,
    )
    _check_together(work)
    return work


def _is_another(held: Held, facts: Facts) -> bool:
    """Say whether a stable ID is another namespace than its record says: the record is to be written anew."""
    record = facts.records.get(held.desired.stable_id)
    if record is None or not record.namespace_id or held.live is None:
        return False
    return held.live.namespace_id != record.namespace_id


def _check_secrets(diff: WorkerDiff, facts: Facts, findings: Findings) -> None:
    """Refuse a secret that has to be set and has no value here."""
    worker = diff.standing.worker
    for name in (n for n, fate in diff.fates.items() if fate == "missing"):
        findings.refuse(
            "secret-missing",
            f"{worker.id}.{name}",
            f"secret {name} of Worker {worker.script_name} was never set, and there is no value for it: "
            f"{facts.sights[worker.script_name, name].problem}",
            "give it a value where it says, and plan again",
            "leave the secret out of the declaration",
            where=worker.where,
        )


def _busy_scripts(work: _Work) -> set[str]:
    """Name the scripts that are uploaded by this plan."""
    busy = {script for script, diff in work.diffs.items() if diff.changed}
    for unit in work.units:
        if unit.at != unit.goal:
            busy |= {slot.script for slot in (unit.at, unit.goal) if slot} & work.diffs.keys()
    return busy


def _check_together(work: _Work) -> None:
    """Refuse what only shows when everything declared is seen at once."""
    facts, findings, doom = work.facts, work.findings, work.doom
    busy = _busy_scripts(work)
    check_slots(work.units, doom.by_id(), facts, findings)
    check_arrivals(work.units, work.standings, facts, findings)
    declared = {r.namespace_id for i, r in facts.records.items() if i in facts.namespaces}
    known = frozenset(u.namespace_id for u in work.units) | declared | findings.asked_about
    new: dict[str, list[Unit]] = {}
    for unit in work.units:
        if unit.at is None and unit.goal:
            new.setdefault(unit.goal.script, []).append(unit)
    for script in sorted(busy):
        check_missing(script, known, new.get(script, []), facts, findings)
    moving = {slot.script for u in work.units if u.at != u.goal for slot in (u.at, u.goal) if slot}
    for script in sorted(busy):
        check_split(work.standings[script], findings, lifecycle=script in moving)
    check_entries(work.units, work.standings, busy, facts, findings)
    check_binders(doom, frozenset(busy), facts, findings)
    check_hosts(doom, facts, findings)
    check_forgotten(doom, facts, findings)
    check_foreign_hosts(facts, doom, findings)


# --- steps


def _steps(work: _Work, default_compatibility_date: str) -> list[Step]:
    """Order everything into steps; a refusal that only the order shows goes to the findings."""
    schedule = Schedule(
        [replace(u) for u in work.units],
        {script: _plot(work, script) for script in work.diffs},
        {name for name in work.facts.scripts if name in work.diffs},
    )
    try:
        stages = schedule.run()
    except CrossedTransfer as crossed:
        _refuse_crossed(work, crossed)
        return []
    _check_aliases(work, stages)
    uploads = Uploads(
        facts=work.facts,
        diffs=work.diffs,
        held={h.desired.stable_id: h for h in work.held},
        units={u.stable_id: u for u in work.units},
        default_compatibility_date=default_compatibility_date,
        closed_last=closed_last(work.triggering),
    )
    steps = uploads.steps(stages)
    work.findings.warnings += [*uploads.warnings, *handovers(steps)]
    if work.relabelled:
        steps.append(Forget(workers=tuple(sorted(work.relabelled.values()))))
    return [*in_sequence(steps, work.triggering, work.standings), *deletions(work.doom, work.facts)]


def _plot(work: _Work, script: str) -> Plot:
    diff = work.diffs[script]
    worker = diff.standing.worker
    classes = frozenset(b.stable_id for b in worker.bindings if isinstance(b, ClassBinding) and b.stable_id)
    return Plot(
        script=script,
        form=diff.standing.form,
        changed=diff.changed or _must_unbind(work, script),
        converts=diff.standing.converts,
        binds=classes,
        bound_classes=frozenset(b.class_name for b in worker.bindings if isinstance(b, ClassBinding)),
        serves=called_by(worker) & work.diffs.keys() - {script},
        follows=work.triggering.heirs(diff.standing),
    )


def _must_unbind(work: _Work, script: str) -> bool:
    """Say whether the live script still binds, or may still bind, a class of its own that is to be deleted."""
    doomed = {u.at.class_name for u in work.doom.units() if u.at and u.at.script == script}
    live = work.facts.scripts.get(script)
    if not doomed or live is None:
        return False
    if live.bindings is None:
        return True
    return any(isinstance(b, ClassBinding) and b.class_name in doomed for b in live.bindings)


def _refuse_crossed(work: _Work, crossed: CrossedTransfer) -> None:
    names = " and ".join(crossed.scripts)
    work.findings.refuse(
        "crossed-transfer",
        ",".join(crossed.scripts),
        f"the Workers {names} hand namespaces to each other, and each upload needs the other one first.",
        "move the namespaces of one direction in one plan, and of the other direction in the next",
    )


def _check_aliases(work: _Work, stages: list[Stage]) -> None:
    for script in sorted({s.script for s in stages if any(a != b for a, b in s.exports.items())}):
        worker = work.diffs[script].standing.worker
        if not can_alias(worker.main_module, worker.modules):
            work.findings.refuse(
                "alias-impossible",
                worker.id,
                f"Worker {worker.script_name} must export a class under a second name for a moment, which can be "
                "generated for JavaScript modules only.",
                "change the class names one at a time, over a name that is in no use, each in a plan of its own",
                where=worker.where,
            )


# --- what the plan says and covers


def _changes(work: _Work, steps: list[Step]) -> tuple[Change, ...]:
    changes: list[Change] = []
    uploaded = {s.script_name for s in steps if isinstance(s, Upload)}
    changes += (mark_change(s) for s in steps if isinstance(s, SetMark) and s.script_name not in uploaded)
    for script, diff in sorted(work.diffs.items()):
        if not diff.changes:
            worker = diff.standing.worker
            detail = f"Worker {script} stays as it is."
            changes.append(
                Change(action=Action.NOOP, kind="worker", id=worker.id, worker=worker.id, name=script, detail=detail)
            )
        changes += (*diff.changes, *(kept(diff) if script in uploaded else ()))
    changes += work.triggering.changes
    changes += namespace_changes(work.held)
    changes += doom_changes(work.doom)
    changes += kept_changes(work.facts, work.doom, work.held)
    return tuple(changes)


def _scripts(facts: Facts) -> frozenset[str]:
    """Name the scripts whose live facts the plan rests on."""
    names = {w.script_name for w in facts.desired.workers} | {w.script_name for w in facts.recorded.workers}
    names |= {n.script_name for n in facts.desired.namespaces} | {n.script_name for n in facts.recorded.namespaces}
    return frozenset(names - {""})
