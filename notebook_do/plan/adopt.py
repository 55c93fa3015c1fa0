"""Says what a state file would hold if the declarations describe exactly what is live, as they do after an import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model import RecordedNamespace, RecordedWorker
from notebook_do.plan.facts import Slot, gather
from notebook_do.plan.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection

    from notebook_do.model import Desired, Observed, Recorded


def records_of(
    desired: Desired, recorded: Recorded, observed: Observed, workers: Collection[str]
) -> tuple[tuple[RecordedWorker, ...], tuple[RecordedNamespace, ...]]:
    """Give the records of the Workers with the ids `workers`, and of the namespaces that they host.

    Only for declarations that were just written from what is live: the next plan takes them as deployed.
    """
    facts = gather(desired, recorded, observed)
    found_workers, found_namespaces = [], []
    for worker in desired.workers:
        live = facts.scripts.get(worker.script_name)
        if live is None or worker.id not in workers:
            continue
        hosts = worker.script_name in facts.hosted
        found_workers.append(
            RecordedWorker(
                id=worker.id,
                script_name=worker.script_name,
                etag=live.etag,
                lifecycle=live.lifecycle or ("migrations" if hosts else None),
                migration_tag=live.migration_tag,
                content_digest=worker.content_digest,
                settings_digest=str(fingerprint(worker)),
            )
        )
    for namespace in desired.namespaces:
        by_slot = facts.slots.get(Slot(namespace.script_name, namespace.class_name))
        live_namespace = facts.live.get(namespace.namespace_id) if namespace.namespace_id else by_slot
        if (
            live_namespace is None
            or namespace.host not in workers
            or live_namespace.script_name != namespace.script_name
        ):
            continue
        found_namespaces.append(
            RecordedNamespace(
                stable_id=namespace.stable_id,
                namespace_id=live_namespace.namespace_id,
                script_name=live_namespace.script_name,
                class_name=live_namespace.class_name,
                storage=live_namespace.storage,
                protected=namespace.protect,
                class_history=(live_namespace.class_name,),
            )
        )
    return tuple(found_workers), tuple(found_namespaces)
