"""One upload from candidate to deployed version: probe, rules, trial start, one transaction, then the running islands.

Whatever is refused on the way changes nothing. Callers hold the account's lock: uploads are one at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.account.account import Account, AccountChange, new_hex_id, new_version_id, now
from notebook_do.local.account.metadata import ScriptUpload, check_parts
from notebook_do.local.account.records import DEFERRED, Code, Deployment, Script, Version, followed, runnable
from notebook_do.local.rules.bounds import check_queues, check_resources, check_services, check_tails
from notebook_do.local.rules.exports import is_class, reconcile, state_of
from notebook_do.local.rules.namespaces import (
    AccountFacts,
    AccountNamespace,
    Lifecycle,
    check_bindings,
    exported_classes,
    migrate,
)
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.runtime.spec import ENTRYPOINT_KINDS, ProbeReport, ScriptInvalid

if TYPE_CHECKING:
    from notebook_do.local.runtime.runtime import Runtime


@dataclass(slots=True, kw_only=True)
class RunningAccount:
    """The account, and the runtime that runs what is deployed in it."""

    account: Account
    runtime: Runtime
    strict: bool = False
    """Whether KV, R2, D1 and queues must have been made before they are bound."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What an accepted upload became; `reconciliation` is the answer to its `exports`, where it manages classes."""

    script: Script
    version: Version
    reconciliation: dict[str, Any] | None = None


def fresh_script(name: str) -> Script:
    """Return a script that does not exist yet."""
    return Script(name=name, tag=new_hex_id(), created_on=now(), modified_on=now())


async def publish(
    running: RunningAccount, name: str, upload: ScriptUpload, *, source: str, trigger: str = "upload"
) -> Published:
    """Make an upload the deployed version of a script, at 100 %."""
    check_parts(upload)
    script = running.account.scripts.get(name) or fresh_script(name)
    report = await probed(running, name, upload.code)
    _check_consumed(running, name, report)
    facts = running.account.facts()
    after = decide(facts, script, upload, report)
    bindings = bound(running, name, upload.bindings, facts=facts, after=after, report=report)
    check_tails(name, upload.settings.get("tail_consumers") or [], running.account.scripts)
    script = _changed(replace(script, settings={**script.settings, **upload.settings}), facts, after, source)
    version = _version(running.account, script, upload, bindings=bindings, report=report, source=source)
    script = replace(script, next_number=script.next_number + 1)
    deployment = Deployment(
        id=new_version_id(),
        created_on=version.created_on,
        source=source,
        versions=((version.id, 100.0),),
        annotations={"workers/triggered_by": trigger, **_message(upload.options)},
        code_update_strategy=upload.strategy or _last_strategy(running.account, name),
    )
    await _trial(running, name, version, after)
    await commit(running, after, AccountChange(script=script, version=version, deployment=deployment))
    return Published(script=script, version=version, reconciliation=after.reconciliation)


async def store_version(running: RunningAccount, name: str, upload: ScriptUpload, *, source: str) -> Published:
    """Keep an upload as a version that is not deployed.

    `migrations` cannot be part of it (10211), as they take effect at once; `exports` can, as they are reconciled when
    the version is deployed.
    """
    script = running.account.scripts[name]
    check_parts(upload)
    if upload.migrates:
        raise refuse("version_migration")
    report = await probed(running, name, upload.code)
    facts = running.account.facts()
    after = _unchanged(facts, script)
    if not upload.declares_classes:  # without migrations: refuses code that lost a class with objects
        after = migrate(facts, name, exported=exported_classes(report), migrations=None, new_id=new_hex_id)
    _check_version_bindings(facts, name, upload, report)
    bindings = bound(running, name, upload.bindings, facts=facts, after=after, report=report)
    version = _version(running.account, script, upload, bindings=bindings, report=report, source=source)
    await _trial(running, name, version, after)
    running.account.apply(AccountChange(script=replace(script, next_number=script.next_number + 1), version=version))
    return Published(script=script, version=version)


async def redeploy(running: RunningAccount, name: str, deployment: Deployment) -> Published:
    """Make stored versions the serving ones; the first with the largest share runs."""
    account, script = running.account, running.account.scripts[name]
    version = account.version(name, deployment.serving)
    if version is None:
        raise refuse("no_version")
    facts = account.facts()
    upload = ScriptUpload(code=version.code, bindings=version.bindings, exports=version.exports)
    if not (upload.declares_classes or script.declarative):
        # Its code was written for other classes. The version that serves fits, whatever was counted meanwhile.
        if version.lifecycle != script.lifecycle and version != account.serving.get(name):
            raise refuse("lifecycle_rollback", version=version.id)
        after = _unchanged(facts, script)
    else:
        after = decide(facts, script, upload, version.code.report)
    check_bindings_of(facts, after, name, version.bindings, version.code.report)
    script = _changed(script, facts, after, deployment.source)
    await _trial(running, name, version, after)
    await commit(running, after, AccountChange(script=script, deployment=deployment))
    return Published(script=script, version=version, reconciliation=after.reconciliation)


async def commit(running: RunningAccount, after: Lifecycle, change: AccountChange) -> None:
    """Write one change, then bring what runs up to date with it.

    In this order: a process that dies in between starts with what was written, and what was answered is on the disk.
    """
    namespaces = {n.id: n for n in after.namespaces}
    moved = namespaces != running.account.namespaces
    before = _worker_versions(running.account) if moved else {}
    if moved:
        others = tuple(_others_changed(running.account, after, change.script.name))
        change = replace(change, namespaces=after.namespaces, deleted=after.deleted, others=others)
    running.account.apply(change)
    changed = {change.script.name} | {
        n for n, v in _worker_versions(running.account).items() if moved and before.get(n) != v
    }
    await running.runtime.changed(sorted(changed))
    await forget(running, after.deleted)  # last: a process that still runs must not lose the files under it


async def forget(running: RunningAccount, namespace_ids: tuple[str, ...] | list[str]) -> None:
    """Remove the objects of deleted namespaces from the disk."""
    for namespace_id in namespace_ids:
        await running.runtime.forget(namespace_id)
        running.account.forgotten(namespace_id)


async def probed(running: RunningAccount, name: str, code: Code) -> ProbeReport:
    """Find out what the code exports; code that was probed before is not started again."""
    known = running.account.latest(name)
    if known and _same_program(known.code, code):
        return known.code.report  # a change of settings or secrets alone need not wait for a process
    version = Version(id="probe", number=0, created_on="", source="", code=code, etag="")
    try:
        report = await running.runtime.probe(runnable(running.account.blobs, name, version, ()))
    except ScriptInvalid as invalid:
        raise refuse("startup", text=invalid) from None
    if not report.default_handlers and not any(export.kind in ENTRYPOINT_KINDS for export in report.exports):
        raise refuse("no_handlers")
    return report


def _check_consumed(running: RunningAccount, name: str, report: ProbeReport) -> None:
    """Refuse code without `queue()` while the script consumes a queue."""
    consumers = running.runtime.services.queues.consumers().values()
    if "queue" not in report.default_handlers and any(consumer.script == name for consumer in consumers):
        raise refuse("queue_handler_missing")


def _same_program(one: Code, other: Code) -> bool:
    """Say whether two uploads run alike: the date and the flags decide with the code what can be exported."""

    def program(code: Code) -> tuple[object, ...]:
        return code.content_digest(), code.compatibility_date, code.compatibility_flags

    return program(one) == program(other)


def decide(facts: AccountFacts, script: Script, upload: ScriptUpload, report: ProbeReport) -> Lifecycle:
    """Apply the class lifecycle of an upload, in the form that it uses."""
    exported = exported_classes(report)
    if upload.declares_classes or script.declarative:
        if upload.migrates:
            raise refuse("one_way")
        exports = upload.exports or {}
        return reconcile(facts, script.name, exported=exported, exports=exports, new_id=new_hex_id)
    return migrate(facts, script.name, exported=exported, migrations=upload.migrations, new_id=new_hex_id)


def _unchanged(facts: AccountFacts, script: Script) -> Lifecycle:
    return Lifecycle(namespaces=facts.namespaces, migration_tag=script.migration_tag, declarative=script.declarative)


def check_bindings_of(
    facts: AccountFacts, after: Lifecycle, name: str, bindings: tuple[dict[str, Any], ...], report: ProbeReport
) -> None:
    """Check Durable Object bindings under the names that their namespaces have now."""
    by_id = {n.id: n for n in after.namespaces}
    fresh = [b for b in bindings if by_id.get(b.get("namespace_id", "")) is None]
    check_bindings(after, name, account=facts, exported=exported_classes(report), bindings=fresh)


def bound(  # noqa: PLR0913 - everything that a binding may refer to
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
    check_bindings(after, name, account=facts, exported=exported_classes(report), bindings=labelled)
    check_services(name, labelled, running.account.scripts)
    if running.strict:
        check_resources(labelled, running.runtime.services.directory)
        check_queues(labelled, [name for name, *_ in running.runtime.services.queues.queues()])
    return tuple(_tied(binding, name, after) for binding in labelled)


def _labelled(binding: dict[str, Any], name: str, after: Lifecycle) -> dict[str, Any]:
    """Complete a binding that names its namespace by id; an id and other labels must agree on what is meant."""
    namespace_id = binding.get("namespace_id")
    if binding["type"] != "durable_object_namespace" or not namespace_id:
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
    if binding["type"] != "durable_object_namespace":
        return binding
    namespace = after.of(binding.get("script_name") or name)[binding["class_name"]]
    return {**binding, "namespace_id": namespace.id}


def _check_version_bindings(facts: AccountFacts, name: str, upload: ScriptUpload, report: ProbeReport) -> None:
    """Refuse own classes in bindings that only a deployment could provision."""
    own, exported = facts.of(name), exported_classes(report)
    for binding in upload.bindings:
        class_name = binding.get("class_name")
        if binding["type"] != "durable_object_namespace" or binding.get("script_name", name) != name:
            continue
        entry = (upload.exports or {}).get(str(class_name))
        if class_name in own or class_name is None or class_name not in exported:
            continue
        live = is_class(entry) and state_of(entry or {}) in ("created", "expecting-transfer")
        raise refuse("version_unprovisioned" if live else "version_binding", name=class_name)


def _changed(script: Script, facts: AccountFacts, after: Lifecycle, source: str) -> Script:
    """Return the script after this change; its count of lifecycle changes rises when its classes are others then."""
    changed = _labels(facts.of(script.name)) != _labels(after.of(script.name))
    return replace(
        script,
        modified_on=now(),
        last_deployed_from=source,
        declarative=after.declarative or script.declarative,
        migration_tag=after.migration_tag,
        lifecycle=script.lifecycle + int(changed or (after.declarative and not script.declarative)),
    )


def _others_changed(account: Account, after: Lifecycle, name: str) -> list[Script]:
    """Return the other scripts that this change takes a namespace from or gives one: older versions do not fit them."""
    now_there = {n.id: n for n in after.namespaces}
    moved = [(n, now_there.get(i)) for i, n in account.namespaces.items() if now_there.get(i) != n]
    names = {n.script for pair in moved for n in pair if n is not None} - {name}
    return [replace(account.scripts[other], lifecycle=account.scripts[other].lifecycle + 1) for other in sorted(names)]


def _labels(namespaces: dict[str, AccountNamespace]) -> set[tuple[str, str]]:
    return {(n.id, class_name) for class_name, n in namespaces.items()}


def _version(  # noqa: PLR0913 - the parts of a version
    account: Account,
    script: Script,
    upload: ScriptUpload,
    *,
    bindings: tuple[dict[str, Any], ...],
    report: ProbeReport,
    source: str,
) -> Version:
    code, known = replace(upload.code, report=report), account.latest(script.name)
    digest = code.content_digest()
    same = known is not None and known.code.content_digest() == digest
    # The number makes A -> B -> A three etags, so that no accepted change of code goes unseen.
    etag = known.etag if known and same else hashlib.sha256(f"{digest}/{script.next_number}".encode()).hexdigest()
    return Version(
        id=new_version_id(),
        number=script.next_number,
        created_on=now(),
        source=source,
        code=code,
        etag=etag,
        bindings=bindings,
        exports=upload.exports,
        migration_tag=script.migration_tag,
        lifecycle=script.lifecycle,
        options=upload.options,
        assets=upload.assets,
    )


def _last_strategy(account: Account, name: str) -> dict[str, Any]:
    """Return the strategy of the active deployment, which a change of settings or secrets leaves as it is.

    Emulated: no document says that it does.
    """
    active = account.active.get(name)
    return active.code_update_strategy if active else dict(DEFERRED)


def _message(options: dict[str, Any]) -> dict[str, str]:
    annotations = options.get("annotations") or {}
    return {key: value for key, value in annotations.items() if key == "workers/message"}


async def _trial(running: RunningAccount, name: str, version: Version, after: Lifecycle) -> None:
    """Start the candidate once, away from all stored objects."""
    try:  # a probe lets pass what a start does not: a handler of a wrong type, a binding that leads nowhere
        version = followed(version, name, {n.id: n for n in after.namespaces})
        await running.runtime.check(runnable(running.account.blobs, name, version, after.of(name).values()))
    except ScriptInvalid as invalid:
        raise refuse("startup", text=invalid) from None


def _worker_versions(account: Account) -> dict[str, str]:
    return {worker.name: worker.version for worker in account.runnable()}
