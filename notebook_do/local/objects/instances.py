"""The instances of workflows, read from the files in which workerd's engine keeps them, while it may be writing.

The engine keeps an instance as a Durable Object named by its id: its state is stored under `meta`, the record of each
step under `s:`, its history under `l:`. Nothing has to run for a look at them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.local.objects import v8
from notebook_do.local.objects.stored import alarms, folder_of, object_id, reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

KEY = "miniflare-workflows-"
"""What workerd puts before a workflow's name where it names a folder, and makes the ids of instances from."""
_WATCH = 600.0
"""Seconds: no later than this is the alarm of an instance whose code runs (`WATCH_MS` of workerd's engine)."""
_MOST_PARTS = 2_000_000
"""How many parts a value may have: the engine keeps outputs of up to 1 MiB."""
_STATUSES = {
    "workflow_queued": "queued",
    "rollback_started": "rollingBack",
    "workflow_started": "running",
    "workflow_running": "running",
    "workflow_paused": "paused",
    "workflow_waiting_for_pause": "waitingForPause",
    "workflow_waiting": "waiting",
    "workflow_completed": "complete",
    "workflow_errored": "errored",
    "workflow_terminated": "terminated",
}
"""The events of a history that say which status an instance has from then on."""
_AT_WORK = frozenset(("queued", "running", "waitingForPause", "rollingBack"))
"""The statuses in which code of a Worker runs, or is about to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What is kept of one instance; times are Unix time in milliseconds.

    `events` is its history, oldest first; `records` are what is kept of its steps, by the engine's own keys.
    """

    id: str
    status: str
    created: float
    modified: float
    meta: dict[str, Any]
    events: tuple[dict[str, Any], ...]
    records: dict[str, dict[str, Any]]

    def first(self, kind: str) -> float | None:
        """Return when the first event of a kind was."""
        return next((event["timestamp"] for event in self.events if event["type"] == kind), None)

    @property
    def ended(self) -> float | None:
        """Return when it ended; None while it has not."""
        return self.modified if self.status in {"complete", "errored", "terminated"} else None


def at_work(storage: Path, workflow_id: str) -> Iterator[str]:
    """Yield the ids of the instances in whose steps code runs, or ran when their process ended.

    A process that has some is needed, and one that ended with some has to be started again: the engine itself waits
    ten minutes before it takes up what a crash cut short.
    """
    soon = time.time() + _WATCH
    for alarm in alarms(storage, workflow_id):
        if alarm.at > soon:
            return
        meta = _meta(folder_of(storage, workflow_id) / f"{alarm.object_id}.sqlite")
        if meta is not None and meta["status"] in _AT_WORK:
            yield str(meta["id"])


def instances(storage: Path, workflow_id: str) -> list[Instance]:
    """List the instances of a workflow, newest first, without their history but for its last event."""
    files = folder_of(storage, workflow_id).glob("*.sqlite")
    found = [made for file in files if (made := _read(file, whole=False)) is not None]
    return sorted(found, key=lambda one: (one.created, one.id), reverse=True)


def instance(storage: Path, workflow_id: str, name: str, instance_id: str) -> Instance | None:
    """Return one instance of the workflow of this id and name, with its history; None where there is none."""
    file = folder_of(storage, workflow_id) / f"{object_id(KEY + name, instance_id)}.sqlite"
    return _read(file, whole=True)


def _read(file: Path, *, whole: bool) -> Instance | None:
    with reading(file) as database:
        meta = None if database is None else _value(database, "meta")
        if database is None or meta is None:
            return None
        history = tuple(value for _, value in _values(database, "l:", "" if whole else "DESC LIMIT 1"))
        records = dict(_values(database, "s:")) if whole else {}
    return Instance(
        id=str(meta["id"]),
        status=str(meta["status"]),
        created=meta["created"],
        modified=history[-1]["timestamp"] if history else meta["created"],
        meta=meta,
        events=history,
        records=records,
    )


def _meta(file: Path) -> dict[str, Any] | None:
    with reading(file) as database:
        return None if database is None else _value(database, "meta")


def _value(database: sqlite3.Connection, key: str) -> dict[str, Any] | None:
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = '_cf_KV'").fetchone():
        return None
    row = database.execute("SELECT value FROM _cf_KV WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    # Parameters or an output may be what no JSON can show: then the history tells what comes behind them.
    found = v8.beginning(row[0], most=_MOST_PARTS)
    return found if "status" in found else _told(database)


def _told(database: sqlite3.Connection) -> dict[str, Any] | None:
    """Return what the history of an instance tells of it, without its parameters and its output."""
    events = [event for _, event in _values(database, "l:")]
    statuses = [_STATUSES[event["type"]] for event in events if event["type"] in _STATUSES]
    if not statuses:
        return None
    return {"id": events[0]["instanceId"], "created": events[0]["timestamp"], "status": statuses[-1], "started": True}


def _values(database: sqlite3.Connection, prefix: str, order: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    query = f"SELECT key, value FROM _cf_KV WHERE key >= ? AND key < ? ORDER BY key {order}"  # noqa: S608 - as above
    for key, stored in database.execute(query, (prefix, prefix.replace(":", ";"))):  # the letter that follows it
        yield str(key), v8.beginning(stored, most=_MOST_PARTS)


# --- as the API tells of it


def steps_of(one: Instance) -> list[dict[str, Any]]:
    """Return the steps of an instance as Cloudflare's API lists them, in the order in which they began."""
    steps: dict[str, dict[str, Any]] = {}
    for event in one.events:
        kind, _, what = event["type"].rpartition("_")
        if kind in _BEGINNINGS and what == "started":
            steps[f"{_BEGINNINGS[kind]}/{event['stepName']}"] = _begun(kind, event, one)
        elif kind in _WITHIN and (step := steps.get(f"{_WITHIN[kind]}/{event['stepName']}")):
            _go_on(step, kind, what, event, one)
        elif event["type"] == "workflow_terminated":
            steps["termination"] = {"type": "termination", "trigger": {"source": "api"}}
    return list(steps.values())


_BEGINNINGS = {"step": "step", "rollback_step": "rollback", "sleep": "sleep", "wait": "waitForEvent"}
_WITHIN = {**_BEGINNINGS, "attempt": "step", "rollback_attempt": "rollback", "wait_timed": "waitForEvent"}


def _begun(kind: str, event: dict[str, Any], one: Instance) -> dict[str, Any]:
    start, name = event["timestamp"], event["stepName"]
    common = {"name": name, "type": _BEGINNINGS[kind], "start": start}
    match kind:
        case "sleep":
            return {**common, "end": start + event["durationMs"], "finished": False, "error": None}
        case "wait":
            deadline = _record(one, name).get("deadline", start)
            return {**common, "end": deadline, "finished": False, "error": None, "event_type": event.get("eventType")}
    return {**common, "end": None, "success": None, "config": event.get("config"), "attempts": []}


def _go_on(step: dict[str, Any], kind: str, what: str, event: dict[str, Any], one: Instance) -> None:
    at = event["timestamp"]
    if kind in {"attempt", "rollback_attempt"}:
        if what == "started":
            step["attempts"].append({"start": at, "end": None, "success": None, "error": None})
        elif step["attempts"]:
            step["attempts"][-1].update(end=at, success=what == "completed", error=event.get("error"))
    elif kind in {"step", "rollback_step"}:
        step.update(end=at, success=what == "completed", output=event.get("output"))
    else:
        step.update(end=at, finished=True)
        record = _record(one, event["stepName"])
        if what == "completed" and kind == "wait":
            step["output"] = (record.get("value") or {}).get("payload")
        elif what == "out":
            step["error"] = record.get("error")


def _record(one: Instance, step_name: str) -> dict[str, Any]:
    """Return what is kept of a wait for an event: its key has the name of the step and its number the other way."""
    name, _, count = step_name.rpartition("-")
    return one.records.get(f"s:waitForEvent:{count}:{name}", {})
