"""A declared workflow on the local target: shown, made, run, seen again, given another class, and never taken away."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sharing import call

import notebook_do as nd
from notebook_do.local.process import launch
from notebook_do.model.steps import RemoveTrigger, SetTrigger

FLOW = (Path(__file__).parent / "local" / "programs" / "flow.js").read_text()


def declare(source: str = FLOW, worker: str = "api", **flow: Any) -> nd.Plan:
    """Declare a Worker with a workflow, and plan."""
    session = nd.session("app")
    nd.Worker(
        worker, name=worker, script=source, bindings={"FLOW": nd.Workflow("orders", **{"class_name": "Flow", **flow})}
    )
    return session.plan()


def ended(worker: Any, id_: str) -> dict[str, Any]:
    """Ask a Worker for the status of an instance until it has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: dict[str, Any] = worker.fetch(f"/status?id={id_}").json()
        if found["status"] in {"complete", "errored", "terminated"}:
            return found
        time.sleep(0.02)
    raise AssertionError(found)


def rows(plan: nd.Plan) -> list[tuple[str, str, str]]:
    """Give what a plan says of workflows."""
    return [(str(c.action), c.field, c.detail) for c in plan.changes if c.kind == "workflow"]


def test_a_declared_workflow_is_made_and_runs(cloud: Path) -> None:
    """The plan has a row and a step for it; `create` runs to completion; afterwards there is nothing to do."""
    plan = declare()
    assert rows(plan) == [("create", "orders", "Workflow orders of api is set.")]
    (step,) = (s for s in plan.steps if isinstance(s, SetTrigger))
    assert step.summary == "set workflow orders of Worker api"
    worker = nd.session("app").deploy(plan)["api"]
    assert worker.fetch("/create?id=a").json() == "a"
    assert ended(worker, "a")["status"] == "complete"
    assert nd.session("app").plan().empty


def test_a_strict_local_cloudflare_gets_it_too(own_cloud: Path) -> None:
    """There, as at Cloudflare, the upload alone makes no workflow: what makes it is a request of its own."""
    launch.start(strict=True)
    worker = nd.session("app").deploy(declare())["api"]
    assert worker.fetch("/create?id=a").json() == "a"
    assert ended(worker, "a")["status"] == "complete"
    assert nd.session("app").plan().empty


def test_another_class_changes_the_workflow_and_what_others_set_stays(cloud: Path) -> None:
    """A changed class is one more row; limits that wrangler set stay, and so do the instances."""
    worker = nd.session("app").deploy(declare())["api"]
    worker.fetch("/create?id=a")
    ended(worker, "a")
    limits = {"script_name": "api", "class_name": "Flow", "limits": {"steps": 9}, "schedules": [{"cron": "1 1 * * *"}]}
    call("PUT", "{account}/workflows/orders", limits)
    assert nd.session("app").plan().empty
    plan = declare(FLOW.replace("class Flow", "class Better"), class_name="Better")
    assert rows(plan) == [("update", "orders", "Workflow orders of api is changed.")]
    worker = nd.session("app").deploy(plan)["api"]
    assert nd.session("app").plan().empty
    assert call("GET", "{account}/workflows/orders")["class_name"] == "Better"
    assert call("GET", "{account}/workflows/orders")["schedules"] == [{"cron": "1 1 * * *"}]
    assert call("GET", "{account}/workflows/orders/versions")[0]["limits"] == {"steps": 9}
    assert ended(worker, "a")["status"] == "complete"


def test_a_workflow_is_never_taken_away(cloud: Path) -> None:
    """Not when its binding is dropped, nor with its Worker: its instances would go with it, and are there again."""
    session = nd.session("app")
    worker = session.deploy(declare())["api"]
    worker.fetch("/create?id=a")
    ended(worker, "a")
    nd.Worker("api", name="api", script="export default { fetch() { return new Response('plain'); } };")
    plan = session.plan()
    assert not any(isinstance(step, RemoveTrigger) for step in plan.steps)
    session.deploy(plan)
    session.deploy(session.destroy("api"))
    assert call("GET", "{account}/workflows/orders/instances")[0]["id"] == "a"
    worker = session.deploy(declare())["api"]
    assert ended(worker, "a")["status"] == "complete"


def test_the_workflow_of_another_worker_is_bound_and_not_taken(cloud: Path) -> None:
    """With `script_name` both are one island; a Worker that would host it too is refused by the plan."""
    session = nd.session("app")
    session.deploy(declare())
    plan = declare(FLOW, worker="client", script_name="api")
    assert rows(plan) == []
    client = session.deploy(plan)["client"]
    assert client.fetch("/create?id=a").json() == "a"
    assert ended(client, "a")["status"] == "complete"
    taken, twice = declare(FLOW, worker="client").refusals
    assert "workflow orders belongs to Worker api" in taken.message
    assert "workflow orders is declared by Worker api (test_workflows.py:" in twice.message
    session.forget("worker", "client")
    call("PUT", "{account}/workflows/orders", {"script_name": "client", "class_name": "Flow"})
    (refusal,) = session.plan().refusals
    assert "workflow orders belongs to Worker client" in refusal.message
