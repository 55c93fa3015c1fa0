"""Zones, routes and custom domains: which Worker answers at which host name and path.

Emulated: a zone is there as soon as it is asked for by a name of two labels, or a route or domain says that it is in a
zone of that name; names under `.invalid` have none.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.local.services.server import Database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS zone (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS domain (hostname TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, zone TEXT NOT NULL,
    script TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS route (id TEXT PRIMARY KEY, zone TEXT NOT NULL, pattern TEXT NOT NULL UNIQUE,
    script TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS domain_switch (hostname TEXT PRIMARY KEY, enabled INTEGER NOT NULL,
    previews_enabled INTEGER NOT NULL);
"""
_DOMAINS = """
SELECT id, zone, hostname, script, coalesce(enabled, 1), coalesce(previews_enabled, 0)
FROM domain LEFT JOIN domain_switch USING (hostname) ORDER BY hostname
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One zone."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneEntry:
    """A custom domain (`name` is its host name) or a route (its pattern), and the script behind it.

    A domain that is not `enabled` is kept and leads nowhere; of previews there are none here, the wish is only kept.
    """

    id: str
    zone: str
    name: str
    script: str
    enabled: bool = True
    previews_enabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A custom domain or a route as a client asks for it."""

    zone: str
    name: str
    enabled: bool = True
    previews_enabled: bool = False


class Zones:
    """The zones of one data directory."""

    def __init__(self, path: Path) -> None:
        self._db = Database(path, _SCHEMA)
        self._kept: dict[str, tuple[ZoneEntry, ...]] = {}  # every request to a Worker asks for them

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def named(self, name: str, *, certain: bool = False) -> Zone | None:
        """Return the zone of a name, which is made where the name can be a zone's; longer ones where that is `certain`.

        A client that looks for the zone of a host name asks for ever shorter names: the longest must not become one.
        """
        labels = name.split(".")
        known = next((zone for zone in self.all() if zone.name == name), None)
        if known or not all(labels) or labels[-1] == "invalid" or not (len(labels) == 2 or (certain and labels[2:])):
            return known
        with self._db.writing() as db:
            # Of the name, so that a zone that somebody wrote down has its id in every data directory.
            zone_id = hashlib.sha256(f"zone {name}".encode()).hexdigest()[:32]
            db.execute("INSERT OR IGNORE INTO zone VALUES (?, ?)", (zone_id, name))
        return Zone(id=zone_id, name=name)

    def all(self) -> list[Zone]:
        """List the zones that were asked for, by name."""
        with self._db.reading() as db:
            return [Zone(id=i, name=n) for i, n in db.execute("SELECT id, name FROM zone ORDER BY name")]

    def domains(self) -> list[ZoneEntry]:
        """List the custom domains by host name."""
        return self._places(_DOMAINS)

    def routes(self) -> list[ZoneEntry]:
        """List the routes by pattern."""
        return self._places("SELECT id, zone, pattern, script FROM route ORDER BY pattern")

    def _places(self, sql: str) -> list[ZoneEntry]:
        if sql not in self._kept:
            with self._db.reading() as db:
                self._kept[sql] = tuple(_place(*row) for row in db.execute(sql))
        return list(self._kept[sql])

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._db.writing() as db:
                yield db
        finally:
            self._kept.clear()

    def set_domains(self, script: str, wanted: Iterable[Wanted], *, only: bool = False) -> list[ZoneEntry]:
        """Attach host names to a script, all or none; with `only` it has no others afterwards."""
        asked = {one.name: one for one in wanted}
        with self._changing() as db:
            if only:
                others = [(d.name,) for d in self.domains() if d.script == script and d.name not in asked]
                db.executemany("DELETE FROM domain WHERE hostname = ?", others)
            for one in asked.values():
                # The id stays: it is the same domain at another Worker.
                query = "INSERT INTO domain VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET script = excluded.script"
                db.execute(query, (one.name, secrets.token_hex(16), one.zone, script))
                switches = (one.name, one.enabled, one.previews_enabled)
                db.execute("INSERT OR REPLACE INTO domain_switch VALUES (?, ?, ?)", switches)
        return [place for place in self.domains() if place.name in asked]

    def set_routes(self, script: str, wanted: Iterable[Wanted]) -> list[ZoneEntry]:
        """Make these the routes of a script, all or none: others go, and those that stay keep their ids."""
        known = {route.name: route.id for route in self.routes() if route.script == script}
        asked = {one.name: (known.get(one.name) or secrets.token_hex(16), one.zone, one.name) for one in wanted}
        with self._changing() as db:
            db.execute("DELETE FROM route WHERE script = ?", (script,))
            db.executemany("INSERT INTO route VALUES (?, ?, ?, ?)", [(*row, script) for row in asked.values()])
        return [route for route in self.routes() if route.script == script]

    def set_route(self, zone: str, pattern: str, script: str, route_id: str | None = None) -> ZoneEntry:
        """Add a route, or replace the one of that id."""
        route_id = route_id or secrets.token_hex(16)
        with self._changing() as db:
            db.execute("INSERT OR REPLACE INTO route VALUES (?, ?, ?, ?)", (route_id, zone, pattern, script))
        return ZoneEntry(id=route_id, zone=zone, name=pattern, script=script)

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
            db.execute("DELETE FROM domain_switch WHERE hostname NOT IN (SELECT hostname FROM domain)")

    def script_at(self, host: str, path: str) -> str | None:
        """Return the script that answers at a host name and path: of a custom domain, else of the longest route."""
        for domain in self.domains():  # at every path: a domain has no pattern, so no route comes before it
            if domain.name == host and domain.enabled:
                return domain.script
        fitting = [route for route in self.routes() if _fits(route.name, host, path)]
        return max(fitting, key=lambda route: len(route.name)).script if fitting else None


def _place(id_: str, zone: str, name: str, script: str, *switches: int) -> ZoneEntry:
    enabled, previews = map(bool, switches or (1, 0))  # a route has none
    return ZoneEntry(id=id_, zone=zone, name=name, script=script, enabled=enabled, previews_enabled=previews)


def _fits(pattern: str, host: str, path: str) -> bool:
    """Say whether a route's pattern takes a request: `*` stands before the host name and at the very end only."""
    wanted, slash, rest = pattern.rpartition("://")[2].partition("/")
    bare = wanted.removeprefix("*")
    if not (host.endswith(bare) if bare != wanted else host == wanted):
        return False
    want_path = slash + rest if slash else "/"
    return path.startswith(want_path[:-1]) if want_path.endswith("*") else path == want_path
