"""`inspect=True`: objects check by themselves who asks, whatever Worker hands it on; their classes stay as they are."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from far_target import SOURCE, Raw, declare, deployed

import notebook_do as nd
from notebook_do.inspector.signing import SigningKey

if TYPE_CHECKING:
    from notebook_do.local.process.launch import LocalTarget

ASK = "__notebook_do_ask"


def at_the_stub(raw: Raw, head: dict[str, Any] | None, text: str, *, name: str = "kitchen", index: int = 0) -> Any:
    """Hand what was asked to an object as any Worker can that binds the namespace: here the host itself."""
    asked = {"head": head, "index": index, "text": text}
    answer = raw.post("chat-dev", None, json.dumps({"name": name, "method": ASK, "asked": asked}))
    found = answer.json()
    return json.loads(found["answer"]) if "answer" in found else found


def woken(session: nd.Session) -> None:
    """Let the object be awake for a moment, so that what is signed now is signed after it woke."""
    session.object("rooms", "kitchen").count()
    time.sleep(0.05)


def test_an_object_checks_again_who_asks(far: LocalTarget) -> None:
    """Straight at the stub: unsigned, altered, of another key, audience or object, nothing is done."""
    session = deployed(inspect=True)
    raw = Raw(far, session)
    woken(session)
    text, other = raw.op("call", method="add", args=[1]), raw.op("call", method="add", args=[5])
    good = raw.head(text)
    wrong = [
        (None, text),
        ({}, text),
        ({**good, "time": good["time"] + 1}, text),
        ({**good, "nonce": "0" * 32}, text),
        ({**good, "digests": raw.head(other)["digests"]}, other),
        ({**good, "signature": raw.head(text)["signature"]}, text),
        (good, other),
        (raw.head(text, key=SigningKey.made()), text),
        (raw.head(text, audience=raw.audience + "x"), text),
    ]
    for head, given in wrong:
        assert "not signed by the session" in at_the_stub(raw, head, given)["refused"]
    assert "not for this object" in at_the_stub(raw, good, text, name="hall")["refused"]
    assert "not signed by the session" in at_the_stub(raw, good, text, index=1)["refused"]
    for apart in (-61_000, 61_000, 5_000):
        late = raw.head(text, at=time.time_ns() // 1_000_000 + apart)
        assert set(at_the_stub(raw, late, text)) == {"again"}
    assert session.object("rooms", "kitchen").count() == 0
    assert at_the_stub(raw, good, text) == {"ok": 1}


TWO_ROOMS = SOURCE.replace("export default", "export class Hut extends Room {}\nexport default")


def test_a_request_for_one_namespace_is_none_for_another(far: LocalTarget) -> None:
    """Two namespaces have an object of one name: what was signed for the one is refused by the other.

    Also where the class of the one is derived from that of the other.
    """
    session = nd.session("chat", target="cloudflare")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room", inspect=True)
    huts = nd.DurableObjectNamespace("huts", class_name="Hut", inspect=True)
    nd.Worker("chat", script=TWO_ROOMS, bindings={"ROOMS": huts, "HUTS": rooms})
    session.deploy(session.plan())
    for stable_id, other in (("rooms", "huts"), ("huts", "rooms")):
        session.object(stable_id, "kitchen").add(0)
        assert session.object(stable_id, "kitchen").count() == 0
        raw = Raw(far, session, stable_id)
        text = raw.op("call", method="add", args=[1])
        # The host's ROOMS is the namespace of huts.
        found = at_the_stub(raw, raw.head(text), text)
        assert ("refused" in found) == (stable_id == "rooms"), found
        del other
    assert session.object("rooms", "kitchen").count() == 0
    assert session.object("huts", "kitchen").count() == 1


def test_an_object_does_once_what_is_sent_twice(far: LocalTarget) -> None:
    """A replay at the stub is refused; after a restart of the object it is older than the object, and not done."""
    session = deployed(inspect=True)
    raw = Raw(far, session)
    woken(session)
    text = raw.op("call", method="add", args=[1])
    head = raw.head(text)
    assert raw.send(head, [text]).json()[0]["ok"] == 1
    assert at_the_stub(raw, head, text) == {"refused": "replayed"}
    with pytest.raises(nd.DurableError):
        session.object("rooms", "kitchen").gone()
    assert set(at_the_stub(raw, head, text)) == {"again"}
    assert session.object("rooms", "kitchen").count() == 1


def test_an_object_that_only_wakes_for_it_is_asked_once(far: LocalTarget) -> None:
    """What was signed before the object woke is signed anew, and done once."""
    session = deployed(inspect=True)
    assert [session.object("rooms", name).add(1) for name in ("a", "b", "c", "a")] == [1, 1, 1, 2]


def test_the_module_leaves_no_trace_for_others(far: LocalTarget) -> None:
    """The host answers as before; the method cannot be listed, and the inspector has it behind the signature alone."""
    source = SOURCE.replace("who()", "own() { return [Object.keys(Room.prototype), 'own' in this]; }\n  who()")
    session = deployed(inspect=True, source=source)
    room = session.object("rooms", "kitchen")
    assert room.own() == [[], True]
    assert room.who() == "kitchen"
    with pytest.raises(nd.DurableError, match=r"no method __notebook_do_ask|begins with no _"):
        room.call(ASK)


def test_a_removal_leaves_the_host_byte_equal(far: LocalTarget) -> None:
    """With inspect=True and without again, the account has the very modules that it had before, and the same ids."""
    api = f"{far.api}/accounts/{far.account_id}/workers/scripts/chat-dev"
    signed = {"Authorization": f"Bearer {far.token()}"}

    def live() -> tuple[list[str], list[str]]:
        answer = httpx.get(api, headers=signed)
        boundary = answer.headers["content-type"].partition("boundary=")[2].strip('"')
        parts = [part.strip() for part in answer.text.split(f"--{boundary}")]
        ids = [n.namespace_id for n in session.recorded().namespaces]
        return [part for part in parts if part not in {"", "--"}], ids

    session = deployed()
    session.object  # noqa: B018 - sends nothing
    before = live()
    session = declare(inspect=True)
    session.deploy(session.plan())
    session.object("rooms", "kitchen").add(4)
    assert live()[1] == before[1]
    assert live()[0] != before[0]
    session = declare(inspect="calls")
    session.deploy(session.plan())
    assert live() == before
    assert session.object("rooms", "kitchen").count() == 4
    session = declare()
    session.deploy(session.plan())
    assert live() == before
    left = httpx.get(f"{far.api}/accounts/{far.account_id}/workers/scripts", headers=signed).json()["result"]
    assert [script["id"] for script in left] == ["chat-dev"]
