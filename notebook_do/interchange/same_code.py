"""Says whether two uploads run the same code, though two tools made them of one source.

Both go through the same esbuild, minified: comments, blanks, names inside the bundle, source maps, and the names that a
tool gives to the modules beside the main one are gone then. What still differs counts as different, and no claim is
made.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import ToolchainError
from notebook_do.model import Module, ModuleKind
from notebook_do.sources.esbuild import SECONDS
from notebook_do.toolchain import find_esbuild

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOADERS = {
    ModuleKind.ESM: "js",
    ModuleKind.COMMONJS: "js",
    ModuleKind.TEXT: "copy",
    ModuleKind.JSON: "copy",
    ModuleKind.WASM: "copy",
    ModuleKind.DATA: "copy",
}
_OPTIONS = (
    *("--bundle", "--format=esm", "--platform=neutral", "--target=es2024", "--legal-comments=none"),
    *("--entry-names=main", "--asset-names=[hash]", "--log-level=error", "--log-limit=1"),
    *("--external:cloudflare:*", "--external:node:*", "--external:workerd:*"),
)
_BUNDLE, _MINIFIED = ("--keep-names",), ("--minify",)
_NAMED = re.compile(rb'"name",\s*\{\s*value')
"""The helper of esbuild that writes down a function's name, minified or not."""


def same_code(one: Sequence[Module], other: Sequence[Module]) -> bool:
    """Return whether two lists of modules, each with its main one first, are equal but for what tools add.

    Modules in Python, and what esbuild cannot read, are compared as they are.
    """
    if _as_they_are(one) == _as_they_are(other):
        return True
    normal = _normal(one)
    return normal is not None and normal == _normal(other)


def _as_they_are(modules: Sequence[Module]) -> list[tuple[str, ModuleKind, bytes]]:
    main, *beside = [m for m in modules if m.kind is not ModuleKind.SOURCE_MAP]
    # What the main module is called says nothing about what runs.
    rest = sorted((m.name, m.kind, m.content) for m in beside)
    return [("", main.kind, _without_map_comment(main.content)), *rest]


def _without_map_comment(content: bytes) -> bytes:
    return re.sub(rb"\s*//# sourceMappingURL=[^\n]*\s*\Z", b"", content)


def _normal(modules: Sequence[Module]) -> dict[str, str] | None:
    """Return digests of what esbuild makes of an upload, by name; None where it cannot read it."""
    modules = [m for m in modules if m.kind is not ModuleKind.SOURCE_MAP]
    if not _NAMED.search(modules[0].content):
        # A bundle writes down the names of functions, by a helper of its own; a source that went up as it is does not.
        made = _made(modules, _BUNDLE)
        if made is None:
            return None
        beside = {hashlib.sha256(m.content).hexdigest(): m.kind for m in modules}
        modules = [
            Module(name=name, content=content, kind=beside.get(hashlib.sha256(content).hexdigest(), ModuleKind.ESM))
            for name, content in made.items()
        ]
    made = _made(modules, _MINIFIED)
    return None if made is None else {n: hashlib.sha256(content).hexdigest() for n, content in made.items()}


def _made(modules: Sequence[Module], options: Sequence[str]) -> dict[str, bytes] | None:
    """Return the files that esbuild makes of modules, `main.js` first; None where it cannot read them."""
    if any(m.kind not in _LOADERS for m in modules):
        return None
    with tempfile.TemporaryDirectory(prefix="notebook-do-") as folder:
        place = Path(folder).resolve()
        for module in modules:
            path = place / "in" / module.name
            # A module's name comes from a live script, so from anybody.
            if not path.resolve().is_relative_to(place / "in"):
                return None
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(module.content)
        if not _run(modules, options, place):
            return None
        found = sorted((place / "out").iterdir(), key=lambda path: (path.name != "main.js", path.name))
        return {path.name: path.read_bytes() for path in found}


def _run(modules: Sequence[Module], options: Sequence[str], place: Path) -> bool:
    suffixes = {Path(m.name).suffix: _LOADERS[m.kind] for m in modules[1:]}
    loaders = [f"--loader:{suffix}={loader}" for suffix, loader in suffixes.items() if suffix]
    try:
        program = str(find_esbuild())
    except ToolchainError:  # what cannot be compared counts as different, and the import goes on
        return False
    command = [program, modules[0].name, *_OPTIONS, *options, *loaders, f"--outdir={place / 'out'}"]
    try:
        done = subprocess.run(  # noqa: S603 - the pinned binary, no shell
            command, cwd=place / "in", capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
