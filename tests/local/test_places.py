"""At most so many workerd processes run at once as a cap says, and what the cap ends loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from sharing import until
from websockets.asyncio.client import connect

from notebook_do.local.objects import stored
from notebook_do.local.runtime import places

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

HELLO = 'export default { fetch() { return new Response("hello"); } };'
COUNTER = """
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async increment() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
  async ring(delay) { await this.ctx.storage.setAlarm(Date.now() + delay); return "set"; }
  async alarm() { console.log("rang"); }
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(socket, message) { socket.send(message); }
}
export default {
  async fetch(request, env) {
    const stub = env.COUNTER.getByName("a");
    if (request.headers.get("upgrade") === "websocket") return stub.fetch(request);
    const delay = new URL(request.url).searchParams.get("ring");
    return new Response(String(delay ? await stub.ring(Number(delay)) : await stub.increment()));
  },
};
"""
BOUND = ({"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"},)


def counters(stage: Any, count: int) -> list[str]:
    """Deploy counters that are not tied to each other; give their names."""
    names = [f"counter-{number}" for number in range(count)]
    for number, name in enumerate(names):
        stage.put(name, COUNTER, hosts={"Counter": f"{number:032x}"}, bindings=BOUND)
    return names


def running(stage: Any) -> set[str]:
    """Name the Workers whose processes run and are not about to end."""
    return {name for name, island in stage.runtime._by_script.items() if not island.closing.is_set()}


def test_the_least_recently_used_process_goes(play: Callable[..., None]) -> None:
    """Where one more is to start than the cap allows, the one called longest ago ends, and keeps its data."""

    async def story(stage: Any) -> None:
        names = counters(stage, 4)
        for name in names[:3]:
            assert await stage.text(name) == "1"
        assert await stage.text(names[0]) == "2"
        assert await stage.text(names[3]) == "1"
        assert running(stage) == {names[0], names[2], names[3]}
        assert await stage.text(names[1]) == "2"
        assert running(stage) == {names[0], names[1], names[3]}

    play(story, most=3)


def test_many_called_workers_stay_under_the_cap(play: Callable[..., None]) -> None:
    """However many Workers are called at once, each answers, and what runs afterwards is within the cap."""

    async def story(stage: Any) -> None:
        names = counters(stage, 10)
        for wanted in ("1", "2"):
            assert await asyncio.gather(*map(stage.text, names)) == [wanted] * len(names)
            await until(lambda: len(running(stage)) <= 3)

    play(story, most=3)


def test_a_request_inside_keeps_its_process(play: Callable[..., None]) -> None:
    """Processes with requests inside are not ended for another: more than the cap run until they are over."""
    slow = """
    export default { async fetch(request) {
      if (request.url.endsWith("/go")) { globalThis.gone = true; return new Response("gone"); }
      while (!globalThis.gone) await scheduler.wait(10);
      return new Response("slow");
    } };
    """

    async def story(stage: Any) -> None:
        for name in ("one", "two"):
            stage.put(name, slow)
        stage.put("page", HELLO)
        asked = [asyncio.create_task(stage.text(name)) for name in ("one", "two")]
        for name in ("one", "two"):
            while not (island := stage.runtime._by_script.get(name)) or island.process is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await stage.text("page") == "hello"
        assert not any(task.done() for task in asked)
        assert [await stage.text(name, "/go") for name in ("one", "two")] == ["gone", "gone"]
        assert await asyncio.gather(*asked) == ["slow", "slow"]
        await until(lambda: len(running(stage)) == 1)

    play(story, most=1)


def test_a_websocket_keeps_its_process(play: Callable[..., None]) -> None:
    """A process with an open websocket, hibernating or not, is not ended for another one."""

    async def story(stage: Any) -> None:
        names = counters(stage, 3)
        address = {"uri": f"ws://{stage.host(names[0])}/", "host": "127.0.0.1", "port": stage.port, "proxy": None}
        async with connect(**address) as socket:
            await socket.send("one")
            assert await socket.recv() == "one"
            pid = stage.pid(names[0])
            for name in (*names[1:], *names[1:]):
                await stage.text(name)
            await socket.send("two")
            assert await socket.recv() == "two"
            assert stage.pid(names[0]) == pid
            assert len(running(stage)) == 2

    play(story, most=2)


def test_a_near_alarm_keeps_its_process(play: Callable[..., None]) -> None:
    """A process whose alarm is due within seconds stays, and rings in time."""

    async def story(stage: Any) -> None:
        names = counters(stage, 3)
        await stage.text(names[0], "/?ring=9000")
        pid = stage.pid(names[0])
        for name in (*names[1:], *names[1:]):
            await stage.text(name)
        assert stage.pid(names[0]) == pid
        await stage.text(names[0], "/?ring=100")
        await stage.logged(names[0], "rang")

    play(story, most=2)


def test_an_alarm_that_is_running_keeps_its_process(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm handler at work is not cut off for another process: it comes to its end, once."""
    slow = 'console.log("began"); await new Promise((done) => { this.go = done; }); console.log("rang");'

    async def story(stage: Any) -> None:
        source = COUNTER.replace('console.log("rang");', slow).replace("increment() {", "increment() { this.go?.();")
        stage.put("slow", source, hosts={"Counter": "f" * 32}, bindings=BOUND)
        stage.put("page", HELLO)
        await stage.text("slow", "/?ring=300")
        pid = stage.pid("slow")
        async with asyncio.timeout(60):
            while (due := stored.next_alarm(stage.runtime.storage, ["f" * 32])) is None or due > time.time():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for _ in range(3):
            assert await stage.text("page") == "hello"
        assert stage.pid("slow") == pid
        rang = asyncio.create_task(stage.logged("slow", "rang"))
        while not rang.done():
            await stage.text("slow")  # lets the handler go on to its end, once it has begun
            await asyncio.sleep(0.02)
        await rang
        assert sum("began" in log["message"] for item in stage.events["slow"] for log in item["logs"]) == 1

    monkeypatch.setattr(places, "BEHIND", 0.0)
    play(story, most=1)


def test_an_alarm_of_an_ended_process_wakes_it(play: Callable[..., None]) -> None:
    """An alarm that was not near when its process ended for another one rings all the same, without any request."""

    async def story(stage: Any) -> None:
        names = counters(stage, 2)
        await stage.text(names[0], "/?ring=4000")
        await stage.text(names[1])
        assert running(stage) == {names[1]}
        await stage.logged(names[0], "rang")

    play(story, most=1, idle=0.3)


def test_work_behind_an_answer_is_finished(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a Worker does in `waitUntil` after its answer is done to its end, although another takes its place."""
    behind = """
    import { DurableObject } from "cloudflare:workers";
    export class Counter extends DurableObject {
      async later() { await new Promise((done) => setTimeout(done, 700)); await this.ctx.storage.put("n", 41); }
      async n() { return (await this.ctx.storage.get("n")) ?? 0; }
    }
    export default { async fetch(request, env, ctx) {
      const stub = env.COUNTER.getByName("a");
      if (request.method === "GET") return new Response(String(await stub.n()));
      ctx.waitUntil(stub.later().then(() => console.log("done behind")));
      return new Response("answered");
    } };
    """

    async def story(stage: Any) -> None:
        stage.put("behind", behind, hosts={"Counter": "f" * 32}, bindings=BOUND)
        stage.put("page", HELLO)
        assert await stage.text("behind") == "0"
        for _ in range(2):
            assert await stage.text("behind", method="POST") == "answered"
            assert await stage.text("page") == "hello"
        assert "behind" in running(stage)
        await stage.logged("behind", "done behind")
        assert await stage.text("behind") == "41"
        monkeypatch.setattr(places, "BEHIND", 0.0)
        await until(lambda: len(running(stage)) == 1)

    monkeypatch.setattr(places, "BEHIND", 600.0)
    play(story, most=1)


def test_starts_are_bounded_by_the_cores(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many Workers that are called at once no more start at the same time than there are cores."""
    monkeypatch.setattr(places, "_TURN", 600.0)  # one that is slow holds up the others here

    async def story(stage: Any) -> None:
        names = counters(stage, 12)
        room = stage.runtime._places
        cores, most = room._turns._value, 0

        async def watch() -> None:
            nonlocal most
            while True:
                started = [island for island in set(stage.runtime._by_script.values()) if island.process is None]
                most = max(most, sum(island in room._taken for island in started))
                await asyncio.sleep(0.001)

        watching = asyncio.create_task(watch())
        assert await asyncio.gather(*map(stage.text, names)) == ["1"] * len(names)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        assert 1 <= most <= cores

    play(story)
