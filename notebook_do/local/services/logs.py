"""What Workers did and logged, kept for later: a ring of the last events of each script, in one SQLite file.

Events come in batches and are kept so, each batch one row: a row an event would cost more than the requests. What is
not there is said: events that were too many to be reported, that the ring dropped, or that a killed process took along.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.local.services.server import Database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)
MOST_EVENTS = 10_000
"""How many events of one script are kept."""
MOST_BYTES = 64 << 20
"""How many bytes those may take."""
_MOST_GAPS = 100
_SAME = 1000
"""Milliseconds between two gaps of one load."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    id INTEGER PRIMARY KEY AUTOINCREMENT, script TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    events INTEGER NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS batch_script ON batch (script, id);
CREATE TABLE IF NOT EXISTS gap (
    id INTEGER PRIMARY KEY AUTOINCREMENT, script TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    lost INTEGER, why TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS ring (script TEXT PRIMARY KEY, dropped INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS run (open INTEGER NOT NULL);
"""
_NOTHING: dict[str, Any] = {"logs": (), "exceptions": ()}
"""What an event without its like leaves out."""
TOO_MANY, DROPPED, KILLED, CRASHED = "too many", "dropped", "killed", "crashed"
"""Why events are missing."""

Seen = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Makes of an event what is kept of it, or nothing."""


def _as_it_is(event: dict[str, Any]) -> dict[str, Any]:
    return event


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingEvents:
    """Events that are not there: between which moments (milliseconds), how many where that is known, and why."""

    first: int
    last: int
    lost: int | None
    why: str


@dataclass(slots=True)
class _Size:
    events: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvents:
    """The events of a script in a time, oldest first, and what is missing of them."""

    events: list[dict[str, Any]] = field(default_factory=list)
    missing: tuple[MissingEvents, ...] = ()


def _said(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        _log.error("events could not be kept", exc_info=error)


class LogStore:
    """The kept events of all scripts of one data directory."""

    def __init__(self, path: Path, seen: Seen = _as_it_is, clock: Callable[[], float] = time.time) -> None:
        """Open the file; where the last process that had it was killed, that is noted."""
        self._clock, self._seen = clock, seen
        self._thread = ThreadPoolExecutor(1, "logs")  # the loop that carries requests waits for no disk
        self._db = Database(path, _SCHEMA)
        self._sizes: dict[str, _Size] = defaultdict(_Size)
        with self._db.writing() as db:
            for script, events, size in db.execute(
                "SELECT script, sum(events), sum(length(body)) FROM batch GROUP BY script"
            ):
                self._sizes[script] = _Size(events, size)
            if db.execute("SELECT count(*) FROM run").fetchone()[0]:
                last = db.execute("SELECT script, max(last) FROM batch GROUP BY script").fetchall()
                now = self._now()
                for script, moment in last:
                    _note(db, script, MissingEvents(first=moment, last=now, lost=None, why=KILLED))
            else:
                db.execute("INSERT INTO run VALUES (1)")

    def close(self) -> None:
        """Keep what is waiting, and close the file."""
        self._thread.shutdown()
        with self._db.writing() as db:
            db.execute("DELETE FROM run")
        self._db.close()

    def take(self, body: bytes) -> None:
        """Keep what one message holds, soon, by a thread of its own."""
        self._thread.submit(lambda: self.keep(json.loads(body))).add_done_callback(_said)

    async def taken(self) -> None:
        """Wait until all is kept that was taken before."""
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: None)

    def keep(self, told: Sequence[dict[str, Any]]) -> None:
        """Keep what one message told: events, and how many of a script were too many."""
        events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        lost: dict[str, int] = defaultdict(int)
        for one in told:
            if "lost" in one:
                lost[one["script"]] += one["lost"]
            elif (event := self._seen({**_NOTHING, **one})) is not None:
                events[event["script"]].append(event)
        with self._db.writing() as db:
            for script, found in events.items():
                self._insert(db, script, found)
            now = self._now()
            for script, count in lost.items():
                moments = [one["time"] for one in events[script]] or [now]
                _note(db, script, MissingEvents(first=max(moments), last=now, lost=count, why=TOO_MANY))

    def crashed(self, scripts: Iterable[str]) -> None:
        """Note that a process ended by itself, with what it had not handed over yet."""
        now = self._now()
        with self._db.writing() as db:
            for script in scripts:
                _note(db, script, MissingEvents(first=now, last=now, lost=None, why=CRASHED))

    def forget(self, script: str) -> None:
        """Drop all that is kept of a script."""
        with self._db.writing() as db:
            for table in ("batch", "gap", "ring"):
                db.execute(f"DELETE FROM {table} WHERE script = ?", (script,))  # noqa: S608 - names of our own
        self._sizes.pop(script, None)

    def read(self, script: str, since: int, until: int) -> KeptEvents:
        """Return what is kept of a script between two moments, both in milliseconds and taking part.

        Each event has an `id` that it keeps.
        """
        with self._db.reading() as db:
            bodies = db.execute(
                "SELECT id, body FROM batch WHERE script = ? AND last >= ? AND first <= ? ORDER BY id",
                (script, since, until),
            ).fetchall()
            gaps = db.execute(
                "SELECT first, last, lost, why FROM gap WHERE script = ? AND last >= ? AND first <= ? ORDER BY id",
                (script, since, until),
            ).fetchall()
            missing = [MissingEvents(first=f, last=to, lost=count, why=why) for f, to, count, why in gaps]
            if early := self._early(db, script, since):
                missing.insert(0, early)
        found = [
            {**one, "id": f"{batch:012x}{at:06x}"}
            for batch, body in bodies
            for at, one in enumerate(json.loads(body))
            if since <= one["time"] <= until
        ]
        return KeptEvents(events=sorted(found, key=lambda one: one["time"]), missing=tuple(missing))

    def scripts(self) -> list[str]:
        """List the scripts of which something is kept."""
        return sorted(script for script, size in self._sizes.items() if size.events)

    def _early(self, db: sqlite3.Connection, script: str, since: int) -> MissingEvents | None:
        """Return what the ring dropped, where that lies behind `since`."""
        dropped = db.execute("SELECT dropped FROM ring WHERE script = ?", (script,)).fetchone()
        oldest = db.execute("SELECT min(first) FROM batch WHERE script = ?", (script,)).fetchone()[0]
        if dropped is None or oldest is None or oldest <= since:
            return None
        return MissingEvents(first=since, last=oldest, lost=None, why=DROPPED)

    def _insert(self, db: sqlite3.Connection, script: str, found: list[dict[str, Any]]) -> None:
        body = json.dumps(found, separators=(",", ":"))
        moments = [one["time"] for one in found]
        db.execute(
            "INSERT INTO batch (script, first, last, events, body) VALUES (?, ?, ?, ?, ?)",
            (script, min(moments), max(moments), len(found), body),
        )
        size = self._sizes[script]
        size.events, size.bytes = size.events + len(found), size.bytes + len(body)
        if size.events > MOST_EVENTS or size.bytes > MOST_BYTES:
            self._trim(db, script, size)

    def _trim(self, db: sqlite3.Connection, script: str, size: _Size) -> None:
        """Drop the oldest batches that are over the bounds; the newest one always stays."""
        last, dropped, newest = 0, 0, db.execute("SELECT max(id) FROM batch").fetchone()[0]
        for number, events, length in db.execute(
            "SELECT id, events, length(body) FROM batch WHERE script = ? AND id < ? ORDER BY id", (script, newest)
        ):
            if size.events <= MOST_EVENTS and size.bytes <= MOST_BYTES:
                break
            last, dropped = number, dropped + events
            size.events, size.bytes = size.events - events, size.bytes - length
        db.execute("DELETE FROM batch WHERE script = ? AND id <= ?", (script, last))
        db.execute(
            "INSERT INTO ring VALUES (?, ?) ON CONFLICT (script) DO UPDATE SET dropped = dropped + excluded.dropped",
            (script, dropped),
        )

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _note(db: sqlite3.Connection, script: str, gap: MissingEvents) -> None:
    """Note a gap; one that goes on from the last one for the same reason is the same."""
    last = db.execute("SELECT id, last, why FROM gap WHERE script = ? ORDER BY id DESC LIMIT 1", (script,)).fetchone()
    if last and last[2] == gap.why == TOO_MANY and gap.first - last[1] <= _SAME:
        db.execute("UPDATE gap SET last = ?, lost = lost + ? WHERE id = ?", (gap.last, gap.lost, last[0]))
        return
    db.execute(
        "INSERT INTO gap (script, first, last, lost, why) VALUES (?, ?, ?, ?, ?)",
        (script, gap.first, gap.last, gap.lost, gap.why),
    )
    db.execute("DELETE FROM gap WHERE script = ? AND id <= (SELECT max(id) FROM gap) - ?", (script, _MOST_GAPS))
