"""Declarative `exports`: (the account now, what the code exports, the map) -> the account's namespaces after it.

Pure. Three sets are reconciled: classes in the code, entries of the map, provisioned namespaces. All classes are
judged before anything is refused, so that one answer (100402) holds every problem. There is no history and no tag: the
same map again changes nothing, and a tombstone that has done its work may stay or be removed. Source of the states and
of what each one needs: Cloudflare's page "Durable Object class exports" and its published OpenAPI document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from notebook_do.local.rules.bounds import WORKFLOW_NAME
from notebook_do.local.rules.namespaces import AccountFacts, AccountNamespace, Lifecycle, NewId, ScriptFacts
from notebook_do.local.rules.refusals import Refused, refuse
from notebook_do.local.rules.scenarios import detail_of

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")
_STORAGE = {"sqlite": True, "legacy-kv": False}
# state -> the fields that it requires and allows; a field of another state is refused, as it would be ignored silently
_FIELDS = {
    "created": ({"storage"}, {"container"}),
    "deleted": (set(), set()),
    "renamed": ({"renamed_to"}, set()),
    "transferred": ({"transferred_to"}, set()),
    "expecting-transfer": ({"storage", "transfer_from"}, {"container"}),
}
_WORKFLOW_OPTIONS = ("limits", "concurrency", "schedules", "default_retention", "jurisdiction")
_OTHER_FIELDS = {"worker": {"cache"}, "workflow": {"name", *_WORKFLOW_OPTIONS}}
"""Entries that have no lifecycle: kept and shown as they were sent."""
# All lists are in every answer, the empty ones too; `warnings` is never filled so far, at Cloudflare as here.
_OUTCOMES = (
    *("created", "updated", "deleted", "renamed", "transferred", "transfer_pending"),
    *("warnings", "info", "removable_entries"),
)
_LIVE = ("created", "expecting-transfer")


def state_of(entry: Mapping[str, Any]) -> str:
    """Return the lifecycle state of an entry; `created` is the default."""
    return str(entry.get("state") or "created")


def is_class(entry: Any) -> bool:
    """Say whether an entry is about a Durable Object class: the others have no lifecycle."""
    return isinstance(entry, Mapping) and entry.get("type") == "durable-object"


def live_entries(exports: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries that reads show: live ones, no tombstones."""
    return {n: dict(e) for n, e in exports.items() if not is_class(e) or state_of(e) in _LIVE}


def _no_outcome() -> dict[str, list[Any]]:
    return {key: [] for key in _OUTCOMES}


@dataclass(slots=True)
class _Reconciliation:
    """One upload while it is judged: what there is, and the problems and results that were found so far."""

    account: AccountFacts
    script: str
    code: frozenset[str]
    entries: dict[str, Mapping[str, Any]]
    new_id: NewId
    own: dict[str, AccountNamespace]
    namespaces: dict[str, AccountNamespace]
    problems: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, list[Any]] = field(default_factory=_no_outcome)

    def problem(self, name: str, scenario: str, **facts: Any) -> None:
        """Note one problem of one class, for the refusal of all."""
        self.problems.append(detail_of(name, scenario, **facts))

    def info(self, name: str, scenario: str, **facts: Any) -> None:
        """Note something that is worth saying and stops nothing."""
        self.result["info"].append(detail_of(name, scenario, **facts))

    def storage_fits(self, name: str, entry: Mapping[str, Any], namespace: AccountNamespace) -> bool:
        """Say whether an entry declares the storage that a namespace has: it is fixed for the life of a namespace."""
        if _STORAGE[entry["storage"]] == namespace.sqlite:
            return True
        live = "sqlite" if namespace.sqlite else "legacy-kv"
        self.problem(name, "storage_type_mismatch", declared=entry["storage"], live=live, namespace_id=namespace.id)
        return False


def reconcile(
    account: AccountFacts, script: str, *, exported: frozenset[str], exports: Mapping[str, Any], new_id: NewId
) -> Lifecycle:
    """Return what the map of one upload makes of the namespaces; raises one refusal with all its details.

    `exported` are the classes of the code. Entries are judged against the account as it was, so their order in the map
    does not matter.
    """
    work = _Reconciliation(
        account=account,
        script=script,
        code=exported,
        entries={},
        new_id=new_id,
        own=account.of(script),
        namespaces={n.id: n for n in account.namespaces},
    )
    _read(work, exports)
    _undeclared(work)
    for name, entry in work.entries.items():
        _ENTRY[state_of(entry)](work, name, entry)
    if work.problems:
        raise _refused(work.problems)
    gone = tuple(n.id for n in account.namespaces if n.id not in work.namespaces)
    return Lifecycle(
        namespaces=tuple(work.namespaces.values()),
        migration_tag=None,
        declarative=True,
        deleted=gone,
        reconciliation=work.result,
    )


def check_form(exports: Mapping[str, Any]) -> None:
    """Refuse a map that could not be right for any account."""
    faults = {name: _fault(name, entry) for name, entry in exports.items()}
    if details := [detail_of(name, "invalid_export", why=why) for name, why in faults.items() if why]:
        raise _refused(details)


def _refused(details: list[dict[str, Any]]) -> Refused:
    """Return the refusal of a map: all classes at once, in `meta.details`."""
    refused = refuse("exports")
    refused.errors[0]["meta"] = {"details": details}
    return refused


def _fault(name: str, entry: Any) -> str | None:
    """Return what is wrong with an entry, as far as that can be seen from the entry alone."""
    if not isinstance(entry, Mapping) or entry.get("type") not in ("durable-object", *_OTHER_FIELDS):
        return "`type` must be 'durable-object', 'worker' or 'workflow'"
    if entry["type"] in _OTHER_FIELDS:
        return _fault_of_other(entry)
    state = state_of(entry)
    if state not in _FIELDS:
        return f"unknown state '{state}'"
    if not _IDENTIFIER.match(name):
        return "a class name must be a JavaScript identifier"
    required, optional = _FIELDS[state]
    for key in sorted(required):
        if not isinstance(entry.get(key), str) or not entry[key]:
            return f"state '{state}' requires `{key}`"
    if extra := sorted(set(entry) - required - optional - {"type", "state"}):
        return f"`{extra[0]}` is not a field of state '{state}'"
    if "storage" in required and entry["storage"] not in _STORAGE:
        return "`storage` must be 'sqlite' or 'legacy-kv'"
    return None


def _fault_of_other(entry: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an entry that is about no class."""
    name = entry.get("name")
    if entry["type"] == "workflow" and not (isinstance(name, str) and WORKFLOW_NAME.match(name)):
        return "a workflow needs a `name` of 1 to 64 letters, digits, _ or -"
    extra = sorted(set(entry) - _OTHER_FIELDS[entry["type"]] - {"type", "state"})
    return f"`{extra[0]}` is not a field of a {entry['type']} export" if extra else None


def _read(work: _Reconciliation, exports: Mapping[str, Any]) -> None:
    """Keep the entries that can be judged; note the others."""
    for name, entry in exports.items():
        if why := _fault(name, entry):
            work.problem(name, "invalid_export", why=why)
        elif is_class(entry):
            work.entries[name] = entry


def _undeclared(work: _Reconciliation) -> None:
    """Judge classes that the map does not name."""
    invalid = {problem["class"] for problem in work.problems}
    for name, namespace in work.own.items():
        if name not in work.entries and name not in invalid:
            in_code = name in work.code
            scenario = "provisioned_class_missing_from_config" if in_code else "orphaned_provisioned_namespace"
            work.problem(name, scenario, namespace_id=namespace.id)
    # A class of the code alone is no problem: Cloudflare ignores it and says so.
    for name in sorted(work.code - set(work.entries) - set(work.own) - invalid):
        work.info(name, "code_class_not_in_exports")


def _rename_source(work: _Reconciliation, name: str) -> str | None:
    """Return the class whose tombstone renames it to `name`, when that still has something to rename."""
    for source, entry in work.entries.items():
        if state_of(entry) == "renamed" and entry["renamed_to"] == name and source in work.own:
            return source
    return None


def _created(work: _Reconciliation, name: str, entry: Mapping[str, Any]) -> None:
    namespace = work.own.get(name)
    if namespace is not None:
        if name not in work.code:
            work.problem(name, "config_export_not_in_code", namespace_id=namespace.id)
        if work.storage_fits(name, entry, namespace) and _was_received(work, name):
            work.info(name, "transfer_receive_cleanup_complete", namespace_id=namespace.id)
        return
    if name not in work.code:
        work.problem(name, "config_references_nonexistent_class")
    elif _rename_source(work, name):
        return
    elif entry["storage"] == "legacy-kv":  # only for a namespace that `migrations` made: Cloudflare makes none here
        if work.account.switches.free_plan:
            work.problem(name, "free_tier_requires_sqlite")
        else:
            work.problem(name, "invalid_export", why="a new namespace must have the storage 'sqlite'")
    else:
        _provision(work, name)


def _provision(work: _Reconciliation, name: str) -> None:
    namespace = AccountNamespace(id=work.new_id(), script=work.script, class_name=name, sqlite=True)
    work.namespaces[namespace.id] = namespace
    work.result["created"].append(name)


def _stale(work: _Reconciliation, name: str, state: str) -> None:
    """Say that a tombstone has no effect; it is removable when no other Worker was uploaded with the old name."""
    others = work.account.namers(work.script, name)
    # "Removing the tombstone could orphan those bindings": a rename and a transfer forward them, a delete has none.
    if others and state != "deleted":
        work.info(name, "stale_tombstone", state=state, referencing_scripts=others)
        return
    work.info(name, "stale_tombstone", state=state)
    work.result["removable_entries"].append(name)


def _deleted(work: _Reconciliation, name: str, _entry: Mapping[str, Any]) -> None:
    namespace = work.own.get(name)
    if namespace is None:
        _stale(work, name, "deleted")
        return
    others = work.account.binders(namespace.id, besides=work.script)
    if name in work.code:
        work.problem(name, "tombstone_delete_class_still_in_code", namespace_id=namespace.id)
    elif others:
        work.problem(
            name,
            "tombstone_delete_blocked_by_external_bindings",
            referencing_scripts=others,
            namespace_id=namespace.id,
        )
    else:
        del work.namespaces[namespace.id]
        work.result["deleted"].append(name)


def _renamed(work: _Reconciliation, name: str, entry: Mapping[str, Any]) -> None:
    namespace, to = work.own.get(name), entry["renamed_to"]
    if namespace is None:
        _stale(work, name, "renamed")
        return
    target = work.entries.get(to)
    if not _IDENTIFIER.match(to) or to == name:
        work.problem(name, "invalid_export", why=f"`renamed_to` cannot be '{to}'")
    elif target is None or state_of(target) != "created":
        work.problem(name, "invalid_export", why=f"`renamed_to` names '{to}', which is not a live entry of `exports`")
    elif to in work.own or _rename_source(work, to) != name:
        work.problem(name, "tombstone_renamed_to_occupied", to=to, namespace_id=namespace.id)
    elif work.storage_fits(to, target, namespace):
        work.namespaces[namespace.id] = replace(namespace, class_name=to)
        work.result["renamed"].append({"from": name, "to": to})
        if (
            name in work.code
        ):  # allowed: Cloudflare's rename without errors has three deploys, the first with both names
            work.info(name, "tombstone_class_still_in_code", state="renamed", namespace_id=namespace.id)


def _transferred(work: _Reconciliation, name: str, entry: Mapping[str, Any]) -> None:
    """Judge the source's side, which commits a transfer that the destination already expects."""
    namespace, to = work.own.get(name), entry["transferred_to"]
    if namespace is None:
        _stale(work, name, "transferred")
        return
    target = work.account.scripts.get(to)
    pending = None if target is None else target.exports.get(name)
    if target is None or to == work.script:
        work.problem(name, "transferred_target_missing", to=to, namespace_id=namespace.id)
    elif not is_class(pending) or state_of(pending or {}) != "expecting-transfer" or name in work.account.of(to):
        work.problem(name, "transferred_pending_not_found", to=to, namespace_id=namespace.id)
    elif pending is not None and pending["transfer_from"] != work.script:
        work.problem(name, "transferred_target_mismatch", to=to, namespace_id=namespace.id)
    elif pending is not None and work.storage_fits(name, pending, namespace):
        work.namespaces[namespace.id] = replace(namespace, script=to)
        work.result["transferred"].append({"class": name, "to": to, "phase": "committed"})
        if name in work.code:
            work.info(name, "tombstone_class_still_in_code", state="transferred", namespace_id=namespace.id)


def _was_received(work: _Reconciliation, name: str) -> bool:
    before = work.account.scripts.get(work.script, ScriptFacts()).exports.get(name, {})
    return is_class(before) and state_of(before) == "expecting-transfer"


def _expecting(work: _Reconciliation, name: str, entry: Mapping[str, Any]) -> None:
    """Judge the destination's side: nothing moves until the source commits."""
    namespace, source = work.own.get(name), entry["transfer_from"]
    if name not in work.code:
        work.problem(name, "config_references_nonexistent_class")
    elif namespace is not None:
        _received(work, name, namespace, source)
    elif source not in work.account.scripts or source == work.script:
        work.problem(name, "phase_one_transfer_source_missing", source=source)
    elif name not in work.account.of(source):
        work.problem(name, "phase_one_transfer_source_namespace_missing", source=source)
    elif rival := _rival(work, name, source):
        work.problem(name, "phase_one_transfer_duplicate", source=source, rival=rival)
    elif work.storage_fits(name, entry, work.account.of(source)[name]):
        work.result["transfer_pending"].append({"class": name, "from": source})


def _received(work: _Reconciliation, name: str, namespace: AccountNamespace, source: str) -> None:
    """Judge an expecting entry whose namespace is already here."""
    before = work.account.scripts.get(work.script, ScriptFacts()).exports.get(name, {})
    if not _was_received(work, name):
        work.problem(name, "phase_one_transfer_target_class_provisioned", namespace_id=namespace.id)
    elif before.get("transfer_from") != source:
        work.problem(name, "phase_one_transfer_after_commit_mismatch", source=source, namespace_id=namespace.id)
    else:
        work.info(name, "transfer_receive_already_applied", namespace_id=namespace.id)


def _rival(work: _Reconciliation, name: str, source: str) -> str | None:
    """Return another script that already expects the same class of the same source."""
    for script, facts in work.account.scripts.items():
        entry = facts.exports.get(name, {})
        expects = is_class(entry) and entry.get("transfer_from") == source
        if expects and script != work.script and name not in work.account.of(script):
            return script
    return None


_ENTRY = {
    "created": _created,
    "deleted": _deleted,
    "renamed": _renamed,
    "transferred": _transferred,
    "expecting-transfer": _expecting,
}
