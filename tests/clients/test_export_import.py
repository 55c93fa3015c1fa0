"""A Worker of somebody else is imported, exported, and deployed by the real wrangler: nothing is different then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import notebook_do as nd
import notebook_do.sessions.opening as session_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIN = """import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import words from "./words.txt";
export class Counter extends DurableObject<Env> {
  async increment(): Promise<number> {
    const count = ((await this.ctx.storage.get<number>("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    return count;
  }
}
export class Admin extends WorkerEntrypoint {}
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const count = await env.COUNTER.getByName("a").increment();
    const vars = [env.TEXT, env.TABLE];
    return Response.json({ count, words, secret: env.KEY, vars, page: env.ASSETS !== undefined });
  },
  async queue() {},
  async scheduled() {},
};
"""
PROJECT = {
    "name": "theirs",
    "main": "src/index.ts",
    "compatibility_date": "2026-06-01",
    "compatibility_flags": ["nodejs_compat"],
    "upload_source_maps": True,
    "workers_dev": True,
    "preview_urls": True,
    "assets": {"directory": "./public", "binding": "ASSETS"},
    "durable_objects": {"bindings": [{"name": "COUNTER", "class_name": "Counter"}]},
    "exports": {
        "Counter": {"type": "durable-object", "storage": "sqlite"},
        "Admin": {"type": "worker", "cache": {"enabled": True}},
    },
    "vars": {"TEXT": "a b", "TABLE": {"a": [1, None]}},
    "services": [{"binding": "SELF", "service": "theirs", "entrypoint": "Admin", "props": {"a": 1}}],
    "queues": {
        "producers": [{"binding": "JOBS", "queue": "jobs"}],
        "consumers": [{"queue": "mail", "max_batch_size": 5, "max_batch_timeout": 2, "max_retries": 1}],
    },
    "r2_buckets": [{"binding": "BUCKET", "bucket_name": "pictures"}],
    "ratelimits": [{"name": "LIMIT", "namespace_id": "1", "simple": {"limit": 5, "period": 10}}],
    "version_metadata": {"binding": "VERSION"},
    "worker_loaders": [{"binding": "LOADER"}],
    "triggers": {"crons": ["*/5 * * * *", "0 3 * * *"]},
    "observability": {"enabled": True, "head_sampling_rate": 0.5},
    "limits": {"cpu_ms": 100},
    "placement": {"mode": "smart"},
    "logpush": True,
}


@pytest.fixture
def session(cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[nd.Session]:
    """Give a session on the very local Cloudflare that wrangler is told of."""
    monkeypatch.setenv("NOTEBOOK_DO_DATA", str(cloud.target.data))
    monkeypatch.chdir(tmp_path)
    session = nd.session("exported", stage="production")
    yield session
    session.close()
    session_module._current = None


def write(folder: Path, resources: dict[str, Any]) -> None:
    """Write the project of somebody else."""
    (folder / "src").mkdir(parents=True)
    (folder / "public").mkdir()
    (folder / "src" / "index.ts").write_text(MAIN)
    (folder / "src" / "words.txt").write_text("some words")
    (folder / "public" / "page.html").write_text("<h1>page</h1>")
    (folder / "wrangler.json").write_text(json.dumps({**PROJECT, **resources}))


def seen(cloud: Any) -> dict[str, Any]:
    """Give all that the API tells of the Worker and its namespaces, without what says when and by whom."""
    settings = cloud.get("/workers/scripts/theirs/settings")
    queues = [(q["queue_name"], q["consumers"]) for q in cloud.get("/queues")]
    return {
        "settings": {k: v for k, v in settings.items() if k != "annotations"},
        "schedules": [s["cron"] for s in cloud.get("/workers/scripts/theirs/schedules")["schedules"]],
        "subdomain": cloud.get("/workers/scripts/theirs/subdomain"),
        "namespaces": cloud.get("/workers/durable_objects/namespaces"),
        "consumers": [
            (n, [{k: v for k, v in c.items() if k not in ("created_on", "consumer_id")} for c in cs])
            for n, cs in sorted(queues)
        ],
        "etag": [s["etag"] for s in cloud.get("/workers/scripts")],
    }


@pytest.mark.thorough
def test_an_imported_worker_goes_out_and_in_again(
    session: nd.Session, cloud: Any, tmp_path: Path, node: Path, node_packages: Path
) -> None:
    """All that a wrangler project can have here survives import, export and wrangler, and the next plan is empty.

    Code with source map, assets, secrets, tags, settings, cron triggers, consumers and every binding that is served.
    """
    wrangler = node_packages / "wrangler" / "bin" / "wrangler.js"
    post = httpx.Client(
        base_url=f"{cloud.target.api}/accounts/{cloud.target.account_id}",
        headers={"Authorization": f"Bearer {cloud.target.token()}"},
        trust_env=False,
        timeout=60,
    )
    kv = post.post("/storage/kv/namespaces", json={"title": "kv"}).json()["result"]["id"]
    d1 = post.post("/d1/database", json={"name": "db"}).json()["result"]["uuid"]
    for queue in ("jobs", "mail"):
        assert post.post("/queues", json={"queue_name": queue}).status_code == 200
    assert post.post("/r2/buckets", json={"name": "pictures"}).status_code == 200
    write(
        tmp_path / "theirs",
        {
            "kv_namespaces": [{"binding": "KV", "id": kv}],
            "d1_databases": [{"binding": "DB", "database_name": "db", "database_id": d1}],
        },
    )
    cloud.run(node, wrangler, "deploy", cwd=tmp_path / "theirs")
    path = "/workers/scripts/theirs"
    secret = {"name": "KEY", "text": "hush", "type": "secret_text"}
    assert post.put(f"{path}/secrets", json=secret).status_code == 200
    assert post.patch(f"{path}/script-settings", json={"tags": ["team-a", "x=1"]}).status_code == 200
    assert cloud.call("theirs").json()["count"] == 1
    before = seen(cloud)

    session.import_("theirs")
    assert session.plan().empty
    session.export_wrangler("out", assets="theirs/public")
    config = json.loads((tmp_path / "out" / "theirs" / "wrangler.jsonc").read_text())
    assert config["upload_source_maps"] is True
    assert "index.ts" in (tmp_path / "out" / "theirs" / "index.js.map").read_text()
    assert "unsafe" not in config, "there is a key of its own for each"
    cloud.run(node, wrangler, "deploy", cwd=tmp_path / "out" / "theirs")
    after = seen(cloud)
    assert after == before
    assert cloud.call("theirs").json() == {
        "count": 2,
        "words": "some words",
        "secret": "hush",
        "vars": ["a b", {"a": [1, None]}],
        "page": True,
    }
    assert cloud.call("theirs", "/page").text == "<h1>page</h1>"
    plan = session.plan()
    assert [r.message for r in plan.refusals] == []
    assert plan.empty, [c.detail for c in (*plan.changes, *plan.drift)]


@pytest.mark.thorough
def test_environments_of_a_project_stay_one_group(
    session: nd.Session, cloud: Any, tmp_path: Path, node: Path, node_packages: Path
) -> None:
    """The tags by which wrangler groups the Workers of a project are there after the deploy of the export."""
    wrangler = node_packages / "wrangler" / "bin" / "wrangler.js"
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "index.js").write_text("export default { fetch: (_, env) => new Response(env.TEXT) };")
    config = {"name": "theirs", "main": "index.js", "compatibility_date": "2026-06-01", "vars": {"TEXT": "top"}}
    (folder / "wrangler.json").write_text(json.dumps({**config, "env": {"staging": {"vars": {"TEXT": "staging"}}}}))
    cloud.run(node, wrangler, "deploy", cwd=folder)
    cloud.run(node, wrangler, "deploy", "--env", "staging", cwd=folder)
    before = {s["id"]: (sorted(s["tags"]), s["etag"]) for s in cloud.get("/workers/scripts")}
    assert before["theirs-staging"][0] == ["cf:environment=staging", "cf:service=theirs"]
    session.import_(from_account=True)
    session.export_wrangler("out")
    cloud.run(node, wrangler, "deploy", "--env=", cwd=tmp_path / "out" / "theirs")
    cloud.run(node, wrangler, "deploy", "--env", "staging", cwd=tmp_path / "out" / "theirs-staging")
    assert {s["id"]: (sorted(s["tags"]), s["etag"]) for s in cloud.get("/workers/scripts")} == before
    assert [cloud.call(name).text for name in ("theirs", "theirs-staging")] == ["top", "staging"]
    assert session.plan().empty
