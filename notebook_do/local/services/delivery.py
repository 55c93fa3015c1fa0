"""Carries messages from queues to the `queue()` handlers of their consumers: one batch of a queue at a time."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from notebook_do.local.services.queues import Consumer, Message, QueueService, Verdict

Deliver = Callable[[str, str, list[dict[str, Any]]], Awaitable[dict[str, Any]]]
"""(script, queue, messages) -> workerd's result of the event; raises LookupError when the script is not deployed."""
_UNDEPLOYED_SECONDS = 5.0
_LOG = logging.getLogger(__name__)


class Delivery:
    """Watches all queues that have a consumer, from `start` to `close`."""

    def __init__(self, queues: QueueService, deliver: Deliver) -> None:
        self._queues, self._deliver = queues, deliver
        self._changed = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch; call it in the event loop that `deliver` needs."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._changed.set)

        self._queues.on_change = wake
        self._watch = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; a batch that is under way is delivered again later."""
        self._queues.on_change = lambda: None
        tasks = [*self._busy.values(), *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            wait = await self._begin_due()
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    async def _begin_due(self) -> float | None:
        """Begin the batches that are due; gives the seconds until the next one is."""
        now, soonest = self._queues.clock(), None
        for queue, consumer in self._queues.consumers().items():
            due = await asyncio.to_thread(self._queues.ready_at, consumer)
            if due is None or queue in self._busy:
                continue
            wait = max(due, self._not_before.get(queue, 0.0)) - now
            if wait <= 0:
                task = asyncio.create_task(self._carry(consumer))
                self._busy[queue] = task
                task.add_done_callback(partial(self._free, queue))
            else:
                soonest = wait if soonest is None else min(soonest, wait)
        return soonest

    def _free(self, queue: str, _task: asyncio.Task[None]) -> None:
        self._busy.pop(queue, None)
        self._changed.set()

    async def _carry(self, consumer: Consumer) -> None:
        batch = await asyncio.to_thread(self._queues.take, consumer)
        if not batch:
            return
        try:
            result = await self._deliver(consumer.script, consumer.queue, [_event(message) for message in batch])
        except LookupError:
            # Nobody is there: the messages wait, and none of them has used up an attempt.
            await asyncio.to_thread(self._queues.give_back, batch)
            self._not_before[consumer.queue] = self._queues.clock() + _UNDEPLOYED_SECONDS
            return
        except Exception as error:  # noqa: BLE001 - whatever keeps the Worker from taking it is a failed attempt
            _LOG.warning("queue %s: Worker %s did not take the batch: %s", consumer.queue, consumer.script, error)
            result = {"outcome": "exception"}
        verdict = verdict_of(consumer, batch, result)
        await asyncio.to_thread(self._queues.settle, consumer, batch, verdict)


def _event(message: Message) -> dict[str, Any]:
    body = base64.b64encode(message.body).decode()
    return {
        "id": message.id,
        "timestamp": int(message.sent * 1000),
        "attempts": message.attempts,
        "kind": message.kind,
        "body": body,
    }


def verdict_of(consumer: Consumer, batch: list[Message], result: dict[str, Any]) -> Verdict:
    """Read workerd's result: what a handler acknowledged by itself stays so, whatever happened to the rest."""
    retries = {item["msgId"]: item.get("delaySeconds") for item in result.get("retryMessages") or []}
    all_again = result.get("retryBatch") or {}
    failed = result.get("outcome") != "ok" or bool(all_again.get("retry"))
    acknowledged = frozenset(result.get("explicitAcks") or ())
    if result.get("ackAll"):
        acknowledged |= {message.id for message in batch} - retries.keys()
    common = all_again.get("delaySeconds")
    fallback = consumer.retry_delay if common is None else common
    again = {m.id for m in batch if (failed or m.id in retries) and m.id not in acknowledged}
    delays = {id_: fallback if retries.get(id_) is None else retries[id_] for id_ in again}
    return Verdict(acknowledged=acknowledged, retried={id_: int(delay or 0) for id_, delay in delays.items()})
