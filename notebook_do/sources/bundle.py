"""Turns a Worker's source into the modules that are uploaded: its script, its files, or what esbuild makes of them.

A source without imports goes up as it is, byte for byte. TypeScript, everything that imports files, and what says so
(`define`, `minify`) is bundled, but for a Worker with `no_bundle`: its files go up as they are, each one that it
imports a module of its own.

esbuild runs each time for what imports files: only it knows all that a bundle depends on (a tsconfig that another one
extends, a file that is new and comes before another, a pattern of imports). A source that stands in a cell and imports
nothing is bundled once for each content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.model import Bindings, Module, ModuleKind, Source, Worker
from notebook_do.sources.assets import read_assets
from notebook_do.sources.building import made_by, older_than
from notebook_do.sources.cells import in_cell, wrong
from notebook_do.sources.esbuild import BundleFailed, Made, Settings, build, build_text, parsed
from notebook_do.sources.node import node_of
from notebook_do.sources.rules import Rules
from notebook_do.sources.unbundled import KINDS, as_they_are
from notebook_do.toolchain import NEWEST_COMPATIBILITY_DATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from notebook_do.sources.node import Node

BUNDLED = frozenset({".ts", ".mts", ".tsx", ".jsx"})
PYTHON_ENTRIES = ("entry.py", "worker.py", "main.py", "index.py")
"""What the main module of a directory of Python is called; the first one that is there."""
MAX_BYTES = 64 * 1024 * 1024
"""Cloudflare's largest script on a paid plan, uncompressed (developers.cloudflare.com/workers/platform/limits)."""
AT_ONCE = 8
"""How many bundles are made at the same time; esbuild itself uses all cores."""
# Where there is no esbuild, a source that this finds nothing in still goes up.
_IMPORT = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']([^"'\n]+)["']""")
_KEPT, _LARGE = 64, 1 << 20
_NONE = Bindings("", {})
_alone: OrderedDict[tuple[Worker, str], Made] = OrderedDict()
"""Bundles of sources that stand in cells and import nothing, by what they were made of; the oldest is dropped first."""


def reader(base: str | Path = ".", *, ahead: Iterable[Worker] = ()) -> Callable[[Worker], Source]:
    """Return what reads a Worker's source and static assets; relative paths start at `base`.

    With the first one that is read all of `ahead` are begun, several at a time.
    """
    waiting = {worker.id: worker for worker in ahead}
    # Once for all: following the links of a path takes longer than reading a small source.
    folder, place = Path(base), str(Path(base).resolve())
    started: dict[str, Any] = {}

    def read(worker: Worker) -> Source:
        if len(waiting) > 1 and not started:
            with ThreadPoolExecutor(min(AT_ONCE, len(waiting))) as pool:
                started.update({id_: pool.submit(_source, one, folder, place) for id_, one in waiting.items()})
        begun = started.get(worker.id) if waiting.get(worker.id) is worker else None
        made: Source = begun.result() if begun else _source(worker, folder, place)
        return made

    return read


def _source(worker: Worker, base: Path, place: str) -> Source:
    """Read a Worker; `place` is the real path of `base`."""
    made = _checked(worker, base, place)
    return Source(
        main_module=made.modules[0].name,
        modules=made.modules,
        digest=digest(made.modules),
        assets=None if worker.assets is None else read_assets(worker, worker.assets.value, base=base),
        exports=made.exports,
        notes=tuple(f"Worker {worker.id}: {note}" for note in made.notes),
        bundled=made.bundled,
        sources=made.sources,
    )


def bundle(worker: Worker, *, base: str | Path) -> tuple[str, tuple[Module, ...], str]:
    """Return the main module's name, all modules, and one digest of them.

    Relative entrypoints start at `base`. Raises SourceError with file, line and column where the source cannot be used.
    """
    modules = _checked(worker, Path(base), str(Path(base).resolve())).modules
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
    """Say whether a JavaScript source may import anything that the runtime does not provide, as far as text tells."""
    return any(not name.startswith(("cloudflare:", "node:")) for name in _IMPORT.findall(source))


def _checked(worker: Worker, base: Path, place: str) -> Made:
    made = _made(worker, base, place)
    size = sum(len(m.content) for m in made.modules if m.kind is not ModuleKind.SOURCE_MAP)
    if size > MAX_BYTES:
        problem = f"its modules are {size / 2**20:.1f} MiB, more than Cloudflare's {MAX_BYTES // 2**20} MiB"
        raise wrong(worker, f"{problem}; leave out what it does not need.")
    return made


def _encoded(worker: Worker, script: str) -> bytes:
    try:
        return script.encode()
    except UnicodeEncodeError as error:
        line = script.count("\n", 0, error.start) + 1
        problem = f"line {line} of its source has half of a character (a lone surrogate), which no source can have"
        raise wrong(worker, f"{problem}; write it as an escape (\\ud83d).") from None


def _made(worker: Worker, base: Path, place: str) -> Made:
    """Return the modules of a Worker, from whichever way its source is given in."""
    if worker.modules:
        return Made(modules=worker.modules, exports=_exports_of(worker, worker.modules[0]))
    if worker.entrypoint is not None:
        return _from_path(worker, _path(worker, base), base)
    text = _encoded(worker, worker.script or "")
    if worker.lang == "py":
        return Made(modules=(Module(name="index.py", content=text, kind=ModuleKind.PYTHON),))
    # Whatever else a declaration says may be part of how it is bundled; most of them differ in nothing.
    key = (replace(worker, where=None, bindings=_NONE), place)
    if key in _alone:
        return _alone[key]
    made = (worker.lang == "js" and _as_it_is(worker, text, "index.js")) or _from_text(worker, text, base)
    if made.alone and len(text) < _LARGE:
        _alone[key] = made
        while len(_alone) > _KEPT:
            _alone.popitem(last=False)
    return made


def _exports_of(worker: Worker, main: Module) -> tuple[str, ...] | None:
    """Return what a given main module exports, as far as it can be told."""
    found = None
    if main.kind is ModuleKind.ESM:
        try:
            found = parsed(main.content, name=main.name)
        except BundleFailed as failed:  # the runtime would refuse it as well (10021)
            raise wrong(worker, failed.text) from None
    return found.exports if found else None


def _from_text(worker: Worker, text: bytes, base: Path) -> Made:
    try:
        return build_text(text, lang=worker.lang, folder=base, settings=settings_of(worker, base))
    except BundleFailed as failed:
        raise in_cell(worker, failed) from None


def settings_of(worker: Worker, base: Path) -> Settings:
    """Return how a Worker's source is bundled."""
    date = worker.compatibility_date or NEWEST_COMPATIBILITY_DATE
    flags = worker.compatibility_flags
    apart: tuple[str, ...] = ()
    if worker.find_additional_modules and worker.entrypoint is not None and not worker.no_bundle:
        root = _root(worker, _path(worker, base), base).resolve()
        apart = tuple((root / name).as_posix() for name in _rules(worker).find(root))
    return Settings(
        root=base.resolve(),
        node=_node(worker),
        navigator="global_navigator" in flags or (date >= "2022-03-21" and "no_global_navigator" not in flags),
        define=worker.define.value if worker.define else {},
        alias=worker.alias.value if worker.alias else {},
        rules=tuple(worker.rules.value) if worker.rules else (),
        minify=worker.minify,
        tsconfig=worker.tsconfig,
        apart=apart,
    )


def _rules(worker: Worker) -> Rules:
    return Rules(worker.rules.value if worker.rules else None)


def _root(worker: Worker, entry: Path, base: Path) -> Path:
    """Return the folder of additional modules."""
    return base / Path(worker.base_dir).expanduser() if worker.base_dir else entry.parent


def _as_it_is(worker: Worker, text: bytes, name: str) -> Made | None:
    """Return the one module of a JavaScript source that needs no bundle; None for one that does."""
    if worker.minify or worker.define or worker.find_additional_modules or b"process.env.NODE_ENV" in text:
        return None
    if re.search(rb"\b(?:process|performance)\b", text) and _wants(_node(worker), text):
        return None
    try:
        found = parsed(text, name=name)
    except BundleFailed as failed:
        if worker.script is None:
            raise wrong(worker, failed.text) from None
        raise in_cell(worker, failed) from None
    if found is None:
        plain = not imports_files(text.decode(errors="replace"))
        return Made(modules=(Module(name=name, content=text),)) if plain else None
    if found.has_jsx or not all(_of_runtime(worker, given, kind) for given, kind in found.imports):
        return None
    return Made(modules=(Module(name=name, content=text),), exports=found.exports, alone=True)


def _node(worker: Worker) -> Node:
    return node_of(worker.compatibility_date or NEWEST_COMPATIBILITY_DATE, worker.compatibility_flags)


def _wants(node: Node, text: bytes) -> bool:
    """Say whether a source uses a global of Node that wrangler would put in the place of the runtime's.

    Not for `console`: what the runtime has of it is enough for whoever only writes lines.
    """
    wanted = (b"process",) if "process" in node.globals_ else ()
    return any(re.search(rb"\b%s\b" % name, text) for name in (*wanted, *((b"performance",) if node.first else ())))


def _of_runtime(worker: Worker, given: str, kind: str) -> bool:
    """Say whether an import is the runtime's own as it stands."""
    if kind == "require-call" or not given.startswith("node:"):
        return kind != "require-call" and given.startswith("cloudflare:")
    node = _node(worker)
    return node.mode != "v2" or given.removeprefix("node:") in node.native


def _path(worker: Worker, base: Path) -> Path:
    path = Path(worker.entrypoint or "").expanduser()
    path = path if path.is_absolute() else base / path
    if not path.exists():
        made = f"; {made_by(worker)}" if worker.build else "; give a path relative to the notebook."
        raise wrong(worker, f"entrypoint {worker.entrypoint} is no file in {base.resolve()}{made}")
    return path


def _from_path(worker: Worker, path: Path, base: Path) -> Made:
    """Return the modules of a source that is a file or a directory; a file that goes up as it is is called `index`."""
    if path.is_dir():
        return _python_directory(worker, path)
    suffix = path.suffix.lower()
    if suffix not in {".js", ".mjs", ".py", *BUNDLED} and not worker.no_bundle:
        known = ", ".join(sorted({".js", ".mjs", ".py", *BUNDLED}))
        raise wrong(worker, f"entrypoint {worker.entrypoint} is no source; known are {known}.")
    try:
        made = _of_file(worker, path, suffix, base)
    except BundleFailed as failed:
        raise wrong(worker, failed.text) from None
    older = older_than(worker, path, base)
    return replace(made, notes=(*made.notes, *older))


def _of_file(worker: Worker, path: Path, suffix: str, base: Path) -> Made:
    rules, root = _rules(worker), _root(worker, path, base)
    if worker.no_bundle:
        more = worker.find_additional_modules
        made = as_they_are(path, root, rules, more=bool(worker.rules) if more is None else more)
        idle = [name for name in ("define", "alias", "minify", "tsconfig") if getattr(worker, name)]
        note = f"with no_bundle its files go up as they are, so that {', '.join(idle)} has no effect."
        return replace(made, notes=(*made.notes, note)) if idle else made
    if suffix == ".py":
        return Made(modules=(Module(name="index.py", content=path.read_bytes(), kind=KINDS[suffix]),))
    if suffix in {".js", ".mjs"} and (plain := _as_it_is(worker, path.read_bytes(), f"index{suffix}")):
        return plain
    made = build(path, settings_of(worker, base))
    if not worker.find_additional_modules:
        return made
    own = path.resolve().relative_to(root.resolve()).as_posix()
    beside = (
        Module(name=name, content=(root / name).read_bytes(), kind=kind)
        for name, kind in rules.find(root).items()
        if name != own
    )
    return replace(made, modules=(*made.modules, *beside))


def _python_directory(worker: Worker, folder: Path) -> Made:
    """Return every Python file of a directory by its path in it, the main one first."""
    main = next((name for name in PYTHON_ENTRIES if (folder / name).is_file()), None)
    if main is None:
        raise wrong(worker, f"directory {worker.entrypoint} has none of {', '.join(PYTHON_ENTRIES)}.")
    found = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*.py")
        if not any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts)
    }
    names = [main, *(name for name in sorted(found) if name != main)]
    return Made(modules=tuple(Module(name=n, content=found[n].read_bytes(), kind=ModuleKind.PYTHON) for n in names))
