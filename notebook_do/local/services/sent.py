"""What Workers gave to services that are only at Cloudflare: data points, records of pipelines, emails.

Nothing leaves this machine. What was sent is kept where a person can list it (the API's `local/sent`), the newest of
each dataset or pipeline only: this is for looking at, and neither a store nor a way to anybody.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from notebook_do.local.services.mail import composed, judged
from notebook_do.local.services.server import Database, ServiceAnswer, ServiceRefusal, ServiceRequest, json_answer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

SentType = Literal["analytics_engine", "pipelines", "send_email"]
MOST_ITEMS = 1_000
"""How many items of one dataset or pipeline, and how many emails, are kept."""
MOST_BYTES = 32 << 20
"""How many bytes those may take; above Cloudflare's 25 MiB of an email, so that the newest is always there."""
MAX_RECORDS = 5 << 20  # of one call of a pipeline, by the page "Limits" of Pipelines
MAX_EMAIL = 25 << 20  # by the page "Limits" of Email Routing
_ABOUT = "notebook-do-email"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sent (
    id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, name TEXT NOT NULL, sent REAL NOT NULL,
    item TEXT NOT NULL, content BLOB, size INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS sent_name ON sent (type, name, id);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentItem:
    """One thing that was sent: to the dataset or pipeline `name`, or an email of the Worker `name`."""

    id: int
    type: str
    name: str
    sent: float
    item: Any
    has_content: bool


class SentService:
    """All that was sent from one data directory."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._db = Database(path, _SCHEMA)
        self._kept: dict[tuple[str, str], tuple[int, int]] = {}

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # --- what bindings ask

    def point(self, request: ServiceRequest) -> ServiceAnswer:
        """Keep one data point, in the form of workerd's own binding; the resource is the dataset."""
        self.keep("analytics_engine", request.resource, [(_point(request.json()), None)])
        return ServiceAnswer()

    def records(self, request: ServiceRequest) -> ServiceAnswer:
        """Keep the records of one call; the resource is the pipeline or stream."""
        if request.size > MAX_RECORDS:
            raise ServiceRefusal(413, f"send() takes at most {MAX_RECORDS} bytes of records, not {request.size}")
        self.keep("pipelines", request.resource, [(record, None) for record in request.json()])
        return ServiceAnswer()

    def email(self, request: ServiceRequest) -> ServiceAnswer:
        """Keep one email, as MIME text; the resource is the name of the Worker."""
        if request.size > MAX_EMAIL:
            raise ServiceRefusal(413, f"an email has at most {MAX_EMAIL} bytes, not {request.size}")
        asked = json.loads(unquote(request.headers[_ABOUT]))
        raw = request.path == "/raw"
        email = judged(asked, request.body.read()) if raw else composed(request.json(), asked["rules"])
        item = {"from": email.sender, "to": list(email.recipients), "subject": email.subject}
        self.keep("send_email", request.resource, [(item, email.content)])
        return json_answer({"messageId": email.message_id})

    def keep(self, type_: SentType, name: str, items: Iterable[tuple[Any, bytes | None]]) -> None:
        """Keep items, each with a content or None; the oldest of their name that are too many go."""
        texts, now = [(json.dumps(item), content) for item, content in items], self.clock()
        rows = [(type_, name, now, text, content, len(text) + len(content or b"")) for text, content in texts]
        with self._db.writing() as db:
            query = "INSERT INTO sent (type, name, sent, item, content, size) VALUES (?, ?, ?, ?, ?, ?)"
            count, size = self._kept_of(db, type_, name)
            db.executemany(query, rows)
            count, size = count + len(rows), size + sum(row[-1] for row in rows)
            while count > MOST_ITEMS or size > MOST_BYTES:
                oldest = "SELECT id, size FROM sent WHERE type = ? AND name = ? ORDER BY id LIMIT 1"
                id_, freed = db.execute(oldest, (type_, name)).fetchone()
                db.execute("DELETE FROM sent WHERE id = ?", (id_,))
                count, size = count - 1, size - freed
            self._kept[type_, name] = count, size

    def _kept_of(self, db: sqlite3.Connection, type_: str, name: str) -> tuple[int, int]:
        """Return how many items of a name there are and their size: counted once, as a Worker may send thousands."""
        if (type_, name) not in self._kept:
            query = "SELECT count(*), coalesce(sum(size), 0) FROM sent WHERE type = ? AND name = ?"
            self._kept[type_, name] = db.execute(query, (type_, name)).fetchone()
        return self._kept[type_, name]

    # --- what a person asks

    def listed(self, type_: str | None, name: str | None, *, before: int | None, limit: int) -> list[SentItem]:
        """List what was sent, the newest first, of one type and name or of all; `before` is the id of a last page."""
        query = """
            SELECT id, type, name, sent, item, content IS NOT NULL FROM sent
            WHERE (:type IS NULL OR type = :type) AND (:name IS NULL OR name = :name)
            AND (:before IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit
        """
        wanted = {"type": type_, "name": name, "before": before, "limit": limit}
        with self._db.reading() as db:
            rows = db.execute(query, wanted).fetchall()
        return [
            SentItem(id=i, type=t, name=n, sent=s, item=json.loads(item), has_content=bool(content))
            for i, t, n, s, item, content in rows
        ]

    def content(self, id_: int) -> bytes | None:
        """Return the MIME text of one email."""
        with self._db.reading() as db:
            row = db.execute("SELECT content FROM sent WHERE id = ?", (id_,)).fetchone()
        return row[0] if row else None

    def clear(self) -> None:
        """Forget all that was sent."""
        with self._db.writing() as db:
            db.execute("DELETE FROM sent")
            self._kept.clear()


def _point(event: Mapping[str, Any]) -> dict[str, Any]:
    """Read a data point as the columns of Analytics Engine's SQL; a double that is 0 and an empty text are left out."""
    columns = {name: value for name, value in event.items() if name.startswith(("index", "blob", "double")) and value}
    # workerd sends all doubles, those that were not given as 0; texts are lists of bytes.
    return {name: _text(value) if isinstance(value, list) else value for name, value in columns.items()}


def _text(value: list[int]) -> str | dict[str, str]:
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}
