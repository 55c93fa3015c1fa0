"""Routes of the account itself: who asks, its subdomain; its Durable Object namespaces, their objects and contents.

What only this Cloudflare can tell lies under `/local/` and reads only, but for the switches: the contents of stored
objects, and whether a mutation is still under way.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.api.envelope import (
    AUTHOR,
    answer,
    cloud_of,
    cursor_key,
    cursor_of,
    paged,
    query_number,
    read_json,
    read_object,
)
from notebook_do.local.objects.stored import (
    Bounds,
    ReadError,
    StatementResult,
    StoredObject,
    folder_of,
    object_id,
    select,
    values,
)
from notebook_do.local.objects.tags import of_cell
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.api.envelope import Cloud
    from notebook_do.local.rules.namespaces import AccountNamespace

_OBJECT_ID = re.compile(r"[0-9a-f]{64}")
_MISSING = re.compile(r"no such (table|column)")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_NAME = "Local account"
# There always is one: without it (10007) wrangler stops a deploy and asks for a label.
DEFAULT_SUBDOMAIN = "local"
# With these on, key-value namespaces are refused as they are on such accounts (10097, 10099).
SWITCHES = ("free_plan", "kv_closed")


async def verify_token(request: Request) -> Response:
    """Say that the token is valid: it came through the gate."""
    # The code of "Authentication error" elsewhere: so it is at Cloudflare.
    message = {"code": 10000, "message": "This API Token is valid and active", "type": None}
    return answer({"id": cloud_of(request).account.id, "status": "active"}, messages=[message])


def _account(cloud: Cloud) -> dict[str, Any]:
    return {
        "id": cloud.account.id,
        "name": _NAME,
        "type": "standard",
        "created_on": cloud.account.created_on,
        "settings": {"enforce_twofactor": False},
    }


async def list_accounts(request: Request) -> Response:
    """List the one account."""
    shown, info = paged(request, [_account(cloud_of(request))], per_page=20)
    return answer(shown, info=info)


async def get_account(request: Request) -> Response:
    """Return the account."""
    return answer(_account(cloud_of(request)))


async def list_memberships(request: Request) -> Response:
    """List the one membership: the token's owner is a member of the one account."""
    cloud = cloud_of(request)
    # wrangler asks for memberships beside accounts where it is told no account id.
    membership = {
        "id": cloud.account.id,
        "status": "accepted",
        "account": _account(cloud),
        "roles": ["Administrator"],
        "permissions": {},
    }
    shown, info = paged(request, [membership], per_page=20)
    return answer(shown, info=info)


async def get_user(request: Request) -> Response:
    """Return the token's owner."""
    return answer({"id": cloud_of(request).account.id, "email": AUTHOR, "first_name": None, "last_name": None})


async def account_settings(_request: Request) -> Response:
    """Return the defaults for new Workers."""
    return answer({"default_usage_model": "standard", "green_compute": False})


async def get_subdomain(request: Request) -> Response:
    """Return the account's workers.dev label; here it is only a name that clients want to see."""
    return answer({"subdomain": cloud_of(request).account.setting("subdomain") or DEFAULT_SUBDOMAIN})


async def put_subdomain(request: Request) -> Response:
    """Choose the label."""
    wanted = (await read_object(request)).get("subdomain")
    if not isinstance(wanted, str) or not _LABEL.match(wanted):
        raise refuse("bad_field", where="subdomain", why="must be a host name label")
    cloud_of(request).account.set_setting("subdomain", wanted)
    return answer({"subdomain": wanted})


async def switches(request: Request) -> Response:
    """Show or set the properties of the account that change what is allowed; only this Cloudflare has this."""
    cloud = cloud_of(request)
    if request.method == "PATCH":
        for name, value in (await read_object(request)).items():
            if name not in SWITCHES or not isinstance(value, bool):
                raise refuse("bad_field", where=name, why=f"switches are {', '.join(SWITCHES)}; on or off")
            cloud.account.set_setting(name, "yes" if value else "no")
    return answer({name: cloud.account.setting(name) == "yes" for name in SWITCHES})


async def settled(request: Request) -> Response:
    """Say whether all that was sent to this API before the question is carried out, waiting a second at most.

    Where it is, a mutation whose sender is gone and that shows nowhere will never show. `port` is where the question
    arrived: what was sent to another one, a proxy say, may still be on its way.
    """
    cloud = cloud_of(request)
    done = cloud.settled is not None and await cloud.settled()
    return answer({"settled": done, "port": cloud.api_port})


def _namespace_item(namespace: AccountNamespace) -> dict[str, Any]:
    return {
        "id": namespace.id,
        "name": f"{namespace.script}_{namespace.class_name}",
        "script": namespace.script,
        "class": namespace.class_name,
        "use_sqlite": namespace.sqlite,
    }


async def list_namespaces(request: Request) -> Response:
    """List the Durable Object namespaces of the account."""
    namespaces = sorted(cloud_of(request).account.namespaces.values(), key=lambda n: (n.script, n.class_name))
    shown, info = paged(request, namespaces)
    return answer([_namespace_item(namespace) for namespace in shown], info=info)


async def get_namespace(request: Request) -> Response:
    """Return one namespace."""
    return answer(_namespace_item(namespace_of(request)))


def namespace_of(request: Request) -> AccountNamespace:
    """Return the namespace that the path names by its id."""
    namespace_id = request.path_params["namespace_id"]
    namespace = cloud_of(request).account.namespaces.get(namespace_id)
    if namespace is None:
        raise refuse("no_namespace", id=namespace_id[:64])
    return namespace


async def list_objects(request: Request) -> Response:
    """List the stored objects of a namespace by id, with more of each than Cloudflare tells."""
    namespace_id = namespace_of(request).id
    # Default and bounds of the published schema; 10077 outside of them.
    limit = query_number(request, "limit", 1000, 10, 10_000)
    after = cursor_key(request.query_params.get("cursor", ""))
    rest = await cloud_of(request).runtime.objects(namespace_id, after=after, most=limit + 1)
    shown = rest[:limit]
    cursor = cursor_of(shown[-1].id) if len(rest) > limit else ""
    # The schema has `cursor`; the official SDK reads `cursors.after`.
    return answer(
        [object_item(one) for one in shown], info={"count": len(shown), "cursor": cursor, "cursors": {"after": cursor}}
    )


def object_item(one: StoredObject) -> dict[str, Any]:
    """Return one object of a list; all but the first two only this Cloudflare tells, times in milliseconds."""
    alarm = None if one.alarm is None else round(one.alarm * 1000)
    more = {"size": one.size, "lastWrite": round(one.last_write * 1000), "alarm": alarm}
    return {"id": one.id, "hasStoredData": one.has_stored_data, **({"name": one.name} if one.name else {}), **more}


async def query(request: Request) -> Response:
    """Run one SELECT on one object (`object`: its name or id) or on each; returns columns and rows by object.

    Of all objects, those that lack the table or column are left out, unless every one does.
    """
    folder, chosen, body = await _chosen(request)
    sql, params = body.get("sql"), body.get("params") or []
    if not isinstance(sql, str) or not sql.strip():
        raise refuse("bad_field", where="sql", why="must be a statement")
    try:
        given = [of_cell(one) for one in params] if isinstance(params, list) else None
    except ValueError as error:
        raise refuse("bad_field", where="params", why=f"each {error}") from None
    if given is None:
        raise refuse("bad_field", where="params", why="must be a list")
    try:
        found = await asyncio.to_thread(_selected, folder, chosen, sql, given)
    except ReadError as error:
        raise refuse(error.rule, why=error) from None
    return answer([{**_named(one), "columns": got.columns, "rows": got.rows} for one, got in found])


def _selected(
    folder: Path, chosen: list[StoredObject], sql: str, params: list[Any]
) -> list[tuple[StoredObject, StatementResult]]:
    """Run one statement on each object; time, rows and bytes are bounded for all of them together."""
    bounds, found, missing = Bounds(), [], None
    for one in chosen:
        try:
            got = select(folder / f"{one.id}.sqlite", sql, params, bounds)
        except ReadError as error:
            if not _MISSING.match(str(error)):  # objects of one class may be of several ages, and their tables too
                raise
            missing = error
            continue
        if got is not None:
            found.append((one, got))
    if missing is not None and not found:
        raise missing
    return found


async def list_values(request: Request) -> Response:
    """Return what `storage.put` stored, by key, of one object (`object`: its name or id) or of each.

    With a `prefix` only the keys that begin with it; `size` is how many bytes the value takes.
    """
    folder, chosen, body = await _chosen(request)
    if not isinstance(prefix := body.get("prefix", ""), str):
        raise refuse("bad_field", where="prefix", why="must be a text")
    try:
        return answer(await asyncio.to_thread(_looked, folder, chosen, prefix))
    except ReadError as error:
        raise refuse(error.rule, why=error) from None


def _looked(folder: Path, chosen: list[StoredObject], prefix: str) -> list[dict[str, Any]]:
    bounds, found = Bounds(), []
    for one in chosen:
        for key, value, held in values(folder / f"{one.id}.sqlite", prefix):
            found.append({**_named(one), "key": key, "value": value, "size": len(held)})
            bounds.take(found[-1], "ask one object alone")
    return found


async def _chosen(request: Request) -> tuple[Path, list[StoredObject], dict[str, Any]]:
    """Find the folder of the namespace, and the objects that the body asks for."""
    cloud, namespace_id = cloud_of(request), namespace_of(request).id
    runtime = cloud.runtime
    body = as_object(await read_json(request, empty={}), "body")
    asked = body.get("object")
    stored = await runtime.objects(namespace_id) if asked is None else [await stored_object(cloud, namespace_id, asked)]
    return folder_of(runtime.storage, namespace_id), stored, body


async def stored_object(cloud: Cloud, namespace_id: str, asked: Any) -> StoredObject:
    """Return the object that is `asked` for by its name or id; refused where there is none."""
    if not isinstance(asked, str):
        raise refuse("bad_field", where="object", why="must be a name or an id")
    by_id = _OBJECT_ID.fullmatch(asked)
    found = await cloud.runtime.objects(namespace_id, only=asked if by_id else object_id(namespace_id, asked))
    if not found:  # looked for on the disk alone: asking the namespace for it would make it
        raise refuse("no_object", name=asked[:100], id=namespace_id)
    if by_id:
        return found[0]
    cloud.runtime.names.asked(namespace_id, [asked])
    return replace(found[0], name=asked)


def _named(one: StoredObject) -> dict[str, Any]:
    return {"object_id": one.id, "name": one.name}


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    objects = account + "/workers/durable_objects/namespaces"
    contents = account + "/local/namespaces/{namespace_id}"
    return [
        Route(account, get_account, methods=["GET"]),
        # Both ways to ask: of an account's token Cloudflare answers at this path alone (1000 at the user's).
        Route(account + "/tokens/verify", verify_token, methods=["GET"]),
        Route(account + "/workers/account-settings", account_settings, methods=["GET"]),
        Route(account + "/workers/subdomain", get_subdomain, methods=["GET"]),
        Route(account + "/workers/subdomain", put_subdomain, methods=["PUT"]),
        Route(account + "/local/switches", switches, methods=["GET", "PATCH"]),
        Route(objects, list_namespaces, methods=["GET"]),
        Route(objects + "/{namespace_id}", get_namespace, methods=["GET"]),
        Route(objects + "/{namespace_id}/objects", list_objects, methods=["GET"]),
        Route(account + "/local/settled", settled, methods=["GET"]),
        Route(contents + "/query", query, methods=["POST"]),
        Route(contents + "/values", list_values, methods=["POST"]),
    ]


def user_routes(root: str) -> list[Route]:
    """List the routes of the token's owner."""
    return [
        Route(root + "/user", get_user, methods=["GET"]),
        Route(root + "/user/tokens/verify", verify_token, methods=["GET"]),
        Route(root + "/accounts", list_accounts, methods=["GET"]),
        Route(root + "/memberships", list_memberships, methods=["GET"]),
    ]
