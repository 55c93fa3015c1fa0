"""Zones, routes and custom domains, in one SQLite database: which Worker answers at which host name and path.

Emulated: a zone is there as soon as it is asked for by a name of two labels; names under `.invalid` have none.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.local.services.server import Database

if TYPE_CHECKING:
    from pathlib import Path

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

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def named(self, name: str) -> Zone | None:
        """Give the zone of a name, which is made where the name can be a zone's."""
        labels = name.split(".")
        if len(labels) != 2 or not all(labels) or labels[1] == "invalid":
            return None
        with self._db.writing() as db:
            zone_id = hashlib.sha256(f"zone {name}".encode()).hexdigest()[:32]
            db.execute("INSERT OR IGNORE INTO zone VALUES (?, ?)", (zone_id, name))
        return Zone(id=zone_id, name=name)

    def all(self) -> list[Zone]:
        """Give the zones that were asked for, by name."""
        with self._db.reading() as db:
            return [Zone(id=i, name=n) for i, n in db.execute("SELECT id, name FROM zone ORDER BY name")]

    def domains(self) -> list[Place]:
        """Give the custom domains by host name."""
        return self._places("SELECT id, zone, hostname, script FROM domain ORDER BY hostname")

    def routes(self) -> list[Place]:
        """Give the routes by pattern."""
        return self._places("SELECT id, zone, pattern, script FROM route ORDER BY pattern")

    def _places(self, sql: str) -> list[Place]:
        with self._db.reading() as db:
            return [Place(id=i, zone=z, name=n, script=s) for i, z, n, s in db.execute(sql)]

    def set_domain(self, zone: str, hostname: str, script: str) -> Place:
        """Attach a host name to a script."""
        with self._db.writing() as db:
            db.execute(
                "INSERT INTO domain VALUES (?, ?, ?, ?) ON CONFLICT (hostname) DO UPDATE SET script = excluded.script",
                (hostname, secrets.token_hex(16), zone, script),
            )
        return next(place for place in self.domains() if place.name == hostname)

    def set_route(self, zone: str, pattern: str, script: str, route_id: str | None = None) -> Place:
        """Add a route, or replace the one of that id."""
        route_id = route_id or secrets.token_hex(16)
        with self._db.writing() as db:
            db.execute("INSERT OR REPLACE INTO route VALUES (?, ?, ?, ?)", (route_id, zone, pattern, script))
        return Place(id=route_id, zone=zone, name=pattern, script=script)

    def remove(self, place_id: str) -> None:
        """Remove a custom domain or a route."""
        self._delete("id", place_id)

    def forget(self, script: str) -> None:
        """Remove what a deleted script had."""
        self._delete("script", script)

    def _delete(self, column: str, value: str) -> None:
        with self._db.writing() as db:
            for table in ("domain", "route"):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))  # noqa: S608 - fixed words

    def script_at(self, host: str, path: str) -> str | None:
        """Give the script that answers at a host name and path: a custom domain, else the most specific route."""
        for domain in self.domains():
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
