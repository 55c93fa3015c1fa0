"""`%durable logs` shows past logs and live ones; the frame behind it has all lines."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import notebook_do as nd
from notebook_do.frames import COLUMNS, frame
from notebook_do.live.logs import MissingLines, PastLogs, asked_logs
from notebook_do.live.records import LogRecord
from notebook_do.local.process import launch
from notebook_do.notebook import logs as verb
from notebook_do.notebook import shells
from notebook_do.notebook.following import OFTEN, FollowedLogs, Following
from notebook_do.notebook.views import html, text
from notebook_do.notebook.views.documents import plain
from notebook_do.notebook.views.logged import LiveLogs, live_document, past_document
from notebook_do.notebook.widgets.following import FollowPanel
from notebook_do.sessions.logs import LocatedRecord
from notebook_do.sessions.opening import close_all
from notebook_do.sources.located import LocatedStack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

NOW = datetime(2026, 11, 26, 14, 2, 41, 512000, tzinfo=UTC)
WORKER = """export default { fetch(request) {
  console.log("room", new URL(request.url).pathname);
  return new Response("ok");
} };
"""


def record(seconds: float, message: str = "2 rows", level: str = "log", **more: Any) -> LocatedRecord:
    """Give a record so many seconds before the end."""
    stack = more.pop("stack", None)
    fields: dict[str, Any] = {"worker": "chat", "entrypoint": "GET /kitchen", **more}
    kept = LogRecord(
        time=NOW - timedelta(seconds=seconds), level=level, message=message, stack="at x" if stack else None, **fields
    )
    return LocatedRecord(record=kept, stack=stack)


def thrown(seconds: float) -> LocatedRecord:
    """Give an exception with a place."""
    stack = LocatedStack(
        lines=("at Room.add (index.js:14:19)  → cell [5], line 14",), place="line 14 of cell [5]", what="Room.add"
    )
    about = {"object": "kitchen", "object_id": "a" * 64, "exception": "TypeError", "entrypoint": "Room.fetch"}
    return record(seconds, "TypeError: no length", "error", stack=stack, **about)


def past(records: list[LocatedRecord], requests: list[float], **more: Any) -> str:
    """Give the text of past logs; requests are seconds before the end."""
    found = PastLogs(
        since=NOW - timedelta(minutes=30),
        until=NOW,
        records=tuple(one.record for one in records),
        lines=more.pop("lines", len(records)),
        requests=tuple(sorted(round((NOW.timestamp() - one) * 1000) for one in requests)),
        events=more.pop("events", len(requests) + more.get("calls", 0)),
        **more,
    )
    document = past_document(found, records, worker="chat", session="data", stage="dev", asked="")
    assert html.render(document)
    drawn = text.render(document)
    assert max(map(len, drawn.split("\n"))) <= 100
    return drawn


def test_past_logs_have_the_last_lines_and_equal_exceptions_as_one_fold() -> None:
    """Title with counts, table oldest first, each exception once with how often and when it came last."""
    shown = past([thrown(30), record(20, "slow", "warn"), thrown(10), record(0)], [30, 10], lines=402)
    assert shown.startswith("Logs of chat: 2 requests, 2 errors in 30 minutes  session: data  stage: dev")
    assert "The last 4 of 402 lines, oldest first" in shown
    assert "  !  14:02:31.512  error  Room.add (kitchen)  TypeError: no length" in shown
    assert "  ~  14:02:21.512  warn   GET /kitchen        slow" in shown
    assert shown.count(": stack") == 1
    assert "TypeError in Room.add, 2 times, last at 14:02:31: stack" in shown
    assert "        at Room.add (index.js:14:19)  → cell [5], line 14" in shown
    assert shown.endswith("All lines: x = %durable logs chat · live: %durable logs chat --follow")


@pytest.mark.parametrize(
    ("requests", "more", "said"),
    [
        ([0.0] * 3, {}, "3 requests, 1 error"),
        ([], {"calls": 9}, "9 calls, 1 error"),
        ([0.0] * 3, {"calls": 1}, "3 requests, 1 call, 1 error"),
        ([], {"events": 2}, "2 events, 1 error"),
        ([], {}, "1 line, 1 error"),
    ],
)
def test_the_title_counts_what_ran(requests: list[float], more: dict[str, int], said: str) -> None:
    """Requests and calls, of each what there was; else alarms are events: never "0 requests" of what ran."""
    assert past([thrown(30)], requests, **more).startswith(f"Logs of chat: {said} in 30 minutes")


@pytest.mark.parametrize(
    ("requests", "drawn"), [(range(21), False), (range(0, 200, 20), False), (range(0, 1260, 10), True)]
)
def test_a_histogram_is_drawn_of_many_requests_in_a_long_time(requests: range, drawn: bool) -> None:  # noqa: FBT001
    """Only of more than 20 requests in more than 3 minutes is there one, with a column a minute and what it sums to."""
    shown = past([thrown(30)], list(map(float, requests)))
    assert ("Requests and errors" in shown) is drawn
    if drawn:
        rows = shown.split("\n")
        (requests_row,) = (row.strip() for row in rows if row.startswith("  requests"))
        (errors_row,) = (row for row in rows if row.startswith("  errors"))
        assert requests_row.endswith("126, at most 6 a minute")
        assert len(requests_row.split("  ")[1]) == 22
        assert errors_row.split()[-1] == "1"


def test_nothing_is_one_line_and_says_how_to_make_something() -> None:
    """Without a request there is the title and a command; where it is known why, that."""
    assert past([], []) == (
        "Logs of chat: nothing in 30 minutes  session: data  stage: dev\n"
        "No request came since 13:32 UTC. Send one: %durable fetch chat /"
    )
    assert past([], [], note="observability is off.").endswith("\n~ observability is off.")


def test_missing_lines_are_said_with_their_time_and_reason() -> None:
    """Each gap says between which times lines are missing, how many where that is known, and why."""
    gaps = (
        MissingLines(since=NOW - timedelta(seconds=10), until=NOW - timedelta(seconds=3), lost=None, why="it was so"),
        MissingLines(since=NOW, until=NOW, lost=1204, why="there were too many"),
    )
    shown = past([record(0)], [0], missing=gaps)
    assert "~ Lines are missing between 14:02:31 and 14:02:38: it was so." in shown
    assert "~ 1,204 events are missing at 14:02:41: there were too many." in shown


def live(records: list[LocatedRecord], **more: Any) -> str:
    """Give the text of a live tail with buttons."""
    fields = {"lines": len(records), "buttons": True, "since": NOW - timedelta(minutes=5), **more}
    found = LiveLogs(worker="chat", records=tuple(records), **fields)
    assert html.render(live_document(found))
    return text.render(live_document(found))


def test_live_logs_show_the_last_hundred_lines() -> None:
    """A live view has the last 100 lines and the counts of all; once ended it says from when to when it was."""
    records = [record(200 - n, f"line {n}") for n in range(150)]
    shown = live(records)
    assert shown.startswith("Logs of chat, since 13:57:41 UTC  shown: last 100 lines  lines: 150  errors: 0")
    assert "line 49" not in shown
    assert "line 50" in shown
    assert "interrupt" not in shown
    assert live(records, buttons=False).endswith("The interrupt of the kernel ends it.")
    ended = live(records, ended=NOW)
    assert ended.startswith("Logs of chat, from 2026-11-26 13:57:41 UTC to 14:02:41")
    assert ended.endswith("More: %durable logs chat --follow")


def test_fewer_lines_than_are_shown_are_not_called_the_last_hundred() -> None:
    """What is shown is said where it is not all that came."""
    assert live([record(1)]).startswith("Logs of chat, since 13:57:41 UTC  lines: 1  errors: 0")
    assert "shown: only errors  " in live([record(1)], only_errors=True)


def test_a_long_message_is_broken_and_its_line_breaks_are_kept() -> None:
    """In HTML 700 letters without a blank widen no table; the text has a message on one line, as its columns need."""
    found = LiveLogs(worker="chat", records=(record(2, "x" * 700), record(1, "one\ntwo <b>")), since=NOW, lines=2)
    drawn = html.render(live_document(found))
    cells = re.findall(r'<td style="[^"]*white-space:pre-wrap;overflow-wrap:anywhere;[^"]*">([^<]*)</td>', drawn)
    assert cells == ["x" * 700, "one\ntwo &lt;b&gt;"]
    assert "one two <b>" in live([record(1, "one\ntwo <b>")])


def test_a_live_tail_says_in_one_line_what_happened_to_it() -> None:
    """Lost lines, another version, a broken connection, a pause, and why it ended are one line or fact each."""
    gap = MissingLines(since=NOW - timedelta(seconds=9), until=NOW, lost=None, why="the connection broke")
    shown = live([record(1)], missing=(gap,), deployed=(NOW,), broken_since=NOW, waiting=1204)
    assert "paused: 1,204 lines wait" in shown
    assert "~ Lines are missing between 14:02:32 and 14:02:41: the connection broke." in shown
    assert "Worker chat was deployed anew: its lines from 14:02:41.512 on are of that version." in shown
    assert shown.endswith("~ The connection broke at 14:02:41; another is looked for.")
    assert "~ It ended at 14:02:41: session data was closed." in live([], ended=NOW, why="session data was closed")


def test_only_errors_are_shown_of_all_that_came() -> None:
    """The filter shows the last errors, those before it too, and says that it does; the counts stay those of all."""
    errors = (thrown(30), thrown(20))
    shown = live([record(9)], last_errors=errors, only_errors=True, lines=402, errors=2)
    assert "shown: only errors  lines: 402  errors: 2" in shown
    assert shown.count("Room.add (kitchen)") == 2
    assert "2 rows" not in shown
    assert "No error yet." in live([record(9)], only_errors=True)


@pytest.fixture
def chat(cloud: Path) -> nd.Session:
    """Deploy a Worker that logs."""
    del cloud
    session = nd.session("chat")
    nd.Worker("chat", script=WORKER)
    session.deploy(session.plan())
    return session


def test_the_verb_gives_a_frame_that_shows_itself(chat: nd.Session, ip: InteractiveShell) -> None:
    """`x = %durable logs chat` is a DataFrame of all lines; shown alone it is the view; a selection is plain."""
    chat.fetch("chat", "/a")
    deadline = time.monotonic() + 60
    while chat.logs("chat").empty:
        assert time.monotonic() < deadline
    ip.run_cell("x = %durable logs chat --since 1h --level log").raise_error()
    found = ip.user_ns["x"]
    assert isinstance(found, pd.DataFrame)
    assert found.message.tolist() == ["room /a"]
    drawn = found._repr_mimebundle_()
    assert "Logs of chat: 1 request, 0 errors in 1 hour" in drawn["text/plain"]
    assert "x = %durable logs chat --since 1h --level log" in drawn["text/plain"]
    assert not hasattr(found[found.level == "log"], "view")


def test_times_of_frames_are_plain_text_in_json(chat: nd.Session, ip: InteractiveShell) -> None:
    """`--json` of logs, and of objects, has each moment as every other verb writes it, and the frame's columns."""
    chat.fetch("chat", "/a")
    deadline = time.monotonic() + 60
    while chat.logs("chat").empty:
        assert time.monotonic() < deadline
    before = datetime.now(UTC)
    done = ip.run_cell("text = %durable logs chat --json\ntext")
    done.raise_error()
    (row,) = json.loads(done.result)
    assert tuple(row) == COLUMNS["logs"]
    assert datetime.fromisoformat(row["time"]) < before
    assert row["time"].endswith("+00:00")
    rows = [{"name": "a", "object_id": "b" * 64, "last_write": NOW, "stored": True, "stable_id": "rooms"}]
    (told,) = plain(frame("objects", rows))
    assert (told["last_write"], told["alarm"]) == ("2026-11-26T14:02:41.512000+00:00", None)


def test_following_shows_lines_as_they_come_and_ends(
    chat: nd.Session, ip: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a kernel lines are printed as they come, until it is ended; the API has no tail then."""
    options = SimpleNamespace(worker="chat", object=None, level=None)
    printed, asked, deadline = "", iter(range(3)), time.monotonic() + 60

    def ended() -> bool:
        nonlocal printed
        for n in asked:  # it is asked whether it is over only when it listens
            chat.fetch("chat", f"/{n}")
        printed += capsys.readouterr().out
        return all(f"log GET /{n} room /{n}" in printed for n in range(3)) or time.monotonic() > deadline

    verb.follow(chat, SimpleNamespace(options=options, ip=ip), ends=ended)
    assert [f"log GET /{n} room /{n}" in printed for n in range(3)] == [True, True, True]


class Kernel:
    """A shell with a kernel, as far as the verb asks."""

    kernel = object()


def test_following_in_a_kernel_replaces_one_output_at_most_twice_a_second(
    chat: nd.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One output is replaced, each time half a second apart at least; the interrupt ends it with the static form."""
    drawn: list[tuple[float, str]] = []

    class Handle:
        def update(self, view: Any) -> None:
            drawn.append((time.monotonic(), str(view)))

    def display(view: Any, *, replaceable: bool = False) -> Handle:
        assert replaceable
        drawn.append((time.monotonic(), str(view)))
        return Handle()

    monkeypatch.setattr(shells, "display", display)
    asking = threading.Thread(target=lambda: [chat.fetch("chat", f"/{n}") for n in range(20)])
    deadline = time.monotonic() + 60

    def ended() -> bool:
        if asking.ident is None:  # it is asked whether it is over only when it listens
            asking.start()
        if "lines: 20" in drawn[-1][1] or time.monotonic() > deadline:
            raise KeyboardInterrupt
        return False

    options = SimpleNamespace(worker="chat", object=None, level=None)
    verb.follow(chat, SimpleNamespace(options=options, ip=Kernel()), ends=ended)
    asking.join()
    assert "No line yet." in drawn[0][1]
    gaps = [b - a for (a, _), (b, _) in pairwise(drawn[:-1])]
    assert gaps
    assert min(gaps) >= OFTEN * 0.9
    assert "lines: 20" in drawn[-1][1]
    assert drawn[-1][1].startswith("Logs of chat, from ")


class Watched:
    """A live tail that a thread follows, and the pictures that it drew."""

    def __init__(self, session: nd.Session, worker: str = "chat") -> None:
        self.drawn: list[str] = []
        tail = session.tail(worker)
        tail.__enter__()
        self.logs = FollowedLogs(session, tail, asked_logs(), buttons=True)
        self.following = Following(self.logs, lambda document: self.drawn.append(text.render(document)))
        self.panel = FollowPanel(self.following)
        self.following.picture.show()
        self.following.start()

    def until(self, word: str) -> str:
        """Wait for a picture with a word."""
        ends = time.monotonic() + 60
        while word not in self.drawn[-1]:
            assert time.monotonic() < ends, self.drawn[-1]
            time.sleep(0.02)
        return self.drawn[-1]

    def end(self) -> str:
        """Wait for the end, and give the picture that stays."""
        assert self.following.wait(60)
        return self.drawn[-1]


def test_a_paused_tail_collects_and_says_how_many_wait(chat: nd.Session) -> None:
    """Pause keeps what is shown and counts what comes; going on shows it; what waits at the end is not lost."""
    watched = Watched(chat)
    chat.fetch("chat", "/a")
    watched.until("room /a")
    watched.panel.pause.click()
    assert watched.panel.pause.description == "Go on"
    chat.fetch("chat", "/b")
    assert "room /b" not in watched.until("paused: 1 line waits")
    watched.panel.pause.click()
    assert "paused" not in watched.until("room /b")
    watched.panel.pause.click()
    chat.fetch("chat", "/c")
    watched.until("paused: 1 line waits")
    watched.panel.stop.click()
    assert [one.disabled for one in watched.panel.widget.children] == [True] * 3
    stays = watched.end()
    assert stays.startswith("Logs of chat, from 2")
    assert "room /c" in stays
    assert "It ended" not in stays


@pytest.mark.parametrize("close", [nd.Session.close, lambda _: close_all()], ids=["session", "extension"])
def test_two_tails_go_on_beside_each_other_and_closing_the_session_ends_both(
    chat: nd.Session, close: Callable[[nd.Session], None]
) -> None:
    """Each shows what comes and is stopped alone; a session that is closed says so in the tails that are left."""
    first, second, third = Watched(chat), Watched(chat), Watched(chat)
    second.panel.errors.value = True
    chat.fetch("chat", "/a")
    assert "room /a" in first.until("lines: 1")
    assert "No error yet." in second.until("lines: 1")
    first.panel.stop.click()
    assert "It ended" not in first.end()
    chat.fetch("chat", "/b")
    second.until("lines: 2")
    third.until("lines: 2")  # each tail is told by itself: what is under way to one when it is closed never comes
    close(chat)
    for watched in (second, third):
        assert re.search(r"~ It ended at [\d:]+: (session chat was closed|the extension was unloaded)\.", watched.end())
    assert "room /b" in third.drawn[-1]


def test_a_worker_that_is_deployed_anew_or_deleted_is_said_in_one_line(chat: nd.Session) -> None:
    """The tail goes on over a deploy and says from which line on it is the new version; a deletion ends it."""
    watched = Watched(chat)
    chat.fetch("chat", "/a")
    watched.until("room /a")
    nd.Worker("chat", script=WORKER.replace('"room"', '"hall"'))
    chat.deploy(chat.plan())
    chat.fetch("chat", "/a")
    shown = watched.until("hall /a")
    assert shown.count("Worker chat was deployed anew: its lines from ") == 1
    asyncio.run(chat.adeploy(chat.plan(["chat"])))  # as a cell awaits it: on a loop that is not the tail's
    assert ": Worker chat was deleted." in watched.end()


@pytest.mark.thorough
def test_a_local_server_that_is_ended_is_said_and_not_started_again(home: Path) -> None:
    """A tail never starts what somebody ended; once a request does, it goes on and says what is missing."""
    del home
    session = nd.session("chat")
    nd.Worker("chat", script=WORKER)
    session.deploy(session.plan())
    watched = Watched(session)
    session.fetch("chat", "/a")
    watched.until("room /a")
    launch.stop()
    watched.until("~ The connection broke at ")
    session.fetch("chat", "/while")
    shown = watched.until("the connection broke.")
    assert "Lines are missing between " in shown
    session.fetch("chat", "/b")
    watched.until("room /b")
    launch.stop()
    assert re.search(r"~ It ended at [\d:]+: the local Cloudflare has ended; the next request starts it", watched.end())
    assert launch.status() is None
