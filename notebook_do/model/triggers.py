"""What calls a Worker besides its workers.dev address and its cron triggers: routes, custom domains and queues."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.errors import nearest
from notebook_do.model.declared import Json

if TYPE_CHECKING:
    from collections.abc import Iterable

TriggerKind = Literal["route", "domain", "consumer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger of a Worker, declared or recorded as ours.

    `key` is the pattern of a route, the host name of a custom domain, the name of a consumed queue; in an account there
    is at most one of a kind and key. `settings` are those of a consumer, in Cloudflare's words.
    """

    kind: TriggerKind
    key: str
    settings: Json = field(default=Json({}))

    @property
    def label(self) -> str:
        """Name it for a person."""
        return f"{_WORDS[self.kind]} {self.key}"


_WORDS: dict[TriggerKind, str] = {"route": "route", "domain": "custom domain", "consumer": "consumer of queue"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTrigger:
    """What is live at one kind and key.

    `script` is the Worker that holds it, None where nobody does. `parent` is the id of its zone or queue, None where
    the account has none. `id` is Cloudflare's own, for changing and removing it.
    """

    kind: TriggerKind
    key: str
    script: str | None = None
    settings: Json = field(default=Json({}))
    id: str | None = None
    parent: str | None = None


# --- as they are declared, and what is wrong with one

_LIMITS: Mapping[str, tuple[int, int]] = {
    "batch_size": (1, 100),
    "max_retries": (0, 100),
    "max_wait_time_ms": (0, 60_000),
    "max_concurrency": (1, 250),
    "retry_delay": (0, 86_400),
}
"""By name, the least and the largest value of a consumer's settings (Cloudflare Queues, "Configuration")."""
CONSUMER_SETTINGS = (*_LIMITS, "dead_letter_queue")
_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_ROUTE = re.compile(r"(?:https?://)?(?:\*\.?)?(?P<host>[^/*:?#]+)(?P<path>/[^?#]*)?")
_QUEUE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def triggers_of(
    *,
    routes: Iterable[str] = (),
    domains: Iterable[str] = (),
    consumes: Mapping[str, Mapping[str, Any]] | Iterable[str] = (),
) -> tuple[Trigger, ...]:
    """Return the triggers, sorted; a queue alone is consumed with Cloudflare's defaults."""
    queues: dict[str, Any] = dict(consumes) if isinstance(consumes, Mapping) else {name: {} for name in consumes}
    found = [
        *(Trigger(kind="route", key=pattern) for pattern in routes),
        *(Trigger(kind="domain", key=host) for host in domains),
        *(Trigger(kind="consumer", key=queue, settings=Json(how)) for queue, how in queues.items()),
    ]
    by_place = {(t.kind, t.key): t for t in found}
    return tuple(by_place[place] for place in sorted(by_place))


def _host_of(pattern: str) -> str | None:
    """Return the host name that a route's pattern is about, without its wildcard; None when it names none."""
    match = _ROUTE.fullmatch(pattern)
    return match["host"] if match and _HOST.fullmatch(match["host"]) else None


def trigger_problem(trigger: Trigger) -> str | None:
    """Return in one line what is wrong with a trigger; None for a good one."""
    match trigger.kind:
        case "route":
            path = trigger.key.partition("://")[2].partition("/")[2] or trigger.key.partition("/")[2]
            if _host_of(trigger.key) is None or "*" in path[:-1]:
                return (
                    f"route {trigger.key!r} must be a pattern such as 'example.com/*' or '*.example.com/api/*': a host "
                    "name in lower case, with * only before it and at the very end."
                )
        case "domain":
            if not _HOST.fullmatch(trigger.key):
                return f"domain {trigger.key!r} must be a host name in lower case, such as 'app.example.com'."
        case "consumer":
            return _consumer_problem(trigger.key, trigger.settings.value)
    return None


def _consumer_problem(queue: str, settings: Any) -> str | None:
    if not _QUEUE.fullmatch(queue):
        return f"consumes {queue!r}: a queue's name is 1 to 63 lower-case letters, digits or -."
    if not isinstance(settings, dict):
        return f"consumes {queue}: write a table of settings, not {settings!r}."
    for name, value in settings.items():
        if name == "dead_letter_queue":
            if not isinstance(value, str) or not _QUEUE.fullmatch(value) or value == queue:
                return f"consumes {queue}: dead_letter_queue must name another queue, not {value!r}."
            continue
        if name not in _LIMITS:
            return f"consumes {queue}: unknown setting {name}; {nearest(name, CONSUMER_SETTINGS)}"
        low, high = _LIMITS[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return f"consumes {queue}: {name} must be a whole number of {low} to {high}, not {value!r}."
    return None
