"""Runs the pinned esbuild: TypeScript and everything that imports files become one ES module, with its source map.

`cloudflare:*` and `node:*` stay imports, because the runtime provides them; WebAssembly and data stay modules of their
own. The same sources give the same bytes on every machine, and are not bundled twice by one process: a plan is made
often, and most plans change no source. esbuild's binary is called as it is (7 ms a bundle); its packages need Node.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.model import Module, ModuleKind

if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS = 60
"""How long a bundle may take before it is given up."""
_KINDS = {
    ".js": ModuleKind.ESM,
    ".map": ModuleKind.SOURCE_MAP,
    ".wasm": ModuleKind.WASM,
    ".bin": ModuleKind.DATA,
}
_OPTIONS = (
    "--bundle",
    "--format=esm",
    "--platform=neutral",
    "--target=es2024",
    "--main-fields=module,main",
    "--conditions=workerd,worker,browser",
    "--external:cloudflare:*",
    "--external:node:*",
    *(f"--loader:{suffix}=text" for suffix in (".txt", ".html", ".sql")),
    *(f"--loader:{suffix}=copy" for suffix in (".wasm", ".bin")),
    "--entry-names=index",
    "--asset-names=[name]-[hash]",
    "--sourcemap=linked",
    "--sources-content=false",
    "--keep-names",
    "--log-level=error",
    "--log-limit=1",
    "--color=false",
)
_NODE = (
    *("assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram"),
    *("diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module", "net"),
    *("os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "stream", "string_decoder"),
    *("timers", "tls", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib"),
)
_SETTINGS = ("package.json", "tsconfig.json")
"""Files that esbuild reads from the folders of a source and from those above, where they are: a new one counts too."""
_KEPT = 32
"""Bundles that are kept; the oldest is dropped first."""


class BundleFailed(Exception):  # noqa: N818 - what happened, not whose error it is
    """esbuild did not make a bundle; `line` is the source's line where it says one."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message, self.line = message, line


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A bundle with what it was made of: digests by path, None for a file that was not there."""

    inputs: dict[Path, str | None]
    modules: tuple[Module, ...]


_made: dict[tuple[str, str, str], _Made] = {}


def build(entry: Path, *, node: bool = False) -> tuple[Module, ...]:
    """Bundle a file; its modules have the main one, `index.js`, first. Raises BundleFailed.

    `node`: the Worker has Node's own modules, so that `fs` means `node:fs`, whatever package of that name is installed.
    """
    path = entry.resolve()
    return _cached(path.parent, [path.name, *_aliases(node=node)], b"", str(path))


def build_text(text: bytes, *, loader: str, folder: Path, node: bool = False) -> tuple[Module, ...]:
    """Bundle a source that is in no file; what it imports is looked for from `folder`. Raises BundleFailed."""
    arguments = [f"--loader={loader}", f"--sourcefile=index.{loader}", *_aliases(node=node)]
    return _cached(folder.resolve(), arguments, text, hashlib.sha256(text).hexdigest())


def _aliases(*, node: bool) -> list[str]:
    return [f"--alias:{name}=node:{name}" for name in _NODE] if node else []


def _cached(folder: Path, arguments: list[str], text: bytes, name: str) -> tuple[Module, ...]:
    """Bundle, unless the same was bundled before and none of the files that it was made of has changed."""
    key = (str(folder), " ".join(arguments), name)
    known = _made.get(key)
    # By content: a file's time need not change with it.
    if known is not None and all(_digest(path) == digest for path, digest in known.inputs.items()):
        return known.modules
    with tempfile.TemporaryDirectory(prefix="notebook-do-") as out:
        # Resolved: a path that is a link would be written in two ways, and one of them into the source map.
        place = Path(out).resolve()
        _run([*arguments, *_OPTIONS, f"--outdir={place / 'out'}", f"--metafile={place / 'meta.json'}"], text, folder)
        meta = json.loads((place / "meta.json").read_bytes())
        made = _Made(inputs=_inputs(meta, folder), modules=_modules(place / "out", folder))
    while len(_made) >= _KEPT:
        del _made[next(iter(_made))]
    _made[key] = made
    return made.modules


def _run(arguments: list[str], text: bytes, folder: Path) -> None:
    """Run esbuild in `folder`, with `text` as its standard input; raises BundleFailed."""
    from notebook_do.toolchain import find_esbuild

    try:
        done = subprocess.run(  # noqa: S603 - the pinned binary, no shell
            [str(find_esbuild()), *arguments],
            input=text,
            cwd=folder,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BundleFailed(
            f"esbuild did not end within {SECONDS} s; bundle it yourself and give the .js file."
        ) from None
    if done.returncode != 0:
        raise _failure(done.stderr.decode(errors="replace"))


_MESSAGE = re.compile(r"\[ERROR\]\s*(?P<text>[^\n]*)\n(?:\s*\n)?\s*(?P<file>[^\n:]+):(?P<line>\d+):(?P<column>\d+):")


def _failure(stderr: str) -> BundleFailed:
    """Return what esbuild says as one line; its own output is several, with the source and a pointer to the column."""
    found = _MESSAGE.search(stderr)
    if found is None:
        return BundleFailed(" ".join(stderr.split())[:300] or "esbuild failed without a message")
    line, column = int(found["line"]), int(found["column"]) + 1  # it counts columns from 0
    text = found["text"].strip().rstrip(".")
    return BundleFailed(f"{found['file']}:{line}:{column}: {text}; correct the source.", line)


def _modules(out: Path, folder: Path) -> tuple[Module, ...]:
    """Read what was made, the main module first, then by name."""
    modules = [
        Module(
            name=path.name,
            content=_map(path, folder) if path.suffix == ".map" else path.read_bytes(),
            kind=_KINDS[path.suffix],
        )
        for path in sorted(out.iterdir(), key=lambda p: (p.name != "index.js", p.name))
    ]
    return tuple(modules)


def _map(path: Path, folder: Path) -> bytes:
    """Read a source map with its sources named from the entrypoint's folder, and not from where it was made."""
    # esbuild writes them relative to the temporary folder, whose name would be another one in every upload.
    content: dict[str, Any] = json.loads(path.read_bytes())
    content["sources"] = [_relative(path.parent / source, folder) for source in content["sources"]]
    return json.dumps(content, separators=(",", ":")).encode()


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(os.path.normpath(path), folder)).as_posix()


def _inputs(meta: dict[str, Any], folder: Path) -> dict[Path, str | None]:
    """Name everything that the bundle depends on: sources, and the settings that lie beside or above them."""
    # "<stdin>" is the cell's own text, which is part of the key already.
    sources = [folder / name for name in meta["inputs"] if not name.startswith("<")]
    files = {path for path in map(_plain, sources) if path.is_file()}
    places = {parent for path in (*files, folder / "x") for parent in path.parents}
    watched: Iterable[Path] = (place / name for place in places for name in _SETTINGS)
    return {path: _digest(path) for path in sorted({*files, *watched})}


def _plain(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
