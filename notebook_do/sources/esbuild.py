"""Lets the pinned esbuild make one ES module of a source and of what it imports, with wrangler's settings.

`cloudflare:*` and what the runtime has of Node stay imports; WebAssembly, text and data become modules of their own.
The same sources give the same bytes on every machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.errors import ToolchainError
from notebook_do.model import Module, ModuleKind
from notebook_do.sources.imports import Imports, injected
from notebook_do.sources.mapped import without_sources
from notebook_do.sources.node import Node
from notebook_do.sources.rules import Rules
from notebook_do.sources.service import Build, Built, EsbuildStopped, ImportQuestion, Plugin, run
from notebook_do.toolchain import has_esbuild

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from notebook_do.model import BundledSource
    from notebook_do.sources.service import Answer

_SYNTAX = (
    "--format=esm",
    "--target=es2024",
    # The runtime knows these, though they are newer: they stay as they are written.
    *("--supported:import-source=true", "--supported:using=true"),
    *(f"--loader:{suffix}=jsx" for suffix in (".js", ".mjs", ".cjs")),
    *("--metafile", "--log-level=silent", "--entry-names=index", "--allow-overwrite"),
)
_OPTIONS = (
    *_SYNTAX,
    "--bundle",
    "--conditions=workerd,worker,browser",
    "--external:__STATIC_CONTENT_MANIFEST",
    "--sourcemap=linked",  # with the sources, which are taken out again: what goes up has none
    "--keep-names",
)
MAIN = "index.js"
# wrangler takes the variable NODE_ENV where it is set; here a bundle depends on nothing but its sources.
_NODE_ENV = {f"{before}process.env.NODE_ENV": '"production"' for before in ("", "global.", "globalThis.")}
_KNOWN_LATER = re.compile(rb"^export \* from ", re.MULTILINE)
_KEPT = 4096
_JSX = "JSX syntax extension"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a message of esbuild points to: line and column are those that a person counts, from 1."""

    file: str
    line: int
    column: int
    length: int = 1


class BundleFailed(Exception):  # noqa: N818 - what happened, not whose error it is
    """esbuild did not make a bundle; `place` is where in the sources, where it says that."""

    def __init__(self, message: str, place: Position | None = None, *, is_syntax: bool = False) -> None:
        """Keep the message; `is_syntax`: the source itself is wrong, and not what it imports or how it is declared."""
        super().__init__(message)
        self.message, self.place, self.is_syntax = message, place, is_syntax

    @property
    def text(self) -> str:
        """Return the message with its place before it."""
        at = f"{self.place.file}:{self.place.line}:{self.place.column}: " if self.place else ""
        return at + self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a source is bundled; aliases, `tsconfig` and files that lie `apart` are looked for from `root`."""

    root: Path
    node: Node = field(default_factory=Node)
    navigator: bool = False
    define: Mapping[str, str] = field(default_factory=dict)
    alias: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[dict[str, Any], ...] = ()
    minify: bool = False
    tsconfig: str | None = None
    apart: tuple[str, ...] = ()

    def flags(self) -> list[str]:
        """Return what esbuild is told of it."""
        agent = {"navigator.userAgent": '"Cloudflare-Workers"'} if self.navigator else {}
        told = [f"--define:{name}={value}" for name, value in {**agent, **_NODE_ENV, **self.define}.items()]
        told += [f"--inject:{name}" for name in injected(self.node)]
        told += ["--minify"] if self.minify else []
        return told + ([f"--tsconfig={self.root / self.tsconfig}"] if self.tsconfig else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The modules of a Worker, the main one first.

    `exports` are the names that the main one has; None where that cannot be told. `alone`: it imports no file.
    `bundled`: esbuild made it, of `sources`.
    """

    modules: tuple[Module, ...]
    exports: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    alone: bool = False
    bundled: bool = False
    sources: tuple[BundledSource, ...] = ()


def build(entry: Path, settings: Settings) -> Made:
    """Bundle a file; the main module is `index.js`. Raises BundleFailed."""
    # The folder is resolved, so that no link is in a path; the name stays, for its link may lead to another one.
    folder = entry.parent.resolve()
    return _made(Build(entry=str(folder / entry.name), flags=(), folder=str(folder)), settings)


def build_text(text: bytes, *, lang: str, folder: Path, settings: Settings) -> Made:
    """Bundle a source that is in no file; what it imports is looked for from `folder`. Raises BundleFailed."""
    loader = "jsx" if lang == "js" else lang
    flags = (f"--loader={loader}", f"--sourcefile=index.{lang}")
    return _made(Build(source=text, flags=flags, folder=str(folder.resolve())), settings)


def _made(asked: Build, settings: Settings) -> Made:
    plugin = Imports(
        folder=settings.root,
        alias=settings.alias,
        rules=Rules(settings.rules),
        node=settings.node,
        apart=settings.apart,
    )
    flags = (*asked.flags, *_OPTIONS, *settings.flags(), f"--outdir={asked.folder}")
    built = _run(Build(entry=asked.entry, source=asked.source, flags=flags, folder=asked.folder, plugin=plugin))
    files = {path.rpartition("/")[2].rpartition("\\")[2]: content for path, content in built.files.items()}
    own = [Module(name=MAIN, content=files[MAIN])]
    sources: tuple[BundledSource, ...] = ()
    if f"{MAIN}.map" in files:
        given = files[f"{MAIN}.map"]
        mapped, sources = without_sources(given, folder=Path(asked.folder), root=settings.root)
        own.append(Module(name=f"{MAIN}.map", content=mapped, kind=ModuleKind.SOURCE_MAP))
    meta = json.loads(built.metafile)
    return Made(
        modules=(*own, *(plugin.modules[name] for name in sorted(plugin.modules))),
        exports=_exports(meta, files[MAIN]),
        # wrangler leaves styles behind without a word
        notes=("its styles are not part of a Worker; serve them as static assets.",) if "index.css" in files else (),
        alone=len(meta["inputs"]) == 1 and not plugin.modules,
        bundled=True,
        sources=sources,
    )


def _exports(meta: Mapping[str, Any], code: bytes) -> tuple[str, ...] | None:
    """Return what the main module exports; None where it passes on what a file exports that is not in the bundle."""
    if _KNOWN_LATER.search(code):
        return None
    return next(tuple(out["exports"]) for out in meta["outputs"].values() if "entryPoint" in out)


def _run(asked: Build) -> Built:
    try:
        built = run(asked)
    except EsbuildStopped as stopped:
        raise BundleFailed(str(stopped)) from None
    if built.errors:
        raise _failure(built.errors[0])
    return built


# --- what a source says of itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What one JavaScript or TypeScript file says of itself: what it imports, as (name, kind), and what it exports."""

    imports: tuple[tuple[str, str], ...]
    exports: tuple[str, ...] | None
    has_jsx: bool = False


class _Noting(Plugin):
    """Follows no import, and notes each; those of `renamed` stand under other names in what is made."""

    filters = {"": ".*"}  # noqa: RUF012 - a constant of the class

    def __init__(self, renamed: Mapping[str, str]) -> None:
        self.found: list[tuple[str, str]] = []
        self._renamed = renamed

    def decide(self, one: ImportQuestion) -> Generator[ImportQuestion, Answer, Answer]:
        """Leave it where it is."""
        yield from ()
        self.found.append((one.path, one.kind))
        return {"path": self._renamed.get(one.path, one.path), "external": True}


_without: list[ToolchainError] = []
"""Why esbuild could not be had; a download that failed is not tried again by this process."""


def parsed(text: bytes, *, lang: str = "js", name: str = "", only_there: bool = False) -> Parsed | None:
    """Parse a source; None where esbuild cannot be had, or with `only_there` is not on this machine yet.

    Raises BundleFailed for what is no JavaScript or TypeScript.
    """
    if (only_there or _without) and not has_esbuild():
        return None
    try:
        return parse(text, lang=lang, name=name)
    except ToolchainError as error:
        _without.append(error)
        return None


_known: OrderedDict[tuple[bytes, str, str], Parsed] = OrderedDict()


def parse(text: bytes, *, lang: str = "js", name: str = "") -> Parsed:
    """Parse one source, once for each content; raises BundleFailed, whose place is in `name` or `index.<lang>`."""
    key = (hashlib.sha256(text).digest(), lang, name)  # not the text: a kernel would keep every version of it
    if key not in _known:
        _known[key] = _parse(text, lang, name)
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return _known[key]


def _parse(text: bytes, lang: str, name: str) -> Parsed:
    has_jsx = False
    try:
        built, found = _parsed(text, lang, name)
    except BundleFailed as failed:
        if lang != "js" or _JSX not in failed.message:
            raise
        built, found = _parsed(text, "jsx", name or "index.js")
        has_jsx = True
    exports = _exports(json.loads(built.metafile), built.files["/" + MAIN])
    return Parsed(imports=tuple(sorted(set(found))), exports=exports, has_jsx=has_jsx)


def _parsed(text: bytes, loader: str, name: str) -> tuple[Built, list[tuple[str, str]]]:
    noting = _Noting({})
    flags = (*_SYNTAX, "--bundle", f"--loader={loader}", f"--sourcefile={name or f'index.{loader}'}", "--outdir=/")
    # In a folder of its own no tsconfig.json counts: what is asked for is the text alone.
    built = _run(Build(source=text, flags=(*flags, "--tsconfig-raw={}"), folder="/", plugin=noting))
    return built, noting.found


# --- messages


def _failure(message: Mapping[str, Any]) -> BundleFailed:
    """Return a message of esbuild as one line, with what to do about it."""
    text, place = message["text"].strip().rstrip("."), message["location"]
    advice = _advice(text, message)
    what, is_syntax = f"{' '.join(text.split())}; {advice}", advice == _CORRECT and not _OF_IMPORTS.match(text)
    if place is None:
        return BundleFailed(what)
    # It counts columns in bytes, from 0.
    before = place["lineText"].encode()[: place["column"]].decode(errors="replace")
    found = place["lineText"].encode()[place["column"] :][: place["length"]].decode(errors="replace")
    at = Position(file=place["file"], line=place["line"], column=len(before) + 1, length=max(1, len(found)))
    return BundleFailed(what, at, is_syntax=is_syntax)


_CORRECT = "correct the source."
_OF_IMPORTS = re.compile(r"Could not resolve|No matching export|Import \"|Cannot import|No loader")


def _advice(text: str, message: Mapping[str, Any]) -> str:
    notes = " ".join(note["text"] for note in message["notes"])
    if unknown := re.search(r'No loader is configured for "(\.[^"]+)" files', text):
        rule = json.dumps({"type": "Text", "globs": [f"**/*{unknown[1]}"]})
        return f"say what such files are: --rule '{rule}'."
    if re.match(r'Could not resolve "[a-z][\w-]*:', text):  # `virtual:react-router/server-build`, of a plugin of Vite
        return "only the build tool of the project makes that module: build it, and import or name what that writes."
    if text.startswith("Could not resolve") and "built into node" in notes:
        return "declare the compatibility flag nodejs_compat."
    if text.startswith("Could not resolve") and "mark the path" in notes:
        return "install that package beside the source, or correct the name."
    return _CORRECT


def rewritten(code: bytes, *flags: str, imports: Mapping[str, str]) -> bytes:
    """Return a module as esbuild writes it with more `flags`, its `imports` under other names. Raises BundleFailed."""
    own = (*_SYNTAX, "--bundle", "--legal-comments=none", "--loader=js", "--sourcefile=index.js", "--tsconfig-raw={}")
    noting = _Noting(imports)
    return _run(Build(source=code, flags=(*own, *flags, "--outdir=/"), folder="/", plugin=noting)).files["/" + MAIN]
