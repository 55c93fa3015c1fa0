"""A plan reads two lists and what changed: what it leaves out it says, and it never hides what it rests on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

import notebook_do as nd

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.session import Session

NAMES = tuple(f"w{n}" for n in range(5))
LISTS = 3
"""Scripts, Workers by the hundred, namespaces."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what is asked of the API; the network is the real one."""
    found: list[str] = []
    send = httpx.AsyncHTTPTransport.handle_async_request

    async def noted(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        found.append(f"{request.method} {request.url.path.partition('/workers/')[2]}")
        return await send(self, request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", noted)
    return found


def declare(name: str, note: str = "", **more: object) -> None:
    """Declare a Worker without a class of its own."""
    source = f"export default {{ fetch() {{ return new Response('{note}') }} }};"
    nd.Worker(name, script=source, name=name, **more)  # type: ignore[arg-type]


@pytest.fixture
def session(cloud: Path) -> Session:
    """Open a session with five Workers that are live as declared."""
    opened = nd.session("many")
    for name in NAMES:
        declare(name)
    opened.deploy(opened.plan())
    opened.plan()  # before the first deploy there is no directory for a note
    return opened


def planned(session: Session, sent: list[str], *, refresh: bool = False) -> tuple[Plan, int]:
    """Plan, and count the requests of it."""
    sent.clear()
    plan = session.plan(refresh=refresh)
    return plan, len(sent)


def not_read(plan: Plan) -> list[str]:
    """Return what the plan says of what it left out."""
    return [note for note in plan.notes if "not read again" in note]


def test_an_earlier_plan_object_is_deployed_though_it_was_planned_again_and_read_at_another_time(
    session: Session,
) -> None:
    """What a plan says of its reading is no part of what it sends."""
    declare("w0", "changed")
    first = session.plan()
    again = session.plan(refresh=True)
    assert first.digest == again.digest
    assert first.notes != again.notes
    assert session.deploy(first)["w0"].fetch("/").text == "changed"


def test_unchanged_workers_cost_no_request_but_for_the_oldest(session: Session, sent: list[str]) -> None:
    """Issue 13.2: a plan of N unchanged Workers sends the lists, reads two of them anew, and says so."""
    for _ in range(3):
        plan, requests = planned(session, sent)
        assert plan.empty
        assert requests == LISTS + 2 * 4
        (note,) = not_read(plan)
        assert "3 Workers not read again" in note
        assert "--refresh" in note
    plan, requests = planned(session, sent, refresh=True)
    assert requests == LISTS + 4 * len(NAMES)
    assert not_read(plan) == []


def test_every_worker_is_read_anew_within_a_few_plans(session: Session, sent: list[str]) -> None:
    """Those that were read longest ago come first, so that none is left out for ever."""
    read: set[str] = set()
    for _ in range(3):
        planned(session, sent)
        read |= {line.split("/")[1] for line in sent if line.endswith("/settings")}
    assert read == set(NAMES)


def test_a_changed_declaration_is_compared_with_what_is_live_now(session: Session, sent: list[str]) -> None:
    """A Worker that is to be uploaded is read in full before the plan shows the upload, and only this one more."""
    planned(session, sent)
    planned(session, sent)
    declare("w3", "changed")
    plan, requests = planned(session, sent)
    assert "GET scripts/w3/settings" in sent
    assert [getattr(step, "script_name", "") for step in plan.steps] == ["w3"]
    assert requests == LISTS + 3 * 4
    session.deploy(plan)
    plan, requests = planned(session, sent)
    assert plan.empty
    assert requests == LISTS + 2 * 4


def test_what_follows_an_upload_is_read_again(session: Session, sent: list[str]) -> None:
    """A step after the upload may fail, and no list need show that: the Worker is read in full by the next plan."""
    planned(session, sent)
    declare("w3", "changed", previews=True)
    plan, _ = planned(session, sent)
    assert [type(step).__name__ for step in plan.steps] == ["Upload", "SetUrl"]
    session.deploy(plan)
    plan, _ = planned(session, sent)
    assert plan.empty
    assert "GET scripts/w3/settings" in sent


def test_a_changed_secret_is_seen_though_no_list_changed(
    session: Session, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark of a secret's value is part of what is declared."""
    monkeypatch.setenv("WORD", "one")
    declare("w4", bindings={"WORD": nd.Secret.from_env("WORD")})
    session.deploy(session.plan())
    for _ in range(3):
        assert planned(session, sent)[0].empty
    monkeypatch.setenv("WORD", "two")
    plan, _ = planned(session, sent)
    assert [getattr(step, "script_name", "") for step in plan.steps] == ["w4"]


def test_an_upload_of_another_tool_is_seen_at_once(session: Session, sent: list[str]) -> None:
    """What is live is ours only while the lists show our own upload; any other is read, and told as drift."""
    planned(session, sent)
    planned(session, sent)
    other = nd.session("other")
    declare("w3", "theirs", adopt=True)
    other.deploy(other.plan())
    again = nd.session("many")
    for name in NAMES:
        declare(name)
    plan, _ = planned(again, sent)
    assert "GET scripts/w3/settings" in sent
    assert {change.worker for change in plan.drift} == {"w3"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 1}', b'{"version": 9, "scripts": {}}', b"[]"])
def test_a_lost_note_costs_reads_and_nothing_else(session: Session, sent: list[str], content: bytes) -> None:
    """The note is a cache: without it, or with a damaged one, everything is read."""
    planned(session, sent)
    note = session.state_path.with_name("observations.json")
    assert set(json.loads(note.read_bytes())["scripts"]) == set(NAMES)
    note.write_bytes(content)
    plan, requests = planned(session, sent)
    assert plan.empty
    assert requests == LISTS + 4 * len(NAMES)
    assert planned(session, sent)[1] == LISTS + 2 * 4


def test_a_plan_that_destroys_reads_everything(session: Session, sent: list[str]) -> None:
    """Whoever binds what is to be destroyed must be named, so nothing is left out there."""
    planned(session, sent)
    sent.clear()
    plan = session.destroy("w1")
    assert not_read(plan) == []
    assert sum(line.endswith("/settings") for line in sent) == len(NAMES)
