"""The probe says what a script really exports, or why it does not start, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from odd_scripts import HELLO, ODD
from sharing import thinned

from notebook_do.local.runtime import probe as probe_module
from notebook_do.local.runtime.probe import Trials, probe
from notebook_do.local.runtime.spec import Export, ModuleFile, ScriptInvalid
from notebook_do.local.runtime.workerd import start_workerd

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.local.runtime.spec import ProbeReport, RunnableWorker


@pytest.fixture
def probed(workerd: Path, make_worker: Callable[..., RunnableWorker]) -> Callable[..., ProbeReport]:
    """Give a way to probe a source text."""

    def run(source: str, *, timeout: float = 60.0, **more: Any) -> ProbeReport:
        start = partial(start_workerd, workerd, folder=Path(tempfile.gettempdir()))
        return asyncio.run(probe(make_worker("page", source, **more), start, timeout=timeout))

    return run


def test_every_kind_of_export_is_told_apart(probed: Callable[..., ProbeReport]) -> None:
    """Classes are told by what they extend, everything with its methods or handlers."""
    report = probed("""
        import { DurableObject, WorkerEntrypoint, WorkflowEntrypoint } from "cloudflare:workers";
        class Base extends DurableObject { inherited() {} }
        export class Room extends Base { fetch() {} alarm() {} #hidden() {} static no() {} field = () => {}; }
        export class Entry extends WorkerEntrypoint { greet() {} get property() { return 1; } }
        export class Flow extends WorkflowEntrypoint { run() {} }
        export class Plain { method() {} }
        export function act() {}
        export const named = { fetch() {}, unknown() {} };
        export default { fetch() {}, scheduled() {}, queue() {}, tail() {}, email() {}, other() {} };
    """)
    assert report.default_handlers == ("fetch", "scheduled", "queue", "tail", "email")
    assert {export.name: export for export in report.exports} == {
        "Room": Export(name="Room", kind="durable-object", handlers=("fetch", "alarm", "inherited")),
        "Entry": Export(name="Entry", kind="worker-entrypoint", handlers=("greet",)),
        "Flow": Export(name="Flow", kind="workflow", handlers=("run",)),
        "Plain": Export(name="Plain", kind="class", handlers=("method",)),
        "act": Export(name="act", kind="function"),
        "named": Export(name="named", kind="other", handlers=("fetch",)),
    }


def test_a_class_can_be_the_default_export(probed: Callable[..., ProbeReport]) -> None:
    """The methods of a default class are its handlers."""
    source = 'import { WorkerEntrypoint } from "cloudflare:workers"; '
    assert probed(source + "export default class extends WorkerEntrypoint { fetch() {} hi() {} }").default_handlers == (
        "fetch",
        "hi",
    )


def test_re_exports_are_found(probed: Callable[..., ProbeReport], tmp_path: Path) -> None:
    """A class that another module defines counts when the main module exports it, and not otherwise."""
    other = tmp_path / "other"
    other.write_text('import { DurableObject } from "cloudflare:workers"; export class A extends DurableObject {}')
    module = ModuleFile(name="lib/other.js", content_type="application/javascript+module", path=other)
    main = tmp_path / "main"

    def exports(text: str) -> list[str]:
        main.write_text(text)
        first = ModuleFile(name="index.js", content_type="application/javascript+module", path=main)
        return [export.name for export in probed("", modules=(first, module)).exports]

    assert exports('export { A } from "./lib/other.js"; export default {};') == ["A"]
    assert exports('import "./lib/other.js"; export default {};') == []


@pytest.mark.parametrize(
    "name", ["index.js", "src/worker.js", "a b.js", "ü.mjs", "q'.js", "x?y.js", "%41.js", "[id].js"]
)
@pytest.mark.parametrize("flags", [(), ("new_module_registry",)])
def test_a_main_module_may_have_any_name(
    probed: Callable[..., ProbeReport], tmp_path: Path, name: str, flags: tuple[str, ...]
) -> None:
    """The probe finds the main module whatever it is called."""
    path = tmp_path / "main"
    path.write_text(HELLO)
    module = ModuleFile(name=name, content_type="application/javascript+module", path=path)
    report = probed("", main_module=name, modules=(module,), compatibility_flags=flags)
    assert report.default_handlers == ("fetch",)


def test_every_kind_of_module_can_be_imported(probed: Callable[..., ProbeReport], tmp_path: Path) -> None:
    """Text, data, JSON, Wasm and CommonJS modules are there; a source map is left out."""
    wasm = b"\0asm\1\0\0\0"
    parts = {
        ("a.txt", "text/plain"): b"text",
        ("a.bin", "application/octet-stream"): bytes(range(256)),
        ("a.json", "application/json"): b'{"a": 1}',
        ("a.wasm", "application/wasm"): wasm,
        ("a.cjs", "application/javascript"): b"module.exports = { seven: 7 };",
        ("a.js.map", "application/source-map"): b"{}",
    }
    modules = []
    for number, ((name, content_type), content) in enumerate(parts.items()):
        path = tmp_path / f"part-{number}"
        path.write_bytes(content)
        modules.append(ModuleFile(name=name, content_type=content_type, path=path))
    main = tmp_path / "main"
    main.write_text("""
        import text from "./a.txt"; import data from "./a.bin"; import json from "./a.json";
        import wasm from "./a.wasm"; import common from "./a.cjs";
        const found = [text, data.byteLength, json.a, wasm instanceof WebAssembly.Module, common.seven];
        if (found.join() !== "text,256,1,true,7") throw new Error(found.join());
        export default { fetch() {} };
    """)
    first = ModuleFile(name="index.js", content_type="application/javascript+module", path=main)
    assert probed("", modules=(first, *modules)).default_handlers == ("fetch",)


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ("export default { fetch() {", {}, "Uncaught SyntaxError: Unexpected end of input\n  at index.js:1:26"),
        ("\n\nthrow new Error('boom');", {}, "Uncaught Error: boom\n  at index.js:3:7"),
        ("import './nope.js';", {}, 'Uncaught Error: No such module "nope.js".\n  imported from "index.js"'),
        ("await fetch('http://example.com');", {}, "Disallowed operation called within global scope"),
        ("await new Promise(() => {});", {}, "Top-level await in module is unsettled"),
        (HELLO + "export const five = 5;", {}, "Incorrect type for map entry 'five'"),
        (HELLO, {"compatibility_date": "2030-01-01"}, "in the future"),
        (HELLO, {"compatibility_date": "tomorrow"}, "date"),
        (HELLO, {"compatibility_flags": ("nope",)}, "No such compatibility flag: nope; correct it, leave it out"),
        (HELLO, {"compatibility_flags": ("nope", "no_way")}, "No such compatibility flag: nope, no_way; correct it"),
        (HELLO, {"compatibility_flags": ("nodejs_compat", "no_nodejs_compat")}, "nodejs_compat vs no_nodejs_compat"),
        (HELLO, {"compatibility_flags": ("python_workers",)}, "flag python_workers cannot be honoured"),
        (HELLO, {"compatibility_flags": ("r2_binding_jsrpc",)}, "flag r2_binding_jsrpc cannot be honoured"),
        (HELLO, {"compatibility_flags": ("replica_routing",)}, "flag replica_routing cannot be honoured"),
        (HELLO, {"main_module": "other.js"}, 'the main module "other.js" is not among the uploaded modules'),
    ],
)
def test_a_script_that_does_not_start_says_why(
    probed: Callable[..., ProbeReport], source: str, more: dict[str, Any], message: str
) -> None:
    """workerd's own words and position, and nothing of this machine."""  # noqa: D403 - its name
    with pytest.raises(ScriptInvalid) as invalid:
        probed(source, **more)
    assert message in str(invalid.value)
    for leak in ("/tmp", "config.capnp", "workerd/server", "service ", "probe"):
        assert leak not in str(invalid.value)


@pytest.mark.parametrize(
    "source",
    ["while (true) {}", "export const x = { get fetch() { while (true) {} } };", "(function f() { for (;;) f; })();"],
)
def test_an_endless_loop_is_given_up(probed: Callable[..., ProbeReport], source: str) -> None:
    """A script that never finishes starting is refused after the timeout, and its process is gone."""
    with pytest.raises(ScriptInvalid, match="CPU time limit"):
        probed(source, timeout=0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the wall time alone is limited")
def test_a_start_is_given_so_many_seconds_of_the_processor(
    probed: Callable[..., ProbeReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless loop ends when they are used up, long before the wall time is over."""
    monkeypatch.setattr(probe_module, "START_CPU_SECONDS", 1)
    with pytest.raises(ScriptInvalid, match="CPU time limit"):
        probed("while (true) {}", timeout=3600)


def test_a_python_worker_is_refused_at_once(
    workerd: Path, make_worker: Callable[..., RunnableWorker], tmp_path: Path
) -> None:
    """One line says why Python does not run here; nothing is started for it."""
    path = tmp_path / "main.py"
    path.write_text("from workers import Response")
    module = ModuleFile(name="main.py", content_type="text/x-python", path=path)
    worker = make_worker("page", "", main_module="main.py", modules=(module,), compatibility_flags=("python_workers",))
    with pytest.raises(ScriptInvalid, match=r'^"main.py" is Python: .* Pyodide bundle from the network'):
        asyncio.run(probe(worker, partial(start_workerd, workerd, folder=tmp_path)))


def test_bindings_are_there_while_the_script_starts(probed: Callable[..., ProbeReport]) -> None:
    """Values can be read at the top level; what is not a value is there too, but leads nowhere."""
    source = """
        import { env } from "cloudflare:workers";
        if (env.TEXT !== "t" || env.JSON.a !== 1 || !env.ROOM || !env.PEER) throw new Error(Object.keys(env).join());
        export default { fetch() {} };
    """
    bindings = (
        {"type": "plain_text", "name": "TEXT", "text": "t"},
        {"type": "json", "name": "JSON", "json": {"a": 1}},
        {"type": "durable_object_namespace", "name": "ROOM", "class_name": "Room"},
        {"type": "service", "name": "PEER", "service": "elsewhere"},
    )
    assert probed(source, bindings=bindings).default_handlers == ("fetch",)


def test_a_probe_leaves_nothing_behind(
    probed: Callable[..., ProbeReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a good and a bad script no file is left in the temporary directory."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    probed(HELLO)
    with pytest.raises(ScriptInvalid):
        probed("throw 1;")
    assert list(folder.iterdir()) == []


def test_a_probe_never_holds_a_secret(probed: Callable[..., ProbeReport]) -> None:
    """A script that looks at a secret while it loads sees a stand-in, so nothing of it can be left on the disk."""
    binding = {"type": "secret_text", "name": "KEY", "text": "canary-of-a-secret"}
    report = probed(
        """
        import { env } from "cloudflare:workers";
        if (typeof env.KEY !== "string" || env.KEY.includes("canary")) throw new Error("the secret is here");
        export default { fetch() {} };
        """,
        bindings=(binding,),
    )
    assert report.default_handlers == ("fetch",)


@pytest.mark.parametrize("source", thinned(ODD, of=5))
def test_one_start_lets_nothing_pass_that_two_refuse(
    workerd: Path, make_worker: Callable[..., RunnableWorker], tmp_path: Path, source: str
) -> None:
    """Examined, a script passes only where the trial start passes it, and reports the exports that a probe finds."""
    bindings = (
        {"type": "plain_text", "name": "TEXT", "text": "text"},
        {"type": "durable_object_namespace", "name": "COUNTER", "class_name": "Counter"},
    )
    worker = make_worker("page", source, bindings=bindings, hosts={"Counter": "0" * 32})

    async def ready() -> None:
        pass

    async def story() -> None:
        trials = Trials(partial(start_workerd, workerd, folder=tmp_path), tmp_path, tmp_path / "sites", ready=ready)
        try:
            examined = await trials.examine(worker)
        except ScriptInvalid:
            return
        finally:
            await trials.close()
        await trials.check(worker)
        try:
            probed = await trials.probe(worker)
        except ScriptInvalid:  # which has no objects to bind
            assert "env.COUNTER" in source
            return
        assert replace(examined, startup_ms=0) == replace(probed, startup_ms=0)

    asyncio.run(story())
