"""Says what a state file would hold if the declarations describe exactly what is live, as they do after an import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model import RecordedNamespace, RecordedWorker
from notebook_do.plan.facts import Slot, gather
from notebook_do.plan.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection

    from notebook_do.model import Desired, DesiredNamespace, DesiredWorker, Observed, Recorded
    from notebook_do.plan.facts import Facts


def records_of(
    desired: Desired, recorded: Recorded, observed: Observed, workers: Collection[str]
) -> tuple[tuple[RecordedWorker, ...], tuple[RecordedNamespace, ...]]:
    """Give the records of the Workers with the ids `workers`, and of the namespaces that they host.

    Only for declarations that were just written from what is live: the next plan takes them as deployed.
    """
    facts = gather(desired, recorded, observed)
    found_workers = (_worker_record(w, facts) for w in desired.workers if w.id in workers)
    found_namespaces = (_namespace_record(n, facts) for n in desired.namespaces if n.host in workers)
    return tuple(w for w in found_workers if w), tuple(n for n in found_namespaces if n)


def _worker_record(worker: DesiredWorker, facts: Facts) -> RecordedWorker | None:
    live = facts.scripts.get(worker.script_name)
    if live is None:
        return None
    return RecordedWorker(
        id=worker.id,
        script_name=worker.script_name,
        etag=live.etag,
        lifecycle=live.lifecycle or ("migrations" if worker.script_name in facts.hosted else None),
        migration_tag=live.migration_tag,
        content_digest=worker.content_digest,
        settings_digest=str(fingerprint(worker)),
    )


def _namespace_record(namespace: DesiredNamespace, facts: Facts) -> RecordedNamespace | None:
    by_slot = facts.slots.get(Slot(namespace.script_name, namespace.class_name))
    live = facts.live.get(namespace.namespace_id) if namespace.namespace_id else by_slot
    if live is None or live.script_name != namespace.script_name:
        return None
    return RecordedNamespace(
        stable_id=namespace.stable_id,
        namespace_id=live.namespace_id,
        script_name=live.script_name,
        class_name=live.class_name,
        storage=live.storage,
        protected=namespace.protect,
        class_history=(live.class_name,),
    )
