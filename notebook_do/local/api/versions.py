"""Routes of versions and deployments: upload without deploying, deploy, split, roll back.

Also what is shown of a version; secret texts are never part of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.account import new_version_id, now
from notebook_do.local.account.publish import Published, redeploy, store_version
from notebook_do.local.account.records import (
    DEFERRED,
    SECRET_TYPES,
    Deployment,
    Script,
    Version,
    public_binding,
)
from notebook_do.local.api.envelope import (
    AUTHOR,
    Cloud,
    alone,
    answer,
    existing,
    paged,
    query_flag,
    read_object,
    received,
    source_of,
)
from notebook_do.local.api.uploading import ahead_of_the_lock, metadata_of, whole_upload
from notebook_do.local.rules.bounds import as_object, check_update_strategy
from notebook_do.local.rules.exports import live_entries
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.runtime.spec import ENTRYPOINT_KINDS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


MOST_MESSAGE = 1000


# --- what is shown


def named_handlers(version: Version) -> list[dict[str, Any]]:
    """Return the classes and entrypoints that a version exports."""
    exports = version.code.report.exports
    return [{"name": e.name, "handlers": list(e.handlers) or ["class"]} for e in exports if e.kind in ENTRYPOINT_KINDS]


def shown_bindings(version: Version) -> list[dict[str, Any]]:
    """Return the bindings of a version as reads show them."""
    return [public_binding(binding) for binding in version.bindings]


def version_item(version: Version) -> dict[str, Any]:
    """Return a version as lists show it."""
    return {
        "id": version.id,
        "number": version.number,
        "metadata": {
            "created_on": version.created_on,
            "modified_on": version.created_on,
            "source": version.source,
            "author_id": "",
            "author_email": AUTHOR,
            "hasPreview": False,
            # wrangler reads this spelling where the published types have the other.
            "has_preview": False,
        },
        "annotations": version.options.get("annotations") or {},
    }


def version_result(version: Version) -> dict[str, Any]:
    """Return a whole version."""
    code = version.code
    runtime: dict[str, Any] = {
        "compatibility_date": code.compatibility_date,
        "compatibility_flags": list(code.compatibility_flags),
        "usage_model": version.options.get("usage_model", "standard"),
        "limits": version.options.get("limits") or {},
    }
    if version.migration_tag:
        runtime["migration_tag"] = version.migration_tag
    if version.exports is not None:
        runtime["exports"] = live_entries(version.exports)
    return {
        **version_item(version),
        "resources": {
            "bindings": shown_bindings(version),
            "script": {
                "etag": version.etag,
                "handlers": list(code.report.default_handlers),
                "named_handlers": named_handlers(version),
                "last_deployed_from": version.source,
            },
            "script_runtime": runtime,
        },
        "startup_time_ms": code.report.startup_ms,
    }


def deployment_item(deployment: Deployment) -> dict[str, Any]:
    """Return a deployment."""
    return {
        "id": deployment.id,
        "source": deployment.source,
        "strategy": "percentage",
        "author_email": AUTHOR,
        "created_on": deployment.created_on,
        "annotations": deployment.annotations,
        "code_update_strategy": deployment.code_update_strategy,
        "versions": [{"version_id": version, "percentage": share} for version, share in deployment.versions],
    }


def with_reconciliation(item: dict[str, Any], done: Published) -> dict[str, Any]:
    """Add what became of the classes of `exports`, where an upload manages them so."""
    return item if done.reconciliation is None else {**item, "exports_reconciliation": done.reconciliation}


# --- versions


async def list_versions(request: Request) -> Response:
    """List the versions, newest first."""
    cloud, script = existing(request)
    shown, info = paged(request, [version_item(v) for v in cloud.account.versions(script.name)])
    return answer({"items": shown}, info=info)


async def get_version(request: Request) -> Response:
    """Return one version."""
    cloud, script = existing(request)
    return answer(version_result(_version(cloud, script, request.path_params["version_id"])))


def _version(cloud: Cloud, script: Script, version_id: Any) -> Version:
    version = cloud.account.version(script.name, version_id) if isinstance(version_id, str) else None
    if version is None:
        raise refuse("no_version")
    return version


async def post_version(request: Request) -> Response:
    """Upload a version of an existing script without deploying it."""
    cloud, script = existing(request)  # before the body is read
    name = script.name
    async with received(request) as form:
        metadata = metadata_of(form)
        with cloud.account.incoming() as incoming:
            read = partial(whole_upload, request, form, metadata, name, incoming)
            ahead = await ahead_of_the_lock(cloud, name, read, deployed=False)
            async with alone(request) as (cloud, script):
                done = await store_version(cloud, script.name, read(), source=source_of(request), ahead=ahead)
    return answer(version_result(done.version))


async def list_deployments(request: Request) -> Response:
    """List the deployments; the first one is active."""
    cloud, script = existing(request)
    return answer({"deployments": [deployment_item(d) for d in cloud.account.deployments(script.name)]})


async def get_deployment(request: Request) -> Response:
    """Return one deployment."""
    cloud, script = existing(request)
    return answer(deployment_item(_deployment(cloud, script, request)))


def _deployment(cloud: Cloud, script: Script, request: Request) -> Deployment:
    wanted = request.path_params["deployment_id"]
    for deployment in cloud.account.deployments(script.name):
        if deployment.id == wanted:
            return deployment
    raise refuse("no_deployment")


async def delete_deployment(request: Request) -> Response:
    """Remove an old deployment from the history."""
    async with alone(request) as (cloud, script):
        deployment = _deployment(cloud, script, request)
        if deployment.id == cloud.account.active[script.name].id:
            raise refuse("active_deployment")
        cloud.account.delete_deployment(deployment.id)
    return answer(None)


async def post_deployment(request: Request) -> Response:
    """Deploy one version, or two in a split; an older one is a rollback."""
    body = await read_object(request)
    check_update_strategy(as_object(body.get("code_update_strategy") or {}, "code_update_strategy"))
    async with alone(request) as (cloud, script):
        shares = _shares(body)
        versions = [_version(cloud, script, version_id) for version_id, _ in shares]
        # Both would be reconciled with the one set of namespaces that there is.
        if len({_exports(version) for version in versions}) > 1:
            raise refuse("split_exports")
        # wrangler asks the person after a 10220, and sends the same again with `force`.
        if not query_flag(request, "force"):
            _check_secrets(cloud, script, versions)
        deployment = Deployment(
            id=new_version_id(),
            created_on=now(),
            source=source_of(request),
            versions=tuple(shares),
            annotations={"workers/triggered_by": _trigger(cloud, script, versions), **_annotations(body)},
            code_update_strategy=as_object(body.get("code_update_strategy") or DEFERRED, "code_update_strategy"),
        )
        # `exports` are reconciled now and not when the version was uploaded (Cloudflare's rule for POST /versions).
        done = await redeploy(cloud, script.name, deployment)
    return answer(with_reconciliation(deployment_item(deployment), done))


def _shares(body: dict[str, Any]) -> list[tuple[str, float]]:
    if body.get("strategy", "percentage") != "percentage":
        raise refuse("deployment_form", why="`strategy` must be 'percentage'")
    versions = body.get("versions")
    if not isinstance(versions, list) or not 1 <= len(versions) <= 2:
        raise refuse("deployment_form", why="`versions` must name one or two versions")
    shares = [(as_object(v, "versions").get("version_id"), v.get("percentage")) for v in versions]
    for version_id, share in shares:
        if not isinstance(version_id, str) or isinstance(share, bool) or not isinstance(share, int | float):
            raise refuse("deployment_form", why="a version needs `version_id` and `percentage`")
        if not 0 <= share <= 100:
            raise refuse("deployment_form", why="percentages are between 0 and 100")
    if abs(sum(float(share) for _, share in shares) - 100) > 1e-6:  # 33.3 and 66.7 do not add up exactly
        raise refuse("deployment_form", why="percentages must add up to 100")
    if len({version_id for version_id, _ in shares}) != len(shares):
        raise refuse("deployment_form", why="a version is named twice")
    return [(str(version_id), float(share)) for version_id, share in shares]


def _annotations(body: dict[str, Any]) -> dict[str, str]:
    message = as_object(body.get("annotations") or {}, "annotations").get("workers/message")
    if message is None:
        return {}
    if not isinstance(message, str) or len(message.encode()) > MOST_MESSAGE:
        raise refuse("deployment_form", why=f"`workers/message` has at most {MOST_MESSAGE} bytes")
    return {"workers/message": message}


def _trigger(cloud: Cloud, script: Script, versions: list[Version]) -> str:
    """Return what clients show as the reason of a deployment: a step back is a rollback."""
    serving = cloud.account.serving.get(script.name)
    back = serving is not None and all(version.number < serving.number for version in versions)
    return "rollback" if back else "promotion"


def _exports(version: Version) -> str:
    return repr(sorted((version.exports or {}).items()))


def _check_secrets(cloud: Cloud, script: Script, versions: list[Version]) -> None:
    """Refuse a rollback over a change of secrets (10220): it would bring back old values that nobody is shown."""
    latest = cloud.account.serving.get(script.name)
    if latest is None:
        return
    now_set = _secrets(latest)
    for version in versions:
        old = _secrets(version)
        changed = sorted(name for name in old.keys() | now_set.keys() if old.get(name) != now_set.get(name))
        if version.number < latest.number and changed:
            raise refuse("secret_changed", version=version.id, names=", ".join(changed))


def _secrets(version: Version) -> dict[str, Any]:
    return {binding["name"]: binding for binding in version.bindings if binding["type"] in SECRET_TYPES}


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    script = account + "/workers/scripts/{script_name}"
    return [
        Route(script + "/versions", list_versions, methods=["GET"]),
        Route(script + "/versions", post_version, methods=["POST"]),
        Route(script + "/versions/{version_id}", get_version, methods=["GET"]),
        Route(script + "/deployments", list_deployments, methods=["GET"]),
        Route(script + "/deployments", post_deployment, methods=["POST"]),
        Route(script + "/deployments/{deployment_id}", get_deployment, methods=["GET"]),
        Route(script + "/deployments/{deployment_id}", delete_deployment, methods=["DELETE"]),
    ]
