"""Bindings from a declaration to a running Worker: served, unchanged in the next plan, refused where they must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.plan.plan import Change

SOURCE = """
import { WorkerEntrypoint } from "cloudflare:workers";
export class Admin extends WorkerEntrypoint {
  hello() { return "admin of " + this.env.NAME + " for " + this.ctx.props.who; }
}
export default {
  async fetch(request, env) {
    await env.KV.put("k", "v");
    await env.R2.put("o", "bytes");
    await env.DB.exec("CREATE TABLE IF NOT EXISTS t (x)");
    await env.DB.prepare("INSERT INTO t VALUES (?)").bind(1).run();
    await env.QUEUE.send({ job: 1 });
    return Response.json({
      kv: await env.KV.get("k"),
      r2: await (await env.R2.get("o")).text(),
      d1: (await env.DB.prepare("SELECT count(*) AS n FROM t").first()).n,
      limited: (await env.LIMIT.limit({ key: "a" })).success,
      version: typeof env.VERSION.id,
      json: env.CONFIG.deep[0],
      text: env.NAME,
      secret: env.TOKEN.length,
    });
  },
};
"""


def bindings() -> dict[str, Any]:
    """Give one binding of every kind that the local Cloudflare serves."""
    return {
        "KV": nd.KV("a" * 32),
        "R2": nd.R2("pictures"),
        "DB": nd.D1("3f3e9e8a-0000-4000-8000-000000000001"),
        "QUEUE": nd.Queue("jobs"),
        "LIMIT": nd.RateLimit("1001", limit=100, period=60),
        "VERSION": nd.VersionMetadata(),
        "CONFIG": nd.Json({"deep": [7]}),
        "NAME": "plain",
        "TOKEN": nd.Secret.from_env("MY_TOKEN"),
    }


def test_every_served_binding_works_and_is_no_change_afterwards(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Worker with every served binding runs, and a second plan has nothing to send."""
    monkeypatch.setenv("MY_TOKEN", "hidden")
    session = nd.session("app")
    worker = nd.Worker("api", script=SOURCE, bindings=bindings())
    client = "export default { async fetch(r, env) { return new Response(await env.ADMIN.hello()); } };"
    nd.Worker(
        "client",
        script=client,
        bindings={"ADMIN": nd.Service("api", entrypoint="Admin", props={"who": "client"}), "API": worker},
    )
    result = session.deploy(session.plan())
    expected = {"kv": "v", "r2": "bytes", "d1": 1, "limited": True, "json": 7, "text": "plain", "secret": 6}
    assert result["api"].fetch("/").json() == {**expected, "version": "string"}
    assert result["client"].fetch("/").text == "admin of plain for client"
    again = session.plan()
    assert again.empty, (*again.changes, *again.drift)
    (declared,) = (d for d in session.import_("client-dev").declarations if d.id == "client")
    assert declared.bindings["ADMIN"].props.value == {"who": "client"}
    assert session.plan().empty


def _changes(change: Change) -> bool:
    return change.kind == "binding" and change.action != "noop"


def test_a_changed_resource_is_one_change(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another bucket is an update of that binding alone; a removed binding is a deletion of it."""
    monkeypatch.setenv("MY_TOKEN", "hidden")
    session = nd.session("app")
    nd.Worker("api", script=SOURCE, bindings=bindings())
    session.deploy(session.plan())
    nd.Worker("api", script=SOURCE, bindings={**bindings(), "R2": nd.R2("other")})
    changed = [(c.action, c.name, c.before, c.after) for c in session.plan().changes if _changes(c)]
    assert changed == [("update", "R2", "R2 bucket pictures", "R2 bucket other")]
    nd.Worker("api", script=SOURCE, bindings={n: v for n, v in bindings().items() if n != "KV"})
    gone = [(c.action, c.name) for c in session.plan().changes if _changes(c)]
    assert gone == [("delete", "KV")]


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"observability": {"enabled": True, "head_sampling_rate": 2}}, "head_sampling_rate of observability"),
        ({"observability": {}}, "observability needs enabled"),
        ({"placement": {"mode": "fast"}}, "placement must be"),
        ({"placement": {"mode": "targeted", "target": []}}, "placement must be"),
        ({"placement": {"mode": "smart", "target": [{"region": "aws:x"}]}}, "placement must be"),
        ({"placement": {"mode": "targeted", "target": [{"region": "aws:x", "host": "h"}]}}, "placement must be"),
        ({"limits": {"cpu_ms": 0}}, "cpu_ms of limits"),
        ({"limits": {"memory": 1}}, "limits has no memory"),
        ({"tags": ["a,b"]}, "without , and &"),
        ({"tags": ["ndo:x"]}, "are ours"),
        ({"tail_consumers": [{"worker": "x"}]}, "tail_consumers must be"),
        ({"code_update_strategy": {"mode": "later"}}, "code_update_strategy must be"),
        ({"code_update_strategy": {"mode": "immediate", "max_delay": 1}}, "an immediate update has no delay"),
        ({"code_update_strategy": {"mode": "deferred", "max_delay": 86401}}, "must be 0 to 86400 seconds"),
        ({"assets": {"binding": "A"}}, "assets must be a table with a directory"),
        ({"assets": "public"}, "assets must be a table with a directory"),
        ({"assets": {"directory": "p", "html_handling": "auto"}}, "known are auto-trailing-slash"),
        ({"assets": {"directory": "p", "spa": True}}, "assets has no spa"),
        ({"assets": {"directory": "p", "base_path": 7}}, "base_path of assets must be a path"),
        ({"assets": {"directory": "p", "run_worker_first": ["api"]}}, "run_worker_first of assets must be"),
        ({"observabilty": {"enabled": True}}, "unknown keyword observabilty; did you mean observability?"),
    ],
)
def test_a_setting_is_checked_or_refused_with_a_line(home: Path, setting: dict[str, Any], problem: str) -> None:
    """A setting that no account could accept, or that is not carried, is one line that says what to do."""
    session = nd.session("app")
    with pytest.raises(nd.DeclarationError) as caught:
        session.declare(nd.Worker("w", script="export default {}", **setting))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_arrive_with_the_upload(cloud: Path) -> None:
    """Observability, limits, placement, logpush, tags and tail consumers are what the account has afterwards."""
    session = nd.session("app")
    plain = "export default { fetch() { return new Response('x'); }, tail() {} };"
    nd.Worker("Tail", script=plain)
    nd.Worker(
        "api",
        script=plain,
        observability={"enabled": True, "head_sampling_rate": 0.5},
        limits={"cpu_ms": 50},
        placement={"mode": "smart"},
        logpush=True,
        tags=["team:a"],
        tail_consumers=["Tail"],
    )
    session.deploy(session.plan())
    settings = live_settings(session, "api-dev")
    assert settings["observability"] == {"enabled": True, "head_sampling_rate": 0.5}
    assert (settings["limits"], settings["logpush"]) == ({"cpu_ms": 50}, True)
    assert settings["tail_consumers"] == [{"service": "tail-dev"}]
    assert "team:a" in settings["tags"]
    assert session.plan().empty


def live_settings(session: Any, script: str) -> dict[str, Any]:
    """Read a script's settings from the API."""
    import httpx

    from notebook_do.local.process import launch

    target = launch.ensure()
    try:
        url = f"{target.api}/accounts/{target.account_id}/workers/scripts/{script}/settings"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {target.token()}"}, trust_env=False)
        settings: dict[str, Any] = answer.json()["result"]
        return settings
    finally:
        target.release()
