"""Real npm packages and bundles of other tools load on the local workerd: `agents`, `hono`, `pg`, wrangler, Vite."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.model import Bindings, Json, Module
from notebook_do.model import Worker as Declared
from notebook_do.notebook.views.documents import bundle as shown
from notebook_do.sources.bundle import bundle
from notebook_do.sources.same import same_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.thorough

PACKAGES = ("agents@0.32.0", "hono@4.13.19", "partyserver@0.5.10", "pg@8.23.1", "ai@6.0.326", "zod@4.6.7")
VITE = ("vite@8.3.8", "@cloudflare/vite-plugin", "wrangler@4.164.0")
INSTALL = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", "."]
AGENT = """
import { Agent, routeAgentRequest } from "agents";
export class Chat extends Agent<any, { n: number }> {
  initialState = { n: 1 };
  async onRequest() { this.setState({ n: this.state.n + 1 }); return Response.json([this.name, this.state.n]); }
}
export default {
  async fetch(request: Request, env: any) { return (await routeAgentRequest(request, env)) ?? new Response("none"); },
};
"""
OTHERS = """
import { EmailMessage } from "cloudflare:email";
import { Hono } from "hono";
import { Server, routePartykitRequest } from "partyserver";
import pg from "pg";
const app = new Hono();
app.get("/", (c) => {
  const mail = new EmailMessage("a@example.com", "b@example.com", "text");
  return c.json([new pg.Client({ host: "db" }).host, typeof routePartykitRequest, mail.from, mail.to]);
});
export class Room extends Server { onRequest() { return new Response(`room ${this.name}`); } }
export default app;
"""
APP = """
import { DurableObject } from "cloudflare:workers";
import text from "./notes.txt";
import wasm from "./answer.wasm";
export class Counter extends DurableObject { async n() { return 1; } }
export default { async fetch(request: Request, env: any) {
  const { value } = await import("./lazy");
  const { exports } = await WebAssembly.instantiate(wasm as any);
  return Response.json([text, (exports as any).f(), value, process.env.NODE_ENV]);
} };
"""
WASM = bytes.fromhex("0061736d010000000105016000017f03020100070501016600000a06010400412a0b")
FIELDS: dict[str, Any] = {"compatibility_date": "2026-06-01", "compatibility_flags": ["nodejs_compat"]}


@pytest.fixture
def npm(install: Callable[..., Path]) -> Callable[..., Path]:
    """Give an installer of npm packages; its folder has `node_modules`."""
    program = shutil.which("npm")
    if program is None:
        pytest.skip("the packages need npm to be installed")
    return lambda name, wanted: install(name, wanted, [program, "install", *INSTALL])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Give a project in the working directory, whose packages are those of another folder."""
    monkeypatch.setenv("NOTEBOOK_DO_DATA", str(tmp_path / "data"))

    def make(packages: Path, **files: str | bytes) -> Path:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "node_modules").symlink_to(packages / "node_modules")
        for name, content in files.items():
            path = folder / name.replace("__", ".").replace("_in_", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        monkeypatch.chdir(folder)
        return folder

    return make


def dry_run(node: Path, program: Path, folder: Path, main: str) -> list[Module]:
    """Let wrangler bundle a file; gives its main module."""
    config = {"name": "x", "main": main, **FIELDS}
    (folder / "wrangler.json").write_text(json.dumps(config))
    command = [node, program / "wrangler" / "bin" / "wrangler.js", "deploy", "--dry-run", "--outdir", "out"]
    quiet = {**os.environ, "CI": "1", "WRANGLER_SEND_METRICS": "false"}
    subprocess.run(command, cwd=folder, env=quiet, check=True, capture_output=True, timeout=300)
    return [Module(name="index.js", content=(folder / "out" / f"{main.partition('.')[0]}.js").read_bytes())]


def declared(entrypoint: str, **more: Any) -> Declared:
    """Declare a Worker outside of any session."""
    fields = {**FIELDS, "compatibility_flags": tuple(FIELDS["compatibility_flags"]), **more}
    return Declared("w", entrypoint=entrypoint, bindings=Bindings("w", {}), **fields)


def test_real_packages_bundle_and_load(
    npm: Callable[..., Path], project: Callable[..., Path], node: Path, node_packages: Path
) -> None:
    """`agents` keeps its state, the others answer; wrangler's bundles of them are ours, and load as they are."""
    folder = project(npm("packages", PACKAGES), agent__ts=AGENT, others__ts=OTHERS)
    session = nd.session("packages")
    chat = nd.DurableObjectNamespace("chat", class_name="Chat")
    nd.Worker("agent", entrypoint="agent.ts", bindings={"Chat": chat}, **FIELDS)
    room = nd.DurableObjectNamespace("room", class_name="Room")
    nd.Worker("others", entrypoint="others.ts", bindings={"Room": room}, **FIELDS)
    theirs = {main: dry_run(node, node_packages, folder, main) for main in ("agent.ts", "others.ts")}
    for main, modules in theirs.items():
        assert same_code(bundle(declared(main), base=folder)[1], modules), main
    nd.Worker("dry", entrypoint="out/others.js", no_bundle=True, **FIELDS)
    result = session.deploy(session.plan())
    assert result["agent"].fetch("/agents/chat/bob").json() == ["bob", 2]
    assert result["agent"].fetch("/agents/chat/bob").json() == ["bob", 3]
    for name in ("others", "dry"):
        assert result[name].fetch("/").json() == ["db", "function", "a@example.com", "b@example.com"]
    session.close()


def test_what_vite_builds_loads(npm: Callable[..., Path], project: Callable[..., Path], node: Path) -> None:
    """The output of @cloudflare/vite-plugin goes up as it is, its chunks, WebAssembly and text found by parsing."""
    rules = [{"type": "ESModule", "globs": ["**/*.js", "**/*.mjs"]}]
    config = {"name": "vite-app", "main": "src/index.ts", **FIELDS}
    folder = project(
        npm("vite", VITE),
        src_in_index__ts=APP,
        src_in_lazy__ts="export const value = 'lazy';",
        src_in_notes__txt="notes",
        src_in_answer__wasm=WASM,
        wrangler__json=json.dumps(config),
        vite__config__mjs=(
            "import { cloudflare } from '@cloudflare/vite-plugin';\nexport default { plugins: [cloudflare()] };\n"
        ),
    )
    path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
    command = f"'{node}' node_modules/vite/bin/vite.js build"
    session = nd.session("vite")
    worker = nd.Worker(
        "app", entrypoint="dist/vite_app/index.mjs", no_bundle=True, build=f"PATH='{path}' {command}", **FIELDS
    )
    assert "built by" in shown(worker)["text/plain"]
    plan = session.plan(build=True)
    assert session.deploy(plan)["app"].fetch("/").json() == ["notes", 42, "lazy", "production"]
    found = {m.name for m in bundle(declared("dist/vite_app/index.mjs", no_bundle=True), base=folder)[1]}
    more = bundle(declared("dist/vite_app/index.mjs", no_bundle=True, rules=Json(rules)), base=folder)[1]
    assert found == {m.name for m in more}
    session.close()
