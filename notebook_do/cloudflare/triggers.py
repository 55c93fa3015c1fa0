"""Reads, sets and removes what calls a Worker: routes of zones, custom domains, consumers of queues, workflows.

None of the paths is in the published OpenAPI document of Workers scripts; they are those of Cloudflare's own SDK
(resources `zones`, `workers.routes`, `workers.domains`, `queues`, `queues.consumers`, `workflows`). Flags that would
take a host name or a DNS record away from somebody else (`override_existing_origin` and its like) are never sent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from notebook_do.cloudflare.answer import named, objects_in, text_in
from notebook_do.errors import ApiError, DeployError
from notebook_do.model import Json, ObservedTrigger, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import TriggerKind


async def read_triggers(client: Client, wanted: Iterable[Trigger]) -> tuple[ObservedTrigger, ...]:
    """Say of each trigger who holds it: one request for all custom domains, one or more a zone, one a queue."""
    reader = _TriggerReader(client)
    return tuple([await reader.read(trigger) for trigger in wanted])


async def list_triggers(client: Client) -> tuple[dict[str, tuple[Trigger, ...]], tuple[str, ...]]:
    """Return the triggers of every script of the account, and a line for each kind that the token may not read."""
    found, unread = await every_trigger(client)
    line = "The token may not read {}: the cells have none, and a deploy leaves them as they are."
    return found, tuple(line.format(words) for words in unread.values())


async def every_trigger(client: Client) -> tuple[dict[str, tuple[Trigger, ...]], dict[TriggerKind, str]]:
    """Return the triggers of every script of the account, and the kinds that the token may not read, in words."""
    found: list[tuple[str, Trigger]] = []
    unread: dict[TriggerKind, str] = {}
    kinds: tuple[tuple[TriggerKind, str, Any], ...] = (
        ("domain", "custom domains", _all_domains),
        ("route", "routes", _all_routes),
        ("consumer", "queue consumers", _all_consumers),
    )
    for kind, words, read in kinds:
        try:
            found += await read(client)
        except ApiError as error:
            # Routes need a permission on their zone, and queues one of their own: a token may deploy without either.
            if error.status not in (401, 403):
                raise
            unread[kind] = words
    ordered = sorted(found, key=lambda pair: (pair[0], pair[1].kind, pair[1].key))
    return {script: tuple(t for s, t in ordered if s == script) for script, _ in ordered}, unread


async def _all_domains(client: Client) -> list[tuple[str, Trigger]]:
    domains = await _list(client, client.path("workers", "domains"))
    return [(str(d.get("service")), Trigger(kind="domain", key=str(d.get("hostname")))) for d in domains]


async def _all_routes(client: Client) -> list[tuple[str, Trigger]]:
    zones = await _list(client, "/zones", {"account.id": client.account_id, "per_page": 50})
    routes = [r for zone in zones for r in await _list(client, _routes(_id(zone)))]
    return [(str(r.get("script")), Trigger(kind="route", key=str(r.get("pattern")))) for r in routes]


async def _all_consumers(client: Client) -> list[tuple[str, Trigger]]:
    queues = await _list(client, client.path("queues"))
    return [(_script_of(c), _consumer(q, c)) for q in queues for c in _consumers(q)]


async def consumed_queues(client: Client, script: str) -> list[str]:
    """Name the queues that a script consumes, sorted."""
    return sorted(trigger.key for consumer, trigger in await _all_consumers(client) if consumer == script)


async def set_trigger(client: Client, script: str, trigger: Trigger) -> None:
    """Look who holds a trigger, then set it; raises DeployError, with nothing sent, where another Worker does."""
    # Again, though the plan looked: minutes may lie between, and a change of what another Worker holds takes it away.
    (live,) = await read_triggers(client, [trigger])
    if live.script not in (None, script):
        raise DeployError(f"{trigger.label} belongs to Worker {live.script} now; nothing was sent for it. Plan again.")
    match trigger.kind:
        case "route":
            body = {"pattern": trigger.key, "script": script}
            await client.change(*_created_or_changed(_routes(_parent(live)), live), body)
        case "domain":
            body = {"hostname": trigger.key, "service": script, "environment": "production", "zone_id": _parent(live)}
            await client.change("PUT", client.path("workers", "domains"), body)
        case "consumer":
            if live.parent is None:
                raise DeployError(f"queue {trigger.key} is not there any more; nothing was sent for it. Plan again.")
            consumers = client.path("queues", live.parent, "consumers")
            await client.change(*_created_or_changed(consumers, live), _consumer_body(script, trigger))
        case "workflow":
            body = {"script_name": script, **await _kept(client, live), **trigger.settings.value}
            await client.change("PUT", client.path("workflows", trigger.key), body)


async def _kept(client: Client, live: ObservedTrigger) -> dict[str, Any]:
    """Return what a workflow has besides its class: it would go with a request that does not say it again."""
    if live.id is None:
        return {}
    version = next(iter(await _list(client, client.path("workflows", live.key, "versions"))), {})
    kept = {k: v for k in ("limits", "concurrency", "default_retention") if (v := version.get(k)) is not None}
    schedules = [{"cron": s["cron"]} for s in objects_in(live.settings.value.get("schedules")) if "cron" in s]
    return {**kept, "schedules": schedules} if schedules else kept


async def has_queue(client: Client, name: str) -> bool:
    """Say whether there is a queue of this name."""
    (live,) = await read_triggers(client, [Trigger(kind="consumer", key=name)])
    return live.parent is not None


async def make_queue(client: Client, name: str) -> None:
    """Make a queue; sends nothing where there is one of this name, whoever made it."""
    if not await has_queue(client, name):
        await client.change("POST", client.path("queues"), {"queue_name": name})


async def remove_trigger(client: Client, script: str, trigger: Trigger) -> None:
    """Remove a trigger where `script` holds it; sends nothing where it does not."""
    (live,) = await read_triggers(client, [trigger])
    if live.script != script or live.id is None:
        return
    match trigger.kind:
        case "route":
            path = f"{_routes(_parent(live))}/{quote(live.id, safe='')}"
        case "domain":
            path = client.path("workers", "domains", live.id)
        case "consumer":
            path = client.path("queues", _parent(live), "consumers", live.id)
        case "workflow":
            raise AssertionError("a workflow is never taken away: its instances would go with it")
    await client.change("DELETE", path)


def holds(live: ObservedTrigger, script: str, trigger: Trigger) -> bool:
    """Say whether `script` holds the trigger with the settings that are wanted."""
    there = live.settings.value
    return live.script == script and all(there.get(key) == value for key, value in trigger.settings.value.items())


class _TriggerReader:
    """Reads triggers, each list once."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._zones: dict[str, str | None] = {}

    async def read(self, trigger: Trigger) -> ObservedTrigger:
        """Say who holds one trigger; `parent` is the zone or queue that it is set in, None where there is none."""
        match trigger.kind:
            case "route":
                zone = await self._zone(trigger.key)
                items = await self._all(_routes(zone)) if zone else []
                found = next((i for i in items if i.get("pattern") == trigger.key), {})
                return _observed(trigger, found, "script", zone)
            case "domain":
                items = await self._all(self.client.path("workers", "domains"))
                found = next((i for i in items if i.get("hostname") == trigger.key), {})
                zone = str(found["zone_id"]) if found.get("zone_id") else await self._zone(trigger.key)
                return _observed(trigger, found, "service", zone)
            case "consumer":
                queues = await _list(self.client, self.client.path("queues"), {"name": trigger.key})
                queue = next((q for q in queues if q.get("queue_name") == trigger.key), None)
                if queue is None:
                    return ObservedTrigger(kind="consumer", key=trigger.key)
                item = next(iter(_consumers(queue)), {})  # a second consumer is refused (11004)
                return ObservedTrigger(
                    kind="consumer",
                    key=trigger.key,
                    script=_script_of(item) if item else None,
                    settings=_settings(item),
                    id=str(item["consumer_id"]) if item.get("consumer_id") else None,
                    parent=str(queue.get("queue_id")),
                )

            case "workflow":
                items = await self._all(self.client.path("workflows"))
                found = next((i for i in items if i.get("name") == trigger.key), {})
                shown = {k: v for k in ("class_name", "schedules") if (v := found.get(k)) is not None}
                return replace(_observed(trigger, found, "script_name", "account"), settings=Json(shown))

    async def _all(self, path: str) -> list[dict[str, Any]]:
        if path not in self._lists:
            self._lists[path] = await _list(self.client, path)
        return self._lists[path]

    async def _zone(self, key: str) -> str | None:
        """Find the zone of a host name or a pattern: the longest name that is a zone of this account."""
        # A zone may lie below another one of the same account, and a route belongs to the longer.
        labels = key.rpartition("://")[2].partition("/")[0].removeprefix("*").removeprefix(".").split(".")
        for start in range(len(labels) - 1):
            name = ".".join(labels[start:])
            if name not in self._zones:
                zones = await _list(self.client, "/zones", {"name": name, "account.id": self.client.account_id})
                self._zones[name] = _id(zones[0]) if zones else None
            if self._zones[name] is not None:
                return self._zones[name]
        return None


def _observed(trigger: Trigger, item: dict[str, Any], holder: str, parent: str | None) -> ObservedTrigger:
    return ObservedTrigger(
        kind=trigger.kind,
        key=trigger.key,
        script=text_in(item, holder),
        id=_id(item) if item else None,
        parent=parent,
    )


def _created_or_changed(path: str, live: ObservedTrigger) -> tuple[str, str]:
    return ("POST", path) if live.id is None else ("PUT", f"{path}/{quote(live.id, safe='')}")


def _consumer_body(script: str, trigger: Trigger) -> dict[str, Any]:
    """Write a consumer; its dead letter queue stands beside its settings, where a declaration has it among them."""
    settings = trigger.settings.value
    dead = settings.pop("dead_letter_queue", None)
    body = {"type": "worker", "script_name": script, "settings": settings}
    return body if dead is None else {**body, "dead_letter_queue": dead}


def _consumers(queue: dict[str, Any]) -> list[dict[str, Any]]:
    return objects_in(queue.get("consumers"))


def _consumer(queue: dict[str, Any], item: dict[str, Any]) -> Trigger:
    return Trigger(kind="consumer", key=str(queue.get("queue_name")), settings=_settings(item))


def _script_of(consumer: dict[str, Any]) -> str:
    """Return who consumes: a Worker (three spellings are in use), or what kind of consumer it is."""
    return str(next((v for k in ("script", "script_name", "service") if (v := consumer.get(k))), consumer.get("type")))


def _settings(consumer: dict[str, Any]) -> Json:
    settings = consumer.get("settings")
    shown = {k: v for k, v in settings.items() if v is not None} if isinstance(settings, dict) else {}
    dead = consumer.get("dead_letter_queue")
    return Json({**shown, "dead_letter_queue": dead} if dead else shown)


def _parent(live: ObservedTrigger) -> str:
    if live.parent is None:
        raise DeployError(f"no zone of this account holds {live.key}; add the zone to the account first.")
    return live.parent


def _routes(zone: str) -> str:
    return f"/zones/{quote(zone, safe='')}/workers/routes"


def _id(item: dict[str, Any]) -> str:
    return named(item, "id", "an item")


async def _list(client: Client, path: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return objects_in(await client.list_of(path, params))
