"""Refuses what the source of a Worker is known not to export: Cloudflare would refuse the upload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model.building import by_script, needed_classes, not_exported
from notebook_do.plan.described import source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.plan.facts import Findings
    from notebook_do.plan.namespaces.identity import ResolvedNamespace
    from notebook_do.plan.workers.ownership import Ownership


def check_exports(
    resolved: Iterable[ResolvedNamespace], ownerships: Mapping[str, Ownership], findings: Findings
) -> None:
    """Refuse each class that a declared Worker lacks, and a Worker that exports nothing."""
    known = list(resolved)
    declared = {str(each.desired.stable_id): each.desired for each in known}
    deployed = {str(each.desired.stable_id): each.record for each in known if each.record}
    former = {id_: (record.class_name,) for id_, record in deployed.items()}
    hosted = by_script(each.desired for each in known)
    for script, ownership in sorted(ownerships.items()):
        worker = ownership.worker
        for lacking in not_exported(needed_classes(worker, hosted.get(script, ()), former), worker.exports):
            near = [lacking.near] if lacking.near else []
            if lacking.kind == "nothing":
                findings.refuse("nothing-exported", worker.id, where=worker.where, source=source_of(worker, ""))
            elif lacking.kind == "workflow":
                findings.refuse(
                    "workflow-not-exported",
                    lacking.subject,
                    where=worker.where,
                    source=source_of(worker, lacking.near or ""),
                    lacking=lacking,
                    near=near,
                )
            else:
                findings.refuse(
                    "class-not-exported",
                    lacking.subject,
                    reason="renamed" if lacking.was else "",
                    where=declared[lacking.subject].where,
                    source=source_of(worker, lacking.was or lacking.near or ""),
                    lacking=lacking,
                    near=near,
                    deployed=[deployed[lacking.subject]] if lacking.subject in deployed else [],
                    desired=declared[lacking.subject],
                )
