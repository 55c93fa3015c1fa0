"""Requests that are followed: what each did and logged so far, in every Worker and object that it reached.

A request is followed when it comes with an id (`edge.FOLLOW`), which is the ray that it gets. What belongs to it is
told by workerd's trace, not guessed from times; only the last requests are remembered.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notebook_do.local.services.logs import Seen

MOST_REQUESTS = 500
MOST_LETTERS = 8 << 20
"""How much is remembered of one request."""


@dataclass(slots=True, kw_only=True)
class Invocation:
    """One call that a request made, or the request itself, in the fields of a tail event."""

    script: str
    version: str
    time: int
    root: bool
    entrypoint: str | None = None
    object: str | None = None
    event: dict[str, Any] = field(default_factory=dict)
    outcome: str | None = None
    shared: bool = False
    """Other calls ran in the object at the same time: workerd tells lines of all of them as those of the last one."""
    logs: list[dict[str, Any]] = field(default_factory=list)
    exceptions: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as the kept events are, which `services.logs` has."""
        return copy.deepcopy({name: getattr(self, name) for name in self.__slots__})


@dataclass(slots=True)
class FollowedRequest:
    """All invocations of one request by their ids."""

    invocations: dict[str, Invocation] = field(default_factory=dict)
    letters: int = 0
    lost: int = 0
    told: int = 0
    """How many steps were told: they order what came in one millisecond."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def complete(self) -> bool:
        """Whether the request, and all that it called, is over."""
        found = self.invocations.values()
        return any(one.root for one in found) and all(one.outcome is not None for one in found)


class FollowedRequests:
    """The last requests that were followed, by their rays."""

    def __init__(self, seen: Seen) -> None:
        """Begin with none; `seen` as for `LogStore`."""
        self._seen = seen
        self._requests: OrderedDict[str, FollowedRequest] = OrderedDict()

    def take(self, body: bytes) -> None:
        """Take the steps that one message holds."""
        for step in json.loads(body):
            request = self._of(step["ray"].partition("-")[0])
            size = len(json.dumps(step["event"]))
            if request.letters + size > MOST_LETTERS and step["event"]["type"] == "log":
                request.lost += 1
            else:
                request.letters += size
                self._note(request, step)
            request.news.set()

    async def read(self, ray: str, wait: float) -> FollowedRequest | None:
        """Return what is known of a request, once it is over or `wait` seconds have gone; None of one not followed."""
        request = self._requests.get(ray)
        if request is None and wait <= 0:
            return None
        request = self._of(ray)
        try:
            async with asyncio.timeout(wait):
                while not request.complete:
                    request.news.clear()
                    await request.news.wait()
        except TimeoutError:
            pass  # then it goes on, or its steps are still under way
        return request

    def events(self, request: FollowedRequest) -> list[dict[str, Any]]:
        """Return the invocations as events, in the order in which they began, the request itself first."""
        found = sorted(request.invocations.values(), key=lambda one: (not one.root, one.time))
        return [event for one in found if (event := self._seen(one.to_json())) is not None]

    def _of(self, ray: str) -> FollowedRequest:
        if ray not in self._requests:
            self._requests[ray] = FollowedRequest()
            while len(self._requests) > MOST_REQUESTS:
                self._requests.popitem(last=False)
        return self._requests[ray]

    def _note(self, request: FollowedRequest, step: dict[str, Any]) -> None:
        event, moment = step["event"], milliseconds(step["timestamp"])
        request.told += 1
        if event["type"] == "onset":
            request.invocations[step["invocation"]] = Invocation(
                script=step["script"],
                version=step["version"],
                time=moment,
                root=event["root"],
                entrypoint=event.get("entrypoint"),
                object=event.get("object"),
                event=_event(event["info"]),
            )
            return
        found = request.invocations.get(step["invocation"])
        if found is None:
            return  # its beginning was dropped with the oldest requests
        match event["type"]:
            case "log":
                said = {part: value for part, value in event.items() if part != "type"}
                found.logs.append({**said, "timestamp": moment, "order": request.told})
            case "exception":
                error = {part: event.get(part, "") for part in ("name", "message", "stack")}
                found.exceptions.append({**error, "timestamp": moment, "order": request.told})
            case "method":
                found.event = {"rpcMethod": event["method"]}
            case "return" if (status := (event.get("info") or {}).get("statusCode")) is not None:
                found.event = {**found.event, "response": {"status": status}}
            case "shared":
                found.shared = True
            case "outcome":
                found.outcome = event["outcome"]


def milliseconds(text: str) -> int:
    """Return a moment of workerd's trace in milliseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _event(info: dict[str, Any]) -> dict[str, Any]:
    """Return what called, in the form of a tail event."""
    match info.get("type"):
        case "fetch":
            request = {"method": info.get("method"), "url": info.get("url")}
            return {"request": {**request, "headers": {"x-notebook-do": info["own"]}} if info.get("own") else request}
        case "queue":
            return {"queue": info.get("queueName"), "batchSize": info.get("batchSize")}
        case "scheduled":
            return {"cron": info.get("cron"), "scheduledTime": info.get("scheduledTime")}
        case "alarm":
            return {"scheduledTime": info.get("scheduledTime")}
    return {"rpcMethod": None} if info.get("type") == "jsrpc" else {}
