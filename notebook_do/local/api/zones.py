"""Zones, routes and custom domains over the API, one at a time, as the SDKs ask; `triggers` has a deploy's way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.zones import Wanted
from notebook_do.local.api.envelope import answer, cloud_of, paged, read_object
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.account.zones import Zone, ZoneEntry
    from notebook_do.local.api.envelope import Cloud

_ID = re.compile(r"[0-9a-f]{32}\Z")
_HOST = re.compile(r"([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")


def _zone_item(cloud: Cloud, zone: Zone) -> dict[str, Any]:
    account = {"id": cloud.account.id, "name": "Local"}
    return {"id": zone.id, "name": zone.name, "status": "active", "type": "full", "paused": False, "account": account}


def route_item(route: ZoneEntry) -> dict[str, Any]:
    """Write a route as the API shows it."""
    return {"id": route.id, "pattern": route.name, "script": route.script}


def domain_item(cloud: Cloud, domain: ZoneEntry) -> dict[str, Any]:
    """Write a custom domain as the API shows it."""
    zone = next(z for z in cloud.zones.all() if z.id == domain.zone)
    return {
        "id": domain.id,
        "zone_id": zone.id,
        "zone_name": zone.name,
        "hostname": domain.name,
        "service": domain.script,
        "environment": "production",
        "enabled": domain.enabled,
        "previews_enabled": domain.previews_enabled,
    }


def _zone(request: Request) -> tuple[Cloud, Zone]:
    """Return the zone that the path names by its id."""
    cloud, wanted = cloud_of(request), request.path_params["zone_id"]
    for zone in cloud.zones.all():
        if zone.id == wanted:
            return cloud, zone
    raise refuse("no_zone", id=wanted[:64])


async def list_zones(request: Request) -> Response:
    """List the zones, all or the one that the query names."""
    cloud, name = cloud_of(request), request.query_params.get("name")
    zone = cloud.zones.named(name) if name else None
    zones = cloud.zones.all() if name is None else [zone] if zone else []
    shown, info = paged(request, zones, per_page=20)
    return answer([_zone_item(cloud, z) for z in shown], info=info)


async def list_routes(request: Request) -> Response:
    """List the routes of a zone; of a zone at Cloudflare there are none here."""
    cloud, wanted = cloud_of(request), request.path_params["zone_id"]
    if _is_foreign(cloud, wanted) and wanted not in {zone.id for zone in cloud.zones.all()}:
        return answer([])
    cloud, zone = _zone(request)
    return answer([route_item(route) for route in cloud.zones.routes() if route.zone == zone.id])


async def put_route(request: Request) -> Response:
    """Add a route, or change the one that the path names."""
    cloud, zone = _zone(request)
    body, wanted = await read_object(request), request.path_params.get("route_id")
    known = {route.id: route for route in cloud.zones.routes() if route.zone == zone.id}
    if wanted is not None and wanted not in known:
        raise refuse("no_route_id", id=wanted[:64])
    pattern, script = checked_pattern(cloud, body.get("pattern"), zone, but=wanted), body.get("script")
    if script not in cloud.account.scripts:
        raise refuse("route_script")
    return answer(route_item(cloud.zones.set_route(zone.id, pattern, script, wanted)))


def checked_pattern(cloud: Cloud, pattern: Any, zone: Zone, *, but: str | None = None, script: str = "") -> str:
    """Refuse a pattern that is not of the zone, or that a route has but the one of id `but` and those of `script`."""
    if not isinstance(pattern, str) or not _inside(pattern.rpartition("://")[2].partition("/")[0], zone):
        raise refuse("bad_pattern", pattern=str(pattern)[:200])
    # Of all zones: which Worker answers would depend on the order otherwise.
    if any(route.name == pattern and route.id != but and route.script != script for route in cloud.zones.routes()):
        raise refuse("route_exists", pattern=pattern)
    return pattern


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
    """List the custom domains, all or those of a host name or a Worker."""
    cloud = cloud_of(request)
    host, service = request.query_params.get("hostname"), request.query_params.get("service")
    found = [d for d in cloud.zones.domains() if host in (None, d.name) and service in (None, d.script)]
    return answer([domain_item(cloud, domain) for domain in found])


async def put_domain(request: Request) -> Response:
    """Attach a host name to a Worker; one that another Worker has stays there unless the client overrides that."""
    cloud, body = cloud_of(request), await read_object(request)
    script = body.get("service")
    wanted = checked_domain(cloud, body)
    if script not in cloud.account.scripts:
        raise refuse("no_script")
    if body.get("override_existing_origin") is not True:
        check_free(cloud, wanted, script)
    (domain,) = cloud.zones.set_domains(script, [wanted])
    return answer(domain_item(cloud, domain))


def checked_domain(cloud: Cloud, item: dict[str, Any]) -> Wanted:
    """Read one custom domain as a client asks for it; its zone may be named, or be that of the host name."""
    hostname = item.get("hostname")
    if not isinstance(hostname, str) or not _HOST.match(hostname):
        raise refuse("bad_field", where="hostname", why="must be a host name")
    zone = zone_of(cloud, item, hostname)
    if not f".{hostname}".endswith(f".{zone.name}"):
        raise refuse("bad_field", where="hostname", why=f"must be in the zone {zone.name}")
    switches = {key: item[key] for key in ("enabled", "previews_enabled") if item.get(key) is not None}
    if not all(isinstance(value, bool) for value in switches.values()):
        raise refuse("bad_field", where=hostname, why="enabled and previews_enabled are true or false")
    return Wanted(zone=zone.id, name=hostname, **switches)


def check_free(cloud: Cloud, wanted: Wanted, script: str) -> None:
    """Refuse a host name that another Worker has."""
    for domain in cloud.zones.domains():
        if domain.name == wanted.name and domain.script != script:
            raise refuse("domain_taken", host=domain.name, script=domain.script)


def zone_of(cloud: Cloud, item: dict[str, Any], host: str) -> Zone:
    """Return the zone that a route or domain names by `zone_id` or `zone_name`; else that of its host name."""
    name, wanted = item.get("zone_name"), item.get("zone_id")
    own = _zone_of_host(cloud, host)
    if isinstance(name, str):
        own = cloud.zones.named(name, certain=True)
    if wanted is not None:
        known = next((zone for zone in cloud.zones.all() if zone.id == wanted), None)
        own = known or (own if _is_foreign(cloud, wanted) else None)
    if own is None:
        raise refuse("no_zone", id=str(wanted or name or host)[:64])
    return own


def _zone_of_host(cloud: Cloud, host: str) -> Zone | None:
    bare = host.removeprefix("*").removeprefix(".")
    fitting = [zone for zone in cloud.zones.all() if f".{bare}".endswith(f".{zone.name}")]
    # The longest, as `example.co.uk` is known only because somebody named it.
    return (
        max(fitting, key=lambda zone: len(zone.name)) if fitting else cloud.zones.named(".".join(bare.split(".")[-2:]))
    )


def _is_foreign(cloud: Cloud, zone_id: Any) -> bool:
    """Say whether an id can be that of a zone at Cloudflare, which nobody can know here: `--strict` takes none."""
    return isinstance(zone_id, str) and _ID.match(zone_id) is not None and not cloud.strict


async def delete_domain(request: Request) -> Response:
    """Detach a host name."""
    cloud, wanted = cloud_of(request), request.path_params["domain_id"]
    if not any(domain.id == wanted for domain in cloud.zones.domains()):
        raise refuse("no_domain", id=wanted[:64])
    cloud.zones.remove(wanted)
    return answer(None)


def routes(account: str) -> list[Route]:
    """List the routes under one account's path, and those of its zones beside it."""
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
