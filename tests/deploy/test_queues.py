"""The step that makes a queue: before its producer is uploaded, interrupted anywhere, late, and made by others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from account_model import Account, Clock, answer, client_of
from project import Project

from notebook_do.declare.cell import parse_cell
from notebook_do.deploy.recover import recover
from notebook_do.errors import DeployError, DurableError
from notebook_do.state.file import StateFile
from notebook_do.state.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

ONE = """[workers.both]
script = "export default { queue() {} }"
bindings = {JOBS = {queue = "jobs"}}
consumes = {jobs = {batch_size = 5}}
"""
TWO = """[workers.front]
script = "export default {}"
bindings = {JOBS = {queue = "jobs"}}
[workers.back]
script = "export default { queue() {} }"
consumes = {jobs = {batch_size = 5}}
"""


def project_of(path: Path, account: Account, cell: str = ONE, **options: Any) -> Project:
    """Declare what a cell of TOML says."""
    return Project(StateFile(path / "s" / "state.json"), lambda: client_of(account), parse_cell("", cell), **options)


class Broken:
    """Lets `count` mutations through; the next one is carried out or not, and after it nothing is answered any more."""

    def __init__(self, count: int, *, arrives: bool) -> None:
        self.count, self.arrives, self.lost = count, arrives, list[httpx.Request]()

    async def __call__(self, request: httpx.Request, deliver: Any) -> Any:
        """Break where it is due."""
        if self.lost:
            raise httpx.ConnectError("gone", request=request)
        if request.method == "GET":
            return None
        self.count -= 1
        if self.count >= 0:
            return None
        self.lost.append(request)
        if self.arrives:
            deliver()
        raise httpx.ReadTimeout("lost", request=request)


def broken(project: Project, account: Account, network: Broken) -> bool:
    """Deploy over a network that breaks; False when the deploy came through before that."""
    project.client = lambda: client_of(account, network, Clock())
    plan = asyncio.run(project.plan())
    try:
        asyncio.run(project.deploy(plan))
    except DurableError:
        project.client = lambda: client_of(account)
        return True
    return False


@pytest.mark.parametrize("cell", [ONE, TWO])
def test_the_first_deploy_is_not_refused(tmp_path: Path, cell: str) -> None:
    """Issue 11.14: an upload that binds an absent queue is refused (11000); the first deploy does not meet that."""
    account = Account()
    project = project_of(tmp_path, account, cell)
    assert asyncio.run(project.run()).ok
    assert account.consumers["jobs"] is not None
    made = [path.rsplit("/", 1)[1] for method, path in account.log if method in {"POST", "PUT"}]
    assert made.index("queues") < made.index("both" if cell == ONE else "front")
    assert [(t.kind, t.key) for w in project.state.load().workers for t in w.triggers] == [("consumer", "jobs")]
    assert asyncio.run(project.plan()).empty


def test_a_queue_that_nobody_consumes_is_not_made_and_the_refusal_is_told(tmp_path: Path) -> None:
    """Issue 11.14: what was not declared is not sent; Cloudflare's refusal comes as one line, and nothing is lost."""
    account = Account()
    project = project_of(
        tmp_path, account, '[workers.front]\nscript = "export default {};"\nbindings = {JOBS = {queue = "jobs"}}\n'
    )
    with pytest.raises(DeployError, match=r"Queue 'jobs' not found\..*Worker front sends to jobs: declare"):
        asyncio.run(project.run())
    assert account.consumers == account.scripts == {}
    account.consumers["jobs"] = None
    assert asyncio.run(project.run()).ok


@pytest.mark.parametrize("patience", [1.0, 660.0])
@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("cell", [ONE, TWO])
def test_every_mutation_interrupted(tmp_path: Path, cell: str, arrives: bool, patience: float) -> None:  # noqa: FBT001
    """Issue 11.14: wherever the deploy breaks off, plans and deploys end with one queue, its consumer and no steps."""
    count = 0
    while True:
        account = Account()
        project = project_of(tmp_path / str(count), account, cell, patience=patience)
        if not broken(project, account, network := Broken(count, arrives=arrives)):
            break
        plan = asyncio.run(project.plan())
        assert not plan.refusals
        if network.lost[0].url.path.endswith("/queues"):
            assert [o.status for o in project.found] == ["done" if arrives else "not done"]
            assert plan.undecided == ()
            assert ("make queue jobs" in [s.summary for s in plan.steps]) is not arrives
        if plan.steps:
            assert asyncio.run(project.deploy(plan)).ok
        project.patience = 660.0
        plan = asyncio.run(project.plan())
        if plan.steps:
            assert asyncio.run(project.deploy(plan)).ok
        assert asyncio.run(project.plan()).empty
        assert set(account.consumers) == {"jobs"}
        assert account.consumers["jobs"] is not None
        count += 1
    assert count >= len(account.scripts) + 2


def test_made_late_it_is_the_same_queue(tmp_path: Path) -> None:
    """Issue 11.14: a queue that was not seen is made again at once; the late request then does nothing."""
    account = Account()
    project = project_of(tmp_path, account, patience=1.0)
    assert broken(project, account, network := Broken(0, arrives=False))
    plan = asyncio.run(project.plan())
    assert plan.undecided == ()
    assert "it can be made again" in project.found[0].detail
    assert asyncio.run(project.deploy(plan)).ok
    assert answer(account, network.lost[0]).json()["errors"][0]["code"] == 11009
    assert asyncio.run(project.plan()).empty


def test_made_late_before_it_is_made_again_nothing_is_sent(tmp_path: Path) -> None:
    """Issue 11.14: a queue that appears between the plan and its step, from whomever, is used as it is."""
    account = Account()
    project = project_of(tmp_path, account)
    plan = asyncio.run(project.plan())
    account.consumers["jobs"] = None
    assert asyncio.run(project.deploy(plan)).ok
    assert not [path for method, path in account.log if method == "POST" and path.endswith("/queues")]


def test_a_name_that_was_taken_at_the_same_moment_is_done(tmp_path: Path) -> None:
    """Issue 11.14: 11009, because somebody made it between the look and the request, is what was wanted."""
    account = Account()
    project = project_of(tmp_path, account)
    plan = asyncio.run(project.plan())

    async def first(request: httpx.Request, _deliver: Any) -> Any:
        if request.method == "POST" and request.url.path.endswith("/queues"):
            account.consumers.setdefault("jobs", None)
        return None

    project.client = lambda: client_of(account, first)
    assert asyncio.run(project.deploy(plan)).ok
    assert account.consumers["jobs"] is not None


def test_an_open_intent_says_its_queue_and_never_waits(tmp_path: Path) -> None:
    """Issue 11.14: the journal has the queue's name and no trigger; one that is not there is decided at once."""
    account = Account()
    project = project_of(tmp_path, account)
    assert broken(project, account, Broken(0, arrives=False))
    journal = Journal(project.state.journal_path)
    (intent,) = journal.open_intents()
    assert (intent.kind, intent.queue, intent.trigger) == ("queue", "jobs", None)

    async def look() -> list[str]:
        async with client_of(account) as client:
            return [o.status for o in await recover(client=client, state=project.state, now=lambda: project.time)]

    assert intent.sent_at is not None
    assert asyncio.run(look()) == ["not done"]
    assert journal.open_intents() == ()
