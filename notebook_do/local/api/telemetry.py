"""Past logs: `telemetry/query` as Workers Logs answers it, and what only this Cloudflare can tell of a request.

Emulated, from the types of Cloudflare's SDK: the views `events` and `invocations`, with filters and cursor. Logs are
kept here whether or not `observability` is on, so that a person who looks finds them; what the account would not tell,
wall and CPU time, is left out.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.api.envelope import answer, cloud_of, query_number, read_json
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import refuse
from notebook_do.local.runtime.island import neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.api.envelope import Cloud

MOST = 2000
"""How many events one answer has at most."""
_DEFAULT = 100
_VIEWS = ("events", "invocations")
_LEVELS = ("debug", "info", "log", "warn", "error")


async def query(request: Request) -> Response:
    """Return the newest events that the filters let through, those behind the cursor `offset` if there is one."""
    cloud, body = cloud_of(request), as_object(await read_json(request, empty={}), "body")
    since, until = _timeframe(body)
    view, limit = body.get("view") or "events", _limit(body)
    if view not in _VIEWS:
        raise refuse("bad_field", where="view", why=f"only {' and '.join(_VIEWS)} are answered here")
    passes = _filter(as_object(body.get("parameters") or {}, "parameters"))
    await cloud.runtime.events.settled()
    began = time.perf_counter()
    found = await asyncio.to_thread(lambda: [one for one in _events(cloud, since, until) if passes(one)])
    found.sort(key=lambda one: (one["timestamp"], one["$metadata"]["id"]), reverse=True)
    result: dict[str, Any] = {
        "run": {"id": body.get("queryId"), "accountId": cloud.account.id, "status": "COMPLETED", "dry": True},
        "statistics": {"elapsed": time.perf_counter() - began, "rows_read": len(found), "bytes_read": 0},
    }
    shown = _behind(found, body.get("offset"))[:limit]
    if view == "events":
        return answer({**result, "events": {"events": shown, "count": len(found)}})
    grouped: dict[str, list[Any]] = {}
    for one in shown:
        grouped.setdefault(one["$metadata"].get("requestId") or one["$metadata"]["id"], []).append(one)
    return answer({**result, "invocations": grouped})


def _timeframe(body: dict[str, Any]) -> tuple[int, int]:
    frame = as_object(body.get("timeframe"), "timeframe")
    since, until = frame.get("from"), frame.get("to")
    if not isinstance(since, int | float) or not isinstance(until, int | float) or since >= until:
        raise refuse("bad_field", where="timeframe", why="`from` and `to` are milliseconds, and `from` is the earlier")
    return int(since), int(until)


def _limit(body: dict[str, Any]) -> int:
    limit = body.get("limit", _DEFAULT)
    if not isinstance(limit, int) or not 1 <= limit <= MOST:
        raise refuse("bad_field", where="limit", why=f"must be 1 to {MOST}")
    return limit


def _behind(found: list[dict[str, Any]], cursor: Any) -> list[dict[str, Any]]:
    if cursor is None:
        return found
    at = next((n for n, one in enumerate(found) if one["$metadata"]["id"] == cursor), None)
    return [] if at is None else found[at + 1 :]


# --- events: one a log line, an exception, and an invocation


def _events(cloud: Cloud, since: int, until: int) -> Iterator[dict[str, Any]]:
    for script in cloud.runtime.events.logs.scripts():
        kept = cloud.runtime.events.logs.read(script, since, until).events
        names = names_of(cloud, kept)
        for one in kept:
            yield from _told(cloud.account.id, one, names)


def _told(account: str, one: dict[str, Any], names: dict[str, str]) -> Iterator[dict[str, Any]]:
    kind, trigger = trigger_of(one)
    ray = (one["event"] or {}).get("request", {}).get("ray")
    request_id = one.get("request") or (ray.partition("-")[0] if ray else None)
    workers = {
        "scriptName": one["script"],
        "outcome": one["outcome"],
        "eventType": kind,
        "event": one["event"] or {},
        "executionModel": "durableObject" if one.get("object") else "stateless",
        "scriptVersion": {"id": one["version"]},
        **({"entrypoint": one["entrypoint"]} if one.get("entrypoint") else {}),
        **({"durableObjectId": one["object"]} if one.get("object") else {}),
        **({"durableObjectName": names[one["object"]]} if one.get("object") in names else {}),  # known here alone
        **({"requestId": request_id} if request_id else {}),
        **({"truncated": True} if one.get("truncated") else {}),
    }
    metadata = {
        "account": account,
        "service": one["script"],
        "origin": kind,
        "trigger": trigger,
        **({"requestId": request_id, "rayId": request_id} if request_id else {}),
    }

    def event(number: int, moment: int, source: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "dataset": "cloudflare-workers",
            "timestamp": moment,
            "source": source,
            "$workers": workers,
            "$metadata": {"id": f"{one['id']}{number:06x}", **metadata, **more},
        }

    yield event(0, one["time"], {}, type="cf-worker-event", level="info", message=trigger)
    number = 0
    for number, log in enumerate(one["logs"], 1):
        text = message_of(log["message"])
        more = {"error": text} if log["level"] == "error" else {}
        source = {"level": log["level"], "message": text}
        yield event(number, log["timestamp"], source, type="cf-worker", level=log["level"], message=text, **more)
    for at, error in enumerate(one["exceptions"], number + 1):
        text = f"{error['name']}: {error['message']}"
        source = {"level": "error", "exception": error}
        yield event(at, error["timestamp"], source, type="cf-worker", level="error", message=text, error=text)


def trigger_of(one: dict[str, Any]) -> tuple[str, str]:
    """Return what kind of event it was, and in words what called."""
    event = one["event"] or {}
    if request := event.get("request"):
        path = re.sub(r"^[a-z]+://[^/]*", "", request.get("url") or "") or "/"
        return "fetch", f"{request.get('method')} {path}"
    if "rpcMethod" in event:
        return "rpc", event["rpcMethod"] or "rpc"
    if "queue" in event:
        return "queue", event["queue"] or "queue"
    if "cron" in event:
        return "cron", event["cron"] or "scheduled"
    if "scheduledTime" in event:
        return "alarm", "alarm"
    if "getWebSocketEvent" in event or "webSocketEventType" in event:
        return "websocket", "websocket"
    return ("email", "email") if "mailFrom" in event else ("unknown", one.get("entrypoint") or "unknown")


def message_of(message: Any) -> str:
    """Return what was logged, on one line a value, as a console writes it."""
    values = message if isinstance(message, list) else [message]
    return " ".join(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in values)


def names_of(cloud: Cloud, events: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the known names of the objects of events, by id."""
    asked: dict[tuple[str, str], set[str]] = {}
    for one in events:
        if one.get("object"):
            asked.setdefault((one["script"], one.get("entrypoint") or ""), set()).add(one["object"])
    found: dict[str, str] = {}
    for (script, class_name), ids in asked.items():
        hosted = [one for one in cloud.account.hosted(script) if one.class_name == class_name]
        if hosted and script in cloud.account.serving:
            tied = neighbours(script, cloud.account.runnable())
            known = cloud.runtime.names.find(hosted[0].id, ids, tied)
            found |= {id_: name for id_, name in known.items() if id_ in ids}
    return found


# --- filters


def _filter(parameters: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    """Return what an event must pass: filters, joined by `filterCombination`, and the `needle`."""
    whole = _group({**parameters, "filters": parameters.get("filters") or []})
    needle = as_object(parameters.get("needle") or {}, "needle")
    word, exact = str(needle.get("value", "")), needle.get("matchCase") is True

    def passes(event: dict[str, Any]) -> bool:
        text = str(event["$metadata"].get("message", ""))
        return whole(event) and (word in text if exact else word.lower() in text.lower())

    return passes


def _group(group: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    filters = group["filters"]
    if not isinstance(filters, list):
        raise refuse("bad_field", where="filters", why="must be a list")
    each = [_group(one) if one.get("kind") == "group" else _leaf(one) for one in map(_as_filter, filters)]
    either = str(group.get("filterCombination") or "and").lower() == "or" and bool(each)
    join = any if either else all
    return lambda event: join(one(event) for one in each)


def _as_filter(one: Any) -> dict[str, Any]:
    return as_object(one, "filters")


_OPERATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda have, want: have == want,
    "neq": lambda have, want: have != want,
    "gt": lambda have, want: have is not None and have > want,
    "gte": lambda have, want: have is not None and have >= want,
    "lt": lambda have, want: have is not None and have < want,
    "lte": lambda have, want: have is not None and have <= want,
    "in": lambda have, want: str(have) in [one.strip() for one in str(want).split(",")],
    "not_in": lambda have, want: str(have) not in [one.strip() for one in str(want).split(",")],
    "includes": lambda have, want: str(want) in str(have or ""),
    "not_includes": lambda have, want: str(want) not in str(have or ""),
    "starts_with": lambda have, want: str(have or "").startswith(str(want)),
    "ends_with": lambda have, want: str(have or "").endswith(str(want)),
    "exists": lambda have, _want: have is not None,
    "is_null": lambda have, _want: have is None,
}
_OTHER_WORDS = {"=": "eq", "!=": "neq", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def _leaf(leaf: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    word = str(leaf.get("operation"))
    compare = _OPERATIONS.get(_OTHER_WORDS.get(word, word.lower()))
    key, want = leaf.get("key"), leaf.get("value")
    if compare is None or not isinstance(key, str):
        raise refuse("bad_field", where="filters", why=f"operation {word[:40]!r} is not answered here")

    def passes(event: dict[str, Any]) -> bool:
        try:
            return compare(_field(event, key), want)
        except TypeError:
            return False  # a number compared with a text

    return passes


def _field(event: dict[str, Any], key: str) -> Any:
    """Return the value of a dotted key; without a first part that an event has it is one of what was logged."""
    found: Any = event
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return event["source"].get(key) if found is None and isinstance(event["source"], dict) else found


# --- what only this Cloudflare can tell


async def missing(request: Request) -> Response:
    """Say what is missing of the kept events of a script."""
    cloud, script = cloud_of(request), request.path_params["script_name"]
    since, until = (query_number(request, name, 0, 0, 10**15) for name in ("from", "to"))
    await cloud.runtime.events.settled()
    kept = await asyncio.to_thread(cloud.runtime.events.logs.read, script, since, until)
    return answer([{"from": one.first, "to": one.last, "lost": one.lost, "why": one.why} for one in kept.missing])


async def followed(request: Request) -> Response:
    """Return what a request that is followed did so far; waits up to `wait` milliseconds for its end."""
    cloud, ray = cloud_of(request), request.path_params["request_id"]
    found = await cloud.runtime.events.followed.read(ray, query_number(request, "wait", 0, 0, 60_000) / 1000)
    if found is None:
        return answer({"complete": False, "lost": 0, "events": []})
    events = cloud.runtime.events.followed.events(found)
    names = await asyncio.to_thread(names_of, cloud, events)
    told = [{**one, "name": names.get(one["object"] or "")} for one in events]
    return answer({"complete": found.complete, "lost": found.lost, "events": told})


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    return [
        Route(account + "/workers/observability/telemetry/query", query, methods=["POST"]),
        Route(account + "/local/scripts/{script_name}/missing-logs", missing, methods=["GET"]),
        Route(account + "/local/requests/{request_id}", followed, methods=["GET"]),
    ]
