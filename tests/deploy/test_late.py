"""A request that is carried out late: not seen yet is not "did not happen", and what shows up is recognised."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from account_model import Account, Clock, answer, client_of
from crashing import stages
from project import Project, worker_of

from notebook_do.deploy.recover import DECIDED_AFTER, recover
from notebook_do.errors import DurableError, StalePlan
from notebook_do.notebook.views.plan import plan_document
from notebook_do.state.file import StateFile
from notebook_do.state.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from notebook_do.cloudflare.client import Client
    from notebook_do.plan.plan import Plan

HOST = worker_of("host", {"a": "A"})
GUEST = worker_of("guest", {}, uses=("a",), url=False)
OTHER = worker_of("other", {"b": "B"}, url=False)


class Late:
    """Takes the first mutation that matches in, gives no answer, and lets the account carry it out when it is told."""

    def __init__(self, account: Account, method: str = "PUT", path: str = "host") -> None:
        self.account, self.method, self.path, self.held = account, method, path, list[httpx.Request]()

    async def __call__(self, request: httpx.Request, _deliver: Any) -> Any:
        """Hold the request back; the network then fails for good, as it does for a process that was killed."""
        if self.held and request.method != "GET":
            raise httpx.ConnectError("gone", request=request)
        if request.method == self.method and request.url.path.endswith(self.path):
            self.held.append(request)
            raise httpx.ReadTimeout("lost", request=request)
        return None

    def commit(self) -> None:
        """Let the account carry out what was held back."""
        for request in self.held:
            assert answer(self.account, request).status_code == 200
        self.held.clear()


def interrupted(path: Path, late: Callable[[Account], Late], *before: tuple[Any, ...], declared: Any) -> Any:
    """Deploy `before`, then `declared` with a request that is held back; return account, project and what is held."""
    account = Account()
    project = Project(StateFile(path / "s" / "state.json"), lambda: client_of(account), patience=1.0)
    for one in before:
        project.declared = one
        assert asyncio.run(project.run()).ok
    held = late(account)
    project.declared = declared
    project.client = lambda: client_of(account, held, Clock())
    with pytest.raises(DurableError):
        asyncio.run(project.run())
    project.client = lambda: client_of(account)
    assert held.held
    return account, project, held


def plan(project: Project) -> Plan:
    """Look again."""
    return asyncio.run(project.plan())


def touched(plan: Plan) -> set[str]:
    """Name the scripts that a plan's steps are about."""
    return {getattr(step, "script_name", "") for step in plan.steps}


def test_an_upload_that_is_not_seen_yet_is_not_known_yet(tmp_path: Path) -> None:
    """Issue 11.4: planned at once, the interrupted upload is `not known yet`; what is linked waits, others deploy."""
    account, project, held = interrupted(tmp_path, Late, declared=(*HOST, *GUEST, *OTHER))
    made = plan(project)
    assert [o.status for o in project.found] == ["not known yet"]
    assert {left.script_name for left in made.undecided} == {"host", "guest"}
    assert touched(made) == {"other"}
    assert "%durable plan looks again" in made.undecided[1].detail
    assert "waits for host" in made.undecided[0].detail
    assert asyncio.run(project.deploy(made)).ok
    assert set(account.scripts) == {"other"}
    held.commit()
    made = plan(project)
    assert made.undecided == ()
    assert [n.stable_id for n in project.state.load().namespaces] == ["a", "b"]
    assert asyncio.run(project.deploy(made)).ok
    assert plan(project).empty
    assert len(account.migrations_applied) == 2


def test_what_is_not_known_yet_says_since_when_and_until_when(tmp_path: Path) -> None:
    """Issue 11.4: the time at which it was sent and the one at which it is decided, ten minutes later, in UTC."""
    _, project, _ = interrupted(tmp_path, Late, declared=HOST)
    (intent,) = project.state.journal.open_intents()
    sent, decided = (
        f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC" for at in (intent.sent_at, intent.sent_at + DECIDED_AFTER)
    )
    (left,) = plan(project).undecided
    assert f"was sent at {sent}, and Cloudflare may still carry it out" in left.detail
    assert f"at {decided} it is decided" in left.detail


@pytest.mark.parametrize(("locking", "ended"), [("exclusive", "not done"), ("cas-only", "not known yet")])
def test_a_local_cloudflare_decides_at_once_where_the_lock_keeps_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locking: Any, ended: str
) -> None:
    """It knows that nothing is under way; where the lock keeps nobody out, the sender may be about to send."""

    async def settled(_client: Any) -> bool:
        return True

    account, project, _ = interrupted(tmp_path, Late, declared=HOST)
    state = StateFile(project.state.path, locking=locking)
    client = client_of(account)
    monkeypatch.setattr(client, "origin", "local:0123")
    monkeypatch.setattr(type(client), "settled", settled)
    found = asyncio.run(recover(client=client, state=state, now=lambda: project.time))
    assert [o.status for o in found] == [ended]


@pytest.mark.parametrize(
    ("method", "path", "change"),
    [("POST", "subdomain", {"url": False}), ("PUT", "schedules", {"crons": ("0 * * * *",)})],
    ids=["url", "crons"],
)
def test_a_switch_of_a_worker_that_is_deleted_meanwhile_is_no_dead_end(
    tmp_path: Path, method: str, path: str, change: dict[str, Any]
) -> None:
    """Issue 11.4: an interrupted switch of a Worker that another tool deletes is decided; the plan tells the loss."""
    after = worker_of("host", {"a": "A"}, **change)
    account, project, _ = interrupted(tmp_path, lambda a: Late(a, method, path), HOST, declared=after)
    account.scripts.clear()
    account.namespaces.clear()
    assert [left.script_name for left in plan(project).undecided] == ["host"]
    project.time += DECIDED_AFTER + 1
    made = plan(project)
    assert [o.status for o in project.found] == ["not known yet", "not done"]
    assert {refusal.code for refusal in made.refusals} == {"namespace-gone"}


@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_a_late_update_is_recorded_by_the_next_plan(tmp_path: Path, form: str) -> None:
    """Issue 11.4: a rename that commits after a plan looked is recorded, and is never "another copy"."""
    first, then = (worker_of("host", {"a": c}, lifecycle=form) for c in ("A", "A2"))
    account, project, held = interrupted(tmp_path, Late, first, declared=then)
    ids = set(account.namespaces)
    assert plan(project).empty
    held.commit()
    assert plan(project).undecided == ()
    assert [n.class_name for n in project.state.load().namespaces] == ["A2"]
    assert plan(project).empty
    assert set(account.namespaces) == ids


def test_a_plan_with_nothing_but_such_workers_says_so(tmp_path: Path) -> None:
    """Issue 11.4: a plan without steps, because all of it waits, is not "everything declared is live"."""
    _, project, _ = interrupted(tmp_path, Late, declared=HOST)
    made = plan(project)
    assert made.empty
    shown = str(plan_document(made))
    assert "Not known yet" in shown
    assert "Everything declared is live" not in shown
    assert "Everything declared is live" in str(plan_document(replace(made, undecided=())))
    assert json.loads(made.to_json())["undecided"][0]["script_name"] == "host"
    assert made.digest != replace(made, undecided=()).digest


def test_a_request_that_never_shows_up_is_not_done_after_ten_minutes(tmp_path: Path) -> None:
    """Issue 11.4: ten minutes after it was sent, and not before, an upload that was not seen is not done."""
    _, project, _ = interrupted(tmp_path, Late, declared=HOST)
    sent = Journal(project.state.journal_path).open_intents()[0].sent_at
    assert sent is not None
    project.time, project.patience = sent + 598, 1.0
    assert plan(project).undecided
    assert touched(plan(project)) == {"host"}
    assert [o.status for o in project.found] == ["not known yet", "not done"]


def test_what_was_given_up_is_recognised(tmp_path: Path) -> None:
    """Issue 11.4: an upload that shows up after it was given up is recorded, by plan and by deploy, after any time."""
    account, project, held = interrupted(tmp_path, Late, HOST, declared=worker_of("host", {"a": "A"}, note="new"))
    project.patience = DECIDED_AFTER
    made = plan(project)
    assert touched(made) == {"host"}
    held.commit()
    with pytest.raises(StalePlan, match="an interrupted deploy was completed"):
        asyncio.run(project.deploy(made))
    project.patience = 1.0
    assert plan(project).empty
    assert project.state.load().workers[0].etag == account.scripts["host"]["etag"]


def test_what_was_given_up_is_recognised_by_a_plan(tmp_path: Path) -> None:
    """Issue 11.4: the plan that finds it says that it happened late."""
    _, project, held = interrupted(tmp_path, Late, declared=HOST)
    project.patience = DECIDED_AFTER
    assert touched(plan(project)) == {"host"}
    held.commit()
    assert touched(plan(project)) == {"host"}  # its address is still to be opened
    assert [(o.status, "happened late" in o.detail) for o in project.found[1:]] == [("done", True)]
    assert [n.stable_id for n in project.state.load().namespaces] == ["a"]


def test_somebody_elses_change_makes_it_uncertain_and_it_is_still_recognised(tmp_path: Path) -> None:
    """Issue 11.4: after a change in between it is uncertain; when its op shows up later it is recorded all the same."""
    account, project, held = interrupted(tmp_path, Late, HOST, declared=worker_of("host", {"a": "A"}, note="new"))
    account.scripts["host"]["modified_on"] = "theirs"
    plan(project)
    assert [o.status for o in project.found] == ["uncertain"]
    held.commit()
    assert plan(project).empty
    assert [o.status for o in project.found] == ["uncertain", "done"]


def swapped(account: Account, *names: str) -> None:
    """Swap two classes of `host`, as another tool does by an upload that leaves the tags."""
    first, second = (next(n for n in account.namespaces.values() if n["class"] == name) for name in names)
    first["class"], second["class"] = second["class"], first["class"]
    account.changes += 1
    host = account.scripts["host"]
    host["modified_on"] = account.moment()
    host["deployments"].insert(0, {"id": "theirs", "source": "api", "created_on": account.moment()})


@pytest.mark.parametrize("form", ["exports", "migrations"])
@pytest.mark.parametrize("before", [{}, {"a": "A"}], ids=["new", "there"])
@pytest.mark.parametrize("patience", [1.0, DECIDED_AFTER], ids=["open", "given up"])
def test_new_classes_that_were_swapped_before_a_look_are_asked_about(
    tmp_path: Path, form: str, before: dict[str, str], patience: float
) -> None:
    """Issue 11.1: after somebody else's upload no class name tells which of two new namespaces is whose."""
    first = [worker_of("host", before, lifecycle=form)] if before else []
    declared = worker_of("host", {"a": "A", "b": "B", "c": "C"}, lifecycle=form)
    account, project, held = interrupted(tmp_path, Late, *first, declared=declared)
    project.patience = patience
    plan(project)
    held.commit()
    swapped(account, "B", "C")
    made = plan(project)
    assert {n.stable_id for n in project.state.load().namespaces} <= {"a"}
    assert {refusal.code for refusal in made.refusals} == {"identity-unknown"}
    assert {refusal.subject for refusal in made.refusals} >= {"b", "c"}


@pytest.mark.parametrize("before", [(), (HOST,)], ids=["new", "there"])
def test_new_classes_that_nobody_touched_are_recorded_at_the_next_look(tmp_path: Path, before: Any) -> None:
    """Also several of one upload, whether the Worker was there before or not."""
    account, project, held = interrupted(
        tmp_path, Late, *before, declared=worker_of("host", {"a": "A", "b": "B", "c": "C"})
    )
    held.commit()
    plan(project)
    named = {n.stable_id: n.namespace_id for n in project.state.load().namespaces}
    assert named == {
        stable_id: next(i for i, n in account.namespaces.items() if n["class"] == stable_id.upper())
        for stable_id in "abc"
    }


def test_a_later_upload_of_ours_decides(tmp_path: Path) -> None:
    """Issue 11.4: once a later upload of ours to the script was answered, the earlier one is not done at any time."""
    _, project, _ = interrupted(tmp_path, Late, HOST, declared=worker_of("host", {"a": "A"}, note="new"))
    journal = Journal(project.state.journal_path)
    (earlier,) = journal.open_intents()
    journal.begin(replace(earlier, op="later", new_tag=None))
    journal.end("later", "done")
    assert touched(plan(project)) == {"host"}
    assert [o.status for o in project.found] == ["not done"]


def test_a_plan_made_before_is_stale_under_the_lock(tmp_path: Path) -> None:
    """Issue 11.4: a plan that was made before the interrupted deploy is refused while its upload is not known yet."""
    account = Account()
    project = Project(StateFile(tmp_path / "s" / "state.json"), lambda: client_of(account), HOST, patience=1.0)
    old, held = plan(project), Late(account)
    project.client = lambda: client_of(account, held, Clock())
    with pytest.raises(DurableError):
        asyncio.run(project.run())
    project.client = lambda: client_of(account)
    account.log.clear()
    with pytest.raises(StalePlan, match="not known yet what became of this: create Worker host"):
        asyncio.run(project.deploy(old))
    assert {method for method, _ in account.log} == {"GET"}


def test_a_late_deletion_is_waited_for(tmp_path: Path) -> None:
    """Issue 11.4: a deletion that was sent and is not seen holds its Worker back; when it is seen, it is recorded."""
    account = Account()
    project = Project(StateFile(tmp_path / "s" / "state.json"), lambda: client_of(account), HOST, patience=1.0)
    assert asyncio.run(project.run()).ok
    held = Late(account, "DELETE")
    project.client, project.destroy = lambda: client_of(account, held, Clock()), ("host",)
    with pytest.raises(DurableError):
        asyncio.run(project.run())
    project.client, project.destroy = lambda: client_of(account), ()
    assert [left.worker for left in plan(project).undecided] == ["host"]
    held.commit()
    assert touched(plan(project)) == {"host"}
    assert project.state.load().workers == ()


def test_a_late_address_is_recorded(tmp_path: Path) -> None:
    """Issue 11.4: so are the address and cron triggers: not seen is not known yet, and seen is recorded."""
    _, project, held = interrupted(tmp_path, lambda a: Late(a, "POST", "subdomain"), declared=HOST)
    assert [left.script_name for left in plan(project).undecided] == ["host"]
    held.commit()
    assert [s.summary for s in plan(project).steps] == ["note the id of a in the tags of Worker host"]


def test_late_tags_are_recognised(tmp_path: Path) -> None:
    """Issue 11.1: the step that puts ids into the mark is recovered like any other, by the ids in the live tags."""
    _, project, held = interrupted(tmp_path, lambda a: Late(a, "PATCH", "script-settings"), declared=HOST)
    assert [left.script_name for left in plan(project).undecided] == ["host"]
    held.commit()
    assert plan(project).empty


def test_a_resent_request_counts_from_its_last_time(tmp_path: Path) -> None:
    """Issue 11.4: ten minutes are counted from the last time that the request was sent."""
    account, state, clock = Account(), StateFile(tmp_path / "s" / "state.json"), Clock()

    async def lost(request: httpx.Request, _deliver: Any) -> Any:
        if request.method == "PUT":
            raise httpx.ReadTimeout("lost", request=request)
        return None

    project = Project(state, lambda: client_of(account, lost, clock), HOST)
    made, start = plan(project), clock.now

    async def run() -> None:
        from notebook_do.deploy.run import deploy

        async with project.client() as client:
            await deploy(made, client=client, state=state, now=clock)

    with pytest.raises(DurableError, match="uncertain"):
        asyncio.run(run())
    (intent,) = Journal(state.journal_path).open_intents()
    assert intent.sent_at is not None
    assert start + 6 < intent.sent_at <= clock.now


def test_a_clock_that_was_set_back_delays_and_never_decides(tmp_path: Path) -> None:
    """Issue 11.4: an intent from the future is counted from now on: never decided early, and decided in the end."""
    _, project, _ = interrupted(tmp_path, Late, declared=HOST)
    project.time -= 86_400
    assert plan(project).undecided
    project.patience = DECIDED_AFTER - 1
    assert plan(project).undecided
    project.patience = 2.0
    assert plan(project).undecided == ()


def test_an_old_journal_counts_as_old(tmp_path: Path) -> None:
    """Issue 11.4: an intent without a time is of an older notebook_do; it is decided as soon as it is looked at."""
    account, project, _ = interrupted(tmp_path, Late, declared=HOST)
    journal = Journal(project.state.journal_path)
    (intent,) = journal.open_intents()
    journal.begin(replace(intent, sent_at=None))

    async def look() -> list[str]:
        async with client_of(account) as client:
            return [o.status for o in await recover(client=client, state=project.state, now=lambda: 0.0)]

    assert asyncio.run(look()) == ["not done"]


class LateAt(Late):
    """Holds mutation number `at` back, whatever it is about."""

    def __init__(self, account: Account, at: int) -> None:
        super().__init__(account)
        self.at, self.count = at, 0

    async def __call__(self, request: httpx.Request, _deliver: Any) -> Any:
        """Count the mutations; after the one that is held back no other arrives."""
        if request.method == "GET":
            return None
        self.count += 1
        if self.count == self.at:
            self.held.append(request)
            raise httpx.ReadTimeout("lost", request=request)
        if self.count > self.at:
            raise httpx.ConnectError("gone", request=request)
        return None


def project_client(account: Account) -> Callable[[], Client]:
    """Make clients of one account."""
    return lambda: client_of(account)


async def live_through(project: Project, account: Account, form: str, at: int) -> bool:
    """Go through the stages with one late mutation; False when there are fewer than `at`.

    While it is held back a person plans at once and deploys what can be deployed; then it is carried out, and the next
    plan goes on from there.
    """
    late = LateAt(account, at)
    project.client = lambda: client_of(account, late, Clock())
    for declared, destroy in stages(form):
        project.declared, project.destroy = declared, destroy
        try:
            await project.run()
        except DurableError:
            project.client = lambda: client_of(account)
            assert late.held
            plan = await project.plan()
            assert plan.undecided
            assert not plan.refusals, plan.refusals
            assert not touched(plan) & {left.script_name for left in plan.undecided}
            if plan.steps:
                assert (await project.deploy(plan)).ok
            late.commit()
            project.destroy = tuple(i for i in destroy if i in {n.stable_id for n in project.state.load().namespaces})
            await project.plan()  # it records what happened late, so that a destroyed namespace is no longer asked for
            project.destroy = tuple(i for i in destroy if i in {n.stable_id for n in project.state.load().namespaces})
            plan = await project.plan()
            assert not plan.undecided
            assert not plan.refusals, plan.refusals
            if plan.steps:
                assert (await project.deploy(plan)).ok
        project.destroy = ()
        assert (await project.plan()).empty
    return late.count >= at


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_every_mutation_admitted_late(tmp_path: Path, form: str, every: int) -> None:
    """Issue 11.4: whichever mutation of three stages is admitted after the next plan looked, nothing is lost or twice.

    The stages create, rename, move and destroy; each ends with an empty plan, and each migration is applied once.
    """
    at = 1
    while True:
        account = Account()
        project = Project(StateFile(tmp_path / f"{at}" / "state.json"), project_client(account), patience=1.0)
        if not asyncio.run(live_through(project, account, form, at)):
            break
        assert {f"{n['script']}/{n['class']}" for n in account.namespaces.values()} == {"one/A2", "one/D", "two/C"}
        assert {n.namespace_id for n in project.state.load().namespaces} == set(account.namespaces)
        assert account.ids == 4, "a namespace was created twice"
        applied = [json.dumps(m, sort_keys=True) for m in account.migrations_applied]
        assert len(applied) == len(set(applied))
        at += every
    assert at > 10
