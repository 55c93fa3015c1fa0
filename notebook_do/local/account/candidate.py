"""What an upload would make of the account: its namespaces afterwards, and what its bindings lead to then.

The rules decide from what the code exports. Nothing is changed here, so that it can be asked before as well as after
that is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.local.account.account import new_hex_id
from notebook_do.local.account.workflows import declared
from notebook_do.local.rules.bounds import check_queues, check_resources, check_services, check_workflow_classes
from notebook_do.local.rules.exports import is_class, reconcile, state_of
from notebook_do.local.rules.namespaces import (
    AccountFacts,
    Lifecycle,
    check_bindings,
    exported_classes,
    migrate,
)
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.runtime.spec import is_of_account

if TYPE_CHECKING:
    from notebook_do.local.account.metadata import ScriptUpload
    from notebook_do.local.account.publish import RunningAccount
    from notebook_do.local.account.records import Script
    from notebook_do.local.runtime.spec import ProbeReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An upload as it would be deployed: the namespaces after it, and its bindings with their ids."""

    after: Lifecycle
    bindings: tuple[dict[str, Any], ...] = field(repr=False)


def candidate(  # noqa: PLR0913 - everything that a binding may refer to
    running: RunningAccount,
    facts: AccountFacts,
    script: Script,
    upload: ScriptUpload,
    report: ProbeReport,
    *,
    deployed: bool = True,
) -> Candidate:
    """Decide on an upload whose code exports what `report` says; raises the refusal of the first broken rule.

    A version that is not `deployed` changes no namespace.
    """
    name = script.name
    if deployed:
        after = decide(facts, script, upload, report)
    else:
        after = unchanged(facts, script)
        if not upload.declares_classes:  # without migrations: refuses code that lost a class with objects
            after = migrate(facts, name, exported=exported_classes(report), migrations=None, new_id=new_hex_id)
        _check_version_bindings(facts, name, upload, report)
    bindings = _bound(running, name, upload.bindings, facts=facts, after=after, report=report)
    flows = {n: str(one["class_name"]) for n, one in declared(name, upload.bindings, upload.exports).items()}
    check_workflow_classes(flows, [export.name for export in report.exports if export.kind == "workflow"])
    return Candidate(after=after, bindings=bindings)


def decide(facts: AccountFacts, script: Script, upload: ScriptUpload, report: ProbeReport) -> Lifecycle:
    """Apply the class lifecycle of an upload, in the form that it uses."""
    exported = exported_classes(report)
    if upload.declares_classes or script.declarative:
        if upload.migrates:
            raise refuse("one_way")
        exports = upload.exports or {}
        return reconcile(facts, script.name, exported=exported, exports=exports, new_id=new_hex_id)
    return migrate(facts, script.name, exported=exported, migrations=upload.migrations, new_id=new_hex_id)


def unchanged(facts: AccountFacts, script: Script) -> Lifecycle:
    """Return the namespaces as they are."""
    return Lifecycle(namespaces=facts.namespaces, migration_tag=script.migration_tag, declarative=script.declarative)


def check_bindings_of(
    facts: AccountFacts, after: Lifecycle, name: str, bindings: tuple[dict[str, Any], ...], report: ProbeReport
) -> None:
    """Check Durable Object bindings under the names that their namespaces have now."""
    by_id = {n.id: n for n in after.namespaces}
    fresh = [b for b in bindings if is_of_account(b) and by_id.get(b.get("namespace_id", "")) is None]
    check_bindings(after, name, account=facts, exported=exported_classes(report), bindings=fresh)


def _bound(  # noqa: PLR0913 - everything that a binding may refer to
    running: RunningAccount,
    name: str,
    bindings: tuple[dict[str, Any], ...],
    *,
    facts: AccountFacts,
    after: Lifecycle,
    report: ProbeReport,
) -> tuple[dict[str, Any], ...]:
    """Tie Durable Object bindings to namespace ids; refuse those, and other bindings, that lead nowhere."""
    labelled = tuple(_labelled(binding, name, after) for binding in bindings)
    own = filter(is_of_account, labelled)
    check_bindings(after, name, account=facts, exported=exported_classes(report), bindings=own)
    check_services(name, labelled, running.account.scripts)
    if running.strict:
        check_resources(labelled, running.runtime.services.directory)
        check_queues(labelled, [name for name, *_ in running.runtime.services.queues.queues()])
    return tuple(_tied(binding, name, after) for binding in labelled)


def _labelled(binding: dict[str, Any], name: str, after: Lifecycle) -> dict[str, Any]:
    """Complete a binding that names its namespace by id; an id and other labels must agree on what is meant."""
    namespace_id = binding.get("namespace_id")
    if not is_of_account(binding) or not namespace_id:
        return binding
    namespace = next((n for n in after.namespaces if n.id == namespace_id), None)
    if binding.get("class_name"):
        # The labels count, as they are what people write; the id may be that of an earlier read.
        return {key: value for key, value in binding.items() if key != "namespace_id"}
    if namespace is None:
        raise refuse("no_namespace", id=namespace_id)
    host = {} if namespace.script == name else {"script_name": namespace.script}
    return {**binding, "class_name": namespace.class_name, **host}


def _tied(binding: dict[str, Any], name: str, after: Lifecycle) -> dict[str, Any]:
    if not is_of_account(binding):
        return binding
    namespace = after.of(binding.get("script_name") or name)[binding["class_name"]]
    return {**binding, "namespace_id": namespace.id}


def _check_version_bindings(facts: AccountFacts, name: str, upload: ScriptUpload, report: ProbeReport) -> None:
    """Refuse own classes in bindings that only a deployment could provision."""
    own, exported = facts.of(name), exported_classes(report)
    for binding in upload.bindings:
        class_name = binding.get("class_name")
        if not is_of_account(binding) or binding.get("script_name", name) != name:
            continue
        entry = (upload.exports or {}).get(str(class_name))
        if class_name in own or class_name is None or class_name not in exported:
            continue
        live = is_class(entry) and state_of(entry or {}) in ("created", "expecting-transfer")
        raise refuse("version_unprovisioned" if live else "version_binding", name=class_name)
