"""What an odd answer or an odd event does to a live tail: nothing of its address is told, and it goes on."""

from __future__ import annotations

import json
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.errors import TargetError
from notebook_do.live import tailing
from notebook_do.live.tailing import LogTail

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """export default { fetch() {
  for (let n = 0; n < 300; n++) console.log("x".repeat(400) + n);
  return new Response("ok");
} };
"""


@pytest.fixture
def chat(cloud: Path) -> nd.Session:
    """Deploy a Worker that logs much."""
    del cloud
    session = nd.session("chat")
    nd.Worker("chat", script=WORKER)
    session.deploy(session.plan())
    return session


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://tail.example/SECRETPATH", ""),
        ("wss://", ""),
        ("wss://[SECRETPATH", ""),
        ("no address SECRETPATH", ""),
        ("wss://" + "a" * 70 + ".SECRETPATH.example/SECRETPATH", ""),
        ("wss://tail.example/SECRETPATH", "foo://ada:SECRETPATH@h:1"),
        ("wss://tail.example/SECRETPATH", "socks5://ada:SECRETPATH@127.0.0.1:1"),
        ("ws://127.0.0.1:1/SECRETPATH", ""),
    ],
)
def test_the_address_of_a_tail_is_in_no_error(
    chat: nd.Session, monkeypatch: pytest.MonkeyPatch, url: str, proxy: str
) -> None:
    """Whatever the API answers, and whatever proxy is set: one line names the Worker and the kind of the problem."""
    opened = tailing.open_tail

    async def odd(*asked: Any) -> dict[str, Any]:
        return {**await opened(*asked), "url": url}

    monkeypatch.setattr(tailing, "open_tail", odd)
    for name in ("https_proxy", "HTTPS_PROXY") if proxy else ():
        monkeypatch.setenv(name, proxy)
    tail = chat.tail("chat")
    with pytest.raises(TargetError, match=r"live logs of Worker chat cannot be reached \(\w+\); try again") as raised:
        tail.__enter__()
    error: BaseException | None = raised.value
    while error is not None:
        assert "SECRETPATH" not in "".join(traceback.format_exception(error))
        error = error.__context__


ODD = (
    "{",
    "[1]",
    "null",
    "[" * 100_000,
    '{"event": "x"}',
    '{"logs": [{"level": "log", "message": "x"}]}',
    '{"logs": [{"timestamp": 1e20, "level": "log", "message": "x"}]}',
    '{"logs": [{"timestamp": 1e300, "level": "log", "message": "x"}]}',
    '{"logs": ["x"]}',
    '{"exceptions": [{"name": "E"}]}',
    '{"scriptVersion": "abc"}',
    '{"event": {"request": []}, "logs": 7}',
)


def of_version(version: str, message: str = "x") -> str:
    """Return an event with one line."""
    line = {"timestamp": time.time() * 1000, "level": "log", "message": [message]}
    return json.dumps({"scriptVersion": {"id": version}, "logs": [line], "event": {}})


def test_an_event_that_cannot_be_read_is_said_to_be_missing_and_the_tail_goes_on() -> None:
    """The form of an event is documented nowhere: those around an odd one are told, and how many were odd."""
    tail = LogTail(lambda: None, "chat", "chat")
    for one in ODD:
        tail._take(one)
    tail._take(b"\xff")
    tail._take(of_version("A", "well"))
    assert [one.message for one in tail._waiting] == ["well"]
    (missing,) = tail.missing
    assert missing.lost == len(ODD) + 1
    assert missing.why == "what Cloudflare sent could not be read"


def test_two_versions_that_answer_by_turns_are_one_deployment() -> None:
    """Of a deployment by percent each request is answered by either: only one that never did is another."""
    tail = LogTail(lambda: None, "chat", "chat")
    for n in range(2000):
        tail._take(of_version("AB"[n % 2]))
    assert len(tail.deployed) == 1
    tail._take(of_version("C"))
    assert len(tail.deployed) == 2


def test_what_is_missing_again_and_again_is_said_a_bounded_number_of_times() -> None:
    """A sample that begins and ends a thousand times is twenty lines, of which the last goes on."""
    tail = LogTail(lambda: None, "chat", "chat")
    for _ in range(1000):
        tail._take('{"event": {"type": "overload"}}')
        tail._take('{"event": {"type": "overload-stop"}}')
        tail._take("{")
    assert len(tail.missing) <= 2 * tailing._MOST_MISSING
    assert sum(one.lost or 0 for one in tail.missing) == 1000
    assert tail.missing[-2].until >= tail.missing[-2].since


def test_a_tail_that_is_flooded_ends_without_waiting_for_what_is_under_way(chat: nd.Session) -> None:
    """The other side's goodbye stands behind all lines that it has sent: it is waited for half a second."""
    with chat.tail("chat") as tail:
        for _ in range(20):
            chat.fetch("chat", "/")
        assert tail.next(20) is not None
        assert tail._socket is not None
        assert tail._socket.close_timeout == 0.5
    assert tail.over
