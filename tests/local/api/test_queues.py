"""Queues over the API: made, listed, consumed by a Worker, deleted; and bindings that an upload must complete."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PRODUCER = "export default { async fetch(request, env) { await env.Q.send('hello'); return new Response('sent'); } };"
CONSUMER = """
export default {
  async fetch(request, env) { return new Response(await env.KV.get("seen") ?? "nothing"); },
  async queue(batch, env) { await env.KV.put("seen", batch.messages.map((m) => m.body).join()); },
};
"""


def queue_of(api: Any, name: str) -> dict[str, Any]:
    """Make a queue."""
    made = api.http.post(f"{api.account}/queues", json={"queue_name": name})
    assert made.status_code == 200, made.text
    item: dict[str, Any] = made.json()["result"]
    return item


def test_a_message_goes_from_an_uploaded_producer_to_an_uploaded_consumer(server: Any, script: str) -> None:
    """A producer and a consumer that were uploaded and tied by API calls pass a message on."""
    queue, producer, consumer = f"{script}-q", f"{script}-p", f"{script}-c"
    made = queue_of(server, queue)
    kv = {"type": "kv_namespace", "name": "KV", "namespace_id": "a" * 32}
    assert server.upload(consumer, CONSUMER, bindings=[kv]).status_code == 200
    uploaded = server.upload(producer, PRODUCER, bindings=[{"type": "queue", "name": "Q", "queue_name": queue}])
    assert uploaded.status_code == 200, uploaded.text
    tied = server.http.post(
        f"{server.account}/queues/{made['queue_id']}/consumers",
        json={"type": "worker", "script_name": consumer, "settings": {"batch_size": 5, "max_wait_time_ms": 0}},
    )
    assert tied.status_code == 200, tied.text
    assert server.call(producer).text == "sent"
    deadline = time.monotonic() + 60
    while (seen := server.call(consumer).text) == "nothing":
        assert time.monotonic() < deadline
    assert seen == "hello"
    listed = server.http.get(f"{server.account}/queues", params={"name": queue}).json()["result"]
    assert [one["queue_name"] for one in listed] == [queue]
    assert listed[0]["producers"] == [{"type": "worker", "script": producer}]
    assert (listed[0]["consumers"][0]["script"], listed[0]["consumers"][0]["settings"]["batch_size"]) == (consumer, 5)


def test_a_consumer_is_changed_and_taken_away(server: Any, script: str) -> None:
    """One queue has one consumer: a second is refused, the first can be changed and deleted."""
    made = queue_of(server, f"{script}-q"[-63:])
    path = f"{server.account}/queues/{made['queue_id']}/consumers"
    assert server.upload(script, CONSUMER.replace("env.KV", "new Map()")).status_code == 200
    body = {"type": "worker", "script_name": script, "settings": {"max_retries": 1}, "dead_letter_queue": "dead"}
    first = server.http.post(path, json=body).json()["result"]
    assert (first["settings"]["max_retries"], first["dead_letter_queue"]) == (1, "dead")
    twice = server.http.post(path, json=body)
    assert twice.json()["errors"] == [{"code": 11004, "message": "workers.api.error.consumer_exists"}]
    changed = server.http.put(f"{path}/{first['consumer_id']}", json={**body, "settings": {"max_retries": 9}})
    consumer = changed.json()["result"]
    assert consumer["settings"]["max_retries"] == 9
    assert server.http.delete(f"{path}/{consumer['consumer_id']}").status_code == 200
    assert server.result(path) == []
    assert server.http.delete(f"{server.account}/queues/{made['queue_id']}").status_code == 200
    assert server.http.get(f"{server.account}/queues/{made['queue_id']}").status_code == 404


def test_only_a_worker_with_a_queue_handler_can_consume(server: Any, script: str) -> None:
    """A Worker without queue(), one that is not there, and settings out of range are refused."""
    made = queue_of(server, f"{script}-q"[-63:])
    path = f"{server.account}/queues/{made['queue_id']}/consumers"
    assert server.upload(script).status_code == 200
    refused = server.http.post(path, json={"type": "worker", "script_name": script})
    assert refused.json()["errors"] == [{"code": 11001, "message": "queue handler is missing"}]
    assert server.http.post(path, json={"type": "worker", "script_name": "nobody"}).status_code == 404
    assert server.upload(script, CONSUMER.replace("env.KV", "new Map()")).status_code == 200
    wild = {"type": "worker", "script_name": script, "settings": {"batch_size": 101}}
    assert server.http.post(path, json=wild).status_code == 400


@pytest.mark.parametrize(
    ("binding", "key"),
    [
        ({"type": "kv_namespace"}, "namespace_id"),
        ({"type": "r2_bucket"}, "bucket_name"),
        ({"type": "d1"}, "id"),
        ({"type": "queue"}, "queue_name"),
        ({"type": "ratelimit", "namespace_id": "1"}, "simple"),
    ],
)
def test_a_binding_without_its_resource_is_refused(server: Any, script: str, binding: dict[str, str], key: str) -> None:
    """A binding that does not say what it binds is refused at upload, naming the field."""
    refused = server.upload(script, bindings=[{"name": "X", **binding}])
    assert server.code_of(refused) == 10021
    assert f"`{key}`" in refused.text


@pytest.mark.parametrize("kind", ["ai", "browser", "hyperdrive", "vectorize", "images"])
def test_what_is_not_served_throws_a_line(server: Any, script: str, kind: str) -> None:
    """A Worker with a binding that the local runtime cannot serve runs; a use throws, and the line says what to do."""
    source = """export default { async fetch(request, env) {
      try { await env.X.run("model"); } catch (error) { return new Response(error.message); }
    } };"""
    assert server.upload(script, source, bindings=[{"name": "X", "type": kind}]).status_code == 200
    assert server.call(script).text.endswith(
        f"(binding type {kind}) is not served by the local runtime; deploy to Cloudflare to use it."
    )


def test_every_served_binding_is_admitted(make_api: Callable[..., Any], tmp_path: Any) -> None:
    """A Worker with one binding of each served type passes probe and trial start, and answers."""
    bindings = [
        {"type": "kv_namespace", "name": "KV", "namespace_id": "a" * 32},
        {"type": "r2_bucket", "name": "R2", "bucket_name": "b"},
        {"type": "d1", "name": "D1", "id": "c"},
        {"type": "queue", "name": "Q", "queue_name": "q"},
        {"type": "ratelimit", "name": "RL", "namespace_id": "1", "simple": {"limit": 1, "period": 10}},
        {"type": "version_metadata", "name": "VM"},
        {"type": "json", "name": "J", "json": {"a": 1}},
        {"type": "analytics_engine", "name": "AE", "dataset": "hits"},
        {"type": "pipelines", "name": "P", "stream": "events"},
        {"type": "secrets_store_secret", "name": "S", "store_id": "a" * 32, "secret_name": "key"},
        {"type": "send_email", "name": "M", "allowed_destination_addresses": ["a@example.com"]},
    ]
    source = "export default { fetch(r, env) { return Response.json(Object.keys(env).sort()); } };"
    with make_api(tmp_path / "data") as api:
        assert api.upload("w", source, bindings=bindings).status_code == 200
        assert api.call("w").json() == ["AE", "D1", "J", "KV", "M", "P", "Q", "R2", "RL", "S", "VM"]


def test_a_consumer_keeps_its_handler_and_is_not_deleted(server: Any, script: str) -> None:
    """While it consumes: code without queue() is 11001, a deletion 10064; forced, the queue is left without one."""
    source = CONSUMER.replace("env.KV", "new Map()")
    assert server.upload(script, source).status_code == 200
    made = queue_of(server, f"{script}-q"[-63:])
    path = f"{server.account}/queues/{made['queue_id']}/consumers"
    assert server.http.post(path, json={"type": "worker", "script_name": script}).status_code == 200
    missing = [{"code": 11001, "message": "workers.api.error.queue_handler_missing"}]
    assert server.upload(script).json()["errors"] == missing
    assert server.upload(script, url="/content").json()["errors"] == missing
    assert server.upload(script, source + "// changed").status_code == 200
    kept = server.http.delete(f"{server.scripts}/{script}")
    assert kept.json()["errors"] == [{"code": 10064, "message": "script still in use as a consumer for a queue"}]
    assert server.http.delete(f"{server.scripts}/{script}?force=true").status_code == 200
    assert server.result(path) == []
    absent = server.http.post(f"{server.account}/queues/{'0' * 32}/consumers", json={"script_name": script})
    assert server.code_of(absent) == 11000
