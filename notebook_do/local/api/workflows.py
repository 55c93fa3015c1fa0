"""Routes of workflows, as `wrangler workflows` and a deploy with workflows ask; `instances` has those of instances.

Schedules, concurrency and jurisdictions are kept and returned, and change nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from notebook_do.local.account.account import new_hex_id, now, time_text
from notebook_do.local.account.publish import delete_workflow, put_workflow
from notebook_do.local.account.workflows import OPTIONS, as_put
from notebook_do.local.api.envelope import answer, cloud_of, paged, read_json
from notebook_do.local.objects import instances
from notebook_do.local.rules.bounds import check_workflow_classes, check_workflow_name
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.account.workflows import Workflow
    from notebook_do.local.api.envelope import Cloud
    from notebook_do.local.objects.instances import Instance


def text_of(milliseconds: float | None) -> str | None:
    """Return a time of workerd's as the API writes it."""
    return None if milliseconds is None else time_text(milliseconds / 1000)


def workflow_at(request: Request) -> tuple[Cloud, Workflow]:
    """Return the workflow that the path names."""
    cloud = cloud_of(request)
    workflow = cloud.account.workflows.by_name.get(request.path_params["workflow_name"])
    if workflow is None:
        raise refuse("no_workflow")
    return cloud, workflow


async def instances_of(cloud: Cloud, workflow: Workflow) -> list[Instance]:
    """List the instances of a workflow, newest first."""
    return await run_in_threadpool(instances.instances, cloud.runtime.storage, workflow.id)


async def _item(cloud: Cloud, workflow: Workflow) -> dict[str, Any]:
    found = await instances_of(cloud, workflow)
    counts: dict[str, int] = {}
    for one in found:
        counts[one.status] = counts.get(one.status, 0) + 1
    return {
        "id": str(UUID(workflow.id)),
        "name": workflow.name,
        "script_name": workflow.script,
        "class_name": workflow.class_name,
        "created_on": workflow.created_on,
        "modified_on": workflow.modified_on,
        "triggered_on": text_of(found[0].created) if found else None,
        "instances": counts,
        "script_deleted": workflow.script not in cloud.account.scripts,
        **{key: workflow.options[key] for key in ("schedules", "jurisdiction") if key in workflow.options},
    }


def _version(workflow: Workflow) -> dict[str, Any]:
    kept = {key: value for key, value in workflow.options.items() if key not in {"schedules", "jurisdiction"}}
    return {
        "id": str(UUID(workflow.version_id)),
        "workflow_id": str(UUID(workflow.id)),
        "class_name": workflow.class_name,
        "created_on": workflow.modified_on,
        "modified_on": workflow.modified_on,
        "language": "javascript",
        "has_dag": False,
        **kept,
    }


async def list_workflows(request: Request) -> Response:
    """List the workflows of the account by name; `search` is a part of the name."""
    cloud, part = cloud_of(request), request.query_params.get("search", "")
    every = sorted(cloud.account.workflows.by_name.values(), key=lambda w: w.name)
    shown, info = paged(request, [workflow for workflow in every if part in workflow.name])
    return answer([await _item(cloud, workflow) for workflow in shown], info=info)


async def get_workflow(request: Request) -> Response:
    """Return one workflow."""
    return answer(await _item(*workflow_at(request)))


async def put(request: Request) -> Response:
    """Make a workflow, or give it another script, class or options; its instances stay."""
    cloud, name = cloud_of(request), request.path_params["workflow_name"]
    check_workflow_name(name)
    body = await read_body_object(request)
    script, class_name = body.get("script_name"), body.get("class_name")
    if not isinstance(script, str) or not isinstance(class_name, str):
        raise refuse("workflow_body", why="script_name and class_name must be text")
    options = {key: body[key] for key in OPTIONS if body.get(key) is not None}
    async with cloud.lock:
        serving, known = cloud.account.serving.get(script), cloud.account.workflows.by_name
        if serving is None:
            raise refuse("workflow_script", name=name, script=script[:100])
        exported = [export.name for export in serving.code.report.exports if export.kind == "workflow"]
        check_workflow_classes({name: class_name}, exported)
        if name in known:
            options = {**_jurisdiction(known[name]), **options}
            if _jurisdiction(known[name]).get("jurisdiction") != options.get("jurisdiction"):
                raise refuse("workflow_jurisdiction", name=name)
        made = as_put(known, name, script, {"class_name": class_name, "options": options}, at=now(), new_id=new_hex_id)
        await put_workflow(cloud, made)
    return answer({**await _item(cloud, made), "version_id": str(UUID(made.version_id))})


def _jurisdiction(workflow: Workflow) -> dict[str, Any]:
    return {key: value for key, value in workflow.options.items() if key == "jurisdiction"}


async def delete(request: Request) -> Response:
    """Delete a workflow with all its instances."""
    workflow_at(request)
    cloud = cloud_of(request)
    async with cloud.lock:
        await delete_workflow(cloud, workflow_at(request)[1].name)
    return answer({"status": "ok", "success": True})


async def list_versions(request: Request) -> Response:
    """List the versions of a workflow: the newest one."""
    _, workflow = workflow_at(request)
    shown, info = paged(request, [_version(workflow)])
    return answer(shown, info=info)


async def read_body_object(request: Request) -> dict[str, Any]:
    """Read a JSON body that must be an object, if there is one."""
    body = await read_json(request, empty={})
    if not isinstance(body, dict):
        raise refuse("workflow_body", why="it must be an object")
    return body


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    one = account + "/workflows/{workflow_name}"
    return [
        Route(account + "/workflows", list_workflows, methods=["GET"]),
        Route(one, get_workflow, methods=["GET"]),
        Route(one, put, methods=["PUT"]),
        Route(one, delete, methods=["DELETE"]),
        Route(one + "/versions", list_versions, methods=["GET"]),
    ]
