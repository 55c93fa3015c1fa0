"""The real wrangler deploys, updates, renames, keeps secrets, versions, rolls back, tails and deletes."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCE = """import {{ DurableObject }} from "cloudflare:workers";
export class {name} extends DurableObject {{
  async fetch() {{
    const count = ((await this.ctx.storage.get("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    console.log("count", count);
    return new Response("{word}" + count + (this.env.KEY ?? ""));
  }}
}}
export default {{ fetch(request, env) {{ return env.COUNTER.get(env.COUNTER.idFromName("a")).fetch(request); }} }};
"""
CREATE = [{"tag": "v1", "new_sqlite_classes": ["Counter"]}]
RENAME = {"tag": "v2", "renamed_classes": [{"from": "Counter", "to": "Tally"}]}
LIVE = {"type": "durable-object", "storage": "sqlite"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give an empty directory."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def wrangler(cloud: Any, project: Path, node: Path, node_packages: Path) -> Callable[..., str]:
    """Run wrangler in the project."""

    def wrangler(*arguments: str, **more: Any) -> str:
        return str(cloud.run(node, node_packages / "wrangler" / "bin" / "wrangler.js", *arguments, cwd=project, **more))

    return wrangler


def write(project: Path, name: str = "Counter", word: str = "n", **config: Any) -> None:
    """Write a project with one class."""
    (project / "index.js").write_text(SOURCE.format(name=name, word=word))
    base = {
        "name": "counter",
        "main": "index.js",
        "compatibility_date": "2026-06-01",
        "workers_dev": True,
        "durable_objects": {"bindings": [{"name": "COUNTER", "class_name": name}]},
    }
    (project / "wrangler.json").write_text(json.dumps({**base, **config}))


def namespaces(cloud: Any) -> dict[str, str]:
    """Give the account's namespace ids by class."""
    return {n["class"]: n["id"] for n in cloud.get("/workers/durable_objects/namespaces")}


def test_deploy_update_rename_delete(cloud: Any, project: Path, wrangler: Callable[..., str]) -> None:
    """One Worker through its life: the count goes on through code updates and both kinds of rename."""
    write(project, migrations=CREATE)
    said = wrangler("deploy")
    assert "Deployed counter triggers" in said
    assert cloud.call("counter").text == "n1"
    (before,) = namespaces(cloud).values()
    write(project, word="m", migrations=CREATE)
    wrangler("deploy")
    assert cloud.call("counter").text == "m2"
    write(project, name="Tally", migrations=[*CREATE, RENAME])
    wrangler("deploy")
    assert cloud.call("counter").text == "n3"
    assert namespaces(cloud) == {"Tally": before}
    renamed = {"Tally": {"type": "durable-object", "state": "renamed", "renamed_to": "Score"}, "Score": LIVE}
    write(project, name="Score", exports=renamed)
    assert "Renamed: Tally → Score" in wrangler("deploy")
    assert cloud.call("counter").text == "n4"
    assert namespaces(cloud) == {"Score": before}
    wrangler("delete", "--force")
    assert cloud.call("counter").status_code == 404
    assert namespaces(cloud) == {}


@pytest.mark.thorough
def test_static_assets(cloud: Any, project: Path, wrangler: Callable[..., str]) -> None:
    """Wrangler sends a directory of assets, later only what changed, and both they and the Worker answer."""
    (project / "public").mkdir()
    (project / "public" / "index.html").write_text("<h1>home</h1>")
    (project / "public" / "data.json").write_text("[1]")
    (project / "public" / "_headers").write_text("/*\n  x-from: rules\n")
    (project / "public" / "_redirects").write_text("/old / 301\n")
    write(project, migrations=CREATE, assets={"directory": "./public", "binding": "ASSETS"})
    assert "Uploaded 2 of 2 assets" in wrangler("deploy")
    assert cloud.call("counter", "/").text == "<h1>home</h1>"
    assert cloud.call("counter", "/").headers["x-from"] == "rules"
    assert cloud.call("counter", "/old").headers["location"] == "/"
    assert cloud.call("counter", "/data.json").text == "[1]"
    assert cloud.call("counter", "/count").text == "n1"
    (project / "public" / "data.json").write_text("[2]")
    assert "Uploaded 1 of 1 asset" in wrangler("deploy")
    assert cloud.call("counter", "/data.json").text == "[2]"
    assert cloud.call("counter", "/count").text == "n2"


@pytest.mark.thorough
def test_secrets_versions_and_rollback(cloud: Any, project: Path, wrangler: Callable[..., str]) -> None:
    """Secrets survive deploys; a version waits until it is deployed; a rollback brings the old code back."""
    write(project, migrations=CREATE)
    wrangler("deploy")
    assert "Uploaded secret KEY" in wrangler("secret", "put", "KEY", stdin="-s")
    assert cloud.call("counter").text == "n1-s"
    write(project, word="m", migrations=CREATE)
    wrangler("versions", "upload", "--message", "waits")
    assert cloud.call("counter").text == "n2-s"
    listed = json.loads(wrangler("versions", "list", "--json"))
    newest = max(listed, key=lambda version: version["number"])
    assert newest["annotations"]["workers/message"] == "waits"
    wrangler("versions", "deploy", f"{newest['id']}@100", "--yes")
    assert cloud.call("counter").text == "m3-s"
    wrangler("rollback", "--yes", "--message", "back")
    assert cloud.call("counter").text == "n4-s"
    assert "Rollback" in wrangler("deployments", "list")
    assert [s["name"] for s in json.loads(wrangler("secret", "list"))] == ["KEY"]
    wrangler("versions", "secret", "put", "MORE", stdin="x")
    wrangler("secret", "list")


@pytest.mark.thorough
def test_tail(cloud: Any, project: Path, wrangler: Callable[..., str], node: Path, node_packages: Path) -> None:
    """`wrangler tail` prints what the Worker logs."""
    write(project, migrations=CREATE)
    wrangler("deploy")
    program = node_packages / "wrangler" / "bin" / "wrangler.js"
    output = project / "tail.txt"
    with output.open("w") as file:
        tail = subprocess.Popen(
            [str(node), str(program), "tail", "counter", "--format", "json"],
            cwd=project,
            env=cloud.env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        # Until wrangler listens it sees no request: so there are several.
        deadline = time.monotonic() + 60
        while '"count"' not in output.read_text() and time.monotonic() < deadline and tail.poll() is None:
            cloud.call("counter")
            time.sleep(0.2)
        assert '"count"' in output.read_text(), output.read_text()
    finally:
        tail.kill()
        tail.wait(60)


@pytest.mark.thorough
def test_refusals_are_shown(cloud: Any, project: Path, wrangler: Callable[..., str]) -> None:
    """What is refused reaches the person at the terminal with Cloudflare's code, and changes nothing."""
    write(project)
    assert "[code: 10061]" in wrangler("deploy", fails=True)
    write(project, migrations=[{"tag": "v1", "new_sqlite_classes": ["Nope"]}])
    assert "[code: 10070]" in wrangler("deploy", fails=True)
    write(project, exports={"Counter": LIVE, "Nope": LIVE})
    assert "Nope" in wrangler("deploy", fails=True)
    assert cloud.get("/workers/scripts") == []


@pytest.mark.thorough
def test_whoami(cloud: Any, wrangler: Callable[..., str]) -> None:
    """Wrangler knows the account."""
    assert cloud.target.account_id in wrangler("whoami")


@pytest.mark.thorough
def test_a_foreign_account_id_is_refused_with_what_to_do(
    cloud: Any, project: Path, wrangler: Callable[..., str]
) -> None:
    """A configuration of another account says how it comes to use this one; without `account_id` it deploys."""
    write(project, migrations=CREATE, account_id="1" * 32)
    said = " ".join(wrangler("deploy", fails=True).split())
    own = cloud.target.account_id
    assert f"account {'1' * 32} is not this local Cloudflare's." in said
    assert "Take `account_id` out of the configuration" in said
    assert f"set CLOUDFLARE_ACCOUNT_ID={own}" in said
    assert "[code: 9109]" in said
    assert cloud.get("/workers/scripts") == []
    write(project, migrations=CREATE)
    wrangler("deploy")
    assert cloud.call("counter").text == "n1"


@pytest.mark.thorough
def test_a_binding_that_is_not_served_does_not_stop_wrangler(
    cloud: Any, project: Path, wrangler: Callable[..., str]
) -> None:
    """A project with AI and a browser deploys, and what it does without them works."""
    write(project, migrations=CREATE, ai={"binding": "AI"}, browser={"binding": "BROWSER"})
    assert "Deployed counter triggers" in wrangler("deploy")
    assert cloud.call("counter").text == "n1"
