"""What Workers logged: records of past telemetry, of a live tail and of one request, in one form on both targets.

Past logs come by `telemetry/query`, which a local Cloudflare answers too. Emulated: which permission it needs is known
from documents alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.cloudflare.telemetry import followed_request, missing_logs, query_events
from notebook_do.errors import ApiError, CommandError, TargetError
from notebook_do.live.records import (
    LEVELS,
    LogRecord,
    call_of,
    in_order,
    is_event,
    is_request,
    moment_of,
    of_telemetry,
    rank,
    records_of,
)

if TYPE_CHECKING:
    from notebook_do.live.connection import Connection

_PAGE = 2000
_MOST_EVENTS = 20_000
"""How many events one look reads at most: a line, an exception and an invocation is one each."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SINCE = re.compile(r"(\d+)\s*(s|m|h|d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingLines:
    """Lines that are not there: between which moments, how many where that is known, and why, in words.

    `of` says what is counted: an event is all that one request logged.
    """

    since: datetime
    until: datetime
    lost: int | None
    why: str
    of: Literal["event", "line"] = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLogs:
    """What a look at past logs found: records, oldest first; all requests of the time; what is missing.

    `lines` counts all records that the filters let through, of which `records` are the newest. Of all that ran,
    `events`, the `calls` are those of objects' methods that no request made: from a notebook.
    """

    since: datetime
    until: datetime
    records: tuple[LogRecord, ...] = ()
    lines: int = 0
    requests: tuple[int, ...] = ()
    calls: int = 0
    events: int = 0
    missing: tuple[MissingLines, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLogs:
    """What one request, and all that it called, logged; `complete` when it is over, `shared` when lines may be mixed.

    `known` is False where the target told nothing of the request, not even that it was.
    """

    records: tuple[LogRecord, ...] = ()
    complete: bool = False
    known: bool = True
    shared: tuple[str, ...] = field(default=())
    began: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsAsked:
    """Which records are wanted: `level` and everything above it, `object` by name or id."""

    since: datetime
    until: datetime
    level: str | None = None
    object: str | None = None
    limit: int = 1000
    request_id: str | None = None

    def passes(self, record: LogRecord) -> bool:
        """Say whether a record is wanted."""
        return (
            (self.level is None or rank(record.level) >= rank(self.level))
            and (self.object is None or self.object in {record.object, record.object_id})
            and (self.request_id is None or record.request_id == self.request_id)
        )


def asked_logs(  # noqa: PLR0913 - the filters
    *,
    since: str | datetime | timedelta = "1h",
    until: datetime | None = None,
    level: str | None = None,
    object: str | None = None,  # noqa: A002 - what it is
    limit: int = 1000,
    request_id: str | None = None,
) -> LogsAsked:
    """Check what is asked for. Raises CommandError."""
    if level is not None and level not in LEVELS:
        raise CommandError(f"logs: level {level!r} is none; known are {', '.join(LEVELS)}.")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise CommandError(f"logs: limit is a whole number from 1 on, not {limit!r}.")
    end = until or datetime.now(UTC)
    begin = _begin(since, end)
    if begin >= end:
        raise CommandError(f"logs: since {begin:%Y-%m-%d %H:%M:%S} is not before {end:%Y-%m-%d %H:%M:%S} UTC.")
    return LogsAsked(since=begin, until=end, level=level, object=object, limit=limit, request_id=request_id)


def _begin(since: str | datetime | timedelta, end: datetime) -> datetime:
    if isinstance(since, datetime):
        if since.tzinfo is None:
            raise CommandError("logs: since is a datetime without a time zone; give it one, or a time such as '30m'.")
        return since
    if isinstance(since, timedelta):
        return end - since
    found = _SINCE.fullmatch(since.strip()) if isinstance(since, str) else None
    if found is None:
        raise CommandError(f"logs: since is a time such as 30m, 2h or 7d, not {since!r}.")
    return end - timedelta(seconds=int(found[1]) * _UNITS[found[2]])


# --- past logs


async def past_logs(connection: Connection, script: str, worker: str, asked: LogsAsked) -> PastLogs:
    """Read what a Worker logged. Raises TargetError, in one line, where the token may not read logs."""
    events = await _read(connection, _filters(script), asked)
    found = [one for event in reversed(events) if (one := of_telemetry(event, worker)) is not None]
    wanted = in_order(one for one in found if asked.passes(one))
    requests = [event for event in events if is_request(event)]
    return PastLogs(
        since=asked.since,
        until=asked.until,
        records=tuple(wanted[-asked.limit :]),
        lines=len(wanted),
        requests=tuple(sorted(event["timestamp"] for event in requests)),
        calls=_calls(events, requests),
        events=sum(map(is_event, events)),
        missing=await _missing(connection, script, asked, len(events)),
        note="" if events else await _why_nothing(connection, script, worker),
    )


def _calls(events: list[dict[str, Any]], requests: list[dict[str, Any]]) -> int:
    of_requests = {(event.get("$workers") or {}).get("requestId") for event in requests}
    calls = [call_of(event) for event in events]
    return sum(call is not None and call not in of_requests for call in calls)


def _filters(script: str) -> list[dict[str, Any]]:
    return [{"key": "$metadata.service", "operation": "eq", "type": "string", "value": script}]


async def _read(connection: Connection, filters: list[dict[str, Any]], asked: LogsAsked) -> list[dict[str, Any]]:
    """Read the events of a time, newest first, page by page."""
    found: list[dict[str, Any]] = []
    body: dict[str, Any] = {
        "queryId": "notebook-do",
        "timeframe": {"from": _milliseconds(asked.since), "to": _milliseconds(asked.until)},
        "view": "events",
        "limit": _PAGE,
        "dry": True,
        "parameters": {"datasets": [], "filters": filters, "filterCombination": "and"},
    }
    async with connection.client() as client:
        while len(found) < _MOST_EVENTS:
            try:
                page = await query_events(client, body)
            except ApiError as error:
                raise _not_allowed(error) from None
            found += page
            if len(page) < _PAGE:
                break
            body["offset"], body["offsetDirection"] = page[-1]["$metadata"]["id"], "next"
    return found


def _not_allowed(error: ApiError) -> Exception:
    if error.status not in {401, 403}:
        return error
    return TargetError(
        f"logs: the token may not read logs ({error.message}); give it the permission Workers Observability, Read, "
        "or look at them live, with Workers Tail, Read: --follow."
    )


async def _missing(connection: Connection, script: str, asked: LogsAsked, read: int) -> tuple[MissingLines, ...]:
    found = []
    if read >= _MOST_EVENTS:
        why = f"only the newest {_MOST_EVENTS:,} events of a time are read; ask for a shorter one"
        found.append(MissingLines(since=asked.since, until=asked.until, lost=None, why=why))
    if connection.target != "local":  # emulated: whether Cloudflare tells of lines that it dropped is not known
        return tuple(found)
    async with connection.client() as client:
        told = await missing_logs(client, script, _milliseconds(asked.since), _milliseconds(asked.until))
    for one in told:
        why = _WHY.get(one["why"], one["why"])
        since, until = moment_of(one["from"]), moment_of(one["to"])
        found.append(MissingLines(since=since, until=until, lost=one["lost"], why=why))
    return tuple(found)


_WHY = {
    "too many": "there were too many requests to keep all of them",
    "dropped": "only the last 10,000 events of a Worker are kept",
    "killed": "the local Cloudflare was killed",
    "crashed": "the process of the Worker ended by itself; its last lines may be among them",
}


async def _why_nothing(connection: Connection, script: str, worker: str) -> str:
    """Say why there are no events at all, where that is known."""
    if connection.target == "local":
        return ""
    async with connection.client() as client:
        settings = (await client.script_settings(script)).get("observability") or {}
    logs = settings.get("logs") or {}
    if settings.get("enabled") is True or logs.get("enabled") is True:
        return ""
    return (
        f"Worker {worker} keeps no logs on Cloudflare: observability is off. Declare it, and deploy: "
        '--setting observability={"enabled":true}'
    )


# --- one request


async def request_logs(connection: Connection, request_id: str, worker_of: dict[str, str], wait: float) -> RequestLogs:
    """Return what a request logged, once it is over or `wait` seconds have gone."""
    if connection.target == "local":
        async with connection.client() as client:
            told = await followed_request(client, request_id, round(wait * 1000))
        return _followed(told, request_id, worker_of)
    # Its lines come to the telemetry seconds later, so that it is asked only once: `logs` has them then.
    now = datetime.now(UTC)
    asked = LogsAsked(since=now - timedelta(minutes=10), until=now + timedelta(minutes=1))
    filters = [{"key": "$metadata.rayId", "operation": "eq", "type": "string", "value": request_id}]
    events = await _read(connection, filters, asked)
    found = [one for event in reversed(events) if (one := of_telemetry(event, _named(event, worker_of)))]
    return RequestLogs(records=in_order(found), complete=bool(events), known=bool(events))


def _named(event: dict[str, Any], worker_of: dict[str, str]) -> str:
    script = str(event["$metadata"].get("service") or "")
    return worker_of.get(script, script)


def _followed(told: dict[str, Any], request_id: str, worker_of: dict[str, str]) -> RequestLogs:
    events = told["events"]
    records: list[tuple[datetime, float, LogRecord]] = []
    for event in events:
        # Behind all others what has none: the end of an invocation.
        orders = chain((one.get("order", inf) for one in (*event["logs"], *event["exceptions"])), repeat(inf))
        made = records_of(event, worker_of.get(event["script"], event["script"]))
        records += [(one.time, order, replace(one, request_id=request_id)) for one, order in zip(made, orders)]  # noqa: B905 - endless
    return RequestLogs(
        records=tuple(record for *_, record in sorted(records, key=lambda one: one[:2])),
        complete=told["complete"],
        known=bool(events),
        shared=tuple(dict.fromkeys(one["name"] or one["object"] for one in events if one.get("shared"))),
        began=moment_of(events[0]["time"]) if events else None,
    )


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
