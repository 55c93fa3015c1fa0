"""Says what a gradual deployment means for a plan: two versions run, and only one of them can be what is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.plan.plan import Action, Change

if TYPE_CHECKING:
    from notebook_do.plan.facts import Findings
    from notebook_do.plan.standing import Standing


def split_drift(standing: Standing) -> list[Change]:
    """Return the row that says so: whichever of the two is the declared one, the other answers part of the requests."""
    worker, live = standing.worker, standing.live
    if live is None or not live.split:
        return []
    return [
        Change(
            action=Action.UPDATE,
            kind="code",
            id=worker.id,
            worker=worker.id,
            name=worker.script_name,
            field="deployment",
            detail=f"Worker {worker.script_name} runs two versions at once (a gradual deployment), so not everything "
            "that answers is what is declared; this plan ends that at 100 % of the declared code.",
        )
    ]


def check_split(standing: Standing, findings: Findings, *, lifecycle: bool) -> None:
    """Refuse a change of classes while two versions run; warn that any other upload ends that."""
    live = standing.live
    if live is None or not live.split:
        return
    if lifecycle or standing.converts:
        findings.refuse(
            "split-deployment",
            standing.worker.id,
            f"Worker {live.name} runs two versions at once (a gradual deployment), and classes cannot "
            "change meanwhile.",
            "bring one version to 100 % first (npx wrangler versions deploy), then plan again",
            "deploy without the change of classes first: that ends it at 100 % of the declared code",
            where=standing.worker.where,
        )
    else:
        findings.warnings.append(
            f"Worker {live.name} runs two versions at once; this plan ends that at 100 % of the new code. To go on "
            "with it instead, do not deploy this plan; the tool that began it ends it (npx wrangler versions deploy)."
        )
