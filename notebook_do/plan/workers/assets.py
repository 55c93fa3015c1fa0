"""Says what becomes of a Worker's static assets: sent, replaced, removed, put back, or kept because somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.plan.plan import Action
from notebook_do.plan.workers.ownership import change_of
from notebook_do.plan.workers.settings import UNSET, Fingerprint

if TYPE_CHECKING:
    from notebook_do.plan.plan import Change
    from notebook_do.plan.workers.ownership import Ownership


def asset_changes(ownership: Ownership, wanted: Fingerprint, before: Fingerprint) -> list[Change]:
    """Give the change that the declaration asks for; none where the assets are those that were sent last."""
    name, assets = ownership.worker.script_name, ownership.worker.assets
    if wanted.assets == before.assets:
        return []
    if assets is None:
        return [_row(ownership, Action.DELETE, f"The static assets of {name}, which this session sent, are removed.")]
    count = len(assets.files)
    files = f"{count:,} file{'s' * (count != 1)}, {sum(f.size for f in assets.files):,} bytes"
    action, word = (Action.CREATE, "sent") if before.assets == UNSET else (Action.UPDATE, "replaced")
    return [_row(ownership, action, f"The static assets of {name} are {word}: {files}.", assets.digest)]


def asset_drift(ownership: Ownership, wanted: Fingerprint, before: Fingerprint) -> list[Change]:
    """Give what somebody else changed: assets of ours that are live no more."""
    live = ownership.live
    if live is None or live.has_assets is not False or wanted.assets == UNSET or wanted.assets != before.assets:
        return []
    detail = f"The static assets of {live.name} were removed outside; this plan puts them back."
    return [_row(ownership, Action.UPDATE, detail)]


def keeps_assets(ownership: Ownership, before: Fingerprint) -> bool:
    """Say whether an upload must keep assets that are live, not declared here, and were not sent by this session."""
    live = ownership.live
    return ownership.worker.assets is None and before.assets == UNSET and live is not None and live.has_assets is True


def kept_assets(ownership: Ownership, before: Fingerprint) -> list[Change]:
    """Tell of the assets that an upload keeps."""
    if not keeps_assets(ownership, before):
        return []
    name = ownership.worker.script_name
    return [_row(ownership, Action.NOOP, f"The static assets of {name}, which are not declared here, are kept.")]


def _row(ownership: Ownership, action: Action, detail: str, after: str = "") -> Change:
    return change_of(ownership.worker, action, "assets", detail, field="assets", after=after)
