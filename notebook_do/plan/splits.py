"""Says what a gradual deployment means for a plan: two versions run, and only one of them can be what is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebook_do.plan.facts import Findings
    from notebook_do.plan.standing import Standing


def check_split(standing: Standing, findings: Findings, *, lifecycle: bool) -> None:
    """Refuse a change of classes while two versions run; warn that any other upload ends that."""
    live = standing.live
    if live is None or not live.split:
        return
    if lifecycle or standing.converts or standing.retags:
        findings.refuse(
            "split-deployment",
            standing.worker.id,
            f"Worker {live.name} runs two versions at once (a gradual deployment), and classes cannot "
            "change meanwhile.",
            "bring one version to 100 % first, then plan again",
            where=standing.worker.where,
        )
    else:
        findings.warnings.append(
            f"Worker {live.name} runs two versions at once; this plan ends that at 100 % of the new code."
        )
