"""Turns a Worker's source into the modules that are uploaded: its script, its files, or what esbuild makes of them.

A source without imports goes up as it is, byte for byte. TypeScript and everything that imports files is bundled, but
for a Worker with `no_bundle`: its files go up as they are, each one that it imports a module of its own. Imports are
found by a pattern, not by a parser: one that is found wrongly (in a comment, say) makes a source be bundled that need
not be, and of `no_bundle` files is refused by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from notebook_do.errors import SourceError
from notebook_do.model import Module, ModuleKind, Source
from notebook_do.sources.assets import read_assets
from notebook_do.sources.esbuild import BundleFailed, build, build_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.model import Worker

KINDS = {
    ".js": ModuleKind.ESM,
    ".mjs": ModuleKind.ESM,
    ".cjs": ModuleKind.COMMONJS,
    ".py": ModuleKind.PYTHON,
    ".wasm": ModuleKind.WASM,
    ".txt": ModuleKind.TEXT,
    ".html": ModuleKind.TEXT,
    ".sql": ModuleKind.TEXT,
    ".bin": ModuleKind.DATA,
    ".json": ModuleKind.JSON,
}
BUNDLED = frozenset({".ts", ".mts", ".tsx", ".jsx"})
PYTHON_ENTRIES = ("entry.py", "worker.py", "main.py", "index.py")
"""What the main module of a directory of Python is called; the first one that is there."""
MAX_BYTES = 64 * 1024 * 1024
"""Cloudflare's largest script on a paid plan, uncompressed (developers.cloudflare.com/workers/platform/limits)."""
_IMPORT = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']([^"'\n]+)["']""")


def reader(base: str | Path = ".") -> Callable[[Worker], Source]:
    """Return what reads a Worker's source and static assets; relative paths start at `base`."""

    def read(worker: Worker) -> Source:
        main_module, modules, name = bundle(worker, base=base)
        assets = None if worker.assets is None else read_assets(worker, worker.assets.value, base=base)
        return Source(main_module=main_module, modules=modules, digest=name, assets=assets)

    return read


def bundle(worker: Worker, *, base: str | Path) -> tuple[str, tuple[Module, ...], str]:
    """Return the main module's name, all modules, and one digest of them.

    Relative entrypoints start at `base`. Raises SourceError with file, line and column where the source cannot be used.
    """
    modules = _modules(worker, Path(base))
    size = sum(len(m.content) for m in modules if m.kind is not ModuleKind.SOURCE_MAP)
    if size > MAX_BYTES:
        problem = f"its modules are {size / 2**20:.1f} MiB, more than Cloudflare's {MAX_BYTES // 2**20} MiB"
        raise _wrong(worker, f"{problem}; leave out what it does not need.")
    return modules[0].name, modules, digest(modules)


def digest(modules: tuple[Module, ...]) -> str:
    """Return a name for the content of modules: the same modules give the same 64 hex digits."""
    # Lengths are part of it, or the end of one module could as well be the beginning of the next.
    whole = hashlib.sha256()
    for module in modules:
        head = json.dumps([module.name, module.kind, len(module.content)])
        whole.update(head.encode())
        whole.update(module.content)
    return whole.hexdigest()


def imports_files(source: str) -> bool:
    """Say whether a JavaScript source may import anything that the runtime does not provide."""
    return any(not name.startswith(("cloudflare:", "node:")) for name in _IMPORT.findall(source))


def _modules(worker: Worker, base: Path) -> tuple[Module, ...]:
    """Return the modules of a Worker, from whichever way its source is given in."""
    if worker.modules:
        return worker.modules
    if worker.entrypoint is not None:
        return _from_path(worker, _path(worker, base))
    text = worker.script or ""
    match worker.lang:
        case "py":
            return (Module(name="index.py", content=text.encode(), kind=ModuleKind.PYTHON),)
        case "js" if not imports_files(text):
            return (Module(name="index.js", content=text.encode()),)
        case _:
            return _from_text(worker, text.encode(), base)


def _from_text(worker: Worker, text: bytes, base: Path) -> tuple[Module, ...]:
    try:
        return build_text(text, loader=worker.lang, folder=base, node=_has_node(worker))
    except BundleFailed as failed:
        body = worker.where.body_line if worker.where else None
        # A file that the cell imports is named by its path; its lines are not the cell's.
        in_cell = body is not None and failed.line is not None and failed.message.startswith("index.")
        line = body + failed.line - 1 if in_cell and body is not None and failed.line is not None else None
        raise _wrong(worker, failed.message, line=line) from None


def _has_node(worker: Worker) -> bool:
    return "nodejs_compat" in worker.compatibility_flags


def _path(worker: Worker, base: Path) -> Path:
    path = Path(worker.entrypoint or "").expanduser()
    path = path if path.is_absolute() else base / path
    if not path.exists():
        raise _wrong(
            worker,
            f"entrypoint {worker.entrypoint} is no file in {base.resolve()}; give a path relative to the notebook.",
        )
    return path


def _from_path(worker: Worker, path: Path) -> tuple[Module, ...]:
    """Return the modules of a source that is a file or a directory; a file that goes up as it is is called `index`."""
    if path.is_dir():
        return _python_directory(worker, path)
    suffix = path.suffix.lower()
    if worker.no_bundle:
        return _as_they_are(worker, path)
    if suffix in BUNDLED or (suffix in {".js", ".mjs"} and imports_files(path.read_text(errors="replace"))):
        try:
            return build(path, node=_has_node(worker))
        except BundleFailed as failed:
            raise _wrong(worker, failed.message) from None
    if suffix not in {".js", ".mjs", ".py"}:
        known = ", ".join(sorted({".js", ".mjs", ".py", *BUNDLED}))
        raise _wrong(worker, f"entrypoint {worker.entrypoint} is no source; known are {known}.")
    return (Module(name=f"index{suffix}", content=path.read_bytes(), kind=KINDS[suffix]),)


def _python_directory(worker: Worker, folder: Path) -> tuple[Module, ...]:
    """Return every Python file of a directory by its path in it, the main one first."""
    main = next((name for name in PYTHON_ENTRIES if (folder / name).is_file()), None)
    if main is None:
        raise _wrong(worker, f"directory {worker.entrypoint} has none of {', '.join(PYTHON_ENTRIES)}.")
    found = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*.py")
        if not any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts)
    }
    names = [main, *(name for name in sorted(found) if name != main)]
    return tuple(Module(name=n, content=found[n].read_bytes(), kind=ModuleKind.PYTHON) for n in names)


def _as_they_are(worker: Worker, entry: Path) -> tuple[Module, ...]:
    """Return the entrypoint and all files that it imports, and those import, under their paths from its folder."""
    folder, found = entry.parent, dict[str, Module]()
    ahead = [(entry.name, entry.name)]
    while ahead:
        name, importer = ahead.pop(0)
        if name in found:
            continue
        kind = KINDS.get(PurePosixPath(name).suffix.lower())
        if kind is None:
            raise _wrong(worker, f"{importer} imports {name}, which no_bundle cannot upload; bundle it or rename it.")
        if not (folder / name).is_file():
            raise _wrong(worker, f"{importer} imports {name}, which is no file in {folder.resolve()}.")
        found[name] = Module(name=name, content=(folder / name).read_bytes(), kind=kind)
        if kind in {ModuleKind.ESM, ModuleKind.COMMONJS}:
            ahead += [(other, name) for other in _imported(worker, name, found[name].content)]
    return tuple(found.values())


def _imported(worker: Worker, name: str, content: bytes) -> list[str]:
    """List the files that a module imports, by their paths from the entrypoint's folder."""
    names = []
    for given in _IMPORT.findall(content.decode(errors="replace")):
        if given.startswith(("cloudflare:", "node:")):
            continue
        if not given.startswith(("./", "../")):
            raise _wrong(
                worker, f"{name} imports {given}, a package; with no_bundle give files, or leave it to be bundled."
            )
        # Taken apart by hand: Path.resolve would follow links, and the runtime resolves module names as text.
        parts: list[str] = []
        for part in (PurePosixPath(name).parent / given).parts:
            if part != "..":
                parts.append(part)
            elif parts:
                parts.pop()
            else:
                raise _wrong(worker, f"{name} imports {given}, which lies outside the entrypoint's folder.")
        names.append("/".join(parts))
    return names


def _wrong(worker: Worker, message: str, *, line: int | None = None) -> SourceError:
    return SourceError(f"Worker {worker.id}: {message}", line=line or (worker.where.line if worker.where else None))
