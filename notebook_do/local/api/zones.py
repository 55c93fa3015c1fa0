"""Zones, routes and custom domains: which Worker answers at which host name and path, and how clients say it.

Emulated: a zone is there as soon as it is asked for by a name of two labels; names under `.invalid` have none.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.api.envelope import answer, cloud_of, paged, read_object
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.services.server import Database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.api.envelope import Cloud

_HOST = re.compile(r"([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS zone (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS domain (hostname TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, zone TEXT NOT NULL,
    script TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS route (id TEXT PRIMARY KEY, zone TEXT NOT NULL, pattern TEXT NOT NULL UNIQUE,
    script TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One zone."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A custom domain (`name` is its host name) or a route (its pattern), and the script behind it."""

    id: str
    zone: str
    name: str
    script: str


class Zones:
    """The zones of one data directory."""

    def __init__(self, path: Path) -> None:
        self._db = Database(path, _SCHEMA)
        self._kept: dict[str, tuple[Place, ...]] = {}  # every request to a Worker asks for them

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def named(self, name: str) -> Zone | None:
        """Return the zone of a name, which is made where the name can be a zone's."""
        labels = name.split(".")
        if len(labels) != 2 or not all(labels) or labels[1] == "invalid":
            return None
        with self._db.writing() as db:
            # Of the name, so that a zone that somebody wrote down has its id in every data directory.
            zone_id = hashlib.sha256(f"zone {name}".encode()).hexdigest()[:32]
            db.execute("INSERT OR IGNORE INTO zone VALUES (?, ?)", (zone_id, name))
        return Zone(id=zone_id, name=name)

    def all(self) -> list[Zone]:
        """List the zones that were asked for, by name."""
        with self._db.reading() as db:
            return [Zone(id=i, name=n) for i, n in db.execute("SELECT id, name FROM zone ORDER BY name")]

    def domains(self) -> list[Place]:
        """List the custom domains by host name."""
        return self._places("SELECT id, zone, hostname, script FROM domain ORDER BY hostname")

    def routes(self) -> list[Place]:
        """List the routes by pattern."""
        return self._places("SELECT id, zone, pattern, script FROM route ORDER BY pattern")

    def _places(self, sql: str) -> list[Place]:
        if sql not in self._kept:
            with self._db.reading() as db:
                self._kept[sql] = tuple(Place(id=i, zone=z, name=n, script=s) for i, z, n, s in db.execute(sql))
        return list(self._kept[sql])

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._db.writing() as db:
                yield db
        finally:
            self._kept.clear()

    def set_domain(self, zone: str, hostname: str, script: str) -> Place:
        """Attach a host name to a script."""
        with self._changing() as db:
            db.execute(
                # The id stays: it is the same domain at another Worker.
                "INSERT INTO domain VALUES (?, ?, ?, ?) ON CONFLICT (hostname) DO UPDATE SET script = excluded.script",
                (hostname, secrets.token_hex(16), zone, script),
            )
        return next(place for place in self.domains() if place.name == hostname)

    def set_route(self, zone: str, pattern: str, script: str, route_id: str | None = None) -> Place:
        """Add a route, or replace the one of that id."""
        route_id = route_id or secrets.token_hex(16)
        with self._changing() as db:
            db.execute("INSERT OR REPLACE INTO route VALUES (?, ?, ?, ?)", (route_id, zone, pattern, script))
        return Place(id=route_id, zone=zone, name=pattern, script=script)

    def remove(self, place_id: str) -> None:
        """Remove a custom domain or a route."""
        self._delete("id", place_id)

    def forget(self, script: str) -> None:
        """Remove the domains and routes of a deleted script."""
        self._delete("script", script)

    def _delete(self, column: str, value: str) -> None:
        with self._changing() as db:
            for table in ("domain", "route"):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))  # noqa: S608 - fixed words

    def script_at(self, host: str, path: str) -> str | None:
        """Return the script that answers at a host name and path: of a custom domain, else of the longest route."""
        for domain in self.domains():  # at every path: a domain has no pattern, so no route comes before it
            if domain.name == host:
                return domain.script
        fitting = [route for route in self.routes() if _fits(route.name, host, path)]
        return max(fitting, key=lambda route: len(route.name)).script if fitting else None


def _fits(pattern: str, host: str, path: str) -> bool:
    """Say whether a route's pattern takes a request: `*` stands before the host name and at the very end only."""
    wanted, slash, rest = pattern.rpartition("://")[2].partition("/")
    bare = wanted.removeprefix("*")
    if not (host.endswith(bare) if bare != wanted else host == wanted):
        return False
    want_path = slash + rest if slash else "/"
    return path.startswith(want_path[:-1]) if want_path.endswith("*") else path == want_path


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
    """List the routes of a zone."""
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
    # Of all zones: which Worker answers would depend on the order otherwise.
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
    """List the custom domains, all or those of a host name or a Worker."""
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
