"""What only a local Cloudflare can tell: the contents of stored objects, and whether a mutation is still under way.

Reads only.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.api.envelope import answer, as_object, read_json
from notebook_do.local.api.scripts import cloud_of
from notebook_do.local.objects.stored import (
    MOST_ROWS,
    SECONDS,
    ReadError,
    Selected,
    StoredObject,
    folder_of,
    object_id,
    select,
    values,
)
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

_OBJECT_ID = re.compile(r"[0-9a-f]{64}")
_MISSING = re.compile(r"no such (table|column)")


async def query(request: Request) -> Response:
    """Run one SELECT on one object (`object`: its name or id) or on each; gives columns and rows by object.

    Of all objects, those that lack the table or column are left out, unless every one does.
    """
    folder, chosen, body = await _chosen(request)
    sql, params = body.get("sql"), body.get("params") or []
    if not isinstance(sql, str) or not sql.strip():
        raise refuse("bad_field", where="sql", why="must be a statement")
    if not isinstance(params, list) or not all(isinstance(p, str | int | float | None) for p in params):
        raise refuse("bad_field", where="params", why="must be a list of numbers, strings and nulls")
    try:
        found = await asyncio.to_thread(_selected, folder, chosen, sql, params)
    except ReadError as error:
        raise refuse("bad_query", why=error) from None
    return answer([{**_named(one), "columns": got.columns, "rows": got.rows} for one, got in found])


def _selected(
    folder: Path, chosen: list[StoredObject], sql: str, params: list[Any]
) -> list[tuple[StoredObject, Selected]]:
    until, left, found, missing = time.monotonic() + SECONDS, MOST_ROWS, [], None
    for one in chosen:
        try:
            got = select(folder / f"{one.id}.sqlite", sql, params, until=until, most=left)
        except ReadError as error:
            if not _MISSING.match(str(error)):
                raise
            missing = error
            continue
        if got is not None:
            left -= len(got.rows)
            found.append((one, got))
    if missing is not None and not found:
        raise missing
    return found


async def list_values(request: Request) -> Response:
    """Give what `storage.put` stored, by key, of one object (`object`: its name or id) or of each."""
    folder, chosen, _ = await _chosen(request)

    def look() -> list[dict[str, Any]]:
        found = [(one, key, value) for one in chosen for key, value in values(folder / f"{one.id}.sqlite")]
        return [{**_named(one), "key": key, "value": value} for one, key, value in found]

    return answer(await asyncio.to_thread(look))


async def settled(request: Request) -> Response:
    """Say whether all that was sent to this API before the question is carried out, waiting a second at most.

    Where it is, a mutation whose sender is gone and that shows nowhere will never show. `port` is where the question
    arrived: what was sent to another one, a proxy say, may still be on its way.
    """
    cloud = cloud_of(request)
    done = cloud.settled is not None and await cloud.settled()
    return answer({"settled": done, "port": cloud.api_port})


async def _chosen(request: Request) -> tuple[Path, list[StoredObject], dict[str, Any]]:
    """Find the folder of the namespace, and the objects that the body asks for."""
    cloud, namespace_id = cloud_of(request), request.path_params["namespace_id"]
    if namespace_id not in cloud.account.namespaces:
        raise refuse("no_namespace", id=namespace_id[:64])
    body = as_object(await read_json(request, empty={}), "body")
    stored = await cloud.runtime.objects(namespace_id)
    if (asked := body.get("object")) is not None:
        if not isinstance(asked, str):
            raise refuse("bad_field", where="object", why="must be a name or an id")
        wanted = asked if _OBJECT_ID.fullmatch(asked) else object_id(namespace_id, asked)
        stored = [one for one in stored if one.id == wanted]
        if not stored:
            raise refuse("no_object", name=asked[:100], id=namespace_id)
    return folder_of(cloud.runtime.storage, namespace_id), stored, body


def _named(one: StoredObject) -> dict[str, Any]:
    return {"object_id": one.id, "name": one.name}


def routes(account: str) -> list[Route]:
    """Give the routes under one account's path."""
    namespace = account + "/local/namespaces/{namespace_id}"
    return [
        Route(account + "/local/settled", settled, methods=["GET"]),
        Route(namespace + "/query", query, methods=["POST"]),
        Route(namespace + "/values", list_values, methods=["POST"]),
    ]
