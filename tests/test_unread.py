"""A plan reads two lists and what changed: what it leaves out it says, and it never hides what it rests on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

import notebook_do as nd
from notebook_do.cloudflare.http import Connections

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.session import Session

NAMES = tuple(f"w{n}" for n in range(5))
LISTS = 3
"""Scripts, Workers by the hundred, namespaces."""


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
        assert note == "3 Workers not read again (--refresh)."
        assert note in str(plan)
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
    assert requests == LISTS + 3 * 4 + 1, "and the code that is replaced, which its diff is made of"
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


def test_a_lost_note_costs_reads_and_nothing_else(session: Session, sent: list[str]) -> None:
    """The note is a cache: without it, or with a damaged one, everything is read."""
    planned(session, sent)
    note = session.state_path.with_name("observations.json")
    assert set(json.loads(note.read_bytes())["scripts"]) == set(NAMES)
    for content in (b"", b"{", b'{"version": 1}', b'{"version": 9, "scripts": {}}', b"[]"):
        note.write_bytes(content)
        plan, requests = planned(session, sent)
        assert plan.empty
        assert requests == LISTS + 4 * len(NAMES)
        assert planned(session, sent)[1] == LISTS + 2 * 4


# --- what is destroyed

CLASS = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {}
export default { fetch() { return new Response("host") } };"""


def declare_room() -> None:
    """Declare the host of a namespace beside the five Workers."""
    room = nd.DurableObjectNamespace("room", class_name="Room", protect=False)
    nd.Worker("host", script=CLASS, name="host", bindings={"ROOM": room})


@pytest.fixture
def hosted(session: Session) -> Session:
    """Open the session with one more Worker, the host of a namespace; all are read."""
    declare_room()
    session.deploy(session.plan())
    session.plan()
    return session


def outside(session: Session, name: str, *bindings: dict[str, str]) -> None:
    """Upload a Worker as another tool does, which this session knows nothing of."""
    to = session._run(session._connect())
    metadata = {"main_module": "m.js", "compatibility_date": "2026-01-01", "bindings": list(bindings)}
    answer = httpx.put(
        f"{to.base_url}/accounts/{to.account_id}/workers/scripts/{name}",
        headers={"Authorization": f"Bearer {to.token.reveal()}"},
        data={"metadata": json.dumps(metadata)},
        files={"m.js": ("m.js", "export default { fetch() {} }", "application/javascript+module")},
    )
    assert answer.status_code == 200, answer.text


ROOM = {"type": "durable_object_namespace", "name": "ROOM", "class_name": "Room", "script_name": "host"}
CALL = {"type": "service", "name": "CALL", "service": "host"}


def settings_read(sent: list[str]) -> list[str]:
    """Return the scripts whose settings were asked for."""
    return sorted(line.split("/")[1] for line in sent if line.endswith("/settings"))


def destroying(session: Session, sent: list[str], *ids: str) -> Plan:
    """Plan a destruction, and note what is asked of the API for it."""
    sent.clear()
    return session.destroy(*ids)


def test_a_destruction_costs_the_lists_and_what_is_destroyed(session: Session, sent: list[str]) -> None:
    """Issue 13.2: of N Workers the one that is destroyed is read, and the two oldest; the lists name who binds it."""
    for number in range(3):
        outside(session, f"theirs-{number}")
    planned(session, sent)
    plan = destroying(session, sent, "w1")
    assert [type(step).__name__ for step in plan.steps] == ["DeleteScript"]
    assert not plan.warnings
    assert "w1" in settings_read(sent)
    assert len(settings_read(sent)) <= 3
    assert len(sent) <= LISTS + 3 * 4
    assert "not read again (--refresh)" in not_read(plan)[0]
    assert not not_read(session.destroy("w1", refresh=True))


def test_a_plan_that_destroys_looks_once(hosted: Session, sent: list[str]) -> None:
    """Issue 13.2: the plan is built again with the counted objects, and the lists are read once for both."""
    plan = destroying(hosted, sent, "host")
    assert [consent.objects for consent in plan.consents] == [0]
    assert sent.count("GET scripts") == sent.count("GET workers") == sent.count("GET durable_objects/namespaces") == 1


@pytest.mark.parametrize(
    ("binding", "subject"),
    [(ROOM, "room"), pytest.param(CALL, "host", marks=pytest.mark.thorough)],
    ids=["namespace", "service"],
)
def test_whoever_binds_what_is_destroyed_is_named_by_the_lists(
    hosted: Session, sent: list[str], binding: dict[str, str], subject: str
) -> None:
    """A Worker of another tool that binds what is destroyed is named with its binding, and no other one is read."""
    outside(hosted, "theirs", binding)
    outside(hosted, "bystander")
    plan = destroying(hosted, sent, "host")
    (refusal,) = plan.refusals
    assert (refusal.code, refusal.subject) == ("still-bound", subject)
    assert f"{binding['name']} of Worker theirs (live)" in refusal.message
    assert "theirs" in settings_read(sent)
    assert "bystander" not in settings_read(sent)


@pytest.mark.parametrize(
    "answer",
    ["refused", *(pytest.param(a, marks=pytest.mark.thorough) for a in ("without references", "of another form"))],
)
def test_where_the_lists_do_not_name_binders_everybody_is_read(
    hosted: Session, sent: list[str], monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """What cannot be told from the lists is read: no binder is missed where the newer list says less, or nothing."""
    outside(hosted, "theirs", ROOM)
    outside(hosted, "bystander")
    _answer_workers(monkeypatch, answer)
    plan = destroying(hosted, sent, "host")
    assert "ROOM of Worker theirs (live)" in plan.refusals[0].message
    assert {"theirs", "bystander"} <= set(settings_read(sent))
    # One request tells what a Worker binds; nothing else of it is read.
    assert sum("bystander" in line for line in sent) == 1


def _answer_workers(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Let the list of Workers be refused, or say less than is documented; every other request is the real one."""
    send = Connections.handle_async_request

    async def changed(self: Connections, request: httpx.Request) -> httpx.Response:
        response = await send(self, request)
        if not request.url.path.endswith("/workers/workers"):
            return response
        if how == "refused":
            body: dict[str, object] = {"success": False, "errors": [{"code": 10000, "message": "no"}], "result": None}
            return httpx.Response(403, json=body)
        listed = json.loads(await response.aread())
        for item in listed["result"]:
            if how == "without references":
                del item["references"]
            else:
                item["references"]["durable_objects"] = [{"namespace_id": "f" * 32}]
        return httpx.Response(200, json=listed)

    monkeypatch.setattr(Connections, "handle_async_request", changed)


def test_a_binder_that_only_the_list_names_is_a_binder(
    hosted: Session, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the list names a Worker and its settings show no such binding, nothing is destroyed all the same."""
    outside(hosted, "theirs", ROOM)
    send = Connections.handle_async_request

    async def silent(self: Connections, request: httpx.Request) -> httpx.Response:
        response = await send(self, request)
        if not request.url.path.endswith("/theirs/settings"):
            return response
        settings = json.loads(await response.aread())
        return httpx.Response(200, json={**settings, "result": {**settings["result"], "bindings": []}})

    monkeypatch.setattr(Connections, "handle_async_request", silent)
    plan = destroying(hosted, sent, "host")
    assert plan.refusals[0].code == "still-bound"
    assert "Worker theirs (listed)" in plan.refusals[0].message
    assert plan.empty
