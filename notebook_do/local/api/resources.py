"""Routes of KV namespaces, R2 buckets and D1 databases: made, listed, looked into and deleted as clients do it.

A resource that no one made by name begins when a Worker first uses it: so every id and bucket name is there.
"""

from __future__ import annotations

import base64
import io
import json
import re
import secrets
import uuid
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from notebook_do.local.account.account import time_text
from notebook_do.local.api.envelope import (
    answer,
    cloud_of,
    paged,
    parse_json,
    read_body,
    read_json,
    read_object,
    received,
)
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.services.kv import KvPut
from notebook_do.local.services.server import ServiceAnswer, ServiceRefusal, ServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from notebook_do.local.services.assembly import Kind, Named, Services

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z")
_TITLE = 512
_BULK = 10_000
_BULK_BYTES = 100 << 20
_VALUE_BYTES = 26 << 20  # more than the 25 MiB of a value, so that KV's own refusal is what a client sees


def services_of(request: Request) -> Services:
    """Return the services that answer the bindings."""
    return cloud_of(request).runtime.services


async def _make(request: Request, kind: Kind, key: str, id_: str | None = None) -> Named:
    name = (await read_object(request)).get(key)
    if not isinstance(name, str) or not 0 < len(name) <= _TITLE or (kind == "r2" and not _BUCKET.match(name)):
        raise refuse("bad_field", where=key, why="must be a name")
    # A bucket has no id besides its name.
    made = services_of(request).directory.add(kind, id_ or name, name)
    if made is None:
        raise refuse("kv_exists" if kind == "kv" else "resource_exists", kind=kind, name=name)
    return made


async def ask(service: Callable[[ServiceRequest], ServiceAnswer], **asked: Any) -> ServiceAnswer:
    """Ask a service what a binding would ask, so that a value is the same seen from a Worker and from here."""
    body: bytes | BinaryIO = asked.pop("body", b"")
    size, file = (len(body), io.BytesIO(body)) if isinstance(body, bytes) else (0, body)
    given = {"query_text": "", "query": {}, "headers": {}, **asked}
    request = ServiceRequest(body=file, size=size, **given)
    try:
        return await run_in_threadpool(service, request)
    except ServiceRefusal as refused:
        raise refuse("resource_refused", why=refused.text) from None


# --- KV


def _kv(named: Named) -> dict[str, Any]:
    return {"id": named.id, "title": named.name, "supports_url_encoding": True}


async def list_kv(request: Request) -> Response:
    """List the KV namespaces that were made by name."""
    shown, info = paged(request, services_of(request).directory.listed("kv"))
    return answer([_kv(one) for one in shown], info=info)


async def create_kv(request: Request) -> Response:
    """Make a KV namespace."""
    return answer(_kv(await _make(request, "kv", "title", secrets.token_hex(16))))


async def delete_kv(request: Request) -> Response:
    """Delete a KV namespace with its values."""
    services, id_ = services_of(request), request.path_params["id"]
    # Values first: a kill between the two leaves an empty namespace that is listed, not values that nobody sees.
    await run_in_threadpool(services.kv.clear, id_)
    services.directory.drop("kv", id_)
    return answer(None)


async def list_keys(request: Request) -> Response:
    """List the keys of a KV namespace."""
    query = {"prefix": request.query_params.get("prefix", "")}
    query |= {"key_count_limit": limit} if (limit := request.query_params.get("limit")) else {}
    query |= {"cursor": cursor} if (cursor := request.query_params.get("cursor")) else {}
    kv = services_of(request).kv
    found = await ask(kv.handle, method="GET", path="/", query=query, resource=request.path_params["id"])
    # A binding is given metadata as text, a client of the API as JSON.
    listed = json.loads(found.body)
    keys = [{**k, **({"metadata": json.loads(k["metadata"])} if "metadata" in k else {})} for k in listed["keys"]]
    return answer(keys, info={"count": len(keys), "cursor": listed.get("cursor", "")})


async def value(request: Request) -> Response:
    """Read, write or delete one value; the body is the value itself, or a form of it and its metadata."""
    path = "/" + quote(request.path_params["key"], safe="")
    query = {name: text for name, text in request.query_params.items() if name in ("expiration", "expiration_ttl")}
    headers, body = await _written(request) if request.method == "PUT" else ({}, b"")
    found = await ask(
        services_of(request).kv.handle,
        method=request.method,
        path=path,
        query=query,
        headers=headers,
        body=body,
        resource=request.path_params["id"],
    )
    if request.method == "GET":
        # The value itself and no envelope, as at Cloudflare: it may be any bytes.
        return Response(found.body, media_type="application/octet-stream")
    return answer(None)


async def _written(request: Request) -> tuple[dict[str, str], bytes]:
    """Read what is put: its metadata as a header of the binding's protocol, and the value."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return {}, await read_body(request, most=_VALUE_BYTES)
    async with received(request) as form:
        values = [part.file for part in form.parts if part.name == "value"]
        if len(values) != 1:
            raise refuse("bad_field", where="value", why="must be one part of the form")
        metadata = form.fields.get("metadata")
        return {} if metadata is None else {"cf-kv-metadata": _compact(metadata)}, values[0].path.read_bytes()


def _compact(metadata: bytes) -> str:
    return json.dumps(parse_json(metadata, "metadata"), separators=(",", ":"))


async def put_values(request: Request) -> Response:
    """Write many values at once, all or none."""
    pairs = parse_json(await read_body(request, most=_BULK_BYTES), "The request body")
    if not isinstance(pairs, list) or not 0 < len(pairs) <= _BULK:
        raise refuse("bad_field", where="body", why=f"must be a list of 1 to {_BULK} values")
    puts = [_put(as_object(pair, "body")) for pair in pairs]
    try:
        await run_in_threadpool(services_of(request).kv.put_all, request.path_params["id"], puts)
    except ServiceRefusal as refused:
        raise refuse("resource_refused", why=refused.text) from None
    return answer({"successful_key_count": len(puts), "unsuccessful_keys": []})


def _put(pair: dict[str, Any]) -> KvPut:
    key, text = pair.get("key"), pair.get("value")
    if not isinstance(key, str) or not key or not isinstance(text, str):
        raise refuse("bad_field", where="body", why="each item must have a `key` and a `value`, both text")
    try:
        content = base64.b64decode(text, validate=True) if pair.get("base64") is True else text.encode()
    except ValueError:
        raise refuse("bad_field", where=key[:100], why="its value is not base64") from None
    times = {name: str(pair[name]) for name in ("expiration", "expiration_ttl") if pair.get(name) is not None}
    metadata = None if pair.get("metadata") is None else json.dumps(pair["metadata"], separators=(",", ":"))
    return KvPut(name=key.encode(), value=content, metadata=metadata, times=times)


async def delete_values(request: Request) -> Response:
    """Delete many keys."""
    keys = await read_json(request)
    if not isinstance(keys, list) or not 0 < len(keys) <= _BULK or not all(isinstance(key, str) for key in keys):
        raise refuse("bad_field", where="body", why=f"must be a list of 1 to {_BULK} keys")
    await run_in_threadpool(services_of(request).kv.delete_all, request.path_params["id"], keys)
    return answer({"successful_key_count": len(keys), "unsuccessful_keys": []})


async def get_values(request: Request) -> Response:
    """Read up to a hundred values; what is not there is null."""
    asked = await read_object(request)
    keys = asked.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise refuse("bad_field", where="keys", why="must be a list of keys")
    kv = services_of(request).kv
    body = json.dumps({**asked, "keys": keys}).encode()
    found = await ask(kv.handle, method="POST", path="/bulk/get", body=body, resource=request.path_params["id"])
    return answer({"values": json.loads(found.body)})


async def rename_kv(request: Request) -> Response:
    """Give a KV namespace another name; its id and values stay."""
    services, id_ = services_of(request), request.path_params["id"]
    title = (await read_object(request)).get("title")
    if not isinstance(title, str) or not 0 < len(title) <= _TITLE:
        raise refuse("bad_field", where="title", why="must be a name")
    if not services.directory.rename("kv", id_, title):
        raise refuse("kv_exists")
    return answer(None)


# --- R2


def _bucket(name: str, created_on: float) -> dict[str, Any]:
    return {"name": name, "creation_date": time_text(created_on), "location": "LOCAL", "storage_class": "Standard"}


async def list_buckets(request: Request) -> Response:
    """List the buckets that were made by name."""
    buckets = [_bucket(one.name, one.created_on) for one in services_of(request).directory.listed("r2")]
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
    made = {one.name: one.created_on for one in services_of(request).directory.listed("r2")}
    return answer(_bucket(name, made.get(name, 0.0)))


async def delete_bucket(request: Request) -> Response:
    """Delete an empty bucket."""
    services, name = services_of(request), request.path_params["name"]
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
    found = [one for one in services_of(request).directory.listed("d1") if wanted in {None, one.name}]
    shown, info = paged(request, found)
    return answer([_database(one) for one in shown], info=info)


async def create_database(request: Request) -> Response:
    """Make a database."""
    return answer(_database(await _make(request, "d1", "name", str(uuid.uuid4()))))


async def get_database(request: Request) -> Response:
    """Return a database."""
    id_ = request.path_params["id"]
    for one in services_of(request).directory.listed("d1"):
        if one.id == id_:
            return answer(_database(one))
    raise refuse("no_database", id=id_[:64])


async def delete_database(request: Request) -> Response:
    """Delete a database with its data."""
    services, id_ = services_of(request), request.path_params["id"]
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
    found = await ask(
        services_of(request).d1.handle,
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
        Route(kv + "/{id}", rename_kv, methods=["PUT"]),
        Route(kv + "/{id}/keys", list_keys, methods=["GET"]),
        Route(kv + "/{id}/bulk", put_values, methods=["PUT"]),
        Route(kv + "/{id}/bulk", delete_values, methods=["DELETE"]),
        Route(kv + "/{id}/bulk/delete", delete_values, methods=["POST"]),
        Route(kv + "/{id}/bulk/get", get_values, methods=["POST"]),
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
