"""Routes of the account itself: who am I, the account, its subdomain; namespaces and objects; tails."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.api.envelope import (
    answer,
    as_object,
    cursor_key,
    cursor_of,
    paged,
    query_number,
    read_json,
    read_object,
)
from notebook_do.local.api.scripts import cloud_of, existing
from notebook_do.local.api.views import AUTHOR
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.runtime.spec import ScriptInvalid

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.account.publish import Cloud
    from notebook_do.local.rules.namespaces import AccountNamespace

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_NAME = "Local account"
DEFAULT_SUBDOMAIN = "local"
SWITCHES = ("free_plan", "kv_closed")


async def verify_token(request: Request) -> Response:
    """Give the token came through the gate, so it is valid."""
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
    """Give the one account."""
    shown, info = paged(request, [_account(cloud_of(request))], per_page=20)
    return answer(shown, info=info)


async def get_account(request: Request) -> Response:
    """Give the account."""
    return answer(_account(cloud_of(request)))


async def list_memberships(request: Request) -> Response:
    """Give the token's owner is a member of the one account."""
    cloud = cloud_of(request)
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
    """Give the token's owner."""
    return answer({"id": cloud_of(request).account.id, "email": AUTHOR, "first_name": None, "last_name": None})


async def account_settings(_request: Request) -> Response:
    """Defaults for new Workers."""
    return answer({"default_usage_model": "standard", "green_compute": False})


async def get_subdomain(request: Request) -> Response:
    """Give the account's workers.dev label; here it is only a name that clients want to see."""
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


async def run_cron(request: Request) -> Response:
    """Run the `scheduled` handler of a Worker now; only this Cloudflare has this."""
    cloud, script = existing(request)
    cron = as_object(await read_json(request, empty={}), "body").get("cron", "* * * * *")
    if script.name not in cloud.account.serving:
        raise refuse("no_versions")
    try:
        return answer(await cloud.runtime.run_cron(script.name, str(cron)))
    except ScriptInvalid as invalid:
        raise refuse("startup", text=invalid) from None


def _namespace_item(namespace: AccountNamespace) -> dict[str, Any]:
    return {
        "id": namespace.id,
        "name": f"{namespace.script}_{namespace.class_name}",
        "script": namespace.script,
        "class": namespace.class_name,
        "use_sqlite": namespace.sqlite,
    }


async def list_namespaces(request: Request) -> Response:
    """Give the Durable Object namespaces of the account."""
    namespaces = sorted(cloud_of(request).account.namespaces.values(), key=lambda n: (n.script, n.class_name))
    shown, info = paged(request, namespaces)
    return answer([_namespace_item(namespace) for namespace in shown], info=info)


async def get_namespace(request: Request) -> Response:
    """Give one namespace."""
    namespace_id = request.path_params["namespace_id"]
    namespace = cloud_of(request).account.namespaces.get(namespace_id)
    if namespace is None:
        raise refuse("no_namespace", id=namespace_id[:64])
    return answer(_namespace_item(namespace))


async def list_objects(request: Request) -> Response:
    """Give the stored objects of a namespace by id; `name` is added where it is known, which Cloudflare cannot do."""
    cloud, namespace_id = cloud_of(request), request.path_params["namespace_id"]
    if namespace_id not in cloud.account.namespaces:
        raise refuse("no_namespace", id=namespace_id[:64])
    limit = query_number(request, "limit", 1000, 10, 10_000)
    after = cursor_key(request.query_params.get("cursor", ""))
    rest = await cloud.runtime.objects(namespace_id, after=after, most=limit + 1)
    shown = rest[:limit]
    items = [{"id": o.id, "hasStoredData": o.has_stored_data, **({"name": o.name} if o.name else {})} for o in shown]
    cursor = cursor_of(shown[-1].id) if len(rest) > limit else ""
    # The schema has `cursor`; the official SDK reads `cursors.after`.
    return answer(items, info={"count": len(shown), "cursor": cursor, "cursors": {"after": cursor}})


async def get_tail(request: Request) -> Response:
    """Give the newest open tail of a script: the published form of this answer is one tail, not a list."""
    cloud, script = existing(request)
    tails = cloud.tails.of(script.name)
    return answer(tails[-1].to_json(cloud.api_port) if tails else None)


async def open_tail(request: Request) -> Response:
    """Begin a tail; its websocket address is part of the answer."""
    cloud, script = existing(request)
    body = as_object(await read_json(request, empty={}), "body")
    filters = body.get("filters") or []
    if not isinstance(filters, list):
        raise refuse("bad_field", where="filters", why="must be a list")
    tail = cloud.tails.open(script.name, [as_object(item, "filters") for item in filters])
    return answer(tail.to_json(cloud.api_port))


async def close_tail(request: Request) -> Response:
    """End a tail."""
    cloud, script = existing(request)
    cloud.tails.close(script.name, request.path_params["tail_id"])
    return answer(None)


def routes(account: str) -> list[Route]:
    """Give the routes under one account's path."""
    objects = account + "/workers/durable_objects/namespaces"
    tails = account + "/workers/scripts/{script_name}/tails"
    return [
        Route(account, get_account, methods=["GET"]),
        Route(account + "/tokens/verify", verify_token, methods=["GET"]),
        Route(account + "/workers/account-settings", account_settings, methods=["GET"]),
        Route(account + "/workers/subdomain", get_subdomain, methods=["GET"]),
        Route(account + "/workers/subdomain", put_subdomain, methods=["PUT"]),
        Route(account + "/local/switches", switches, methods=["GET", "PATCH"]),
        Route(account + "/local/scripts/{script_name}/cron", run_cron, methods=["POST"]),
        Route(objects, list_namespaces, methods=["GET"]),
        Route(objects + "/{namespace_id}", get_namespace, methods=["GET"]),
        Route(objects + "/{namespace_id}/objects", list_objects, methods=["GET"]),
        Route(tails, get_tail, methods=["GET"]),
        Route(tails, open_tail, methods=["POST"]),
        Route(tails + "/{tail_id}", close_tail, methods=["DELETE"]),
    ]


def user_routes(root: str) -> list[Route]:
    """Give the routes of the token's owner."""
    return [
        Route(root + "/user", get_user, methods=["GET"]),
        Route(root + "/user/tokens/verify", verify_token, methods=["GET"]),
        Route(root + "/accounts", list_accounts, methods=["GET"]),
        Route(root + "/memberships", list_memberships, methods=["GET"]),
    ]
