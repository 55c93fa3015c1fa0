"""An edit is tried without a start of workerd, and passes only what a start of its own passes, with the same report."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from odd_scripts import HELLO, ODD
from sharing import thinned, until

from notebook_do.local.runtime import loading, probe
from notebook_do.local.runtime.probe import Trials
from notebook_do.local.runtime.spec import HostedWorkflow, ModuleFile, ScriptInvalid
from notebook_do.local.runtime.workerd import start_workerd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from notebook_do.local.runtime.spec import ProbeReport, RunnableWorker
    from notebook_do.local.runtime.workerd import Workerd

BINDINGS = (
    {"type": "plain_text", "name": "TEXT", "text": "text"},
    {"type": "json", "name": "DATA", "json": {"a": [1]}},
    {"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"},
    {"type": "kv_namespace", "name": "KV", "namespace_id": "a" * 32},
    {"type": "version_metadata", "name": "META"},
    {"type": "worker_loader", "name": "LOADER"},
    {"type": "ai", "name": "AI"},
)
COUNTS = """
import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject { count() {} }
"""
ENV = 'import { env } from "cloudflare:workers"; '


class Bench:
    """Trials, with the processes that were started for them."""

    def __init__(self, workerd: Path, folder: Path, make: Callable[..., RunnableWorker], idle: float) -> None:
        self.started: list[Workerd] = []
        self.make = partial(make, bindings=BINDINGS, hosts={"Counter": "0" * 32})
        self._start = partial(start_workerd, workerd, folder=folder)
        self.trials = Trials(self.start, folder, folder / "sites", ready=self.ready, idle=idle)

    async def ready(self) -> None:
        """Be ready at once."""

    async def start(self, *args: Any, **more: Any) -> Workerd:
        """Start a process, and count it."""
        self.started.append(await self._start(*args, **more))
        return self.started[-1]

    @property
    def loading(self) -> Workerd | None:
        """The process that loads edits, if it is there."""
        return self.trials._loader._running

    async def begin(self, **more: Any) -> None:
        """Pass a first version, and wait for the process."""
        await self.trials.examine(self.make("page", COUNTS + HELLO, **more))
        await until(lambda: self.loading)

    async def edit(self, source: str, **more: Any) -> ProbeReport | str:
        """Try another version of the Worker: its report, or the words of its refusal."""
        try:
            return replace(await self.trials.examine(self.make("page", source, **more)), startup_ms=0)
        except ScriptInvalid as error:
            return str(error)


@pytest.fixture
def play(
    workerd: Path, tmp_path: Path, make_worker: Callable[..., RunnableWorker], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Give a way to play a story with trials, after which nothing runs any more."""
    monkeypatch.setattr(loading, "_PAUSE", 0)
    monkeypatch.setattr(loading, "_SECONDS", 60)  # a busy machine takes longer than Cloudflare gives

    def run(story: Callable[[Bench], Coroutine[Any, Any, None]], *, idle: float = 60) -> None:
        async def whole() -> None:
            bench = Bench(workerd, tmp_path, make_worker, idle)
            try:
                await story(bench)
            finally:
                await bench.trials.close()
            assert all(one.ended.is_set() for one in bench.started)

        asyncio.run(whole())

    return run


def test_an_edit_starts_nothing(play: Callable[..., None]) -> None:
    """After a first version, ten edits are tried by one process, and each report is of its own code."""

    async def story(bench: Bench) -> None:
        await bench.begin()
        before = len(bench.started)
        for number in range(10):
            report = await bench.edit(f"{COUNTS} export class Only{number} {{ act() {{}} }}; {HELLO}")
            assert not isinstance(report, str)
            assert [(one.name, one.kind) for one in report.exports] == [
                ("Counter", "durable-object"),
                (f"Only{number}", "class"),
            ]
            assert report.default_handlers == ("fetch",)
        assert len(bench.started) == before

    play(story)


MORE = (
    COUNTS + HELLO,
    COUNTS + HELLO + "export const late = 1;",
    COUNTS + "export default { fetch() {}, queue() {}, scheduled() {} };",
    ENV + "if (env.DATA.a[0] !== 1) throw new Error('not given'); " + HELLO,
    ENV + "if (env.TEXT !== 'text') throw new Error('not given'); " + HELLO,
    ENV + "export default env.COUNTER ? { fetch() {}, queue() {} } : { fetch() {} };",
    ENV + "export default 'KV' in env ? { fetch() {}, queue() {} } : { fetch() {} };",
    ENV + "for (const name of Object.keys(env)) if (name === 'COUNTER') throw new Error(name); " + HELLO,
    ENV + "try { JSON.stringify({ ...env }); } catch {} " + HELLO,
    ENV + "env.KV?.get('x'); " + HELLO,
    ENV + "env.AI?.run('x'); " + HELLO,
    ENV + "env.LOADER?.load({}); " + HELLO,
    ENV + "if (env.META) throw new Error('there'); " + HELLO,
    ENV + "try { env.KV.get('x'); } catch {} " + HELLO,
    "const { env } = await import('cloudflare:' + 'workers'); env.KV?.get('x'); " + HELLO,
    "import 'cloudflare:email'; import 'cloudflare:sockets'; import 'node:assert'; " + HELLO,
    "globalThis.kept = (globalThis.kept ?? 0) + 1; if (kept > 1) throw new Error('shared'); " + HELLO,
    "let x = /(/; " + HELLO,
    "// \u2028 \U0001f600\n" + HELLO,
    "",
)


@pytest.mark.parametrize("source", [*MORE, *thinned(ODD, of=5)])
def test_only_what_a_start_passes_is_passed_and_with_its_report_or_its_words(
    play: Callable[..., None], source: str
) -> None:
    """A script that is loaded and one that is started on its own say the same."""

    async def story(bench: Bench) -> None:
        fresh = await bench.edit(source)
        await bench.begin()
        assert await bench.edit(source) == fresh
        assert await bench.edit(source) == fresh  # nothing stays of the one before

    play(story)


@pytest.mark.parametrize("name", ["guard.js", "notebook-do-probe.js", "notebook-do-loaded.js", "probe.js"])
def test_what_a_trial_has_beside_the_script_cannot_be_imported(play: Callable[..., None], name: str) -> None:
    """A script that forgot a module of its own would pass, and not start where it is deployed."""

    async def story(bench: Bench) -> None:
        source = f"import './{name}'; {HELLO}"
        assert f'No such module "{name}"' in str(await bench.edit(source))
        await bench.begin()
        assert f'No such module "{name}"' in str(await bench.edit(source))

    play(story)


@pytest.mark.parametrize(
    "change",
    [
        "Response.json = () => new Response('other');",
        "globalThis.Response = class {};",
        "Array.prototype.toJSON = Object.prototype.toJSON = () => 1;",
        "JSON.stringify = () => 'other';",
    ],
)
def test_a_script_may_change_what_is_global(play: Callable[..., None], change: str) -> None:
    """Some old libraries do; what is asked of the script is answered all the same."""

    async def story(bench: Bench) -> None:
        for _ in range(2):
            report = await bench.edit(f"{change} {HELLO}")
            assert not isinstance(report, str)
            assert report.default_handlers == ("fetch",)
            await bench.begin()

    play(story)


IMPORTS = 'import { WorkerEntrypoint, WorkflowEntrypoint } from "cloudflare:workers"; ' + HELLO
API, FLOW = "class Api extends WorkerEntrypoint {} ", "class Flow extends WorkflowEntrypoint { run() {} } "


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (f"{API} export {FLOW}", "no such named entrypoint"),
        (f"export {API} {FLOW}", "the Worker exports no such WorkflowEntrypoint"),
        (f"export {API} export {FLOW.replace('Workflow', 'Worker')}", "the Worker exports no such WorkflowEntrypoint"),
    ],
    ids=["no entrypoint", "no workflow", "another kind"],
)
def test_what_a_worker_links_of_itself_must_be_there(play: Callable[..., None], rest: str, words: str) -> None:
    """An entrypoint that it binds and a workflow that it runs: workerd looks for them when it starts for good."""
    own = {"type": "service", "name": "SELF", "service": "page", "entrypoint": "Api"}
    flow = HostedWorkflow(workflow_id="2" * 32, name="flow", class_name="Flow")
    more = {"bindings": (*BINDINGS, own), "workflows": (flow,)}

    async def story(bench: Bench) -> None:
        whole = f"{IMPORTS} export {API} export {FLOW}"
        await bench.trials.examine(bench.make("page", whole, **more))
        await until(lambda: bench.loading is not None)
        before = len(bench.started)
        assert not isinstance(await bench.edit(whole + "//", **more), str)
        assert len(bench.started) == before
        assert words in str(await bench.edit(IMPORTS + rest, **more))

    play(story)


def test_large_code_is_started(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """To hand it over would take as long as a start."""
    monkeypatch.setattr(loading, "_LARGEST", 10_000)

    async def story(bench: Bench) -> None:
        await bench.begin()
        before = len(bench.started)
        await bench.edit(COUNTS + HELLO + "/" * 10_000)
        assert len(bench.started) == before + 1

    play(story)


@pytest.mark.parametrize(
    "more",
    [
        {"bindings": (*BINDINGS[1:], {"type": "plain_text", "name": "TEXT", "text": "other"})},
        {"compatibility_date": "2026-09-01"},
        {"compatibility_flags": ("nodejs_compat",)},
        {"hosts": {"Counter": "0" * 32, "Room": "1" * 32}},
    ],
    ids=["a value", "the date", "a flag", "a class"],
)
def test_whatever_else_differs_is_started(play: Callable[..., None], more: dict[str, Any]) -> None:
    """Only the code may differ: anything else is for workerd to judge."""

    async def story(bench: Bench) -> None:
        await bench.begin()
        before = len(bench.started)
        await bench.edit(COUNTS + HELLO, **more)
        assert len(bench.started) == before + 1
        await bench.edit(COUNTS + HELLO + "//", **more)
        assert len(bench.started) == before + 1

    play(story)


def test_modules_of_every_kind(play: Callable[..., None], tmp_path: Path) -> None:
    """Text, data, JSON, WebAssembly and CommonJS arrive as they are."""
    wasm = bytes.fromhex("0061736d01000000")
    kinds = {
        "a.txt": ("text/plain", "grün".encode()),
        "a.bin": ("application/octet-stream", bytes(range(256))),
        "a.json": ("application/json", b'{"a": 1}'),
        "a.wasm": ("application/wasm", wasm),
        "a.cjs": ("application/javascript", b"module.exports = 7;"),
        "index.js.map": ("application/source-map", b"{}"),
    }
    for name, (_, content) in kinds.items():
        (tmp_path / name).write_bytes(content)
    rest = tuple(ModuleFile(name=name, content_type=kinds[name][0], path=tmp_path / name) for name in kinds)
    source = (
        'import text from "./a.txt"; import data from "./a.bin"; import json from "./a.json";'
        'import wasm from "./a.wasm"; import cjs from "./a.cjs";'
        "const found = [text, new Uint8Array(data).join(), json.a, wasm instanceof WebAssembly.Module, cjs].join('|');"
        f"if (found !== 'grün|{','.join(map(str, range(256)))}|1|true|7') throw new Error(found);"
    )

    async def story(bench: Bench) -> None:
        def version(more: str) -> RunnableWorker:
            worker = bench.make("page", source + HELLO + more)
            return replace(worker, modules=(*worker.modules, *rest))

        await bench.trials.examine(version(""))
        await until(lambda: bench.loading is not None)
        before = len(bench.started)
        await bench.trials.examine(version("//"))
        assert len(bench.started) == before
        worker = version("//")
        with pytest.raises(ScriptInvalid, match="already added"):  # which of the two is meant is not for us to say
            await bench.trials.examine(replace(worker, modules=(*worker.modules, rest[1])))

    play(story)


def test_a_script_without_an_end_is_refused_and_takes_only_the_process_with_it(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words and the limit are those of any start; edits that are tried meanwhile pass, and later ones as before."""
    monkeypatch.setattr(probe, "START_CPU_SECONDS", 1)

    async def story(bench: Bench) -> None:
        await bench.begin()
        first = bench.loading
        monkeypatch.setattr(loading, "_SECONDS", 0.3)
        endless, good = await asyncio.gather(bench.edit("while (true) {}"), bench.edit(COUNTS + HELLO + "//"))
        assert endless == probe.TIMED_OUT
        assert not isinstance(good, str)
        assert first is not None
        await until(first.ended.is_set)
        await until(lambda: bench.loading is not None)
        second, before = bench.loading, len(bench.started)
        monkeypatch.setattr(loading, "_SECONDS", 60)
        assert not isinstance(await bench.edit(COUNTS + HELLO + "///"), str)
        assert len(bench.started) == before
        monkeypatch.setattr(loading, "_SECONDS", 0.3)
        assert await bench.edit("while (true) {}") == probe.TIMED_OUT
        await until(lambda: bench.loading is not None and bench.loading is not second)

    play(story)


async def _killed(bench: Bench) -> None:
    assert bench.loading is not None
    os.kill(bench.loading.pid, signal.SIGKILL)


async def _not_noticed_yet(bench: Bench) -> None:
    await _killed(bench)


async def _noticed(bench: Bench) -> None:
    dead = bench.loading
    await _killed(bench)
    assert dead is not None
    await dead.ended.wait()


@pytest.mark.parametrize("kill", [_not_noticed_yet, _noticed])
def test_a_process_that_died_is_replaced(play: Callable[..., None], kill: Callable[[Bench], Awaitable[None]]) -> None:
    """Nobody sees it: the edit is started, and the next one loaded."""

    async def story(bench: Bench) -> None:
        await bench.begin()
        first = bench.loading
        await kill(bench)
        assert not isinstance(await bench.edit(COUNTS + HELLO), str)
        await until(lambda: bench.loading is not None and bench.loading is not first)

    play(story)


def test_the_process_ends_when_nothing_was_edited_for_a_while(play: Callable[..., None]) -> None:
    """As every process does that nobody uses."""

    async def story(bench: Bench) -> None:
        await bench.trials.examine(bench.make("page", COUNTS + HELLO))
        await until(lambda: len(bench.started) == 2)
        await until(bench.started[1].ended.is_set)
        assert bench.loading is None

    play(story, idle=0.3)


def test_a_process_loads_so_many_scripts_only(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What V8 keeps of each does not add up."""
    monkeypatch.setattr(loading, "_MOST", 3)

    async def story(bench: Bench) -> None:
        await bench.begin()
        first = bench.loading
        assert first is not None
        for number in range(3):
            await bench.edit(COUNTS + HELLO + "/" * (number + 2))
        await until(first.ended.is_set)
        await bench.edit(COUNTS + HELLO)
        await until(lambda: bench.loading is not None)

    play(story)
