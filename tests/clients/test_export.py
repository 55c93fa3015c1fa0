"""What was exported for wrangler is deployed by the real wrangler, and nothing changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
import notebook_do.sessions.opening as session_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = """import { DurableObject } from "cloudflare:workers";
export class %s extends DurableObject {
  async increment() {
    const count = ((await this.ctx.storage.get("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    return count;
  }
}
export default {
  async fetch(request, env) {
    return new Response(env.WORD + String(await env.COUNTER.getByName("a").increment()));
  },
};
"""


@pytest.fixture
def session(cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[nd.Session]:
    """Give a session on the very local Cloudflare that wrangler is told of."""
    monkeypatch.setenv("NOTEBOOK_DO_DATA", str(cloud.target.data))
    monkeypatch.chdir(tmp_path)
    session = nd.session("exported", stage="production")
    yield session
    session.close()
    session_module._current = None


def declare(class_name: str, lifecycle: Any) -> None:
    """Declare the counter under a class name."""
    counter = nd.DurableObjectNamespace("counter", class_name=class_name)
    nd.Worker("counter", script=SOURCE % class_name, bindings={"COUNTER": counter, "WORD": "n"}, lifecycle=lifecycle)


@pytest.mark.thorough
def test_a_wrangler_project_goes_on_beside_a_session_that_adopted_its_worker(
    session: nd.Session, cloud: Any, tmp_path: Path, node: Path, node_packages: Path
) -> None:
    """Adopting sends no migration, so wrangler still deploys; after a rename it does with the lines of the plan."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    wrangler = node_packages / "wrangler" / "bin" / "wrangler.js"

    def deploy_theirs(class_name: str, *migrations: dict[str, Any]) -> None:
        (folder / "index.js").write_text(SOURCE % class_name)
        config = {
            "name": "counter",
            "main": "index.js",
            "compatibility_date": "2026-06-01",
            "vars": {"WORD": "n"},
            "durable_objects": {"bindings": [{"name": "COUNTER", "class_name": class_name}]},
            "migrations": migrations,
        }
        (folder / "wrangler.json").write_text(json.dumps(config))
        cloud.run(node, wrangler, "deploy", cwd=folder)

    created = {"tag": "v1", "new_sqlite_classes": ["Counter"]}
    deploy_theirs("Counter", created)
    assert session.fetch("counter").text == "n1"
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("counter", script=SOURCE % "Counter", bindings={"COUNTER": counter, "WORD": "m"}, adopt=True)
    plan = session.plan()
    assert plan.migrations.empty
    session.deploy(plan)
    assert session.fetch("counter").text == "m2"
    deploy_theirs("Counter", created)
    assert session.fetch("counter").text == "n3"
    counter = nd.DurableObjectNamespace("counter", class_name="Tally")
    nd.Worker("counter", script=SOURCE % "Tally", bindings={"COUNTER": counter, "WORD": "m"}, adopt=True)
    plan = session.plan()
    (lines,) = [w.partition("class names: ")[2] for w in plan.warnings if "another project" in w]
    session.deploy(plan)
    assert session.fetch("counter").text == "m4"
    deploy_theirs("Tally", created, json.loads(lines))
    assert session.fetch("counter").text == "n5"


@pytest.mark.parametrize("lifecycle", ["exports", pytest.param("migrations", marks=pytest.mark.thorough)])
def test_wrangler_changes_nothing(
    session: nd.Session, cloud: Any, tmp_path: Path, node: Path, node_packages: Path, lifecycle: str
) -> None:
    """After a rename, the exported project deploys over the live Worker: same namespace, same count, no migration."""
    declare("Counter", lifecycle)
    session.deploy(session.plan())
    assert session.fetch("counter").text == "n1"
    declare("Tally", lifecycle)
    session.deploy(session.plan())
    before = cloud.get("/workers/durable_objects/namespaces"), cloud.get("/workers/services/counter")
    session.export_wrangler(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "counter" / "wrangler.jsonc").read_text())
    if lifecycle == "migrations":
        created, renamed = config["migrations"]
        assert created["new_sqlite_classes"] == ["Counter"]
        assert renamed["renamed_classes"] == [{"from": "Counter", "to": "Tally"}]
    else:  # so that who still binds the old name reaches the objects
        assert config["exports"]["Counter"] == {"type": "durable-object", "state": "renamed", "renamed_to": "Tally"}
    wrangler = node_packages / "wrangler" / "bin" / "wrangler.js"
    cloud.run(node, wrangler, "deploy", cwd=tmp_path / "out" / "counter")
    after = cloud.get("/workers/durable_objects/namespaces"), cloud.get("/workers/services/counter")
    assert after[0] == before[0]
    scripts = [one["default_environment"]["script"] for one in (before[1], after[1])]
    assert scripts[0].get("migration_tag") == scripts[1].get("migration_tag")
    assert session.fetch("counter").text == "n2"
    plan = session.plan()
    assert not plan.refusals
    assert plan.migrations.empty
    assert not plan.df["destructive"].any()
    wrangler_json = {**config, "name": "elsewhere"}
    (tmp_path / "out" / "counter" / "wrangler.jsonc").write_text(json.dumps(wrangler_json))
    cloud.run(node, wrangler, "deploy", cwd=tmp_path / "out" / "counter")
    assert session.fetch("elsewhere").text == "n1", "the history also begins a Worker of its own"
