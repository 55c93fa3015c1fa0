"""Routes of queues and their consumers: what `wrangler queues` and a deploy with consumers ask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from notebook_do.local.account.account import time_text
from notebook_do.local.api.envelope import answer, cloud_of, paged, read_json, read_object
from notebook_do.local.rules.bounds import as_object
from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from notebook_do.local.api.envelope import Cloud
    from notebook_do.local.services.queues import Consumer

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
# All are kept; `max_concurrency` and `visibility_timeout_ms` change nothing here.
_SETTINGS: dict[str, tuple[int, int]] = {
    "batch_size": (1, 100),
    "max_retries": (0, 100),
    "max_wait_time_ms": (0, 60_000),
    "max_concurrency": (1, 250),
    "retry_delay": (0, 86_400),
    "visibility_timeout_ms": (0, 43_200_000),
}


def _item(cloud: Cloud, row: tuple[str, str, float]) -> dict[str, Any]:
    name, queue_id, created = row
    consumer = cloud.runtime.services.queues.consumers().get(name)
    producers = [
        {"type": "worker", "script": script}
        for script, version in sorted(cloud.account.serving.items())
        if any(b["type"] == "queue" and b.get("queue_name") == name for b in version.bindings)
    ]
    consumers = [_consumer(consumer)] if consumer else []
    return {
        "queue_id": queue_id,
        "queue_name": name,
        "created_on": time_text(created),
        "modified_on": time_text(created),
        "producers": producers,
        "producers_total_count": len(producers),
        "consumers": consumers,
        "consumers_total_count": len(consumers),
        "settings": {},
    }


def _consumer(consumer: Consumer) -> dict[str, Any]:
    settings = {
        "batch_size": consumer.batch_size,
        "max_retries": consumer.max_retries,
        "max_wait_time_ms": int(consumer.max_wait * 1000),
        "retry_delay": consumer.retry_delay,
    }
    dead = {"dead_letter_queue": consumer.dead_letter_queue} if consumer.dead_letter_queue else {}
    return {
        "consumer_id": consumer.id,
        "type": "worker",
        "queue_name": consumer.queue,
        "script": consumer.script,
        "created_on": time_text(consumer.created_on),
        "settings": settings,
        **dead,
    }


def _row(request: Request) -> tuple[Cloud, tuple[str, str, float]]:
    """Return (name, id, created on) of the queue that the path names by its id."""
    cloud, wanted = cloud_of(request), request.path_params["queue_id"]
    for row in cloud.runtime.services.queues.queues():
        if row[1] == wanted:
            return cloud, row
    raise refuse("no_queue", id=wanted[:64])


async def list_queues(request: Request) -> Response:
    """List the queues, all or those named in the query."""
    cloud, names = cloud_of(request), set(request.query_params.getlist("name"))
    rows = [row for row in cloud.runtime.services.queues.queues() if not names or row[0] in names]
    shown, info = paged(request, rows)
    return answer([_item(cloud, row) for row in shown], info=info)


async def create_queue(request: Request) -> Response:
    """Make a queue; one that a Worker sends to is there without that."""
    cloud, body = cloud_of(request), await read_object(request)
    name = body.get("queue_name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise refuse("bad_field", where="queue_name", why="must be 1 to 63 lower-case letters, digits or -")
    queues = cloud.runtime.services.queues
    if any(row[0] == name for row in queues.queues()):
        raise refuse("queue_exists", name=name)
    # Nothing is awaited between the look and this: no other request comes between.
    queues.create(name)
    return answer(next(_item(cloud, row) for row in queues.queues() if row[0] == name))


async def get_queue(request: Request) -> Response:
    """Return one queue."""
    return answer(_item(*_row(request)))


async def delete_queue(request: Request) -> Response:
    """Delete a queue with its messages."""
    cloud, row = _row(request)
    cloud.runtime.services.queues.delete(row[0])
    return answer(None)


async def list_consumers(request: Request) -> Response:
    """List the consumers of a queue: none or one."""
    cloud, row = _row(request)
    return answer(_item(cloud, row)["consumers"])


async def put_consumer(request: Request) -> Response:
    """Add a queue's consumer, or change the one that the path names."""
    cloud, (queue, _, _) = _row(request)
    body = as_object(await read_json(request), "body")
    known, wanted = cloud.runtime.services.queues.consumers().get(queue), request.path_params.get("consumer_id")
    if wanted is not None and (known is None or known.id != wanted):
        raise refuse("no_consumer", id=wanted[:64])
    if wanted is None and known is not None:  # a queue has one consumer; another one is put by the id of the first
        raise refuse("consumer_exists")
    # Two spellings are in use: of the published type, and of what reads return.
    script = body.get("script_name") or body.get("script") or (known.script if known else None)
    if body.get("type", "worker") != "worker":
        raise refuse("bad_field", where="type", why="only Workers can consume a queue here")
    if script not in cloud.account.scripts:
        raise refuse("no_script")
    if "queue" not in cloud.account.serving[script].code.report.default_handlers:
        # 11001, as an upload without `queue()` is while the script consumes.
        raise refuse("no_queue_handler")
    settings = _settings(as_object(body.get("settings") or {}, "settings"))
    dead = body.get("dead_letter_queue") or None
    if dead is not None and (not isinstance(dead, str) or not _NAME.match(dead)):
        raise refuse("bad_field", where="dead_letter_queue", why="must be the name of a queue")
    return answer(_consumer(cloud.runtime.services.queues.consume(queue, script, settings, dead_letter_queue=dead)))


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    for name, value in given.items():
        low, high = _SETTINGS.get(name, (1, 0))
        if low > high:
            raise refuse("bad_field", where=f"settings.{name}", why="is unknown")
        if value is not None and (not isinstance(value, int) or not low <= value <= high):
            raise refuse("bad_field", where=f"settings.{name}", why=f"must be a whole number of {low} to {high}")
    return given


async def delete_consumer(request: Request) -> Response:
    """Take a queue's consumer away; its messages stay."""
    cloud, (queue, _, _) = _row(request)
    known, wanted = cloud.runtime.services.queues.consumers().get(queue), request.path_params["consumer_id"]
    if known is None or known.id != wanted:
        raise refuse("no_consumer", id=wanted[:64])
    cloud.runtime.services.queues.abandon(queue)
    return answer(None)


def routes(account: str) -> list[Route]:
    """List the routes under one account's path."""
    queues = account + "/queues"
    one = queues + "/{queue_id}"
    consumers = one + "/consumers"
    return [
        Route(queues, list_queues, methods=["GET"]),
        Route(queues, create_queue, methods=["POST"]),
        Route(one, get_queue, methods=["GET"]),
        Route(one, delete_queue, methods=["DELETE"]),
        Route(consumers, list_consumers, methods=["GET"]),
        Route(consumers, put_consumer, methods=["POST"]),
        Route(consumers + "/{consumer_id}", put_consumer, methods=["PUT"]),
        Route(consumers + "/{consumer_id}", delete_consumer, methods=["DELETE"]),
    ]
