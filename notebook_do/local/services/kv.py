"""KV namespaces, in the protocol that workerd's own KV binding speaks: one SQLite table, keys in UTF-8 order.

Cloudflare's limits and refusals are kept. Its eventual consistency is not: a value is there once it was put.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
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
    from collections.abc import Callable
    from pathlib import Path

MAX_VALUE = 25 << 20
MAX_METADATA = 1024
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
            raise ServiceRefusal(413, f"Value length of {request.size} exceeds limit of {MAX_VALUE}.")
        metadata = request.headers.get("cf-kv-metadata")
        if metadata is not None and len(metadata.encode()) > MAX_METADATA:
            raise ServiceRefusal(413, f"Metadata length of {len(metadata.encode())} exceeds limit of {MAX_METADATA}.")
        row = (request.resource, _key(request), request.body.read(), metadata, self._expires(request))
        with self._db.writing() as db:
            db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", row)
            # No read shows them any more; a put is when room is wanted.
            db.execute("DELETE FROM entry WHERE expires <= ?", (int(self.clock()),))
        return ServiceAnswer()

    def _expires(self, request: ServiceRequest) -> int | None:
        now = int(self.clock())
        if (ttl := request.query.get("expiration_ttl")) is not None:
            if _number(ttl) < MIN_TTL:
                raise ServiceRefusal(
                    400, f"Invalid expiration_ttl of {ttl}. Expiration TTL must be at least {MIN_TTL}."
                )
            return now + _number(ttl)
        if (moment := request.query.get("expiration")) is not None:
            if _number(moment) < now + MIN_TTL:
                soonest = f"Expiration times must be at least {MIN_TTL} seconds in the future."
                raise ServiceRefusal(400, f"Invalid expiration of {moment}. {soonest}")
            return _number(moment)
        return None

    def _delete(self, request: ServiceRequest) -> ServiceAnswer:
        with self._db.writing() as db:
            db.execute("DELETE FROM entry WHERE namespace = ? AND name = ?", (request.resource, _key(request)))
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
