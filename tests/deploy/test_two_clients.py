"""Two clients without a shared disk: in every interleaving of their requests nothing is lost or applied twice."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import itertools
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from account_model import Account, Clock, client_of
from project import Project, worker_of

from notebook_do.errors import DurableError, StalePlan, StateError
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Turns:
    """Lets the requests of two clients through in one given order."""

    def __init__(self, order: Iterable[str]) -> None:
        self.order, self.ended, self.changed = list(order), set[str](), asyncio.Condition()

    def of(self, name: str) -> Any:
        """Give the fault that makes a client wait for its turn."""

        async def wait(_request: Any, deliver: Any) -> Any:
            async with self.changed:
                await self.changed.wait_for(lambda: self.next() in (name, None))
                if self.order:
                    self.order.pop(0)
                response = deliver()
                self.changed.notify_all()
                return response

        return wait

    def next(self) -> str | None:
        """Say whose turn it is; a client that has ended is passed over."""
        while self.order and self.order[0] in self.ended:
            self.order.pop(0)
        return self.order[0] if self.order else None

    async def end(self, name: str) -> None:
        """Note that a client sends no more."""
        async with self.changed:
            self.ended.add(name)
            self.changed.notify_all()


def project_of(path: Path, account: Account, declared: tuple[Any, ...] = ()) -> Project:
    """Make a project with its state in `path`."""
    return Project(StateFile(path / "state.json"), lambda: client_of(account), declared)


async def both(projects: dict[str, Project], account: Account, order: Iterable[str]) -> dict[str, Any]:
    """Deploy two plans that were made before, their requests interleaved in `order`."""
    turns = Turns(order)
    plans = {name: await project.plan() for name, project in projects.items()}

    async def one(name: str) -> Any:
        project = projects[name]
        project.client = lambda: client_of(account, turns.of(name))
        try:
            return await project.deploy(plans[name])
        except DurableError as error:
            return error
        finally:
            await turns.end(name)

    ended = dict(zip(projects, await asyncio.gather(*(one(n) for n in projects)), strict=True))
    for project in projects.values():
        project.client = lambda: client_of(account)
    return ended


def check(account: Account, projects: dict[str, Project], ended: dict[str, Any]) -> None:
    """Nothing is lost, nothing is created twice, and who was told that all is well has it recorded."""
    applied = [str(m) for m in account.migrations_applied]
    assert len(applied) == len(set(applied))
    assert len({(n["script"], n["class"]) for n in account.namespaces.values()}) == len(account.namespaces)
    for name, project in projects.items():
        recorded = {str(n.namespace_id) for n in project.state.load().namespaces}
        assert recorded <= set(account.namespaces)
        if not isinstance(ended[name], DurableError):
            assert recorded


ORDERS = ["".join(o) for o in sorted(set(itertools.permutations("AAAABBBB")))]
SOME_OR_ALL = pytest.mark.parametrize(
    "orders", [ORDERS[::7], pytest.param(ORDERS, marks=pytest.mark.thorough)], ids=["some", "all"]
)


@SOME_OR_ALL
@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_f45_two_first_deploys(tmp_path: Path, form: str, orders: list[str]) -> None:
    """F45, P2, P4: two first deploys of one Worker, in all 70 interleavings, end with one namespace."""
    assert len(ORDERS) == 70
    declared = worker_of("host", {"a": "A"}, lifecycle=form)
    for number, order in enumerate(orders):
        account = Account()
        projects = {
            name: Project(
                StateFile(tmp_path / f"{number}{name}" / "state.json"), lambda a=account: client_of(a), declared
            )
            for name in "AB"
        }
        ended = asyncio.run(both(projects, account, order))
        check(account, projects, ended)
        assert len(account.namespaces) == 1
        told = [e for e in ended.values() if isinstance(e, DurableError)]
        assert len(told) == 1, order
        assert re.search("stale|Another deploy was first|changed by somebody else", str(told[0])), order
        plans = [asyncio.run(p.plan()) for p in projects.values()]
        assert not any(plan.refusals for plan in plans)
        check(account, projects, ended)


@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_f45_the_second_is_told_when_its_answer_was_lost(tmp_path: Path, form: str) -> None:
    """F45, F31: a first deploy whose answer is lost, and whose upload came second, does not end as if all were well."""
    account, clock = Account(), Clock()
    declared = worker_of("host", {"a": "A"}, lifecycle=form)
    first = project_of(tmp_path / "A", account, declared)
    second = project_of(tmp_path / "B", account, declared)
    plan = asyncio.run(second.plan())

    async def second_and_lost(request: Any, deliver: Any) -> Any:
        if request.method == "PUT" and not account.scripts:
            assert (await first.run()).ok
            deliver()
            raise httpx.ReadTimeout("lost", request=request)
        return None

    second.client = lambda: client_of(account, second_and_lost, clock)
    with pytest.raises(DurableError, match=r"Another deploy was first|changed by somebody else"):
        asyncio.run(second.deploy(plan))
    assert len(account.namespaces) == 1
    assert not asyncio.run(second.plan()).refusals
    check(account, {"A": first, "B": second}, {"A": None, "B": DurableError("told")})


@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_f45_two_copies_never_set_the_same_tag(tmp_path: Path, form: str) -> None:
    """F45: the same plan, deployed by two copies of one project, is not taken for done by the second one."""
    account = Account()
    first = project_of(tmp_path / "A", account, worker_of("host", {"a": "A"}, lifecycle=form))
    asyncio.run(first.run())
    shutil.copytree(tmp_path / "A", tmp_path / "B")
    second = project_of(tmp_path / "B", account)
    for project in (first, second):
        project.declared = worker_of("host", {"a": "B"}, lifecycle=form)
    plans = [asyncio.run(project.plan()) for project in (first, second)]
    assert plans[0].digest == plans[1].digest
    ended = asyncio.run(both({"A": first, "B": second}, account, "AABB" * 3))
    assert [isinstance(e, DurableError) for e in ended.values()].count(True) == 1
    assert [n["class"] for n in account.namespaces.values()] == ["B"]


@SOME_OR_ALL
@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_f45_f59_two_renames_by_copies_of_one_project(tmp_path: Path, form: str, orders: list[str]) -> None:
    """F45, F59: two copies of one project rename a class differently, in all interleavings: the object's id stays."""
    for number, order in enumerate(orders):
        account = Account()
        first = project_of(tmp_path / f"{number}A", account, worker_of("host", {"a": "A"}, lifecycle=form))
        asyncio.run(first.run())
        (id_,) = account.namespaces
        shutil.copytree(tmp_path / f"{number}A", tmp_path / f"{number}B")
        second = project_of(tmp_path / f"{number}B", account)
        projects = {"A": first, "B": second}
        for name, project in projects.items():
            project.declared = worker_of("host", {"a": f"A{name}"}, lifecycle=form)
        ended = asyncio.run(both(projects, account, order))
        check(account, projects, ended)
        assert set(account.namespaces) == {id_}
        assert any(not isinstance(e, DurableError) for e in ended.values()), order


def test_f59_a_diverged_copy_is_refused(tmp_path: Path) -> None:
    """F59: after one copy of a state file deployed, the other is refused with what to do, and sends nothing."""
    account = Account()
    first = project_of(tmp_path / "A", account, worker_of("host", {"a": "A"}))
    asyncio.run(first.run())
    shutil.copytree(tmp_path / "A", tmp_path / "B")
    first.declared = worker_of("host", {"a": "A"}, note="by the first copy")
    assert asyncio.run(first.run()).ok
    second = Project(
        StateFile(tmp_path / "B" / "state.json"), first.client, worker_of("host", {"a": "A"}, note="by the second")
    )
    account.log.clear()
    (refusal,) = asyncio.run(second.plan()).refusals
    assert refusal.code == "state-behind"
    assert "%durable import host" in " ".join(refusal.choices)
    assert {m for m, _ in account.log} == {"GET"}
    first.declared = worker_of("host", {"a": "A"}, note="and again")
    assert asyncio.run(first.run()).ok


def test_a_copy_that_falls_behind_after_its_plan_is_refused(tmp_path: Path) -> None:
    """F59: so it is where the other copy deploys between plan and deploy."""
    account = Account()
    first = project_of(tmp_path / "A", account, worker_of("host", {"a": "A"}))
    asyncio.run(first.run())
    shutil.copytree(tmp_path / "A", tmp_path / "B")
    second = Project(
        StateFile(tmp_path / "B" / "state.json"), first.client, worker_of("host", {"a": "A"}, note="by the second")
    )
    plan = asyncio.run(second.plan())
    first.declared = worker_of("host", {"a": "A"}, note="by the first copy")
    assert asyncio.run(first.run()).ok
    account.log.clear()
    with pytest.raises(StalePlan):
        asyncio.run(second.deploy(plan))
    assert {m for m, _ in account.log} == {"GET"}


def test_f57_after_a_restore_the_project_goes_on(tmp_path: Path) -> None:
    """F57: a restored old state is no diverged copy: it goes on, and the live class name is not renamed back."""
    account = Account()
    project = Project(
        StateFile(tmp_path / "A" / "state.json"), lambda: client_of(account), worker_of("host", {"a": "A"})
    )
    asyncio.run(project.run())
    (id_,) = account.namespaces
    old = project.state.load().serial
    project.declared = worker_of("host", {"a": "B"})
    asyncio.run(project.run())
    project.state.restore(old)
    plan = asyncio.run(project.plan())
    if plan.steps:
        assert asyncio.run(project.deploy(plan)).ok
    assert account.namespaces[id_]["class"] == "B"
    assert len(account.namespaces) == 1
    assert asyncio.run(project.plan()).steps == ()


@pytest.mark.parametrize("failure", [None, errno.ENOLCK, errno.ENOTSUP])
def test_f53_nothing_is_sent_where_locks_exclude_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: int | None
) -> None:
    """F53: where locks are none a deploy is refused before any change, in one line; with cas-only it is carried out."""

    def flock(*_: Any) -> None:
        if failure is not None:
            raise OSError(failure, os.strerror(failure))

    account = Account()
    project = project_of(tmp_path / "A", account, worker_of("host", {"a": "A"}))
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StateError, match="--lock cas-only") as caught:
        asyncio.run(project.run())
    assert "\n" not in str(caught.value)
    assert {m for m, _ in account.log} == {"GET"}
    project.state = StateFile(project.state.path, locking="cas-only")
    assert asyncio.run(project.run()).ok
    assert asyncio.run(project.plan()).steps == ()
