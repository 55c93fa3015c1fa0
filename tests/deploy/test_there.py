"""What Cloudflare says right after our own upload, and how a Worker with Durable Objects is deleted."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from account_model import Account, Clock, Refused, client_of
from faults import envelope, respond
from project import Project, worker_of

from notebook_do.declare.cell import parse_cell
from notebook_do.deploy.result import Event
from notebook_do.errors import DeployError, DurableError
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

HOST = worker_of("host", {"a": "A"}, crons=("0 * * * *",))
PLAIN = worker_of("plain", {}, crons=("0 * * * *",))
CONSUMER = parse_cell("", '[workers.takes]\nscript = "export default { queue() {} }"\nconsumes = {jobs = {}}\n')


class NotYet:
    """Answers `code` to the requests that match, for some seconds after the upload."""

    def __init__(self, clock: Clock, path: str, code: int, seconds: float) -> None:
        self.clock, self.path, self.code, self.seconds = clock, re.compile(path + "$"), code, seconds
        self.since: float | None = None

    async def __call__(self, request: httpx.Request, _deliver: Any) -> Any:
        """Say that the Worker is not there."""
        if request.method == "PUT" and self.since is None:
            self.since = self.clock.now
        matches = self.path.search(f"{request.method} {request.url.path}")
        if matches and self.since is not None and self.clock.now < self.since + self.seconds:
            return respond(404, envelope(self.code, "This Worker does not exist on your account."))
        return None


@pytest.mark.parametrize("code", [10007, 10019, 11001])
@pytest.mark.parametrize(
    ("path", "declared"),
    [
        ("POST .*/subdomain", PLAIN),
        ("PUT .*/schedules", PLAIN),
        ("GET .*/deployments", PLAIN),
        ("PATCH .*/script-settings", HOST),
        ("POST .*/consumers", CONSUMER),
    ],
)
def test_not_there_yet_is_waited_for(tmp_path: Path, path: str, declared: tuple[Any, ...], code: int) -> None:
    """Issue 11.13: right after our own upload these refusals are waited out and shown; the deploy ends well."""
    account, clock, events = Account(consumers={"jobs": None}), Clock(), list[Event]()
    fault = NotYet(clock, path, code, 10)
    project = Project(StateFile(tmp_path / "s" / "state.json"), lambda: client_of(account, fault, clock), declared)
    plan = asyncio.run(project.plan())
    assert asyncio.run(project.deploy(plan, emit=events.append)).ok
    (name,) = account.scripts
    assert account.scripts[name]["enabled"]
    assert declared is not CONSUMER or account.consumers["jobs"] is not None
    assert any(f"until Cloudflare knows Worker {name}" in e.text for e in events if e.kind == "waiting")
    assert asyncio.run(project.plan()).empty


def test_not_there_at_all_is_said(tmp_path: Path) -> None:
    """Issue 11.13: the wait is bounded; then it is said plainly, the upload is recorded, and the next run goes on."""
    account, clock = Account(), Clock()
    fault = NotYet(clock, "POST .*/subdomain", 10007, 10_000)
    project = Project(StateFile(tmp_path / "s" / "state.json"), lambda: client_of(account, fault, clock), HOST)
    with pytest.raises(
        DeployError, match=r"31 s after its upload Cloudflare still says of Worker host: .*10007"
    ) as told:
        asyncio.run(project.run())
    assert [o.status for o in told.value.result.outcomes][:2] == ["done", "not done"]
    assert 31 <= clock.slept < 40
    fault.seconds = 0
    assert asyncio.run(project.run()).ok
    assert len(account.migrations_applied) == 1


def test_cancel_ends_the_wait(tmp_path: Path) -> None:
    """Issue 11.13: Cancel ends that wait at once, and what was refused is not done."""
    account, clock, shown = Account(), Clock(), list[float]()

    def see(event: Event) -> None:
        if event.kind == "waiting":
            shown.append(clock.now)

    fault = NotYet(clock, "POST .*/subdomain", 10007, 10_000)
    project = Project(StateFile(tmp_path / "s" / "state.json"), lambda: client_of(account, fault, clock), HOST)
    plan = asyncio.run(project.plan())
    with pytest.raises(DurableError, match="cancelled while waiting") as told:
        asyncio.run(project.deploy(plan, emit=see, cancel=lambda: bool(shown)))
    assert clock.now - shown[0] < 0.2
    assert told.value.result.outcomes[1].status == "not done"


def test_of_another_script_it_is_the_truth(tmp_path: Path) -> None:
    """Issue 11.13: of a Worker that this deploy did not upload these refusals are final at once."""
    account, clock = Account(), Clock()
    project = Project(StateFile(tmp_path / "s" / "state.json"), lambda: client_of(account, None, clock), HOST)
    assert asyncio.run(project.run()).ok
    account.scripts["host"]["enabled"] = False
    plan = asyncio.run(project.plan())

    async def gone(request: httpx.Request, _deliver: Any) -> Any:
        if request.method == "POST":
            return respond(404, envelope(10007, "This Worker does not exist on your account."))
        return None

    project.client = lambda: client_of(account, gone, clock)
    with pytest.raises(DeployError, match="10007"):
        asyncio.run(project.deploy(plan))
    assert clock.slept == 0


# --- deletion


class Careful(Account):
    """Refuses to delete a Worker with namespaces unless it is forced (emulated); notes which deletions were."""

    def __init__(self) -> None:
        super().__init__()
        self.deletions: list[tuple[str, bool]] = []
        self.queues: list[dict[str, Any]] = []

    def handle(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> Any:
        """Refuse what is not forced."""
        if path.endswith("/queues"):
            return self.queues, {}
        if method == "DELETE" and path.count("/scripts/"):
            name, forced = path.rsplit("/", 1)[1], query.get("force") == "true"
            self.deletions.append((name, forced))
            if not forced and any(n["script"] == name for n in self.namespaces.values()):
                raise Refused(10064, "This Worker is still in use by Durable Objects.")
        return super().handle(method, path, query, body, kind)


def deployed(path: Path, account: Account, *declared: Any) -> Project:
    """Deploy a project."""
    project = Project(StateFile(path / "s" / "state.json"), lambda: client_of(account), declared)
    assert asyncio.run(project.run()).ok
    return project


@pytest.mark.parametrize("account", [Account, Careful])
def test_a_consented_worker_is_deleted_either_way(tmp_path: Path, account: type[Account]) -> None:
    """Issue 11.13: whether Cloudflare deletes a Worker with its own namespaces unforced or not, a destroy ends well."""
    made = account()
    project = deployed(tmp_path, made, *HOST)
    project.declared, project.destroy = (), ("host",)
    assert asyncio.run(project.run()).ok
    assert made.scripts == made.namespaces == {}
    assert [t.stable_id for t in project.state.load().tombstones] == ["a"]
    if isinstance(made, Careful):
        assert made.deletions == [("host", False), ("host", True)]


def test_a_worker_without_namespaces_is_never_forced(tmp_path: Path) -> None:
    """Issue 11.13: force is for a Worker's own namespaces only; where it hosts none, the refusal stands."""
    account = Careful()
    project = deployed(tmp_path, account, *PLAIN)

    async def used(request: httpx.Request, _deliver: Any) -> Any:
        if request.method == "DELETE":
            account.deletions.append(("plain", "force" in dict(request.url.params)))
            return respond(400, envelope(10064, "script still in use as a consumer for a queue"))
        return None

    project.client, project.declared, project.destroy = lambda: client_of(account, used), (), ("plain",)
    with pytest.raises(DeployError, match="still in use as a consumer"):
        asyncio.run(project.run())
    assert account.deletions == [("plain", False)]


class Binds:
    """Lets somebody else use the host right when its deletion is refused."""

    def __init__(self, account: Careful, binding: dict[str, Any] | None) -> None:
        self.account, self.binding = account, binding

    async def __call__(self, request: httpx.Request, _deliver: Any) -> Any:
        """Bind."""
        if request.method == "DELETE":
            if self.binding is None:
                self.account.queues = [
                    {"queue_id": "q", "queue_name": "jobs", "consumers": [{"type": "worker", "script": "host"}]}
                ]
            else:
                uses = self.binding if "tail_consumers" in self.binding else {"bindings": [self.binding]}
                self.account.scripts["theirs"] = {**self.account.scripts["host"], "bindings": [], "tags": [], **uses}
        return None


@pytest.mark.parametrize(
    ("binding", "holder"),
    [
        ({"type": "durable_object_namespace", "name": "N", "class_name": "A", "script_name": "host"}, "Worker theirs"),
        ({"type": "service", "name": "S", "service": "host"}, "Worker theirs"),
        (
            {"type": "workflow", "name": "W", "workflow_name": "w", "class_name": "Flow", "script_name": "host"},
            "Worker theirs",
        ),
        ({"tail_consumers": [{"service": "host"}]}, "Worker theirs"),
        (None, "queue jobs"),
    ],
)
def test_what_somebody_else_uses_is_not_forced(tmp_path: Path, binding: dict[str, Any] | None, holder: str) -> None:
    """Issue 11.13: before it is forced, who uses the Worker is asked again; with a user it is refused, by name."""
    account = Careful()
    project = deployed(tmp_path, account, *HOST)
    ids = set(account.namespaces)
    project.declared, project.destroy = (), ("host",)
    plan = asyncio.run(project.plan())
    project.client = lambda: client_of(account, Binds(account, binding))
    with pytest.raises(DeployError, match=f"Worker host is still used by {holder}") as told:
        asyncio.run(project.deploy(plan))
    assert told.value.result.outcomes[-1].status == "not done"
    assert account.deletions == [("host", False)]
    assert set(account.namespaces) == ids


def test_users_are_looked_for_side_by_side(tmp_path: Path) -> None:
    """Issue 13.4: the settings of all other Workers are read several at a time; every user is named, in order."""
    account = Careful()
    project = deployed(tmp_path, account, *HOST)
    project.declared, project.destroy = (), ("host",)
    plan = asyncio.run(project.plan())
    names, under_way, most = [f"user-{n}" for n in range(6)], 0, 0

    async def uses(request: httpx.Request, _deliver: Any) -> Any:
        nonlocal under_way, most
        if request.method == "DELETE":
            binding = {"type": "service", "name": "S", "service": "host"}
            account.scripts |= {n: {**account.scripts["host"], "bindings": [binding], "tags": []} for n in names}
        elif request.url.path.endswith("/settings"):
            under_way, most = under_way + 1, max(most, under_way + 1)
            await asyncio.sleep(0.01)
            under_way -= 1
        return None

    project.client = lambda: client_of(account, uses)
    with pytest.raises(DeployError, match=", ".join(f"Worker {name}" for name in names)):
        asyncio.run(project.deploy(plan))
    assert most > 1
    assert account.deletions == [("host", False)]


def test_a_new_namespace_is_not_forced_away(tmp_path: Path) -> None:
    """Issue 11.13: a namespace that was created meanwhile was agreed to by nobody: the deletion is not forced."""
    account = Careful()
    project = deployed(tmp_path, account, *HOST)
    project.declared, project.destroy = (), ("host",)
    plan = asyncio.run(project.plan())

    async def creates(request: httpx.Request, _deliver: Any) -> Any:
        if request.method == "DELETE":
            account.namespaces["f" * 32] = {"script": "host", "class": "New", "use_sqlite": True}
        return None

    project.client = lambda: client_of(account, creates)
    with pytest.raises(DeployError, match="which nobody agreed to lose"):
        asyncio.run(project.deploy(plan))
    assert account.deletions == [("host", False)]
    assert len(account.namespaces) == 2
