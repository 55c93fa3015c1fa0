"""Namespaces on Workers that are not declared here: they are bound by class name, so the class must be of their id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.plan.facts import Slot
from notebook_do.plan.reading import readings_of

if TYPE_CHECKING:
    from notebook_do.model import DesiredNamespace
    from notebook_do.plan.destroy import Doom
    from notebook_do.plan.facts import Facts, Findings
    from notebook_do.plan.reading import Readings


def check_foreign_hosts(facts: Facts, doom: Doom, findings: Findings) -> None:
    """Refuse a namespace on a Worker that is neither declared nor live with that class, of that identity."""
    readings = readings_of(facts)
    for namespace in facts.desired.namespaces:
        if namespace.host is not None or namespace.stable_id in doom.stable_ids:
            continue
        script, class_name = namespace.script_name, namespace.class_name
        live, wanted = facts.slots.get(Slot(script, class_name)), _wanted(namespace, facts, readings)
        if live is not None and live.namespace_id.startswith(wanted):
            continue
        classes = ", ".join(f"{n.class_name} ({n.namespace_id})" for n in facts.hosted.get(script, [])) or "none"
        findings.refuse(
            "host-missing",
            namespace.stable_id,
            f"namespace {namespace.stable_id} is declared on Worker {script}, which is not declared here and has no "
            f"class {class_name} of that identity{f' ({wanted}...)' if wanted else ''} in the account; its classes: "
            f"{classes}.",
            "run the cell of that Worker",
            "correct script_name (--script) or the class name, or name the one that is meant: namespace_id= "
            "(--namespace-id ID)",
            where=namespace.where,
        )


def _wanted(namespace: DesiredNamespace, facts: Facts, readings: Readings) -> str:
    """Give the id that the namespace has, or how it begins; empty where nothing tells it."""
    record, mark = facts.records.get(namespace.stable_id), readings.marks.get(namespace.script_name)
    entry = mark.entries.get(namespace.stable_id) if mark else None
    return namespace.namespace_id or (record.namespace_id if record else "") or (entry.begins if entry else "") or ""


def elsewhere(facts: Facts) -> dict[str, str]:
    """Give the live ids of the declared namespaces whose Worker is not declared here."""
    foreign = (n for n in facts.desired.namespaces if n.host is None)
    found = ((n.stable_id, facts.slots.get(Slot(n.script_name, n.class_name))) for n in foreign)
    return {stable_id: live.namespace_id for stable_id, live in found if live}
