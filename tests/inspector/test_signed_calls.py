"""Calls on Cloudflare: only who has the key is answered, each request once, and a plan shows what is deployed."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from far_target import Raw, declare, deployed

import notebook_do as nd
from notebook_do.credentials import inspect_keys
from notebook_do.errors import CommandError, JSError, TargetError
from notebook_do.inspector.signing import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.local.process.launch import LocalTarget


def test_a_call_without_inspect_says_which_line_declares_it(far: LocalTarget) -> None:
    """On Cloudflare a call needs an inspector; without one it is refused, before anything is sent."""
    session = deployed()
    with pytest.raises(CommandError, match=r"`%durable inspect rooms --calls` declares one"):
        session.object("rooms", "kitchen").count()


def test_methods_are_called_over_the_inspector(far: LocalTarget) -> None:
    """What a method returns and throws comes back as it does locally; more than calls needs inspect=True."""
    session = deployed(inspect="calls")
    room = session.object("rooms", "kitchen")
    assert (room.who(), room.add(2), room.add(3), room.count(), room.big()) == ("kitchen", 2, 5, 5, 2**60)
    with pytest.raises(JSError, match="kaboom"):
        room.boom()
    with pytest.raises(CommandError, match="class Room has no method nope"):
        room.nope()
    with pytest.raises(TargetError, match="was not repeated"):
        room.call("slow", timeout=0.2)
    raw = Raw(far, session)
    text = raw.op("info")
    (answer,) = raw.send(raw.head(text), [text]).json()
    assert "declare the namespace with inspect=True for more" in answer["refused"]


def test_who_has_not_signed_gets_nothing(far: LocalTarget) -> None:
    """Whatever is altered, another key, another audience: 404 without a body, and nothing was called."""
    session = deployed(inspect="calls")
    raw = Raw(far, session)
    text = raw.op("call", method="add", args=[1])
    other = raw.op("call", method="add", args=[2])
    good = raw.head(text)
    altered: list[tuple[dict[str, Any] | None, list[str]]] = [
        (None, [text]),
        ({}, [text]),
        ({**good, "time": good["time"] + 1}, [text]),
        ({**good, "nonce": "0" * 32}, [text]),
        ({**good, "digests": raw.head(other)["digests"]}, [other]),
        (good, [other]),
        (good, [text, text]),
        (good, []),
        ({**good, "signature": raw.head(text)["signature"]}, [text]),
        ({**good, "signature": base64.b64encode(bytes(64)).decode()}, [text]),
        (raw.head(text, key=SigningKey.made()), [text]),
        (raw.head(text, audience=raw.audience + "x"), [text]),
    ]
    for head, texts in altered:
        answer = raw.send(head, texts)
        assert (answer.status_code, answer.content) == (404, b"")
    for change in ({"method": "GET"}, {"method": "PUT"}, {"path": "/other"}):
        answer = raw.send(good, [text], **change)
        assert (answer.status_code, answer.content) == (404, b"")
    assert session.object("rooms", "kitchen").count() == 0
    assert raw.send(good, [text]).json()[0]["ok"] == 1


def test_a_request_is_taken_once_and_in_its_time(far: LocalTarget) -> None:
    """A replay is refused, and what was signed more than a minute ago or ahead is not done."""
    session = deployed(inspect="calls")
    raw = Raw(far, session)
    text = raw.op("call", method="add", args=[1])
    head = raw.head(text)
    assert raw.send(head, [text]).status_code == 200
    replay = raw.send(head, [text])
    assert (replay.status_code, replay.json()) == (409, {"refused": "replayed"})
    for apart in (-61_000, 61_000):
        late = raw.send(raw.head(text, at=time.time_ns() // 1_000_000 + apart), [text])
        assert (late.status_code, late.json()["refused"]) == (401, "clock")
    assert session.object("rooms", "kitchen").count() == 1


def test_a_clock_that_is_apart_is_corrected_once(far: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of ours that is wrong: the inspector tells its own, and the request is signed once more."""
    session = deployed(inspect="calls")
    real = time.time_ns
    monkeypatch.setattr("notebook_do.live.signed._skews", {})
    monkeypatch.setattr("notebook_do.live.signed.time.time_ns", lambda: real() - 3600 * 10**9)
    assert session.object("rooms", "kitchen").add(1) == 1
    assert session.object("rooms", "kitchen").count() == 1


def test_who_lacks_the_key_plans_and_does_not_call(
    far: LocalTarget, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague with the state file keeps the deployed key by every plan; what calls is told what is lacking."""
    session = deployed(inspect="calls")
    inspector = Raw(far, session).inspector
    file = inspect_keys.file_of(inspector.key)
    assert file.parent == keys
    assert file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("NOTEBOOK_DO_KEYS", str(keys / "of-a-colleague"))
    assert session.plan().empty
    with pytest.raises(CommandError, match=rf"set NOTEBOOK_DO_INSPECT_KEY .* {file.name}"):
        session.object("rooms", "kitchen").count()
    monkeypatch.setenv("NOTEBOOK_DO_INSPECT_KEY", file.read_text())
    assert session.object("rooms", "kitchen").count() == 0
    assert session.plan().empty
    monkeypatch.setenv("NOTEBOOK_DO_INSPECT_KEY", "not-a-key")
    with pytest.raises(nd.DurableError, match="is no key of an inspector: it has 9 characters") as wrong:
        session.object("rooms", "kitchen").count()
    assert "not-a-key" not in str(wrong.value)


def test_a_new_key_comes_by_a_plan(far: LocalTarget) -> None:
    """`--new-key` sends nothing; the plan shows another key, and after its deploy the old one opens nothing."""
    session = deployed(inspect="calls")
    old = Raw(far, session)
    session.inspect("rooms", "calls", new_key=True)
    assert session.object("rooms", "kitchen").add(1) == 1
    plan = session.plan()
    assert [c.id for c in plan.changes if c.action == "update"] == ["chat-dev-inspector.KEY"]
    assert session.plan().digest == plan.digest
    session.deploy(plan)
    assert session.object("rooms", "kitchen").add(1) == 2
    text = old.op("call", method="add", args=[1])
    assert old.send(old.head(text), [text]).status_code == 404
    assert session.plan().empty


def test_nothing_secret_is_deployed_or_recorded(far: LocalTarget, home: Path, keys: Path) -> None:
    """The private key is in its own file and nowhere in the project, its journal, the account or what is shown."""
    session = deployed(inspect="calls")
    raw = Raw(far, session)
    private = inspect_keys.file_of(raw.inspector.key).read_text().strip()
    assert private not in repr(session.plan()) + session.plan().to_json() + repr(raw.key)
    held = [path for path in home.rglob("*") if path.is_file() and private.encode() in path.read_bytes()]
    assert held == []
    api = f"{far.api}/accounts/{far.account_id}/workers/scripts/chat-dev-inspector"
    signed = {"Authorization": f"Bearer {far.token()}"}
    for path in ("", "/settings"):
        assert private not in httpx.get(api + path, headers=signed).text
    subdomain = httpx.get(f"{api}/subdomain", headers=signed).json()["result"]
    assert subdomain == {"enabled": True, "previews_enabled": False}
    assert [path.name for path in keys.iterdir() if private.encode() in path.read_bytes()] == [
        inspect_keys.file_of(raw.inspector.key).name
    ]


def test_drift_of_an_inspector_is_put_right_by_a_plan(far: LocalTarget) -> None:
    """One that was deleted elsewhere is told so by a call and made again; one with another key gets ours back."""
    session = deployed(inspect="calls")
    api = f"{far.api}/accounts/{far.account_id}/workers/scripts/chat-dev-inspector"
    signed = {"Authorization": f"Bearer {far.token()}"}
    assert httpx.delete(api, headers=signed).status_code == 200
    with pytest.raises(TargetError, match="Worker chat-dev-inspector did not answer for namespace rooms: it is gone"):
        session.object("rooms", "kitchen").count()
    plan = session.plan()
    assert "chat-dev-inspector was deployed before and is gone" in plan.drift[0].detail
    session.deploy(plan)
    assert session.object("rooms", "kitchen").count() == 0
    found = httpx.get(f"{api}/settings", headers=signed).json()["result"]["bindings"]
    changed = [{**b, "text": SigningKey.made().public} if b["name"] == "KEY" else b for b in found]
    files = {"settings": (None, json.dumps({"bindings": changed}), "application/json")}
    assert httpx.patch(f"{api}/settings", headers=signed, files=files).status_code == 200
    with pytest.raises(TargetError, match="has another key"):
        session.object("rooms", "kitchen").count()
    plan = session.plan(refresh=True)
    assert [c.name for c in plan.drift if c.kind == "binding"] == ["KEY"]
    session.deploy(plan)
    assert session.object("rooms", "kitchen").count() == 0


def test_a_kernel_without_the_library_is_told_how_to_get_it(far: LocalTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that signs is an extra: who lacks it reads one line, at the plan that needs a key."""
    import sys

    for name in [n for n in sys.modules if n.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    session = declare(inspect="calls")
    with pytest.raises(nd.DurableError, match=r"%pip install 'notebook-do\[inspect\]'"):
        session.plan()
