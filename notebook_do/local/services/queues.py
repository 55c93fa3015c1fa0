"""Queues and their consumers, in one SQLite database: what was sent stays until it was acknowledged or gave up.

A message that nobody consumes waits for a consumer, for four days as on Cloudflare. What is under way when the
process ends is delivered again: at least once, as on Cloudflare.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from notebook_do.local.services.database import Database
from notebook_do.local.services.server import ServiceAnswer, ServiceRefusal, ServiceRequest, json_answer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

MAX_MESSAGE = 128_000
MAX_BATCH = 100
MAX_BATCH_BYTES = 256_000
MAX_DELAY = 86_400
KEPT_SECONDS = 4 * 86_400
_CODE = "15000"  # the code of an error without one of its own
_KINDS = frozenset({"text", "bytes", "json", "v8"})
_SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, created_on REAL NOT NULL);
CREATE TABLE IF NOT EXISTS consumer (
    queue TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, script TEXT NOT NULL, settings TEXT NOT NULL,
    dead_letter_queue TEXT, created_on REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS message (
    id TEXT PRIMARY KEY, queue TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL, sent REAL NOT NULL,
    due REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, leased INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS message_due ON message (queue, leased, due);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """The Worker that consumes a queue, and how: the defaults are Cloudflare's."""

    queue: str
    id: str
    script: str
    batch_size: int = 10
    max_wait: float = 5.0
    max_retries: int = 3
    retry_delay: int = 0
    dead_letter_queue: str | None = None
    created_on: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message on its way to a consumer; `attempts` counts this one."""

    id: str
    kind: str
    body: bytes
    sent: float
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a batch: ids acknowledged, and ids to be retried with the seconds to wait."""

    acknowledged: frozenset[str]
    retried: dict[str, int]


class QueueService:
    """All queues of one data directory. A queue begins with its first message or consumer."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.on_change: Callable[[], None] = lambda: None
        """Called, from any thread, when there may be something to deliver."""
        self._db = Database(path, _SCHEMA)
        with self._db.writing() as db:
            db.execute("UPDATE message SET leased = 0")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # --- producers

    def handle(self, request: ServiceRequest) -> ServiceAnswer:
        """Answer one request of a queue binding; the resource is the queue's name."""
        try:
            return self._answer(request)
        except ServiceRefusal as refusal:
            # Newer Workers are shown these headers, older ones the reason phrase.
            said = (("CF-Queues-Error-Code", _CODE), ("CF-Queues-Error-Cause", refusal.text))
            return replace(refusal.answer(), headers=said)

    def _answer(self, request: ServiceRequest) -> ServiceAnswer:
        match request.method, request.path:
            case "POST", "/message":
                delay = _delay(request.headers.get("x-msg-delay-secs"))
                self._send(request.resource, [(request.headers.get("x-msg-fmt", "v8"), request.body.read(), delay)])
            case "POST", "/batch":
                self._send(request.resource, _batch(request))
            case "GET", "/metrics":
                return json_answer(self.metrics(request.resource))
            case _:
                raise ServiceRefusal(404, "Not Found")
        return json_answer({"metadata": {"metrics": self.metrics(request.resource)}})

    def _send(self, queue: str, messages: list[tuple[str, bytes, int]]) -> None:
        if len(messages) > MAX_BATCH or sum(len(body) for _, body, _ in messages) > MAX_BATCH_BYTES:
            raise ServiceRefusal(413, f"a batch holds at most {MAX_BATCH} messages and {MAX_BATCH_BYTES} bytes")
        now = self.clock()
        rows = []
        for kind, body, delay in messages:
            if kind not in _KINDS:
                raise ServiceRefusal(400, f"message content type {kind} is invalid")
            if len(body) > MAX_MESSAGE:
                raise ServiceRefusal(413, f"message length of {len(body)} bytes exceeds limit of {MAX_MESSAGE}")
            rows.append((secrets.token_hex(16), queue, kind, body, now, now + delay))
        with self._db.writing() as db:
            self._ensure(db, queue)
            db.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, 0, 0)", rows)
        self.on_change()

    def _ensure(self, db: sqlite3.Connection, queue: str) -> None:
        row = (queue, secrets.token_hex(16), self.clock())
        db.execute("INSERT OR IGNORE INTO queue VALUES (?, ?, ?)", row)

    def metrics(self, queue: str) -> dict[str, Any]:
        """Give what waits in a queue, as the binding shows it."""
        query = "SELECT count(*), coalesce(sum(length(body)), 0), min(sent) FROM message WHERE queue = ?"
        with self._db.reading() as db:
            count, size, oldest = db.execute(query, (queue,)).fetchone()
        return {"backlogCount": count, "backlogBytes": size, "oldestMessageTimestamp": int((oldest or 0) * 1000)}

    # --- queues and consumers

    def create(self, queue: str) -> None:
        """Make a queue that is there before its first message."""
        with self._db.writing() as db:
            self._ensure(db, queue)

    def queues(self) -> list[tuple[str, str, float]]:
        """List (name, id, created on)."""
        with self._db.reading() as db:
            return db.execute("SELECT name, id, created_on FROM queue ORDER BY name").fetchall()

    def delete(self, queue: str) -> None:
        """Delete a queue with its messages and its consumer."""
        with self._db.writing() as db:
            for statement in ("message WHERE queue", "consumer WHERE queue", "queue WHERE name"):
                db.execute(f"DELETE FROM {statement} = ?", (queue,))  # noqa: S608 - the three above

    def consume(
        self, queue: str, script: str, settings: dict[str, Any], *, dead_letter_queue: str | None = None
    ) -> Consumer:
        """Make a Worker the consumer of a queue, in place of any other; `settings` in the API's own words."""
        with self._db.writing() as db:
            self._ensure(db, queue)
            if dead_letter_queue:
                self._ensure(db, dead_letter_queue)
            row = (queue, secrets.token_hex(16), script, json.dumps(settings), dead_letter_queue, self.clock())
            db.execute("INSERT OR REPLACE INTO consumer VALUES (?, ?, ?, ?, ?, ?)", row)
        self.on_change()
        return self.consumers()[queue]

    def abandon(self, queue: str) -> bool:
        """Take a queue's consumer away; False when it had none."""
        with self._db.writing() as db:
            return bool(db.execute("DELETE FROM consumer WHERE queue = ?", (queue,)).rowcount)

    def consumers(self) -> dict[str, Consumer]:
        """Give all consumers by queue."""
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT queue, id, script, settings, dead_letter_queue, created_on FROM consumer"
            ).fetchall()
        return {row[0]: _consumer(row) for row in rows}

    # --- delivery

    def ready_at(self, consumer: Consumer) -> float | None:
        """Say when a consumer's next batch is due: full, or its oldest message has waited enough; None for nothing."""
        query = "SELECT due FROM message WHERE queue = ? AND leased = 0 ORDER BY due LIMIT ?"
        with self._db.reading() as db:
            due = [float(moment) for (moment,) in db.execute(query, (consumer.queue, consumer.batch_size))]
        if not due:
            return None
        waited = due[0] + consumer.max_wait
        return min(waited, due[-1]) if len(due) == consumer.batch_size else waited

    def take(self, consumer: Consumer) -> list[Message]:
        """Lease the next batch of a queue."""
        now = self.clock()
        with self._db.writing() as db:
            db.execute("DELETE FROM message WHERE sent < ?", (now - KEPT_SECONDS,))
            query = (
                "UPDATE message SET leased = 1, attempts = attempts + 1 WHERE id IN (SELECT id FROM message"
                " WHERE queue = ? AND leased = 0 AND due <= ? ORDER BY due, rowid LIMIT ?)"
                " RETURNING id, kind, body, sent, attempts, rowid"
            )
            rows = db.execute(query, (consumer.queue, now, consumer.batch_size)).fetchall()
        rows.sort(key=lambda row: row[-1])
        return [Message(id=i, kind=k, body=b, sent=s, attempts=a) for i, k, b, s, a, _ in rows]

    def settle(self, consumer: Consumer, batch: list[Message], verdict: Verdict) -> None:
        """Write down what became of a batch; what was retried too often goes to the dead letter queue, or away."""
        now = self.clock()
        with self._db.writing() as db:
            for message in batch:
                if message.id in verdict.acknowledged or message.id not in verdict.retried:
                    db.execute("DELETE FROM message WHERE id = ?", (message.id,))
                elif message.attempts <= consumer.max_retries:
                    due = now + verdict.retried[message.id]
                    db.execute("UPDATE message SET leased = 0, due = ? WHERE id = ?", (due, message.id))
                elif consumer.dead_letter_queue:
                    row = (consumer.dead_letter_queue, now, message.id)
                    db.execute("UPDATE message SET leased = 0, attempts = 0, queue = ?, due = ? WHERE id = ?", row)
                else:
                    db.execute("DELETE FROM message WHERE id = ?", (message.id,))
        self.on_change()

    def give_back(self, batch: list[Message]) -> None:
        """Undo a lease: the batch reached nobody."""
        with self._db.writing() as db:
            for message in batch:
                db.execute("UPDATE message SET leased = 0, attempts = attempts - 1 WHERE id = ?", (message.id,))


def _batch(request: ServiceRequest) -> list[tuple[str, bytes, int]]:
    common = request.headers.get("x-msg-delay-secs")
    return [
        (item.get("contentType", "v8"), base64.b64decode(item["body"]), _delay(item.get("delaySecs", common)))
        for item in request.json()["messages"]
    ]


def _delay(value: Any) -> int:
    delay = int(value or 0)
    if not 0 <= delay <= MAX_DELAY:
        raise ServiceRefusal(400, f"delaySeconds {delay} is not between 0 and {MAX_DELAY}")
    return delay


def _consumer(row: tuple[str, str, str, str, str | None, float]) -> Consumer:
    queue, id_, script, settings, dead_letter_queue, created_on = row
    said = {key: value for key, value in json.loads(settings).items() if value is not None}
    return Consumer(
        queue=queue,
        id=id_,
        script=script,
        batch_size=int(said.get("batch_size", 10)),
        max_wait=float(said.get("max_wait_time_ms", 5000)) / 1000,
        max_retries=int(said.get("max_retries", 3)),
        retry_delay=int(said.get("retry_delay", 0)),
        dead_letter_queue=dead_letter_queue,
        created_on=created_on,
    )
