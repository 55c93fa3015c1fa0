"""Routes of whole scripts: list, read, upload, delete, content, and the undocumented service record."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from notebook_do.local.account.publish import Cloud, forget, publish
from notebook_do.local.account.records import Script, StoredModule, Version
from notebook_do.local.api.envelope import answer, as_object, paged, parse_json, query_flag
from notebook_do.local.api.metadata import ScriptUpload, check_modules, check_script_name, entry_of, read_upload
from notebook_do.local.api.multipart import Form, read_form
from notebook_do.local.api.views import script_item, shared_settings, upload_result
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request


def cloud_of(request: Request) -> Cloud:
    """Give the account that the routes work on."""
    cloud = request.app.state.cloud
    assert isinstance(cloud, Cloud)  # noqa: S101 - for the type checker
    return cloud


def existing(request: Request, rule: str = "no_script") -> tuple[Cloud, Script]:
    """Give the script that the path names."""
    cloud, name = cloud_of(request), request.path_params["script_name"]
    script = cloud.account.scripts.get(name)
    if script is None:
        raise refuse(rule)
    return cloud, script


def serving(cloud: Cloud, script: Script) -> Version:
    """Give the version that runs, with the present labels of what it binds."""
    version = cloud.account.current(script.name)
    if version is None:
        raise refuse("no_versions")
    return version


def source_of(request: Request) -> str:
    """Give the kind of client, as `last_deployed_from` names it."""
    agent = request.headers.get("user-agent", "").lower()
    return "wrangler" if "wrangler" in agent else "terraform" if "terraform" in agent else "api"


async def list_scripts(request: Request) -> Response:
    """All scripts; `tags=a:yes,b:no` filters."""
    cloud = cloud_of(request)
    wanted = [part.rpartition(":") for part in request.query_params.get("tags", "").split(",") if part]
    scripts = sorted(cloud.account.scripts.values(), key=lambda s: s.name)
    for tag, _, yes in wanted:
        scripts = [s for s in scripts if (tag in (s.settings.get("tags") or [])) == (yes == "yes")]
    return answer([script_item(cloud.account, script) for script in scripts])


async def search_scripts(request: Request) -> Response:
    """Scripts by a part of their name, or by their tag."""
    cloud = cloud_of(request)
    name, tag = request.query_params.get("name"), request.query_params.get("id")
    found = [
        s for s in cloud.account.scripts.values() if (name is None or name in s.name) and (tag is None or tag == s.tag)
    ]
    key = {"created_on": "created_on", "modified_on": "modified_on"}.get(
        request.query_params.get("order_by", ""), "name"
    )
    found.sort(key=lambda s: getattr(s, key))
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
        for s in found
    ]
    shown, info = paged(request, items)
    return answer(shown, info=info)


def stored_modules(cloud: Cloud, form: Form) -> list[StoredModule]:
    """Give the files of an upload their lasting place."""
    return [
        StoredModule(
            name=p.name, content_type=p.content_type, digest=cloud.account.blobs.keep(p.file), size=p.file.size
        )
        for p in form.parts
    ]


def whole_upload(request: Request, form: Form, metadata: dict[str, Any], name: str) -> ScriptUpload:
    """Give the upload of a script's form, its static assets included."""
    cloud = cloud_of(request)
    previous = cloud.account.latest(name)
    strict = request.query_params.get("bindings_inherit") == "strict"
    plain = {key: value for key, value in metadata.items() if key != "assets"}
    upload = read_upload(plain, stored_modules(cloud, form), previous=previous, strict=strict)
    return replace(upload, assets=cloud.uploads.of_upload(metadata, previous))


def metadata_of(form: Form) -> dict[str, Any]:
    """Give the metadata of an upload."""
    if "metadata" not in form.fields:
        raise refuse("no_metadata")
    return as_object(parse_json(form.fields["metadata"], "metadata"), "metadata")


async def put_script(request: Request) -> Response:
    """Create or replace a script and deploy it at 100 %."""
    cloud, name = cloud_of(request), request.path_params["script_name"]
    check_script_name(name)
    form = await read_form(request, cloud.account.blobs)
    try:
        metadata = metadata_of(form)
        async with cloud.lock:
            with cloud.account.incoming():
                upload = whole_upload(request, form, metadata, name)
                done = await publish(cloud, name, upload, source=source_of(request))
    finally:
        form.discard()
    return answer(upload_result(cloud.account, done.script, done.version, done.reconciliation))


async def put_content(request: Request) -> Response:
    """Replace the code of a script and nothing else."""
    cloud, script = existing(request)
    form = await read_form(request, cloud.account.blobs)
    try:
        metadata = metadata_of(form) if "metadata" in form.fields else {}
        if header := request.headers.get("cf-worker-main-module-part"):
            metadata.setdefault("main_module", header)
        async with cloud.lock:
            with cloud.account.incoming():
                modules, previous = stored_modules(cloud, form), cloud.account.latest(script.name)
                if previous is None:
                    raise refuse("no_versions")
                main = entry_of(metadata)
                code = replace(previous.code, main_module=main, modules=check_modules(modules, main))
                upload = replace(carried(previous), code=code)
                done = await publish(cloud, script.name, upload, source=source_of(request))
    finally:
        form.discard()
    return answer(upload_result(cloud.account, done.script, done.version, done.reconciliation))


def carried(version: Version) -> ScriptUpload:
    """Give an upload that repeats a version."""
    return ScriptUpload(
        code=version.code,
        bindings=version.bindings,
        exports=version.exports,
        options=version.options,
        assets=version.assets,
    )


async def get_script(request: Request) -> Response:
    """Give the modules of the running version, as multipart."""
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
    headers = {"cf-entrypoint": version.code.main_module.encode().decode("latin-1"), "etag": f'"{version.etag}"'}
    return Response(bytes(body), media_type=f"multipart/form-data; boundary={boundary}", headers=headers)


def _quoted(name: str) -> str:
    return name.replace('"', "%22")


async def delete_script(request: Request) -> Response:
    """Remove a script with everything that belongs to it."""
    rule = "no_service" if "/services/" in request.url.path else "no_script"
    cloud, _ = existing(request, rule)
    async with cloud.lock:
        # Looked up again: another request may have removed it while this one waited.
        _, script = existing(request, rule)
        await remove(cloud, script.name, force=query_flag(request, "force"))
    return answer(None)


HOLDS = "namespaces_hold_their_script"
"""The property of an account in which a script's own namespaces stop its unforced deletion.

No document tells whether they do at Cloudflare (emulated both ways): they do not, unless a test sets this.
"""


async def remove(cloud: Cloud, name: str, *, force: bool) -> None:
    """Delete a script; without `force` only when no other Worker refers to it."""
    facts, queues = cloud.account.facts(), cloud.runtime.services.queues
    binders = {b for n in cloud.account.hosted(name) for b in facts.binders(n.id, besides=name)}
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
    for queue in consumed:
        queues.abandon(queue)
    gone = cloud.account.delete_script(name)
    cloud.zones.forget(name)
    await cloud.runtime.changed(sorted({name} | binders | callers))
    await forget(cloud, gone)


def incoming_services(cloud: Cloud, name: str) -> list[str]:
    """Give the other scripts that have a service binding to one."""
    return [
        other
        for other, version in cloud.account.serving.items()
        if other != name and any(b["type"] == "service" and b["service"] == name for b in version.bindings)
    ]


async def references(request: Request) -> Response:
    """Who refers to a script, as wrangler asks before it deletes one."""
    cloud, script = existing(request)
    facts = cloud.account.facts()
    own = serving(cloud, script).bindings if script.name in cloud.account.serving else ()
    objects = [
        {
            "service": other,
            "environment": "production",
            "durable_object_namespace_id": namespace.id,
            "durable_object_namespace_name": f"{script.name}_{namespace.class_name}",
        }
        for namespace in cloud.account.hosted(script.name)
        for other in facts.binders(namespace.id, besides=script.name)
    ]
    services = {
        "incoming": [_service(name) for name in sorted(incoming_services(cloud, script.name))],
        "outgoing": [_service(b["service"]) for b in own if b["type"] == "service"],
    }
    return answer({"services": services, "durable_objects": objects, "dispatch_outbounds": []})


def _service(name: str) -> dict[str, str]:
    return {"service": name, "environment": "production", "name": name}


async def tails_by_consumer(request: Request) -> Response:
    """Which scripts send their tail events to this one."""
    cloud, script = existing(request)
    producers = [
        s
        for s in cloud.account.scripts.values()
        if any(c.get("service") == script.name for c in s.settings.get("tail_consumers") or [])
    ]
    return answer([{"producer": _producer(s.name), "consumer": _producer(script.name)} for s in producers])


def _producer(name: str) -> dict[str, str]:
    return {"type": "worker", "service": name, "environment": "production"}


async def get_service(request: Request) -> Response:
    """Give a script as the service record that wrangler reads before every deploy."""
    cloud, script = existing(request, "no_service")
    item = {**script_item(cloud.account, script), **shared_settings(script)}
    version = cloud.account.serving.get(script.name)
    if version is not None and "limits" in version.options:
        item["limits"] = version.options["limits"]
    environment = {
        "environment": "production",
        "created_on": script.created_on,
        "modified_on": script.modified_on,
        "script": item,
    }
    return answer(
        {
            "id": script.name,
            "default_environment": environment,
            "environments": [environment],
            "created_on": script.created_on,
            "modified_on": script.modified_on,
            "usage_model": item.get("usage_model", "standard"),
        }
    )


def routes(account: str) -> list[Route]:
    """Give the routes under one account's path."""
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
