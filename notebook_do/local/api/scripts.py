"""Routes of whole scripts: list, read, upload, delete, content, and the undocumented service record.

Also what other routes show of a script and of its versions; secret texts are never part of it.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from notebook_do.local.account.metadata import check_script_name
from notebook_do.local.account.publish import Published, forget, publish
from notebook_do.local.api.envelope import (
    Cloud,
    alone,
    answer,
    cloud_of,
    existing,
    paged,
    query_flag,
    received,
    source_of,
)
from notebook_do.local.api.uploading import ahead_of_the_lock, metadata_of, whole_upload, with_content
from notebook_do.local.api.versions import named_handlers, with_reconciliation
from notebook_do.local.rules.exports import live_entries
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request

    from notebook_do.local.account.records import Script, Version
    from notebook_do.local.rules.namespaces import AccountNamespace

HOLDS = "namespaces_hold_their_script"
"""The property of an account in which a script's own namespaces stop its unforced deletion.

No document tells whether they do at Cloudflare (emulated both ways): they do not, unless a test sets this.
"""


# --- what is shown


def shared_settings(script: Script) -> dict[str, Any]:
    """Return the settings that belong to a script and not to a version."""
    settings = script.settings
    return {
        "logpush": settings.get("logpush", False),
        "observability": settings.get("observability") or {"enabled": False},
        "tags": settings.get("tags") or [],
        "tail_consumers": settings.get("tail_consumers") or [],
    }


def script_item(cloud: Cloud, script: Script) -> dict[str, Any]:
    """Return a script as lists show it."""
    version = cloud.account.serving.get(script.name)
    item = {
        "id": script.name,
        "tag": script.tag,
        "etag": version.etag if version else "",
        "created_on": script.created_on,
        "modified_on": script.modified_on,
        "last_deployed_from": script.last_deployed_from,
        "has_assets": version is not None and version.assets is not None,
        "has_modules": version is not None,
        **shared_settings(script),
        "routes": [],
    }
    if script.migration_tag:
        item["migration_tag"] = script.migration_tag
    return item if version is None else {**item, **_of_version(version)}


def _of_version(version: Version) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "handlers": list(version.code.report.default_handlers),
        "named_handlers": named_handlers(version),
        "compatibility_date": version.code.compatibility_date,
        "compatibility_flags": list(version.code.compatibility_flags),
        "usage_model": version.options.get("usage_model", "standard"),
    }
    for key in ("placement", "cache_options"):
        if key in version.options:
            shown[key] = version.options[key]
    if version.exports is not None:
        shown["exports"] = live_entries(version.exports)
    return shown


def upload_result(cloud: Cloud, done: Published) -> dict[str, Any]:
    """Return the answer to an upload."""
    version = done.version
    result = {
        **script_item(cloud, done.script),
        "entry_point": version.code.main_module,
        "startup_time_ms": version.code.report.startup_ms,
        # The version's id without hyphens, under this name: what wrangler reads.
        "deployment_id": version.id.replace("-", ""),
        "pipeline_hash": version.etag,
        "mutable_pipeline_id": done.script.tag,
    }
    result.pop("routes")  # of a list of scripts alone, in the published form
    return with_reconciliation(result, done)


# --- reading


async def list_scripts(request: Request) -> Response:
    """List all scripts; `tags=a:yes,b:no` filters."""
    cloud = cloud_of(request)
    # From the right: a tag may hold colons itself.
    wanted = [part.rpartition(":") for part in request.query_params.get("tags", "").split(",") if part]
    scripts = sorted(cloud.account.scripts.values(), key=lambda s: s.name)
    for tag, _, yes in wanted:
        scripts = [s for s in scripts if (tag in (s.settings.get("tags") or [])) == (yes == "yes")]
    return answer([script_item(cloud, script) for script in scripts])


async def search_scripts(request: Request) -> Response:
    """List the scripts of a tag, or with a part of their name."""
    name, tag = request.query_params.get("name"), request.query_params.get("id")
    asked = request.query_params.get("order_by", "")
    key = asked if asked in ("created_on", "modified_on") else "name"
    every = sorted(cloud_of(request).account.scripts.values(), key=lambda s: getattr(s, key))
    shown, info = paged(request, [s for s in every if (name is None or name in s.name) and tag in (None, s.tag)])
    items = [
        {
            "id": s.tag,
            "script_name": s.name,
            "service_name": s.name,
            "environment_name": "production",
            "environment_is_default": True,
            "created_on": s.created_on,
            "modified_on": s.modified_on,
        }
        for s in shown
    ]
    return answer(items, info=info)


async def get_script(request: Request) -> Response:
    """Return the modules of the running version, as multipart."""
    cloud, script = existing(request)
    version = serving(cloud, script)
    boundary = secrets.token_hex(16)
    body = bytearray()
    for module in version.code.modules:
        head = (
            f"--{boundary}\r\nContent-Disposition: form-data; "
            f'name="{_quoted(module.name)}"; filename="{_quoted(module.name)}"\r\n'
            f"Content-Type: {module.content_type}\r\n\r\n"
        )
        body += head.encode() + cloud.account.blobs.path(module.digest).read_bytes() + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    # A header is bytes: a name beyond Latin-1 goes as UTF-8, as the same name does in the upload.
    headers = {"cf-entrypoint": version.code.main_module.encode().decode("latin-1"), "etag": f'"{version.etag}"'}
    return Response(bytes(body), media_type=f"multipart/form-data; boundary={boundary}", headers=headers)


def _quoted(name: str) -> str:
    # As browsers write a name in a form (WHATWG); a line break cannot be in it, see `_MODULE_NAME`.
    return name.replace('"', "%22")


def serving(cloud: Cloud, script: Script) -> Version:
    """Return the version that runs, with the present labels of what it binds."""
    version = cloud.account.current(script.name)
    if version is None:
        raise refuse("no_versions")
    return version


async def get_service(request: Request) -> Response:
    """Return a script as the service record that wrangler reads before every deploy."""
    cloud, script = existing(request, "no_service")
    version = cloud.account.serving.get(script.name)
    item = {**script_item(cloud, script), **shared_settings(script)}
    if version is not None and "limits" in version.options:
        item["limits"] = version.options["limits"]
    times = {"created_on": script.created_on, "modified_on": script.modified_on}
    environment = {"environment": "production", **times, "script": item}
    record = {"id": script.name, "default_environment": environment, "environments": [environment], **times}
    return answer({**record, "usage_model": item.get("usage_model", "standard")})


# --- uploading


async def put_script(request: Request) -> Response:
    """Create or replace a script and deploy it at 100 %."""
    cloud, name = cloud_of(request), request.path_params["script_name"]
    check_script_name(name)
    async with received(request) as form:
        metadata = metadata_of(form)
        with cloud.account.incoming() as incoming:
            read = partial(whole_upload, request, form, metadata, name, incoming)
            ahead = await ahead_of_the_lock(cloud, name, read)
            async with cloud.lock:
                # What is inherited must come from the version that is the newest now, so it is read again.
                done = await publish(cloud, name, read(), source=source_of(request), ahead=ahead)
    return answer(upload_result(cloud, done))


async def put_content(request: Request) -> Response:
    """Replace the code of a script and nothing else."""
    cloud, script = existing(request)
    async with received(request) as form:
        metadata = metadata_of(form) if "metadata" in form.fields else {}
        if header := request.headers.get("cf-worker-main-module-part"):
            metadata.setdefault("main_module", header)
        with cloud.account.incoming() as incoming:
            read = partial(with_content, cloud, script, form, metadata, incoming)
            ahead = await ahead_of_the_lock(cloud, script.name, read)
            async with cloud.lock:
                done = await publish(cloud, script.name, read(), source=source_of(request), ahead=ahead)
    return answer(upload_result(cloud, done))


# --- deleting


async def delete_script(request: Request) -> Response:
    """Remove a script with everything that belongs to it."""
    # wrangler deletes by the service record, and expects the answer of that.
    rule = "no_service" if "/services/" in request.url.path else "no_script"
    async with alone(request, partial(existing, rule=rule)) as (cloud, script):
        await remove(cloud, script.name, force=query_flag(request, "force"))
    return answer(None)


async def remove(cloud: Cloud, name: str, *, force: bool) -> None:
    """Delete a script; without `force` only when no other Worker refers to it. The caller holds the lock."""
    queues = cloud.runtime.services.queues
    binders = {other for _, other in incoming_objects(cloud, name)}
    callers = set(incoming_services(cloud, name))
    consumed = [queue for queue, consumer in queues.consumers().items() if consumer.script == name]
    if not force:
        if binders:
            raise refuse("still_bound", scripts=", ".join(sorted(binders)))
        if callers:
            raise refuse("still_called", scripts=", ".join(sorted(callers)))
        if consumed:
            raise refuse("still_consumes")
        if cloud.account.setting(HOLDS) and cloud.account.hosted(name):
            raise refuse("still_hosts")
    for queue in consumed:  # before the script: a message must not find a consumer that is gone
        queues.abandon(queue)
    gone = cloud.account.delete_script(name)
    cloud.zones.forget(name)
    cloud.tails.forget(name)
    await cloud.runtime.changed(sorted({name} | binders | callers))
    await forget(cloud, gone)


def incoming_objects(cloud: Cloud, name: str) -> list[tuple[AccountNamespace, str]]:
    """List the namespaces of a script with each other script that binds them."""
    facts, hosted = cloud.account.facts(), cloud.account.hosted(name)
    return [(namespace, other) for namespace in hosted for other in facts.binders(namespace.id, besides=name)]


def incoming_services(cloud: Cloud, name: str) -> list[str]:
    """List the other scripts that have a service binding to one."""
    return [
        other
        for other, version in cloud.account.serving.items()
        if other != name and any(b["type"] == "service" and b["service"] == name for b in version.bindings)
    ]


async def references(request: Request) -> Response:
    """Return who refers to a script, as wrangler asks before it deletes one."""
    cloud, script = existing(request)
    own = serving(cloud, script).bindings if script.name in cloud.account.serving else ()
    objects = [
        {
            "service": other,
            "environment": "production",
            "durable_object_namespace_id": namespace.id,
            "durable_object_namespace_name": f"{script.name}_{namespace.class_name}",
        }
        for namespace, other in incoming_objects(cloud, script.name)
    ]
    services = {
        "incoming": [_service(name) for name in sorted(incoming_services(cloud, script.name))],
        "outgoing": [_service(b["service"]) for b in own if b["type"] == "service"],
    }
    return answer({"services": services, "durable_objects": objects, "dispatch_outbounds": []})


def _service(name: str) -> dict[str, str]:
    return {"service": name, "environment": "production", "name": name}


async def tails_by_consumer(request: Request) -> Response:
    """List the scripts that send their tail events to this one."""
    cloud, script = existing(request)
    producers = [
        s
        for s in cloud.account.scripts.values()
        if any(c.get("service") == script.name for c in s.settings.get("tail_consumers") or [])
    ]
    return answer([{"producer": _producer(s.name), "consumer": _producer(script.name)} for s in producers])


def _producer(name: str) -> dict[str, str]:
    return {"type": "worker", "service": name, "environment": "production"}


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    script = account + "/workers/scripts/{script_name}"
    service = account + "/workers/services/{script_name}"
    return [
        Route(account + "/workers/scripts", list_scripts, methods=["GET"]),
        Route(account + "/workers/scripts-search", search_scripts, methods=["GET"]),
        Route(script, get_script, methods=["GET"]),
        Route(script, put_script, methods=["PUT"]),
        Route(script, delete_script, methods=["DELETE"]),
        Route(script + "/content", put_content, methods=["PUT"]),
        Route(script + "/content/v2", get_script, methods=["GET"]),
        Route(script + "/references", references, methods=["GET"]),
        Route(account + "/workers/tails/by-consumer/{script_name}", tails_by_consumer, methods=["GET"]),
        Route(service, get_service, methods=["GET"]),
        Route(service, delete_script, methods=["DELETE"]),
    ]
