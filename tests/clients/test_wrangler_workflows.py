"""The real wrangler deploys a Worker with a workflow, and drives its instances with every command that it has."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW = (Path(__file__).parents[1] / "local" / "programs" / "flow.js").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project with a workflow."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "index.js").write_text(FLOW)
    flow = {"binding": "FLOW", "name": "orders", "class_name": "Flow", "limits": {"steps": 50}}
    config = {"name": "api", "main": "index.js", "compatibility_date": "2026-06-01", "workflows": [flow]}
    (folder / "wrangler.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def wrangler(cloud: Any, project: Path, node: Path, node_packages: Path) -> Callable[..., str]:
    """Run wrangler in the project."""

    def wrangler(*arguments: str, **more: Any) -> str:
        return str(cloud.run(node, node_packages / "wrangler" / "bin" / "wrangler.js", *arguments, cwd=project, **more))

    return wrangler


def until(cloud: Any, id_: str, status: str) -> Any:
    """Read an instance until it has a status."""
    deadline = time.monotonic() + 60
    while (found := cloud.get(f"/workflows/orders/instances/{id_}"))["status"] != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


@pytest.mark.thorough
def test_wrangler_deploys_triggers_and_describes_a_workflow(cloud: Any, wrangler: Callable[..., str]) -> None:
    """Its deploy makes the workflow, with its limits; an instance that it triggers runs, and is told step by step."""
    assert "workflow: orders" in wrangler("deploy")
    assert cloud.get("/workflows/orders/versions")[0]["limits"] == {"steps": 50}
    assert "queued successfully" in wrangler("workflows", "trigger", "orders", '{"flaky": true}', "--id", "a")
    assert until(cloud, "a", "complete")["output"]["tries"] == 3
    told = wrangler("workflows", "instances", "describe", "orders", "latest")
    for word in ("Completed", "first-1", "flaky-1", "Success", "no luck"):
        assert word in told


@pytest.mark.thorough
def test_every_command_of_wrangler_works(cloud: Any, project: Path, wrangler: Callable[..., str]) -> None:
    """From deploy over each command of `wrangler workflows` to its deletion; each says that it worked."""

    def flows(*arguments: str) -> Any:
        return json.loads(wrangler("workflows", *arguments, "--json"))

    assert "workflow: orders" in wrangler("deploy")
    (listed,) = flows("list")
    assert (listed["name"], listed["script_name"], listed["class_name"]) == ("orders", "api", "Flow")
    described = wrangler("workflows", "describe", "orders")
    assert listed["id"] in described

    assert "queued successfully" in wrangler("workflows", "trigger", "orders", '{"wait": "1 minute"}', "--id", "a")
    until(cloud, "a", "waiting")
    instances = ("instances",)
    assert "was paused" in wrangler("workflows", *instances, "pause", "orders", "latest")
    assert "was resumed" in wrangler("workflows", *instances, "resume", "orders", "a")
    until(cloud, "a", "waiting")
    sent = wrangler("workflows", *instances, "send-event", "orders", "a", "--type", "go", "--payload", '{"hi": 3}')
    assert 'with type "go"' in sent
    assert until(cloud, "a", "complete")["output"]["event"] == {"hi": 3}
    told = wrangler("workflows", *instances, "describe", "orders", "a")
    for word in ("Completed", "first-1", "Waiting for event", "Success"):
        assert word in told

    assert "was restarted" in wrangler("workflows", *instances, "restart", "orders", "a")
    until(cloud, "a", "waiting")
    assert "was terminated" in wrangler("workflows", *instances, "terminate", "orders", "a")
    assert [(one["id"], one["status"]) for one in flows(*instances, "list", "orders")] == [("a", "terminated")]
    assert flows(*instances, "list", "orders", "--status", "complete") == []
    assert flows("trigger", "orders", "{}")["id"]

    (project / "index.js").write_text(FLOW + "// other\n")
    wrangler("deploy")
    assert len(cloud.get("/workflows/orders/instances")) == 2
    assert 'Deleted workflow instances from "orders": "a"' in wrangler("workflows", *instances, "delete", "orders", "a")
    assert "removed successfully" in wrangler("workflows", "delete", "orders")
    assert flows("list") == []
