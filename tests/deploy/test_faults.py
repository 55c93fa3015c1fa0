"""Every fault at every endpoint: the deploy ends, tells the truth, and one more run reaches what was declared."""

from __future__ import annotations

import asyncio
import gc
import re
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from account_model import ACCOUNT, TOKEN, Account, Clock, client_of
from faults import FAULTS
from project import Project, worker_of
from sharing import thinned

from notebook_do.errors import DurableError
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

ENDPOINTS = {
    "list scripts": r"GET .*/scripts",
    "read settings": r"GET .*/scripts/\w+/settings",
    "list deployments": r"GET .*/scripts/\w+/deployments",
    "upload": r"PUT .*/scripts/\w+",
    "list namespaces": r"GET .*/namespaces",
    "open the address": r"POST .*/scripts/\w+/subdomain",
    "read the address": r"GET .*/scripts/\w+/subdomain",
    "set crons": r"PUT .*/scripts/\w+/schedules",
    "read crons": r"GET .*/scripts/\w+/schedules",
    "delete": r"DELETE .*/scripts/\w+",
}
STAGES: tuple[tuple[tuple[Any, ...], tuple[str, ...]], ...] = (
    (worker_of("host", {"a": "A"}, crons=("0 * * * *",)) + worker_of("guest", {}, uses=("a",), url=False), ()),
    (worker_of("host", {"a": "A2"}, crons=("0 * * * *",)) + worker_of("guest", {}, uses=("a",), url=False), ()),
    ((), ("guest", "host")),
)
"""What a person declares, one after the other: create, rename, destroy."""


class Weather:
    """Spoils the requests that match, `times` times."""

    def __init__(self, endpoint: str, fault: Any, times: int) -> None:
        self.pattern, self.fault, self.left, self.hits = re.compile(endpoint + "$"), fault, times, 0

    async def __call__(self, request: httpx.Request, deliver: Any) -> Any:
        """Spoil the request when it is one of those."""
        if self.left and self.pattern.fullmatch(f"{request.method} {request.url.path}"):
            self.left, self.hits = self.left - 1, self.hits + 1
            return await self.fault(request, deliver)
        return None


def check_truth(error: DurableError, account: Account, state: StateFile) -> None:
    """Check that what is told as done is live and recorded, and that what is told as not done is not live."""
    result = error.result
    if result is None:
        return
    for outcome in result.outcomes:
        what = re.match(r"create Worker (\w+)", outcome.text)
        if what and outcome.status != "uncertain":
            live = what[1] in account.scripts
            assert live == (outcome.status == "done"), outcome
        if what and outcome.status == "done":
            assert what[1] in {w.id for w in state.load().workers}


def check_state(account: Account, state: StateFile) -> None:
    """Every recorded namespace is live under its id, and none exists twice."""
    recorded = {n.namespace_id: (n.script_name, n.class_name) for n in state.load().namespaces}
    live = {i: (n["script"], n["class"]) for i, n in account.namespaces.items()}
    assert recorded.items() <= live.items()


async def live_through(account: Account, state: StateFile, weather: Weather | None) -> list[DurableError]:
    """Go through all stages; after a failure the weather clears, and one more run has to do it."""
    clock = Clock()
    errors: list[DurableError] = []
    project = Project(state, lambda: client_of(account, weather, clock))
    for declared, destroy in STAGES:
        project.declared, project.destroy = declared, destroy
        try:
            await project.run()
            project.destroy = ()
            assert (await project.plan()).steps == ()
        except DurableError as error:
            errors.append(error)
            check_truth(error, account, state)
            if weather:
                weather.left = 0
            project.destroy = destroy if any(i in {w.id for w in state.load().workers} for i in destroy) else ()
            plan = await project.plan()
            assert not plan.refusals, plan.refusals
            if plan.steps:
                await project.deploy(plan)
        check_state(account, state)
        ids = {n.namespace_id for n in state.load().namespaces}
        assert ids == set(account.namespaces)
        project.destroy = ()
        assert (await project.plan()).steps == ()
        assert clock.slept <= 300 * 3
    return errors


@pytest.mark.parametrize(
    ("fault", "endpoint", "times"),
    thinned(FAULTS, ENDPOINTS, (1, 1000), of=16, always=lambda _, endpoint, times: (endpoint, times) == ("upload", 1)),
)
def test_f31_f32_f33_f37_every_fault_at_every_endpoint(tmp_path: Path, fault: str, endpoint: str, times: int) -> None:
    """F31-F33, F36, F37, P4, P5: with any fault, once or for good, no migration is applied twice and state is true.

    When the fault is over one run reaches a clean plan; each error is typed, one line, and holds no token.
    """
    account, state = Account(), StateFile(tmp_path / "s" / "state.json")
    errors = asyncio.run(live_through(account, state, Weather(ENDPOINTS[endpoint], FAULTS[fault], times)))
    applied = [str(m) for m in account.migrations_applied]
    assert len(applied) == len(set(applied)) == 2
    assert account.scripts == {}
    for error in errors:
        told = "".join(traceback.format_exception(error)) + str(error) + repr(error)
        assert TOKEN not in told
        assert "\n" not in str(error)
        if times == 1:
            assert fault in {"429 for 30 years", "redirect to another host", "delivered twice"}, (fault, error)
            assert fault != "delivered twice" or "(or the request arrived twice)" in str(error)


def reachable(root: object) -> list[object]:
    """Walk everything that an error holds, frames of its traceback left out: those live only while it is handled."""
    seen: dict[int, object] = {}
    todo = [root]
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, (type, type(gc), type(reachable))) or type(value).__name__ == "frame":
            continue
        seen[id(value)] = value
        todo += [r for r in gc.get_referents(value) if type(r).__name__ != "traceback"]
    return list(seen.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_s03_nothing_of_the_request_is_reachable(tmp_path: Path, fault: str) -> None:
    """S03: from the error of any fault no request, header or token can be reached, through cause and context either."""
    account, state = Account(), StateFile(tmp_path / "s" / "state.json")
    project = Project(state, lambda: client_of(account, Weather(r".*", FAULTS[fault], 1000)), STAGES[0][0])
    try:
        asyncio.run(project.run())
    except DurableError as error:
        for value in reachable(error):
            assert type(value).__module__.split(".")[0] not in ("httpx", "httpcore"), value
            assert TOKEN not in (value if isinstance(value, str) else "")
            assert TOKEN.encode() not in (value if isinstance(value, bytes) else b"")
    else:
        assert fault == "delivered twice"


def test_f36_a_storm_of_429_is_bounded_and_shown(tmp_path: Path) -> None:
    """F36: under 429 for good a read is sent 4 times, waits what is asked with a countdown, and then gives up."""
    clock, waits = Clock(), []

    async def ask() -> int:
        weather = Weather(r".*", FAULTS["429 in seconds"], 1000)
        async with client_of(Account(), weather, clock) as client:
            with client.pace.shown(waits.append, lambda: False):
                try:
                    await client.list_scripts()
                except DurableError:
                    return client.requests_sent
        return -1

    assert asyncio.run(ask()) == 4
    assert clock.slept == pytest.approx(21, abs=0.5)
    assert waits[0] == "waits 7 s: Cloudflare asks for a pause (429), then it is asked again (2 of 4)"
    assert len(waits) == 21


def test_f36_a_wait_is_cancelled_at_once(tmp_path: Path) -> None:
    """F36: Cancel ends a wait within 200 ms of the clock."""
    clock = Clock()
    pressed: list[float] = []

    def cancel() -> bool:
        if clock.now > 1003 and not pressed:
            pressed.append(clock.now)
        return bool(pressed)

    async def ask() -> None:
        async with client_of(Account(), Weather(r".*", FAULTS["429 in seconds"], 1000), clock) as client:
            with client.pace.shown(lambda _: None, cancel):
                await client.list_scripts()

    with pytest.raises(DurableError, match="cancelled while waiting"):
        asyncio.run(ask())
    assert clock.now - pressed[0] < 0.2


def test_f36_requests_of_ten_workers(tmp_path: Path) -> None:
    """F36: a first deploy of 10 Workers with a class and an address each takes at most 60 requests in all."""
    account, state = Account(), StateFile(tmp_path / "s" / "state.json")
    declared = sum((worker_of(f"w{i}", {f"c{i}": "C"}) for i in range(10)), ())
    asyncio.run(Project(state, lambda: client_of(account), declared).run())
    assert len(account.log) <= 60
    assert len(account.namespaces) == 10


def test_f34_stale_lists_are_waited_for(tmp_path: Path) -> None:
    """F34: while the namespace list lags behind an upload by 30 s, the deploy waits and then records the right id."""
    account, clock = Account(), Clock()
    seen: dict[str, float] = {}

    async def lagging(request: httpx.Request, deliver: Any) -> Any:
        import httpx

        if request.method == "PUT":
            response = deliver()
            seen.setdefault("at", clock.now)
            return response
        if request.url.path.endswith("/namespaces") and "at" in seen and clock.now < seen["at"] + 30:
            return httpx.Response(200, json={"success": True, "errors": [], "result": [], "result_info": {}})
        return None

    state = StateFile(tmp_path / "s" / "state.json")
    project = Project(state, lambda: client_of(account, lagging, clock), worker_of("host", {"a": "A"}))
    assert asyncio.run(project.run()).ok
    assert [n.namespace_id for n in state.load().namespaces] == list(account.namespaces)
    assert clock.slept < 40


def test_f34_stale_script_list_and_a_lost_answer(tmp_path: Path) -> None:
    """F34, P4: when an answer is lost and the script list lags, the resend is refused by its tag, not applied."""
    account, clock = Account(), Clock()
    old: dict[str, Any] = {}
    lags = {"until": 0.0}

    async def stale(request: httpx.Request, deliver: Any) -> Any:
        import httpx

        if request.method == "PUT" and not lags["until"] and old:
            deliver()
            lags["until"] = clock.now + 5
            raise httpx.ReadTimeout("lost", request=request)
        if request.url.path.endswith("/scripts"):
            if clock.now < lags["until"]:
                return httpx.Response(200, json=old["list"])
            response = deliver()
            old["list"] = response.json()
            return response
        return None

    async def both() -> Any:
        state = StateFile(tmp_path / "s" / "state.json")
        first = Project(state, lambda: client_of(account), worker_of("host", {"a": "A"}, lifecycle="migrations"))
        await first.run()
        then = worker_of("host", {"a": "B"}, lifecycle="migrations")
        return await Project(state, lambda: client_of(account, stale, clock), then).run()

    assert asyncio.run(both()).ok
    assert [m.get("steps") for m in account.migrations_applied[1:]] == [
        [{"renamed_classes": [{"from": "A", "to": "B"}]}]
    ]
    assert sum(m == "PUT" for m, _ in account.log) == 3


def test_f35_somebody_else_deploys_meanwhile(tmp_path: Path) -> None:
    """F35, F45: when another client's migration lands between look and upload, the tag refuses ours."""
    account = Account()
    state = StateFile(tmp_path / "s" / "state.json")

    async def overtaken(request: httpx.Request, _deliver: Any) -> Any:
        if request.method == "PUT":
            account.scripts["host"].update(migration_tag="theirs", modified_on="later")
        return None

    async def both() -> None:
        first = Project(state, lambda: client_of(account), worker_of("host", {"a": "A"}, lifecycle="migrations"))
        await first.run()
        then = worker_of("host", {"a": "B"}, lifecycle="migrations")
        await Project(state, lambda: client_of(account, overtaken), then).run()

    with pytest.raises(DurableError, match=r"changed by somebody else|somebody else deployed"):
        asyncio.run(both())
    assert len(account.migrations_applied) == 1
    assert [n["class"] for n in account.namespaces.values()] == ["A"]
    assert [n.class_name for n in state.load().namespaces] == ["A"]


def test_the_matrix_is_large_enough() -> None:
    """The matrix has at least 16 faults and 240 cells."""
    assert len(FAULTS) >= 16
    assert len(FAULTS) * len(ENDPOINTS) * 2 >= 240
    assert ACCOUNT
