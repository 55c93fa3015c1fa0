"""KV namespaces, R2 buckets and D1 databases over the API, and a real wrangler that deploys a Worker with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

READER = """
export default {
  async fetch(request, env) {
    return Response.json([await env.KV.get("from the API"), (await env.DB.prepare("SELECT x FROM t").first()).x]);
  },
};
"""


def test_what_the_api_wrote_a_worker_reads(server: Any, script: str) -> None:
    """A namespace and a database that the API made and filled are those that a Worker binds by id."""
    kv = server.http.post(f"{server.account}/storage/kv/namespaces", json={"title": f"{script}-kv"}).json()["result"]
    d1 = server.http.post(f"{server.account}/d1/database", json={"name": f"{script}-db"}).json()["result"]
    values = f"{server.account}/storage/kv/namespaces/{kv['id']}/values"
    assert server.http.put(f"{values}/from%20the%20API", content=b"hello").status_code == 200
    query = f"{server.account}/d1/database/{d1['uuid']}/query"
    made = server.http.post(query, json={"sql": "CREATE TABLE t (x); INSERT INTO t VALUES (42)"})
    assert made.status_code == 200, made.text
    bindings = [
        {"type": "kv_namespace", "name": "KV", "namespace_id": kv["id"]},
        {"type": "d1", "name": "DB", "id": d1["uuid"]},
    ]
    assert server.upload(script, READER, bindings=bindings).status_code == 200
    assert server.call(script).json() == ["hello", 42]
    assert server.http.get(f"{values}/from%20the%20API").content == b"hello"
    assert [k["name"] for k in server.result(f"{server.account}/storage/kv/namespaces/{kv['id']}/keys")] == [
        "from the API"
    ]
    assert server.http.post(query, json={"sql": "SELECT x FROM t WHERE x = ?", "params": [42]}).json()["result"][0][
        "results"
    ] == [{"x": 42}]


def test_names_are_taken_once_and_free_again(server: Any, script: str) -> None:
    """A name makes one resource; after it was deleted, with its data, the name is free."""
    for path, body, key in (
        ("storage/kv/namespaces", {"title": f"{script}-x"}, "id"),
        ("d1/database", {"name": f"{script}-x"}, "uuid"),
        ("r2/buckets", {"name": f"{script}-x"}, "name"),
    ):
        made = server.http.post(f"{server.account}/{path}", json=body)
        assert made.status_code == 200, made.text
        assert server.http.post(f"{server.account}/{path}", json=body).status_code == 400
        gone = server.http.delete(f"{server.account}/{path}/{made.json()['result'][key]}")
        assert gone.status_code == 200, gone.text
        assert server.http.post(f"{server.account}/{path}", json=body).status_code == 200


def test_a_bucket_with_objects_is_not_deleted(server: Any, script: str) -> None:
    """A bucket is deleted only when it is empty, as on Cloudflare."""
    bucket = f"{script}-b"
    source = "export default { async fetch(r, env) { await env.R2[r.method === 'PUT' ? 'put' : 'delete']('k', 'v'); return new Response('x'); } };"  # noqa: E501 - one Worker
    source = source.replace("r.method === 'PUT'", "new URL(r.url).pathname === '/put'")
    server.upload(script, source, bindings=[{"type": "r2_bucket", "name": "R2", "bucket_name": bucket}])
    assert server.call(script, "/put").text == "x"
    refused = server.http.delete(f"{server.account}/r2/buckets/{bucket}")
    assert server.code_of(refused) == 10008
    assert server.call(script, "/delete").text == "x"
    assert server.http.delete(f"{server.account}/r2/buckets/{bucket}").status_code == 200


def test_sql_that_fails_says_why(server: Any) -> None:
    """A query that SQLite refuses is an error of the API with SQLite's words."""
    refused = server.http.post(f"{server.account}/d1/database/any/query", json={"sql": "SELECT nope"})
    assert refused.status_code == 400
    assert "no such column: nope" in refused.text


WRANGLER = {
    "name": "bound",
    "main": "index.js",
    "compatibility_date": "2026-06-01",
    "kv_namespaces": [{"binding": "KV", "id": "a" * 32}],
    "r2_buckets": [{"binding": "R2", "bucket_name": "pictures"}],
    "d1_databases": [{"binding": "DB", "database_name": "db", "database_id": "3f3e9e8a-0000-4000-8000-000000000001"}],
    "queues": {
        "producers": [{"binding": "Q", "queue": "jobs"}],
        "consumers": [{"queue": "jobs", "max_batch_timeout": 0, "max_retries": 2}],
    },
    "ratelimits": [{"name": "RL", "namespace_id": "1001", "simple": {"limit": 50, "period": 60}}],
}
BOUND = """
export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/seen") return new Response((await env.KV.get("seen")) ?? "");
    await env.Q.send("job");
    await env.R2.put("a", "b");
    const { n } = await env.DB.prepare("SELECT 1 AS n").first();
    return Response.json([await (await env.R2.get("a")).text(), n, (await env.RL.limit({ key: "k" })).success]);
  },
  async queue(batch, env) { await env.KV.put("seen", batch.messages[0].body); },
};
"""


@pytest.mark.clients
@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm, to install wrangler")
def test_wrangler_deploys_a_worker_with_resources(own_server: Any, tmp_path: Path) -> None:
    """A real wrangler makes the queue, deploys every served binding and the consumer, twice, and the Worker runs."""
    api, folder = own_server, tmp_path / "project"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    (folder / "wrangler.json").write_text(json.dumps(WRANGLER))
    (folder / "index.js").write_text(BOUND)
    subprocess.run(("npm", "install", "--silent", "wrangler@4"), cwd=folder, check=True, timeout=300)
    own = {
        "CLOUDFLARE_API_BASE_URL": api.target.api,
        "CLOUDFLARE_API_TOKEN": api.target.token(),
        "CLOUDFLARE_ACCOUNT_ID": api.target.account_id,
        "WRANGLER_SEND_METRICS": "false",
        "CI": "1",
        "HOME": str(tmp_path),
    }
    for words in (("queues", "create", "jobs"), ("deploy",), ("deploy",)):
        done = subprocess.run(
            (str(folder / "node_modules" / ".bin" / "wrangler"), *words),
            cwd=folder,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert api.call("bound").json() == ["b", 1, True]
    deadline = time.monotonic() + 60
    while (seen := api.call("bound", "/seen").text) == "":
        assert time.monotonic() < deadline
    assert seen == "job"


@pytest.fixture
def kv(server: Any, script: str) -> str:
    """Give the path of a KV namespace."""
    made = server.http.post(f"{server.account}/storage/kv/namespaces", json={"title": script}).json()["result"]
    return f"{server.account}/storage/kv/namespaces/{made['id']}"


def test_many_values_at_once(server: Any, kv: str) -> None:
    """Values are put, read and deleted in bulk, bytes and metadata included; what is not there is null."""
    pairs = [
        {"key": "a/b", "value": "text"},
        {"key": "bytes", "value": "AP8=", "base64": True},
        {"key": "more", "value": "x", "metadata": {"n": [1, "ä"]}, "expiration_ttl": 600},
    ]
    said = server.http.put(f"{kv}/bulk", json=pairs).json()["result"]
    assert said == {"successful_key_count": 3, "unsuccessful_keys": []}
    assert server.http.get(f"{kv}/values/bytes").content == b"\x00\xff"
    (more,) = server.result(f"{kv}/keys?prefix=more")
    assert more["metadata"] == {"n": [1, "ä"]}
    assert 500 < more["expiration"] - time.time() < 700
    found = server.http.post(f"{kv}/bulk/get", json={"keys": ["a/b", "nope"]}).json()["result"]
    assert found == {"values": {"a/b": "text", "nope": None}}
    found = server.http.post(f"{kv}/bulk/get", json={"keys": ["more"], "withMetadata": True}).json()["result"]
    assert found["values"]["more"] == {"value": "x", "metadata": {"n": [1, "ä"]}}
    assert server.http.request("DELETE", f"{kv}/bulk", json=["a/b", "nope"]).status_code == 200
    assert server.http.post(f"{kv}/bulk/delete", json=["bytes"]).status_code == 200
    assert [key["name"] for key in server.result(f"{kv}/keys")] == ["more"]


@pytest.mark.parametrize(
    "bad",
    [
        {"key": "k" * 513, "value": ""},
        {"key": "k", "value": 5},
        {"key": "", "value": "v"},
        {"key": "k", "value": "!", "base64": True},
        {"key": "k", "value": "v", "expiration_ttl": 5},
        {"key": "k", "value": "v", "metadata": "m" * 1025},
    ],
    ids=["long key", "number", "no key", "base64", "ttl", "metadata"],
)
def test_one_bad_value_of_many_stores_none(server: Any, kv: str, bad: dict[str, Any]) -> None:
    """A key that is too long, a value that is none, a time that is too soon: refused in words, and nothing is put."""
    refused = server.http.put(f"{kv}/bulk", json=[{"key": "good", "value": "v"}, bad])
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["message"]
    assert server.result(f"{kv}/keys") == []


def test_a_value_with_metadata_is_a_form(server: Any, kv: str) -> None:
    """One value can be put with its metadata, as a form, the way wrangler and the SDKs do."""
    form = {"value": (None, "text"), "metadata": (None, '{"a": 1}')}
    assert server.http.put(f"{kv}/values/k", files=form).status_code == 200
    assert server.http.get(f"{kv}/values/k").text == "text"
    assert server.result(f"{kv}/keys") == [{"name": "k", "metadata": {"a": 1}}]
    assert server.code_of(server.http.put(f"{kv}/values/k", files={"metadata": (None, "{}")})) == 10001


def test_a_kv_namespace_can_be_renamed(server: Any, kv: str, script: str) -> None:
    """The name changes, the id and the values stay; a name that is taken is refused."""
    server.http.put(f"{kv}/values/k", content=b"v")
    other = server.http.post(f"{server.account}/storage/kv/namespaces", json={"title": f"{script}-other"})
    assert server.http.put(kv, json={"title": f"{script}-new"}).status_code == 200
    named = {one["id"]: one["title"] for one in server.result(f"{server.account}/storage/kv/namespaces")}
    assert named[kv.rpartition("/")[2]] == f"{script}-new"
    assert server.http.get(f"{kv}/values/k").text == "v"
    assert server.code_of(server.http.put(kv, json={"title": other.json()["result"]["title"]})) == 10014


def test_objects_of_a_bucket(server: Any, script: str) -> None:
    """An object that the API put is what a Worker reads, headers included; it is listed, read back and deleted."""
    objects = f"{server.account}/r2/buckets/{script}-b/objects"
    content = bytes(range(256)) * 8000
    headers = {
        "content-type": "image/png",
        "cache-control": "max-age=60",
        "content-encoding": "x-own",
        "expires": "Wed, 21 Oct 2037 07:28:00 GMT",
        "cf-r2-data-catalog-check": "true",
    }
    put = server.http.put(f"{objects}/pictures/a b.png", content=content, headers=headers).json()["result"]
    source = """export default { async fetch(request, env) {
      const { size, httpMetadata } = await env.R2.head("pictures/a b.png");
      return Response.json({ size, ...httpMetadata });
    } };"""
    server.upload(script, source, bindings=[{"type": "r2_bucket", "name": "R2", "bucket_name": f"{script}-b"}])
    assert server.call(script).json() == {
        "size": len(content),
        "contentType": "image/png",
        "cacheControl": "max-age=60",
        "contentEncoding": "x-own",
        "cacheExpiry": "2037-10-21T07:28:00.000Z",
    }
    read = server.http.get(f"{objects}/pictures/a%20b.png")
    assert read.content == content
    kept = {name: read.headers[name] for name in headers if not name.startswith("cf-")}
    assert kept == {name: text for name, text in headers.items() if not name.startswith("cf-")}
    assert read.headers["etag"] == f'"{put["etag"]}"'
    (listed,) = server.result(f"{objects}?prefix=pict")
    assert (listed["key"], listed["size"], listed["etag"]) == ("pictures/a b.png", len(content), put["etag"])
    assert server.http.delete(f"{objects}/pictures/a%20b.png").status_code == 200
    gone = server.http.get(f"{objects}/pictures/a%20b.png")
    assert (gone.status_code, server.code_of(gone)) == (404, 10007)


def test_objects_are_listed_in_pages(server: Any, script: str) -> None:
    """A list has as many objects as asked for, folders by a delimiter, and a cursor where there are more."""
    objects = f"{server.account}/r2/buckets/{script}-b/objects"
    for key in ("a", "b/1", "b/2", "c"):
        assert server.http.put(f"{objects}/{key}", content=b"").status_code == 200
    first = server.http.get(f"{objects}?per_page=2&delimiter=/").json()
    assert [one["key"] for one in first["result"]] == ["a"]
    info = first["result_info"]
    assert (info["delimited"], info["is_truncated"]) == (["b/"], True)
    rest = server.http.get(f"{objects}?delimiter=/&cursor={info['cursor']}").json()
    assert [one["key"] for one in rest["result"]] == ["c"]
    assert "cursor" not in rest["result_info"]


def test_objects_that_cannot_be_are_refused(server: Any, script: str) -> None:
    """A key that R2 cannot have and a date that is none are refused with a line."""
    objects = f"{server.account}/r2/buckets/{script}-b/objects"
    assert server.code_of(server.http.put(f"{objects}/{'k' * 1025}", content=b"")) == 10020
    assert server.code_of(server.http.put(f"{objects}/k", content=b"", headers={"expires": "soon"})) == 10001
    assert server.result(objects) == []
