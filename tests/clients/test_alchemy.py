"""The real Alchemy brings the page's examples up, renames a class, shares it, and takes all down again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = """
import alchemy from "alchemy";
import { Worker, DurableObjectNamespace } from "alchemy/cloudflare";
const [phase, className, second] = process.argv.slice(2);
const app = await alchemy("demo", { stage: "dev", phase, password: "none", quiet: true });
const script = `import { DurableObject } from "cloudflare:workers";
export class ${className} extends DurableObject {
  async fetch() {
    const count = ((await this.ctx.storage.get("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    return new Response(String(count));
  }
}
export default { fetch(request, env) { return env.COUNTER.get(env.COUNTER.idFromName("a")).fetch(request); } };`;
const reader = `export default {
  fetch(request, env) { return env.SHARED.get(env.SHARED.idFromName("a")).fetch(request); } };`;
const counter = DurableObjectNamespace("counter", { className, sqlite: true });
const host = await Worker("host", { name: "host", script, bindings: { COUNTER: counter }, adopt: true });
await Worker("client", { name: "client", script: reader, bindings: { SHARED: host.bindings.COUNTER }, adopt: true });
if (second) {
  const shared = DurableObjectNamespace("counter", { className, scriptName: "host", sqlite: true });
  await Worker("second", { name: "second", script: reader, bindings: { SHARED: shared }, adopt: true });
}
await app.finalize();
"""


@pytest.fixture
def alchemy(cloud: Any, tmp_path: Path, node: Path, node_packages: Path) -> Callable[..., str]:
    """Run the program."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "node_modules").symlink_to(node_packages)
    (project / "program.mjs").write_text(PROGRAM)
    (project / "package.json").write_text("{}")

    def alchemy(*arguments: str) -> str:
        return str(cloud.run(node, "program.mjs", *arguments, cwd=project, CI="", ALCHEMY_TELEMETRY_DISABLED="1"))

    return alchemy


@pytest.mark.thorough
def test_up_rename_share_and_down(cloud: Any, alchemy: Callable[..., str]) -> None:
    """Data outlives the rename; both ways of sharing reach the same objects; destroy leaves nothing."""
    alchemy("up", "Counter")
    assert [cloud.call("host").text, cloud.call("client").text] == ["1", "2"]
    (before,) = cloud.get("/workers/durable_objects/namespaces")
    alchemy("up", "MyCounter", "second")
    (after,) = cloud.get("/workers/durable_objects/namespaces")
    assert (after["id"], after["class"]) == (before["id"], "MyCounter")
    assert [cloud.call(name).text for name in ("host", "client", "second")] == ["3", "4", "5"]
    alchemy("destroy", "MyCounter", "second")
    assert cloud.get("/workers/scripts") == []
    assert cloud.get("/workers/durable_objects/namespaces") == []


def test_a_tagged_worker_is_taken_over(cloud: Any, alchemy: Callable[..., str]) -> None:
    """A Worker that another client left with a migration tag can be deployed: the refusal tells Alchemy the tag."""
    import json

    import httpx

    source = 'import { DurableObject } from "cloudflare:workers"; export class Old extends DurableObject {}'
    metadata = {
        "main_module": "index.js",
        "compatibility_date": "2026-06-01",
        "bindings": [{"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Old"}],
        "migrations": {"new_tag": "v1", "new_sqlite_classes": ["Old"]},
        "tags": ["alchemy:do:counter:COUNTER"],
    }
    files = {
        "metadata": (None, json.dumps(metadata)),
        "index.js": ("index.js", source, "application/javascript+module"),
    }
    url = f"{cloud.target.api}/accounts/{cloud.target.account_id}/workers/scripts/host"
    headers = {"Authorization": f"Bearer {cloud.target.token()}"}
    assert httpx.put(url, files=files, headers=headers, trust_env=False, timeout=30).status_code == 200
    alchemy("up", "Counter")
    (script,) = [s for s in cloud.get("/workers/scripts") if s["id"] == "host"]
    assert script["migration_tag"].startswith("alchemy:")
    (namespace,) = cloud.get("/workers/durable_objects/namespaces")
    assert namespace["class"] == "Counter"
    assert cloud.call("host").text == "1"
