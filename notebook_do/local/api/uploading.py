"""How an upload is read from its form: what it is made of is held, and it is verified before its turn has come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.account.metadata import ScriptUpload, check_modules, entry_of, read_upload
from notebook_do.local.account.publish import fresh_script
from notebook_do.local.account.records import StoredModule, Version, content_digests
from notebook_do.local.account.verify import verify_ahead
from notebook_do.local.api.envelope import Cloud, ReceivedForm, cloud_of, parse_json
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import Refused, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from notebook_do.local.account.blobs import Incoming
    from notebook_do.local.account.records import Script
    from notebook_do.local.account.verify import Verified


def metadata_of(form: ReceivedForm) -> dict[str, Any]:
    """Return the metadata of an upload."""
    if "metadata" not in form.fields:
        raise refuse("no_metadata")
    return as_object(parse_json(form.fields["metadata"], "metadata"), "metadata")


def whole_upload(
    request: Request, form: ReceivedForm, metadata: dict[str, Any], name: str, incoming: Incoming
) -> ScriptUpload:
    """Return the upload of a script's form, its static assets included; `incoming` holds what it is made of."""
    cloud = cloud_of(request)
    previous = cloud.account.latest(name)
    strict = request.query_params.get("bindings_inherit") == "strict"
    plain = {key: value for key, value in metadata.items() if key != "assets"}
    upload = read_upload(plain, stored_modules(form, incoming), previous=previous, strict=strict)
    upload = replace(upload, assets=cloud.uploads.of_upload(metadata, previous))
    incoming.hold(content_digests(upload.code, upload.assets))
    return upload


def stored_modules(form: ReceivedForm, incoming: Incoming) -> list[StoredModule]:
    """Move the files of an upload to their lasting place."""
    return [
        StoredModule(name=p.name, content_type=p.content_type, digest=incoming.keep(p.file), size=p.file.size)
        for p in form.parts
    ]


async def ahead_of_the_lock(
    cloud: Cloud, name: str, read: Callable[[], ScriptUpload], *, deployed: bool = True
) -> Verified | None:
    """Verify what `read` reads as an upload of a script, before the lock of the account is held."""
    try:
        upload = read()
    except Refused:  # said again under the lock: what it was read with may be another account by then
        return None
    script = cloud.account.scripts.get(name) or fresh_script(name)
    return await verify_ahead(cloud, script, upload, deployed=deployed)


def carried(version: Version) -> ScriptUpload:
    """Return an upload that repeats a version."""
    return ScriptUpload(
        code=version.code,
        bindings=version.bindings,
        exports=version.exports,
        options=version.options,
        assets=version.assets,
    )


def with_content(
    cloud: Cloud, script: Script, form: ReceivedForm, metadata: dict[str, Any], incoming: Incoming
) -> ScriptUpload:
    """Return the newest version as an upload, with the modules of a form in place of its own."""
    modules, previous = stored_modules(form, incoming), cloud.account.latest(script.name)
    if previous is None:
        raise refuse("no_versions")
    main = entry_of(metadata)
    code = replace(previous.code, main_module=main, modules=check_modules(modules, main))
    incoming.hold(content_digests(code, previous.assets))
    return replace(carried(previous), code=code)
