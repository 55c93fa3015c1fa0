"""Websockets pass through the workers port as they are: messages, subprotocols, refusals, close codes, hibernation."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

if TYPE_CHECKING:
    from collections.abc import Callable

NS = "0" * 31 + "5"
ECHO = """
export default { fetch(request) {
  if (request.headers.get("upgrade") !== "websocket") return new Response("not a websocket", { status: 426 });
  const why = { status: 403, headers: { "x-why": "no" } };
  if (new URL(request.url).pathname === "/no") return new Response("go away", why);
  const [client, server] = Object.values(new WebSocketPair());
  server.binaryType = "arraybuffer";
  server.accept();
  server.addEventListener("message", ({ data }) => {
    if (data === "close") server.close(4001, "as you wish"); else server.send(data);
  });
  server.addEventListener("close", ({ code, reason }) => {
    console.log("closed", code, reason);
    server.close(code, reason);
  });
  const headers = { "sec-websocket-protocol": "two", "x-own": "1" };
  return new Response(null, { status: 101, webSocket: client, headers });
} };
"""
ROOM = """
import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  born = Math.random();
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    server.serializeAttachment({ said: 0 });
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(socket, message) {
    const said = socket.deserializeAttachment().said + 1;
    socket.serializeAttachment({ said });
    socket.send(JSON.stringify([message, said, this.born, this.ctx.getWebSockets().length]));
  }
  webSocketClose(socket, code, reason) { console.log("closed", code, reason); }
}
export default { fetch(request, env) { return env.ROOM.getByName("a").fetch(request); } };
"""

ROOM_BINDING = ({"type": "durable_object_namespace", "name": "ROOM", "class_name": "Room"},)


def address(stage: Any, name: str, path: str = "/") -> dict[str, Any]:
    """Say how to connect to a Worker."""
    return {"uri": f"ws://{stage.host(name)}{path}", "host": "127.0.0.1", "port": stage.port, "proxy": None}


def test_messages_pass_both_ways(play: Callable[..., None]) -> None:
    """Text and bytes of any size come back the same, in order."""

    async def story(stage: Any) -> None:
        stage.put("echo", ECHO)
        async with connect(**address(stage, "echo"), subprotocols=["one", "two"]) as socket:  # type: ignore[list-item]
            assert socket.subprotocol == "two"
            assert socket.response is not None
            assert socket.response.headers["x-own"] == "1"
            messages: list[str | bytes] = ["hello", b"\x00\xff", "", "ü" * 100_000, bytes(900_000)]
            for message in messages:
                await socket.send(message)
            assert [await socket.recv() for _ in messages] == messages

    play(story)


def test_close_codes_pass_both_ways(play: Callable[..., None]) -> None:
    """Each side learns the other's close code and reason."""

    async def story(stage: Any) -> None:
        stage.put("echo", ECHO)
        async with connect(**address(stage, "echo"), subprotocols=["two"]) as socket:  # type: ignore[list-item]
            await socket.send("close")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (4001, "as you wish")
        async with connect(**address(stage, "echo"), subprotocols=["two"]) as socket:  # type: ignore[list-item]
            await socket.close(4002, "bye")
        closed = await stage.logged("echo", "4002")
        assert closed["logs"][-1]["message"] == ["closed", 4002, "bye"]

    play(story)


def test_a_refusal_is_the_workers_own_answer(play: Callable[..., None]) -> None:
    """A handshake that the Worker declines gets the Worker's status, headers and text; an unknown Worker 404."""

    async def story(stage: Any) -> None:
        stage.put("echo", ECHO)
        with pytest.raises(InvalidStatus) as refused:
            await connect(**address(stage, "echo", "/no"))
        answer = refused.value.response
        assert (answer.status_code, answer.headers["x-why"], answer.body) == (403, "no", b"go away")
        with pytest.raises(InvalidStatus) as unknown:
            await connect(**address(stage, "nobody"))
        assert unknown.value.response.status_code == 404

    play(story)


@pytest.mark.thorough
def test_a_socket_hibernates_and_wakes(play: Callable[..., None]) -> None:
    """A hibernating object's socket stays open; the object that wakes up for a message is a new one, with its notes."""

    async def story(stage: Any) -> None:
        stage.put("room", ROOM, hosts={"Room": NS}, bindings=ROOM_BINDING)
        async with connect(**address(stage, "room")) as socket:
            await socket.send("one")
            message, said, born, open_sockets = json.loads(await socket.recv())
            assert (message, said, open_sockets) == ("one", 1, 1)
            await asyncio.sleep(20)  # workerd lets an object sleep after ten quiet seconds
            await socket.send("two")
            message, said, later, _ = json.loads(await socket.recv())
            assert (message, said) == ("two", 2)
            assert later != born

    play(story)


def test_a_deploy_closes_sockets_and_does_not_wait_for_them(play: Callable[..., None]) -> None:
    """When a Worker is replaced its websockets are closed with 1012, at once, and a new one reaches the new code."""

    async def story(stage: Any) -> None:
        room = {"hosts": {"Room": NS}, "bindings": ROOM_BINDING}
        stage.put("room", ROOM, **room)
        async with connect(**address(stage, "room")) as socket:
            async with asyncio.timeout(60):
                await stage.deploy("room", ROOM.replace("message, said", "'new ' + message, said"), **room)
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
            assert socket.close_code == 1012
        async with connect(**address(stage, "room")) as socket:
            await socket.send("one")
            assert "new one" in str(await socket.recv())

    play(story, grace=600)


def test_an_open_socket_keeps_its_island(play: Callable[..., None]) -> None:
    """A process with an open websocket is not idle."""

    async def story(stage: Any) -> None:
        stage.put("echo", ECHO)
        async with connect(**address(stage, "echo"), subprotocols=["two"]) as socket:  # type: ignore[list-item]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stage.island("echo").gone.wait(), 0.6)
            await socket.send("still there")
            assert await socket.recv() == "still there"
        await stage.over("echo")

    play(story, idle=0.2)
