"""Queues: what a producer sends arrives at the consumer's queue() handler, at least once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from notebook_do.local.services.queues import Consumer, Message, QueueService, retries_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Q = {"type": "queue", "name": "Q", "queue_name": "jobs"}
DEAD = {"type": "queue", "name": "DEAD", "queue_name": "dead"}
KV = {"type": "kv_namespace", "name": "KV", "namespace_id": "a" * 32}
NOW = {"max_wait_time_ms": 0}
CONSUMER = """
export default {
  async fetch(request, env) {
    return new Response(await env.KV.get("seen") ?? "[]");
  },
  async queue(batch, env) {
    const seen = JSON.parse((await env.KV.get("seen")) ?? "[]");
    for (const message of batch.messages) {
      const body = message.body instanceof Uint8Array ? { bytes: [...message.body] }
        : message.body instanceof Map ? { map: [...message.body] } : message.body;
      seen.push({ queue: batch.queue, body, attempts: message.attempts, date: message.timestamp instanceof Date,
        size: batch.messages.length });
    }
    await env.KV.put("seen", JSON.stringify(seen));
    ENDING
  },
};
"""


async def until(stage: Any, worker: str, count: int) -> list[dict[str, Any]]:
    """Ask the consumer what it has seen until that is `count` messages."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        seen: list[dict[str, Any]] = (await stage.call(worker)).json()
        if len(seen) >= count:
            return seen
    raise AssertionError(f"only {len(seen)} of {count} messages came: {seen}")


def test_messages_of_every_kind_arrive(ask: Callable[..., None]) -> None:
    """JSON, text and bytes arrive as they were sent, with their queue's name, a date and the first attempt."""

    async def story(q: Any) -> None:
        q.stage.put("consumer", CONSUMER.replace("ENDING", ""), bindings=(KV,))
        q.services.queues.consume("jobs", "consumer", {"batch_size": 4, "max_wait_time_ms": 600_000})  # when it is full
        sent = await q.all(
            ["Q", "send", {"n": [1, None, "ü"]}],
            ["Q", "send", "plain", {"contentType": "text"}],
            ["Q", "sendBatch", [{"body": {"$bytes": [0, 255]}, "contentType": "bytes"}, {"body": "last"}]],
        )
        assert all("error" not in one for one in sent)
        seen = await until(q.stage, "consumer", 4)
        assert [one["body"] for one in seen] == [{"n": [1, None, "ü"]}, "plain", {"bytes": [0, 255]}, "last"]
        assert {(one["queue"], one["attempts"], one["date"], one["size"]) for one in seen} == {("jobs", 1, True, 4)}
        # The handler wrote down what it saw before the end of the batch was known.
        deadline = time.monotonic() + 60
        while q.services.queues.metrics("jobs")["backlogCount"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    ask(story, Q)


def test_a_v8_message_keeps_its_types(play: Callable[..., None]) -> None:
    """A Map that was sent as V8 data is a Map when it arrives."""
    source = "export default { async fetch(r, env) { await env.Q.send(new Map([[1, 'a']]), { contentType: 'v8' }); return new Response('sent'); } };"  # noqa: E501 - one Worker

    async def story(stage: Any) -> None:
        stage.put("producer", source, bindings=(Q,))
        stage.put("consumer", CONSUMER.replace("ENDING", ""), bindings=(KV,))
        stage.runtime.services.queues.consume("jobs", "consumer", NOW)
        assert await stage.text("producer") == "sent"
        assert (await until(stage, "consumer", 1))[0]["body"] == {"map": [[1, "a"]]}

    play(story)


def test_a_message_waits_for_its_consumer(ask: Callable[..., None]) -> None:
    """What is sent before there is a consumer is not lost; the producer's metrics count it."""

    async def story(q: Any) -> None:
        await q.one("Q", "send", "early")
        metrics = await q.one("Q", "metrics")
        assert (metrics["backlogCount"], metrics["backlogBytes"]) == (1, len('"early"'))
        q.stage.put("consumer", CONSUMER.replace("ENDING", ""), bindings=(KV,))
        q.services.queues.consume("jobs", "consumer", NOW)
        assert (await until(q.stage, "consumer", 1))[0]["body"] == "early"

    ask(story, Q)


def test_failed_messages_come_again_and_end_in_the_dead_letter_queue(ask: Callable[..., None]) -> None:
    """A handler that throws gets its batch again, as often as the consumer allows; then the other queue has it."""

    async def story(q: Any) -> None:
        q.stage.put("bad", CONSUMER.replace("ENDING", "throw new Error('no');"), bindings=(KV,))
        other = {**KV, "namespace_id": "b" * 32}
        q.stage.put("undertaker", CONSUMER.replace("ENDING", ""), bindings=(other,))
        q.services.queues.consume("jobs", "bad", {**NOW, "max_retries": 2}, dead_letter_queue="dead")
        q.services.queues.consume("dead", "undertaker", NOW)
        await q.one("Q", "send", "hot potato")
        dead = await until(q.stage, "undertaker", 1)
        assert (dead[0]["body"], dead[0]["queue"], dead[0]["attempts"]) == ("hot potato", "dead", 1)
        assert [one["attempts"] for one in await until(q.stage, "bad", 3)] == [1, 2, 3]

    ask(story, Q)


def test_only_what_was_retried_comes_again(ask: Callable[..., None]) -> None:
    """A handler that retries one message and says nothing of the other gets only the one again."""
    ending = "for (const m of batch.messages) if (m.body === 'again' && m.attempts === 1) m.retry();"

    async def story(q: Any) -> None:
        q.stage.put("consumer", CONSUMER.replace("ENDING", ending), bindings=(KV,))
        q.services.queues.consume("jobs", "consumer", NOW)
        await q.one("Q", "sendBatch", [{"body": "once"}, {"body": "again"}])
        seen = await until(q.stage, "consumer", 3)
        assert [(one["body"], one["attempts"]) for one in seen] == [("once", 1), ("again", 1), ("again", 2)]

    ask(story, Q)


def test_messages_outlive_the_runtime(play: Callable[..., None]) -> None:
    """What was sent and not delivered is delivered after the local Cloudflare was started again."""
    source = "export default { async fetch(r, env) { await env.Q.send('kept'); return new Response('sent'); } };"

    async def story(stage: Any) -> None:
        stage.put("producer", source, bindings=(Q,))
        async with stage.running():
            assert await stage.text("producer") == "sent"
        stage.put("consumer", CONSUMER.replace("ENDING", ""), bindings=(KV,))
        async with stage.running():
            stage.runtime.services.queues.consume("jobs", "consumer", NOW)
            assert (await until(stage, "consumer", 1))[0]["body"] == "kept"

    play(story, running=False)


def test_too_large_a_message_is_refused(ask: Callable[..., None]) -> None:
    """A message above 128 kB is an error for its sender."""

    async def story(q: Any) -> None:
        assert "exceeds limit of 128000" in (await q.one("Q", "send", "x" * 128_001))["error"]

    ask(story, Q)


# --- the rules of the store, on a clock of the test's own


class Clock:
    """A clock that stands until it is moved."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def store(tmp_path: Path) -> tuple[QueueService, Clock]:
    """Make an empty store."""
    clock = Clock()
    return QueueService(tmp_path / "queues.sqlite", clock), clock


def test_a_batch_is_due_when_full_or_old(tmp_path: Path) -> None:
    """A full batch is due at once, a partial one when its oldest message has waited; a delayed one later."""
    queues, clock = store(tmp_path)
    consumer = queues.consume("q", "w", {"batch_size": 2, "max_wait_time_ms": 5000})
    assert queues.ready_at(consumer) is None
    queues._send("q", [("text", b"a", 0)])
    assert queues.ready_at(consumer) == clock.now + 5
    queues._send("q", [("text", b"b", 3)])
    assert queues.ready_at(consumer) == clock.now + 3
    assert [m.body for m in queues.take(consumer)] == [b"a"]
    clock.now += 3
    assert [m.body for m in queues.take(consumer)] == [b"b"]
    queues.close()


def test_a_message_is_kept_four_days(tmp_path: Path) -> None:
    """What nobody consumed within four days is gone."""
    queues, clock = store(tmp_path)
    queues._send("q", [("text", b"a", 0)])
    clock.now += 4 * 86_400 + 1
    assert queues.take(queues.consume("q", "w", {})) == []
    queues.close()


def test_an_unsettled_lease_ends_with_the_process(tmp_path: Path) -> None:
    """A batch that was under way when the process ended is delivered again."""
    queues, clock = store(tmp_path)
    consumer = queues.consume("q", "w", {})
    queues._send("q", [("text", b"a", 0)])
    assert len(queues.take(consumer)) == 1
    assert queues.take(consumer) == []
    queues.close()
    again = QueueService(tmp_path / "queues.sqlite", clock)
    assert [(m.body, m.attempts) for m in again.take(again.consumers()["q"])] == [(b"a", 2)]
    again.close()


def test_an_acknowledgement_outweighs_a_failure() -> None:
    """What a handler acknowledged before it threw is not delivered again; retryAll spares nothing else."""
    consumer = Consumer(queue="q", id="1", script="w", retry_delay=7)
    batch = [Message(id=i, kind="text", body=b"", sent=0, attempts=1) for i in ("a", "b", "c")]
    thrown = retries_of(consumer, batch, {"outcome": "exception", "explicitAcks": ["a"]})
    assert thrown == {"b": 7, "c": 7}
    all_again = {"outcome": "ok", "retryBatch": {"retry": True, "delaySeconds": 9}}
    assert retries_of(consumer, batch, all_again) == {"a": 9, "b": 9, "c": 9}
    one = {"outcome": "ok", "ackAll": True, "retryMessages": [{"msgId": "b", "delaySeconds": 2}]}
    assert retries_of(consumer, batch, one) == {"b": 2}


def test_a_consumer_that_is_not_deployed_costs_no_attempt(play: Callable[..., None]) -> None:
    """Messages for a Worker that is gone wait until it is there again."""
    source = "export default { async fetch(r, env) { await env.Q.send('patient'); return new Response('sent'); } };"

    async def story(stage: Any) -> None:
        queues = stage.runtime.services.queues
        stage.put("producer", source, bindings=(Q,))
        given_back = asyncio.Event()
        loop, give_back = asyncio.get_running_loop(), queues.give_back

        def noticed(batch: list[Message]) -> None:
            give_back(batch)
            loop.call_soon_threadsafe(given_back.set)

        queues.give_back = noticed
        queues.consume("jobs", "consumer", NOW)
        await stage.text("producer")
        await asyncio.wait_for(given_back.wait(), 60)
        now = queues.clock()
        stage.put("consumer", CONSUMER.replace("ENDING", ""), bindings=(KV,))
        queues.clock = lambda: now + 10
        queues.on_change()
        assert [(m["body"], m["attempts"]) for m in await until(stage, "consumer", 1)] == [("patient", 1)]

    play(story)
