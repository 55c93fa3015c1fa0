"""Takes the files of a Worker as they are: its entrypoint, what they import, and what the rules of modules name.

What a file imports is what esbuild's parser finds in it, so that nothing in a comment or a text is taken for an import.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.model import Module, ModuleKind
from notebook_do.sources.esbuild import BundleFailed, Made, parse
from notebook_do.sources.node import MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.sources.rules import Rules

KINDS: Mapping[str, ModuleKind] = {
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
_CODE = frozenset({ModuleKind.ESM, ModuleKind.COMMONJS})
_OF_RUNTIME = ("cloudflare:", "node:", "workerd:")


def as_they_are(entry: Path, root: Path, rules: Rules, *, more: bool) -> Made:
    """Return the entrypoint and all files that it imports, and those import, by their paths from `root`.

    With `more` also every file below it that a rule names. Raises BundleFailed, with the names of both files.
    """
    try:
        main = entry.relative_to(root).as_posix()
    except ValueError:
        raise BundleFailed(f"{entry.name} lies outside base_dir {root}; give a folder that holds it.") from None
    found: dict[str, Module] = {}
    ahead = [(main, main)]
    while ahead:
        name, importer = ahead.pop(0)
        if name in found:
            continue
        found[name] = _module(root, name, importer, rules)
        if found[name].kind in _CODE:
            ahead += [(other, name) for other in _imported(name, found[name].content, root)]
    if more:
        for name, kind in rules.find(root).items():
            found.setdefault(name, Module(name=name, content=(root / name).read_bytes(), kind=kind))
    exports = parse(found[main].content, name=main).exports if found[main].kind is ModuleKind.ESM else None
    return Made(modules=tuple(found.values()), exports=exports)


def _module(root: Path, name: str, importer: str, rules: Rules) -> Module:
    # `?module` and the like belong to the name by which the runtime looks for it, and not to the file.
    path = name.partition("?")[0]
    rule = rules.of_import(f"./{name}", code=True)
    # First as a file of the folder: a glob without a `*` names one so, and wrangler asks of nothing else here.
    kind = rules.of_file(path) or (rule.kind if rule else KINDS.get(Path(path).suffix.lower()))
    if kind is None:
        raise BundleFailed(
            f"{importer} imports {name}, which no_bundle cannot upload; bundle it, rename it, or say what it is with a "
            "rule."
        )
    if not (root / path).is_file():
        raise BundleFailed(f"{importer} imports {name}, which is no file in {root.resolve()}.")
    return Module(name=name, content=(root / path).read_bytes(), kind=kind)


def _imported(name: str, content: bytes, root: Path) -> list[str]:
    """List the files that a module imports, by their paths from the root."""
    names = []
    for given, kind in parse(content, name=name).imports:
        # What is only called for while it runs need not be there: bundles have such calls for Node.
        needed = kind == "import-statement"
        if given.startswith(_OF_RUNTIME) or given in MODULES or given == "__STATIC_CONTENT_MANIFEST":
            continue
        if not given.startswith(("./", "../")):
            if needed:
                raise BundleFailed(
                    f"{name} imports {given}, a package; with no_bundle give files, or leave it to be bundled."
                )
            continue
        # As text: the runtime resolves names of modules so, and a link would lead elsewhere.
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), given))
        if path.startswith("../"):
            raise BundleFailed(f"{name} imports {given}, which lies outside the entrypoint's folder.")
        if needed or (root / path.partition("?")[0]).is_file():
            names.append(path)
    return names
