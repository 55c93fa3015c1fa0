"""KV namespaces, in the protocol that workerd's own KV binding speaks: one SQLite table, keys in UTF-8 order.

Cloudflare's limits and refusals are kept. Its eventual consistency is not: a value is there once it was put.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from notebook_do.local.services.server import (
    Database,
    ServiceAnswer,
    ServiceRefusal,
    ServiceRequest,
    after,
    json_answer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

MAX_VALUE = 25 << 20
MAX_METADATA = 1024
MAX_KEY = 512
MIN_TTL = 60
MIN_CACHE_TTL = 30
MAX_KEYS = 1000
MAX_BULK = 100
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    namespace TEXT NOT NULL, name BLOB NOT NULL, value BLOB NOT NULL, metadata TEXT, expires INTEGER,
    PRIMARY KEY (namespace, name)
);
"""
_LIVE = "(expires IS NULL OR expires > :now)"


@dataclass(frozen=True, slots=True, kw_only=True)
class KvPut:
    """One value to store; `times` may hold `expiration` or `expiration_ttl`, in seconds, as text."""

    name: bytes
    value: bytes
    metadata: str | None = None
    times: Mapping[str, str] = field(default_factory=dict)


class KvService:
    """All KV namespaces of one data directory. A namespace begins with its first key."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._db = Database(path, _SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def clear(self, namespace: str) -> None:
        """Delete all values of a namespace."""
        with self._db.writing() as db:
            db.execute("DELETE FROM entry WHERE namespace = ?", (namespace,))

    def handle(self, request: ServiceRequest) -> ServiceAnswer:
        """Answer one request of a KV binding; the resource is the namespace id."""
        match request.method:
            case "GET" if request.path == "/":
                return self._list(request)
            case "POST" if request.path == "/bulk/get":
                return self._get_many(request)
            case "GET":
                return self._get(request)
            case "PUT":
                return self._put(request)
            case "DELETE":
                return self._delete(request)
        raise ServiceRefusal(405, "Method Not Allowed")

    def _get(self, request: ServiceRequest) -> ServiceAnswer:
        _check_cache_ttl(request.query.get("cache_ttl"))
        row = self._row(request.resource, _key(request))
        if row is None:
            # The binding makes null of a 404; of any other refusal it makes an error.
            raise ServiceRefusal(404, "Not Found")
        value, metadata, expires = row
        headers = [("CF-KV-Metadata", metadata)] if metadata is not None else []
        if expires is not None:
            headers.append(("CF-Expiration", str(expires)))
        return ServiceAnswer(headers=tuple(headers), body=value)

    def _row(self, namespace: str, name: bytes) -> tuple[bytes, str | None, int | None] | None:
        query = f"SELECT value, metadata, expires FROM entry WHERE namespace = :ns AND name = :name AND {_LIVE}"  # noqa: S608 - no value in it
        with self._db.reading() as db:
            row: tuple[bytes, str | None, int | None] | None = db.execute(
                query, {"ns": namespace, "name": name, "now": int(self.clock())}
            ).fetchone()
        return row

    def _get_many(self, request: ServiceRequest) -> ServiceAnswer:
        asked = request.json()
        keys, kind = asked.get("keys") or [], asked.get("type") or "text"
        if kind not in ("text", "json"):
            raise ServiceRefusal(400, f'"{kind}" is not a valid type. Use "json" or "text"')
        if not 1 <= len(keys) <= MAX_BULK:
            raise ServiceRefusal(400, f"You can request 1 to {MAX_BULK} keys, not {len(keys)}")
        _check_cache_ttl(asked.get("cacheTtl"))
        found: dict[str, Any] = {}
        for key in keys:
            row = self._row(request.resource, key.encode())
            found[key] = None if row is None else _decoded(row[0], kind)
            if row is not None and asked.get("withMetadata"):
                found[key] = {"value": found[key], "metadata": json.loads(row[1]) if row[1] else None}
        return json_answer(found)

    def _put(self, request: ServiceRequest) -> ServiceAnswer:
        if request.size > MAX_VALUE:
            # Before the body is read into memory: its size is known from the file that it waits in.
            raise too_long(request.size)
        metadata = request.headers.get("cf-kv-metadata")
        put = KvPut(name=_key(request), value=request.body.read(), metadata=metadata, times=request.query)
        self.put_all(request.resource, [put])
        return ServiceAnswer()

    def put_all(self, namespace: str, puts: Iterable[KvPut]) -> None:
        """Store values, all or none: raises the refusal of the first that cannot be."""
        rows = [self._row_of(namespace, put) for put in puts]
        with self._db.writing() as db:
            db.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", rows)
            # No read shows them any more; a put is when room is wanted.
            db.execute("DELETE FROM entry WHERE expires <= ?", (int(self.clock()),))

    def _row_of(self, namespace: str, put: KvPut) -> tuple[str, bytes, bytes, str | None, int | None]:
        if len(put.name) > MAX_KEY:
            raise ServiceRefusal(414, f"UTF-8 encoded length of {len(put.name)} exceeds key length limit of {MAX_KEY}.")
        if len(put.value) > MAX_VALUE:
            raise too_long(len(put.value))
        size = len((put.metadata or "").encode())
        if size > MAX_METADATA:
            raise ServiceRefusal(413, f"Metadata length of {size} exceeds limit of {MAX_METADATA}.")
        return namespace, put.name, put.value, put.metadata, self._expires(put.times)

    def _expires(self, times: Mapping[str, str]) -> int | None:
        now = int(self.clock())
        if (ttl := times.get("expiration_ttl")) is not None:
            if _number(ttl) < MIN_TTL:
                raise ServiceRefusal(
                    400, f"Invalid expiration_ttl of {ttl}. Expiration TTL must be at least {MIN_TTL}."
                )
            return now + _number(ttl)
        if (moment := times.get("expiration")) is not None:
            if _number(moment) < now + MIN_TTL:
                soonest = f"Expiration times must be at least {MIN_TTL} seconds in the future."
                raise ServiceRefusal(400, f"Invalid expiration of {moment}. {soonest}")
            return _number(moment)
        return None

    def delete_all(self, namespace: str, names: Iterable[str]) -> None:
        """Delete keys; those that are not there are no mistake."""
        with self._db.writing() as db:
            rows = ((namespace, name.encode()) for name in names)
            db.executemany("DELETE FROM entry WHERE namespace = ? AND name = ?", rows)

    def _delete(self, request: ServiceRequest) -> ServiceAnswer:
        self.delete_all(request.resource, [_key(request).decode()])
        return ServiceAnswer()

    def _list(self, request: ServiceRequest) -> ServiceAnswer:
        limit = _number(request.query.get("key_count_limit", str(MAX_KEYS)))
        if not 1 <= limit <= MAX_KEYS:
            raise ServiceRefusal(
                400, f"Invalid key_count_limit of {limit}. Please specify an integer of 1 to {MAX_KEYS}."
            )
        prefix = request.query.get("prefix", "").encode()
        # One more than is shown tells whether there is more: a cursor that leads to nothing would cost a request.
        keys = self._names(request.resource, prefix, _cursor(request.query.get("cursor")), limit + 1)
        shown = [_listed(*row) for row in keys[:limit]]
        if len(keys) <= limit:
            return json_answer({"keys": shown, "list_complete": True, "cacheStatus": None})
        cursor = base64.urlsafe_b64encode(keys[limit - 1][0]).decode()
        return json_answer({"keys": shown, "list_complete": False, "cursor": cursor, "cacheStatus": None})

    def _names(
        self, namespace: str, prefix: bytes, cursor: bytes, limit: int
    ) -> list[tuple[bytes, str | None, int | None]]:
        query = f"""
            SELECT name, metadata, expires FROM entry
            WHERE namespace = :ns AND name >= :prefix AND name > :cursor AND (:end IS NULL OR name < :end) AND {_LIVE}
            ORDER BY name LIMIT :limit
        """  # noqa: S608 - no value in it
        wanted = {"ns": namespace, "prefix": prefix, "cursor": cursor, "end": after(prefix), "limit": limit}
        with self._db.reading() as db:
            return db.execute(query, {**wanted, "now": int(self.clock())}).fetchall()


def too_long(size: int) -> ServiceRefusal:
    """Refuse a value for its size."""
    return ServiceRefusal(413, f"Value length of {size} exceeds limit of {MAX_VALUE}.")


def _key(request: ServiceRequest) -> bytes:
    return unquote(request.path[1:]).encode()


def _listed(name: bytes, metadata: str | None, expires: int | None) -> dict[str, Any]:
    # The binding itself parses the metadata: here it stays text.
    extra = {"expiration": expires, "metadata": metadata}
    return {"name": name.decode(), **{key: value for key, value in extra.items() if value is not None}}


def _decoded(value: bytes, kind: str) -> Any:
    text = value.decode("utf-8", "replace")
    try:
        return json.loads(text) if kind == "json" else text
    except ValueError:
        raise ServiceRefusal(400, "At least one of the requested keys corresponds to a non-json value") from None


def _check_cache_ttl(text: str | None) -> None:
    if text is not None and _number(text) < MIN_CACHE_TTL:
        raise ServiceRefusal(400, f"Invalid cache_ttl of {text}. Cache TTL must be at least {MIN_CACHE_TTL}.")


def _cursor(text: str | None) -> bytes:
    try:
        return base64.urlsafe_b64decode(text or "")
    except binascii.Error:
        raise ServiceRefusal(400, "Invalid cursor") from None


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ServiceRefusal(400, f"{text} is not a whole number") from None
