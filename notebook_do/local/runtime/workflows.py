"""Workflows as values of workerd's configuration: the engine is workerd's own, one service a hosting Worker.

The engine is a module that the pinned workerd carries (`/workerd/workflows.js`, experimental). It keeps each instance
as a Durable Object, with an alarm for whatever it waits for, in a folder that workerd names after the workflow. Here
that name is only a link in the folder of one process: it leads to a folder named by the workflow's id, beside those of
namespaces, so that no name of a user becomes a lasting path and two names that differ in case stay two.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from notebook_do.local.objects.instances import KEY
from notebook_do.local.objects.stored import folder_of
from notebook_do.local.runtime.bindings import engine_service, worker_service, workflow_api
from notebook_do.local.runtime.spec import INTERNAL_DATE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from notebook_do.local.runtime.capnp import Struct
    from notebook_do.local.runtime.spec import HostedWorkflow, RunnableWorker

DISK = "workflows"
"""The service of the folder of links."""
_MODULE = "/workerd/workflows.js"
_PRESERVING = "2026-05-14"
"""Since this compatibility date the message of a NonRetryableError is kept; the engine knows only its own date."""
_PRESERVE = "workflows_preserve_non_retryable_error_message"
_REPLACE = "workflows_replace_non_retryable_error_message"


def engine_fields(worker: RunnableWorker) -> Struct:
    """Make the engine of a Worker's workflows."""
    service = worker_service(worker.name)
    instances = [
        {
            "name": f"workflow:{one.name}",
            "durableObjectNamespace": {"className": KEY + one.name, "serviceName": service},
        }
        for one in worker.workflows
    ]
    limits = {one.name: limited for one in worker.workflows if (limited := _limits(one))}
    return {
        "modules": [{"name": "workflows.js", "bundled": _MODULE}],
        "compatibilityDate": INTERNAL_DATE,
        "compatibilityFlags": ["experimental", *_flags(worker)],
        "bindings": [*instances, {"name": "WORKFLOWS", "json": json.dumps(limits)}],
        "durableObjectStorage": {"localDisk": DISK},  # it takes no other
    }


def engine_of(worker: RunnableWorker) -> Struct | None:
    """Make the field of a Worker that ties its classes to the engine; None for one without workflows."""
    if not worker.workflows:
        return None
    workflows = [
        {"className": one.class_name, "name": one.name, "bindingService": workflow_api(worker, one.name)}
        for one in worker.workflows
    ]
    return {"actorClass": {"name": engine_service(worker.name), "entrypoint": "Engine"}, "workflows": workflows}


def _limits(workflow: HostedWorkflow) -> dict[str, object]:
    steps = {} if workflow.steps is None else {"steps": workflow.steps}
    return {**steps, **({"retention": dict(workflow.retention)} if workflow.retention else {})}


def _flags(worker: RunnableWorker) -> list[str]:
    given = set(worker.compatibility_flags) & {_PRESERVE, _REPLACE}
    if given:
        return sorted(given)
    return [] if worker.compatibility_date >= _PRESERVING else [_REPLACE]


def make_links(workers: Iterable[RunnableWorker], storage: Path | None, links: Path) -> None:
    """Make the folder that `DISK` serves to one process, with a link for each workflow of its Workers.

    It stays empty without `storage`, for a trial: nothing is stored in one, and the folder goes with it.
    """
    flows = [one for worker in workers for one in worker.workflows]
    if flows:
        links.mkdir(mode=0o700)
    if storage is None:
        return
    for one in flows:
        kept = folder_of(storage, one.workflow_id)
        kept.mkdir(mode=0o700, exist_ok=True)
        (links / (KEY + one.name)).symlink_to(kept, target_is_directory=True)
