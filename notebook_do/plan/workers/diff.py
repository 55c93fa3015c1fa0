"""Compares one declared Worker with what is recorded and live: what changes, and what changed outside (drift).

An upload sends everything that is declared, so one difference of any kind makes the Worker be uploaded whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from notebook_do.display.formats import minute
from notebook_do.display.rich import code, rich
from notebook_do.plan.happens import assets_sent, setting_change, setting_texts, worker_created
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.sentences import say
from notebook_do.plan.workers.bindings import (
    SecretStatus,
    binding_changes,
    is_live_secret,
    secret_changes,
    secret_statuses_of,
)
from notebook_do.plan.workers.outside import is_as_sent
from notebook_do.plan.workers.ownership import change_of, split_drift
from notebook_do.plan.workers.settings import UNSET, Fingerprint, fingerprint, read_fingerprint, setting_differences
from notebook_do.plan.workers.triggers import cron_change, crons_differ, lost_crons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import ObservedScript
    from notebook_do.plan.facts import Facts
    from notebook_do.plan.workers.ownership import Ownership


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDiff:
    """What is different about one Worker. `changed`: it must be uploaded, whatever happens to its namespaces."""

    ownership: Ownership
    wanted: Fingerprint
    before: Fingerprint
    changed: bool
    changes: tuple[Change, ...] = ()
    drift: tuple[Change, ...] = ()
    binding_actions: Mapping[str, Action] = field(default_factory=dict)
    secret_statuses: Mapping[str, SecretStatus] = field(default_factory=dict)
    """What becomes of each declared secret, by binding."""
    undone: tuple[str, ...] = ()
    """A sentence for each thing that others may have changed, that this plan sets, and of which no drift tells."""

    @property
    def sets_url(self) -> bool:
        """True when the workers.dev address must be switched."""
        worker, live = self.ownership.worker, self.ownership.live
        # A new script has no address before one is opened; where none was read and none ever set, it counts as closed.
        if live is None or (live.url is None and self.before.url == "-"):
            return worker.url
        known = live.url if live.url is not None else self.before.url == "open"
        return known != worker.url

    @property
    def sets_previews(self) -> bool:
        """True when the preview URLs must be switched; they stay as they are where nothing is declared."""
        worker, live = self.ownership.worker, self.ownership.live
        known = live.previews if live else False
        return worker.previews is not None and known is not None and known != worker.previews

    @property
    def sets_crons(self) -> bool:
        """True when the cron triggers must be replaced."""
        return crons_differ(self.ownership, self.before)


def compare(ownership: Ownership, facts: Facts, *, relabelled: bool) -> WorkerDiff:
    """Compare a declared Worker; `relabelled`: a stable ID or the Worker id changed, which our mark must tell."""
    worker, live, record = ownership.worker, ownership.live, ownership.record
    # Of a script that is gone nothing is set any more, whatever is recorded.
    wanted, before = fingerprint(worker), read_fingerprint(record.settings_digest if record and live else None)
    same = wanted.upload == before.upload
    of_bindings, binding_drift = binding_changes(ownership, facts.known, same=same)
    secret_statuses = secret_statuses_of(ownership, facts.secret_readings)
    of_bindings += secret_changes(ownership, secret_statuses, facts.known)
    changes = [*of_bindings, *_asset_changes(ownership, wanted, before)]
    drift = [*binding_drift, *_asset_drift(ownership, wanted, before)]
    if live is None:
        detail = say("worker-created", script=worker.script_name)
        happens = worker_created(worker)
        changes.insert(0, change_of(worker, Action.CREATE, "worker", detail, happens=happens))
    else:
        drift += [*split_drift(ownership), *_outside(ownership, same=same)]
        changes += _code_and_settings(ownership, same=same, bindings=bool(of_bindings))
    result = WorkerDiff(
        ownership=ownership,
        wanted=wanted,
        before=before,
        # Drift is set right by the upload itself, which carries everything declared; so it is a reason for one.
        changed=bool(changes or drift) or relabelled or ownership.notes_tag or ownership.converts,
        drift=tuple(drift),
        binding_actions={c.name: c.action for c in (*of_bindings, *binding_drift)},
        secret_statuses=secret_statuses,
    )
    # Addresses and cron triggers are set by requests of their own: they are changes, but no reason for an upload.
    return replace(result, changes=(*changes, *_around(result)), undone=_undone(result, same=same))


def _code_and_settings(ownership: Ownership, *, same: bool, bindings: bool) -> list[Change]:
    """Return what the declaration asks for; `bindings` says that their own rows tell why an upload is made."""
    worker, script, record = ownership.worker, ownership.worker.script_name, ownership.record
    changes = []
    if ownership.adopts:
        detail = say("worker-adopted", script=script)
        mark = ownership.mark
        session, stage = (mark.session, mark.stage) if mark else ("", "")
        happens = say("row-adopted", "session" if mark else "unknown", session=session, stage=stage)
        changes.append(change_of(worker, Action.UPDATE, "worker", detail, field="adopt", happens=happens))
    # By what was sent: Cloudflare's etag tells only that somebody else sent something, see `_outside`.
    old, new = record.content_digest if record else None, worker.content_digest
    if old != new:
        detail = say("code", "replaced" if old else "sent", script=script)
        digests = {"before": (old or "")[:12], "after": new[:12]}
        # What differs in it is told by the live code, which is read once the plan is known to replace it.
        happens = rich("is replaced: " if old else "", worker.source)
        changes.append(change_of(worker, Action.UPDATE, "code", detail, field="modules", happens=happens, **digests))
    settings = [] if same else _setting_changes(ownership)
    changes += settings
    if not same and not bindings and not settings:  # what differs cannot be read back, or was not read
        detail = say("settings-sent", script=script)
        happens = say("row-settings")
        changes.append(change_of(worker, Action.UPDATE, "setting", detail, field="settings", happens=happens))
    return changes + _lifecycle(ownership)


def _lifecycle(ownership: Ownership) -> list[Change]:
    """Return what becomes of the migration tag and of the form."""
    worker, script = ownership.worker, ownership.worker.script_name
    changes = []
    if ownership.notes_tag and ownership.live:
        detail = say("tag-noted", tag=ownership.live.migration_tag, script=script)
        happens = say("row-tag-noted", tag=ownership.live.migration_tag)
        changes.append(change_of(worker, Action.UPDATE, "setting", detail, field="migration_tag", happens=happens))
    if ownership.converts:
        forms = {"before": "migrations", "after": "exports"}
        detail = say("form-converted", script=script)
        happens = rich(code("migrations"), " → ", code("exports"), "; there is no way back")
        changes.append(change_of(worker, Action.UPDATE, "setting", detail, field="lifecycle", happens=happens, **forms))
    return changes


def _around(diff: WorkerDiff) -> list[Change]:
    """Return what happens beside the upload: URL, preview URLs and cron triggers."""
    ownership, worker = diff.ownership, diff.ownership.worker
    changes = []
    if diff.sets_url:
        after = "open" if worker.url else "closed"
        detail = say("url", "open" if worker.url else "closed", script=worker.script_name)
        row = {"after": after, "happens": "opens" if worker.url else "closes"}
        changes.append(change_of(worker, Action.UPDATE, "url", detail, field="workers.dev", **row))
    if diff.sets_previews:
        after = "on" if worker.previews else "off"
        detail = say("previews", "on" if worker.previews else "off", script=worker.script_name)
        row = {"after": after, "happens": f"preview URLs are switched {after}"}
        changes.append(change_of(worker, Action.UPDATE, "url", detail, field="previews", **row))
    return changes + ([cron_change(ownership, diff.before)] if diff.sets_crons else [])


def _outside(ownership: Ownership, *, same: bool) -> list[Change]:
    """Return what somebody else changed since the last deploy.

    Settings are compared only where the declared ones are those that were sent last: else what differs is our change.
    """
    worker, live, record = ownership.worker, ownership.live, ownership.record
    if live is None or record is None:
        return []
    drift = []
    # The etag is that of the last upload, whoever made it.
    if record.etag and live.etag and record.etag != live.etag:
        by = live.last_deployed_from
        detail = say("code-replaced-outside", "tool" if by else "unknown", script=live.name, tool=by)
        etags = {"before": live.etag, "after": record.etag, "happens": _uploaded(live)}
        drift.append(change_of(worker, Action.UPDATE, "code", detail, field="etag", **etags))
    declared, found = worker.compatibility_date, live.compatibility_date
    if same and declared and found and declared != found:
        detail = say("date-set-outside", script=live.name, found=found, declared=declared)
        dates = {"before": found, "after": declared}
        drift.append(change_of(worker, Action.UPDATE, "setting", detail, field="compatibility_date", **dates))
    return drift + (_setting_changes(ownership, outside=True) if same else [])


def _uploaded(live: ObservedScript) -> str:
    """Say when, and by which tool, what is live was uploaded; what differs is told by its code."""
    when = f" {minute(live.modified_on)}" if live.modified_on else ""
    by = f" by {live.last_deployed_from}" if live.last_deployed_from else ""
    return f"uploaded{when}{by}" if when or by else "replaced outside"


def _undone(diff: WorkerDiff, *, same: bool) -> tuple[str, ...]:
    """Say of each change that cannot be told from drift, or is none of the declaration's, that others may have made it.

    Of preview URLs nothing is recorded, and of bindings and settings only a fingerprint.
    """
    ownership, script = diff.ownership, diff.ownership.worker.script_name
    live, record = ownership.live, ownership.record
    if live is None or record is None:  # nothing is undone of what is new, and what is not recorded is taken over
        return ()
    found = []
    if diff.sets_url and diff.wanted.url == diff.before.url:
        found.append(say("undone", "url", script=script))
    if diff.sets_previews:
        found.append(say("undone", "previews", script=script))
    if diff.sets_crons and lost_crons(ownership, diff.before):
        found.append(say("undone", "crons", script=script))
    if diff.changed and not same and not is_as_sent(ownership, diff.before):
        found.append(say("undone", "settings", script=script))
    secrets = {b.name for b in live.bindings or () if is_live_secret(b)}
    again = sorted(name for name, status in diff.secret_statuses.items() if status == "set" and name in secrets)
    return (*found, *(say("undone", "again", name=name, script=script) for name in again))


def _setting_changes(ownership: Ownership, *, outside: bool = False) -> list[Change]:
    """Return a row for each setting that is not as declared; `outside` says that somebody else changed it."""
    worker = ownership.worker
    changes = []
    for name, before, after in setting_differences(ownership):
        reason = "changed" if before and after else "set" if after else "removed"
        detail = say("setting", reason, name=name, script=worker.script_name)
        detail = f"{detail} {say('changed-outside', 'one')}" if outside else detail
        row = setting_texts(name, before, after)
        happens = setting_change(name, before, after)
        changes.append(change_of(worker, Action.UPDATE, "setting", detail, field=name, happens=happens, **row))
    return changes


# --- static assets


def _asset_changes(ownership: Ownership, wanted: Fingerprint, before: Fingerprint) -> list[Change]:
    """Return the change that the declaration asks for; none where the assets are those that were sent last."""
    script, assets = ownership.worker.script_name, ownership.worker.assets
    if wanted.assets == before.assets:
        return []
    if assets is None:
        return [_asset_row(ownership, Action.DELETE, say("assets-removed", script=script), happens="are removed")]
    count, size = len(assets.files), sum(f.size for f in assets.files)
    action, reason = (Action.CREATE, "sent") if before.assets == UNSET else (Action.UPDATE, "replaced")
    files = f"{count:,} file{'s' * (count != 1)}"
    detail = say("assets", reason, script=script, files=files, size=size)
    return [_asset_row(ownership, action, detail, assets.digest, happens=assets_sent(assets))]


def _asset_drift(ownership: Ownership, wanted: Fingerprint, before: Fingerprint) -> list[Change]:
    """Return what somebody else changed: assets of ours that are live no more."""
    live = ownership.live
    # None is no answer: only a plain `False` says that they are gone.
    if live is None or live.has_assets is not False or wanted.assets == UNSET or wanted.assets != before.assets:
        return []
    return [_asset_row(ownership, Action.UPDATE, say("assets-removed-outside", script=live.name), happens="removed")]


def keeps_assets(ownership: Ownership, before: Fingerprint) -> bool:
    """Say whether an upload must keep assets that are live, not declared here, and were not sent by this session."""
    live = ownership.live
    return ownership.worker.assets is None and before.assets == UNSET and live is not None and live.has_assets is True


def kept_assets(ownership: Ownership, before: Fingerprint) -> list[Change]:
    """Return the row of the assets that an upload keeps."""
    if not keeps_assets(ownership, before):
        return []
    return [_asset_row(ownership, Action.NOOP, say("assets-kept", script=ownership.worker.script_name))]


def _asset_row(ownership: Ownership, action: Action, detail: str, after: str = "", *, happens: str = "") -> Change:
    return change_of(ownership.worker, action, "assets", detail, field="assets", after=after, happens=happens)
