"""The Secrets Store: values that Workers read by name, in stores that begin with their first secret.

A value is given to the binding that names it and to nobody else: no answer of the API and no representation shows it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.local.services.server import Database, ServiceAnswer, ServiceRefusal, ServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS store (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS secret (
    id TEXT PRIMARY KEY, store TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, comment TEXT NOT NULL,
    scopes TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL, UNIQUE (store, name)
);
"""
_COLUMNS = "id, store, name, comment, scopes, created, modified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store."""

    id: str
    name: str
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """One secret, without its value."""

    id: str
    store: str
    name: str
    comment: str
    scopes: tuple[str, ...]
    created: float
    modified: float


class SecretsStoreService:
    """All stores of one data directory."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._db = Database(path, _SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def handle(self, request: ServiceRequest) -> ServiceAnswer:
        """Answer a binding with its secret's value; the resource is the store's id, a slash and the secret's name."""
        store, _, name = request.resource.partition("/")
        with self._db.reading() as db:
            row = db.execute("SELECT value FROM secret WHERE store = ? AND name = ?", (store, name)).fetchone()
        if row is None:
            how = f"wrangler secrets-store secret create {store} --name {name} --scopes workers --remote"
            raise ServiceRefusal(404, f'Secret "{name}" not found in store {store}; set it with `{how}`')
        return ServiceAnswer(body=row[0])

    # --- stores

    def stores(self) -> list[Store]:
        """List the stores by name; one that only a secret named has its id for a name."""
        query = """
            SELECT id, name, created FROM store
            UNION SELECT store, store, min(created) FROM secret WHERE store NOT IN (SELECT id FROM store) GROUP BY store
            ORDER BY 2
        """
        with self._db.reading() as db:
            return [Store(id=i, name=n, created=c) for i, n, c in db.execute(query)]

    def make_store(self, name: str) -> Store | None:
        """Make a store; None when the name is taken."""
        store = Store(id=secrets.token_hex(16), name=name, created=self.clock())
        with self._db.writing() as db:
            row = (store.id, store.name, store.created)
            return store if db.execute("INSERT OR IGNORE INTO store VALUES (?, ?, ?)", row).rowcount else None

    def drop_store(self, store: str) -> None:
        """Delete a store with its secrets."""
        with self._db.writing() as db:
            db.execute("DELETE FROM secret WHERE store = ?", (store,))
            db.execute("DELETE FROM store WHERE id = ?", (store,))

    # --- secrets

    def secrets(self, store: str) -> list[StoredSecret]:
        """List the secrets of a store by name, without their values."""
        query = f"SELECT {_COLUMNS} FROM secret WHERE store = ? ORDER BY name"  # noqa: S608 - our own columns
        with self._db.reading() as db:
            return [_secret(*row) for row in db.execute(query, (store,))]

    def add(self, store: str, name: str, value: str, *, comment: str, scopes: tuple[str, ...]) -> StoredSecret | None:
        """Keep a new secret; None when its store has one of that name."""
        return self._insert(store, name, value.encode(), comment=comment, scopes=scopes)

    def copy(self, secret: StoredSecret, name: str, *, comment: str, scopes: tuple[str, ...]) -> StoredSecret | None:
        """Keep a secret's value under another name of its store too; None when that is taken."""
        with self._db.reading() as db:
            (value,) = db.execute("SELECT value FROM secret WHERE id = ?", (secret.id,)).fetchone()
        return self._insert(secret.store, name, value, comment=comment, scopes=scopes)

    def _insert(
        self, store: str, name: str, value: bytes, *, comment: str, scopes: tuple[str, ...]
    ) -> StoredSecret | None:
        now, id_ = self.clock(), secrets.token_hex(16)
        row = (id_, store, name, value, comment, json.dumps(scopes), now, now)
        try:
            with self._db.writing() as db:
                db.execute("INSERT INTO secret VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            return None
        return _secret(id_, store, name, comment, row[5], now, now)

    def change(
        self, secret: StoredSecret, *, value: str | None, comment: str | None, scopes: tuple[str, ...] | None
    ) -> StoredSecret:
        """Change what is given; what is None stays."""
        new = (
            value and value.encode(),
            secret.comment if comment is None else comment,
            json.dumps(secret.scopes if scopes is None else scopes),
            self.clock(),
        )
        query = "UPDATE secret SET value = coalesce(?, value), comment = ?, scopes = ?, modified = ? WHERE id = ?"
        with self._db.writing() as db:
            db.execute(query, (*new, secret.id))
        return next(one for one in self.secrets(secret.store) if one.id == secret.id)

    def drop(self, secret: StoredSecret) -> None:
        """Delete a secret."""
        with self._db.writing() as db:
            db.execute("DELETE FROM secret WHERE id = ?", (secret.id,))


def _secret(id_: str, store: str, name: str, comment: str, scopes: str, *times: float) -> StoredSecret:
    created, modified = times
    return StoredSecret(
        id=id_,
        store=store,
        name=name,
        comment=comment,
        scopes=tuple(json.loads(scopes)),
        created=created,
        modified=modified,
    )
