"""Routes of the Secrets Store, as `wrangler secrets-store` asks them with `--remote`; no answer holds a value.

Emulated: a store of an id that nobody made begins with its first secret, so that an id of a real account can be used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.account import time_text
from notebook_do.local.api.envelope import answer, cloud_of, paged, read_json, read_object
from notebook_do.local.api.resources import services_of
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.services.secrets_store import Store, StoredSecret

_ID = re.compile(r"[0-9a-f]{32}\Z")
_NAME = re.compile(r"[^\s/]{1,255}\Z")
_MAX_VALUE = 64 << 10
_MAX_COMMENT = 1024


def _store_item(request: Request, store: Store) -> dict[str, Any]:
    made = time_text(store.created)
    return {
        "id": store.id,
        "account_id": cloud_of(request).account.id,
        "name": store.name,
        "created": made,
        "modified": made,
    }


def _item(secret: StoredSecret) -> dict[str, Any]:
    return {
        "id": secret.id,
        "store_id": secret.store,
        "name": secret.name,
        "comment": secret.comment,
        "scopes": list(secret.scopes),
        "status": "active",
        "created": time_text(secret.created),
        "modified": time_text(secret.modified),
    }


async def list_stores(request: Request) -> Response:
    """List the stores."""
    shown, info = paged(request, services_of(request).secrets_store.stores())
    return answer([_store_item(request, store) for store in shown], info=info)


async def create_store(request: Request) -> Response:
    """Make a store."""
    name = _name((await read_object(request)).get("name"))
    store = services_of(request).secrets_store.make_store(name)
    if store is None:
        raise refuse("resource_exists", kind="Secrets Store", name=name)
    return answer(_store_item(request, store))


async def delete_store(request: Request) -> Response:
    """Delete a store with its secrets."""
    services_of(request).secrets_store.drop_store(_store_id(request))
    return answer(None)


async def list_secrets(request: Request) -> Response:
    """List the secrets of a store, all or those whose name holds `search`."""
    searched = request.query_params.get("search", "")
    found = [one for one in services_of(request).secrets_store.secrets(_store_id(request)) if searched in one.name]
    shown, info = paged(request, found)
    return answer([_item(secret) for secret in shown], info=info)


async def create_secrets(request: Request) -> Response:
    """Keep new secrets; the body is a list of them."""
    store, given = _store_id(request), await read_json(request)
    if not isinstance(given, list) or not given:
        raise refuse("bad_field", where="body", why="must be a list of secrets")
    wanted = [(_name(one.get("name")), _value(one), _about(one)) for one in (as_object(s, "body") for s in given)]
    service = services_of(request).secrets_store
    taken = {secret.name for secret in service.secrets(store)}
    for place, (name, *_) in enumerate(wanted):
        if name in taken or name in {other for other, *_ in wanted[:place]}:
            raise refuse("store_secret_exists", name=name)
    made = [service.add(store, name, value, **about) for name, value, about in wanted]
    return answer([_item(secret) for secret in made if secret])


async def get_secret(request: Request) -> Response:
    """Return what is known of a secret besides its value."""
    return answer(_item(_secret(request)))


async def change_secret(request: Request) -> Response:
    """Give a secret another value, comment or scopes; Workers read the new value from then on."""
    body, secret = await read_object(request), _secret(request)
    about = {key: value for key, value in _about(body).items() if body.get(key) is not None}
    given = {"value": None if body.get("value") is None else _value(body), "comment": None, "scopes": None}
    return answer(_item(services_of(request).secrets_store.change(secret, **{**given, **about})))


async def delete_secret(request: Request) -> Response:
    """Delete a secret."""
    secret = _secret(request)
    services_of(request).secrets_store.drop(secret)
    return answer(_item(secret))


async def duplicate_secret(request: Request) -> Response:
    """Keep a secret's value under another name too."""
    body = await read_object(request)
    secret, name = _secret(request), _name(body.get("name"))
    copied = services_of(request).secrets_store.copy(secret, name, **_about(body))
    if copied is None:
        raise refuse("store_secret_exists", name=name)
    return answer(_item(copied))


def _store_id(request: Request) -> str:
    wanted: str = request.path_params["store_id"]
    if not _ID.match(wanted):
        raise refuse("bad_field", where="store", why="must be an id of 32 hex digits")
    return wanted


def _secret(request: Request) -> StoredSecret:
    wanted = request.path_params["secret_id"]
    for secret in services_of(request).secrets_store.secrets(_store_id(request)):
        if secret.id == wanted:
            return secret
    raise refuse("no_store_secret", id=wanted[:64])


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.match(value):
        raise refuse("bad_field", where="name", why="must be up to 255 characters, without blanks and slashes")
    return value


def _value(body: dict[str, Any]) -> str:
    value = body.get("value")
    if not isinstance(value, str) or not 0 < len(value.encode()) <= _MAX_VALUE:
        # Without a word of what was given.
        raise refuse("bad_field", where="value", why=f"must be text of 1 to {_MAX_VALUE} bytes")
    return value


def _about(body: dict[str, Any]) -> dict[str, Any]:
    comment, scopes = body.get("comment") or "", body.get("scopes") or []
    if not isinstance(comment, str) or len(comment) > _MAX_COMMENT:
        raise refuse("bad_field", where="comment", why=f"must be text of at most {_MAX_COMMENT} characters")
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise refuse("bad_field", where="scopes", why="must be a list of texts")
    return {"comment": comment, "scopes": tuple(scopes)}


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    stores = account + "/secrets_store/stores"
    kept = stores + "/{store_id}/secrets"
    one = kept + "/{secret_id}"
    return [
        Route(stores, list_stores, methods=["GET"]),
        Route(stores, create_store, methods=["POST"]),
        Route(stores + "/{store_id}", delete_store, methods=["DELETE"]),
        Route(kept, list_secrets, methods=["GET"]),
        Route(kept, create_secrets, methods=["POST"]),
        Route(one, get_secret, methods=["GET"]),
        Route(one, change_secret, methods=["PATCH"]),
        Route(one, delete_secret, methods=["DELETE"]),
        Route(one + "/duplicate", duplicate_secret, methods=["POST"]),
    ]
