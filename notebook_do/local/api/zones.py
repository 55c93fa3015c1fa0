"""Routes of zones: the zones themselves, the Worker routes in them, and the account's custom domains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.api.envelope import answer, paged, read_object
from notebook_do.local.api.scripts import cloud_of
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.account.publish import Cloud
    from notebook_do.local.account.zones import Place, Zone

_HOST = re.compile(r"([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")


def _zone_item(cloud: Cloud, zone: Zone) -> dict[str, Any]:
    account = {"id": cloud.account.id, "name": "Local"}
    return {"id": zone.id, "name": zone.name, "status": "active", "type": "full", "paused": False, "account": account}


def _route_item(route: Place) -> dict[str, Any]:
    return {"id": route.id, "pattern": route.name, "script": route.script}


def _domain_item(cloud: Cloud, domain: Place) -> dict[str, Any]:
    zone = next(z for z in cloud.zones.all() if z.id == domain.zone)
    return {
        "id": domain.id,
        "zone_id": zone.id,
        "zone_name": zone.name,
        "hostname": domain.name,
        "service": domain.script,
        "environment": "production",
    }


def _zone(request: Request) -> tuple[Cloud, Zone]:
    """Give the zone that the path names by its id."""
    cloud, wanted = cloud_of(request), request.path_params["zone_id"]
    for zone in cloud.zones.all():
        if zone.id == wanted:
            return cloud, zone
    raise refuse("no_zone", id=wanted[:64])


async def list_zones(request: Request) -> Response:
    """Give the zones, all or the one that the query names."""
    cloud, name = cloud_of(request), request.query_params.get("name")
    zone = cloud.zones.named(name) if name else None
    zones = cloud.zones.all() if name is None else [zone] if zone else []
    shown, info = paged(request, zones, per_page=20)
    return answer([_zone_item(cloud, z) for z in shown], info=info)


async def list_routes(request: Request) -> Response:
    """Give the routes of a zone."""
    cloud, zone = _zone(request)
    return answer([_route_item(route) for route in cloud.zones.routes() if route.zone == zone.id])


async def put_route(request: Request) -> Response:
    """Add a route, or change the one that the path names."""
    cloud, zone = _zone(request)
    body, wanted = await read_object(request), request.path_params.get("route_id")
    known = {route.id: route for route in cloud.zones.routes() if route.zone == zone.id}
    if wanted is not None and wanted not in known:
        raise refuse("no_route_id", id=wanted[:64])
    pattern, script = body.get("pattern"), body.get("script")
    if not isinstance(pattern, str) or not _inside(pattern.rpartition("://")[2].partition("/")[0], zone):
        raise refuse("bad_pattern", pattern=str(pattern)[:200])
    if any(route.name == pattern and route.id != wanted for route in cloud.zones.routes()):
        raise refuse("route_exists", pattern=pattern)
    if script not in cloud.account.scripts:
        raise refuse("route_script")
    return answer(_route_item(cloud.zones.set_route(zone.id, pattern, script, wanted)))


def _inside(host: str, zone: Zone) -> bool:
    """Say whether a host name, with a wildcard before it or none, is of a zone."""
    bare = host.removeprefix("*").removeprefix(".")
    return "*" not in bare and f".{bare}".endswith(f".{zone.name}")


async def delete_route(request: Request) -> Response:
    """Remove a route."""
    cloud, zone = _zone(request)
    wanted = request.path_params["route_id"]
    if not any(route.id == wanted and route.zone == zone.id for route in cloud.zones.routes()):
        raise refuse("no_route_id", id=wanted[:64])
    cloud.zones.remove(wanted)
    return answer({"id": wanted})


async def list_domains(request: Request) -> Response:
    """Give the custom domains, all or those of a host name or a Worker."""
    cloud = cloud_of(request)
    host, service = request.query_params.get("hostname"), request.query_params.get("service")
    found = [d for d in cloud.zones.domains() if host in (None, d.name) and service in (None, d.script)]
    return answer([_domain_item(cloud, domain) for domain in found])


async def put_domain(request: Request) -> Response:
    """Attach a host name to a Worker; one that another Worker has stays there unless the client overrides that."""
    cloud, body = cloud_of(request), await read_object(request)
    hostname, script = body.get("hostname"), body.get("service")
    if not isinstance(hostname, str) or not _HOST.match(hostname):
        raise refuse("bad_field", where="hostname", why="must be a host name")
    zone = cloud.zones.named(".".join(hostname.split(".")[-2:]))
    if zone is None or body.get("zone_id", zone.id) != zone.id:
        raise refuse("no_zone", id=str(body.get("zone_id"))[:64])
    if script not in cloud.account.scripts:
        raise refuse("no_script")
    taken = next((d for d in cloud.zones.domains() if d.name == hostname and d.script != script), None)
    if taken is not None and body.get("override_existing_origin") is not True:
        raise refuse("domain_taken", host=hostname, script=taken.script)
    return answer(_domain_item(cloud, cloud.zones.set_domain(zone.id, hostname, script)))


async def delete_domain(request: Request) -> Response:
    """Detach a host name."""
    cloud, wanted = cloud_of(request), request.path_params["domain_id"]
    if not any(domain.id == wanted for domain in cloud.zones.domains()):
        raise refuse("no_domain", id=wanted[:64])
    cloud.zones.remove(wanted)
    return answer(None)


def routes(account: str) -> list[Route]:
    """Give the routes under one account's path, and those of its zones beside it."""
    zones = account.rpartition("/accounts/")[0] + "/zones"
    of_zone, domains = zones + "/{zone_id}/workers/routes", account + "/workers/domains"
    return [
        Route(zones, list_zones, methods=["GET"]),
        Route(of_zone, list_routes, methods=["GET"]),
        Route(of_zone, put_route, methods=["POST"]),
        Route(of_zone + "/{route_id}", put_route, methods=["PUT"]),
        Route(of_zone + "/{route_id}", delete_route, methods=["DELETE"]),
        Route(domains, list_domains, methods=["GET"]),
        Route(domains, put_domain, methods=["PUT"]),
        Route(domains + "/{domain_id}", delete_domain, methods=["DELETE"]),
    ]
