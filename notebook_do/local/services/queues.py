"""Queues, their consumers and the delivery: what was sent stays in one SQLite database until it is done with.

A message that nobody consumes waits for a consumer, for four days as on Cloudflare. What is under way when the
process ends is delivered again: at least once, as on Cloudflare. One batch of a queue is delivered at a time.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from notebook_do.local.services.server import Database, ServiceAnswer, ServiceRefusal, ServiceRequest, json_answer

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


# Those of the page "Limits" of Queues.
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


Deliver = Callable[[str, str, list[dict[str, Any]]], Awaitable[dict[str, Any]]]
"""(script, queue, messages) -> workerd's result of the event; raises LookupError when the script is not deployed."""
_UNDEPLOYED_SECONDS = 5.0
_log = logging.getLogger(__name__)


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


class QueueService:
    """All queues of one data directory. A queue begins with its first message or consumer."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.on_change: Callable[[], object] = lambda: None
        """Called, from any thread, when there may be something to deliver."""
        self._db = Database(path, _SCHEMA)
        with self._db.writing() as db:  # what a process before this one had under way
            db.execute("UPDATE message SET leased = 0")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def handle(self, request: ServiceRequest) -> ServiceAnswer:
        """Answer one request of a queue binding; the resource is the queue's name."""
        try:
            return self._answer(request)
        except ServiceRefusal as refusal:
            # Newer Workers are shown these headers, older ones the reason phrase.
            error = (("CF-Queues-Error-Code", _CODE), ("CF-Queues-Error-Cause", refusal.text))
            return replace(refusal.answer(), headers=error)

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
        db.execute("INSERT OR IGNORE INTO queue VALUES (?, ?, ?)", (queue, secrets.token_hex(16), self.clock()))

    def metrics(self, queue: str) -> dict[str, Any]:
        """Return what waits in a queue, as the binding shows it."""
        query = "SELECT count(*), coalesce(sum(length(body)), 0), min(sent) FROM message WHERE queue = ?"
        with self._db.reading() as db:
            count, size, oldest = db.execute(query, (queue,)).fetchone()
        return {"backlogCount": count, "backlogBytes": size, "oldestMessageTimestamp": int((oldest or 0) * 1000)}

    def create(self, queue: str) -> None:
        """Make a queue before its first message."""
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
            for name in filter(None, (queue, dead_letter_queue)):
                self._ensure(db, name)
            row = (queue, secrets.token_hex(16), script, json.dumps(settings), dead_letter_queue, self.clock())
            db.execute("INSERT OR REPLACE INTO consumer VALUES (?, ?, ?, ?, ?, ?)", row)
        self.on_change()
        return self.consumers()[queue]

    def abandon(self, queue: str) -> None:
        """Take a queue's consumer away, if it has one; the messages stay."""
        with self._db.writing() as db:
            db.execute("DELETE FROM consumer WHERE queue = ?", (queue,))

    def consumers(self) -> dict[str, Consumer]:
        """Return all consumers by queue."""
        query = "SELECT queue, id, script, settings, dead_letter_queue, created_on FROM consumer"
        with self._db.reading() as db:
            return {row[0]: _consumer(*row) for row in db.execute(query)}

    def ready_at(self, consumer: Consumer) -> float | None:
        """Return when a consumer's next batch is due: when it is full, or its oldest message has waited enough."""
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
        rows.sort(key=lambda row: row[-1])  # RETURNING keeps no order
        return [Message(id=i, kind=k, body=b, sent=s, attempts=a) for i, k, b, s, a, _ in rows]

    def settle(self, consumer: Consumer, batch: list[Message], retries: dict[str, int]) -> None:
        """Record what became of a batch: `retries` wait again, for so many seconds, and the rest is done with.

        What was retried too often is moved to the dead letter queue, or deleted where there is none.
        """
        now = self.clock()
        with self._db.writing() as db:
            for message in batch:
                # `attempts` has the first delivery in it, which is no retry.
                if message.id in retries and message.attempts <= consumer.max_retries:
                    due = now + retries[message.id]
                    db.execute("UPDATE message SET leased = 0, due = ? WHERE id = ?", (due, message.id))
                elif message.id in retries and consumer.dead_letter_queue:
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


def _consumer(queue: str, id_: str, script: str, settings: str, dead: str | None, created_on: float) -> Consumer:  # noqa: PLR0913, PLR0917 - one row
    given = {key: value for key, value in json.loads(settings).items() if value is not None}
    kept: dict[str, Any] = {k: int(given[k]) for k in ("batch_size", "max_retries", "retry_delay") if k in given}
    if "max_wait_time_ms" in given:
        kept["max_wait"] = float(given["max_wait_time_ms"]) / 1000
    return Consumer(queue=queue, id=id_, script=script, dead_letter_queue=dead, created_on=created_on, **kept)


class Delivery:
    """Hands batches to the `queue()` handlers of the consumers, from `start` to `close`."""

    def __init__(self, queues: QueueService, deliver: Deliver) -> None:
        self._queues, self._deliver = queues, deliver
        self._changed = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch; call it in the event loop that `deliver` needs."""
        loop = asyncio.get_running_loop()
        self._queues.on_change = lambda: loop.call_soon_threadsafe(self._changed.set)
        self._watch = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; a batch that is under way is delivered again later."""
        self._queues.on_change = lambda: None
        tasks = [*self._busy.values(), *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            # Cleared before it looks: what comes while it looks wakes it again.
            self._changed.clear()
            wait = await self._begin_due()
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    async def _begin_due(self) -> float | None:
        """Begin the batches that are due; returns the seconds until the next one is."""
        now, soonest = self._queues.clock(), None
        for queue, consumer in self._queues.consumers().items():
            due = await asyncio.to_thread(self._queues.ready_at, consumer)
            if due is None or queue in self._busy:
                continue
            wait = max(due, self._not_before.get(queue, 0.0)) - now
            if wait <= 0:
                task = asyncio.create_task(self._carry(consumer))
                self._busy[queue] = task
                task.add_done_callback(partial(self._free, queue))
            else:
                soonest = wait if soonest is None else min(soonest, wait)
        return soonest

    def _free(self, queue: str, _task: asyncio.Task[None]) -> None:
        # Of a queue one batch is under way at a time, so what came meanwhile has waited for this.
        self._busy.pop(queue, None)
        self._changed.set()

    async def _carry(self, consumer: Consumer) -> None:
        batch = await asyncio.to_thread(self._queues.take, consumer)
        if not batch:
            return
        try:
            result = await self._deliver(consumer.script, consumer.queue, [_event(message) for message in batch])
        except LookupError:
            # Nobody is there: the messages wait, and none of them has used up an attempt. Not delivered at once again,
            # which would be a busy loop until somebody deploys.
            self._not_before[consumer.queue] = self._queues.clock() + _UNDEPLOYED_SECONDS
            await asyncio.to_thread(self._queues.give_back, batch)
            return
        except Exception as error:  # noqa: BLE001 - whatever keeps the Worker from taking it is a failed attempt
            _log.warning("queue %s: Worker %s did not take the batch: %s", consumer.queue, consumer.script, error)
            result = {"outcome": "exception"}
        await asyncio.to_thread(self._queues.settle, consumer, batch, retries_of(consumer, batch, result))


def _event(message: Message) -> dict[str, Any]:
    body, sent = base64.b64encode(message.body).decode(), int(message.sent * 1000)
    return {"id": message.id, "timestamp": sent, "attempts": message.attempts, "kind": message.kind, "body": body}


def retries_of(consumer: Consumer, batch: list[Message], result: dict[str, Any]) -> dict[str, int]:
    """Read from workerd's result which messages to deliver again, by id with the seconds to wait.

    What a handler acknowledged by itself stays so, whatever happened to the rest: also when it threw afterwards.
    """
    asked = {item["msgId"]: item.get("delaySeconds") for item in result.get("retryMessages") or []}
    all_again = result.get("retryBatch") or {}
    failed = result.get("outcome") != "ok" or bool(all_again.get("retry"))
    acknowledged = set(result.get("explicitAcks") or ())
    if result.get("ackAll"):
        acknowledged |= {message.id for message in batch} - asked.keys()
    common = all_again.get("delaySeconds")
    fallback = consumer.retry_delay if common is None else common
    again = {m.id for m in batch if (failed or m.id in asked) and m.id not in acknowledged}
    delays = {id_: fallback if asked.get(id_) is None else asked[id_] for id_ in again}
    return {id_: int(delay or 0) for id_, delay in delays.items()}
