"""Routes of secrets: every change makes a new version and deploys it; texts go in and never come out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.publish import publish
from notebook_do.local.account.records import SECRET_TYPES, public_binding
from notebook_do.local.api.envelope import answer, as_object, read_object
from notebook_do.local.api.metadata import read_bindings
from notebook_do.local.api.scripts import carried, existing, source_of
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

Bindings = tuple[dict[str, Any], ...]


def _secrets(bindings: Bindings) -> list[dict[str, Any]]:
    return [public_binding(binding) for binding in bindings if binding["type"] in SECRET_TYPES]


async def list_secrets(request: Request) -> Response:
    """Names and types."""
    cloud, script = existing(request)
    latest = cloud.account.latest(script.name)
    return answer(_secrets(latest.bindings if latest else ()))


async def get_secret(request: Request) -> Response:
    """One name and type."""
    cloud, script = existing(request)
    latest = cloud.account.latest(script.name)
    name = request.path_params["secret_name"]
    for secret in _secrets(latest.bindings if latest else ()):
        if secret["name"] == name:
            return answer(secret)
    raise refuse("no_secret", name=name[:100])


async def put_secret(request: Request) -> Response:
    """Set one secret."""
    secret = _checked(await read_object(request))
    await _change(request, lambda bindings: _with(bindings, secret))
    return answer(public_binding(secret))


async def delete_secret(request: Request) -> Response:
    """Remove one secret."""
    name = request.path_params["secret_name"]

    def without(bindings: Bindings) -> Bindings:
        if name not in {secret["name"] for secret in _secrets(bindings)}:
            raise refuse("no_secret", name=name[:100])
        return tuple(binding for binding in bindings if binding["name"] != name)

    await _change(request, without)
    return answer(None)


async def patch_secrets(request: Request) -> Response:
    """Set and remove several secrets as one version; `null` removes."""
    wanted = as_object((await read_object(request)).get("secrets"), "secrets")
    after = await _change(request, lambda bindings: changed_secrets(bindings, wanted))
    return answer({secret["name"]: secret for secret in _secrets(after)})


def changed_secrets(bindings: Bindings, wanted: dict[str, Any]) -> Bindings:
    """Set and remove secrets by name; `None` removes."""
    for name, value in wanted.items():
        if value is None:
            bindings = tuple(b for b in bindings if b["name"] != name or b["type"] not in SECRET_TYPES)
        else:
            bindings = _with(bindings, _checked({**as_object(value, name), "name": name}))
    return bindings


def _checked(secret: dict[str, Any]) -> dict[str, Any]:
    if secret.get("type") not in SECRET_TYPES:
        raise refuse("bad_field", where="type", why="must be secret_text or secret_key")
    return read_bindings([secret], None)[0]


def _with(bindings: Bindings, secret: dict[str, Any]) -> Bindings:
    for binding in bindings:
        if binding["name"] == secret["name"] and binding["type"] not in SECRET_TYPES:
            raise refuse("binding_twice", name=secret["name"])
    return (*(b for b in bindings if b["name"] != secret["name"]), secret)


async def _change(request: Request, change: Callable[[Bindings], Bindings]) -> Bindings:
    cloud, script = existing(request)
    async with cloud.lock:
        latest = cloud.account.latest(script.name)
        if latest is None:
            raise refuse("no_versions")
        active = cloud.account.active.get(script.name)
        if active is None or active.serving != latest.id:
            raise refuse("latest_not_deployed")
        upload = replace(carried(latest), bindings=change(latest.bindings))
        done = await publish(cloud, script.name, upload, source=source_of(request), trigger="secret")
    return done.version.bindings


def routes(account: str) -> list[Route]:
    """Give the routes under one account's path."""
    script = account + "/workers/scripts/{script_name}"
    return [
        Route(script + "/secrets", list_secrets, methods=["GET"]),
        Route(script + "/secrets", put_secret, methods=["PUT"]),
        Route(script + "/secrets/{secret_name}", get_secret, methods=["GET"]),
        Route(script + "/secrets/{secret_name}", delete_secret, methods=["DELETE"]),
        Route(script + "/secrets-bulk", patch_secrets, methods=["PATCH"]),
    ]
