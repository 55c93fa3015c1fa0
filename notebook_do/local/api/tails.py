"""Live tails: what the runtime reports about a Worker, to everyone who listens on a `trace-v1` websocket.

A tail's websocket needs no header: its address holds a secret that only the answer to its creation has.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from starlette.routing import Route
from starlette.websockets import WebSocket, WebSocketDisconnect

from notebook_do.local.api.envelope import answer, existing, read_json
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

PROTOCOL = "trace-v1"
TAIL_PREFIX = "/tails/"
_LIFE = timedelta(hours=6)  # emulated: clients begin a new tail before this one expires
_BACKLOG = 1000
MOST = 100
"""How many tails may be open at once."""


@dataclass(slots=True, kw_only=True)
class Tail:
    """One tail of one script."""

    id: str
    script: str
    secret: str = field(repr=False)
    expires: datetime
    filters: list[dict[str, Any]]
    queue: asyncio.Queue[tuple[str, int]] | None = None
    left_out: int = 0
    """How many lines were dropped, because the listener is too slow, since it was told."""

    def to_json(self, port: int) -> dict[str, str]:
        """Return the tail as the API shows it."""
        url = f"ws://127.0.0.1:{port}{TAIL_PREFIX}{self.secret}"
        return {"id": self.id, "url": url, "expires_at": self.expires.strftime("%Y-%m-%dT%H:%M:%SZ")}


class Tails:
    """All open tails."""

    def __init__(self) -> None:
        self._tails: dict[str, Tail] = {}
        self.begins: Callable[[], Awaitable[None]] | None = None  # awaited before a listener is let in

    def listening(self) -> bool:
        """Say whether anybody listens to any script."""
        return any(tail.queue is not None for tail in self._tails.values())

    def open(self, script: str, filters: list[dict[str, Any]]) -> Tail:
        """Begin a tail; it receives nothing until somebody connects to it."""
        self._expire()
        if len(self._tails) >= MOST:
            raise refuse("bad_field", where="tails", why=f"there are {MOST} open tails already; delete some")
        for key, value in (pair for item in filters for pair in item.items()):
            # Told when it is opened: later there is no request that could be refused.
            if key not in _FORMS:
                raise refuse("bad_field", where="filters", why=f"unknown filter `{key[:100]}`")
            if not _FORMS[key](value):
                raise refuse("bad_field", where="filters", why=f"`{key}` has the wrong form")
        expires = datetime.now(UTC) + _LIFE
        tail = Tail(
            id=secrets.token_hex(16), script=script, secret=secrets.token_hex(32), expires=expires, filters=filters
        )
        self._tails[tail.id] = tail
        return tail

    def of(self, script: str) -> list[Tail]:
        """List the open tails of a script."""
        self._expire()
        return [tail for tail in self._tails.values() if tail.script == script]

    def close(self, script: str, tail_id: str) -> None:
        """End a tail."""
        tail = self._tails.get(tail_id)
        if tail is None or tail.script != script:
            raise refuse("no_tail", id=tail_id[:64])
        del self._tails[tail_id]

    def forget(self, script: str) -> None:
        """Let go of the tails of a script that is deleted: another one of its name is none of their business.

        A listener stays connected, and hears nothing more: its connection did not break.
        """
        for tail in self.of(script):
            tail.script = ""
            if tail.queue is None:
                del self._tails[tail.id]

    def opens(self, path: str) -> bool:
        """Say whether a websocket path is that of an open tail."""
        return self._find(path) is not None

    def publish(self, script: str, item: dict[str, Any]) -> None:
        """Hand one event to every tail of a script that wants it."""
        for tail in list(self._tails.values()):
            if tail.script == script and tail.queue is not None and wanted(tail.filters, item):
                if tail.queue.full():  # the oldest is dropped: a listener that is too slow must not hold up the island
                    tail.left_out += tail.queue.get_nowait()[1]
                tail.queue.put_nowait((json.dumps(item), len(item.get("logs", ())) + len(item.get("exceptions", ()))))

    async def serve(self, websocket: WebSocket) -> None:
        """Send events to one listener until it leaves or the tail ends."""
        tail = self._find(websocket.url.path)
        if tail is None or PROTOCOL not in websocket.scope.get("subprotocols", []):
            # Cloudflare asks for `trace-v1`, which wrangler names on every connection.
            await websocket.close(1002)
            return
        tail.queue, tail.left_out = asyncio.Queue(_BACKLOG), 0
        if self.begins is not None:
            await self.begins()
        await websocket.accept(PROTOCOL)
        sender = asyncio.create_task(self._send(websocket, tail, tail.queue))
        try:
            while True:  # clients only ping; reading is how their leaving is noticed
                await websocket.receive_text()
        except (WebSocketDisconnect, KeyError, RuntimeError):
            # Gone, or a binary frame, or closed by us: in every case the tail has no listener now.
            tail.queue = None
        finally:
            sender.cancel()
            if not tail.script:
                self._tails.pop(tail.id, None)

    async def _send(self, websocket: WebSocket, tail: Tail, queue: asyncio.Queue[tuple[str, int]]) -> None:
        while tail.id in self._tails:
            try:
                # Looked up once a second: a tail that is deleted or expires wakes nobody.
                text, _ = await asyncio.wait_for(queue.get(), 1.0)
            except TimeoutError:
                continue
            if tail.left_out:
                lost, tail.left_out = tail.left_out, 0
                await websocket.send_text(json.dumps(_overload(lost)))
            await websocket.send_text(text)
        await websocket.close()

    def _find(self, path: str) -> Tail | None:
        self._expire()
        given = path.removeprefix(TAIL_PREFIX)
        return next(
            (t for t in self._tails.values() if secrets.compare_digest(t.secret.encode(), given.encode())), None
        )

    def _expire(self) -> None:
        now = datetime.now(UTC)
        self._tails = {i: t for i, t in self._tails.items() if t.expires > now}


def _overload(lost: int) -> dict[str, Any]:
    """Make what Cloudflare sends where it leaves events out, with how many lines these were, which it does not tell."""
    message = f"{lost} lines were left out, because more came than this listener took"
    return {
        "event": {"type": "overload", "message": message, "lost": lost},
        "eventTimestamp": round(datetime.now(UTC).timestamp() * 1000),
        "outcome": "ok",
        "logs": [],
        "exceptions": [],
    }


def wanted(filters: list[dict[str, Any]], item: dict[str, Any]) -> bool:
    """Say whether an event passes all filters of a tail."""
    return all(_FILTERS[key](value, item) for one in filters for key, value in one.items())


def _request(item: dict[str, Any]) -> dict[str, Any]:
    event = item.get("event")
    request = event.get("request") if isinstance(event, dict) else None
    return request if isinstance(request, dict) else {}


def _headers(item: dict[str, Any]) -> dict[str, str]:
    headers = _request(item).get("headers") or {}
    return {str(key).lower(): str(value) for key, value in headers.items()}


def _header(want: dict[str, Any], item: dict[str, Any]) -> bool:
    value = _headers(item).get(str(want.get("key", "")).lower())
    return value is not None and str(want.get("query") or "") in value


def _client_ip(want: list[str], item: dict[str, Any]) -> bool:
    # Only this machine can send requests here, so everybody is oneself.
    return _headers(item).get("cf-connecting-ip", "127.0.0.1") in want or "self" in want


def _query(want: str, item: dict[str, Any]) -> bool:
    return any(want in json.dumps(log.get("message"), ensure_ascii=False) for log in item.get("logs") or [])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_header(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("key")) and isinstance(value.get("query", ""), str | None)


_FORMS: dict[str, Callable[[Any], bool]] = {
    "sampling_rate": _is_number,
    "outcome": _is_texts,
    "method": _is_texts,
    "header": _is_header,
    "client_ip": _is_texts,
    "query": _is_text,
    "scriptVersion": _is_text,
}
_FILTERS: dict[str, Callable[[Any, dict[str, Any]], bool]] = {
    "sampling_rate": lambda want, _item: random.random() < float(want),  # noqa: S311 - a sample, not a secret
    "outcome": lambda want, item: item.get("outcome") in want,
    "method": lambda want, item: str(_request(item).get("method", "")).upper() in {str(m).upper() for m in want},
    "header": _header,
    "client_ip": _client_ip,
    "query": _query,
    "scriptVersion": lambda want, item: (item.get("scriptVersion") or {}).get("id") == want,
}


async def get_tail(request: Request) -> Response:
    """Return the newest open tail of a script: the published form of this answer is one tail, not a list."""
    cloud, script = existing(request)
    tails = cloud.tails.of(script.name)
    return answer(tails[-1].to_json(cloud.api_port) if tails else None)


async def open_tail(request: Request) -> Response:
    """Begin a tail; its websocket address is part of the answer."""
    cloud, script = existing(request)
    body = as_object(await read_json(request, empty={}), "body")
    filters = body.get("filters") or []
    if not isinstance(filters, list):
        raise refuse("bad_field", where="filters", why="must be a list")
    tail = cloud.tails.open(script.name, [as_object(item, "filters") for item in filters])
    return answer(tail.to_json(cloud.api_port))


async def close_tail(request: Request) -> Response:
    """End a tail."""
    cloud, script = existing(request)
    cloud.tails.close(script.name, request.path_params["tail_id"])
    return answer(None)


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    tails = account + "/workers/scripts/{script_name}/tails"
    return [
        Route(tails, get_tail, methods=["GET"]),
        Route(tails, open_tail, methods=["POST"]),
        Route(tails + "/{tail_id}", close_tail, methods=["DELETE"]),
    ]
