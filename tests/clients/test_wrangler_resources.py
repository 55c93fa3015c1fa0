"""The real wrangler sets routes and custom domains, and fills KV namespaces and R2 buckets, of the local Cloudflare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAYS = 'export default { fetch() { return new Response("here"); } };'
READER = """export default { async fetch(request, env) {
  const { value, metadata } = await env.KV.getWithMetadata("one");
  const object = await env.R2.get("folder/a.txt");
  return Response.json([value, metadata, await env.KV.get("three", "text"), await object.text(), object.httpMetadata]);
} };"""


@pytest.fixture
def wrangler(cloud: Any, tmp_path: Path, node: Path, node_packages: Path) -> Callable[..., str]:
    """Run wrangler in a project of one Worker; `config` writes its configuration first."""
    project = tmp_path / "project"
    project.mkdir()

    def run(*arguments: str, config: dict[str, Any] | None = None, source: str = SAYS) -> str:
        if config is not None:
            (project / "index.js").write_text(source)
            base = {"name": "w", "main": "index.js", "compatibility_date": "2026-06-01", "workers_dev": True}
            (project / "wrangler.json").write_text(json.dumps({**base, **config}))
        return str(cloud.run(node, node_packages / "wrangler" / "bin" / "wrangler.js", *arguments, cwd=project))

    return run


def visit(cloud: Any, host: str, path: str = "/") -> str:
    """Call the Workers port under a declared host name; "" is no Worker."""
    answer = httpx.get(cloud.target.url + path, headers={"Host": host}, timeout=30, trust_env=False)
    return "" if answer.status_code == 421 else answer.text


@pytest.mark.thorough
def test_routes_and_custom_domains(cloud: Any, wrangler: Callable[..., str]) -> None:
    """What a configuration names is set with the deploy, answers under its Host, and goes with the next deploy."""
    routes = [
        {"pattern": "shop.example.com/a/*", "zone_name": "example.com"},
        {"pattern": "app.example.com", "custom_domain": True},
    ]
    said = wrangler("deploy", config={"routes": [*routes, "example.org/*"]})
    assert "app.example.com (custom domain)" in said
    assert "shop.example.com/a/* (zone name: example.com)" in said
    for host, path in (("shop.example.com", "/a/1"), ("app.example.com", "/x"), ("example.org", "/")):
        assert visit(cloud, host, path) == "here"
    assert cloud.call("w").text == "here"
    moved = {"pattern": "other.example.com", "custom_domain": True}
    wrangler("deploy", config={"routes": [moved, routes[0]], "workers_dev": False})
    assert [d["hostname"] for d in cloud.get("/workers/domains")] == ["other.example.com"]
    assert (visit(cloud, "example.org"), visit(cloud, "app.example.com")) == ("", "")
    assert visit(cloud, "shop.example.com", "/a/") == "here"


@pytest.mark.thorough
def test_values_of_kv(cloud: Any, wrangler: Callable[..., str], tmp_path: Path) -> None:
    """`kv namespace`, `kv key` and `kv bulk` make, fill, read and empty what a Worker binds."""
    wrangler("kv", "namespace", "create", "values")
    (namespace,) = cloud.get("/storage/kv/namespaces")
    at = ("--namespace-id", namespace["id"], "--remote")
    pairs, keys = tmp_path / "pairs.json", tmp_path / "keys.json"
    pairs.write_text(json.dumps([{"key": "one", "value": "1", "metadata": {"a": 1}}, {"key": "two", "value": "2"}]))
    keys.write_text(json.dumps(["one", "nope"]))
    wrangler("kv", "bulk", "put", str(pairs), *at)
    wrangler("kv", "key", "put", "three", "III", *at, "--metadata", '{"b": 2}', "--ttl", "600")
    assert wrangler("kv", "key", "get", "three", *at).strip().endswith("III")
    listed = {key["name"]: key.get("metadata") for key in cloud.get(f"/storage/kv/namespaces/{namespace['id']}/keys")}
    assert listed == {"one": {"a": 1}, "three": {"b": 2}, "two": None}
    assert '"three"' in wrangler("kv", "key", "list", *at)
    read = wrangler("kv", "bulk", "get", str(keys), *at)
    assert json.loads(read[read.index("{") : read.rindex("}") + 1])["one"] in ("1", {"value": "1"})
    wrangler("kv", "bulk", "delete", str(keys), *at, "--force")
    wrangler("kv", "key", "delete", "three", *at)
    assert [key["name"] for key in cloud.get(f"/storage/kv/namespaces/{namespace['id']}/keys")] == ["two"]


@pytest.mark.thorough
def test_objects_of_r2(cloud: Any, wrangler: Callable[..., str], tmp_path: Path) -> None:
    """`r2 bucket` and `r2 object` make, fill, read and empty what a Worker binds."""
    wrangler("r2", "bucket", "create", "files")
    assert "files" in wrangler("r2", "bucket", "list")
    (tmp_path / "a.txt").write_text("from a file")
    file = str(tmp_path / "a.txt")
    wrangler("r2", "object", "put", "files/folder/a.txt", "--file", file, "--content-type", "text/plain", "--remote")
    (tmp_path / "pairs.json").write_text(
        json.dumps([{"key": "one", "value": "1", "metadata": [7]}, {"key": "three", "value": "3"}])
    )
    wrangler("kv", "bulk", "put", str(tmp_path / "pairs.json"), "--namespace-id", "a" * 32, "--remote")
    bound = {
        "kv_namespaces": [{"binding": "KV", "id": "a" * 32}],
        "r2_buckets": [{"binding": "R2", "bucket_name": "files"}],
    }
    wrangler("deploy", config=bound, source=READER)
    assert cloud.call("w").json() == ["1", [7], "3", "from a file", {"contentType": "text/plain"}]
    assert "from a file" in wrangler("r2", "object", "get", "files/folder/a.txt", "--pipe", "--remote")
    wrangler("r2", "object", "delete", "files/folder/a.txt", "--remote")
    assert cloud.get("/r2/buckets/files/objects") == []
    wrangler("r2", "bucket", "delete", "files")
    assert "files" not in {bucket["name"] for bucket in cloud.get("/r2/buckets")["buckets"]}


@pytest.mark.thorough
def test_secrets_of_a_store(cloud: Any, wrangler: Callable[..., str]) -> None:
    """`secrets-store` makes a store and its secrets, which a Worker that wrangler deploys reads; no value is shown."""
    wrangler("secrets-store", "store", "create", "keys", "--remote")
    (store,) = cloud.get("/secrets_store/stores")
    at = (store["id"], "--remote")
    create = ("--name", "key", "--value", "v-alue", "--scopes", "workers")
    wrangler("secrets-store", "secret", "create", *at, *create)
    (secret,) = cloud.get(f"/secrets_store/stores/{store['id']}/secrets")
    listed = wrangler("secrets-store", "secret", "list", *at)
    assert secret["id"] in listed
    assert "v-alue" not in listed
    bound = {"secrets_store_secrets": [{"binding": "KEY", "store_id": store["id"], "secret_name": "key"}]}
    reads = "export default { async fetch(r, env) { return new Response(await env.KEY.get()); } };"
    wrangler("deploy", config=bound, source=reads)
    assert cloud.call("w").text == "v-alue"
    update = ("--secret-id", secret["id"], "--value", "newer", "--scopes", "workers")
    wrangler("secrets-store", "secret", "update", *at, *update)
    assert cloud.call("w").text == "newer"
    wrangler("secrets-store", "secret", "delete", *at, "--secret-id", secret["id"])
    assert cloud.get(f"/secrets_store/stores/{store['id']}/secrets") == []


@pytest.mark.thorough
def test_bindings_that_keep_what_is_sent(cloud: Any, wrangler: Callable[..., str]) -> None:
    """A configuration with a dataset, a stream and emails deploys, and what the Worker sends can be listed."""
    source = """
    import { EmailMessage } from "cloudflare:email";
    export default { async fetch(request, env) {
      await env.EVENTS.send([{ n: 1 }]);
      const raw = "From: me@example.org\\r\\nMessage-ID: <1@example.org>\\r\\n\\r\\nHello";
      await env.MAIL.send(new EmailMessage("me@example.org", "a@example.com", raw));
      await env.MAIL.send({ from: "me@example.org", to: "a@example.com", subject: "Hi", text: "Hello" });
      env.HITS.writeDataPoint({ blobs: ["b"] });
      return new Response("sent");
    } };"""
    bound = {
        "analytics_engine_datasets": [{"binding": "HITS", "dataset": "hits"}],
        "pipelines": [{"binding": "EVENTS", "stream": "events"}],
        "send_email": [{"name": "MAIL", "allowed_destination_addresses": ["a@example.com"]}],
    }
    wrangler("deploy", config=bound, source=source)
    assert cloud.call("w").text == "sent"
    found = {(one["type"], one["name"]) for one in cloud.get("/local/sent") if one["type"] != "analytics_engine"}
    assert found == {("send_email", "w"), ("pipelines", "events")}
