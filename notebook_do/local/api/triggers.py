"""Routes and custom domains as `wrangler deploy` sets them: all of a script's at once, by the script's name.

Nothing here leads to a public host name. What is set is kept, listed, and answers on the Workers port by its `Host`.
Emulated, as no source says it: with `override_scope` the custom domains of the Worker are exactly those of the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.zones import Wanted
from notebook_do.local.api.envelope import answer, cloud_of, existing, query_flag, read_json, read_object
from notebook_do.local.api.zones import (
    check_free,
    checked_domain,
    checked_pattern,
    domain_item,
    route_item,
    zone_of,
)
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.account.zones import ZoneEntry
    from notebook_do.local.api.envelope import Cloud


async def put_routes(request: Request) -> Response:
    """Replace all routes of a script."""
    items = _items(await read_json(request), "routes")
    cloud, script = existing(request)
    wanted = [_route(cloud, item, script.name) for item in items]
    return answer([route_item(route) for route in cloud.zones.set_routes(script.name, wanted)])


def _route(cloud: Cloud, item: dict[str, Any], script: str) -> Wanted:
    pattern = item.get("pattern")
    host = pattern.rpartition("://")[2].partition("/")[0] if isinstance(pattern, str) else ""
    zone = zone_of(cloud, item, host)
    return Wanted(zone=zone.id, name=checked_pattern(cloud, pattern, zone, script=script))


async def show_changes(request: Request) -> Response:
    """Say what a change of a script's custom domains would do, and change nothing."""
    items = _items(await read_json(request), "origins")
    cloud, script = existing(request)
    known = {domain.name: domain for domain in cloud.zones.domains()}
    asked = {one.name: one for one in (checked_domain(cloud, item) for item in items)}
    updated = [
        {**domain_item(cloud, known[name]), "modified": _differs(known[name], one, script.name)}
        for name, one in asked.items()
        if name in known
    ]
    removed = [d for d in known.values() if d.script == script.name and d.name not in asked]
    changes = {
        "added": [_fresh(one, script.name) for name, one in asked.items() if name not in known],
        "removed": [domain_item(cloud, domain) for domain in removed if query_flag(request, "replace_state")],
        "updated": updated,
        # Of DNS records, and there is no DNS here.
        "conflicting": [],
    }
    return answer(changes)


def _fresh(wanted: Wanted, script: str) -> dict[str, Any]:
    switches = {"enabled": wanted.enabled, "previews_enabled": wanted.previews_enabled}
    return {"id": "", "zone_id": wanted.zone, "hostname": wanted.name, "service": script, **switches}


def _differs(domain: ZoneEntry, wanted: Wanted, script: str) -> bool:
    now = (domain.script, domain.enabled, domain.previews_enabled)
    return now != (script, wanted.enabled, wanted.previews_enabled)


async def put_records(request: Request) -> Response:
    """Attach host names to a script, all or none; those of others only where the client says so."""
    body = await read_object(request)
    items = _items(body.get("origins"), "origins")
    cloud, script = existing(request)
    wanted = [checked_domain(cloud, item) for item in items]
    if body.get("override_existing_origin") is not True:
        for one in wanted:
            check_free(cloud, one, script.name)
    domains = cloud.zones.set_domains(script.name, wanted, only=body.get("override_scope") is True)
    return answer([domain_item(cloud, domain) for domain in domains])


async def get_record(request: Request) -> Response:
    """Return one custom domain."""
    cloud, wanted = cloud_of(request), request.path_params["domain_id"]
    for domain in cloud.zones.domains():
        if domain.id == wanted:
            return answer(domain_item(cloud, domain))
    raise refuse("no_domain", id=wanted[:64])


def _items(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise refuse("bad_field", where=where, why="must be a list")
    return [as_object(item, where) for item in value]


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    script, domains = account + "/workers/scripts/{script_name}", account + "/workers/domains"
    return [
        Route(script + "/routes", put_routes, methods=["PUT"]),
        Route(script + "/domains/changeset", show_changes, methods=["POST"]),
        Route(script + "/domains/records", put_records, methods=["PUT"]),
        Route(domains + "/records/{domain_id}", get_record, methods=["GET"]),
        Route(domains + "/{domain_id}", get_record, methods=["GET"]),
    ]
