"""The module that objects are asked by changes nothing: classes of every form, sockets, alarms, edits of a Worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect

from notebook_do.local.runtime import inspecting
from notebook_do.local.runtime.inspecting import ask_objects
from notebook_do.local.runtime.spec import HostedNamespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local.conftest import Stage

PROGRAM = Path(__file__).with_name("programs") / "forms.js"
CALLS: dict[str, list[list[Any]]] = {
    "Plain": [["post", "x"], ["me"], ["boom"], ["nope"], ["toString"]],
    "Legacy": [["fetch"], ["fetch"], ["hi"]],
    "Private": [["get"], ["get"]],
    "Blocked": [["get"]],
    "Mixed": [["get"], ["mixed"]],
    "Aliased": [["get"]],
    "AliasedTwice": [["get"]],
    "Derived": [["more"]],
    "Kv": [["get"]],
    "Returns": [["get"], ["magic"]],
    "Shadow": [["get"]],
    "Frozen": [["get"]],
    "Facet": [["get"]],
    "Parent": [["get"], ["other"]],
    "Same": [["get"], ["__notebook_do__"]],
    "Es5": [["get"]],
    "Own": [["real"], ["arrow"], ["value"], ["_under"]],
    "Handles": [["get"]],
    "Mute": [["fetch"], ["get"]],
}
SPACES = {name: f"{at:032x}" for at, name in enumerate(CALLS, 1)}
NAMESPACES = tuple(
    HostedNamespace(namespace_id=id_, class_name=name, sqlite=name != "Kv", rpc=name not in {"Legacy", "Mute"})
    for name, id_ in SPACES.items()
)
BINDINGS = tuple({"type": "durable_object_namespace", "name": name, "class_name": name} for name in SPACES)


async def ask(stage: Stage, class_name: str, *ops: dict[str, Any], name: str = "a", **more: Any) -> list[Any]:
    """Ask an object as the API does."""
    made = [{"object": {"name": name}, **op} for op in ops]
    body = json.dumps({"ops": made, "timeout": 60_000, "atOnce": 8, **more}).encode()
    namespace = SPACES.get(class_name, class_name)
    found: list[Any] = json.loads(await ask_objects(stage.runtime, "w", namespace, body))
    return found


def call(method: str, *args: Any) -> dict[str, Any]:
    """Return the op that calls a method."""
    return {"op": "call", "method": method, "args": list(args)}


async def answers(stage: Stage) -> dict[str, list[Any]]:
    """Deploy all forms and call each through the Worker's own fetch."""
    await stage.deploy("w", PROGRAM.read_text(), namespaces=NAMESPACES, bindings=BINDINGS)
    asked = {name: [[name, *one] for one in calls] for name, calls in {**CALLS, "Entry": [["get"]]}.items()}
    return {
        name: [(await stage.call("w", method="POST", json=one)).json() for one in calls]
        for name, calls in asked.items()
    }


def test_classes_of_every_form_answer_as_without_the_module(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nineteen forms of classes: the same results, the same errors, in the same order, with the module and without."""
    seen: dict[str, Any] = {}

    async def story(stage: Stage) -> None:
        seen["with"] = await answers(stage)
        assert (await ask(stage, "Plain", {"op": "info"}))[0]["ok"]["class"] == "Plain"
        stage.workers.clear()
        monkeypatch.setattr(inspecting, "can_be_asked", lambda _: False)
        await stage.runtime.changed(["w"])
        for id_ in SPACES.values():
            await stage.runtime.forget(id_)
        seen["without"] = await answers(stage)
        assert "cannot be looked into" in (await ask(stage, "Plain", {"op": "info"}))[0]["refused"]

    play(story)
    assert seen["with"] == seen["without"]
    assert seen["with"]["Plain"][1] == ["Plain", True, True, True, ["ctx", "env"]]
    assert seen["with"]["Entry"] == ["entry Entry"]


def test_every_form_is_called_and_looked_into_or_says_why_not(play: Callable[..., None]) -> None:
    """Calls reach every class that has methods; what its class keeps out is told in one line."""

    async def story(stage: Stage) -> None:
        await stage.deploy("w", PROGRAM.read_text(), namespaces=NAMESPACES, bindings=BINDINGS)
        for name, (method, *args) in {n: c[0] for n, c in CALLS.items() if n not in {"Legacy", "Mute"}}.items():
            found, info = await ask(stage, name, call(method, *args), {"op": "info"})
            if name != "Handles":
                assert "ok" in found, (name, found)
            if name not in {"Frozen", "Shadow"}:
                assert info["ok"]["sockets"] == [], name
            assert "__notebook_do" not in json.dumps(info.get("ok", {}).get("methods", [])) or name == "Same"
        assert "this.ctx" in (await ask(stage, "Shadow", {"op": "info"}))[0]["refused"]
        assert "it is frozen" in (await ask(stage, "Frozen", {"op": "info"}))[0]["refused"]
        (handle,) = await ask(stage, "Handles", call("get"))
        assert handle["refused"] == "result: an instance of Handle lives in the object; return a plain object instead"
        assert handle["done"] is True
        called, info = await ask(stage, "Legacy", call("hi"), {"op": "info"})
        assert (called["ok"], info["ok"]["class"]) == ("hi", "Legacy")
        assert "nothing reaches its objects" in (await ask(stage, "Mute", call("x")))[0]["refused"]
        (own,) = await ask(stage, "Own", call("arrow"))
        assert own["absent"] == ["real", "_under"]

    play(story)


CLASS = "class Plain extends DurableObject { get() { return 1; } }"


@pytest.mark.parametrize(("exported", "reached"), [("export", True), ("export default", False)])
def test_a_worker_without_handlers_starts(play: Callable[..., None], exported: str, reached: bool) -> None:  # noqa: FBT001 - a case
    """A Worker without a default export, and one whose default export is the class, start as they do without."""

    async def story(stage: Stage) -> None:
        source = f"import {{ DurableObject }} from 'cloudflare:workers'; {exported} {CLASS}"
        await stage.deploy("w", source, namespaces=SPACE)
        (found,) = await ask(stage, "Plain", call("get"))
        assert (found.get("ok") == 1) is reached

    play(story)


SOCKETS = """import { DurableObject } from "cloudflare:workers";
export class Plain extends DurableObject {
  constructor(ctx, env) { super(ctx, env); this.born = Math.random(); }
  async fetch() {
    const [mine, theirs] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(theirs, ["t1"]);
    theirs.serializeAttachment({ who: "me" });
    return new Response(null, { status: 101, webSocket: mine });
  }
  webSocketMessage(socket, text) { socket.send(`echo ${text} ${this.born}`); }
  when() { return this.born; }
  async set(ms) { await this.ctx.storage.setAlarm(Date.now() + ms); }
  async alarm() { await this.ctx.storage.put("rang", true); }
  rang() { return this.ctx.storage.get("rang"); }
  async slow(ms) { await scheduler.wait(ms); return VERSION; }
}
export default { fetch(request, env) { return env.O.getByName("a").fetch(request); } };
"""
SPACE = (HostedNamespace(namespace_id=SPACES["Plain"], class_name="Plain", sqlite=True),)
BINDING = ({"type": "durable_object_namespace", "name": "O", "class_name": "Plain"},)


async def deploy(stage: Stage, version: int) -> None:
    """Deploy the class with sockets and alarms."""
    await stage.deploy("w", SOCKETS.replace("VERSION", str(version)), namespaces=SPACE, bindings=BINDING)


def test_sockets_and_alarms_are_undisturbed(play: Callable[..., None]) -> None:
    """A socket echoes before and after the object was asked, of one and the same object; its alarm rings."""

    async def story(stage: Stage) -> None:
        await deploy(stage, 1)
        where = {"uri": f"ws://{stage.host('w')}/", "host": "127.0.0.1", "port": stage.port, "proxy": None}
        async with connect(**where) as socket:
            await socket.send("one")
            first = str(await socket.recv())
            info, born, _ = await ask(stage, "Plain", {"op": "info"}, call("when"), call("set", 50))
            assert info["ok"]["sockets"][0]["tags"] == ["t1"]
            assert info["ok"]["sockets"][0]["attachment"] == {"who": "me"}
            await socket.send("two")
            second = str(await socket.recv())
        assert first.removeprefix("echo one ") == second.removeprefix("echo two ") == str(born["ok"])
        async with asyncio.timeout(60):
            while (await ask(stage, "Plain", call("rang")))[0]["ok"] is not True:  # noqa: ASYNC110 - only it knows
                await asyncio.sleep(0.02)

    play(story)


def test_a_call_under_way_ends_before_new_code_is_there(play: Callable[..., None]) -> None:
    """A deploy waits for calls as it does for requests; the next call meets the new code."""

    async def story(stage: Stage) -> None:
        await deploy(stage, 1)
        await ask(stage, "Plain", call("when"))
        under_way = asyncio.create_task(ask(stage, "Plain", call("slow", 400)))
        await stage.in_use("w")
        await deploy(stage, 2)
        assert (await under_way)[0]["ok"] == 1
        assert (await ask(stage, "Plain", call("slow", 0)))[0]["ok"] == 2

    play(story, grace=60)


def test_an_island_that_ends_under_a_call_leaves_it_unknown(play: Callable[..., None]) -> None:
    """The connection breaks off; what asks on goes to a new process."""

    async def story(stage: Stage) -> None:
        await deploy(stage, 1)
        await ask(stage, "Plain", call("when"))
        under_way = asyncio.create_task(ask(stage, "Plain", call("slow", 600_000)))
        island = await stage.in_use("w")
        await asyncio.sleep(0.2)  # it is inside of the object by then, most likely
        os.kill(stage.pid("w"), signal.SIGKILL)
        with pytest.raises((OSError, EOFError)):
            await under_way
        await island.gone.wait()
        assert (await ask(stage, "Plain", call("slow", 0)))[0]["ok"] == 1

    play(story)


def test_who_lacks_the_name_meets_the_class_as_it_is(play: Callable[..., None]) -> None:
    """Without RPC a request with another name goes to the class's own fetch; the name is another after each start."""

    async def story(stage: Stage) -> None:
        source = """export class Plain { fetch(request) { return new Response(request.headers.get("x-notebook-do")); } }
        export default { fetch(request, env) { return env.O.get(env.O.idFromName("a")).fetch(request); } };"""
        spaces = (HostedNamespace(namespace_id=SPACES["Plain"], class_name="Plain", sqlite=True, rpc=False),)
        await stage.deploy("w", source, namespaces=spaces, bindings=BINDING)
        for name in ("1", "__notebook_do_", "__notebook_do__"):
            assert await stage.text("w", headers={"x-notebook-do": name}) == name
        assert (await ask(stage, "Plain", {"op": "info"}))[0]["ok"]["class"] == "Plain"

    play(story)


def test_what_a_call_logs_is_an_event_of_its_method(play: Callable[..., None]) -> None:
    """The event has the method's own name, its lines and its exception, and no name of ours; a look is no event."""

    async def story(stage: Stage) -> None:
        source = """import { DurableObject } from "cloudflare:workers";
        export class Plain extends DurableObject { say(word) { console.log(word); throw new RangeError("no"); } }
        export default { fetch() { return new Response("x"); } };"""
        await stage.deploy("w", source, namespaces=SPACE)
        await ask(stage, "Plain", {"op": "info"}, {**call("say", "hello"), "request": "mark"})
        event = await stage.logged("w", "hello")
        assert event["event"]["rpcMethod"] == "say"
        assert [log["message"] for log in event["logs"]] == [["hello"]]
        assert [(one["name"], one["message"]) for one in event["exceptions"]] == [("RangeError", "no")]
        assert "__notebook_do" not in json.dumps(stage.events)

    play(story)


def test_a_broken_worker_says_why_its_objects_cannot_be_asked(play: Callable[..., None]) -> None:
    """What stands in for a Worker that does not start has no classes: the reason is told instead."""

    async def story(stage: Stage) -> None:
        stage.put("w", "export class Plain {} throw new Error('at the start');", namespaces=SPACE)
        bound = ({"type": "service", "name": "W", "service": "w"},)
        stage.put("v", "export default { fetch() { return new Response('v'); } };", bindings=bound)
        await stage.runtime.changed(["w", "v"])
        (found,) = await ask(stage, "Plain", call("x"))
        assert "at the start" in found["refused"]
        assert await stage.text("v") == "v"

    play(story)


def test_asking_takes_objects_in_turn(play: Callable[..., None]) -> None:
    """Calls of one object come in order though several are asked at a time; each has its own time."""

    async def story(stage: Stage) -> None:
        source = """import { DurableObject } from "cloudflare:workers";
        export class Plain extends DurableObject {
          async note(n, ms) { await scheduler.wait(ms); (this.seen ??= []).push(n); return this.seen; }
        }
        export default { fetch() { return new Response("x"); } };"""
        await stage.deploy("w", source, namespaces=SPACE)
        found = await ask(stage, "Plain", call("note", 1, 50), call("note", 2, 0), call("note", 3, 0))
        assert [one["ok"] for one in found] == [[1], [1, 2], [1, 2, 3]]
        late, *_ = await ask(stage, "Plain", call("note", 4, 2000), timeout=100)
        assert late["unknown"] == "no answer in 0.1 s"

    play(story)


def test_an_endless_loop_is_unknown_and_ends_with_the_next_deploy(play: Callable[..., None]) -> None:
    """A process whose object loops for ever answers nothing; new code comes all the same, and soon."""

    async def story(stage: Stage) -> None:
        source = """import { DurableObject } from "cloudflare:workers";
        export class Plain extends DurableObject { spin() { while (true) {} } version() { return VERSION; } }
        export default { fetch() { return new Response("x"); } };"""
        await stage.deploy("w", source.replace("VERSION", "1"), namespaces=SPACE)
        assert (await ask(stage, "Plain", call("version")))[0]["ok"] == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(stage, "Plain", call("spin"), timeout=100), 1)
        async with asyncio.timeout(60):
            await stage.deploy("w", source.replace("VERSION", "2"), namespaces=SPACE)
            assert (await ask(stage, "Plain", call("version")))[0]["ok"] == 2

    play(story, grace=0.2)
