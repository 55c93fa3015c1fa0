"""Workflows by the API: what makes them, what changes and deletes them and their instances, and what keeps them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW = (Path(__file__).parent.parent / "programs" / "flow.js").read_text()
ENDS = {"complete", "errored", "terminated"}


class Flows:
    """The workflows of a server."""

    def __init__(self, server: Any, name: str) -> None:
        self.server, self.name, self.path = server, name, f"{server.account}/workflows"
        self.instances = f"{self.path}/{name}/instances"

    def upload(self, script: str, source: str = FLOW, **more: Any) -> Any:
        """Upload a script that binds the workflow."""
        binding = {"type": "workflow", "name": "FLOW", "workflow_name": self.name, "class_name": "Flow", **more}
        return self.server.upload(script, source, bindings=[binding])

    def put(self, script: str, class_name: str = "Flow", name: str = "", **more: Any) -> Any:
        """Put the workflow."""
        body = {"script_name": script, "class_name": class_name, **more}
        return self.server.http.put(f"{self.path}/{name or self.name}", json=body)

    def create(self, id_: str, **params: Any) -> Any:
        """Make an instance."""
        answer = self.server.http.post(self.instances, json={"instance_id": id_, "params": params})
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def change(self, id_: str, status: str, **more: Any) -> Any:
        """Change the status of an instance."""
        return self.server.http.patch(f"{self.instances}/{id_}/status", json={"status": status, **more})

    def get(self, id_: str, *wanted: str) -> Any:
        """Read an instance until it has ended, or its status is one of these."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self.server.result(f"{self.instances}/{id_}")
            if found["status"] in {*wanted, *ENDS}:
                return found
            time.sleep(0.02)
        raise AssertionError(found)


@pytest.fixture
def flows(server: Any, script: str) -> Flows:
    """Give the workflows of the shared server; the test's own is named as its script."""
    return Flows(server, script)


def test_an_upload_that_binds_a_workflow_makes_it_and_it_runs(flows: Flows, script: str) -> None:
    """Here the upload is enough, as other resources begin at first use; the Worker's own calls reach it."""
    assert flows.server.code_of(flows.server.http.get(f"{flows.path}/{flows.name}")) == 10200
    assert flows.upload(script).status_code == 200
    made = flows.server.result(f"{flows.path}/{flows.name}")
    assert (made["script_name"], made["class_name"], made["script_deleted"]) == (script, "Flow", False)
    assert flows.server.call(script, "/create?id=a").json() == "a"
    assert flows.get("a")["status"] == "complete"
    (item,) = flows.server.result(flows.instances)
    assert (item["id"], item["status"]) == ("a", "complete")
    assert flows.server.result(f"{flows.path}/{flows.name}")["instances"] == {"complete": 1}
    assert flows.name in {w["name"] for w in flows.server.result(flows.path + "?per_page=1000")}


def test_an_instance_is_made_driven_and_described_by_the_api(flows: Flows, script: str) -> None:
    """Every call of `wrangler workflows instances` does its work, and a description has the steps and attempts."""
    flows.upload(script)
    assert flows.create("a", flaky=True, wait="1 minute")["id"] == "a"
    flows.get("a", "waiting")
    assert flows.change("a", "pause").json()["result"]["status"] == "paused"
    assert flows.change("a", "resume").json()["result"]["status"] in {"running", "waiting"}
    sent = flows.server.http.post(f"{flows.instances}/a/events/go", json={"hi": 2})
    assert sent.json()["result"]["instanceId"] == "a"
    told = flows.get("a")
    assert (told["success"], told["output"]["event"], told["error"]) == (True, {"hi": 2}, None)
    steps = {step["name"]: step for step in told["steps"]}
    assert list(steps) == ["first-1", "flaky-1", "wait-1"]
    assert [attempt["success"] for attempt in steps["flaky-1"]["attempts"]][-1] is True
    assert steps["flaky-1"]["config"]["retries"]["limit"] == 3
    assert (steps["wait-1"]["finished"], steps["wait-1"]["output"]) == (True, {"hi": 2})
    assert flows.change("a", "restart", **{"from": {"name": "flaky"}}).status_code == 200
    flows.get("a", "waiting")
    assert flows.change("a", "terminate").json()["result"]["status"] == "terminated"
    assert flows.get("a")["steps"][-1] == {"type": "termination", "trigger": {"source": "api"}}
    refused = flows.change("a", "terminate")
    assert "Cannot terminate" in refused.text
    assert flows.server.code_of(flows.change("absent", "pause")) == 10400
    assert flows.server.code_of(flows.change("a", "explode")) == 10002
    again = flows.server.http.post(flows.instances, json={"instance_id": "a"})
    assert (again.status_code, flows.server.code_of(again)) == (409, 10405)


def test_lists_of_instances_are_filtered_and_paged(flows: Flows, script: str) -> None:
    """By status and dates, newest first, on with a cursor; many are made, terminated and deleted at once."""
    flows.upload(script)
    wanted = [{"instance_id": f"i{n}", "params": {"wait": "1 minute"}} for n in range(3)]
    assert len(flows.server.http.post(flows.instances + "/batch", json=wanted).json()["result"]) == 3
    flows.create("done")
    flows.get("done")
    newest = [one["id"] for one in flows.server.result(flows.instances + "/")]
    assert newest == ["done", "i2", "i1", "i0"]
    assert [one["id"] for one in flows.server.result(flows.instances + "?status=complete")] == ["done"]
    assert flows.server.result(flows.instances + "?date_end=2026-01-01T00:00:00Z") == []
    first = flows.server.http.get(flows.instances, params={"per_page": 3}).json()
    after = {"per_page": 3, "cursor": first["result_info"]["cursor"]}
    assert [one["id"] for one in flows.server.http.get(flows.instances, params=after).json()["result"]] == ["i0"]
    assert flows.server.http.put(flows.instances + "/terminate").json()["result"] == {"status": "ok"}
    assert {one["status"] for one in flows.server.result(flows.instances)} == {"terminated", "complete"}
    gone = flows.server.http.post(flows.instances + "/batch/delete", json={"instances": ["i0", "absent"]})
    assert gone.json()["result"]["deleted"] == [{"id": "i0"}]
    assert gone.json()["result"]["errors"][0]["code"] == 10400
    assert "i0" not in {one["id"] for one in flows.server.result(flows.instances)}


def test_a_kill_of_the_server_loses_nothing(make_api: Callable[..., Any], tmp_path: Path) -> None:
    """After kill -9 of the server an instance that sleeps and one within a step both go on by themselves."""
    with make_api(tmp_path / "data") as server:
        flows = Flows(server, "orders")
        flows.upload("api")
        flows.create("sleeps", nap=1500)
        flows.create("works", work=200, cut=True)
        while "work-1" not in [step.get("name") for step in flows.server.result(f"{flows.instances}/works")["steps"]]:
            time.sleep(0.02)
        first = [step["output"] for step in flows.get("sleeps", "waiting")["steps"] if step["name"] == "first-1"]
        os.kill(server.target.pid, signal.SIGKILL)
    with make_api(tmp_path / "data") as server:
        flows = Flows(server, "orders")
        assert [flows.get("sleeps")["output"]["first"]] == first
        assert flows.get("works")["output"]["work"] == 2


def test_a_renamed_worker_keeps_its_workflows(flows: Flows, script: str) -> None:
    """The workflow follows its script, with its instances."""
    flows.upload(script)
    flows.create("a")
    flows.get("a")
    to = f"{script[:50]}-to"
    flows.server.http.patch(f"{flows.server.account}/workers/services/{script}", json={"id": to}).raise_for_status()
    assert flows.server.result(f"{flows.path}/{flows.name}")["script_name"] == to
    assert flows.server.call(to, "/status?id=a").json()["status"] == "complete"


def test_put_makes_changes_and_moves_a_workflow(flows: Flows, script: str) -> None:
    """As wrangler sends it after a deploy: another class, limits, another Worker; its id and its instances stay."""
    two = FLOW + "export class Other extends Flow {}\n"
    assert flows.server.code_of(flows.put(script)) == 10001  # no such Worker
    assert flows.server.upload(script, two).status_code == 200
    assert flows.server.code_of(flows.put(script, "Missing")) == 10021
    assert flows.server.code_of(flows.server.http.put(f"{flows.path}/{flows.name}", json={})) == 10002
    made = flows.put(script).json()["result"]
    flows.create("a")
    flows.get("a")
    changed = flows.put(script, "Other", limits={"steps": 1}).json()["result"]
    assert (changed["id"], changed["class_name"]) == (made["id"], "Other")
    assert changed["version_id"] != made["version_id"]
    (version,) = flows.server.result(f"{flows.path}/{flows.name}/versions")
    assert (version["id"], version["limits"]) == (changed["version_id"], {"steps": 1})
    flows.create("b", flaky=True)
    assert "limit of 1 steps" in flows.get("b")["error"]["message"]
    flows.upload(f"{script[:50]}-2")
    assert flows.server.result(f"{flows.path}/{flows.name}")["script_name"] == script
    assert flows.put(f"{script[:50]}-2").json()["result"]["id"] == made["id"]
    assert {one["id"] for one in flows.server.result(flows.instances)} == {"a", "b"}
    assert flows.server.call(f"{script[:50]}-2", "/status?id=a").json()["status"] == "complete"


def test_instances_stay_through_deploys_and_with_a_deleted_worker(flows: Flows, script: str) -> None:
    """Redeploys keep them, a deleted Worker leaves them, inactive; only the deletion of the workflow removes them."""
    flows.upload(script)
    flows.create("a", wait="1 minute")
    flows.get("a", "waiting")
    flows.upload(script, FLOW + "// other\n")
    assert flows.server.http.post(f"{flows.instances}/a/events/go").status_code == 200
    assert flows.get("a")["status"] == "complete"
    flows.server.http.delete(f"{flows.server.scripts}/{script}").raise_for_status()
    assert flows.server.result(f"{flows.path}/{flows.name}")["script_deleted"] is True
    refused = flows.server.http.post(flows.instances, json={})
    assert "is not deployed" in refused.text
    flows.upload(script)
    assert [one["id"] for one in flows.server.result(flows.instances)] == ["a"]
    deleted = flows.server.http.delete(f"{flows.path}/{flows.name}")
    assert deleted.json()["result"]["status"] == "ok"
    assert "has no workflow" in flows.server.call(script, "/create").text
    flows.upload(script)
    assert flows.server.result(flows.instances) == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-a", "a" * 65, "ä", "a b", "."])
def test_a_name_that_could_be_a_path_is_refused(server: Any, script: str, name: str) -> None:
    """In a binding, in `exports` and in the path: 1 to 64 letters, digits, - and _, as wrangler checks it too."""
    flows = Flows(server, name)
    assert server.code_of(flows.upload(script)) == 10021
    entry = {"Flow": {"type": "workflow", "name": name}}
    assert server.code_of(server.upload(script, FLOW, exports=entry)) == 100402
    if name and "/" not in name and name != ".":
        assert server.code_of(flows.put(script)) == 10021


def test_the_class_of_a_workflow_must_be_exported(flows: Flows, script: str) -> None:
    """An upload that binds a class which is none, or no WorkflowEntrypoint, is refused by name."""
    refused = flows.upload(script, FLOW, class_name="Missing")
    assert flows.server.code_of(refused) == 10021
    assert "'Missing', which the script does not export as a WorkflowEntrypoint" in refused.text
    assert flows.server.code_of(flows.upload(script, flows.server.plain)) == 10021


def test_an_entry_of_exports_makes_a_workflow_too(flows: Flows, script: str) -> None:
    """`exports` declares a workflow with its limits; `ctx.exports` reaches it without a binding."""
    source = FLOW.replace(
        "async fetch(request, env) {", "async fetch(request, _, { exports }) { const env = { FLOW: exports.Flow };"
    )
    entry = {"Flow": {"type": "workflow", "name": flows.name, "limits": {"steps": 100}}}
    hooks = flows.server.http.event_hooks
    flows.server.http.event_hooks = {}  # the published document is older than entries of workflows
    try:
        assert flows.server.upload(script, source, exports=entry).status_code == 200
    finally:
        flows.server.http.event_hooks = hooks
    assert flows.server.call(script, "/create?id=a").json() == "a"
    assert flows.get("a")["status"] == "complete"


@pytest.mark.thorough  # by default tests/test_workflows.py deploys to a strict one
def test_a_strict_server_makes_no_workflow_by_an_upload(make_api: Callable[..., Any], tmp_path: Path) -> None:
    """As at Cloudflare: until it is put, a workflow is not there (10200), and its binding says so."""
    with make_api(tmp_path / "data", strict=True) as server:
        flows = Flows(server, "orders")
        assert flows.upload("api").status_code == 200
        assert server.code_of(server.http.get(f"{flows.path}/orders")) == 10200
        assert 'has no workflow \\"orders\\"' in server.call("api", "/create").text
        assert flows.put("api").status_code == 200
        assert server.call("api", "/create?id=a").json() == "a"
        assert flows.get("a")["status"] == "complete"
