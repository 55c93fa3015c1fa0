"""The target cloudflare, pointed at the API of a local Cloudflare: the same requests, on real workerd.

Cloudflare's own addresses (`NAME.SUBDOMAIN.workers.dev`) are led to where local Workers answer, as a resolver would.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import httpx

import notebook_do as nd
from notebook_do.credentials import inspect_keys
from notebook_do.inspector.signing import HEADER, audience_of, signed_head
from notebook_do.live.inventory import inspector_of
from notebook_do.local.process import launch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest


def use_far_target(data: Path, monkeypatch: pytest.MonkeyPatch) -> launch.LocalTarget:
    """Let target cloudflare be the local Cloudflare of a data directory; to be released."""
    target = launch.ensure(data)
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", target.token())
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", target.account_id)
    monkeypatch.setenv("CLOUDFLARE_API_BASE_URL", target.api)
    # A process asks Cloudflare 400 times in 5 minutes at most, and waits then: each test has these for itself.
    monkeypatch.setattr("notebook_do.cloudflare.rate._rates", {})
    send, at = httpx.AsyncHTTPTransport.handle_async_request, httpx.URL(target.url)

    async def resolved(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.host.endswith(".workers.dev"):
            request.headers["host"] = f"{request.url.host.partition('.')[0]}.localhost:{at.port}"
            request.url = request.url.copy_with(scheme="http", host=at.host, port=at.port)
        return await send(self, request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", resolved)
    return target


SOURCE = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  who() { return this.ctx.id.name ?? null; }
  add(n) { const all = (this.ctx.storage.kv.get("n") ?? 0) + n; this.ctx.storage.kv.put("n", all); return all; }
  count() { return this.ctx.storage.kv.get("n") ?? 0; }
  big() { this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t(id INTEGER)"); return 2n ** 60n; }
  boom() { throw new TypeError("kaboom"); }
  slow() { return new Promise(() => {}); }
  gone() { this.ctx.abort("gone"); }
}
export default {
  async fetch(request, env) {
    // What any Worker can do that binds the namespace.
    const { name, method, asked } = await request.json();
    try { return Response.json({ answer: await env.ROOMS.getByName(name)[method](asked) ?? null }); }
    catch (error) { return Response.json({ error: error.message }); }
  },
};
"""


def declare(*, inspect: Any = False, source: str = SOURCE) -> nd.Session:
    """Open the session and declare its Worker."""
    session = nd.session("chat", target="cloudflare")
    rooms = nd.DurableObjectNamespace("rooms", class_name="Room", inspect=inspect)
    nd.Worker("chat", script=source, bindings={"ROOMS": rooms})
    return session


def deployed(*, inspect: Any = False, source: str = SOURCE) -> nd.Session:
    """Declare it and deploy it."""
    session = declare(inspect=inspect, source=source)
    session.deploy(session.plan())
    return session


class Raw:
    """Requests to an inspector, made by hand: as they should be, and altered."""

    def __init__(self, target: launch.LocalTarget, session: nd.Session, stable_id: str = "rooms") -> None:
        self.target, self.stable_id = target, stable_id
        inspector = inspector_of(session.recorded(), stable_id)
        assert inspector is not None
        self.inspector = inspector
        key = inspect_keys.held(inspector.key)
        assert key is not None
        self.key = key
        self.audience = audience_of(target.account_id, inspector.script_name)

    def op(self, op: str, name: str = "kitchen", **more: Any) -> str:
        """Write an op."""
        return json.dumps({"namespace": self.stable_id, "object": {"name": name}, "op": op, **more})

    def head(self, *texts: str, at: int | None = None, **other: Any) -> dict[str, Any]:
        """Give the head of a request, signed."""
        given = {"key": self.key, "audience": self.audience, **other}
        moment = time.time_ns() // 1_000_000 if at is None else at
        header = signed_head(
            given["key"], given["audience"], texts, time=moment, nonce=given.get("nonce") or secrets.token_hex(16)
        )
        found: dict[str, Any] = json.loads(base64.b64decode(header))
        return found

    def send(self, head: dict[str, Any] | None, texts: Sequence[str], **more: Any) -> httpx.Response:
        """Send a request with this head, altered or not, at the inspector."""
        return self.post(f"{self.inspector.script_name}-inspector", head, json.dumps(list(texts)), **more)

    def post(
        self, script: str, head: dict[str, Any] | None, body: str, *, method: str = "POST", path: str = "/"
    ) -> Any:
        """Send any body to a Worker."""
        at = httpx.URL(self.target.url)
        headers = {"host": f"{script}.localhost:{at.port}"}
        if head is not None:
            headers[HEADER] = base64.b64encode(json.dumps(head).encode()).decode()
        return httpx.request(method, f"{self.target.url.rstrip('/')}{path}", headers=headers, content=body, timeout=60)
