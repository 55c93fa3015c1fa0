"""Verifies uploads: one start of a candidate tells what its code exports, and that it starts as it would be deployed.

This needs no lock, so any number of uploads can be verified side by side. What the account is when an upload's turn
has come decides anew; where that makes another candidate than the one that was tried, it is tried once more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.local.account.account import new_hex_id, now
from notebook_do.local.account.candidate import candidate
from notebook_do.local.account.metadata import check_parts
from notebook_do.local.account.records import Version, followed, runnable
from notebook_do.local.account.workflows import after_upload, declared
from notebook_do.local.rules.exports import is_class, state_of
from notebook_do.local.rules.refusals import Refused, refuse
from notebook_do.local.runtime.probe import StartTimedOut
from notebook_do.local.runtime.spec import (
    ENTRYPOINT_KINDS,
    Export,
    ProbeReport,
    RunnableWorker,
    ScriptInvalid,
    is_of_account,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.local.account.metadata import ScriptUpload
    from notebook_do.local.account.publish import RunningAccount
    from notebook_do.local.account.records import Script, ScriptCode
    from notebook_do.local.account.workflows import Workflow
    from notebook_do.local.rules.namespaces import AccountFacts, Lifecycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found of an upload's code: its exports, or why it is refused; and as what it was started, if it was."""

    code: ScriptCode
    report: ProbeReport
    refused: Refused | None = None
    tried: RunnableWorker | None = field(default=None, repr=False)


async def verify_ahead(
    running: RunningAccount, script: Script, upload: ScriptUpload, *, deployed: bool = True
) -> Verified | None:
    """Verify an upload before its turn has come; None for one that is refused for other reasons then."""
    try:
        check_parts(upload)
    except Refused:  # said again, in its turn
        return None
    return await _verify(running, script, upload, deployed=deployed)


async def verified(
    running: RunningAccount, script: Script, upload: ScriptUpload, ahead: Verified | None, *, deployed: bool = True
) -> Verified:
    """Return what is known of an upload's code, found `ahead` or now; raises its refusal where it does not start."""
    known = ahead if ahead and _same_program(ahead.code, upload.code) else None
    found = known or await _verify(running, script, upload, deployed=deployed)
    if found.refused is not None:
        raise found.refused
    return found


async def try_once(
    running: RunningAccount, name: str, version: Version, after: Lifecycle, found: Verified | None = None
) -> None:
    """Start a candidate away from all stored objects, unless it was started as just this before."""
    worker = _runnable(running, name, version, after)
    if found is not None and found.tried is not None and found.tried.shape == worker.shape:
        return
    try:  # a probe lets pass what a start does not: a handler of a wrong type, a binding that leads nowhere
        await running.runtime.trials.check(worker)
    except ScriptInvalid as invalid:
        raise refuse("startup", text=invalid) from None


async def _verify(running: RunningAccount, script: Script, upload: ScriptUpload, *, deployed: bool) -> Verified:
    """Start an upload's code as if it exported every class that is named; where that cannot be, probe it alone.

    So the first thing that is wrong with an upload stays the one that is said: what it exports comes first, then what
    the rules say to that, then whether it starts with all of its bindings.
    """
    name, code = script.name, upload.code
    latest = running.account.latest(name)
    # Code that was probed before exports what it did.
    known = latest.code.report if latest and _same_program(latest.code, code) else None
    facts = running.account.facts()
    try:
        assumed = known or _assumed(facts, name, upload)
        chosen = candidate(running, facts, script, upload, assumed, deployed=deployed)
        untold = _untold(code, bindings=chosen.bindings, assets=upload.assets, exports=upload.exports)
        worker = _runnable(running, name, untold, chosen.after)
        report = await running.runtime.trials.examine(worker)
    except StartTimedOut as invalid:
        if known is None:
            return Verified(code=code, report=assumed, refused=refuse("startup", text=invalid))
        return Verified(code=code, report=known)
    except (Refused, ScriptInvalid, OSError):  # OSError: of what a kept version named, something was just removed
        return Verified(code=code, report=known) if known else await _probed(running, name, code)
    return _judged(code, known or report, worker)


async def _probed(running: RunningAccount, name: str, code: ScriptCode) -> Verified:
    try:
        report = await running.runtime.trials.probe(runnable(running.account.blobs, name, _untold(code), ()))
    except ScriptInvalid as invalid:
        return Verified(code=code, report=code.report, refused=refuse("startup", text=invalid))
    return _judged(code, report, None)


def _judged(code: ScriptCode, report: ProbeReport, tried: RunnableWorker | None) -> Verified:
    idle = not report.default_handlers and not any(export.kind in ENTRYPOINT_KINDS for export in report.exports)
    return Verified(code=code, report=report, refused=refuse("no_handlers") if idle else None, tried=tried)


def _assumed(facts: AccountFacts, name: str, upload: ScriptUpload) -> ProbeReport:
    """Return what the code of an upload that is in order exports: every class that the upload or the account names."""
    own = (b for b in upload.bindings if is_of_account(b) and b.get("script_name", name) == name)
    bound = (str(b.get("class_name")) for b in own)
    if upload.exports is not None:
        live = ("created", "expecting-transfer")
        named = {n for n, entry in upload.exports.items() if is_class(entry) and state_of(entry) in live}
    else:
        named = {*facts.of(name), *bound, *_texts(upload.migrations)}
    exports = tuple(Export(name=one, kind="durable-object") for one in sorted(named))
    flows = {str(one["class_name"]) for one in declared(name, upload.bindings, upload.exports).values()}
    exports += tuple(Export(name=one, kind="workflow") for one in sorted(flows))
    return ProbeReport(exports=exports, default_handlers=("fetch",), startup_ms=0)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in the migrations of an upload, whose shape nobody has looked at yet."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def _untold(code: ScriptCode, **more: Any) -> Version:
    """Return code as a version that nobody is told of."""
    return Version(id="trial", number=0, created_on="", source="", code=code, etag="", **more)


def _runnable(running: RunningAccount, name: str, version: Version, after: Lifecycle) -> RunnableWorker:
    version = followed(version, name, {n.id: n for n in after.namespaces})
    flows = {**running.account.workflows.by_name, **{w.name: w for w in begun(running, name, version)}}
    return runnable(running.account.blobs, name, version, after.of(name).values(), flows)


def begun(running: RunningAccount, name: str, version: Version) -> tuple[Workflow, ...]:
    """Return the workflows that a deployment of a version makes or changes; none where each must be put."""
    known = running.account.workflows.by_name
    return () if running.strict else tuple(after_upload(known, name, version, at=now(), new_id=new_hex_id))


def _same_program(one: ScriptCode, other: ScriptCode) -> bool:
    """Say whether two uploads run alike: the date and the flags decide with the code what can be exported."""

    def program(code: ScriptCode) -> tuple[object, ...]:
        return code.content_digest(), code.compatibility_date, code.compatibility_flags

    return program(one) == program(other)
