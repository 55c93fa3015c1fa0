"""Routes of KV namespaces, R2 buckets and D1 databases: made, listed, looked into and deleted as clients do it.

A resource that no one made by name begins when a Worker first uses it: so every id and bucket name is there.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from notebook_do.local.account.account import time_text
from notebook_do.local.api.envelope import answer, cloud_of, paged, read_body, read_object
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.services.server import ServiceAnswer, ServiceRefusal, ServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from notebook_do.local.services.assembly import Kind, Named, Services

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z")
_VALUE_BYTES = 26 << 20  # more than the 25 MiB of a value, so that KV's own refusal is what a client sees


def _services(request: Request) -> Services:
    return cloud_of(request).runtime.services


async def _make(request: Request, kind: Kind, key: str, id_: str | None = None) -> Named:
    name = (await read_object(request)).get(key)
    if not isinstance(name, str) or not 0 < len(name) <= 512 or (kind == "r2" and not _BUCKET.match(name)):
        raise refuse("bad_field", where=key, why="must be a name")
    # A bucket has no id besides its name.
    made = _services(request).directory.add(kind, id_ or name, name)
    if made is None:
        raise refuse("kv_exists" if kind == "kv" else "resource_exists", kind=kind, name=name)
    return made


async def _ask(service: Callable[[ServiceRequest], ServiceAnswer], **asked: Any) -> ServiceAnswer:
    """Ask a service what a binding would ask, so that a value is the same seen from a Worker and from here."""
    body: bytes = asked.pop("body", b"")
    given = {"query_text": "", "query": {}, "headers": {}, **asked}
    request = ServiceRequest(body=io.BytesIO(body), size=len(body), **given)
    try:
        return await run_in_threadpool(service, request)
    except ServiceRefusal as refused:
        raise refuse("resource_refused", why=refused.text) from None


# --- KV


def _kv(named: Named) -> dict[str, Any]:
    return {"id": named.id, "title": named.name, "supports_url_encoding": True}


async def list_kv(request: Request) -> Response:
    """List the KV namespaces that were made by name."""
    shown, info = paged(request, _services(request).directory.listed("kv"))
    return answer([_kv(one) for one in shown], info=info)


async def create_kv(request: Request) -> Response:
    """Make a KV namespace."""
    return answer(_kv(await _make(request, "kv", "title", secrets.token_hex(16))))


async def delete_kv(request: Request) -> Response:
    """Delete a KV namespace with its values."""
    services, id_ = _services(request), request.path_params["id"]
    # Values first: a kill between the two leaves an empty namespace that is listed, not values that nobody sees.
    await run_in_threadpool(services.kv.clear, id_)
    services.directory.drop("kv", id_)
    return answer(None)


async def list_keys(request: Request) -> Response:
    """List the keys of a KV namespace."""
    query = {"prefix": request.query_params.get("prefix", "")}
    query |= {"key_count_limit": limit} if (limit := request.query_params.get("limit")) else {}
    query |= {"cursor": cursor} if (cursor := request.query_params.get("cursor")) else {}
    kv = _services(request).kv
    found = await _ask(kv.handle, method="GET", path="/", query=query, resource=request.path_params["id"])
    # A binding is given metadata as text, a client of the API as JSON.
    listed = json.loads(found.body)
    keys = [{**k, **({"metadata": json.loads(k["metadata"])} if "metadata" in k else {})} for k in listed["keys"]]
    return answer(keys, info={"count": len(keys), "cursor": listed.get("cursor", "")})


async def value(request: Request) -> Response:
    """Read, write or delete one value; the body is the value itself."""
    path = "/" + quote(request.path_params["key"], safe="")
    query = {name: text for name, text in request.query_params.items() if name in ("expiration", "expiration_ttl")}
    body = await read_body(request, most=_VALUE_BYTES) if request.method == "PUT" else b""
    found = await _ask(
        _services(request).kv.handle,
        method=request.method,
        path=path,
        query=query,
        body=body,
        resource=request.path_params["id"],
    )
    if request.method == "GET":
        # The value itself and no envelope, as at Cloudflare: it may be any bytes.
        return Response(found.body, media_type="application/octet-stream")
    return answer(None)


# --- R2


def _bucket(name: str, created_on: float) -> dict[str, Any]:
    return {"name": name, "creation_date": time_text(created_on), "location": "LOCAL", "storage_class": "Standard"}


async def list_buckets(request: Request) -> Response:
    """List the buckets that were made by name."""
    buckets = [_bucket(one.name, one.created_on) for one in _services(request).directory.listed("r2")]
    return answer({"buckets": buckets})


async def create_bucket(request: Request) -> Response:
    """Make a bucket."""
    made = await _make(request, "r2", "name")
    return answer(_bucket(made.name, made.created_on))


async def get_bucket(request: Request) -> Response:
    """Return a bucket; each name has one."""
    name = request.path_params["name"]
    if not _BUCKET.match(name):
        raise refuse("bad_field", where="bucket", why="must be 3 to 63 lower-case letters, digits or -")
    made = {one.name: one.created_on for one in _services(request).directory.listed("r2")}
    return answer(_bucket(name, made.get(name, 0.0)))


async def delete_bucket(request: Request) -> Response:
    """Delete an empty bucket."""
    services, name = _services(request), request.path_params["name"]
    if not services.r2.empty(name):  # as at Cloudflare: a bucket is not deleted with its objects, unlike the others
        raise refuse("bucket_not_empty", name=name)
    services.directory.drop("r2", name)
    return answer(None)


# --- D1


def _database(named: Named) -> dict[str, Any]:
    return {"uuid": named.id, "name": named.name, "created_at": time_text(named.created_on), "version": "production"}


async def list_databases(request: Request) -> Response:
    """List the databases that were made by name."""
    wanted = request.query_params.get("name")
    found = [one for one in _services(request).directory.listed("d1") if wanted in {None, one.name}]
    shown, info = paged(request, found)
    return answer([_database(one) for one in shown], info=info)


async def create_database(request: Request) -> Response:
    """Make a database."""
    return answer(_database(await _make(request, "d1", "name", str(uuid.uuid4()))))


async def get_database(request: Request) -> Response:
    """Return a database."""
    id_ = request.path_params["id"]
    for one in _services(request).directory.listed("d1"):
        if one.id == id_:
            return answer(_database(one))
    raise refuse("no_database", id=id_[:64])


async def delete_database(request: Request) -> Response:
    """Delete a database with its data."""
    services, id_ = _services(request), request.path_params["id"]
    # The data first, as of a KV namespace.
    await run_in_threadpool(services.d1.drop, id_)
    services.directory.drop("d1", id_)
    return answer(None)


async def query_database(request: Request) -> Response:
    """Run SQL on a database."""
    asked = await read_object(request)
    queries = asked.get("batch") or [asked]
    if not all(isinstance(one, dict) and isinstance(one.get("sql"), str) for one in queries):
        raise refuse("bad_field", where="sql", why="must be text")
    found = await _ask(
        _services(request).d1.handle,
        method="POST",
        path="/query",
        body=json.dumps(queries).encode(),
        resource=request.path_params["id"],
    )
    result = json.loads(found.body)
    if found.status != 200:
        raise refuse("resource_refused", why=result["error"])
    return answer(result)


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    kv, r2, d1 = account + "/storage/kv/namespaces", account + "/r2/buckets", account + "/d1/database"
    return [
        Route(kv, list_kv, methods=["GET"]),
        Route(kv, create_kv, methods=["POST"]),
        Route(kv + "/{id}", delete_kv, methods=["DELETE"]),
        Route(kv + "/{id}/keys", list_keys, methods=["GET"]),
        Route(kv + "/{id}/values/{key:path}", value, methods=["GET", "PUT", "DELETE"]),
        Route(r2, list_buckets, methods=["GET"]),
        Route(r2, create_bucket, methods=["POST"]),
        Route(r2 + "/{name}", get_bucket, methods=["GET"]),
        Route(r2 + "/{name}", delete_bucket, methods=["DELETE"]),
        Route(d1, list_databases, methods=["GET"]),
        Route(d1, create_database, methods=["POST"]),
        Route(d1 + "/{id}", get_database, methods=["GET"]),
        Route(d1 + "/{id}", delete_database, methods=["DELETE"]),
        Route(d1 + "/{id}/query", query_database, methods=["POST"]),
    ]
