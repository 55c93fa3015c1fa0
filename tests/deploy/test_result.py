"""What a deploy says of itself: times, counts, and a failure that can be shown beside its steps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from account_model import Account, Clock, client_of
from faults import FAULTS
from project import Project, worker_of
from test_faults import Weather

from notebook_do.deploy.result import DeployResult, Outcome
from notebook_do.deploy.run import deploy
from notebook_do.notebook.views.documents import bundle
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from notebook_do.deploy.result import Event

TWO = worker_of("one", {"a": "A"}) + worker_of("two", {"b": "B"})


def deployed(
    path: Path, weather: Any = None, emit: Callable[[Event], None] = lambda _: None, **options: Any
) -> tuple[DeployResult, Clock]:
    """Deploy two Workers into an empty account on a virtual clock."""
    clock, account = Clock(), Account()
    project = Project(StateFile(path / "s" / "state.json"), lambda: client_of(account, weather, clock), TWO)

    async def both() -> DeployResult:
        plan = await project.plan()
        async with project.client() as client:
            return await deploy(plan, client=client, state=project.state, emit=emit, now=clock, **options)

    return asyncio.run(both()), clock


def test_a_result_tells_when_each_step_began_and_ended_and_counts_by_verb(tmp_path: Path) -> None:
    """Issue 16, views 15: start and end of the deploy and of each step, counts by verb, and the plan that was sent."""
    result, clock = deployed(tmp_path, Weather(r"PUT .*/scripts/two", FAULTS["429 in seconds"], 1))
    assert result.ok
    assert result.plan is not None
    assert (result.stage, result.target, result.plan_digest) == ("production", "cloudflare", result.plan.digest)
    assert sum(result.counts.values()) == len(result.plan.changes)
    assert result.counts["create"] >= 6, "two Workers, their namespaces and their bindings"
    assert result.started == datetime.fromtimestamp(1000, UTC)
    assert result.ended == datetime.fromtimestamp(clock.now, UTC)
    slow = next(one for one in result.outcomes if "two" in one.text)
    assert slow.seconds is not None
    assert slow.started
    assert slow.ended
    assert result.seconds == clock.now - 1000
    assert slow.seconds == (slow.ended - slow.started).total_seconds()
    assert slow.seconds >= 7, "the wait that Cloudflare asked for is part of the step"
    assert all(one.started and one.ended and one.started <= one.ended for one in result.outcomes)
    assert "plan" not in repr(result).replace("plan_digest", ""), "its code is no part of what is printed"


def test_a_wait_is_told_of_the_step_that_waits(tmp_path: Path) -> None:
    """Issue 16, views 7: of two uploads that are sent together, the countdown is in the row of the one that waits."""
    told: list[Event] = []
    result, _ = deployed(tmp_path, Weather(r"PUT .*/scripts/two", FAULTS["429 in seconds"], 1), told.append)
    names = [outcome.text for outcome in result.outcomes]
    waits = {names[event.index - 1] for event in told if event.kind == "waiting" and "tried again" in event.text}
    assert waits == {next(name for name in names if "Worker two" in name)}


def test_a_deploy_that_was_asked_to_stop_says_so_and_has_no_failure(tmp_path: Path) -> None:
    """Issue 16, views 7: between steps and during a wait, a stop on request is told from a failure."""
    done: list[Event] = []
    result, _ = deployed(tmp_path, None, done.append, cancel=lambda: any(e.kind == "done" for e in done))
    assert (result.cancelled, result.failure, result.ok) == (True, None, False)
    assert [one.started is None for one in result.outcomes if one.status == "not done"] == [True] * (
        len(result.outcomes) - sum(one.status == "done" for one in result.outcomes)
    )
    assert {one.seconds is None for one in result.outcomes if one.status == "not done"} == {True}
    assert not deployed(tmp_path / "whole")[0].cancelled, "one that was not asked to stop"


def test_what_was_not_begun_took_no_time() -> None:
    """Neither a step that was not reached nor a deploy of which no time is known has a duration."""
    assert Outcome(text="upload one", status="not done").seconds is None
    assert Outcome(text="upload one", status="uncertain", started=datetime.fromtimestamp(1, UTC)).seconds is None
    result = DeployResult(plan_digest="d")
    assert result.seconds is None
    result.started = datetime.fromtimestamp(1, UTC)
    assert result.seconds is None
    result.ended = datetime.fromtimestamp(3, UTC)
    assert result.seconds == 2


def test_a_deferred_update_is_said_of_the_result(tmp_path: Path) -> None:
    """Issue 11.10: after a deploy to Cloudflare old code may answer for a while, and the result says for how long."""
    result, _ = deployed(tmp_path)
    later = (
        "Code updates of one, two are deferred (code_update_strategy): after the deploy old code may answer for up to "
        "300 s."
    )
    assert result.target == "cloudflare"
    assert later in result.notes
    for drawn in bundle(result).values():
        assert "old code may answer for up to 300 s" in " ".join(drawn.split())
