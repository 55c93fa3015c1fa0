"""One upload from candidate to deployed version: probe, rules, trial start, one transaction, then the running islands.

Whatever is refused on the way changes nothing. Callers hold the account's lock: uploads are one at a time, but for
what was verified ahead of it.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.account.account import Account, AccountChange, new_hex_id, new_version_id, now
from notebook_do.local.account.candidate import candidate, check_bindings_of, decide, unchanged
from notebook_do.local.account.metadata import ScriptUpload, check_parts
from notebook_do.local.account.records import DEFERRED, Deployment, Script, Version
from notebook_do.local.account.verify import begun, try_once, verified
from notebook_do.local.rules.bounds import check_tails
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from notebook_do.local.account.verify import Verified
    from notebook_do.local.account.workflows import Workflow
    from notebook_do.local.rules.namespaces import AccountFacts, AccountNamespace, Lifecycle
    from notebook_do.local.runtime.runtime import Runtime
    from notebook_do.local.runtime.spec import ProbeReport


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


async def publish(  # noqa: PLR0913 - one upload, and where it comes from
    running: RunningAccount,
    name: str,
    upload: ScriptUpload,
    *,
    source: str,
    trigger: str = "upload",
    ahead: Verified | None = None,
) -> Published:
    """Make an upload the deployed version of a script, at 100 %; `ahead` is what was found before the lock was had."""
    check_parts(upload)
    script = running.account.scripts.get(name) or fresh_script(name)
    found = await verified(running, script, upload, ahead)
    _check_consumed(running, name, found.report)
    facts = running.account.facts()
    chosen = candidate(running, facts, script, upload, found.report)
    after = chosen.after
    check_tails(name, upload.settings.get("tail_consumers") or [], running.account.scripts)
    script = _changed(replace(script, settings={**script.settings, **upload.settings}), facts, after, source)
    version = _version(running.account, script, upload, chosen.bindings, found.report, source=source)
    script = replace(script, next_number=script.next_number + 1)
    deployment = Deployment(
        id=new_version_id(),
        created_on=version.created_on,
        source=source,
        versions=((version.id, 100.0),),
        annotations={"workers/triggered_by": trigger, **_message(upload.options)},
        code_update_strategy=upload.strategy or _last_strategy(running.account, name),
    )
    await try_once(running, name, version, after, found)
    change = AccountChange(
        script=script, version=version, deployment=deployment, workflows=begun(running, name, version)
    )
    await commit(running, after, change)
    return Published(script=script, version=version, reconciliation=after.reconciliation)


async def store_version(
    running: RunningAccount, name: str, upload: ScriptUpload, *, source: str, ahead: Verified | None = None
) -> Published:
    """Keep an upload as a version that is not deployed.

    `migrations` cannot be part of it (10211), as they take effect at once; `exports` can, as they are reconciled when
    the version is deployed.
    """
    script = running.account.scripts[name]
    check_parts(upload)
    if upload.migrates:
        raise refuse("version_migration")
    found = await verified(running, script, upload, ahead, deployed=False)
    chosen = candidate(running, running.account.facts(), script, upload, found.report, deployed=False)
    version = _version(running.account, script, upload, chosen.bindings, found.report, source=source)
    await try_once(running, name, version, chosen.after, found)
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
        after = unchanged(facts, script)
    else:
        after = decide(facts, script, upload, version.code.report)
    check_bindings_of(facts, after, name, version.bindings, version.code.report)
    script = _changed(script, facts, after, deployment.source)
    await try_once(running, name, version, after)
    change = AccountChange(script=script, deployment=deployment, workflows=begun(running, name, version))
    await commit(running, after, change)
    return Published(script=script, version=version, reconciliation=after.reconciliation)


async def commit(running: RunningAccount, after: Lifecycle, change: AccountChange) -> None:
    """Write one change, then bring what runs up to date with it.

    In this order: a process that dies in between starts with what was written, and what was answered is on the disk.
    """
    namespaces = {n.id: n for n in after.namespaces}
    regrouped = namespaces != running.account.namespaces
    moved = regrouped or bool(change.workflows)
    before = _worker_versions(running.account) if moved else {}
    if regrouped:
        others = tuple(_others_changed(running.account, after, change.script.name))
        change = replace(change, namespaces=after.namespaces, deleted=after.deleted, others=others)
    running.account.apply(change)
    changed = {change.script.name} | {
        n for n, v in _worker_versions(running.account).items() if moved and before.get(n) != v
    }
    await running.runtime.changed(sorted(changed))
    await forget(running, after.deleted)  # last: a process that still runs must not lose the files under it


async def put_workflow(running: RunningAccount, workflow: Workflow) -> None:
    """Make or change a workflow, then bring what runs up to date with it."""
    before = _worker_versions(running.account)
    running.account.workflows.put([workflow])
    await _follow_workflows(running, before)


async def delete_workflow(running: RunningAccount, name: str) -> None:
    """Delete a workflow with its instances, which end first."""
    before = _worker_versions(running.account)
    gone = running.account.workflows.drop(name)
    await _follow_workflows(running, before)
    await forget(running, [gone.id])


async def _follow_workflows(running: RunningAccount, before: dict[str, str]) -> None:
    after = _worker_versions(running.account)
    await running.runtime.changed(sorted(name for name, version in after.items() if before.get(name) != version))


async def forget(running: RunningAccount, namespace_ids: tuple[str, ...] | list[str]) -> None:
    """Remove the objects of deleted namespaces from the disk."""
    for namespace_id in namespace_ids:
        await running.runtime.forget(namespace_id)
        running.account.forgotten(namespace_id)


def _check_consumed(running: RunningAccount, name: str, report: ProbeReport) -> None:
    """Refuse code without `queue()` while the script consumes a queue."""
    consumers = running.runtime.services.queues.consumers().values()
    if "queue" not in report.default_handlers and any(consumer.script == name for consumer in consumers):
        raise refuse("queue_handler_missing")


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
    bindings: tuple[dict[str, Any], ...],
    report: ProbeReport,
    *,
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


def _worker_versions(account: Account) -> dict[str, str]:
    return {worker.name: worker.version for worker in account.runnable()}
