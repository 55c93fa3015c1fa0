"""Writes a Worker's modules for wrangler, which sends them as they are (`no_bundle`): under the same names and types.

wrangler finds modules by rules over the whole directory, so that each is named, and nothing else of the directory goes
up with them. Raises CommandError, with the module's name, for what wrangler could not send the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError
from notebook_do.model import ModuleKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import DesiredWorker, Module

_RULES: Mapping[ModuleKind, str] = {
    ModuleKind.ESM: "ESModule",
    ModuleKind.COMMONJS: "CommonJS",
    ModuleKind.PYTHON: "PythonModule",
    ModuleKind.WASM: "CompiledWasm",
    ModuleKind.TEXT: "Text",
    ModuleKind.DATA: "Data",
}
_DEFAULT_RULES = ("Text", "Data", "CompiledWasm")
"""Types for which wrangler has rules of its own: they would take files that are no modules."""
_MAP_COMMENT = "//# sourceMappingURL="
_MAIN_ENDINGS = {ModuleKind.ESM: (".js", ".mjs"), ModuleKind.PYTHON: (".py",)}


def write_modules(worker: DesiredWorker) -> dict[str, Any]:
    """Give the keys that say which modules there are."""
    main = next(m for m in worker.modules if m.name == worker.main_module)
    _check_main(worker, main)
    maps = _source_maps(worker)
    more = [m for m in worker.modules if m is not main and m.name not in maps]
    config: dict[str, Any] = {"main": main.name, "no_bundle": True}
    config |= {"find_additional_modules": True, "base_dir": "."} if more else {"find_additional_modules": False}
    if more:
        config["rules"] = _rules(worker, more)
    return config | {"upload_source_maps": bool(maps)}


def _check_main(worker: DesiredWorker, main: Module) -> None:
    """Refuse a main module that wrangler would send under another name or type."""
    endings = _MAIN_ENDINGS.get(main.kind, ())
    if "/" in main.name:
        raise _cannot(worker, main, f"lies in a directory, and wrangler sends it as {main.name.rpartition('/')[2]}")
    if not endings:
        raise _cannot(worker, main, f"is a main module of type {main.kind.value}, which wrangler does not send")
    if not main.name.endswith(endings):
        raise _cannot(worker, main, f"is a main module whose name does not end in {' or '.join(endings)}")


def _rules(worker: DesiredWorker, modules: list[Module]) -> list[dict[str, Any]]:
    globs: dict[str, list[str]] = {type_: [] for type_ in _DEFAULT_RULES}
    for module in modules:
        if module.kind not in _RULES:
            raise _cannot(worker, module, f"is of type {module.kind.value}, which wrangler cannot send as a file")
        if "*" in module.name:
            raise _cannot(worker, module, "has a * in its name, which wrangler takes for any name")
        globs.setdefault(_RULES[module.kind], []).append(module.name.removeprefix("./"))
    return [{"type": type_, "globs": sorted(names), "fallthrough": False} for type_, names in globs.items()]


def _source_maps(worker: DesiredWorker) -> frozenset[str]:
    """Name the source maps; wrangler sends one for each module that names it in its last lines."""
    maps = {m.name: m for m in worker.modules if m.kind is ModuleKind.SOURCE_MAP}
    named = {f"{m.name}.map" for m in worker.modules if m.name not in maps and _map_of(m) == f"{m.name}.map"}
    for name, module in maps.items():
        if name not in named:
            raise _cannot(worker, module, "is a source map that no module names, so wrangler would not send it")
        if not _same_again(module):
            raise _cannot(worker, module, "is a source map that wrangler would send with other paths")
    if lacking := next((m for m in worker.modules if maps and _map_of(m) and f"{m.name}.map" not in maps), None):
        raise _cannot(worker, lacking, f"names a source map {_map_of(lacking)} that is not there, and wrangler stops")
    return frozenset(maps)


def _map_of(module: Module) -> str | None:
    """Give the path of the source map that a module names, from the directory of the Worker."""
    if module.kind not in {ModuleKind.ESM, ModuleKind.COMMONJS}:
        return None
    for line in reversed(module.content.decode("utf-8", "replace").split("\n")):
        text = line.strip()
        if text.startswith(_MAP_COMMENT):
            folder, slash, _ = module.name.rpartition("/")
            return f"{folder}{slash}{text.removeprefix(_MAP_COMMENT).strip()}"
        if text and not text.startswith(("//#", "//@")):
            return None
    return None


def _same_again(module: Module) -> bool:
    """Say whether wrangler sends the paths of a source map as they are: it cuts off `./` and `../`."""
    try:
        content = json.loads(module.content)
    except ValueError:
        return False
    if not isinstance(content, dict) or not isinstance(content.get("sources"), list):
        return False
    paths = [content.get("sourceRoot") or "", *content["sources"]]
    return not any(str(path).startswith(("./", "../", ".\\", "..\\")) for path in paths)


def _cannot(worker: DesiredWorker, module: Module, why: str) -> CommandError:
    return CommandError(f"export: Worker {worker.id}: module {module.name} {why}; rename or leave it out, then export.")
