"""Workflows run on workerd's own engine: from `create` to the end, over crashes, idle times and two Workers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.local.objects.instances import instance, instances, steps_of
from notebook_do.local.runtime.spec import HostedWorkflow

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW = (Path(__file__).parent / "programs" / "flow.js").read_text()
ID = "0" * 31 + "f"
HOST: dict[str, Any] = {
    "workflows": (HostedWorkflow(workflow_id=ID, name="orders", class_name="Flow"),),
    "bindings": ({"type": "workflow", "name": "FLOW", "workflow_name": "orders", "class_name": "Flow"},),
}
ENDS = {"complete", "errored", "terminated"}


async def create(stage: Any, id_: str, worker: str = "flow", **params: Any) -> str:
    """Create an instance through the binding of a Worker."""
    answer = await stage.call(worker, "/create", params={"id": id_, "params": json.dumps(params)})
    assert answer.status_code == 200, answer.text
    return str(answer.json())


async def do(stage: Any, call: str, id_: str, worker: str = "flow") -> Any:
    """Call one instance through the binding of a Worker."""
    answer = await stage.call(worker, f"/{call}", params={"id": id_})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until(stage: Any, id_: str, *wanted: str, worker: str = "flow") -> dict[str, Any]:
    """Ask for an instance's status until it is one of these, or it has ended."""
    async with asyncio.timeout(60):
        while True:
            found: dict[str, Any] = await do(stage, "status", id_, worker)
            if found["status"] in {*wanted, *ENDS}:
                return found
            await asyncio.sleep(0.02)


def look(stage: Any, id_: str, name: str = "orders") -> Any:
    """Read an instance from the disk, which starts nothing; None where there is none."""
    return instance(stage.runtime.storage, ID, name, id_)


async def until_kept(stage: Any, id_: str, wanted: Callable[[Any], bool]) -> Any:
    """Look at what is kept of an instance until it is as wanted, without asking any Worker."""
    async with asyncio.timeout(60):
        while (found := look(stage, id_)) is None or not wanted(found):  # noqa: ASYNC110 - it is on the disk
            await asyncio.sleep(0.02)
    return found


def outputs(one: Any) -> dict[str, Any]:
    """Give the outputs of the steps that were completed."""
    return {step["name"]: step["output"] for step in steps_of(one) if step.get("success")}


def test_an_instance_runs_from_create_to_complete(play: Callable[..., None]) -> None:
    """`create` gives the instance; a step that fails is tried again; the status has what `run` returned."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        assert await create(stage, "a", flaky=True) == "a"
        ended = await until(stage, "a")
        assert ended["status"] == "complete"
        first = ended["output"].pop("first")
        assert len(first) == 36
        assert ended["output"] == {"workflowName": "orders", "instanceId": "a", "tries": 3}
        steps = {step["name"]: step for step in steps_of(look(stage, "a"))}
        assert [attempt["success"] for attempt in steps["flaky-1"]["attempts"]] == [False, False, True]
        again = await stage.call("flow", "/create", params={"id": "a"})
        assert "already exists" in again.json()["error"]

    play(story)


def test_an_error_that_is_not_to_be_retried_ends_the_instance(play: Callable[..., None]) -> None:
    """NonRetryableError is tried once; its message is kept since 2026-05-14, and replaced for older dates."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        await create(stage, "a", fatal=True)
        ended = await until(stage, "a")
        assert (ended["status"], ended["error"]) == (
            "errored",
            {"name": "NonRetryableError", "message": "never again"},
        )
        (fatal,) = (step for step in steps_of(look(stage, "a")) if step["name"] == "fatal-1")
        assert len(fatal["attempts"]) == 1
        await stage.deploy("flow", FLOW, **HOST, compatibility_date="2026-01-01")
        await create(stage, "b", fatal=True)
        assert (await until(stage, "b"))["error"]["name"] == "WorkflowFatalError"

    play(story)


def test_many_are_created_at_once_and_sleeps_end(play: Callable[..., None]) -> None:
    """`createBatch` makes each; `sleep` and `sleepUntil` end when they should."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        answer = await stage.call("flow", "/batch", params={"id": ["x", "y", "z"]})
        assert answer.json() == ["x", "y", "z"]
        began = time.time() * 1000
        await create(stage, "a", nap=300)
        await create(stage, "b", until=began + 3000)
        assert (await until(stage, "a"))["output"]["last"] >= began + 300
        assert (await until(stage, "b"))["output"]["last"] >= began + 3000
        assert [(await until(stage, one))["status"] for one in "xyz"] == ["complete"] * 3

    play(story)


def test_an_event_is_waited_for_and_may_come_too_late(play: Callable[..., None]) -> None:
    """`sendEvent` ends `waitForEvent` with its payload; without it the wait ends with an error after its timeout."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        await create(stage, "a", wait="1 minute")
        assert (await until(stage, "a", "waiting"))["status"] == "waiting"
        await do(stage, "event", "a")
        assert (await until(stage, "a"))["output"]["event"] == {"hi": 1}
        await create(stage, "b", wait=100)
        ended = await until(stage, "b")
        assert (ended["status"], ended["error"]["name"]) == ("errored", "WorkflowTimeoutError")

    play(story)


def test_an_instance_is_paused_resumed_terminated_and_restarted(play: Callable[..., None]) -> None:
    """Each call does what it says, and one that cannot be done says why."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        await create(stage, "a", nap=2000)
        await do(stage, "pause", "a")
        assert (await until(stage, "a", "paused"))["status"] == "paused"
        await asyncio.sleep(2.2)
        assert (await do(stage, "status", "a"))["status"] == "paused"
        await do(stage, "resume", "a")
        assert (await until(stage, "a"))["status"] == "complete"
        await create(stage, "b", wait="1 minute")
        await do(stage, "terminate", "b")
        assert (await do(stage, "status", "b"))["status"] == "terminated"
        refused = await stage.call("flow", "/terminate", params={"id": "b"})
        assert "Cannot terminate" in refused.json()["error"]
        first = outputs(look(stage, "b"))["first-1"]
        await do(stage, "restart", "b")
        await until(stage, "b", "waiting")
        await do(stage, "event", "b")
        assert (await until(stage, "b"))["output"]["first"] != first

    play(story)


def test_a_kill_loses_no_step_and_no_sleep(play: Callable[..., None]) -> None:
    """After kill -9 in a sleep the steps before it are not run again, and the sleep ends in time, without a request."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        began = time.time() * 1000
        await create(stage, "a", nap=3000)
        kept = await until_kept(stage, "a", lambda one: one.status == "waiting")
        os.kill(stage.pid("flow"), signal.SIGKILL)
        ended = await until_kept(stage, "a", lambda one: one.status in ENDS)
        assert outputs(ended)["first-1"] == outputs(kept)["first-1"]
        assert began + 3000 <= ended.meta["output"]["last"] < began + 60_000
        assert ended.meta["output"]["first"] == outputs(kept)["first-1"]

    play(story)


def test_a_step_that_a_kill_cut_short_is_tried_again_at_once(play: Callable[..., None]) -> None:
    """After kill -9 within a step it is tried again once the process or the server is back, not minutes later."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        async with stage.running():
            await create(stage, "a", work=200, cut=True)
            kept = await until_kept(stage, "a", lambda one: "work-1" in {s["name"] for s in steps_of(one)})
            os.kill(stage.pid("flow"), signal.SIGKILL)
            ended = await until_kept(stage, "a", lambda one: one.status in ENDS)
            assert ended.meta["output"]["work"] == 2
            assert ended.meta["output"]["first"] == outputs(kept)["first-1"]
            await create(stage, "b", work=200, cut=True)
            await until_kept(stage, "b", lambda one: "work-1" in {s["name"] for s in steps_of(one)})
        async with stage.running():
            ended = await until_kept(stage, "b", lambda one: one.status in ENDS)
            assert ended.meta["output"]["work"] == 2

    play(story, running=False, grace=0.1)


def test_what_a_deploy_replaces_waits_for_a_step(play: Callable[..., None]) -> None:
    """A step that runs while its Worker is deployed anew is waited for as a request is, and not tried a second time."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        await create(stage, "a", work=700, nap=300)
        await until_kept(stage, "a", lambda one: "work-1" in {step["name"] for step in steps_of(one)})
        first = stage.island("flow")
        await stage.deploy("flow", FLOW + "// other\n", **HOST)
        assert first.closing.is_set()
        await first.gone.wait()
        assert (await until(stage, "a"))["output"]["work"] == 1

    play(story, grace=60)


def test_an_instance_that_waits_wakes_an_island_that_ended(play: Callable[..., None]) -> None:
    """A process that ended for want of requests is started when the sleep of an instance is over."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        await create(stage, "a", nap=4000)
        await stage.over("flow")
        assert stage.runtime._by_script == {}
        assert look(stage, "a").status == "waiting"
        assert (await until_kept(stage, "a", lambda one: one.status in ENDS)).status == "complete"

    play(story, idle=0.3)


def test_an_island_with_a_wait_soon_or_a_step_under_way_does_not_end(play: Callable[..., None]) -> None:
    """Without any request the process goes on while a step runs, longer than the idle time, and before a near end."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        await create(stage, "a", work=1500, nap=250)
        first = stage.island("flow")
        over, at_end = first._when_over, []
        first._when_over = lambda island: (at_end.append(look(stage, "a").status), over(island))
        ended = await until_kept(stage, "a", lambda one: one.status in ENDS)
        assert at_end in ([], ["complete"])  # it may end right after that
        assert ended.meta["output"]["work"] == 1

    play(story, idle=0.4)


def test_a_binding_with_a_script_name_ties_two_workers(play: Callable[..., None]) -> None:
    """A Worker that binds another one's workflow runs in its process, and calls it; without the host it is told so."""

    async def story(stage: Any) -> None:
        far = ({"type": "workflow", "name": "FLOW", "workflow_name": "orders", "script_name": "flow"},)
        client = FLOW.replace("export class Flow", "class Flow")
        stage.put("client", client, bindings=far)
        answer = await stage.call("client", "/create", params={"id": "a"})
        assert answer.json() == {"error": 'binding "FLOW": there is no Worker "flow"'}
        await stage.deploy("flow", FLOW, **HOST)
        assert await create(stage, "a", worker="client", wait="1 minute") == "a"
        assert stage.island("client") is stage.island("flow")
        await do(stage, "event", "a")
        assert (await until(stage, "a", worker="client"))["status"] == "complete"

    play(story)


def test_what_an_instance_logs_is_its_workers(play: Callable[..., None]) -> None:
    """`console.log` in a workflow is an event of its Worker, also where that has an old compatibility date."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST, compatibility_date="2024-01-01")
        await create(stage, "a", say="hello")
        await stage.logged("flow", "said hello")
        assert (await until(stage, "a"))["status"] == "complete"

    play(story)


def test_an_output_that_cannot_be_shown_hides_no_status(play: Callable[..., None]) -> None:
    """What is nested deeper than is read here leaves the instance listed with its id, its status and its steps."""

    async def story(stage: Any) -> None:
        stage.put("flow", FLOW, **HOST)
        nested: Any = 1
        for _ in range(300):
            nested = [nested]
        await create(stage, "a", deep=300)
        await create(stage, "b", other=nested)
        for id_ in "ab":
            await until(stage, id_)
            found = look(stage, id_)
            assert (found.id, found.status) == (id_, "complete")
            assert list(outputs(found)) == ["first-1"]
        listed = {one.id: one.status for one in instances(stage.runtime.storage, ID)}
        assert listed == {"a": "complete", "b": "complete"}

    play(story)


def test_names_are_no_paths(play: Callable[..., None]) -> None:
    """Two workflows whose names are as long as may be and differ in case keep their instances apart, by their ids."""
    names, ids = ("O" * 64, "o" * 64), (ID, "0" * 31 + "e")
    flows = tuple(
        HostedWorkflow(workflow_id=id_, name=name, class_name=one)
        for id_, name, one in zip(ids, names, ("Flow", "Other"), strict=True)
    )
    source = FLOW + "export class Other extends Flow {}\n"

    async def story(stage: Any) -> None:
        for name in names:
            binding = {"type": "workflow", "name": "FLOW", "workflow_name": name}
            await stage.deploy("flow", source, workflows=flows, bindings=(binding,))
            await create(stage, "a")
            assert (await until(stage, "a"))["output"]["workflowName"] == name
        assert sorted(path.name for path in stage.runtime.storage.iterdir()) == sorted(ids)

    play(story)
