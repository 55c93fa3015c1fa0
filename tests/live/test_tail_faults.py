"""What an odd answer or an odd event does to a live tail: nothing of its address is told, and it goes on."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.errors import TargetError
from notebook_do.live import tailing
from notebook_do.live.logs import asked_logs
from notebook_do.live.tailing import LogTail
from notebook_do.local.api.tails import Tails, _overload
from notebook_do.notebook.following import FollowedLogs
from notebook_do.notebook.logs import TailPrint
from notebook_do.notebook.views.blocks import Line
from notebook_do.notebook.views.logged import missing_lines

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


def test_lines_that_a_slow_listener_does_not_take_are_counted() -> None:
    """The local Cloudflare keeps a thousand events for it; of those that go it tells the lines, as does the view."""
    tails = Tails()
    made = tails.open("chat", [])
    made.queue = asyncio.Queue(1000)
    for n in range(1500):
        line = {"timestamp": 0, "level": "log", "message": [n]}
        tails.publish("chat", {"logs": [line, line], "exceptions": [], "event": {}})
    assert made.left_out == 1000
    tail = LogTail(lambda: None, "chat", "chat")
    for _ in range(3):
        tail._take(json.dumps(_overload(made.left_out)))
    (missing,) = tail.missing
    assert (missing.lost, missing.of) == (3000, "line")
    (line,) = missing_lines(tail.missing)
    assert isinstance(line, Line)
    assert line.text.startswith("3,000 lines are missing ")


def test_lines_that_go_on_missing_are_printed_with_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no output can be replaced each further number is one more line, and what is told already is not."""
    tail = LogTail(lambda: None, "chat", "chat")
    printed = TailPrint(FollowedLogs(nd.session("chat"), tail, asked_logs()))
    for lost in (5, 7):
        tail._take(json.dumps(_overload(lost)))
        printed.show()
        printed.show()
    said = capsys.readouterr().out
    assert [said.count(f"{number} lines are missing") for number in (5, 12)] == [1, 1]


def test_messages_that_are_there_are_read_together() -> None:
    """A thousand small events a second and more are taken in one turn, not one by one."""

    class Socket:
        left = 500

        async def recv(self) -> str:
            if not self.left:
                await asyncio.sleep(60)
            self.left -= 1
            return of_version("A", str(self.left))

    tail = LogTail(lambda: None, "chat", "chat")
    tail._socket = Socket()  # type: ignore[assignment]
    first = tail.next(5)
    assert first is not None
    assert len(tail._waiting) > 50


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
