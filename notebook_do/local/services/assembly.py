"""All services of one data directory, behind one socket; the names of what was made by the API; and rate limits."""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from notebook_do.local.services.cache import CacheService
from notebook_do.local.services.d1 import D1Service
from notebook_do.local.services.kv import KvService
from notebook_do.local.services.queues import Deliver, Delivery, QueueService
from notebook_do.local.services.r2 import R2Service
from notebook_do.local.services.secrets_store import SecretsStoreService
from notebook_do.local.services.sent import SentService
from notebook_do.local.services.server import Database, ServiceAnswer, ServiceRequest, ServiceServer, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


Kind = Literal["kv", "r2", "d1"]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS resource (
    kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, created_on REAL NOT NULL,
    PRIMARY KEY (kind, id), UNIQUE (kind, name)
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One resource."""

    id: str
    name: str
    created_on: float


class Directory:
    """The resources that were made by name; others begin when a Worker first uses them."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._db = Database(path, _SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def listed(self, kind: Kind) -> list[Named]:
        """List the resources of a kind by name."""
        query = "SELECT id, name, created_on FROM resource WHERE kind = ? ORDER BY name"
        with self._db.reading() as db:
            return [Named(id=i, name=n, created_on=c) for i, n, c in db.execute(query, (kind,))]

    def add(self, kind: Kind, id_: str, name: str) -> Named | None:
        """Make a resource; None when the name is taken."""
        with self._db.writing() as db:
            row = (kind, id_, name, self._clock())
            # No look before it: of two requests for one name at the same moment only one makes it.
            made = db.execute("INSERT OR IGNORE INTO resource VALUES (?, ?, ?, ?)", row).rowcount
        return Named(id=id_, name=name, created_on=row[3]) if made else None

    def rename(self, kind: Kind, id_: str, name: str) -> bool:
        """Give a resource another name, also one that no one made; False when the name is taken."""
        with self._db.writing() as db:
            query = "INSERT INTO resource VALUES (?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET name = excluded.name"
            try:
                db.execute(query, (kind, id_, name, self._clock()))
            except sqlite3.IntegrityError:
                return False
        return True

    def drop(self, kind: Kind, id_: str) -> None:
        """Forget a resource."""
        with self._db.writing() as db:
            db.execute("DELETE FROM resource WHERE kind = ? AND id = ?", (kind, id_))


class Services:
    """What bindings of deployed Workers reach; everything kept lies in `folder`."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.kv = KvService(folder / "kv.sqlite", clock)
        self.r2 = R2Service(folder / "r2", clock)
        self.d1 = D1Service(folder / "d1")
        self.queues = QueueService(folder / "queues.sqlite", clock)
        self.cache = CacheService(folder / "cache.sqlite", clock)
        self.rate_limits = RateLimitService(clock)
        self.sent = SentService(folder / "sent.sqlite", clock)
        self.secrets_store = SecretsStoreService(folder / "secrets-store.sqlite", clock)
        self.directory = Directory(folder / "directory.sqlite", clock)
        self._server: ServiceServer | None = None
        self._delivery: Delivery | None = None

    async def start(self, socket: Path, deliver: Deliver) -> None:
        """Begin to answer at `socket`, and to hand messages of queues to `deliver`."""
        handlers = {
            "kv": self.kv.handle,
            "r2": self.r2.handle,
            "d1": self.d1.handle,
            "queue": self.queues.handle,
            "cache": self.cache.handle,
            "ratelimit": self.rate_limits.handle,
            "analytics_engine": self.sent.point,
            "pipelines": self.sent.records,
            "send_email": self.sent.email,
            "secrets_store": self.secrets_store.handle,
        }
        self._server = ServiceServer(socket, handlers)
        await self._server.start()
        # After the server: the handler of the first batch may use bindings at once.
        self._delivery = Delivery(self.queues, deliver)
        self._delivery.start()

    async def stop_delivery(self) -> None:
        """Deliver no more messages; the bindings still answer."""
        if self._delivery is not None:
            await self._delivery.close()

    async def close(self) -> None:
        """Stop answering and close every file."""
        # In this order: a batch and an answer that are under way still use the databases.
        await self.stop_delivery()
        if self._server is not None:
            await self._server.close()
        own = (self.kv, self.r2, self.d1, self.queues, self.cache, self.rate_limits, self.sent, self.secrets_store)
        for service in (*own, self.directory):
            service.close()


class RateLimitService:
    """How often a key was seen in the present window, in memory alone; Workers that bind one namespace id share it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int, str], tuple[int, int]] = {}

    def close(self) -> None:
        """Forget everything."""
        self._seen.clear()

    def handle(self, request: ServiceRequest) -> ServiceAnswer:
        """Count one call: the body is `{namespace, key, limit, period}`, the period 10 or 60 seconds."""
        asked = request.json()
        period, now = int(asked["period"]), self.clock()
        place, window = (str(asked["namespace"]), period, str(asked["key"])), int(now // period)
        with self._lock:
            # Windows that are over go with the next call of whatever key, so memory is bounded by what is in use.
            self._seen = {k: v for k, v in self._seen.items() if v[0] == int(now // k[1])}
            count = self._seen.get(place, (window, 0))[1]
            allowed = count < int(asked["limit"])
            self._seen[place] = (window, count + allowed)
        return json_answer({"success": allowed})
