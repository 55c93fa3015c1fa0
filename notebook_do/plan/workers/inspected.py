"""What `inspect` of a namespace comes to in a plan: whether its inspector can be made, and the row that says so.

The inspector Worker itself is planned as any Worker is, and so are the modules that a host gets. Neither touches a
class migration: the classes that a host declares are the same with them and without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model import ModuleKind
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.sentences import say

if TYPE_CHECKING:
    from notebook_do.model import Desired, DesiredWorker, Inspect, Target
    from notebook_do.plan.facts import Facts, Findings

SUFFIX = "-inspector"
_LONGEST = 63
"""Characters of a script's name, which is a label of a host name."""
_WORDS = {False: "off", "calls": "calls", True: "on"}


def inspector_name(script: str) -> str:
    """Return the script name of the inspector of a host."""
    return f"{script}{SUFFIX}"


def is_possible(script: str, desired: Desired) -> bool:
    """Say whether the inspector of a host can have its name."""
    name = inspector_name(script)
    return len(name) <= _LONGEST and all(name not in {w.id, w.script_name} for w in desired.workers if not w.inspector)


def can_be_looked_into(worker: DesiredWorker) -> bool:
    """Say whether a main module can be generated that passes on the one of a Worker: of ES modules alone."""
    kinds = {module.name: module.kind for module in worker.modules}
    return kinds.get(worker.main_module) is ModuleKind.ESM


def check_inspected(facts: Facts, target: Target, findings: Findings) -> None:
    """Refuse an `inspect` that cannot be had, of a declared namespace; every local object can be asked anyhow."""
    if target == "local":
        return
    before = _recorded(facts)
    for stable_id, namespace in sorted(facts.namespaces.items()):
        host = facts.workers.get(namespace.script_name)
        if not namespace.inspect:
            continue
        where, script = namespace.where, namespace.script_name
        if not is_possible(script, facts.desired):
            name = inspector_name(script)
            reason = "long" if len(name) > _LONGEST else "taken"
            findings.refuse(
                "inspector-name", stable_id, reason=reason, where=where, name=name, script=script, namespace=namespace
            )
        elif namespace.inspect is True and host is None and before.get(stable_id) is not True:
            findings.refuse("inspect-not-hosted", stable_id, where=where, script=script, namespace=namespace)
        elif namespace.inspect is True and host is not None and not can_be_looked_into(host):
            findings.refuse("inspect-not-generated", stable_id, where=where, script=script, namespace=namespace)


def inspect_changes(facts: Facts) -> list[Change]:
    """Return a row for each declared namespace whose objects can be asked otherwise after this plan than before."""
    before, rows = _recorded(facts), []
    inspectors = (w.inspector for w in facts.desired.workers if w.inspector)
    after: dict[str, Inspect] = {one.stable_id: one.inspect for i in inspectors for one in i.namespaces}
    for stable_id, namespace in sorted(facts.namespaces.items()):
        was, now = before.get(stable_id, False), after.get(stable_id, False)
        if was == now:
            continue
        name = inspector_name(namespace.script_name)
        reason = "storage" if now is True else "calls" if now else "off"
        rows.append(
            Change(
                action=Action.UPDATE,
                kind="setting",
                id=stable_id,
                worker=namespace.host or "",
                name=namespace.class_name,
                field="inspect",
                before=_WORDS[was],
                after=_WORDS[now],
                detail=say("inspect", reason, stable_id=stable_id, inspector=name, script=namespace.script_name),
            )
        )
    return rows


def _recorded(facts: Facts) -> dict[str, Inspect]:
    """Return how each namespace can be asked by what was deployed last."""
    inspectors = (w.inspector for w in facts.recorded.workers if w.inspector)
    return {one.stable_id: one.inspect for inspector in inspectors for one in inspector.namespaces}
