"""Routes of one object: what it holds, what a statement would change in it, snapshots. Only this Cloudflare has these.

All are below `/local/namespaces/{id}/` and take the object's name or id. They read its file, so that a sleeping object
stays asleep; `restore` alone changes it, while no process has the namespace. Other changes are asked of the object.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Route

from notebook_do.local.api.account import namespace_of, object_item, stored_object
from notebook_do.local.api.envelope import answer, chunks, cloud_of, read_object
from notebook_do.local.objects import snapshots
from notebook_do.local.objects.pages import page
from notebook_do.local.objects.stored import Bounds, ReadError, StoredObject, folder_of, values
from notebook_do.local.objects.tags import of_cell
from notebook_do.local.objects.trying import attempt
from notebook_do.local.objects.v8 import is_exact
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request

    from notebook_do.local.api.envelope import Cloud


async def get_object(request: Request) -> Response:
    """Return one object as the list of the namespace has it."""
    _, _, one, _ = await _one(request)
    return answer(object_item(one))


async def get_page(request: Request) -> Response:
    """Return one object whole, as a person reads it: its tables with their newest rows, its keys with values."""
    _, path, one, _ = await _one(request)
    return answer({**object_item(one), **await _read(page, path, Bounds())})


async def get_value(request: Request) -> Response:
    """Return the value of one `key`, whether that is all of it, and a digest of its bytes; null where there is none."""
    _, path, _, body = await _one(request)
    key = body.get("key")
    if not isinstance(key, str):
        raise refuse("bad_field", where="key", why="must be a text")
    found = await _read(lambda: list(values(path, key=key)))
    if not found:
        return answer(None)
    ((_, value, held),) = found
    told = {"value": value, "exact": is_exact(held), "size": len(held)}
    return answer({**told, "digest": hashlib.sha256(held).hexdigest()})


async def try_statement(request: Request) -> Response:
    """Tell what one statement would change, row by row; it is run on a copy."""
    cloud, path, _, body = await _one(request)
    sql, params = body.get("sql"), body.get("params")
    if not isinstance(sql, str) or not isinstance(params, list):
        raise refuse("bad_field", where="sql, params", why="must be a statement and a list")
    try:
        given = [of_cell(one) for one in params]
    except ValueError as error:
        raise refuse("bad_field", where="params", why=f"each {error}") from None

    def tried() -> dict[str, Any]:
        with snapshots.as_copied(cloud.runtime.storage, path) as copy:
            return attempt(copy, sql, given, Bounds())

    return answer(await _read(tried))


async def get_contents(request: Request) -> Response:
    """Return how much one object holds, and a digest of all of it."""
    cloud, path, one, _ = await _one(request)
    return answer({**object_item(one), **await _read(_contents, cloud, path)})


def _contents(cloud: Cloud, path: Path) -> dict[str, Any]:
    with snapshots.as_copied(cloud.runtime.storage, path) as copy:
        return snapshots.contents(copy)


async def get_snapshot(request: Request) -> Response:
    """Return one object as a SQLite file."""
    cloud, path, _, _ = await _one(request, dict(request.query_params))

    def taken() -> bytes:
        with snapshots.as_copied(cloud.runtime.storage, path) as copy:
            return copy.read_bytes()

    return Response(await _read(taken), media_type="application/octet-stream")


async def restore(request: Request) -> Response:
    """Put the SQLite file of the body in place of what an object holds, and set its alarm again.

    `digest` of the query is that of what it holds; where that is another by now, nothing is changed.
    """
    cloud, namespace = cloud_of(request), namespace_of(request)
    with snapshots.working_folder(cloud.runtime.storage) as folder:
        copy = folder / "received.sqlite"
        with copy.open("wb") as file:
            async for chunk in chunks(request):
                file.write(chunk)
        await _read(lambda: snapshots.check(copy, sql=namespace.sqlite))
        async with cloud.runtime.away(namespace.id):
            one = await stored_object(cloud, namespace.id, request.query_params.get("object"))
            path = folder_of(cloud.runtime.storage, namespace.id) / f"{one.id}.sqlite"
            now = await _read(_contents, cloud, path)
            if now["digest"] != request.query_params.get("digest"):
                raise refuse("object_moved", name=one.name or one.id)
            await _read(snapshots.restore, path, copy, one.name)
    return answer(None)


async def _one(
    request: Request, asked: dict[str, Any] | None = None
) -> tuple[Cloud, Path, StoredObject, dict[str, Any]]:
    """Find the object that the body names, or what is `asked`, and its file."""
    cloud, namespace = cloud_of(request), namespace_of(request)
    body = await read_object(request) if asked is None else asked
    one = await stored_object(cloud, namespace.id, body.get("object"))
    return cloud, folder_of(cloud.runtime.storage, namespace.id) / f"{one.id}.sqlite", one, body


async def _read(read: Callable[..., Any], *given: Any) -> Any:
    try:
        return await asyncio.to_thread(read, *given)
    except ReadError as error:
        raise refuse("bad_statement", why=error) from None


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    contents = account + "/local/namespaces/{namespace_id}"
    return [
        Route(contents + "/object", get_object, methods=["POST"]),
        Route(contents + "/page", get_page, methods=["POST"]),
        Route(contents + "/value", get_value, methods=["POST"]),
        Route(contents + "/try", try_statement, methods=["POST"]),
        Route(contents + "/contents", get_contents, methods=["POST"]),
        Route(contents + "/snapshot", get_snapshot, methods=["GET"]),
        Route(contents + "/restore", restore, methods=["PUT"]),
    ]
