"""Refuses to destroy what something that stays still binds, and says of whom that is to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model import ClassBinding, ServiceBinding
from notebook_do.plan.described import bound_by, ways_to_unbind
from notebook_do.plan.facts import Slot
from notebook_do.plan.plan import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.model import Observed, ObservedScript, ScriptBinding
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.namespaces.destroy import DestroySet
    from notebook_do.plan.plan import Plan

    _Binders = Iterator[tuple[str, str, str, str]]


def check_binders(destroy_set: DestroySet, rewritten: frozenset[str], facts: Facts, findings: Findings) -> None:
    """Refuse to destroy what something that stays still binds, and name it.

    `rewritten` are the scripts that this plan uploads, with the declared bindings and no others. Of the two forms only
    `exports` is documented to refuse such a deletion (`tombstone_delete_blocked_by_external_bindings`).
    """
    binders: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for subject, script, name, how in (
        *_declared_binders(destroy_set, facts),
        *_live_binders(destroy_set, rewritten, facts),
    ):
        binders.setdefault(subject, {}).setdefault(script, []).append((name, how))
    for subject, script in _listed_binders(destroy_set, rewritten, facts):
        # Named by the list alone: it may know of a version that the settings do not tell of. Never taken for nothing.
        binders.setdefault(subject, {}).setdefault(script, [(f"Worker {script}", "listed")])
    for subject, by_script in sorted(binders.items()):
        ways = ways_to_unbind(by_script, facts.desired)
        findings.refuse(
            "still-bound",
            subject,
            what=f"{'namespace' if subject in destroy_set.namespaces else 'Worker'} {subject}",
            binders=bound_by(by_script.values()),
            declared=ways.declared,
            outside=ways.outside,
            ours=ways.ours,
            asked=" ".join(facts.desired.destroy),
        )
    ends = rewritten | destroy_set.scripts
    unread = sum(script.bindings is None for script in facts.observed.scripts if script.name not in ends)
    if unread and not _is_told(destroy_set, facts):
        findings.warn("bindings-unread", "several" if unread > 1 else "one", count=unread)


def _is_told(destroy_set: DestroySet, facts: Facts) -> bool:
    """Say whether the account's list names whoever binds what is destroyed, so that nobody else need be read."""
    losing = {live.script_name for live in destroy_set.namespaces.values()} | destroy_set.scripts
    return all(_names_binders(facts.scripts.get(name), deleted=name in destroy_set.scripts) for name in losing)


def _names_binders(script: ObservedScript | None, *, deleted: bool) -> bool:
    """Say whether a list told who binds the namespaces of a script and, where it is deleted, who calls it."""
    binders = script.binders if script else None
    return binders is not None and not binders.problem and not (deleted and binders.callers is None)


def binders_to_read(plan: Plan, observed: Observed) -> frozenset[str]:
    """Return the scripts whose bindings were not read and that bind, or may bind, what a plan destroys.

    Those that the account's list names; where it does not say of what is destroyed who binds it, any script may.
    """
    ids = {consent.namespace_id for consent in plan.consents}
    deleted = {c.name for c in plan.changes if c.kind == "worker" and c.action is Action.DELETE and c.name}
    unread = {s.name for s in observed.scripts if s.bindings is None} - deleted
    scripts, found = {s.name: s for s in observed.scripts}, set[str]()
    for name in deleted | {consent.worker for consent in plan.consents}:
        binders = scripts[name].binders if name in scripts else None
        if binders is None or not _names_binders(scripts[name], deleted=name in deleted):
            return frozenset(unread)
        found |= {binder for id_, binder in binders.pairs if id_ in ids}
        found |= {*(binders.callers or ())} if name in deleted else set()
    return frozenset(found & unread)


def _declared_binders(destroy_set: DestroySet, facts: Facts) -> _Binders:
    """Yield (stable ID or Worker id, script, binding) of the declared bindings to what is destroyed."""
    for worker in facts.desired.workers:
        for binding in worker.bindings if worker.id not in destroy_set.workers else ():
            stable_id = binding.stable_id if isinstance(binding, ClassBinding) else None
            subject = stable_id if stable_id in destroy_set.namespaces else _called(binding, destroy_set)
            if subject:
                yield subject, worker.script_name, f"{binding.name} of Worker {worker.id}", "declared"


def _live_binders(destroy_set: DestroySet, rewritten: frozenset[str], facts: Facts) -> _Binders:
    """Yield (stable ID or Worker id, script, binding) of the live bindings to what is destroyed."""
    ids, ends = destroy_set.by_id(), destroy_set.scripts | rewritten
    slots = {Slot(n.script_name, n.class_name): i for i, n in destroy_set.namespaces.items()}
    for script in facts.observed.scripts:
        for binding in (script.bindings or ()) if script.name not in ends else ():
            if not isinstance(binding, ClassBinding):
                subject = _called(binding, destroy_set)
            elif binding.script_name is None or binding.script_name == script.name:
                continue  # its own class: the upload that deletes it goes without the binding
            elif binding.namespace_id is not None:
                subject = ids.get(binding.namespace_id)  # what it reaches, be it by an earlier class name
            else:
                subject = slots.get(Slot(binding.script_name, binding.class_name))
            if subject:
                yield subject, script.name, f"{binding.name} of Worker {facts.known.worker(script.name)}", "live"


def _listed_binders(destroy_set: DestroySet, rewritten: frozenset[str], facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield (stable ID or Worker id, script) of those that the account's list names as binding what is destroyed."""
    ids, deleted, ends = destroy_set.by_id(), destroy_set.scripts, destroy_set.scripts | rewritten
    for script in facts.observed.scripts:
        if script.binders is None:
            continue
        callers = (script.binders.callers or ()) if script.name in deleted else ()
        named = [(ids.get(id_), name) for id_, name in script.binders.pairs]
        named += [(destroy_set.worker_of(script.name), name) for name in callers]
        yield from ((subject, name) for subject, name in named if subject and name not in ends | {script.name})


def _called(binding: ScriptBinding, destroy_set: DestroySet) -> str | None:
    """Return the id of the Worker that a service binding calls, where that one is destroyed."""
    if isinstance(binding, ClassBinding) or not isinstance(binding.value, ServiceBinding):
        return None
    return destroy_set.worker_of(binding.value.worker)
