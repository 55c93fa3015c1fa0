"""Routes of static assets: the session that says what is missing, and the upload of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from notebook_do.local.api.envelope import answer, read_object
from notebook_do.local.api.guard import UPLOAD
from notebook_do.local.api.metadata import check_script_name
from notebook_do.local.api.multipart import read_form
from notebook_do.local.api.scripts import cloud_of
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def begin_session(request: Request) -> Response:
    """Open a session for a manifest."""
    check_script_name(request.path_params["script_name"])
    cloud, body = cloud_of(request), await read_object(request)
    return answer(cloud.uploads.begin(body.get("manifest")))


async def upload(request: Request) -> Response:
    """Take the files of one bucket; the session's token stands in for the account's."""
    cloud = cloud_of(request)
    token = request.headers["authorization"].partition(" ")[2]
    if not cloud.uploads.opens(token):
        raise refuse("asset_token")
    form = await read_form(request, cloud.account.blobs)
    try:
        for part in form.parts:
            part.file.finish()
            kind = f"{part.content_type}; charset={part.charset}" if part.charset else part.content_type
            cloud.uploads.receive(token, part.name, part.file.path.read_bytes(), kind)
    finally:
        form.discard()
    return answer(cloud.uploads.progress(token), status=201)


def routes(account: str) -> list[Route]:
    """Give the routes under one account's path."""
    return [
        Route(account + "/workers/scripts/{script_name}/assets-upload-session", begin_session, methods=["POST"]),
        Route(account + UPLOAD, upload, methods=["POST"]),
    ]
