"""Objects of R2 buckets over the API: put, read and deleted one at a time, as `wrangler r2 object` does, and listed.

Emulated: the form of the list, which no published client asks for, and of what a put and a delete answer.
"""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from notebook_do.local.account.account import time_text
from notebook_do.local.api.envelope import answer, chunks, cloud_of, query_number
from notebook_do.local.api.resources import ask, services_of
from notebook_do.local.rules.refusals import Refused, refuse
from notebook_do.local.services.r2_store import ERROR, MAX_LIST, METADATA_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from notebook_do.local.services.server import ServiceAnswer

MOST_BYTES = 315 << 20
"""As much as a request to Cloudflare may have; larger objects come in parts, over another API."""
_IN_MEMORY = 1 << 20
_CHUNK = 1 << 18
# The headers that R2 keeps of an object, by their names in the binding's protocol; `expires` is a moment there.
_FIELDS = {
    "content-type": "contentType",
    "content-language": "contentLanguage",
    "content-disposition": "contentDisposition",
    "content-encoding": "contentEncoding",
    "cache-control": "cacheControl",
}


async def put_object(request: Request) -> Response:
    """Store the body as one object."""
    asked = {"method": "put", "object": request.path_params["key"], "httpFields": _fields(request)}
    if storage_class := request.headers.get("cf-r2-storage-class"):
        asked["storageClass"] = storage_class
    text = json.dumps({"version": 1, **asked}).encode()
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as body:
        body.write(text)
        received = 0
        async for chunk in chunks(request, encoded=True):
            received += len(chunk)
            if received > MOST_BYTES:
                raise refuse("object_too_large")
            await run_in_threadpool(body.write, chunk)
        body.seek(0)
        sent = {"body": cast("BinaryIO", body), "headers": {METADATA_SIZE.lower(): str(len(text))}}
        found = await _ask(request, method="PUT", **sent)
    return answer(_item(json.loads(found.body)))


async def get_object(request: Request) -> Response:
    """Return an object's bytes, with the headers that it was stored with."""
    found = await _query(request, method="get", object=request.path_params["key"])
    kept = json.loads(found.body)
    file, http = found.file, kept["httpFields"]
    assert file is not None  # noqa: S101 - only refusals have none
    headers = {header: http[name] for header, name in _FIELDS.items() if name in http}
    if "cacheExpiry" in http:
        headers["expires"] = _http_date(int(http["cacheExpiry"]))
    size, uploaded = str(kept["size"]), _http_date(kept["uploaded"])
    headers |= {"content-length": size, "etag": f'"{kept["etag"]}"', "last-modified": uploaded}
    return StreamingResponse(_pieces(file), headers=headers, media_type="application/octet-stream")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_CHUNK):
            yield piece


async def delete_object(request: Request) -> Response:
    """Delete an object; one that is not there is no mistake."""
    key = request.path_params["key"]
    text = json.dumps({"version": 1, "method": "delete", "object": key}).encode()
    await _ask(request, method="PUT", body=text, headers={METADATA_SIZE.lower(): str(len(text))})
    return answer({"key": key})


async def list_objects(request: Request) -> Response:
    """List the objects of a bucket by key."""
    query, limit = request.query_params, query_number(request, "per_page", 20, 1, MAX_LIST)
    wanted = {name: query[name] for name in ("prefix", "delimiter", "cursor") if name in query}
    wanted |= {"startAfter": query["start_after"]} if "start_after" in query else {}
    found = await _query(request, method="list", limit=limit, newRuntime=True, include=[0, 1], **wanted)
    listed = json.loads(found.body)
    info = {"is_truncated": listed["truncated"], "per_page": limit, "delimited": listed["delimitedPrefixes"]}
    info |= {"cursor": listed["cursor"]} if listed["truncated"] else {}
    return answer([_item(one) for one in listed["objects"]], info=info)


async def _query(request: Request, **asked: Any) -> ServiceAnswer:
    text = json.dumps({"version": 1, **asked})
    return await _ask(request, method="GET", headers={"cf-r2-request": text})


async def _ask(request: Request, **asked: Any) -> ServiceAnswer:
    """Ask what a binding would ask of the bucket that the path and `cf-r2-jurisdiction` name."""
    name, jurisdiction = request.path_params["name"], request.headers.get("cf-r2-jurisdiction", "default")
    services = services_of(request)
    # A strict Cloudflare has only the buckets that were made.
    if cloud_of(request).strict and name not in {one.name for one in services.directory.listed("r2")}:
        raise refuse("no_bucket")
    resource = name if jurisdiction == "default" else f"{jurisdiction}/{name}"
    found = await ask(services.r2.handle, path="/", resource=resource, **asked)
    if error := dict(found.headers).get(ERROR):
        said = json.loads(error)
        raise Refused(found.status, [{"code": said["v4code"], "message": said["message"]}])
    return found


def _fields(request: Request) -> dict[str, str]:
    fields = {name: request.headers[header] for header, name in _FIELDS.items() if header in request.headers}
    if expires := request.headers.get("expires"):
        try:
            moment = parsedate_to_datetime(expires)
        except ValueError:
            raise refuse("bad_field", where="expires", why="must be a date as in HTTP") from None
        fields["cacheExpiry"] = str(int(moment.timestamp() * 1000))
    return fields


def _http_date(milliseconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(milliseconds // 1000, UTC), usegmt=True)


def _item(kept: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": kept["name"],
        "size": kept["size"],
        "etag": kept["etag"],
        "version": kept["version"],
        "last_modified": time_text(kept["uploaded"] / 1000),
        "http_metadata": kept["httpFields"],
        "custom_metadata": {one["k"]: one["v"] for one in kept["customFields"]},
        "storage_class": kept["storageClass"],
    }


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    objects = account + "/r2/buckets/{name}/objects"
    return [
        Route(objects, list_objects, methods=["GET"]),
        Route(objects + "/{key:path}", put_object, methods=["PUT"]),
        Route(objects + "/{key:path}", get_object, methods=["GET"]),
        Route(objects + "/{key:path}", delete_object, methods=["DELETE"]),
    ]
