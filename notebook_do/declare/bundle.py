"""Turns a Worker's source into the modules that are uploaded: its script, its files, or what esbuild makes of them.

A plain script and a plain `.js` entrypoint without imports go up as they are. TypeScript and everything with imports
is bundled by esbuild into one ES module; `cloudflare:*` and `node:*` stay imports, because the runtime provides them.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import SourceError
from notebook_do.model import Module, ModuleKind

if TYPE_CHECKING:
    from notebook_do.model import Worker

KINDS = {
    ".js": ModuleKind.ESM,
    ".mjs": ModuleKind.ESM,
    ".py": ModuleKind.PYTHON,
}
BUNDLED = frozenset({".ts", ".mts", ".tsx", ".jsx"})
MAX_BYTES = 64 * 1024 * 1024
"""Cloudflare's largest script on a paid plan, uncompressed (developers.cloudflare.com/workers/platform/limits)."""
_FROM = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']([^"']+)["']""")
_ESBUILD_SECONDS = 60


def bundle(worker: Worker, *, base: str) -> tuple[str, tuple[Module, ...], str]:
    """Give the main module's name, all modules, and one digest of them.

    Relative entrypoints start at `base`. Raises SourceError with file, line and column where the source cannot be used.
    """
    modules = _modules(worker, base)
    size = sum(len(m.content) for m in modules)
    if size > MAX_BYTES:
        raise SourceError(
            f"Worker {worker.id}: its modules are {size / 2**20:.1f} MiB, "
            f"more than Cloudflare's {MAX_BYTES // 2**20} MiB; leave out what it does not need.",
            line=_line(worker),
        )
    return modules[0].name, modules, digest(modules)


def digest(modules: tuple[Module, ...]) -> str:
    """Name the content of modules: the same modules give the same 64 hex digits."""
    whole = hashlib.sha256()
    for module in modules:
        head = json.dumps([module.name, module.kind, len(module.content)])
        whole.update(head.encode())
        whole.update(module.content)
    return whole.hexdigest()


def _modules(worker: Worker, base: str) -> tuple[Module, ...]:
    if worker.modules:
        return worker.modules
    if worker.entrypoint is not None:
        return _from_file(worker, _path(worker, base))
    source = (worker.script or "").encode()
    match worker.lang:
        case "js":
            return (Module(name="index.js", content=source),)
        case "py":
            return (Module(name="index.py", content=source, kind=ModuleKind.PYTHON),)
        case "ts":
            return _esbuild(worker, None, source, Path(base))


def _path(worker: Worker, base: str) -> Path:
    path = Path(worker.entrypoint or "").expanduser()
    path = path if path.is_absolute() else Path(base) / path
    if not path.is_file():
        raise SourceError(
            f"Worker {worker.id}: entrypoint {worker.entrypoint} is no file in {Path(base).resolve()}; "
            "give a path relative to the notebook.",
            line=_line(worker),
        )
    return path


def _from_file(worker: Worker, path: Path) -> tuple[Module, ...]:
    suffix = path.suffix.lower()
    source = path.read_bytes()
    if suffix in BUNDLED or (suffix in {".js", ".mjs"} and imports_files(source.decode(errors="replace"))):
        return _esbuild(worker, path, source, path.parent)
    kind = KINDS.get(suffix)
    if kind is None:
        known = ", ".join(sorted({*KINDS, *BUNDLED}))
        raise SourceError(
            f"Worker {worker.id}: entrypoint {worker.entrypoint} is no source; known are {known}.", line=_line(worker)
        )
    return (Module(name=f"index{suffix}", content=source, kind=kind),)


def imports_files(source: str) -> bool:
    """Say whether a JavaScript source may import anything that the runtime does not provide."""
    return any(not name.startswith(("cloudflare:", "node:")) for name in _FROM.findall(source))


def _esbuild(worker: Worker, path: Path | None, source: bytes, folder: Path) -> tuple[Module, ...]:
    """Bundle a file, or a source given on stdin, to one ES module."""
    from notebook_do.toolchain import find_esbuild

    command = [
        str(find_esbuild()),
        *([path.name] if path else ["--loader=ts", "--sourcefile=index.ts"]),
        "--bundle",
        "--format=esm",
        "--platform=neutral",
        "--target=es2022",
        "--main-fields=module,main",
        "--conditions=workerd,worker,browser",
        "--external:cloudflare:*",
        "--external:node:*",
        "--keep-names",
        "--log-level=error",
        "--log-limit=1",
        "--color=false",
    ]
    try:
        done = subprocess.run(  # noqa: S603 - the pinned binary, no shell
            command,
            input=b"" if path else source,
            cwd=folder,
            capture_output=True,
            timeout=_ESBUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(
            f"Worker {worker.id}: esbuild did not end within {_ESBUILD_SECONDS} s; "
            "bundle it yourself and give the .js file.",
            line=_line(worker),
        ) from None
    if done.returncode != 0:
        raise _error(worker, done.stderr.decode(errors="replace"), in_cell=path is None)
    return (Module(name="index.js", content=done.stdout),)


_MESSAGE = re.compile(r"\[ERROR\]\s*(?P<text>[^\n]*)\n(?:\s*\n)?\s*(?P<file>[^\n:]+):(?P<line>\d+):(?P<column>\d+):")


def _error(worker: Worker, stderr: str, *, in_cell: bool) -> SourceError:
    """Make one line of what esbuild says; a position in the body becomes the cell's line."""
    found = _MESSAGE.search(stderr)
    if found is None:
        text = " ".join(stderr.split())[:300] or "esbuild failed without a message"
        return SourceError(f"Worker {worker.id}: {text}", line=_line(worker))
    line, column = int(found["line"]), int(found["column"]) + 1
    message = (
        f"Worker {worker.id}: {found['file']}:{line}:{column}: {found['text'].strip().rstrip('.')}; correct the source."
    )
    body = worker.where.body_line if worker.where and in_cell else None
    return SourceError(message, line=body + line - 1 if body else _line(worker))


def _line(worker: Worker) -> int | None:
    return worker.where.line if worker.where else None
