"""Routes of the instances of workflows, as `wrangler workflows instances` and `wrangler workflows trigger` ask.

What is only looked at is read from the disk, so that no process starts for it; what changes an instance is said to the
engine in the process of its Worker. Emulated: an instance is not told from which version or trigger it is, so it is
shown with the newest version and the trigger `unknown`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from notebook_do.local.account.account import now
from notebook_do.local.api.envelope import answer, cursor_key, cursor_of, query_number, read_json
from notebook_do.local.api.workflows import instances_of, read_body_object, text_of, workflow_at
from notebook_do.local.objects.instances import instance, steps_of
from notebook_do.local.rules.refusals import Refused, refuse
from notebook_do.local.runtime.spec import ScriptInvalid, WorkflowRefusal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.account.workflows import Workflow
    from notebook_do.local.api.envelope import Cloud
    from notebook_do.local.objects.instances import Instance

_CHANGES = ("pause", "resume", "terminate", "restart")
_TERMINABLE = frozenset(("queued", "running", "paused", "waitingForPause", "waiting"))
MOST_AT_ONCE = 100


def _listed(workflow: Workflow, one: Instance) -> dict[str, Any]:
    return {
        "id": one.id,
        "status": one.status,
        "created_on": text_of(one.created),
        "started_on": text_of(one.created) if one.meta.get("started") else None,
        "modified_on": text_of(one.modified),
        "ended_on": text_of(one.ended),
        "version_id": str(UUID(workflow.version_id)),
        "workflow_id": str(UUID(workflow.id)),
        "trigger_source": "unknown",
    }


async def list_instances(request: Request) -> Response:
    """List instances, newest first; `status`, `date_start` and `date_end` filter, `direction=asc` turns them round."""
    cloud, workflow = workflow_at(request)
    query = request.query_params
    since, until = _moment(query.get("date_start")), _moment(query.get("date_end"))
    found = [
        one
        for one in await instances_of(cloud, workflow)
        if query.get("status") in {None, one.status}
        and (since is None or one.created >= since)
        and (until is None or one.created <= until)
    ]
    if query.get("direction") == "asc":
        found.reverse()
    size = query_number(request, "per_page", 100, 1, 1000)
    begin = _place(query["cursor"]) if "cursor" in query else (query_number(request, "page", 1, 1, 10**6) - 1) * size
    shown = found[begin : begin + size]
    info: dict[str, Any] = {"per_page": size, "count": len(shown), "total_count": len(found)}
    if begin + size < len(found):
        info["cursor"] = cursor_of(str(begin + size))
    return answer([_listed(workflow, one) for one in shown], info=info)


def _place(cursor: str) -> int:
    place = cursor_key(cursor)
    if not place.isdecimal():
        raise refuse("bad_page", name="cursor", value=cursor[:40])
    return int(place)


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refuse("bad_page", name="date", value=text[:40]) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


async def create_instance(request: Request) -> Response:
    """Make an instance and let it run."""
    cloud, workflow = workflow_at(request)
    return answer(await _create(cloud, workflow, await read_body_object(request)))


async def create_instances(request: Request) -> Response:
    """Make several instances, in order."""
    cloud, workflow = workflow_at(request)
    wanted = await read_json(request, empty=[])
    if not isinstance(wanted, list) or not 0 < len(wanted) <= MOST_AT_ONCE:
        raise refuse("workflow_body", why=f"give a list of 1 to {MOST_AT_ONCE} instances")
    return answer([await _create(cloud, workflow, one if isinstance(one, dict) else {}) for one in wanted])


async def _create(cloud: Cloud, workflow: Workflow, body: dict[str, Any]) -> dict[str, Any]:
    kept = body.get("instance_retention") or {}
    retention = {
        f"{key}Retention": kept[f"{key}_retention"]
        for key in ("success", "error")
        if kept.get(f"{key}_retention") is not None
    }
    options = {
        **({"id": body["instance_id"]} if body.get("instance_id") is not None else {}),
        **({"params": _params(body["params"])} if body.get("params") is not None else {}),
        **({"retention": retention} if retention else {}),
    }
    made = await _ask(cloud, workflow, "create", options)
    state = await _ask(cloud, workflow, "status", made["id"])
    return {
        "id": made["id"],
        "status": state["status"],
        "version_id": str(UUID(workflow.version_id)),
        "workflow_id": str(UUID(workflow.id)),
        "trigger_source": "api",
    }


def _params(value: Any) -> Any:
    """Return the payload that a request gives: wrangler sends it as it is, Cloudflare's SDK as JSON in a text."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


async def _one(request: Request) -> tuple[Cloud, Workflow, Instance]:
    cloud, workflow = workflow_at(request)
    id_ = request.path_params["instance_id"]
    found = await run_in_threadpool(instance, cloud.runtime.storage, workflow.id, workflow.name, id_)
    if found is None:
        raise refuse("no_instance")
    return cloud, workflow, found


async def get_instance(request: Request) -> Response:
    """Return one instance with its steps, attempts and outputs."""
    _, workflow, one = await _one(request)
    steps = steps_of(one)
    attempts = (attempt for step in steps for attempt in step.get("attempts", ()))
    for timed in (*steps, *attempts):
        timed.update({key: text_of(timed[key]) for key in ("start", "end") if key in timed})
    meta = one.meta
    return answer(
        {
            "status": one.status,
            "params": meta.get("params"),
            "trigger": {"source": "unknown"},
            "versionId": str(UUID(workflow.version_id)),
            "queued": text_of(one.created),
            "start": text_of(one.first("workflow_started")),
            "end": text_of(one.ended),
            "success": None if one.ended is None else one.status == "complete",
            "error": meta.get("error"),
            "output": meta.get("output"),
            "step_count": len(steps),
            "steps": steps,
        }
    )


async def change_instance(request: Request) -> Response:
    """Pause, resume, terminate or restart one instance."""
    cloud, workflow, one = await _one(request)
    body = await read_body_object(request)
    wanted = body.get("status")
    if wanted not in _CHANGES:
        raise refuse("workflow_body", why=f"status must be one of {', '.join(_CHANGES)}")
    options = {key: body[key] for key in ("from", "rollback") if body.get(key) is not None}
    await _ask(cloud, workflow, wanted, one.id, *([options] if options else []))
    state = await _ask(cloud, workflow, "status", one.id)
    return answer({"status": state["status"], "timestamp": now()})


async def send_event(request: Request) -> Response:
    """Send an event to one instance; the body is its payload."""
    cloud, workflow, one = await _one(request)
    payload = await read_json(request, empty={})
    event = {"type": request.path_params["event_type"], "payload": payload}
    await _ask(cloud, workflow, "sendEvent", one.id, event)
    return answer({"instanceId": one.id, "timestamp": now()})


async def delete_instances(request: Request) -> Response:
    """Delete instances; those that are not there are told one by one."""
    cloud, workflow = workflow_at(request)
    return answer(await _ask(cloud, workflow, "deleteBatch", await read_body_object(request)))


async def terminate_instances(request: Request) -> Response:
    """Terminate every instance that has not ended, or those of one `status`."""
    cloud, workflow = workflow_at(request)
    wanted = request.query_params.get("status")
    for one in await instances_of(cloud, workflow):
        if one.status in _TERMINABLE and wanted in {None, one.status}:
            await _ask(cloud, workflow, "terminate", one.id)
    return answer({"status": "ok"})


async def _ask(cloud: Cloud, workflow: Workflow, call: str, *args: Any) -> Any:
    """Call the engine, in the process of the Worker that hosts a workflow."""
    runnable = {worker.name: worker for worker in cloud.account.runnable()}.get(workflow.script)
    words = {"name": workflow.name, "script": workflow.script}
    if runnable is None:
        raise refuse("workflow_inactive", why="is not deployed", **words)
    if workflow.name not in {one.name for one in runnable.workflows}:
        raise refuse("workflow_inactive", why=f"does not export class {workflow.class_name}", **words)
    try:
        return await cloud.runtime.ask_workflow(workflow.script, workflow.name, call, *args)
    except WorkflowRefusal as refusal:
        raise _refused(str(refusal)) from None
    except (KeyError, ScriptInvalid) as error:
        raise refuse("workflow_inactive", why=f"does not start: {error}", **words) from None


def _refused(said: str) -> Refused:
    if "instance.not_found" in said:
        return refuse("no_instance")
    if "instance.already_exists" in said:
        return refuse("instance_exists")
    return refuse("workflow_refused", why=said)


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    every = account + "/workflows/{workflow_name}/instances"
    one = every + "/{instance_id}"
    return [
        Route(every, list_instances, methods=["GET"]),
        Route(every + "/", list_instances, methods=["GET"]),  # wrangler, for `latest`
        Route(every, create_instance, methods=["POST"]),
        Route(every + "/batch", create_instances, methods=["POST"]),
        Route(every + "/batch/delete", delete_instances, methods=["POST"]),
        Route(every + "/terminate", terminate_instances, methods=["PUT"]),
        Route(one, get_instance, methods=["GET"]),
        Route(one + "/status", change_instance, methods=["PATCH"]),
        Route(one + "/events/{event_type}", send_event, methods=["POST"]),
    ]
