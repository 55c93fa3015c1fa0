"""Sources in every form, from the file on the disk to the answer of the deployed Worker on real workerd."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.model import Bindings, ModuleKind
from notebook_do.model import Worker as Declared
from notebook_do.sources import esbuild
from notebook_do.sources.bundle import bundle, reader

if TYPE_CHECKING:
    from pathlib import Path

# (module (func (export "f") (result i32) i32.const 42))
WASM = bytes.fromhex("0061736d010000000105016000017f03020100070501016600000a06010400412a0b")
PROVIDER = """
import { DurableObject } from "cloudflare:workers";
import { step } from "./lib/step";

interface Env { SHARED_COUNTER: DurableObjectNamespace<SharedCounter> }

export class SharedCounter extends DurableObject<Env> {
  private count: number = 0;
  async increment(): Promise<number> {
    this.count = ((await this.ctx.storage.get<number>("count")) ?? 0) + step;
    await this.ctx.storage.put("count", this.count);
    return this.count;
  }
}

export default {
  async fetch(_request: Request, env: Env): Promise<Response> {
    const stub = env.SHARED_COUNTER.get(env.SHARED_COUNTER.idFromName("one"));
    return new Response(String(await stub.increment()));
  },
};
"""
CLIENT = """
import type { SharedCounter } from "./do-provider";

export default {
  async fetch(_request: Request, env: { SHARED_COUNTER: DurableObjectNamespace<SharedCounter> }) {
    const stub = env.SHARED_COUNTER.get(env.SHARED_COUNTER.idFromName("one"));
    return Response.json({ seen: await stub.increment() });
  },
};
"""


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def deployed(worker: Any) -> str:
    """Deploy what is declared and give the Worker's answer."""
    session = nd.current()
    plan = session.plan()
    assert not plan.refusals, plan
    return str(session.deploy(plan)[worker.id].fetch("/").text)


def modules_of(folder: Path, **worker: Any) -> dict[str, Any]:
    """Bundle a Worker and give its modules by name."""
    declared = Declared("w", bindings=Bindings("w", {}), **worker)
    return {module.name: module for module in bundle(declared, base=folder)[1]}


# --- the seed's cross-script examples, their TypeScript files as they are


def test_a_client_uses_the_providers_binding(cloud: Path) -> None:
    """Method 1: two TypeScript entrypoints, the client bound by `host.bindings.SHARED_COUNTER`."""
    write(cloud, {"do-provider.ts": PROVIDER, "lib/step.ts": "export const step = 1;", "client-worker.ts": CLIENT})
    session = nd.session("app")
    counter = nd.DurableObjectNamespace("shared-counter", class_name="SharedCounter", sqlite=True)
    host = nd.Worker("Host", entrypoint="./do-provider.ts", bindings={"SHARED_COUNTER": counter})
    nd.Worker("client", entrypoint="./client-worker.ts", bindings={"SHARED_COUNTER": host.bindings.SHARED_COUNTER})
    result = session.deploy(session.plan())
    assert result["Host"].fetch("/").text == "1"
    assert result["client"].fetch("/").json() == {"seen": 2}


def test_a_client_names_the_host_script(cloud: Path) -> None:
    """Method 2: the same files, the namespace declared with the name of the Worker that hosts it."""
    write(cloud, {"do-provider.ts": PROVIDER, "lib/step.ts": "export const step = 2;", "client-worker.ts": CLIENT})
    session = nd.session("app")
    shared = nd.DurableObjectNamespace("shared-counter", class_name="SharedCounter", script_name="host", sqlite=True)
    nd.Worker("host", entrypoint="./do-provider.ts", name="host", bindings={"SHARED_COUNTER": shared})
    nd.Worker("client", entrypoint="./client-worker.ts", bindings={"SHARED_COUNTER": shared})
    result = session.deploy(session.plan())
    assert result["client"].fetch("/").json() == {"seen": 2}
    assert result["host"].fetch("/").text == "4"


# --- what esbuild is asked for


def test_packages_json_text_wasm_and_data_are_bundled(cloud: Path) -> None:
    """A package of node_modules, JSON, text, WebAssembly and bytes that a source imports are there when it runs."""
    write(
        cloud,
        {
            "worker.ts": """
                import { shout } from "shouting";
                import settings from "./settings.json";
                import page from "./page.html";
                import module from "./answer.wasm";
                import data from "./data.bin";
                export default { async fetch() {
                  const instance = await WebAssembly.instantiate(module);
                  return Response.json([shout("hi"), settings.name, page, instance.exports.f(),
                    [...new Uint8Array(data)]]);
                } };
            """,
            "node_modules/shouting/package.json": '{"name": "shouting", "main": "wrong.js", "module": "right.mjs"}',
            "node_modules/shouting/right.mjs": "export const shout = (text) => text.toUpperCase();",
            "settings.json": '{"name": "ü"}',
            "page.html": "<p>hello</p>",
            "answer.wasm": WASM,
            "data.bin": b"\x00\xff",
        },
    )
    nd.session("app")
    worker = nd.Worker("w", entrypoint="worker.ts")
    assert json.loads(deployed(worker)) == ["HI", "ü", "<p>hello</p>", 42, [0, 255]]


def test_a_cell_may_import_files(cloud: Path) -> None:
    """A script that was written in a cell imports a file beside the notebook."""
    write(cloud, {"greeting.js": "export const greeting = 'from a file';"})
    nd.session("app")
    script = "import { greeting } from './greeting.js'; export default { fetch: () => new Response(greeting) };"
    assert deployed(nd.Worker("w", script=script)) == "from a file"


def test_node_modules_of_the_runtime_win_when_asked_for(cloud: Path) -> None:
    """With nodejs_compat a bare `path` is Node's own; without, it is the package of that name.

    From 2026-08-04 on a Worker has nodejs_compat unless it says no, which wrangler knows as the runtime does.
    """
    write(
        cloud,
        {
            "worker.js": "import path from 'path'; export default { fetch: () => new Response(path.join('a', 'b')) };",
            "node_modules/path/index.js": "export default { join: () => 'polyfill' };",
        },
    )
    nd.session("app")
    off = ["no_nodejs_compat", "no_nodejs_compat_v2"]
    assert deployed(nd.Worker("old", entrypoint="worker.js", compatibility_date="2026-08-03")) == "polyfill"
    assert deployed(nd.Worker("no", entrypoint="worker.js", compatibility_flags=off)) == "polyfill"
    assert deployed(nd.Worker("node", entrypoint="worker.js", compatibility_flags=["nodejs_compat"])) == "a/b"
    assert deployed(nd.Worker("new", entrypoint="worker.js")) == "a/b"


def test_the_source_map_leads_back_to_the_sources(tmp_path: Path) -> None:
    """A bundle's source map names the sources from the entrypoint's folder; no path of the machine is in it.

    Of one beside that folder the way out is left off, as wrangler does, which sends no other map.
    """
    files: dict[str, str | bytes] = {
        "src/worker.ts": "import './lib/x'; import '../../beside/y'; export default {};",
        "src/lib/x.ts": "console.log(1 as number);",
    }
    write(tmp_path / "app", files)
    write(tmp_path, {"beside/y.ts": "console.log(2 as number);"})
    tmp_path /= "app"
    made = modules_of(tmp_path, entrypoint="src/worker.ts")
    assert made["index.js"].content.rstrip().endswith(b"//# sourceMappingURL=index.js.map")
    assert made["index.js.map"].kind is ModuleKind.SOURCE_MAP
    assert json.loads(made["index.js.map"].content)["sources"] == ["lib/x.ts", "beside/y.ts", "worker.ts"]
    assert str(tmp_path).encode() not in b"".join(m.content for m in made.values())


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    """Two copies of a project in two places make one digest, so that a move is no change."""
    files: dict[str, str | bytes] = {
        "worker.ts": "import { a } from './a'; export default a;",
        "a.ts": "export const a = {};",
    }
    for place in ("one", "two/deeper"):
        write(tmp_path / place, files)
    digests = {
        bundle(Declared("w", entrypoint="worker.ts", bindings=Bindings("w", {})), base=tmp_path / place)[2]
        for place in ("one", "two/deeper")
    }
    assert len(digests) == 1


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count how often esbuild is asked for a bundle."""
    asked: list[Any] = []
    run = esbuild.run

    def counted(build: Any) -> Any:
        asked.append(build)
        return run(build)

    monkeypatch.setattr(esbuild, "run", counted)
    return asked


def test_what_imports_files_is_bundled_each_time(tmp_path: Path, runs: list[Any]) -> None:
    """Only esbuild knows what a bundle depends on, so that it is asked every time, and a change is never missed."""
    write(tmp_path, {"worker.ts": "import './a'; export default {};", "a.ts": "console.log(1);"})
    for expected in (1, 2, 3):
        modules_of(tmp_path, entrypoint="worker.ts")
        assert len(runs) == expected


def test_a_source_without_imports_is_bundled_once_for_each_content(tmp_path: Path, runs: list[Any]) -> None:
    """What stands in a cell and imports nothing is looked at when its content changes, and not at every plan."""
    for lang in ("js", "ts"):
        for text in ("export default { a: 1 };", "export default { b: 2 };"):
            runs.clear()
            first = [modules_of(tmp_path, script=f"{text} // {lang}", lang=lang) for _ in range(3)]
            assert len(runs) == 1
            assert first[0] == first[1] == first[2]


DEPENDS: list[tuple[str, dict[str, str | bytes], dict[str, str | bytes]]] = [
    (
        "the base of a tsconfig",
        {
            "worker.ts": "import './lib/a'; export default {};",
            "lib/a.ts": "export class A { declare x: number; y = 1 }; console.log(new A());",
            "tsconfig.json": '{"extends": "./conf/base.json"}',
            "conf/base.json": '{"compilerOptions": {"useDefineForClassFields": true}}',
        },
        {"conf/base.json": '{"compilerOptions": {"useDefineForClassFields": false}}'},
    ),
    (
        "a file that comes before another",
        {"worker.ts": "import { a } from './a'; export default a;", "a/index.ts": "export const a = { n: 1 };"},
        {"a.ts": "export const a = { n: 2 };"},
    ),
    (
        "a file that a pattern of imports fits",
        {
            "worker.ts": "const n = 'a'; const m = await import(`./parts/${n}.ts`); export default m;",
            "parts/a.ts": "export const a = 1;",
        },
        {"parts/b.ts": "export const b = 1;"},
    ),
    (
        "a package that is nearer",
        {
            "src/worker.ts": "import { a } from 'p'; export default a;",
            "node_modules/p/package.json": '{"name": "p"}',
            "node_modules/p/index.js": "exports.a = { n: 1 };",
        },
        {"src/node_modules/p/index.js": "exports.a = { n: 2 };"},
    ),
    (
        "an alias of tsconfig's paths",
        {"worker.ts": "import { a } from '#a'; export default a;", "package.json": '{"imports": {"#a": "./a.ts"}}',
         "a.ts": "export const a = { n: 1 };", "b.ts": "export const a = { n: 2 };"},
        {"package.json": '{"imports": {"#a": "./b.ts"}}'},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("files", "change"), [row[1:] for row in DEPENDS], ids=[row[0] for row in DEPENDS])
def test_whatever_a_bundle_depends_on_is_seen(
    tmp_path: Path, files: dict[str, str | bytes], change: dict[str, str | bytes]
) -> None:
    """A change of a file that no import names makes another bundle, where it makes another program."""
    write(tmp_path, files)
    entry = next(name for name in files if name.endswith("worker.ts"))
    before = modules_of(tmp_path, entrypoint=entry)["index.js"].content
    assert modules_of(tmp_path, entrypoint=entry)["index.js"].content == before
    write(tmp_path, change)
    assert modules_of(tmp_path, entrypoint=entry)["index.js"].content != before


def test_several_sources_are_bundled_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources of a plan do not wait for one another: two of them are under way at the same time."""
    run, both = esbuild.run, threading.Barrier(2, timeout=30)

    def together(build: Any) -> Any:
        both.wait()  # raises where nobody else comes
        return run(build)

    monkeypatch.setattr(esbuild, "run", together)
    write(tmp_path, {"a.ts": "export default 1;", "b.ts": "export default 2;"})
    workers = [Declared(n, entrypoint=f"{n}.ts", bindings=Bindings(n, {})) for n in ("a", "b")]
    read = reader(tmp_path, ahead=workers)
    assert [read(worker).exports for worker in workers] == [("default",), ("default",)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"worker.ts": "export default {\n  fetch( {} \n"}, "worker.ts:3:1: "),
        ({"worker.ts": "import './lib';", "lib.ts": "const a = ;"}, "lib.ts:1:11: Unexpected"),
        (
            {"worker.ts": "import './b.js';", "b.js": "import { x } from './c.js';\nx();", "c.js": "export {};"},
            "b.js:1:10: No ",
        ),
        ({"worker.ts": "import 'nowhere';"}, 'worker.ts:1:8: Could not resolve "nowhere"'),
        ({"worker.ts": "import 'virtual:of/a-plugin';"}, "only the build tool of the project makes that module: build"),
        ({"worker.ts": "import './x.json';", "x.json": "{"}, "x.json:1:2: "),
    ],
)
def test_an_error_names_file_line_and_column(tmp_path: Path, files: dict[str, str | bytes], message: str) -> None:
    """Whatever is wrong in whichever file, one line says where."""
    write(tmp_path, files)
    with pytest.raises(nd.SourceError) as caught:
        modules_of(tmp_path, entrypoint="worker.ts")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# --- without a bundle


def test_a_rule_names_a_file_by_its_path(tmp_path: Path) -> None:
    """A glob without a `*` is the path from the folder, as the export writes it, whatever the file's ending."""
    files: dict[str, str | bytes] = {
        "app/main.js": "import a from './lib/a.md'; export default a;",
        "app/lib/a.md": "A",
    }
    write(tmp_path, files)
    rules = nd.Json([{"type": "Text", "globs": ["lib/a.md"], "fallthrough": False}])
    made = modules_of(tmp_path, entrypoint="app/main.js", no_bundle=True, rules=rules)
    assert {name: module.kind for name, module in made.items()}["lib/a.md"] is ModuleKind.TEXT


def test_modules_go_up_as_they_are(cloud: Path) -> None:
    """With no_bundle every imported file is a module: JavaScript, CommonJS, WebAssembly, text, data and JSON."""
    write(
        cloud,
        {
            "src/main.js": """
                import { name } from "./lib/name.js";
                import old from "./old.cjs";
                import settings from "./settings.json";
                import text from "./notes.txt";
                import data from "./data.bin";
                import wasm from "./answer.wasm";
                export default { async fetch() {
                  const { exports } = await WebAssembly.instantiate(wasm);
                  return Response.json([name, old.old, settings.a, text, data.byteLength, exports.f()]);
                } };
            """,
            "src/lib/name.js": "import '../side.js'; export const name = 'n';",
            "src/side.js": "globalThis.side = 1;",
            "src/old.cjs": "exports.old = true;",
            "src/settings.json": '{"a": [1]}',
            "src/notes.txt": "notes",
            "src/data.bin": b"\x00\x01\x02",
            "src/answer.wasm": WASM,
            "src/unused.js": "nobody imports this",
        },
    )
    nd.session("app")
    worker = nd.Worker("w", entrypoint="src/main.js", no_bundle=True)
    assert json.loads(deployed(worker)) == ["n", True, [1], "notes", 3, 42]
    names = list(modules_of(cloud, entrypoint="src/main.js", no_bundle=True))
    assert names[0] == "main.js"
    assert set(names) == {
        *("main.js", "lib/name.js", "side.js", "old.cjs", "settings.json", "notes.txt", "data.bin", "answer.wasm"),
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import 'lodash';", "main.js imports lodash, a package"),
        ("import '../outside.js';", "outside the entrypoint's folder"),
        ("import './gone.js';", "main.js imports gone.js, which is no file"),
        ("import './a.css';", "no_bundle cannot upload"),
    ],
)
def test_what_cannot_go_up_as_it_is_is_refused(tmp_path: Path, source: str, message: str) -> None:
    """An import that no_bundle cannot follow is one line that names both files."""
    write(tmp_path, {"src/main.js": source, "src/a.css": "", "outside.js": ""})
    with pytest.raises(nd.SourceError) as caught:
        modules_of(tmp_path, entrypoint="src/main.js", no_bundle=True)
    assert message in str(caught.value)


def test_a_directory_of_python_is_a_worker(tmp_path: Path) -> None:
    """A directory's Python files go up by their paths, the main one first, and nothing else of it."""
    write(tmp_path, {"py/entry.py": "import lib.a", "py/lib/a.py": "", "py/.venv/x.py": "", "py/readme.md": ""})
    made = modules_of(tmp_path, entrypoint="py")
    assert list(made) == ["entry.py", "lib/a.py"]
    assert {module.kind for module in made.values()} == {ModuleKind.PYTHON}
    write(tmp_path, {"empty/readme.md": ""})
    with pytest.raises(nd.SourceError, match=r"has none of entry\.py"):
        modules_of(tmp_path, entrypoint="empty")


def test_no_bundle_needs_an_entrypoint(home: Path) -> None:
    """no_bundle without a file is refused at once."""
    with pytest.raises(nd.DeclarationError, match="no_bundle is about an entrypoint"):
        nd.session("app").declare(nd.Worker("w", script="export default {}", no_bundle=True))
