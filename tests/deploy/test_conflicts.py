"""What somebody else changes between two steps of a deploy: it stops before the next one, and says how far it came."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from account_model import Account, Clock, client_of
from project import Project, worker_of

from notebook_do.deploy.conflicts import KnownScripts, moved
from notebook_do.errors import DeployError, DurableError
from notebook_do.model import (
    DeleteClass,
    Json,
    Migration,
    NamespaceId,
    ObservedNamespace,
    ObservedScript,
    StableId,
    Storage,
    TransferClass,
    TransferredAway,
)
from notebook_do.model.steps import DeleteScript, Upload
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST = worker_of("host", {"a": "A"}, crons=("0 * * * *",))
GUEST = worker_of("guest", {}, uses=("a",), url=False)


def project_of(path: Path, account: Account, *declared: Any) -> Project:
    """Make a project that deployed nothing yet."""
    return Project(StateFile(path / "state.json"), lambda: client_of(account), declared)


class After:
    """Lets somebody else act once, right after the first mutation whose path ends as told."""

    def __init__(self, path: str, act: Callable[[], None]) -> None:
        self.path, self.act, self.done = path, act, False

    async def __call__(self, request: httpx.Request, deliver: Any) -> Any:
        """Deliver, and let them act."""
        if self.done or request.method == "GET" or not request.url.path.endswith(self.path):
            return None
        self.done = True
        response = deliver()
        self.act()
        return response


class Lagging:
    """Shows the script list of before for some seconds after each upload."""

    seconds = 4.0

    def __init__(self, clock: Clock) -> None:
        self.clock, self.until, self.list = clock, 0.0, dict[str, Any]()

    async def __call__(self, request: httpx.Request, deliver: Any) -> Any:
        """Answer with the list of before, or remember it."""
        if request.url.path.endswith("/scripts"):
            if self.clock.now < self.until:
                return httpx.Response(200, json=self.list)
            self.list = deliver().json()
        elif request.method == "PUT":
            self.until = self.clock.now + self.seconds
        return None


def theirs(account: Account, name: str, **facts: Any) -> Callable[[], None]:
    """Change facts of a script, as another tool's upload or edit does."""

    def act() -> None:
        account.scripts[name].update(facts)

    return act


def stopped(project: Project, account: Account, fault: Any) -> DeployError:
    """Deploy under a fault, and give the error that stopped it."""
    plan = asyncio.run(project.plan())
    project.client = lambda: client_of(account, fault, Clock())
    with pytest.raises(DurableError) as caught:
        asyncio.run(project.deploy(plan))
    project.client = lambda: client_of(account)
    assert isinstance(caught.value, DeployError)
    return caught.value


CHANGES = {
    "their code": {"etag": "theirs", "modified_on": "later"},
    "their code, our tags": {"etag": "theirs"},
    "their upload of our code": {"tags": [], "modified_on": "later"},
    "their migration": {"migration_tag": "theirs"},
}


@pytest.mark.parametrize("form", ["exports", "migrations"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_after_our_own_upload_stops_the_next_step(tmp_path: Path, change: str, form: str) -> None:
    """Issue 11.5: when the host is changed before its client Worker is sent, that is not sent, and it is said so."""
    account = Account()
    host = worker_of("host", {"a": "A"}, lifecycle=form, url=False)
    project = project_of(tmp_path, account, *host, *GUEST)
    error = stopped(project, account, After("host", theirs(account, "host", **CHANGES[change])))
    assert "Worker host was changed by somebody else during the deploy" in str(error)
    assert "create Worker guest is not done" in str(error)
    assert "Done: create Worker host" in str(error)
    assert [o.status for o in error.result.outcomes] == ["done", "not done", "not done"]
    assert not any(method == "PATCH" for method, _ in account.log), "their tags are not replaced either"
    assert set(account.scripts) == {"host"}
    assert [n.stable_id for n in project.state.load().namespaces] == ["a"]


def test_a_change_of_a_worker_further_on_stops_before_it(tmp_path: Path) -> None:
    """Issue 11.5: a Worker that comes later in the plan is compared before it is sent, with what the plan rests on."""
    account = Account()
    project = project_of(tmp_path, account, *HOST, *GUEST)
    assert asyncio.run(project.run()).ok
    project.declared = (*worker_of("host", {"a": "A2"}), *worker_of("guest", {}, note="new", uses=("a",), url=False))
    error = stopped(project, account, After("host", theirs(account, "guest", modified_on="later")))
    assert "Worker guest was changed by somebody else during the deploy (time of change" in str(error)
    assert account.scripts["guest"]["modified_on"] == "later"


def test_a_vanished_and_a_new_worker_stop_the_next_step(tmp_path: Path) -> None:
    """Issue 11.5: a Worker that is gone, or that somebody else made meanwhile, is named."""
    for number, (words, act) in enumerate(
        {
            "Worker host was changed by somebody else during the deploy (it is gone)": lambda a: a._delete("host"),
            "Worker guest was changed by somebody else during the deploy (it is new)": lambda a: a.scripts.update(
                guest={**a.scripts["host"], "tags": []}
            ),
        }.items()
    ):
        account = Account()
        project = project_of(tmp_path / str(number), account, *HOST, *GUEST)
        error = stopped(project, account, After("schedules", lambda act=act, account=account: act(account)))
        assert words in str(error)


def test_our_own_steps_are_nobody_elses(tmp_path: Path) -> None:
    """Issue 11.5: address and cron triggers that move a script's etag and time of change never count as a change."""
    account = Account()
    project = project_of(tmp_path, account, *HOST, *GUEST)

    async def moving(request: httpx.Request, deliver: Any) -> Any:
        if request.method != "GET" and request.url.path.endswith(("subdomain", "schedules")):
            response = deliver()
            account.changes += 1
            account.scripts["host"].update(etag=f"e{account.changes}", modified_on=account.moment())
            return response
        return None

    project.client = lambda: client_of(account, moving)
    assert asyncio.run(project.run()).ok
    assert set(account.scripts) == {"host", "guest"}


def test_a_namespace_that_moved_stops_a_deletion(tmp_path: Path) -> None:
    """Issue 11.5: before a step that deletes, the namespaces are compared too: what nobody agreed to lose stays."""
    account = Account()
    project = project_of(tmp_path, account, *HOST, *GUEST)
    assert asyncio.run(project.run()).ok
    project.declared, project.destroy = (), ("guest", "host")

    def add() -> None:
        account.namespaces["f" * 32] = {"script": "host", "class": "New", "use_sqlite": True}

    error = stopped(project, account, After("guest", add))
    assert "Worker host hosts namespace ffff…ffffffff since, which nobody agreed to lose" in str(error)
    assert set(account.scripts) == {"host"}
    assert len(account.namespaces) == 2


def test_a_list_that_lags_is_waited_for(tmp_path: Path) -> None:
    """Issue 11.5: while the script list does not show our own upload yet, the deploy looks again and goes on."""
    account, clock = Account(), Clock()
    project = project_of(tmp_path, account, *worker_of("host", {"a": "A"}, url=False), *GUEST)
    plan = asyncio.run(project.plan())
    project.client = lambda: client_of(account, Lagging(clock), clock)
    assert asyncio.run(project.deploy(plan)).ok
    assert set(account.scripts) == {"host", "guest"}
    assert 4 <= clock.slept < 20


def test_what_cannot_be_compared_is_not_sent(tmp_path: Path) -> None:
    """Issue 11.5: when the lists cannot be read between two steps, the next one is not sent."""
    account = Account()
    project = project_of(tmp_path, account, *worker_of("host", {"a": "A"}, url=False), *GUEST)

    async def unreadable(request: httpx.Request, _deliver: Any) -> Any:
        if request.url.path.endswith("/scripts") and account.scripts:
            raise httpx.ReadError("lost", request=request)
        return None

    error = stopped(project, account, unreadable)
    assert [o.status for o in error.result.outcomes] == ["done", "not done", "not done"]
    assert set(account.scripts) == {"host"}


def test_one_list_request_a_wave(tmp_path: Path) -> None:
    """Issue 11.5: Workers that become ready together are compared with one request; the first wave needs none."""
    account = Account()
    guests = sum((worker_of(f"guest{i}", {}, uses=("a",), url=False) for i in range(3)), ())
    project = project_of(tmp_path, account, *worker_of("host", {"a": "A"}, url=False), *guests)
    plan = asyncio.run(project.plan())
    account.log.clear()
    assert asyncio.run(project.deploy(plan)).ok
    puts = [n for n, (method, _) in enumerate(account.log) if method == "PUT"]
    lists = [n for n, (_, path) in enumerate(account.log) if path.endswith("/scripts")]
    assert [sum(puts[0] < n < puts[1] for n in lists), sum(n < puts[0] for n in lists)] == [1, 1]


# --- uploads of code alone


def plain(note: str) -> tuple[Any, ...]:
    """Declare a Worker without classes."""
    return worker_of("plain", {}, note=note, url=False)


def test_an_upload_of_code_is_verified(tmp_path: Path) -> None:
    """Issue 11.5: after an upload of code alone the script list must show it; where it shows theirs, that is told."""
    account = Account()
    project = project_of(tmp_path, account, *plain("one"))
    assert asyncio.run(project.run()).ok
    project.declared = plain("two")
    error = stopped(project, account, After("plain", theirs(account, "plain", etag="x", tags=[], modified_on="later")))
    assert "Worker plain was changed by somebody else during the deploy" in str(error)
    assert [o.status for o in error.result.outcomes] == ["uncertain"]
    assert not asyncio.run(project.plan()).empty


def test_an_upload_of_code_takes_three_requests(tmp_path: Path) -> None:
    """Issue 11.5: an update takes 3 requests, verified: the list, the upload, the list."""
    account = Account()
    project = project_of(tmp_path, account, *HOST)
    assert asyncio.run(project.run()).ok
    project.declared = worker_of("host", {"a": "A"}, note="new", crons=("0 * * * *",))
    plan = asyncio.run(project.plan())
    account.log.clear()
    assert asyncio.run(project.deploy(plan)).requests == 3
    assert [(m, p.rsplit("/", 1)[1]) for m, p in account.log] == [
        ("GET", "scripts"),
        ("PUT", "host"),
        ("GET", "scripts"),
    ]


def test_an_upload_whose_tags_are_full_is_told_by_its_etag(tmp_path: Path) -> None:
    """Issue 11.5: where ten other tags leave no room for our operation, the answered etag tells that it is live."""
    account = Account()
    project = project_of(tmp_path, account, *plain("one"))
    assert asyncio.run(project.run()).ok
    account.scripts["plain"]["tags"] = [f"team:{n}" for n in range(10)]
    project.declared = plain("two")
    assert asyncio.run(project.run()).ok
    assert asyncio.run(project.plan()).empty


def test_an_upload_whose_tags_are_full_is_waited_for_too(tmp_path: Path) -> None:
    """Issue 11.5: while the list still shows the code before, that is neither our upload nor what is recorded."""
    account, clock = Account(), Clock()
    project = project_of(tmp_path, account, *plain("one"))
    assert asyncio.run(project.run()).ok
    account.scripts["plain"]["tags"] = [f"team:{n}" for n in range(10)]
    project.declared = plain("two")
    plan = asyncio.run(project.plan())
    project.client = lambda: client_of(account, Lagging(clock), clock)
    assert asyncio.run(project.deploy(plan)).ok
    assert 4 <= clock.slept < 20
    (worker,) = project.state.load().workers
    assert worker.etag == account.scripts["plain"]["etag"]
    assert asyncio.run(project.plan()).empty


def test_an_upload_that_the_list_never_shows_is_no_success(tmp_path: Path) -> None:
    """Issue 13.2: accepted is not live: what the script list does not show in time stops the deploy, and is said."""
    account, clock = Account(), Clock()
    project = project_of(tmp_path, account, *plain("one"))
    assert asyncio.run(project.run()).ok
    lagging = Lagging(clock)
    lagging.seconds = 10_000.0
    project.declared = plain("two")
    plan = asyncio.run(project.plan())
    project.client = lambda: client_of(account, lagging, clock)
    with pytest.raises(DurableError, match="was accepted, but the script list does not show it") as caught:
        asyncio.run(project.deploy(plan))
    assert isinstance(caught.value, DeployError)
    assert [o.status for o in caught.value.result.outcomes] == ["uncertain"]


# --- who came second


def adopting(note: str) -> tuple[Any, ...]:
    """Declare a live Worker as one's own."""
    return worker_of("plain", {}, note=note, adopt=True, url=False)


def test_two_sessions_that_adopt_one_worker(tmp_path: Path) -> None:
    """Issue 11.5: of two that adopt a Worker from one baseline, the second learns whose upload it overwrote."""
    account = Account()
    foreign = project_of(tmp_path / "foreign", account, *plain("theirs"))
    assert asyncio.run(foreign.run()).ok
    first = project_of(tmp_path / "first", account, *adopting("first"))
    second = project_of(tmp_path / "second", account, *adopting("second"))
    plan = asyncio.run(second.plan())
    assert plan.steps

    async def first_comes_between(request: httpx.Request, _deliver: Any) -> Any:
        if request.method == "PUT" and account.author == "me@example.com":
            account.author = "ada@example.com"
            assert (await first.run()).ok
            account.author = "bob@example.com"
        return None

    second.client = lambda: client_of(account, first_comes_between)
    with pytest.raises(
        DeployError, match=r"it overwrote what the plan had not seen.*by ada@example.com with api"
    ) as told:
        asyncio.run(second.deploy(plan))
    assert [o.status for o in told.value.result.outcomes] == ["uncertain"]
    assert "\n" not in str(told.value)


def test_an_adoption_alone_is_well(tmp_path: Path) -> None:
    """Issue 11.5: who adopts a Worker that nobody else touched is told nothing, in four requests."""
    account = Account()
    assert asyncio.run(project_of(tmp_path / "foreign", account, *plain("theirs")).run()).ok
    assert asyncio.run(project_of(tmp_path / "first", account, *adopting("first")).run()).requests == 4


def test_two_sessions_that_create_one_worker_without_classes(tmp_path: Path) -> None:
    """Issue 11.5: a Worker without classes has no migration that guards it: its deployments tell who came second."""
    account = Account()
    first, second = (project_of(tmp_path / name, account, *plain(name)) for name in ("first", "second"))
    plan = asyncio.run(second.plan())

    async def first_comes_between(request: httpx.Request, _deliver: Any) -> Any:
        if request.method == "PUT" and not account.scripts:
            assert (await first.run()).ok
        return None

    second.client = lambda: client_of(account, first_comes_between)
    with pytest.raises(DeployError, match="it overwrote what the plan had not seen"):
        asyncio.run(second.deploy(plan))


# --- the rules of the comparison, without an account


def sent(*changes: Any, tags: tuple[str, ...] = ("ndo:op:o1",)) -> Upload:
    """Make an upload of the script `w`."""
    return Upload(
        worker="w",
        script_name="w",
        main_module="index.js",
        modules=(),
        bindings=(),
        compatibility_date=None,
        compatibility_flags=(),
        tags=tags,
        creates=False,
        options=Json({}),
        migration=Migration(wire="migrations", class_migrations=changes) if changes else None,
    )


def namespaces(*places: tuple[str, str, str]) -> dict[NamespaceId, ObservedNamespace]:
    """Let namespaces be live: (id, script, class)."""
    return {
        NamespaceId(i): ObservedNamespace(
            namespace_id=NamespaceId(i), script_name=script, class_name=class_name, storage=Storage.SQLITE
        )
        for i, script, class_name in places
    }


def test_what_was_listed_after_our_upload_is_what_counts_from_then_on() -> None:
    """Where the list told our upload by its etag and showed no tags, a later step finds it as it was left."""
    known = KnownScripts(scripts={})
    answered = ObservedScript(name="w", etag="e2")
    known.uploaded(sent(), answered, "01234567.1.0123456789abcdef")
    listed = ObservedScript(name="w", etag="e2", modified_on="t2")
    assert "operation" in str(known.change(sent(), {"w": listed}))
    known.listed(listed)
    assert known.change(sent(), {"w": listed}) is None
    assert "time of change t2" in str(known.change(sent(), {"w": ObservedScript(name="w", etag="e2")}))


def test_a_script_that_we_deleted_is_expected_to_be_gone() -> None:
    """A later step that names it finds it as we left it; where it is there again, somebody else made it."""
    there = ObservedScript(name="w", etag="e1", modified_on="t1")
    known = KnownScripts(scripts={"w": there})
    assert known.change(sent(), {}) == "Worker w was changed by somebody else during the deploy (it is gone)"
    known.deleted("w")
    assert known.change(sent(), {}) is None
    assert known.change(sent(), {"w": there}) == "Worker w was changed by somebody else during the deploy (it is new)"


@pytest.mark.parametrize(
    "change",
    [
        TransferClass(
            stable_id=StableId("a"),
            namespace_id=NamespaceId("1"),
            from_script="w",
            from_class="A",
            to_class="B",
            storage=Storage.SQLITE,
        ),
        TransferredAway(stable_id=StableId("a"), namespace_id=NamespaceId("1"), class_name="A", to_script="v"),
        DeleteClass(stable_id=StableId("a"), namespace_id=NamespaceId("1"), class_name="A", storage=Storage.SQLITE),
    ],
)
def test_a_namespace_is_moved_or_deleted_only_from_where_the_plan_found_it(change: Any) -> None:
    """It stands there still, or the step is not sent: gone, renamed, or moved by somebody else."""
    step = sent(change)
    assert moved(step, namespaces(("1", "w", "A"))) is None
    assert "namespace 1 (class A of w) was changed by somebody else: it is gone" in str(moved(step, {}))
    assert "it is now X of w" in str(moved(step, namespaces(("1", "w", "X"))))
    assert "it is now A of x" in str(moved(step, namespaces(("1", "x", "A"))))


def test_a_script_is_deleted_with_exactly_the_namespaces_that_were_agreed_to() -> None:
    """One more, or one less, and it is not sent; namespaces of other scripts do not matter."""
    step = DeleteScript(worker="w", script_name="w", namespace_ids=(NamespaceId("1"), NamespaceId("2")))
    both = (("1", "w", "A"), ("2", "w", "B"))
    assert moved(step, namespaces(*both, ("3", "x", "A"))) is None
    assert moved(step, namespaces(*both, ("3", "w", "C"))) == (
        "Worker w hosts namespace 3 since, which nobody agreed to lose"
    )
    assert moved(step, namespaces(both[0])) == "namespace 2 of Worker w was changed by somebody else"
