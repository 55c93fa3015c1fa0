"""What Cloudflare's edge says of a request reaches a Worker here too: `request.cf` and its headers, emulated."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect

from notebook_do.local.runtime.edge import CF, CF_HEADER
from notebook_do.local.runtime.spec import StaticSite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIRROR = """
import { DurableObject } from "cloudflare:workers";
const seen = (request) => ({ cf: request.cf ?? null, headers: Object.fromEntries(request.headers) });
export class Room extends DurableObject { fetch(request) { return Response.json(seen(request)); } }
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/object") return env.ROOM.get(env.ROOM.idFromName("a")).fetch(request);
    if (request.headers.get("upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.send(JSON.stringify(seen(request)));
      return new Response(null, { status: 101, webSocket: client });
    }
    return Response.json(seen(request));
  },
};
"""
PLAIN = "export default { fetch(request) { return Response.json(request.cf ?? null); } };"
TEXTS = (
    *("asOrganization", "city", "colo", "continent", "country", "httpProtocol", "latitude", "longitude", "metroCode"),
    *("postalCode", "region", "regionCode", "timezone", "tlsCipher", "tlsVersion"),
)
RAY = re.compile(r"[0-9a-f]{16}-SFO")
ROOM = {"type": "durable_object_namespace", "name": "ROOM", "class_name": "Room"}
HOSTS: dict[str, Any] = {"hosts": {"Room": "e" * 32}, "bindings": (ROOM,)}


def test_a_worker_reads_where_a_request_comes_from(play: Callable[..., None]) -> None:
    """The fields of Cloudflare's page have its types, and the same values for every request."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR, **HOSTS)
        first, second = [(await stage.call("page")).json() for _ in range(2)]
        assert first["cf"] == second["cf"] == dict(CF)
        assert all(isinstance(first["cf"][name], str) and first["cf"][name] for name in TEXTS)
        assert isinstance(first["cf"]["asn"], int)
        assert abs(float(first["cf"]["latitude"])) <= 90
        assert abs(float(first["cf"]["longitude"])) <= 180
        assert first["headers"]["cf-ipcountry"] == first["cf"]["country"] == "US"
        assert first["headers"]["cf-connecting-ip"] == "127.0.0.1"
        rays = {RAY.fullmatch(seen["headers"]["cf-ray"]) and seen["headers"]["cf-ray"] for seen in (first, second)}
        assert len(rays - {None}) == 2

    play(story)


def test_a_client_cannot_say_where_it_is(play: Callable[..., None]) -> None:
    """What it sends under these names is replaced, the short way and the long one, and the blob is no header."""

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR, **HOSTS)
        own = {"cf-ray": "mine", "cf-ipcountry": "XX", "cf-connecting-ip": "6.6.6.6", CF_HEADER: '{"country":"XX"}'}
        for headers in ({}, own):
            seen = (await stage.call("page", headers=headers)).json()
            assert seen["cf"] == dict(CF)
            assert RAY.fullmatch(seen["headers"]["cf-ray"])
            assert (seen["headers"]["cf-ipcountry"], seen["headers"]["cf-connecting-ip"]) == ("US", "127.0.0.1")
            assert CF_HEADER not in seen["headers"]

    play(story)


def test_it_goes_on_to_objects_websockets_and_workers_behind_assets(play: Callable[..., None], tmp_path: Path) -> None:
    """A request that is handed on keeps it, a handshake has it, and the asset service hands it on too."""
    page = tmp_path / "page.html"
    page.write_text("page")

    async def story(stage: Any) -> None:
        stage.put("page", MIRROR, **HOSTS)
        assert (await stage.call("page", "/object")).json()["cf"] == dict(CF)
        stage.put("site", PLAIN, assets=StaticSite(files={"/page.html": page}, config={}))
        assert (await stage.text("site", "/page")) == "page"
        assert (await stage.call("site", "/other")).json() == dict(CF)
        async with connect(f"ws://{stage.host('page')}/", host="127.0.0.1", port=stage.port) as socket:
            assert json.loads(await socket.recv())["cf"] == dict(CF)

    play(story)


def test_cloudflare_email_loads(play: Callable[..., None]) -> None:
    """`cloudflare:email` is there, with the class that a Worker builds a message of."""
    source = """
    import { EmailMessage } from "cloudflare:email";
    export default {
      fetch() {
        const { from, to } = new EmailMessage("a@example.com", "b@example.com", "raw");
        return new Response([from, to].join());
      },
    };
    """

    async def story(stage: Any) -> None:
        stage.put("mail", source)
        assert await stage.text("mail") == "a@example.com,b@example.com"

    play(story)
