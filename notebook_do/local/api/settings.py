"""Routes of a script's settings: versioned and non-versioned ones, its subdomain, its cron triggers, its secrets.

Every change of a secret makes a new version and deploys it; no answer ever has the text of one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.account import AccountChange, now
from notebook_do.local.account.metadata import (
    OPTIONS,
    SETTINGS,
    ScriptUpload,
    check_lifecycle,
    check_shape,
    read_bindings,
)
from notebook_do.local.account.publish import publish
from notebook_do.local.account.records import SECRET_TYPES, public_binding
from notebook_do.local.api.envelope import (
    alone,
    answer,
    existing,
    parse_json,
    read_json,
    read_object,
    received,
    source_of,
)
from notebook_do.local.api.scripts import serving, shared_settings
from notebook_do.local.api.uploading import carried
from notebook_do.local.api.versions import shown_bindings, with_reconciliation
from notebook_do.local.rules.bounds import as_object, check_tails
from notebook_do.local.rules.crons import is_cron
from notebook_do.local.rules.exports import live_entries
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.runtime.spec import ScriptInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.account.records import Script, Version

MOST_CRON_TEXT = 1000
MOST_CRONS = 250
Bindings = tuple[dict[str, Any], ...]


def settings_result(script: Script, version: Version) -> dict[str, Any]:
    """Return the versioned and the script's own settings in one."""
    shown: dict[str, Any] = {
        "bindings": shown_bindings(version),
        "compatibility_date": version.code.compatibility_date,
        "compatibility_flags": list(version.code.compatibility_flags),
        "usage_model": version.options.get("usage_model", "standard"),
        "limits": version.options.get("limits") or {},
        "placement": version.options.get("placement") or {},
        "annotations": version.options.get("annotations") or {},
        **shared_settings(script),
    }
    if "cache_options" in version.options:
        shown["cache_options"] = version.options["cache_options"]
    if version.exports is not None:
        shown["exports"] = live_entries(version.exports)
    if script.migration_tag:
        shown["migration_tag"] = script.migration_tag
    if not shown["placement"]:
        del shown["placement"]
    return shown


async def get_settings(request: Request) -> Response:
    """Return everything that is set for the running version."""
    cloud, script = existing(request)
    return answer(settings_result(script, serving(cloud, script)))


async def patch_settings(request: Request) -> Response:
    """Change settings without code: a new version, deployed at once. What is not named stays."""
    cloud, script = existing(request)
    async with received(request) as form:
        # A JSON body was refused by `received` (10001), as Cloudflare refuses it: this route takes a form.
        if "settings" not in form.fields:
            raise refuse("bad_multipart", why="there is no `settings` part")
        settings = as_object(parse_json(form.fields["settings"], "settings"), "settings")
    async with cloud.lock:
        previous = cloud.account.latest(script.name)
        if previous is None:
            raise refuse("no_versions")
        upload = changed_upload(previous, settings)
        done = await publish(cloud, script.name, upload, source=source_of(request))
    return answer(with_reconciliation(settings_result(done.script, done.version), done))


def changed_upload(previous: Version, settings: dict[str, Any]) -> ScriptUpload:
    """Return the previous version as an upload, with some settings replaced."""
    check_shape(settings)
    code = previous.code
    if settings.get("compatibility_date") is not None:
        code = replace(code, compatibility_date=settings["compatibility_date"])
    if settings.get("compatibility_flags") is not None:
        code = replace(code, compatibility_flags=tuple(settings["compatibility_flags"]))
    bindings = previous.bindings
    if settings.get("bindings") is not None:
        keep = settings.get("keep_bindings") or ()
        # A list that is given is the whole list, as in an upload; `inherit` and `keep_bindings` carry the rest over.
        bindings = read_bindings(settings["bindings"], previous, keep=keep, strict=True)
    options = {**previous.options, **{k: settings[k] for k in OPTIONS if settings.get(k) is not None}}

    upload = replace(
        carried(previous),
        code=code,
        bindings=bindings,
        options=options,
        migrations=settings.get("migrations"),
        settings=_given(settings),
    )
    if settings.get("exports") is not None:  # else the previous map, which changes nothing when it is sent again
        upload = replace(upload, exports=settings["exports"])
    check_lifecycle(upload)
    return upload


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: settings[key] for key in SETTINGS if settings.get(key) is not None}


async def get_script_settings(request: Request) -> Response:
    """Return the settings that belong to the script and not to a version."""
    _, script = existing(request)
    return answer(shared_settings(script))


async def patch_script_settings(request: Request) -> Response:
    """Change the script's own settings; no new version."""
    settings = await read_object(request)
    check_shape({key: settings.get(key) for key in SETTINGS})
    async with alone(request) as (cloud, script):
        check_tails(script.name, settings.get("tail_consumers") or [], cloud.account.scripts)
        changed = replace(script, settings={**script.settings, **_given(settings)}, modified_on=now())
        cloud.account.apply(AccountChange(script=changed))
    return answer(shared_settings(changed))


async def get_subdomain(request: Request) -> Response:
    """Say whether the script has an address of its own."""
    _, script = existing(request)
    return answer({"enabled": script.subdomain, "previews_enabled": script.previews})


async def set_subdomain(request: Request) -> Response:
    """Switch the script's address on or off.

    Every deployed Worker answers here in any case; the switch is kept so that clients read back what they set.
    """
    wanted = {"enabled": False, "previews_enabled": False} if request.method == "DELETE" else await read_object(request)
    if not isinstance(wanted.get("enabled"), bool) or not isinstance(wanted.get("previews_enabled", False), bool):
        raise refuse("bad_field", where="enabled", why="must be a boolean")
    async with alone(request) as (cloud, script):
        previews = wanted.get("previews_enabled", script.previews)
        # The time of change stays: whether this moves it at Cloudflare is not known.
        changed = replace(script, subdomain=wanted["enabled"], previews=previews)
        cloud.account.apply(AccountChange(script=changed))
    return answer({"enabled": changed.subdomain, "previews_enabled": changed.previews})


async def get_schedules(request: Request) -> Response:
    """List the cron triggers."""
    cloud, script = existing(request)
    made = cloud.account.schedules(script.name)
    return answer({"schedules": [{"cron": c, "created_on": t, "modified_on": t} for c, t in made]})


async def put_schedules(request: Request) -> Response:
    """Replace the cron triggers; an empty list clears them."""
    wanted = await read_json(request)
    if not isinstance(wanted, list) or len(wanted) > MOST_CRONS:
        raise refuse("bad_field", where="body", why="must be a list of {cron}")
    crons = [as_object(item, "body").get("cron") for item in wanted]
    for cron in crons:
        if not isinstance(cron, str):
            raise refuse("bad_field", where="cron", why="must be text")
        # Cut first, so that the work is bounded whatever a client sends.
        if not is_cron(cron[:MOST_CRON_TEXT]) or len(cron) > MOST_CRON_TEXT:
            raise refuse("bad_cron", cron=cron[:100])
    async with alone(request) as (cloud, script):
        cloud.account.set_schedules(script.name, [str(cron) for cron in crons])
    return await get_schedules(request)


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


def _secrets(bindings: Bindings) -> list[dict[str, Any]]:
    return [public_binding(binding) for binding in bindings if binding["type"] in SECRET_TYPES]


async def list_secrets(request: Request) -> Response:
    """List the names and types of the secrets; of the newest version, deployed or not."""
    cloud, script = existing(request)
    latest = cloud.account.latest(script.name)
    return answer(_secrets(latest.bindings if latest else ()))


async def get_secret(request: Request) -> Response:
    """Return the name and type of one secret."""
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
    """Deploy the newest version with other secrets; refused (10215) while that is not the one that serves.

    To deploy it would put code into service that nobody deployed.
    """
    async with alone(request) as (cloud, script):
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
    """List the routes under one account's path."""
    script = account + "/workers/scripts/{script_name}"
    return [
        Route(script + "/settings", get_settings, methods=["GET"]),
        Route(script + "/settings", patch_settings, methods=["PATCH"]),
        Route(script + "/script-settings", get_script_settings, methods=["GET"]),
        Route(script + "/script-settings", patch_script_settings, methods=["PATCH"]),
        Route(script + "/subdomain", get_subdomain, methods=["GET"]),
        Route(script + "/subdomain", set_subdomain, methods=["POST", "DELETE"]),
        Route(script + "/schedules", get_schedules, methods=["GET"]),
        Route(script + "/schedules", put_schedules, methods=["PUT"]),
        Route(account + "/local/scripts/{script_name}/cron", run_cron, methods=["POST"]),
        Route(script + "/secrets", list_secrets, methods=["GET"]),
        Route(script + "/secrets", put_secret, methods=["PUT"]),
        Route(script + "/secrets/{secret_name}", get_secret, methods=["GET"]),
        Route(script + "/secrets/{secret_name}", delete_secret, methods=["DELETE"]),
        Route(script + "/secrets-bulk", patch_secrets, methods=["PATCH"]),
    ]
