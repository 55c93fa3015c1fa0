"""Logs of Workers as a session reads them, on the real local Cloudflare: past ones, live ones, those of one request."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sharing import kept_in

import notebook_do as nd
from notebook_do.errors import CommandError, TargetError
from notebook_do.live.fetching import request_id_of
from notebook_do.local.process import launch
from notebook_do.notebook.views import text
from notebook_do.notebook.views.logged import past_document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from notebook_do.live.logs import PastLogs

COLUMNS = {
    "time": "datetime64[ms, UTC]",
    **dict.fromkeys(
        ("level", "worker", "entrypoint", "object", "message", "exception", "stack", "request_id"), "string"
    ),
}
ROOMS = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  list() {
    console.log("2 rows");
    console.warn("slow query:", { ms: 26 });
  }
  add(text) {
    if (text.body.length > 100) throw new Error("too long");
  }
  fetch(request) {
    return this.add(request.headers);
  }
  async visit() {
    console.log("to", "garden");
    await this.env.ROOMS.getByName("garden").list();
    console.log("back");
  }
  async later() { await this.ctx.storage.setAlarm(Date.now() + 10); }
  alarm() { console.log("the alarm rings"); }
  keep(value) { this.value = value; }
  kept() { return this.value ?? null; }
}
export default {
  async fetch(request, env, ctx) {
    const path = new URL(request.url).pathname;
    console.log("room", path);
    const room = env.ROOMS.getByName("kitchen");
    if (path === "/list") await room.list();
    if (path === "/add") await room.fetch("http://room/");
    if (path === "/later") await room.later();
    if (path === "/many") for (let n = 0; n < 1000; n++) console.log("line", n);
    if (path === "/long") console.log("x".repeat(100_000));
    if (path === "/odd") console.log("\\u001b[31mred\\u202e", [1, { a: null }]);
    if (path === "/quiet") return new Response("quiet");
    if (path === "/slow") await scheduler.wait(60_000);
    return new Response("ok");
  },
  scheduled() { console.log("tick"); },
};
"""


@pytest.fixture
def chat(cloud: Path) -> nd.Session:
    """Deploy a Worker with rooms."""
    del cloud
    session = nd.session("chat")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room")
    nd.Worker("chat", script=ROOMS, bindings={"ROOMS": rooms}, crons=["0 0 1 1 *"])
    session.deploy(session.plan())
    return session


def until(logs: Callable[[], pd.DataFrame], *words: str) -> pd.DataFrame:
    """Give the frame once there is a message with each word: what a request called is told apart, in any order."""
    ends = time.monotonic() + 60
    while True:
        found = logs()
        told = [f"{one.entrypoint}: {one.message}" for one in found.itertuples()]
        if all(any(word in one for one in told) for word in words):
            return found
        assert time.monotonic() < ends, found
        time.sleep(0.05)


def test_logs_are_a_frame_with_fixed_columns_also_when_empty(chat: nd.Session) -> None:
    """Columns, their order and dtypes are the same with and without rows; what is not told is NA."""
    empty = chat.logs("chat")
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == COLUMNS
    assert (len(empty), empty.attrs["missing"], empty.attrs["more"]) == (0, [], False)
    chat.fetch("chat", "/list")
    found = until(lambda: chat.logs("chat"), "room /list", "slow query")
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == COLUMNS
    rows = found[["level", "worker", "entrypoint", "object", "message"]].to_dict("records")
    assert [(*tuple(row.values())[:3], row["message"]) for row in rows] == [
        ("log", "chat", "GET /list", "room /list"),
        ("log", "chat", "Room.list", "2 rows"),
        ("warn", "chat", "Room.list", 'slow query: {"ms": 26}'),
    ]
    assert found.object.isna().tolist() == [True, False, False]
    assert found.object.tolist()[1:] == ["kitchen", "kitchen"]
    assert found.exception.isna().all()


def test_logs_are_filtered_by_time_object_level_and_limit(chat: nd.Session) -> None:
    """`level` takes what is above it, `object` a name or id, `limit` the newest; wrong words are one line."""
    chat.fetch("chat", "/list")
    chat.fetch("chat", "/add")
    until(lambda: chat.logs("chat"), "room /list", "slow query", "GET /add: TypeError", "Room.fetch: TypeError")
    assert set(chat.logs("chat", level="warn").level) == {"warn", "error"}
    of_room = chat.logs("chat", object="kitchen")
    assert set(of_room.entrypoint) == {"Room.list", "Room.fetch"}
    (id_,) = chat.objects("rooms").object_id
    assert chat.logs("chat", object=id_).equals(of_room)
    newest = chat.logs("chat", limit=1)
    assert (len(newest), newest.attrs["more"]) == (1, True)
    assert len(chat.logs("chat", since=datetime.now(UTC) + timedelta(seconds=-0.001))) == 0
    assert len(chat.logs("chat", since=timedelta(hours=1))) == len(chat.logs("chat", since="1h"))
    for wrong, said in (
        ({"since": "soon"}, "since is a time such as 30m, 2h or 7d, not 'soon'"),
        ({"since": datetime(2026, 1, 1)}, "since is a datetime without a time zone"),  # noqa: DTZ001 - the mistake
        ({"level": "fatal"}, "level 'fatal' is none; known are debug, info, log, warn, error"),
        ({"limit": 0}, "limit is a whole number from 1 on, not 0"),
    ):
        with pytest.raises(CommandError, match=said):
            chat.logs("chat", **wrong)
    with pytest.raises(CommandError, match=r"no Worker chad is deployed; did you mean chat\?"):
        chat.logs("chad")


def test_an_exception_has_its_stack_with_the_line_of_the_source(chat: nd.Session) -> None:
    """An exception is a row of its own, of the object and of the Worker that asked it, its frames led to the source."""
    chat.fetch("chat", "/add")
    found = until(lambda: chat.logs("chat", level="error"), "Room.fetch: TypeError")
    of_room = found[found.entrypoint == "Room.fetch"].iloc[0]
    assert of_room.exception == "TypeError"
    assert of_room.message == "TypeError: Cannot read properties of undefined (reading 'length')"
    assert of_room.stack.splitlines() == [
        "at Room.add (index.js:8:19)  → line 8 of the script",
        "at Room.fetch (index.js:11:17)  → line 11 of the script",
    ]


def test_alarms_and_crons_have_their_lines(chat: nd.Session) -> None:
    """Lines of an alarm are told as the class's, with the object; those of a cron trigger as `scheduled`."""
    chat.fetch("chat", "/later")
    found = until(lambda: chat.logs("chat"), "the alarm rings")
    row = found[found.message == "the alarm rings"].iloc[0]
    assert (row.entrypoint, row.object) == ("Room.alarm", "kitchen")
    target = launch.status(chat.connecting._local.data)
    asked = f"{target.api}/accounts/{target.account_id}/local/scripts/chat-dev/cron"
    signed = {"Authorization": f"Bearer {target.token()}"}
    httpx.post(asked, json={"cron": "0 0 1 1 *"}, headers=signed, trust_env=False).raise_for_status()
    found = until(lambda: chat.logs("chat"), "tick")
    assert found[found.message == "tick"].entrypoint.tolist() == ["scheduled"]


def test_a_thousand_lines_and_a_long_line_are_all_there(chat: nd.Session) -> None:
    """A request that logs a thousand lines has all of them, in order; a line of 100,000 letters is whole."""
    chat.fetch("chat", "/many")
    chat.fetch("chat", "/long")
    found = until(lambda: chat.logs("chat", limit=5000), "line 999", "xxxxx")
    lines = [text for text in found.message if text.startswith("line ")]
    assert lines == [f"line {n}" for n in range(1000)]
    assert found.message.str.len().max() == 100_000


def test_what_a_terminal_would_obey_is_written_out(chat: nd.Session) -> None:
    """The frame has a message as it is; its text shows control and bidirectional characters escaped."""
    chat.fetch("chat", "/odd")
    found = until(lambda: chat.logs("chat"), "red")
    assert found.message.iloc[-1] == '\x1b[31mred\u202e [1, {"a": null}]'
    assert "\\x1b[31mred\\u202e" in found.to_string()
    assert "\x1b" not in found.to_string()


def test_a_request_has_its_own_lines_and_those_of_the_objects_that_it_reached(chat: nd.Session) -> None:
    """What one request logged is found by its id, with the exception's place; a quiet one logged nothing."""
    answer = chat.fetch("chat", "/list", follow=True)
    chat.fetch("chat", "/quiet")
    found, records = chat.request_logs(str(request_id_of(answer)), wait=50)
    assert found.complete
    assert [(one.record.entrypoint, one.record.object, one.record.message) for one in records] == [
        ("GET /list", None, "room /list"),
        ("Room.list", "kitchen", "2 rows"),
        ("Room.list", "kitchen", 'slow query: {"ms": 26}'),
    ]
    assert {one.record.request_id for one in records} == {request_id_of(answer)}
    failed = chat.fetch("chat", "/add", follow=True)
    assert failed.status_code == 500
    _, records = chat.request_logs(str(request_id_of(failed)), wait=50)
    thrown = [one for one in records if one.record.exception and one.record.entrypoint == "Room.fetch"]
    assert [one.stack.place for one in thrown if one.stack] == ["line 8 of the script of Worker chat"]


def test_a_request_without_an_answer_tells_what_it_logged(chat: nd.Session) -> None:
    """The error of a request that was not answered in time has its id, by which its lines so far are found."""
    chat.fetch("chat", "/quiet", follow=True)  # the first that is followed starts the Worker anew, before it is asked
    with pytest.raises(TargetError, match=r"has not answered in 1\.5 s") as raised:
        chat.fetch("chat", "/slow", timeout=1.5, follow=True)
    ends = time.monotonic() + 60
    while not (found := chat.request_logs(str(request_id_of(raised.value)), wait=0.2))[1]:
        assert time.monotonic() < ends
    assert found[0].known
    assert [one.record.message for one in found[1]][:1] == ["room /slow"]


def test_a_tail_yields_records_as_they_come_and_ends_cleanly(chat: nd.Session) -> None:
    """A tail yields what is logged from its start on; after its end the API knows no tail of the Worker any more."""
    chat.fetch("chat", "/quiet")
    with chat.tail("chat") as tail:
        chat.fetch("chat", "/list")
        found = [next(iter(tail)).message]
        while len(found) < 3 + ("room /quiet" in found):  # its event may have been under way at the start
            record = tail.next(60)
            assert record is not None, found
            found.append(record.message)
        assert sorted({*found} - {"room /quiet"}) == ["2 rows", "room /list", 'slow query: {"ms": 26}']
        late = tail.next(0.01)
        assert late is None or late.message == "room /quiet" not in found
        assert tail.missing == []
    assert list(tail) == []
    target = launch.status(chat.connecting._local.data)
    asked = f"{target.api}/accounts/{target.account_id}/workers/scripts/chat-dev/tails"
    signed = {"Authorization": f"Bearer {target.token()}"}
    assert httpx.get(asked, headers=signed, trust_env=False).json()["result"] is None


def test_the_tail_of_a_deleted_worker_is_not_one_of_the_next_of_its_name(cloud: Path) -> None:
    """Whether somebody listens to it or never came, the API knows no tail of a Worker that is deployed anew."""
    del cloud
    session = nd.session("talks")
    nd.Worker("talks", script='export default { fetch() { console.log("said"); return new Response("ok"); } };')
    session.deploy(session.plan())
    target = launch.status(session.connecting._local.data)
    scripts = f"{target.api}/accounts/{target.account_id}/workers/scripts/talks-dev"
    signed = {"Authorization": f"Bearer {target.token()}"}
    with session.tail("talks") as tail:
        httpx.post(f"{scripts}/tails", headers=signed, trust_env=False).raise_for_status()
        assert httpx.get(f"{scripts}/tails", headers=signed, trust_env=False).json()["result"] is not None
        httpx.delete(f"{scripts}?force=true", headers=signed, trust_env=False).raise_for_status()
        session.deploy(session.plan())
        assert httpx.get(f"{scripts}/tails", headers=signed, trust_env=False).json()["result"] is None
        session.fetch("talks", "/")
        until(lambda: session.logs("talks"), "said")
        assert tail.next(0.01) is None


def test_a_tail_that_breaks_comes_back_and_says_what_is_missing(chat: nd.Session) -> None:
    """After the websocket broke another tail goes on; lines of the time between are said to be missing."""
    with chat.tail("chat") as tail:
        target = launch.status(chat.connecting._local.data)
        asked = f"{target.api}/accounts/{target.account_id}/workers/scripts/chat-dev/tails"
        signed = {"Authorization": f"Bearer {target.token()}"}
        httpx.delete(f"{asked}/{tail._tail['id']}", headers=signed, trust_env=False).raise_for_status()
        ends = time.monotonic() + 60
        while (record := tail.next(0.5)) is None:
            assert time.monotonic() < ends
            if tail.missing:  # it came back: another tail listens
                chat.fetch("chat", "/quiet")
        assert record.message == "room /quiet"
        assert [one.why for one in tail.missing] == ["the connection broke"]


def test_secrets_of_a_request_are_in_no_log_of_ours(chat: nd.Session) -> None:
    """A secret in a header or query of a request is in no record, frame or file of the local Cloudflare."""
    planted = "planted-8d1f"
    headers = {"authorization": planted, "cookie": f"sid={planted}", "x-key": planted}
    answer = chat.fetch("chat", f"/list?key={planted}", headers=headers, follow=True)
    found = until(lambda: chat.logs("chat"), "room /list", "slow query")
    assert planted not in found.to_csv()
    _, records = chat.request_logs(str(request_id_of(answer)), wait=50)
    assert records
    assert planted not in repr(records)
    data: Any = chat.connecting._local.data
    chat.logs("chat")
    holds = []
    for path in kept_in(data):
        with contextlib.suppress(FileNotFoundError):  # what the running server is done with goes away meanwhile
            if planted.encode() in path.read_bytes():
                holds.append(path.name)
    assert holds == []


def test_a_call_has_the_lines_of_its_method_and_of_what_that_called(chat: nd.Session) -> None:
    """What a call from Python logged is found by its id, as lines of the method, with those of other objects."""
    called = chat.object("rooms", "kitchen").called("list", follow=True)
    found, records = chat.request_logs(called.request, wait=50)
    assert found.complete
    assert [(one.record.entrypoint, one.record.object, one.record.message) for one in records] == [
        ("Room.list", "kitchen", "2 rows"),
        ("Room.list", "kitchen", 'slow query: {"ms": 26}'),
    ]
    nested = chat.object("rooms", "kitchen").called("visit", follow=True)
    found, records = chat.request_logs(nested.request, wait=50)
    assert found.complete
    assert [(one.record.object, one.record.message) for one in records] == [
        ("kitchen", "to garden"),
        ("garden", "2 rows"),
        ("garden", 'slow query: {"ms": 26}'),
        ("kitchen", "back"),
    ]
    thrown = chat.object("rooms", "kitchen").called("add", {}, follow=True)
    _, records = chat.request_logs(thrown.request, wait=50)
    (error,) = (one for one in records if one.record.exception)
    assert error.stack
    assert (error.record.entrypoint, error.stack.place) == ("Room.add", "line 8 of the script of Worker chat")
    assert "__notebook_do" not in chat.logs("chat").to_csv()


def test_a_call_from_python_is_followed_only_where_that_is_asked(chat: nd.Session) -> None:
    """One rule for fetch and call: unasked the running process stays, and the exception has the object's own stack."""
    chat.fetch("chat", "/quiet")
    room = chat.object("rooms", "kitchen")
    room.call("keep", 7)
    called = room.called("list")
    with pytest.raises(nd.JSError, match="Cannot read properties of undefined") as raised:
        room.call("add", {})
    assert "at Room.add (index.js:8:" in str(raised.value.stack)
    assert room.call("kept") == 7, "the process that holds it runs on"
    assert not chat.request_logs(called.request, wait=0.5)[0].known
    assert room.called("list", follow=True).value() is None
    assert room.call("kept", follow=True) is None, "the first one that is followed begins the process anew"


def test_calls_from_a_notebook_are_counted_beside_requests(chat: nd.Session) -> None:
    """Each call of a method counts once, quiet or not; what a request or a method called does not, nor does a look."""
    room = chat.object("rooms", "kitchen")
    for method in ("list", "visit", "list"):
        room.call(method)
    room.info()
    shown = _title(chat, lambda found: found.calls == 3)
    assert shown.startswith("Logs of chat: 3 calls, 0 errors in 1 hour")
    chat.fetch("chat", "/list")
    chat.fetch("chat", "/add")
    shown = _title(chat, lambda found: len(found.requests) == 2 and found.events == 8)
    assert shown.startswith("Logs of chat: 2 requests, 3 calls, 2 errors in 1 hour")


def _title(session: nd.Session, there: Callable[[PastLogs], bool]) -> str:
    """Give the view of the logs once what ran is told."""
    ends = time.monotonic() + 60
    while not there((looked := session.past_logs("chat", since="1h"))[0]):
        assert time.monotonic() < ends, looked[0]
        time.sleep(0.05)
    return text.render(past_document(*looked, worker="chat", session="chat", stage="dev", asked=""))
