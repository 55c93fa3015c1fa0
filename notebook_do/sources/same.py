"""Tells whether two uploads have the same code, though two tools made them: after both went through one esbuild.

What may differ is what no program can see: white space, comments, names of local variables and of esbuild's helpers,
paths of the sources, the names of the main module and of text, data and WebAssembly beside it, source maps. Where
anything else differs, no claim is made.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from notebook_do.errors import ToolchainError
from notebook_do.model import ModuleKind
from notebook_do.sources.esbuild import BundleFailed, rewritten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from notebook_do.model import Module

_ROUNDS = 3
_CODE = frozenset({ModuleKind.ESM, ModuleKind.COMMONJS})
# How esbuild writes a CommonJS file, or one that is run later: an object with one method, which is named by its path.
_PATH = re.compile(rb"""\(\{(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[A-Za-z_$][\w$]*)\(([\w$]*(?:,[\w$]+)*)\)\{""")
_MAP = re.compile(rb"\s*//# sourceMappingURL=[^\n]*\s*\Z")
_NAMED = re.compile(rb'"name",\s*\{\s*value')
"""esbuild's helper that writes down the name of a function."""


def same_code(ours: Sequence[Module], live: Sequence[Module]) -> bool:
    """Return whether two lists of modules, each with its main one first, are the same program.

    False as well where one of them cannot be parsed, or there is no esbuild: then nothing is known, but of equal bytes.
    """
    if _bytes(ours) == _bytes(live):
        return True
    try:
        return _essence(ours) == _essence(live)
    except (BundleFailed, ToolchainError):
        return False


Listed = list[tuple[str, str, bytes]]


def _bytes(modules: Sequence[Module]) -> Listed:
    main, *others = [module for module in modules if module.kind is not ModuleKind.SOURCE_MAP]
    beside = sorted((m.name.removeprefix("./"), m.kind.value, m.content) for m in others)
    return [("", main.kind.value, _MAP.sub(b"", main.content)), *beside]


def _essence(modules: Sequence[Module]) -> Listed:
    main, *others = [module for module in modules if module.kind is not ModuleKind.SOURCE_MAP]
    names = {module.name.removeprefix("./"): _name(module) for module in others}
    imports = {f"./{before}": f"./{after}" for before, after in names.items()}
    beside = sorted((_name(module), module.kind.value, _code(module, imports)) for module in others)
    return [("", main.kind.value, _code(main, imports)), *beside]


def _name(module: Module) -> str:
    """Return what stands for the name of a module: its content says what it is, but of code, which others load."""
    if module.kind in _CODE:
        return module.name.removeprefix("./")
    return hashlib.sha256(module.content).hexdigest()


def _code(module: Module, imports: Mapping[str, str]) -> bytes:
    if module.kind not in _CODE:
        return module.content
    code = module.content
    if not _NAMED.search(code):  # a source that went up as it is, of which a bundle writes down the names of functions
        code = rewritten(code, "--keep-names", imports={})
    # Paths first, because their letters are counted where names are made. The letters of the names before are as well,
    # so that only the names of a later round are the same whatever they were (measured: of the second).
    code = _PATH.sub(rb'({""(\1){', rewritten(code, "--minify-whitespace", "--minify-syntax", imports=imports))
    for _ in range(_ROUNDS):
        code = rewritten(code, "--minify", imports={})
    return code
