"""Tells of what an upload leaves as it is though it replaces everything: it says so, or sends it again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.plan.assets import kept_assets
from notebook_do.plan.crons import kept_cron_rows
from notebook_do.plan.diff import binding_change, change_of
from notebook_do.plan.entries import kept_entries
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.secret import others_secrets
from notebook_do.plan.settings import kept_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.plan.diff import WorkerDiff
    from notebook_do.plan.standing import Standing


def kept(diff: WorkerDiff) -> list[Change]:
    """Tell of what an upload leaves as it is though it could replace it, what is not declared here included."""
    rows = [*_kept_secrets(diff), *kept_assets(diff.standing, diff.before), *_kept_settings(diff.standing)]
    rows += [] if diff.sets_crons else kept_cron_rows(diff.standing, diff.before)
    return [*rows, *kept_entries(diff.standing)]


def _kept_settings(standing: Standing) -> list[Change]:
    kept = "of {}, which is not declared here, is kept."
    return [
        change_of(
            standing,
            Action.NOOP,
            "setting",
            f"Setting {name} {kept.format(standing.worker.script_name)}",
            field_=name,
            after=value,
        )
        for name, value in kept_settings(standing)
    ]


def _kept_secrets(diff: WorkerDiff) -> list[Change]:
    standing, worker = diff.standing, diff.standing.worker
    others = others_secrets(standing)
    rows = []
    for live in sorted(standing.live.bindings or () if standing.live else (), key=lambda b: b.name):
        kept = diff.fates.get(live.name) == "kept"
        if not kept and live.name not in others:
            continue
        row = binding_change(standing, Action.NOOP, live.name, live, live, "")
        which = "" if kept else ", which is not declared here,"
        rows.append(replace(row, detail=f"Secret {live.name} of {worker.script_name}{which} is kept."))
    return rows


def secret_notes(diffs: Iterable[WorkerDiff]) -> tuple[str, ...]:
    """Name the live secrets that somebody else set and nobody declares, whether their Worker is uploaded or not."""
    return tuple(
        f"Secret {name} of {diff.standing.worker.script_name} is live, and was neither set from here nor declared: "
        "it is kept."
        for diff in diffs
        for name in others_secrets(diff.standing)
    )
