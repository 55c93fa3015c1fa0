"""How many requests a second the Workers port carries, beside a bare workerd. Run with -m benchmark."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from notebook_do.local.process import launch
from notebook_do.local.runtime.workerd import start_workerd
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from notebook_do.local.runtime.capnp import Struct

pytestmark = pytest.mark.benchmark

COUNTER = """
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async increment() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
}
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/plain") return new Response("plain");
    return new Response(String(await env.COUNTER.getByName(pathname).increment()));
  },
};
"""
ROUNDS, SECONDS = 3, 1.5
LOAD = Path(__file__).with_name("load.py")


def config_of(folder: Path, port: int) -> Struct:
    """Make the configuration of a workerd with the Worker alone."""
    worker = {
        "modules": [{"name": "index.js", "esModule": folder / "index.js"}],
        "compatibilityDate": "2026-10-01",
        "bindings": [{"name": "COUNTER", "durableObjectNamespace": {"className": "Counter"}}],
        "durableObjectNamespaces": [{"className": "Counter", "uniqueKey": "bare", "enableSql": True}],
        "durableObjectStorage": {"localDisk": "objects"},
    }
    services = [
        {"name": "worker", "worker": worker},
        {"name": "objects", "disk": {"path": str(folder / "objects"), "writable": True}},
    ]
    listening = {"name": "http", "address": f"127.0.0.1:{port}", "http": {}, "service": {"name": "worker"}}
    return {"services": services, "sockets": [listening]}


@contextlib.asynccontextmanager
async def bare(folder: Path) -> AsyncIterator[int]:
    """Run the Worker in a workerd of its own, that has nothing else to do; give its port."""
    (folder / "objects").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    (folder / "index.js").write_text(COUNTER)
    running = await start_workerd(find_workerd(), config_of(folder, port), folder=folder, sockets=["http"])
    try:
        yield port
    finally:
        await running.stop(5)


@contextlib.contextmanager
def ours(data: Path) -> Iterator[int]:
    """Run the local Cloudflare with the Worker deployed; give the Workers port."""
    target = launch.start(data)
    try:
        metadata = {
            "main_module": "index.js",
            "compatibility_date": "2026-10-01",
            "bindings": [{"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"}],
            "migrations": {"new_tag": "v1", "new_sqlite_classes": ["Counter"]},
        }
        files = {
            "metadata": (None, json.dumps(metadata), "application/json"),
            "index.js": ("index.js", COUNTER, "application/javascript+module"),
        }
        address = f"{target.api}/accounts/{target.account_id}/workers/scripts/page"
        headers = {"Authorization": f"Bearer {target.token()}"}
        httpx.put(address, files=files, headers=headers, trust_env=False).raise_for_status()
        yield target.workers_port
    finally:
        launch.stop(data)


async def requests_a_second(port: int, host: str, method: str, path: str, connections: int) -> float:
    """Load a port from another process."""
    command = (sys.executable, str(LOAD), str(port), host, method, path, str(connections), str(SECONDS))
    loading = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    told, _ = await loading.communicate()
    assert loading.returncode == 0
    return float(told)


@pytest.mark.parametrize("connections", [1, 8, 32])
@pytest.mark.parametrize(("what", "path"), [("plain", "/plain"), ("a Durable Object write", "/write")])
def test_requests_beside_bare_workerd(
    tmp_path: Path, what: str, path: str, connections: int, say: Callable[[str], None]
) -> None:
    """Print the requests a second of the Workers port and of a bare workerd, in turns, and their ratio."""

    async def measure() -> None:
        async with bare(tmp_path / "bare") as there:
            with ours(tmp_path / "data") as here:
                both = ((there, f"127.0.0.1:{there}"), (here, f"page.localhost:{here}"))
                for port, host in both:  # nobody starts cold
                    await requests_a_second(port, host, "GET", path, connections)
                rounds = [
                    [await requests_a_second(port, host, "GET", path, connections) for port, host in both]
                    for _ in range(ROUNDS)
                ]
        ratio = statistics.median(mine / theirs for theirs, mine in rounds)
        bare_rate, our_rate = (statistics.median(column) for column in zip(*rounds, strict=True))
        connected = f"{connections} connection{'s' * (connections > 1)}"
        say(f"{what}, {connected}: {our_rate:,.0f} requests a second, bare workerd {bare_rate:,.0f}: {ratio:.2f}")

    asyncio.run(measure())
