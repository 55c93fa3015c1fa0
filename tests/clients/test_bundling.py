"""The real wrangler bundles the same programs: its bundle and ours are one program, and answer the same."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import date as day_of
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bundled_programs import PROGRAMS, Program

import notebook_do as nd
from notebook_do.model import WORKER_FIELDS, Bindings, Module, ModuleKind
from notebook_do.model import Worker as Declared
from notebook_do.sources.bundle import bundle
from notebook_do.sources.node import MODULES, SINCE, node_of
from notebook_do.sources.same import same_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALWAYS = {"polyfills"}
"""The others are `thorough`: each is a process of wrangler."""
KINDS = {".txt": "text", ".md": "text", ".html": "text", ".bin": "data", ".png": "data", ".wasm": "wasm"}


def cases() -> list[Any]:
    """List the programs, most of them for the thorough run only."""
    return [pytest.param(p, id=p.name, marks=() if p.name in ALWAYS else pytest.mark.thorough) for p in PROGRAMS]


def wrangler_config(program: Program) -> dict[str, Any]:
    """Write the configuration that says the same as the fields of a Worker, by the rows of the table."""
    config: dict[str, Any] = {
        "name": program.name,
        "main": program.entrypoint,
        "compatibility_date": program.date,
        "compatibility_flags": program.fields.get("compatibility_flags", []),
    }
    for name, value in program.fields.items():
        if len(path := WORKER_FIELDS[name].wrangler) == 1:
            config[path[0]] = value
    return config


def bundled_by_wrangler(program: Program, folder: Path, run: Callable[..., str]) -> list[Module]:
    """Let wrangler bundle a program without sending it; gives its modules, the main one first."""
    program.write(folder)
    (folder / "wrangler.json").write_text(json.dumps(wrangler_config(program)))
    run("deploy", "--dry-run", "--outdir", "out", cwd=folder)
    main = f"{program.entrypoint.rpartition('/')[2].rpartition('.')[0]}.js"
    files = sorted((p for p in (folder / "out").rglob("*") if p.is_file()), key=lambda p: p.name != main)
    modules = []
    for path in files:
        if path.suffix in {".map", ".css"} or path.name in {"README.md", "bundle-meta.json"}:
            continue  # README.md is wrangler's own, of its folder
        kind = KINDS.get(path.suffix, "esm")
        name = path.relative_to(folder / "out").as_posix()
        modules.append(Module(name=name, content=path.read_bytes(), kind=kind))
    return modules


@pytest.fixture
def wrangler(cloud: Any, node: Path, node_packages: Path) -> Callable[..., str]:
    """Run wrangler in a folder."""

    def run(*arguments: str, cwd: Path) -> str:
        return str(cloud.run(node, node_packages / "wrangler" / "bin" / "wrangler.js", *arguments, cwd=cwd))

    return run


@pytest.mark.thorough
@pytest.mark.parametrize("program", cases())
def test_wranglers_bundle_is_ours(program: Program, tmp_path: Path, wrangler: Callable[..., str]) -> None:
    """After both went through one esbuild nothing is left that differs, additional modules and their names included."""
    theirs = bundled_by_wrangler(program, tmp_path / "program", wrangler)
    declared = Declared(
        "w",
        entrypoint=program.entrypoint,
        compatibility_date=program.date,
        bindings=Bindings("w", {}),
        **_kept(program.fields),
    )
    ours = bundle(declared, base=tmp_path / "program")[1]
    assert {m.name for m in ours[1:] if m.kind is not ModuleKind.SOURCE_MAP} == {m.name for m in theirs[1:]}
    assert same_code(ours, theirs)


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields as a declaration keeps them."""
    made = nd.Worker("w", entrypoint="x.js", **fields)
    return {name: getattr(made, name) for name in fields}


ASK = """
import { defineEnv } from "unenv";
import { getCloudflarePreset, nonPrefixedNodeModules } from "@cloudflare/unenv-preset";
const all = JSON.parse(process.argv[2]).map(([compatibilityDate, compatibilityFlags]) => {
  const preset = getCloudflarePreset({ compatibilityDate, compatibilityFlags });
  return defineEnv({ presets: [preset], npmShims: true }).env;
});
console.log(JSON.stringify([all, nonPrefixedNodeModules]));
"""
FLAGS = ["enable_nodejs_fs_module", "disable_nodejs_http_modules", "enable_nodejs_process_v2",
         "disable_nodejs_perf_hooks_module", "no_fetch_iterable_type_support"]  # fmt: skip


def test_the_table_of_nodes_modules_is_wranglers_preset(node: Path, node_packages: Path) -> None:
    """On the days before and of each change, and with flags: what is native, what stands in, what comes first."""
    dates = sorted({since for since, _ in SINCE.values()} | {"2025-09-01", "2026-01-15", "2026-02-19", "2024-09-23"})
    days = {day for date in dates for day in (date, str(day_of.fromisoformat(date) - timedelta(days=1)))}
    asked: list[tuple[str, list[str]]] = [(day, []) for day in sorted(days) if day >= "2024-09-23"]
    asked += [(day, [flag]) for day in ("2025-01-01", "2026-06-01") for flag in FLAGS]
    script = node_packages / "wrangler" / "node_modules" / f"notebook-do-asks-{os.getpid()}.mjs"
    script.write_text(ASK)
    try:
        done = subprocess.run([node, script, json.dumps(asked)], check=True, capture_output=True, text=True)
    finally:
        script.unlink()
    found, names = json.loads(done.stdout)
    assert set(names) == MODULES
    for (date, flags), env in zip(asked, found, strict=True):
        ours = node_of(date, ("nodejs_compat", *flags))
        assert {f"node:{name}" for name in ours.native} == {n for n in env["external"] if n.startswith("node:")}, date
        prefixed = {n.removeprefix("node:"): to for n, to in env["alias"].items() if n.startswith("node:")}
        stands_in = {name: to for name, to in prefixed.items() if name not in ours.native}
        of_node = {name: to for name, to in ours.stands_in.items() if name in prefixed}
        assert of_node == stands_in, (date, flags)
        shims = {n: to for n, to in env["alias"].items() if to.startswith(("unenv/npm/", "unenv/mock/empty"))}
        assert {n: ours.stands_in.get(n, "unenv/npm/debug") for n in shims} == shims
        assert ours.globals_ == env["inject"], (date, flags)
        assert list(ours.first) == env["polyfill"], (date, flags)
