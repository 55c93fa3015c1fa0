"""Generates the main module of an upload that must export a class under another name than its source does.

While a swap or a chain is on its way, a namespace bears a name that the source does not have, or that the source gives
to another class. The generated module re-exports the source's module and overrides exactly these names, so that at
every moment each namespace runs its own class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model import Module, ModuleKind

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = "notebook-do-exports.js"


def with_exports(
    main_module: str, modules: tuple[Module, ...], exports: Mapping[str, str | None]
) -> tuple[str, tuple[Module, ...]]:
    """Give main module and modules in which each name of `exports` is the source's class of that value.

    None stands for an empty class, for a namespace that is about to be destroyed and whose class is gone from the
    source. Names that the source exports itself under the same name need nothing.
    """
    renamed = {name: class_name for name, class_name in sorted(exports.items()) if name != class_name}
    if not renamed:
        return main_module, modules
    name = _NAME
    while any(m.name == name for m in modules):
        name = f"_{name}"
    source = f'"./{main_module}"'
    aliases = [f"{class_name} as {alias}" for alias, class_name in renamed.items() if class_name]
    stubs = [alias for alias, class_name in renamed.items() if class_name is None]
    lines = [f"import * as source from {source};", f"export * from {source};", "export default source.default;"]
    if aliases:
        lines.append(f"export {{ {', '.join(aliases)} }} from {source};")
    if stubs:
        lines.append('import { DurableObject } from "cloudflare:workers";')
        lines += [f"export class {stub} extends DurableObject {{}}" for stub in stubs]
    content = "\n".join(lines) + "\n"
    return name, (Module(name=name, content=content.encode()), *modules)


def can_alias(main_module: str, modules: tuple[Module, ...]) -> bool:
    """Say whether a module can be generated around the main one: only ES modules can be re-exported."""
    return any(m.name == main_module and m.kind is ModuleKind.ESM for m in modules)
