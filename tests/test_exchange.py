"""Live Workers become declarations whose plan is empty; declarations become a wrangler project."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.declare.cell import parse_cell
from notebook_do.errors import CommandError
from notebook_do.interchange.exporting import write_files
from notebook_do.model import Module, ModuleKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNTER = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
  async increment() {
    const value = ((await this.ctx.storage.get("value")) ?? 0) + 1;
    await this.ctx.storage.put("value", value);
    return value;
  }
}
export default {
  async fetch(request, env) {
    return new Response(String(await env.COUNTER.getByName("one").increment()) + (env.SUFFIX ?? ""));
  },
};
"""


def deploy_counter(lifecycle: str = "auto") -> nd.Session:
    """Deploy a counter by one session, and call it once."""
    session = nd.session("first")
    counter = nd.DurableObjectNamespace("visits", class_name="Counter")
    nd.Worker("w", script=COUNTER, bindings={"COUNTER": counter, "SUFFIX": "!"}, lifecycle=lifecycle)
    session.deploy(session.plan())
    assert session.fetch("w").text == "1!"
    return session


@pytest.mark.parametrize("lifecycle", ["exports", "migrations"])
def test_an_imported_worker_has_an_empty_plan(cloud: Path, lifecycle: str) -> None:
    """After `import_` the session knows the Worker and its namespace: nothing would be sent, all objects are there."""
    before = deploy_counter(lifecycle).namespaces()["namespace_id"].tolist()
    session = nd.session("second")
    imported = session.import_("w-dev")
    assert session.plan().empty
    assert session.namespaces()["namespace_id"].tolist() == before
    assert session.namespaces()["stable_id"].tolist() == ["visits"], "the mark on the Worker names the stable ID"
    assert session.fetch("w-dev").text == "2!"
    pasted = [d for cell in imported.cells for d in parse_cell(*_split(cell))]
    assert pasted == list(imported.declarations)


def _split(cell: str) -> tuple[str, str | None]:
    """Take a magic cell apart as IPython does."""
    line, newline, body = cell.partition("\n")
    return line.removeprefix("%%durable ").removeprefix("%durable "), body if newline else None


def test_f56_a_lost_state_file_is_rebuilt_by_import(cloud: Path) -> None:
    """F56: the state file is deleted, and an import finds every stable ID again."""
    session = deploy_counter()
    declared = list(session.catalog.namespaces.values()), list(session.catalog.workers.values())
    session.state_path.unlink()
    imported = session.import_("w-dev")
    assert imported.cells
    assert session.recorded().namespaces[0].stable_id == "visits"
    assert [n.id for n in declared[0]] == ["visits"]
    assert session.fetch("w-dev").text == "2!"


@pytest.mark.parametrize("lifecycle", ["exports", "migrations"])
def test_f56_a_lost_state_file_is_no_new_beginning(cloud: Path, lifecycle: str) -> None:
    """F56, P2: without its state file the same notebook finds its namespace by the mark on the Worker: none is created.

    The next deploy records it under the id that it has, and its row is there.
    """
    session = deploy_counter(lifecycle)
    ids = session.namespaces()["namespace_id"].tolist()
    session.state_path.unlink()
    session.state.journal_path.unlink()
    plan = session.plan()
    assert not plan.refusals
    assert not plan.migration_rows, "nothing is created, renamed or deleted"
    assert session.deploy(plan).ok
    assert session.plan().empty
    assert session.namespaces()["namespace_id"].tolist() == ids
    assert [n.namespace_id for n in session.recorded().namespaces] == ids
    assert session.fetch("w").text == "2!"


def test_f57_f59_a_state_file_that_is_behind_catches_up_by_import(cloud: Path) -> None:
    """F57, F59: what an old copy of the state file does not know is refused, recorded by one import, and then goes on.

    So it is where the journal of an interrupted deploy was lost.
    """
    session = deploy_counter()
    old = session.state_path.read_bytes()
    source = COUNTER.replace("Counter", "Tally")
    counter = nd.DurableObjectNamespace("visits", class_name="Tally")
    nd.Worker("w", script=source, bindings={"COUNTER": counter, "SUFFIX": "?"})
    session.deploy(session.plan())
    ids = session.namespaces()["namespace_id"].tolist()
    session.state_path.write_bytes(old)
    session.state.journal_path.unlink()
    nd.Worker("w", script=source, bindings={"COUNTER": counter, "SUFFIX": "."})
    (refusal,) = session.plan().refusals
    assert refusal.code == "state-behind"
    assert "%durable import w-dev" in refusal.choices[0]
    session.import_("w-dev")
    assert session.plan().empty
    nd.Worker("w", script=source, bindings={"COUNTER": counter, "SUFFIX": "."})
    assert session.deploy(session.plan()).ok
    assert session.namespaces()["namespace_id"].tolist() == ids
    assert session.fetch("w").text == "2."


def test_import_of_a_worker_that_the_session_knows(cloud: Path) -> None:
    """A Worker that is declared, or recorded by an earlier kernel, comes back under its own id, not as a second one."""
    deploy_counter()
    for name in ("first", "other", "first"):  # at the end it is known from the state file only
        session = nd.session(name)
        imported = session.import_("w-dev")
        cells = imported.cells
        known = "w-dev" if name == "other" else "w"
        assert cells[-1].startswith(f"%%durable worker {known} --name w-dev ")
        assert list(session.catalog.workers) == [known]
        plan = session.plan()
        assert plan.empty, plan.changes
        assert [w.id for w in session.recorded().workers] == [known]


def test_several_modules_come_back_as_files(cloud: Path) -> None:
    """A Worker of several modules is imported with its files, byte by byte, and its plan is empty."""
    odd = bytes(range(256)) + b"\r\n--x\r\n"
    main = b'import data from "./blob.bin";\nexport default { fetch: () => new Response(String(data.byteLength)) };\n'
    session = nd.session("first")
    modules = (Module(name="index.js", content=main), Module(name="blob.bin", content=odd, kind=ModuleKind.DATA))
    nd.Worker("files", modules=modules)
    session.deploy(session.plan())
    second = nd.session("second")
    imported = second.import_("files-dev")
    assert imported.files["files-dev/blob.bin"] == odd
    assert second.plan().empty
    write_files(cloud, imported.files)
    exec(compile(imported.cells[-1], "cell", "exec"), {})  # the cell is Python: a user would run it
    assert second.plan().empty
    assert second.fetch("files-dev").text == str(len(odd))


def test_import_of_the_whole_account_and_of_an_unknown_worker(cloud: Path) -> None:
    """`from_account` takes every Worker; an unknown name is one line that lists those there are."""
    deploy_counter()
    session = nd.session("second")
    with pytest.raises(nd.CommandError, match=r"nothing.*w-dev"):
        session.import_("nothing")
    assert not session.state.exists
    assert len(session.import_(from_account=True).cells) == 2


def test_export_for_wrangler_is_what_is_live(cloud: Path) -> None:
    """The exported project names the script, the classes with their storage, the bindings, and holds the source."""
    session = deploy_counter()
    written = session.export_wrangler(cloud / "out")
    assert [p.name for p in written] == ["index.js", "wrangler.jsonc"]
    config = json.loads((cloud / "out" / "w-dev" / "wrangler.jsonc").read_text())
    assert config["name"] == "w-dev"
    assert config["exports"] == {"Counter": {"type": "durable-object", "storage": "sqlite"}}
    assert (cloud / "out" / "w-dev" / "index.js").read_text() == COUNTER
    assert session.export_wrangler(cloud / "out") == written, "the same again is no conflict"


def test_nothing_is_overwritten_and_nothing_is_written_outside(tmp_path: Path) -> None:
    """A file with another content stops everything before the first write; so does a name that leads outside."""
    (tmp_path / "b").write_text("mine")
    with pytest.raises(nd.CommandError, match="exists with another content"):
        write_files(tmp_path, {"a": b"1", "b": b"2"})
    assert not (tmp_path / "a").exists()
    with pytest.raises(nd.CommandError, match="outside"):
        write_files(tmp_path / "in", {"../out": b"1"})
    assert not (tmp_path / "out").exists()


TYPED = """import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject<Env> {
  async add(step: number): Promise<number> { return step; }
}
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const total: number = await env.COUNTER.getByName("one").add(STEP);
    return new Response(String(total) + env.GREETING.toUpperCase());
  },
} satisfies ExportedHandler<Env>;
"""


def typed_worker(home: Path) -> nd.Session:
    """Declare a Worker in TypeScript, with a class, a text and a client of the class; nothing is deployed."""
    (home / "worker.ts").write_text(TYPED.replace("STEP", "1"))
    session = nd.session("typed")
    counter = nd.DurableObjectNamespace("visits", class_name="Counter")
    host = nd.Worker("host", entrypoint="./worker.ts", bindings={"COUNTER": counter, "GREETING": "hi"})
    nd.Worker("client", script=COUNTER, bindings={"FAR": host.bindings.COUNTER})
    return session


def test_types_of_env_are_written_and_written_anew(cloud: Path) -> None:
    """Each Worker has a file whose classes are imported from its entrypoint; another file is never overwritten."""
    session = typed_worker(cloud)
    written = session.export_types()
    assert [str(path) for path in written] == [
        f"types/{worker}/worker-configuration.d.ts" for worker in ("client", "host")
    ]
    client, host = (path.read_text() for path in written)
    assert 'COUNTER: DurableObjectNamespace<import("../../worker").Counter>;' in host
    assert 'FAR: DurableObjectNamespace<import("../../worker").Counter>;' in client
    counter = session.catalog.namespaces["visits"]
    nd.Worker("host", entrypoint="./worker.ts", bindings={"COUNTER": counter, "LIMIT": nd.Json(3)})
    session.export_types()
    assert "GREETING" not in written[1].read_text()
    assert "LIMIT: number;" in written[1].read_text()
    written[1].write_text("// mine")
    with pytest.raises(CommandError, match="was not written by this"):
        session.export_types()
    assert written[1].read_text() == "// mine"


@pytest.mark.clients
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm, to ask the TypeScript compiler itself")
def test_the_compiler_checks_calls_through_a_binding(cloud: Path, install: Callable[..., Path]) -> None:
    """With the written types tsc takes the Worker, and finds a wrong argument of an object's method."""
    npm = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", ".")
    packages = install("typescript", ("typescript@5", "@cloudflare/workers-types@4"), npm) / "node_modules"
    (cloud / "node_modules").symlink_to(packages)
    options = {"types": ["@cloudflare/workers-types"], "lib": ["es2024"], "strict": True, "noEmit": True}
    options |= {"module": "esnext", "moduleResolution": "bundler", "target": "es2024"}
    files = ["worker.ts", "wrong.ts", "types/host/worker-configuration.d.ts"]
    (cloud / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": files}))
    (cloud / "wrong.ts").write_text(TYPED.replace("STEP", '"one"'))
    typed_worker(cloud).export_types()
    command = (str(packages / ".bin" / "tsc"), "-p", ".")
    done = subprocess.run(command, cwd=cloud, capture_output=True, text=True, timeout=300, check=False)
    (wrong,) = (line for line in done.stdout.splitlines() if not line.startswith(" "))
    assert wrong.startswith("wrong.ts(7,")
    assert "not assignable to parameter of type 'number'" in wrong


def test_a_python_worker_has_no_types(cloud: Path) -> None:
    """What has no TypeScript is said in one line."""
    session = nd.session("py")
    nd.Worker("p", script="from workers import WorkerEntrypoint\nclass Default(WorkerEntrypoint): pass\n", lang="py")
    with pytest.raises(CommandError, match="no Worker in JavaScript or TypeScript"):
        session.export_types()
    assert not (cloud / "types").exists()


BRACES = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  async visits() {
    await this.ctx.storage.put("n", ((await this.ctx.storage.get("n")) ?? 0) + 1);
    return await this.ctx.storage.get("n");
  }
}
export default {
  async fetch(request, env) {
    return new Response(`{x} ${1 + 1} $HOME {{y}} ${env.NAME} ${await env.ROOM.getByName("a").visits()}`);
  },
};
"""


@pytest.mark.parametrize("no_bundle", [True, False])
def test_a_cell_goes_through_files_and_is_the_same_worker(cloud: Path, no_bundle: bool) -> None:  # noqa: FBT001
    """`export` writes the source as it is, braces and dollars untouched; declared from there, nothing is to deploy."""
    session, name = nd.session("s"), "{x} $HOME ${y} {{z}}"
    bindings = {"ROOM": nd.DurableObjectNamespace("room", class_name="Room"), "NAME": name}
    nd.Worker("api", script=BRACES, bindings=bindings)
    assert session.deploy(session.plan())["api"].fetch("/").text == f"{{x}} 2 $HOME {{{{y}}}} {name} 1"
    (source,) = (path for path in session.export_wrangler("out") if path.name == "index.js")
    assert source.read_text() == BRACES
    nd.Worker("api", entrypoint=str(source), no_bundle=no_bundle, bindings=bindings)
    assert session.plan().empty
    assert session.fetch("api", "/").text.endswith(f"{name} 2")
