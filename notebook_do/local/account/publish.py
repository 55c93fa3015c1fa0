"""One upload from candidate to deployed version: probe, rules, trial start, one transaction, then the running islands.

Whatever is refused on the way changes nothing. Callers hold `cloud.lock`: uploads of the account are one at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.account.account import Account, AccountChange, new_hex_id, new_version_id, now
from notebook_do.local.account.records import DEFERRED, Code, Deployment, Script, Version, followed, runnable
from notebook_do.local.api.metadata import ScriptUpload, check_parts
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
from notebook_do.local.runtime.spec import ProbeReport, ScriptInvalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from notebook_do.local.account.zones import Zones
    from notebook_do.local.api.assets import AssetUploads
    from notebook_do.local.api.tails import Tails
    from notebook_do.local.runtime.runtime import Runtime

_HANDLED = frozenset({"durable-object", "worker-entrypoint", "workflow"})


@dataclass(slots=True, kw_only=True)
class Cloud:
    """Everything that the routes work on."""

    data: Path
    account: Account
    runtime: Runtime
    tails: Tails
    zones: Zones
    uploads: AssetUploads
    api_port: int
    workers_port: int
    strict: bool = False
    """Whether KV, R2, D1 and queues must have been made before they are bound."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    settled: Callable[[], Awaitable[bool]] | None = None
    """Waits until all that was sent to the API before is carried out, and says whether it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What an accepted upload became."""

    script: Script
    version: Version
    reconciliation: dict[str, Any] | None = None


def fresh_script(name: str) -> Script:
    """Give a script that does not exist yet."""
    return Script(name=name, tag=new_hex_id(), created_on=now(), modified_on=now())


async def publish(cloud: Cloud, name: str, upload: ScriptUpload, *, source: str, trigger: str = "upload") -> Published:
    """Make an upload the deployed version of a script, at 100 %."""
    check_parts(upload)
    script = cloud.account.scripts.get(name) or fresh_script(name)
    report = await probed(cloud, name, upload.code)
    _check_consumed(cloud, name, report)
    facts = cloud.account.facts()
    after = decide(facts, script, upload, report)
    bindings = bound(cloud, name, upload.bindings, facts=facts, after=after, report=report)
    check_tails(name, upload.settings.get("tail_consumers") or [], cloud.account.scripts)
    script = _moved_on(replace(script, settings={**script.settings, **upload.settings}), facts, after, source)
    version = _version(cloud.account, script, upload, bindings=bindings, report=report, source=source)
    script = replace(script, next_number=script.next_number + 1)
    deployment = Deployment(
        id=new_version_id(),
        created_on=version.created_on,
        source=source,
        versions=((version.id, 100.0),),
        annotations={"workers/triggered_by": trigger, **_message(upload.options)},
        code_update_strategy=upload.strategy or _last_strategy(cloud.account, name),
    )
    await _trial(cloud, name, version, after)
    await commit(cloud, after, AccountChange(script=script, version=version, deployment=deployment))
    return Published(script=script, version=version, reconciliation=after.reconciliation)


async def store_version(cloud: Cloud, name: str, upload: ScriptUpload, *, source: str) -> Published:
    """Keep an upload as a version that is not deployed; class lifecycles cannot be part of it."""
    script = cloud.account.scripts[name]
    check_parts(upload)
    if upload.migrates:
        raise refuse("version_migration")
    report = await probed(cloud, name, upload.code)
    facts = cloud.account.facts()
    after = _unchanged(facts, script)
    if not upload.declares_classes:
        after = migrate(facts, name, exported=exported_classes(report), migrations=None, new_id=new_hex_id)
    _check_version_bindings(facts, name, upload, report)
    bindings = bound(cloud, name, upload.bindings, facts=facts, after=after, report=report)
    version = _version(cloud.account, script, upload, bindings=bindings, report=report, source=source)
    await _trial(cloud, name, version, after)
    cloud.account.apply(AccountChange(script=replace(script, next_number=script.next_number + 1), version=version))
    return Published(script=script, version=version)


async def redeploy(cloud: Cloud, name: str, deployment: Deployment) -> Published:
    """Make stored versions the serving ones; the first with the largest share runs."""
    account, script = cloud.account, cloud.account.scripts[name]
    version = account.version(name, deployment.serving)
    if version is None:
        raise refuse("no_version")
    facts = account.facts()
    upload = ScriptUpload(code=version.code, bindings=version.bindings, exports=version.exports)
    if not (upload.declares_classes or script.declarative):
        if version.lifecycle != script.lifecycle and version != account.serving.get(name):
            raise refuse("lifecycle_rollback", version=version.id)
        after = _unchanged(facts, script)
    else:
        after = decide(facts, script, upload, version.code.report)
    check_bindings_of(facts, after, name, version.bindings, version.code.report)
    script = _moved_on(script, facts, after, deployment.source)
    await _trial(cloud, name, version, after)
    await commit(cloud, after, AccountChange(script=script, deployment=deployment))
    return Published(script=script, version=version, reconciliation=after.reconciliation)


async def commit(cloud: Cloud, after: Lifecycle, change: AccountChange) -> None:
    """Write one change, then bring what runs up to date with it."""
    namespaces = {n.id: n for n in after.namespaces}
    moved = namespaces != cloud.account.namespaces
    before = _running(cloud.account) if moved else {}
    if moved:
        others = tuple(_losers(cloud.account, after, change.script.name))
        change = replace(change, namespaces=after.namespaces, deleted=after.deleted, others=others)
    cloud.account.apply(change)
    changed = {change.script.name} | {n for n, v in _running(cloud.account).items() if moved and before.get(n) != v}
    await cloud.runtime.changed(sorted(changed))
    await forget(cloud, after.deleted)


async def forget(cloud: Cloud, namespace_ids: tuple[str, ...] | list[str]) -> None:
    """Remove the objects of deleted namespaces from the disk."""
    for namespace_id in namespace_ids:
        await cloud.runtime.forget(namespace_id)
        cloud.account.forgotten(namespace_id)


async def probed(cloud: Cloud, name: str, code: Code) -> ProbeReport:
    """Find out what the code exports; code that was probed before is not started again."""
    known = cloud.account.latest(name)
    if known and _same_program(known.code, code):
        return known.code.report
    version = Version(id="probe", number=0, created_on="", source="", code=code, etag="")
    try:
        report = await cloud.runtime.probe(runnable(cloud.account.blobs, name, version, ()))
    except ScriptInvalid as invalid:
        raise refuse("startup", text=invalid) from None
    if not report.default_handlers and not any(export.kind in _HANDLED for export in report.exports):
        raise refuse("no_handlers")
    return report


def _check_consumed(cloud: Cloud, name: str, report: ProbeReport) -> None:
    """Refuse code without `queue()` while the script consumes a queue."""
    consumers = cloud.runtime.services.queues.consumers().values()
    if "queue" not in report.default_handlers and any(consumer.script == name for consumer in consumers):
        raise refuse("queue_handler_missing")


def _same_program(one: Code, other: Code) -> bool:
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
    cloud: Cloud,
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
    check_services(name, labelled, cloud.account.scripts)
    if cloud.strict:
        check_resources(labelled, cloud.runtime.services.directory)
        check_queues(labelled, [name for name, *_ in cloud.runtime.services.queues.queues()])
    return tuple(_tied(binding, name, after) for binding in labelled)


def _labelled(binding: dict[str, Any], name: str, after: Lifecycle) -> dict[str, Any]:
    """Complete a binding that names its namespace by id; an id and other labels must agree on what is meant."""
    namespace_id = binding.get("namespace_id")
    if binding["type"] != "durable_object_namespace" or not namespace_id:
        return binding
    namespace = next((n for n in after.namespaces if n.id == namespace_id), None)
    if binding.get("class_name"):
        # The labels win, as they are what people write; the id may be that of an earlier read.
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


def _moved_on(script: Script, facts: AccountFacts, after: Lifecycle, source: str) -> Script:
    """Give the script after this change."""
    changed = _labels(facts.of(script.name)) != _labels(after.of(script.name))
    return replace(
        script,
        modified_on=now(),
        last_deployed_from=source,
        declarative=after.declarative or script.declarative,
        migration_tag=after.migration_tag,
        lifecycle=script.lifecycle + int(changed or (after.declarative and not script.declarative)),
    )


def _losers(account: Account, after: Lifecycle, name: str) -> list[Script]:
    """Other scripts whose namespaces this change took or gave: their old versions no longer fit either."""
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
    """Give what a change of settings or secrets leaves as it is (emulated: no document says that it does)."""
    active = account.active.get(name)
    return active.code_update_strategy if active else dict(DEFERRED)


def _message(options: dict[str, Any]) -> dict[str, str]:
    annotations = options.get("annotations") or {}
    return {key: value for key, value in annotations.items() if key == "workers/message"}


async def _trial(cloud: Cloud, name: str, version: Version, after: Lifecycle) -> None:
    """Start the candidate once, away from all stored objects."""
    try:
        version = followed(version, name, {n.id: n for n in after.namespaces})
        await cloud.runtime.check(runnable(cloud.account.blobs, name, version, after.of(name).values()))
    except ScriptInvalid as invalid:
        raise refuse("startup", text=invalid) from None


def _running(account: Account) -> dict[str, str]:
    return {worker.name: worker.version for worker in account.runnable()}
