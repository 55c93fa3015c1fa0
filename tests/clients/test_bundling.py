"""The real wrangler bundles the same programs: its bundle and ours are one program, and answer the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from bundled_programs import PROGRAMS, Program

import notebook_do as nd
from notebook_do.model import WORKER_FIELDS, Bindings, Module, ModuleKind
from notebook_do.model import Worker as Declared
from notebook_do.sources.bundle import bundle
from notebook_do.sources.same import same_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALWAYS = {"define-alias-minify", "rules", "required-builtins", "polyfills"}
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
