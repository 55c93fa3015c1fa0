"""Routes of the beta API: Workers by id or name, with versions uploaded as one JSON document."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.account import AccountChange, now
from notebook_do.local.account.metadata import check_script_name, check_shape, read_upload
from notebook_do.local.account.publish import fresh_script, publish, store_version
from notebook_do.local.account.records import SECRET_TYPES, StoredModule
from notebook_do.local.api.envelope import (
    AUTHOR,
    MOST_BYTES,
    Cloud,
    alone,
    answer,
    cloud_of,
    paged,
    parse_json,
    query_flag,
    read_body,
    read_object,
    source_of,
)
from notebook_do.local.api.scripts import incoming_objects, incoming_services, remove, shared_settings
from notebook_do.local.api.settings import changed_secrets
from notebook_do.local.api.uploading import ahead_of_the_lock, carried
from notebook_do.local.api.versions import shown_bindings, with_reconciliation
from notebook_do.local.rules.bounds import as_object, check_tails
from notebook_do.local.rules.exports import live_entries
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.account.blobs import Incoming
    from notebook_do.local.account.metadata import ScriptUpload
    from notebook_do.local.account.records import Script, Version


def _worker(request: Request) -> tuple[Cloud, Script]:
    """Return the Worker that the path names, by id or name."""
    cloud, wanted = cloud_of(request), request.path_params["worker_id"]
    for script in cloud.account.scripts.values():
        if wanted in (script.tag, script.name):
            return cloud, script
    raise refuse("no_script")


def worker_item(cloud: Cloud, script: Script) -> dict[str, Any]:
    """Return a Worker as this API shows it."""
    settings = shared_settings(script)
    item = {
        "id": script.tag,
        "name": script.name,
        "created_on": script.created_on,
        "updated_on": script.modified_on,
        "logpush": settings["logpush"],
        "observability": settings["observability"],
        "tags": settings["tags"],
        "tail_consumers": [{"name": c.get("name") or c.get("service")} for c in settings["tail_consumers"]],
        "subdomain": {
            "enabled": script.subdomain,
            "previews_enabled": script.previews,
            "url": f"http://{script.name}.localhost:{cloud.workers_port}",
        },
        "references": _references(cloud, script),
    }
    active = cloud.account.active.get(script.name)
    return item if active is None else {**item, "deployed_on": active.created_on}


def _references(cloud: Cloud, script: Script) -> dict[str, list[dict[str, Any]]]:
    scripts = cloud.account.scripts
    objects = [
        {
            "namespace_id": namespace.id,
            "namespace_name": f"{script.name}_{namespace.class_name}",
            "worker_id": scripts[other].tag,
            "worker_name": other,
        }
        for namespace, other in incoming_objects(cloud, script.name)
    ]
    callers = [{"id": scripts[name].tag, "name": name} for name in sorted(incoming_services(cloud, script.name))]
    # All lists are required by the published form; those of zones and queues have routes of their own here.
    empty: dict[str, list[dict[str, Any]]] = {"dispatch_namespace_outbounds": [], "domains": [], "queues": []}
    return {**empty, "durable_objects": objects, "workers": callers}


async def list_workers(request: Request) -> Response:
    """List Workers by page, in the asked order."""
    cloud = cloud_of(request)
    keys = {"name": "name", "created_on": "created_on", "updated_on": "modified_on", "deployed_on": "modified_on"}
    key = keys.get(request.query_params.get("order_by", ""), "name")
    down = request.query_params.get("order") == "desc"
    scripts = sorted(cloud.account.scripts.values(), key=lambda s: getattr(s, key), reverse=down)
    shown, info = paged(request, scripts)
    return answer([worker_item(cloud, script) for script in shown], info=info)


async def get_worker(request: Request) -> Response:
    """Return one Worker."""
    return answer(worker_item(*_worker(request)))


async def post_worker(request: Request) -> Response:
    """Make a Worker that has no versions yet."""
    body, cloud = await read_object(request), cloud_of(request)
    name = str(body.get("name"))
    check_script_name(name)
    async with cloud.lock:
        if name in cloud.account.scripts:
            raise refuse("script_exists", name=name)
        script = _set(cloud, fresh_script(name), body)
        cloud.account.apply(AccountChange(script=script))
    return answer(worker_item(cloud, script))


async def change_worker(request: Request) -> Response:
    """Change a Worker's settings; PUT resets what it does not name."""
    body = await read_object(request)
    async with alone(request, _worker) as (cloud, known):
        to = str(body.get("name") or known.name)
        if to != known.name:
            await rename(cloud, known.name, to)
        script = cloud.account.scripts[to]
        if request.method == "PUT":  # the rest of the Worker is in its versions, which stay
            script = replace(script, settings={}, subdomain=False, previews=False)
        script = _set(cloud, script, body)
        cloud.account.apply(AccountChange(script=script))
    return answer(worker_item(cloud, script))


async def rename(cloud: Cloud, name: str, to: str) -> None:
    """Give a script another name; its namespaces keep their ids and objects. The caller holds the lock."""
    check_script_name(to)
    if to in cloud.account.scripts:
        raise refuse("script_exists", name=to)
    cloud.account.rename_script(name, to)
    # All are looked at: whatever binds the script by its old or its new name is tied to others now.
    await cloud.runtime.changed(sorted({name, *(worker.name for worker in cloud.account.runnable())}))


async def rename_service(request: Request) -> Response:
    """Rename through the service record, as Alchemy does."""
    cloud, name = cloud_of(request), request.path_params["script_name"]
    to = (await read_object(request)).get("id")
    async with cloud.lock:
        if name not in cloud.account.scripts:
            raise refuse("no_service")
        if to != name:
            await rename(cloud, name, str(to))
    return answer({"id": to})


def _set(cloud: Cloud, script: Script, body: dict[str, Any]) -> Script:
    check_shape({key: body.get(key) for key in ("observability", "tags", "tail_consumers")})
    settings = {key: body[key] for key in ("logpush", "observability", "tags") if body.get(key) is not None}
    if body.get("tail_consumers") is not None:
        settings["tail_consumers"] = [
            {"service": as_object(c, "tail_consumers").get("name")} for c in body["tail_consumers"]
        ]
        check_tails(script.name, settings["tail_consumers"], cloud.account.scripts)
    subdomain = as_object(body.get("subdomain") or {}, "subdomain")
    return replace(
        script,
        settings={**script.settings, **settings},
        subdomain=bool(subdomain.get("enabled", script.subdomain)),
        previews=bool(subdomain.get("previews_enabled", script.previews)),
        modified_on=now(),
    )


async def delete_worker(request: Request) -> Response:
    """Remove a Worker; refused while others refer to it."""
    async with alone(request, _worker) as (cloud, script):
        await remove(cloud, script.name, force=query_flag(request, "force"))
    return answer(None)


# --- versions


def version_item(cloud: Cloud, script: Script, version: Version, *, modules: bool = False) -> dict[str, Any]:
    """Return a version as this API shows it; module contents only when they are asked for."""
    code = version.code
    item: dict[str, Any] = {
        "id": version.id,
        "number": version.number,
        "created_on": version.created_on,
        "urls": [f"http://{script.name}.localhost:{cloud.workers_port}"],
        "annotations": version.options.get("annotations") or {},
        "author_id": "",
        "author_email": AUTHOR,
        "bindings": shown_bindings(version),
        "compatibility_date": code.compatibility_date,
        "compatibility_flags": list(code.compatibility_flags),
        "limits": version.options.get("limits") or {},
        "main_module": code.main_module,
        "source": version.source,
        "startup_time_ms": code.report.startup_ms,
        "usage_model": version.options.get("usage_model", "standard"),
    }
    if version.migration_tag:
        item["migration_tag"] = version.migration_tag
    if version.exports is not None:
        item["exports"] = live_entries(version.exports)
    if "placement" in version.options:
        item["placement"] = version.options["placement"]
    if modules:
        item["modules"] = [
            {
                "name": m.name,
                "content_type": m.content_type,
                "content_base64": base64.b64encode(cloud.account.blobs.path(m.digest).read_bytes()).decode(),
            }
            for m in code.modules
        ]
    return item


async def list_versions(request: Request) -> Response:
    """List the versions, newest first."""
    cloud, script = _worker(request)
    shown, info = paged(request, cloud.account.versions(script.name))
    return answer([version_item(cloud, script, version) for version in shown], info=info)


def _version(cloud: Cloud, script: Script, request: Request) -> Version:
    wanted = request.path_params["version_id"]
    version = cloud.account.latest(script.name) if wanted == "latest" else cloud.account.version(script.name, wanted)
    if version is None:
        raise refuse("no_versions" if wanted == "latest" else "no_version")
    return version


async def get_version(request: Request) -> Response:
    """Return one version; `include=modules` adds the code."""
    cloud, script = _worker(request)
    modules = request.query_params.get("include") == "modules"
    return answer(version_item(cloud, script, _version(cloud, script, request), modules=modules))


async def post_version(request: Request) -> Response:
    """Upload a version as JSON; `deploy=true` deploys it at 100 %."""
    body = as_object(parse_json(await read_body(request, most=MOST_BYTES), "The request body"), "body")
    cloud, script = _worker(request)
    deploys = query_flag(request, "deploy")
    with cloud.account.incoming() as incoming:
        read = partial(_version_upload, cloud, body, incoming)
        ahead = await ahead_of_the_lock(cloud, script.name, partial(read, script), deployed=deploys)
        async with alone(request, _worker) as (cloud, script):
            make = publish if deploys else store_version
            done = await make(cloud, script.name, read(script), source=source_of(request), ahead=ahead)
    return answer(with_reconciliation(version_item(cloud, script, done.version), done))


def _version_upload(cloud: Cloud, body: dict[str, Any], incoming: Incoming, script: Script) -> ScriptUpload:
    """Return the upload of a body; the script's own settings are not part of this API's versions."""
    modules = [_stored(incoming, as_object(m, "modules")) for m in body.get("modules") or []]
    return replace(read_upload(body, modules, previous=cloud.account.latest(script.name), strict=True), settings={})


def _stored(incoming: Incoming, module: dict[str, Any]) -> StoredModule:
    if not all(isinstance(module.get(key), str) for key in ("name", "content_type", "content_base64")):
        raise refuse("bad_field", where="modules", why="a module needs `name`, `content_type` and `content_base64`")
    try:
        content = base64.b64decode(module["content_base64"], validate=True)
    except (binascii.Error, ValueError):
        raise refuse("bad_field", where="modules", why=f"'{module['name'][:100]}' is not valid base64") from None
    digest = incoming.store(content)
    return StoredModule(name=module["name"], content_type=module["content_type"], digest=digest, size=len(content))


async def patch_version(request: Request) -> Response:
    """Make a new version from the latest one with some secrets changed, not deployed; `null` removes."""
    body = await read_object(request)
    if request.path_params["version_id"] != "latest":
        raise refuse("no_version")
    env = as_object(body.get("env") or {}, "env")
    for name, value in env.items():
        if value is not None and as_object(value, name).get("type") not in SECRET_TYPES:
            raise refuse("bad_field", where=name, why="only secrets can be changed here")
    async with alone(request, _worker) as (cloud, script):
        latest = _version(cloud, script, request)
        annotations = {k: v for k, v in as_object(body.get("annotations") or {}, "annotations").items() if v}
        upload = carried(latest)
        upload = replace(
            upload,
            bindings=changed_secrets(latest.bindings, env),
            options={**upload.options, "annotations": annotations},
        )
        done = await store_version(cloud, script.name, upload, source=source_of(request))
    return answer(version_item(cloud, script, done.version))


async def delete_version(request: Request) -> Response:
    """Remove a version that does not serve."""
    async with alone(request, _worker) as (cloud, script):
        version = _version(cloud, script, request)
        active = cloud.account.active.get(script.name)
        if active and version.id in {version_id for version_id, _ in active.versions}:
            raise refuse("active_version")
        cloud.account.delete_version(version.id)
    return answer(None)


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    worker = account + "/workers/workers/{worker_id}"
    version = worker + "/versions/{version_id}"
    return [
        Route(account + "/workers/workers", list_workers, methods=["GET"]),
        Route(account + "/workers/workers", post_worker, methods=["POST"]),
        Route(worker, get_worker, methods=["GET"]),
        Route(worker, change_worker, methods=["PUT", "PATCH"]),
        Route(worker, delete_worker, methods=["DELETE"]),
        Route(worker + "/versions", list_versions, methods=["GET"]),
        Route(worker + "/versions", post_version, methods=["POST"]),
        Route(version, get_version, methods=["GET"]),
        Route(version, patch_version, methods=["PATCH"]),
        Route(version, delete_version, methods=["DELETE"]),
        Route(account + "/workers/services/{script_name}", rename_service, methods=["PATCH"]),
    ]
