"""Interrupts: the step under way finishes or stays open in the journal, the lock is freed, and a rerun ends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from account_model import Account, Clock, client_of
from faults import FAULTS
from project import Project, worker_of
from test_faults import ENDPOINTS, Weather

from notebook_do.deploy import run as run_module
from notebook_do.errors import DurableError, PlanRefused, StateCorrupt
from notebook_do.state.file import StateFile
from notebook_do.state.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.deploy.result import Event

DECLARED = worker_of("host", {"a": "A"}, crons=("0 * * * *",)) + worker_of("guest", {}, uses=("a",))


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a step under way next to no time: these tests decide themselves whether it gets its answer."""
    monkeypatch.setattr(run_module, "GRACE_SECONDS", 0.05)


class Hangs:
    """Lets `free` requests of a deploy through, then says that one is under way and never answers it."""

    def __init__(self, free: int, *, delivered: bool) -> None:
        self.free, self.delivered, self.under_way, self.on = free, delivered, asyncio.Event(), False

    async def __call__(self, _request: Any, deliver: Any) -> Any:
        """Answer, or hang for ever."""
        if not self.on:
            return None
        self.free -= 1
        if self.free >= 0:
            return None
        if self.delivered:
            deliver()
        self.under_way.set()
        await asyncio.Event().wait()
        return None


async def interrupted(account: Account, state: StateFile, free: int, *, delivered: bool) -> list[Event]:
    """Deploy, and cancel while request number `free` + 1 is under way."""
    hangs = Hangs(free, delivered=delivered)
    project = Project(state, lambda: client_of(account, hangs), DECLARED)
    plan = await project.plan()
    hangs.on = True
    events: list[Event] = []
    task = asyncio.ensure_future(project.deploy(plan, emit=events.append))
    waiting = asyncio.ensure_future(hangs.under_way.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
        return []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return events or [None]  # type: ignore[list-item]


@pytest.mark.parametrize("delivered", [False, True])
def test_f42_interrupted_at_every_request(tmp_path: Path, delivered: bool) -> None:  # noqa: FBT001
    """F42: an interrupt at any request frees the lock, tells what is uncertain, and a rerun reaches a clean plan."""
    free = 0
    while True:
        account, state = Account(), StateFile(tmp_path / f"{free}" / "state.json")
        events = asyncio.run(interrupted(account, state, free, delivered=delivered))
        if not events:
            break
        if events[0] is not None:
            assert events[-1].kind == "finished"
            assert ("uncertain" in events[-1].text) == bool(Journal(state.journal_path).open_intents())
        with state.lock():
            pass
        project = Project(state, lambda account=account: client_of(account), DECLARED)
        plan = asyncio.run(project.plan())
        if plan.steps:
            assert asyncio.run(project.deploy(plan)).ok
        assert asyncio.run(project.plan()).steps == ()
        assert len(account.namespaces) == len(account.migrations_applied) == 1
        assert Journal(state.journal_path).open_intents() == ()
        free += 1
    assert free == 11


def test_f42_the_step_under_way_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F42: when the answer comes in time, the interrupted step is done and recorded; the next is not sent."""
    monkeypatch.setattr(run_module, "GRACE_SECONDS", 5.0)
    account, state = Account(), StateFile(tmp_path / "p" / "state.json")
    under_way, goes_on = asyncio.Event(), asyncio.Event()
    events: list[Event] = []

    async def slow(request: Any, deliver: Any) -> Any:
        if request.method == "PUT":
            under_way.set()
            await goes_on.wait()
            return deliver()
        return None

    async def both() -> None:
        project = Project(state, lambda: client_of(account, slow), DECLARED)
        plan = await project.plan()
        task = asyncio.ensure_future(project.deploy(plan, emit=events.append))
        await under_way.wait()
        task.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(both())
    assert [w.id for w in state.load().workers] == ["host"]
    assert set(account.scripts) == {"host"}
    assert [e.kind for e in events] == ["step", "done", "finished"]
    assert Journal(state.journal_path).open_intents() == ()


def test_f42_a_second_interrupt_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F42: a second interrupt ends the wait for the step under way; its intent stays open and the lock is free."""
    monkeypatch.setattr(run_module, "GRACE_SECONDS", 600.0)
    account, state = Account(), StateFile(tmp_path / "p" / "state.json")

    async def both() -> None:
        hangs = Hangs(2, delivered=True)
        project = Project(state, lambda: client_of(account, hangs), DECLARED)
        plan = await project.plan()
        hangs.on = True
        task = asyncio.ensure_future(project.deploy(plan))
        await hangs.under_way.wait()
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(both())
    with state.lock():
        assert len(Journal(state.journal_path).open_intents()) == 1


@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_f54_a_damaged_journal(tmp_path: Path, form: str) -> None:
    """F54, P2: a damaged journal stops the plan with what to do; without it nothing is sent before an import."""
    account, state, clock = Account(), StateFile(tmp_path / "s" / "state.json"), Clock()
    unseen = Weather(ENDPOINTS["list namespaces"], FAULTS["reset before"], 0)
    project = Project(state, lambda: client_of(account, unseen, clock), worker_of("host", {"a": "A"}, lifecycle=form))
    assert asyncio.run(project.run()).ok
    project.declared = worker_of("host", {"a": "A2", "b": "B"}, lifecycle=form)
    plan = asyncio.run(project.plan())
    unseen.left = 1000
    with pytest.raises(DurableError, match="uncertain"):
        asyncio.run(project.deploy(plan))
    unseen.left = 0
    ids = set(account.namespaces)
    lines = state.journal_path.read_bytes().splitlines(keepends=True)
    state.journal_path.write_bytes(b"".join(lines[:-1]) + lines[-1][:-20] + b"\n")
    damaged = state.journal_path.read_bytes()
    with pytest.raises(StateCorrupt, match=r"journal\.jsonl, line \d+ .* move it away and plan again"):
        asyncio.run(project.plan())
    assert state.journal_path.read_bytes() == damaged
    state.journal_path.rename(tmp_path / "away")
    plan = asyncio.run(project.plan())
    assert [r.code for r in plan.refusals] == ["state-behind"]
    assert "or the journal of that deploy is lost" in plan.refusals[0].message
    assert "bring this file up to date: %durable import host" in plan.refusals[0].choices
    with pytest.raises(PlanRefused):
        asyncio.run(project.deploy(plan))
    assert set(account.namespaces) == ids
