"""Records of what Workers logged, of Cloudflare's telemetry and of a tail's events: one form for both.

The telemetry has one event a line, a tail one event an invocation. What the target does not tell is None. Emulated: the
form of an exception in the telemetry is not documented.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEVELS = ("debug", "info", "log", "warn", "error")
"""From the least to the most."""
_CUT_SHORT = {
    "canceled": ("warn", "the client went away"),
    "responseStreamDisconnected": ("warn", "the client went away while the answer was sent"),
    "exceededCpu": ("error", "ended by the runtime: it used more CPU time than it may"),
    "exceededMemory": ("error", "ended by the runtime: it used more memory than it may"),
    "exceededWallTime": ("error", "ended by the runtime: it took longer than it may"),
    "scriptNotFound": ("error", "there is no such Worker"),
}
"""What is told of an invocation that ended in such a way, and threw nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One line that was logged, or one exception: then `exception` is its name.

    `entrypoint` is the request (`GET /kitchen`), or the class and method (`Room.list`). `object` is the name of the
    object, or its id where its name is not known.
    """

    time: datetime
    level: str
    worker: str
    entrypoint: str
    object: str | None = None
    object_id: str | None = None
    message: str
    exception: str | None = None
    stack: str | None = None
    request_id: str | None = None

    @property
    def moment(self) -> int:
        """Its time in milliseconds."""
        return round(self.time.timestamp() * 1000)


def in_order(records: Iterable[LogRecord]) -> tuple[LogRecord, ...]:
    """Return records as they came; in one millisecond those of an object come behind those of who called it."""
    return tuple(sorted(records, key=lambda one: (one.time, one.object_id is not None)))


def rank(level: str) -> int:
    """Return where a level stands; one that is not known stands where `log` does."""
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("log")


def records_of(event: dict[str, Any], worker: str) -> Iterator[LogRecord]:
    """Yield the records of one invocation: of a tail's event, or in the fields of a kept one."""
    about, entrypoint = event.get("event") or {}, event.get("entrypoint")
    object_id = event.get("object") or event.get("durableObjectId")
    request = about.get("request") or {}
    ray = str(request.get("ray") or _header(request, "cf-ray") or "").partition("-")[0] or event.get("request")
    common: dict[str, Any] = {
        "worker": worker,
        "entrypoint": entrypoint_of(entrypoint, about, in_object=bool(object_id)),
        "object": event.get("name") or object_id,
        "object_id": object_id,
        "request_id": ray or None,
    }
    for log in event.get("logs") or ():
        # The stack of a logged error comes beside it.
        stack = next((one.get("stack") for one in log.get("errorInfo") or ()), None)
        yield LogRecord(
            time=moment_of(log["timestamp"]),
            level=log["level"],
            message=message_of(log["message"]),
            stack=stack,
            **common,
        )
    thrown = event.get("exceptions") or ()
    for error in thrown:
        yield _exception(error, moment_of(error["timestamp"]), common)
    outcome = str(event.get("outcome"))
    if outcome in _CUT_SHORT and not thrown:
        level, text = _CUT_SHORT[outcome]
        moment = event.get("time") or event.get("eventTimestamp") or time.time() * 1000
        yield LogRecord(time=moment_of(moment), level=level, message=text, **common)


def _exception(error: dict[str, Any], moment: datetime, common: dict[str, Any]) -> LogRecord:
    name, message = str(error.get("name") or "Error"), str(error.get("message") or "")
    text = f"{name}: {message}" if message else name
    return LogRecord(
        time=moment, level="error", message=text, exception=name, stack=error.get("stack") or None, **common
    )


def of_telemetry(event: dict[str, Any], worker: str) -> LogRecord | None:
    """Return the record of one event; None for one that is an invocation, and not a line."""
    metadata, workers, source = event["$metadata"], event.get("$workers") or {}, event.get("source")
    moment, object_id = moment_of(event["timestamp"]), workers.get("durableObjectId")
    common: dict[str, Any] = {
        "worker": worker,
        "entrypoint": entrypoint_of(workers.get("entrypoint"), workers.get("event") or {}, in_object=bool(object_id))
        or str(metadata.get("trigger") or ""),
        "object": workers.get("durableObjectName") or object_id,
        "object_id": object_id,
        "request_id": workers.get("requestId") or metadata.get("requestId"),
    }
    if metadata.get("type") == "cf-worker-event":
        cut = _CUT_SHORT.get(str(workers.get("outcome")))
        return None if cut is None else LogRecord(time=moment, level=cut[0], message=cut[1], **common)
    if isinstance(source, dict) and isinstance(source.get("exception"), dict):
        return _exception(source["exception"], moment, common)
    message = metadata.get("message")
    if message is None:
        message = source if isinstance(source, str) else json.dumps(source, ensure_ascii=False)
    return LogRecord(time=moment, level=str(metadata.get("level") or "log"), message=str(message), **common)


def is_event(event: dict[str, Any]) -> bool:
    """Say whether an event of the telemetry is an invocation, and not a line of one."""
    return bool(event["$metadata"].get("type") == "cf-worker-event")


def is_request(event: dict[str, Any]) -> bool:
    """Say whether an event of the telemetry is a request that came from outside."""
    workers = event.get("$workers") or {}
    return is_event(event) and workers.get("eventType") == "fetch" and workers.get("executionModel") != "durableObject"


def call_of(event: dict[str, Any]) -> str | None:
    """Return the id of a call of an object's method; None for anything else.

    Locally only calls from a notebook have one. Emulated: on Cloudflare a call within a request has the request's id.
    """
    workers = event.get("$workers") or {}
    in_object = is_event(event) and workers.get("executionModel") == "durableObject"
    return workers.get("requestId") if in_object and workers.get("eventType") == "rpc" else None


def entrypoint_of(entrypoint: str | None, event: dict[str, Any], *, in_object: bool) -> str:
    """Return what was called: `GET /kitchen`, `Room.list`, `Room.alarm`, `scheduled`, `queue jobs`."""
    before = f"{entrypoint}." if entrypoint and entrypoint != "default" else ""
    if request := event.get("request"):
        if in_object:
            return f"{before}fetch"
        path = re.sub(r"^[a-z]+://[^/?#]*", "", str(request.get("url") or "")).partition("?")[0] or "/"
        return f"{before}{request.get('method') or 'GET'} {path}" if not before else f"{before}fetch"
    if "rpcMethod" in event:
        return f"{before}{event['rpcMethod'] or 'call'}"
    if "queue" in event:
        return f"queue {event['queue'] or ''}".strip()
    if "cron" in event:
        return "scheduled"
    if "scheduledTime" in event:
        return f"{before}alarm" if in_object else "scheduled"
    socket = event.get("getWebSocketEvent") or {}
    if socket or "webSocketEventType" in event:
        kind = str(socket.get("webSocketEventType") or event.get("webSocketEventType") or "message")
        return f"{before}webSocket{kind.capitalize()}"
    if "mailFrom" in event:
        return "email"
    return before.rstrip(".")


def message_of(message: Any) -> str:
    """Return what was logged as a console writes it."""
    values: Iterable[Any] = message if isinstance(message, list) else [message]
    return " ".join(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in values)


def _header(request: dict[str, Any], name: str) -> str | None:
    headers = request.get("headers") or {}
    return next((str(value) for key, value in headers.items() if key.lower() == name), None)


def moment_of(milliseconds: float) -> datetime:
    """Return a moment of so many milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
