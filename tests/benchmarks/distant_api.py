"""A distant Cloudflare for benchmarks: every answer takes as long as it is told, and costs next to nothing here.

Run as a program it prints its port. `POST /latency/50` lets each answer take 50 ms from then on and answers how many
requests arrived since the last such call. It keeps what a plan and a deploy of Workers with classes look at, and checks
nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sys
from typing import Any, cast

RATE = b'Ratelimit: "default";r=900000;t=300\r\nRatelimit-Policy: "default";q=1000000;w=300\r\n'
INFO = {"page": 1, "per_page": 1_000_000, "total_pages": 1}


class Account:
    """Scripts and namespaces by name and id, as the lists show them."""

    def __init__(self) -> None:
        self.scripts: dict[str, dict[str, Any]] = {}
        self.bindings: dict[str, list[Any]] = {}
        self.namespaces: list[dict[str, Any]] = []
        self.count = itertools.count(1)

    def answer(self, method: str, path: str, body: bytes) -> Any:
        """Return the result of one request."""
        match method, path.split("/")[5:]:
            case _, ["workers", "scripts", name, *what]:
                return self._script(method, name, what, body)
            case "GET", ["workers", "scripts"]:
                return list(self.scripts.values())
            case "GET", ["workers", "workers"]:
                return [{"name": name} for name in self.scripts]
            case "GET", ["workers", "durable_objects", "namespaces"]:
                return self.namespaces
            case "GET", ["workers", "subdomain"]:
                return {"subdomain": "distant"}
            case "GET", []:
                return {"id": "a" * 32, "name": "Distant"}
        return {"id": "c" * 32, "status": "active"}

    def _script(self, method: str, name: str, what: list[str], body: bytes) -> Any:
        match method, what:
            case "PUT", []:
                return self._upload(
                    name, json.loads(body.partition(b'name="metadata"\r\n\r\n')[2].partition(b"\r\n--")[0])
                )
            case "PATCH", ["script-settings"]:
                self.scripts[name] |= json.loads(body)
                return json.loads(body)
            case "GET", ["settings"]:
                return {"bindings": self.bindings[name], "compatibility_date": "2026-01-01"}
            case _, ["subdomain"]:
                return {"enabled": True, "previews_enabled": True}
            case "GET", ["schedules"]:
                return {"schedules": []}
            case "GET", ["deployments"]:
                return {"deployments": [{"id": self.scripts[name]["etag"], "versions": [{"percentage": 100}]}]}
        return {}

    def _upload(self, name: str, metadata: dict[str, Any]) -> dict[str, Any]:
        declared = metadata.get("exports", {})
        number = next(self.count)
        there = {n["class"] for n in self.namespaces if n["script"] == name} if name in self.scripts else set()
        created = [c for c in declared if c not in there]
        self.namespaces += [
            {"id": f"{next(self.count):032x}", "script": name, "class": c, "name": f"{name}_{c}", "use_sqlite": True}
            for c in created
        ]
        self.bindings[name] = metadata["bindings"]
        self.scripts[name] = {
            "id": name,
            "etag": hashlib.sha256(f"{name} {number}".encode()).hexdigest(),
            "tags": metadata.get("tags", []),
            "modified_on": f"2026-11-27T00:00:00.{number:06}Z",
            "exports": declared,
        }
        return {**self.scripts[name], "exports_reconciliation": {"created": created}}


class Server:
    """The account, how far away it is, and how many requests arrived."""

    def __init__(self) -> None:
        self.account, self.seconds, self.arrived = Account(), 0.0, 0

    def answer(self, method: str, path: str, body: bytes) -> Any:
        """Carry a request out at once; its answer leaves later."""
        if path.startswith("/latency/"):
            arrived, self.arrived, self.seconds = self.arrived, 0, int(path.rpartition("/")[2]) / 1000
            return arrived
        self.arrived += 1
        return self.account.answer(method, path, body)


class Connection(asyncio.Protocol):
    """Answers the requests of one connection; no task waits for them, as that would cost as much as the answers do."""

    def __init__(self, server: Server) -> None:
        self.server, self.received = server, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer a request once all of it arrived."""
        self.received += data
        head, end, rest = self.received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if not end or len(rest) < length:
            return
        self.received.clear()  # no request follows before this one is answered
        method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
        result = self.server.answer(method, target.partition("?")[0], bytes(rest))
        text = json.dumps({"success": True, "errors": [], "result": result, "result_info": INFO}).encode()
        more = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode()
        answer = b"HTTP/1.1 200 OK\r\n" + RATE + more + text
        asyncio.get_running_loop().call_later(self.server.seconds, self.transport.write, answer)


async def main() -> None:
    """Serve until killed."""
    account = Server()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(account), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
