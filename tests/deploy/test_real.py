"""The whole way on the real local Cloudflare: real uploads, real workerd, real objects, real kills."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from crashing import stages
from project import Project, worker_of

from notebook_do.cloudflare.client import Client
from notebook_do.credentials.token import Token
from notebook_do.errors import DurableError, SourceError
from notebook_do.local.process import launch
from notebook_do.model import Bindings, Namespace, NamespaceBinding, StableId, Where, Worker
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from processes import Runner

    from notebook_do.local.process.launch import LocalTarget


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTarget]:
    """Start a local Cloudflare of this file's own."""
    data = tmp_path_factory.mktemp("local")
    target = launch.ensure(data)
    try:
        yield target
    finally:
        target.release()
        launch.stop(data)


def project_of(target: LocalTarget, path: Path) -> Project:
    """Make a project on the local Cloudflare."""
    origin = f"local:{target.account_id}"
    return Project(
        StateFile(path / "p" / "state.json"),
        lambda: Client(target.api, target.account_id, Token(target.token()), origin=origin),
    )


def count(target: LocalTarget, script: str, binding: str) -> int:
    """Call the object `x` through a binding: it counts its calls."""
    host = f"{script}.localhost:{target.workers_port}"
    answer = httpx.get(f"{target.url}/{binding}", headers={"host": host}, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    return int(answer.text)


async def clean(target: LocalTarget) -> None:
    """Delete every script of the account, clients before hosts."""
    async with Client(target.api, target.account_id, Token(target.token())) as client:
        names = [s["id"] for s in await client.list_scripts()]
        for name in sorted(names, key=lambda n: n != "guest"):
            await client.delete_script(name)


@pytest.fixture(autouse=True)
def empty(target: LocalTarget) -> Iterator[None]:
    """Leave the account empty."""
    yield
    asyncio.run(clean(target))


@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_f01_f12_create_rename_move_destroy(target: LocalTarget, tmp_path: Path, form: str) -> None:
    """F01, F12: objects keep their data under their id through rename and move; only the destroyed namespace goes."""
    project = project_of(target, tmp_path)
    for expected, (declared, destroy) in enumerate(stages(form), start=1):
        project.declared, project.destroy = declared, destroy
        assert asyncio.run(project.run()).ok
        project.destroy = ()
        assert asyncio.run(project.plan()).steps == ()
        d_host = "two" if expected == 1 else "one"
        assert count(target, "one", "A") == count(target, d_host, "D") == count(target, "two", "C") == expected
    ids = {n.stable_id for n in project.state.load().namespaces}
    assert ids == {"a", "c", "d"}
    assert [t.stable_id for t in project.state.load().tombstones] == ["b"]


def test_requests(target: LocalTarget, tmp_path: Path) -> None:
    """A first deploy takes 5 requests beside other Workers too; an update 3, a rename included; an unchanged one 0.

    The fifth puts the ids of new namespaces into the mark.
    """
    project = project_of(target, tmp_path)
    project.declared = worker_of("one", {"a": "A"})
    assert asyncio.run(project.run()).requests == 5
    project.declared = (*project.declared, *worker_of("two", {"b": "B"}))
    assert asyncio.run(project.run()).requests == 5
    project.declared = worker_of("one", {"a": "A"}, note="changed")
    assert asyncio.run(project.run()).requests == 3
    project.declared = worker_of("one", {"a": "Renamed"}, note="changed")
    assert asyncio.run(project.run()).requests == 3
    assert asyncio.run(project.run()).requests == 0


class Together(httpx.AsyncHTTPTransport):
    """The real network; an upload waits until the other deploy is about to upload too."""

    def __init__(self, both: asyncio.Barrier) -> None:
        super().__init__()
        self.both = both

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait for the other before the first upload."""
        if request.method == "PUT" and not self.both.broken:
            async with asyncio.timeout(30):
                await self.both.wait()
        return await super().handle_async_request(request)


@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_f45_two_first_deploys_at_once(target: LocalTarget, tmp_path: Path, form: str) -> None:
    """F45: of two first deploys that upload together one is well and the other is told; there is one namespace."""
    projects = [project_of(target, tmp_path / name) for name in "AB"]

    async def deploys() -> list[Any]:
        plans = []
        for note, project in zip("AB", projects, strict=True):
            project.declared = worker_of("one", {"a": "A"}, note=note, lifecycle=form)
            plans.append(await project.plan())
        both, token, origin = asyncio.Barrier(2), Token(target.token()), f"local:{target.account_id}"
        for project in projects:
            project.client = lambda: Client(
                target.api, target.account_id, token, origin=origin, transport=Together(both)
            )
        each = (p.deploy(plan) for p, plan in zip(projects, plans, strict=True))
        return await asyncio.gather(*each, return_exceptions=True)

    ended = asyncio.run(deploys())
    told = [e for e in ended if isinstance(e, DurableError)]
    assert len(told) == 1, ended
    assert "Another deploy was first" in str(told[0]) or "somebody else" in str(told[0])
    assert [e.ok for e in ended if not isinstance(e, Exception)] == [True]
    assert count(target, "one", "A") == 1


def broken(source: str) -> tuple[Any, ...]:
    """Declare a Worker in a cell whose script begins on line 4."""
    where = Where(cell="c", line=1, body_line=4)
    space = Namespace(StableId("a"), class_name="A", script_name="one", where=where)
    bindings = Bindings("one", {"A": NamespaceBinding(stable_id=StableId("a"))})
    return (space, Worker("one", name="one", script=source, bindings=bindings, where=where))


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("export class A {}\nexport default {}\nconst x = ;\n", 6, 'unexpected ";"'),
        ("export class A {}\nexport default {}\nconst x = /(/;\n", 6, "SyntaxError"),
        ("export default {\n  fetch() {}\n}\nexport class A {}; throw new Error('at start')\n", 7, "at start"),
    ],
)
def test_f22_a_faulty_script(target: LocalTarget, tmp_path: Path, source: str, line: int, words: str) -> None:
    """F22: a script that does not start is a SourceError with the cell's line; nothing is live."""
    project = project_of(target, tmp_path)
    project.declared = broken(source)
    with pytest.raises(SourceError) as caught:
        asyncio.run(project.run())
    assert words in caught.value.message
    assert "\n" not in str(caught.value)
    assert caught.value.line == line
    project.declared = ()
    assert asyncio.run(project.plan()).steps == ()


def test_f22_a_script_that_lacks_its_class(target: LocalTarget, tmp_path: Path) -> None:
    """F22: the plan is refused, with the line of the namespace's cell; nothing is sent."""
    project = project_of(target, tmp_path)
    project.declared = broken("export default { fetch() { return new Response('x') } }\n")
    plan = asyncio.run(project.plan())
    assert [(r.code, r.line) for r in plan.refusals] == [("class-not-exported", 1)]
    assert plan.steps == ()


def order(target: LocalTarget, path: Path, form: str, **more: Any) -> dict[str, Any]:
    """Order a child to go through the stages on the local Cloudflare."""
    return {
        "state": str(path / "p" / "state.json"),
        "log": str(path / "log"),
        "progress": str(path / "progress"),
        "error": str(path / "error"),
        "base": target.api,
        "account": target.account_id,
        "origin": f"local:{target.account_id}",
        "token": target.token(),
        "form": form,
        "at_once": 4,
        "at": 0,
        "phase": "before",
        "stage": 0,
        **more,
    }


def killed_and_rerun(target: LocalTarget, runner: Runner, path: Path, form: str, point: tuple[int, str]) -> None:
    """Deploy stage 0, use the objects, be killed in the later stages, rerun, and find the objects as they were."""
    path.mkdir()
    at, phase = point
    assert runner.run(order(target, path, form, last=0)) == 0, (path / "error").read_text()
    used = [count(target, *place) for place in (("one", "A"), ("two", "C"), ("two", "D"))]
    assert used == [1, 1, 1]
    assert runner.run(order(target, path, form, stage=1, at=at, phase=phase)) == -9
    stage = int((path / "progress").read_text())
    assert runner.run(order(target, path, form, stage=stage)) == 0, (at, phase, (path / "error").read_text())
    found = [count(target, *place) for place in (("one", "A"), ("two", "C"), ("one", "D"))]
    assert found == [2, 2, 2], (at, phase)


@pytest.mark.parametrize(
    "stride",
    [15, pytest.param(4, marks=pytest.mark.thorough), pytest.param(1, marks=pytest.mark.exhaustive)],
)
@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_f30_p1_no_object_is_lost(target: LocalTarget, runner: Runner, tmp_path: Path, form: str, stride: int) -> None:
    """F30, P1: killed before a mutation, or between its commit and its answer, a rerun ends it, every object whole."""
    path = tmp_path / "reference"
    path.mkdir()
    assert runner.run(order(target, path, form, last=0)) == 0, (path / "error").read_text()
    (path / "log").unlink()
    assert runner.run(order(target, path, form, stage=1)) == 0, (path / "error").read_text()
    effects = (path / "log").read_text().splitlines()
    asyncio.run(clean(target))
    mutations = [n for n, what in enumerate(effects, start=1) if what.startswith(("net PUT", "net POST", "net DELETE"))]
    assert len(mutations) >= 5
    points = [(n, phase) for n in mutations for phase in ("before", "after")]
    for point in points[1::stride]:
        killed_and_rerun(target, runner, tmp_path / f"{point[0]}-{point[1]}", form, point)
        asyncio.run(clean(target))


def test_the_token_of_another_target_is_refused(target: LocalTarget, tmp_path: Path) -> None:
    """F60: the state file of the local Cloudflare is not used with api.cloudflare.com, whatever the token."""
    project = project_of(target, tmp_path)
    project.declared = worker_of("one", {"a": "A"})
    asyncio.run(project.run())
    state = StateFile(tmp_path / "p" / "state.json")
    with pytest.raises(
        DurableError,
        match=r"was deployed to the local Cloudflare \(account .*\), and this session is on account .* at https://api",
    ):
        state.load(account_id=target.account_id, api_origin="https://api.cloudflare.com")
    assert json.loads(state.path.read_text())["target"]["api_origin"] == f"local:{target.account_id}"
