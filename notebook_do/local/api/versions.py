"""Routes of versions and deployments: upload without deploying, deploy, split, roll back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.account import new_version_id, now
from notebook_do.local.account.publish import Cloud, redeploy, store_version
from notebook_do.local.account.records import DEFERRED, SECRET_TYPES, Deployment, Script, Version
from notebook_do.local.api.envelope import answer, as_object, paged, query_flag, read_object
from notebook_do.local.api.multipart import read_form
from notebook_do.local.api.scripts import existing, metadata_of, source_of, whole_upload
from notebook_do.local.api.views import deployment_item, version_item, version_result
from notebook_do.local.rules.bounds import check_update_strategy
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST_MESSAGE = 1000


async def list_versions(request: Request) -> Response:
    """Give the versions, newest first."""
    cloud, script = existing(request)
    shown, info = paged(request, [version_item(v) for v in cloud.account.versions(script.name)])
    return answer({"items": shown}, info=info)


async def get_version(request: Request) -> Response:
    """One version."""
    cloud, script = existing(request)
    return answer(version_result(_version(cloud, script, request.path_params["version_id"])))


def _version(cloud: Cloud, script: Script, version_id: Any) -> Version:
    version = cloud.account.version(script.name, version_id) if isinstance(version_id, str) else None
    if version is None:
        raise refuse("no_version")
    return version


async def post_version(request: Request) -> Response:
    """Upload a version of an existing script without deploying it."""
    cloud, script = existing(request)
    form = await read_form(request, cloud.account.blobs)
    try:
        metadata = metadata_of(form)
        async with cloud.lock:
            existing(request)
            with cloud.account.incoming():
                upload = whole_upload(request, form, metadata, script.name)
                done = await store_version(cloud, script.name, upload, source=source_of(request))
    finally:
        form.discard()
    return answer(version_result(done.version))


async def list_deployments(request: Request) -> Response:
    """Give the deployments; the first one is active."""
    cloud, script = existing(request)
    return answer({"deployments": [deployment_item(d) for d in cloud.account.deployments(script.name)]})


async def get_deployment(request: Request) -> Response:
    """One deployment."""
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
    cloud, script = existing(request)
    async with cloud.lock:
        deployment = _deployment(cloud, script, request)
        if deployment.id == cloud.account.active[script.name].id:
            raise refuse("active_deployment")
        cloud.account.delete_deployment(deployment.id)
    return answer(None)


async def post_deployment(request: Request) -> Response:
    """Deploy one version, or two in a split; an older one is a rollback."""
    body = await read_object(request)
    check_update_strategy(as_object(body.get("code_update_strategy") or {}, "code_update_strategy"))
    cloud, _ = existing(request)
    async with cloud.lock:
        _, script = existing(request)
        shares = _shares(body)
        versions = [_version(cloud, script, version_id) for version_id, _ in shares]
        if len({_exports(version) for version in versions}) > 1:
            raise refuse("split_exports")
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
        done = await redeploy(cloud, script.name, deployment)
    item = deployment_item(deployment)
    return answer(item if done.reconciliation is None else {**item, "exports_reconciliation": done.reconciliation})


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
    if abs(sum(float(share) for _, share in shares) - 100) > 1e-6:
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
    """Tell a step back from a step forward."""
    serving = cloud.account.serving.get(script.name)
    back = serving is not None and all(version.number < serving.number for version in versions)
    return "rollback" if back else "promotion"


def _exports(version: Version) -> str:
    return repr(sorted((version.exports or {}).items()))


def _check_secrets(cloud: Cloud, script: Script, versions: list[Version]) -> None:
    """Refuse a rollback over a change of secrets, unless it is forced."""
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
    """Give the routes under one account's path."""
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
