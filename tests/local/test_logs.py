"""What Workers logged is kept, also over restarts; what a followed request did is told apart from all others."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect

from notebook_do.local.api.telemetry import trigger_of
from notebook_do.local.runtime import events
from notebook_do.local.runtime.stacks import SourceMap
from notebook_do.local.services import logs as store
from notebook_do.local.services.logs import LogStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

NS = "0" * 31 + "4"
ROOMS = """
import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  async say(word) {
    console.log("say", word);
    await scheduler.wait(20);
    const other = this.env.ROOM.getByName(word.startsWith("own") ? `${word} leaf` : "other");
    await other.leaf(word);
  }
  leaf(word) { console.warn("leaf", word); }
  fetch(request) { console.log("object", new URL(request.url).pathname); throw new RangeError("no such room"); }
}
export default {
  async fetch(request, env, ctx) {
    const word = new URL(request.url).pathname.slice(1);
    console.log("top", word);
    if (word === "slow") await scheduler.wait(600_000);
    if (word === "fails") await env.ROOM.getByName("kitchen").fetch("http://room/x");
    await env.ROOM.getByName(word.startsWith("own") ? word : "kitchen").say(word);
    return new Response("ok");
  },
};
"""
HOST = {
    "hosts": {"Room": NS},
    "bindings": ({"type": "durable_object_namespace", "name": "ROOM", "class_name": "Room"},),
}


def lines_of(events: list[dict[str, Any]]) -> list[str]:
    """Give what was logged, in the order of the events."""
    return [" ".join(map(str, log["message"])) for one in events for log in one["logs"]]


async def kept(stage: Any, script: str) -> list[dict[str, Any]]:
    """Give what is kept of a Worker by now."""
    await stage.runtime.events.settled()
    return list(stage.runtime.events.logs.read(script, 0, 10**15).events)


async def until_kept(stage: Any, script: str, word: str) -> list[dict[str, Any]]:
    """Give what is kept of a Worker, once it has logged a word."""
    async with asyncio.timeout(60):
        while word not in " ".join(lines_of(found := await kept(stage, script))):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.02)
    return found


def test_events_are_kept_when_nobody_listens_and_after_a_restart(play: Callable[..., None]) -> None:
    """Each event is kept with its lines, also when nobody listens; a runtime that is started again still has it."""

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        async with stage.running():
            await stage.text("rooms", "/one")
            found = await until_kept(stage, "rooms", "top one")
            assert sorted(lines_of(found)) == ["leaf one", "say one", "top one"]
        async with stage.running():
            assert sorted(lines_of(await kept(stage, "rooms"))) == ["leaf one", "say one", "top one"]

    play(story, running=False, listening=lambda: False)


def test_lines_that_are_being_handed_over_are_waited_for(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a busy machine takes to receive them, within reason: whoever reads meanwhile has them."""
    real, under_way = events.read_body, asyncio.Event()

    async def late(reader: asyncio.StreamReader, length: int) -> AsyncIterator[tuple[bytes, bool]]:
        async for piece, more in real(reader, length):
            yield piece, more
            if b'"items"' not in piece:  # which has what is told to who listens
                under_way.set()
                await asyncio.sleep(0.7)

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        await stage.text("rooms", "/own")
        await under_way.wait()
        assert sorted(lines_of(await kept(stage, "rooms"))) == ["leaf own", "say own", "top own"]

    monkeypatch.setattr(events, "read_body", late)
    play(story, listening=lambda: False)


def test_headers_and_queries_are_not_kept(play: Callable[..., None]) -> None:
    """What a request carries in its headers and query is on no disk: only its method, path and ray are."""

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        await stage.text("rooms", "/one?key=planted", headers={"authorization": "planted", "cookie": "planted"})
        await until_kept(stage, "rooms", "top one")
        files = [path for path in stage.data.rglob("*") if path.is_file()]
        assert not [path.name for path in files if b"planted" in path.read_bytes()]

    play(story, listening=lambda: False)


async def followed_at_once(stage: Any, words: list[str]) -> list[Any]:
    """Send requests at once, others beside them; give what is known of each at its end."""
    ids = [f"d0d0{number:012x}" for number in range(len(words))]
    await asyncio.gather(
        *(
            stage.text("rooms", f"/{word}", headers={"notebook-do-request": one})
            for word, one in zip(words, ids, strict=True)
        ),
        *(stage.text("rooms", f"/own-beside{n}") for n in range(8)),
    )
    found = [await stage.runtime.events.followed.read(one, 60) for one in ids]
    assert all(one.complete for one in found)
    return found


def test_requests_that_run_at_once_keep_their_lines_apart(play: Callable[..., None]) -> None:
    """A followed request has its own lines and those of every object that it reached, however many run beside it."""

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        await stage.text("rooms", "/warm")
        words = [f"own{number}" for number in range(12)]
        for word, found in zip(words, await followed_at_once(stage, words), strict=True):
            events = stage.runtime.events.followed.events(found)
            assert lines_of(events) == [f"top {word}", f"say {word}", f"leaf {word}"]
            assert not any(one["shared"] for one in events)
            assert [one["event"].get("rpcMethod") for one in events] == [None, "say", "leaf"]

    play(story)


def test_calls_that_run_in_one_object_at_once_say_that_their_lines_are_mixed(play: Callable[..., None]) -> None:
    """Of calls in one object at once workerd tells lines as those of the last one: each call that is followed says so.

    No line is lost: together the requests have all of them.
    """

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        await stage.text("rooms", "/warm")
        words = [f"word{number}" for number in range(12)]
        events = [one.to_json() for each in await followed_at_once(stage, words) for one in each.invocations.values()]
        assert sorted(lines_of(events)) == sorted(f"{what} {word}" for word in words for what in ("top", "say", "leaf"))
        mixed = [one for one in events if one["event"].get("rpcMethod") == "say" and len(one["logs"]) != 1]
        assert mixed
        assert all(one["shared"] for one in mixed)

    play(story)


def test_what_a_request_logged_so_far_is_known_before_its_end(play: Callable[..., None]) -> None:
    """A request that does not answer has logged something: that is told while it still runs."""

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        one = "d0d0" + "a" * 12
        asking = asyncio.create_task(stage.call("rooms", "/slow", headers={"notebook-do-request": one}))
        followed = stage.runtime.events.followed
        async with asyncio.timeout(60):
            while not lines_of(followed.events(await followed.read(one, 0.05))):
                pass
        found = await followed.read(one, 0.3)
        assert not found.complete
        assert lines_of(followed.events(found)) == ["top slow"]
        asking.cancel()

    play(story)


def test_an_exception_of_an_object_has_its_own_stack(play: Callable[..., None]) -> None:
    """The exception of an object that answers a request is told with the object's stack, and the caller's beside it."""

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        one = "d0d0" + "b" * 12
        await stage.call("rooms", "/fails", headers={"notebook-do-request": one})
        found = await stage.runtime.events.followed.read(one, 60)
        thrown = [(each.entrypoint, error) for each in found.invocations.values() for error in each.exceptions]
        assert {where: error["message"] for where, error in thrown} == {None: "no such room", "Room": "no such room"}
        assert "at Room.fetch (index.js:11:" in next(error["stack"] for where, error in thrown if where == "Room")

    play(story)


def test_the_ring_drops_the_oldest_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a script the last events are kept; a look further back says that the ring dropped some."""
    monkeypatch.setattr(store, "MOST_EVENTS", 100)
    ring = LogStore(tmp_path / "logs.sqlite")
    for moment in range(250):
        ring.keep([event("a", moment), event("b", moment)] if moment < 50 else [event("a", moment)])
    a, b = ring.read("a", 0, 1000), ring.read("b", 0, 1000)
    assert [one["time"] for one in a.events] == list(range(150, 250))
    assert [(one.why, one.first, one.last) for one in a.missing] == [("dropped", 0, 150)]
    assert (len(b.events), b.missing) == (50, ())
    assert ring.read("a", 160, 1000).missing == ()
    ring.close()


def test_events_that_were_too_many_are_counted(tmp_path: Path) -> None:
    """Events that were not reported, as they were too many, are counted; one load is one gap."""
    ring = LogStore(tmp_path / "logs.sqlite", clock=lambda: 1.0)
    ring.keep([event("a", 900), {"script": "a", "lost": 40}])
    ring.keep([event("a", 950), {"script": "a", "lost": 2}])
    assert [(one.why, one.lost, one.first) for one in ring.read("a", 0, 2000).missing] == [("too many", 42, 900)]
    ring.close()


def test_a_store_that_was_not_closed_says_that_lines_may_be_missing(tmp_path: Path) -> None:
    """After kill -9 what was kept is there, and a gap from the last event on says that the last ones may not be."""
    ring = LogStore(tmp_path / "logs.sqlite", clock=lambda: 1.0)
    ring.keep([event("a", 900)])
    again = LogStore(tmp_path / "logs.sqlite", clock=lambda: 5.0)
    found = again.read("a", 0, 9000)
    assert [one["time"] for one in found.events] == [900]
    assert [(one.why, one.first, one.last) for one in found.missing] == [("killed", 900, 5000)]
    again.close()
    closed = LogStore(tmp_path / "logs.sqlite")
    assert len(closed.read("a", 0, 9000).missing) == 1
    closed.close()
    ring._db.close()


def event(script: str, moment: int) -> dict[str, Any]:
    """Give an event as `system.js` tells it."""
    return {
        "script": script,
        "version": "1",
        "time": moment,
        "outcome": "ok",
        "event": None,
        "logs": [],
        "exceptions": [],
    }


def test_a_source_map_leads_to_the_lines_of_the_sources() -> None:
    """A place in a module leads to the one in its source, from the last segment before it; none before the first."""
    # Lines 1 and 3 of the module are lines 1 and 12 of `b.ts`, as esbuild writes maps; line 2 has no source.
    text = b'{"version": 3, "sources": ["a.ts", "b.ts"], "names": [], "mappings": "ACAA,IAAI;;EAWF"}'
    read = SourceMap(text)
    assert read.find(1, 1) == ("b.ts", 1, 1)
    assert read.find(1, 9) == ("b.ts", 1, 5)
    assert read.find(2, 1) is None
    assert read.find(3, 3) == ("b.ts", 12, 3)
    assert read.find(3, 1) is None
    assert read.find(9, 1) is None


def test_what_was_logged_last_outlives_a_deploy(play: Callable[..., None]) -> None:
    """The lines of a request that was answered just before its Worker is replaced are kept."""

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        for number in range(5):
            await stage.text("rooms", f"/own{number}")
            await stage.deploy("rooms", f"{ROOMS}// {number}", **HOST)
        lines = lines_of(await kept(stage, "rooms"))
        assert sorted(lines) == sorted(f"{what} own{n}" for n in range(5) for what in ("top", "say", "leaf"))

    play(story, listening=lambda: False)


def test_a_deleted_worker_leaves_no_lines(play: Callable[..., None]) -> None:
    """Not even those that its process had not handed over yet: another Worker of its name begins anew."""

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        await stage.text("rooms", "/one")
        del stage.workers["rooms"]
        await stage.runtime.changed(["rooms"])
        assert stage.runtime._by_script == {}
        assert await kept(stage, "rooms") == []

    play(story, listening=lambda: False)


def test_after_kill_9_what_was_kept_is_there_and_the_gap_is_said(play: Callable[..., None]) -> None:
    """A process that is killed takes no line along that was kept; that its last ones may be missing is said."""

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        await stage.text("rooms", "/own")
        await until_kept(stage, "rooms", "top own")
        island = stage.island("rooms")
        os.kill(stage.pid("rooms"), signal.SIGKILL)
        await island.gone.wait()
        await stage.text("rooms", "/own-again")
        assert "top own" in lines_of(await until_kept(stage, "rooms", "top own-again"))
        found = stage.runtime.events.logs.read("rooms", 0, 10**15)
        assert [one.why for one in found.missing] == ["crashed"]

    play(story, listening=lambda: False)


HANDLERS = """
import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  fetch() {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(socket, text) { console.log("heard", text); socket.send("ok"); }
  webSocketClose(socket, code) { console.log("closed", code); }
}
export default {
  fetch(request, env) { return env.ROOM.getByName("kitchen").fetch(request); },
  queue(batch) { for (const message of batch.messages) console.log("took", message.body); },
  scheduled(event) { console.log("tick", event.cron); },
};
"""


def test_handlers_of_websockets_queues_and_crons_have_their_lines(play: Callable[..., None]) -> None:
    """What no request called is kept too, each kind told by its event."""

    async def story(stage: Any) -> None:
        stage.put("rooms", HANDLERS, **HOST)
        async with connect(f"ws://{stage.host('rooms')}/", host="127.0.0.1", port=stage.port) as socket:
            await socket.send("hello")
            assert await socket.recv() == "ok"
        await stage.runtime.run_cron("rooms", "* * * * *")
        body = base64.b64encode(b'"parcel"').decode()
        message = {"id": "1", "timestamp": 0, "attempts": 1, "kind": "json", "body": body}
        await stage.runtime.run_queue("rooms", "jobs", [message])
        for word in ("heard hello", "closed", "tick * * * * *", "took parcel"):
            await until_kept(stage, "rooms", word)
        events = await kept(stage, "rooms")
        kinds = {" ".join(map(str, log["message"])): trigger_of(one)[0] for one in events for log in one["logs"]}
        assert kinds["heard hello"] == "websocket"
        assert kinds["tick * * * * *"] == "cron"
        assert kinds["took parcel"] == "queue"

    play(story, listening=lambda: False)


def test_a_worker_that_runs_is_started_anew_once_to_be_followed(play: Callable[..., None]) -> None:
    """Only who is followed pays for a trace: the first followed request starts a process with one, later ones stay.

    A process that somebody uses is not ended for that: its requests are told of once it was started anew.
    """

    async def story(stage: Any) -> None:
        stage.put("rooms", ROOMS, **HOST)
        followed = {"headers": {"notebook-do-request": "d0d0" + "c" * 12}}
        await stage.text("rooms", "/own")
        plain = stage.island("rooms")
        assert not plain.traced
        busy = asyncio.create_task(stage.call("rooms", "/slow"))
        await until_kept_in(plain)
        await stage.text("rooms", "/own", **followed)
        assert stage.island("rooms") is plain
        busy.cancel()
        while plain.in_use:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
        await stage.text("rooms", "/own", **followed)
        traced = stage.island("rooms")
        assert traced.traced
        await stage.text("rooms", "/own", **followed)
        assert stage.island("rooms") is traced
        await stage.deploy("rooms", f"{ROOMS}//", **HOST)
        await stage.text("rooms", "/own")
        assert stage.island("rooms").traced

    async def until_kept_in(island: Any) -> None:
        while not island.in_use:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)

    play(story, listening=lambda: False)
