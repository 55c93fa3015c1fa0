"""Names of KV namespaces, R2 buckets and D1 databases that were made by the API; what was only used has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from notebook_do.local.services.database import Database

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
    """What was made by name."""

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
            made = db.execute("INSERT OR IGNORE INTO resource VALUES (?, ?, ?, ?)", row).rowcount
        return Named(id=id_, name=name, created_on=row[3]) if made else None

    def drop(self, kind: Kind, id_: str) -> None:
        """Forget a resource."""
        with self._db.writing() as db:
            db.execute("DELETE FROM resource WHERE kind = ? AND id = ?", (kind, id_))
