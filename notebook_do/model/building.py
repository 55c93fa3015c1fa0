"""What a Worker may say of how its source becomes modules, in wrangler's words, and what its source must export.

Each check returns in one line what neither wrangler nor esbuild could take. Nothing is read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from notebook_do.errors import nearest
from notebook_do.model.words import ModuleKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RULE_TYPES: Mapping[str, ModuleKind] = MappingProxyType(
    {
        "ESModule": ModuleKind.ESM,
        "CommonJS": ModuleKind.COMMONJS,
        "CompiledWasm": ModuleKind.WASM,
        "Text": ModuleKind.TEXT,
        "Data": ModuleKind.DATA,
        "PythonModule": ModuleKind.PYTHON,
    }
)
"""By wrangler's word for a rule, what the files are that it names."""
_RULE_KEYS = ("type", "globs", "fallthrough")
# A name, or names joined by dots: esbuild replaces nothing else.
_DEFINED = re.compile(r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*")


def define_problem(value: Mapping[str, str]) -> str | None:
    """Return what is wrong with `define`: names to replace, each with a JavaScript expression."""
    wrong = next((name for name in value if not _DEFINED.fullmatch(name)), None)
    return None if wrong is None else f"define: {wrong!r} is no JavaScript name such as DEBUG or process.env.MODE."


def alias_problem(value: Mapping[str, str]) -> str | None:
    """Return what is wrong with `alias`: module names, each with the module or file that stands in for it."""
    for name, target in value.items():
        if not name or name.startswith((".", "/")):
            return f"alias: {name!r} must be a package, as it is imported; a file cannot be replaced."
        if not target:
            return f"alias: {name} has nothing that stands in for it; name a module or a file."
    return None


def rules_problem(value: list[dict[str, Any]]) -> str | None:
    """Return what is wrong with `rules`: tables of a type, globs and, as a rule, `fallthrough`."""
    return next(filter(None, map(_rule_problem, value)), None)


def _rule_problem(rule: dict[str, Any]) -> str | None:
    if unknown := next((key for key in rule if key not in _RULE_KEYS), None):
        return f"rules: a rule has no {unknown}; {nearest(unknown, _RULE_KEYS)}"
    if rule.get("type") not in RULE_TYPES:
        return f"rules: type {rule.get('type')!r}: {nearest(str(rule.get('type')), RULE_TYPES)}"
    globs = rule.get("globs")
    if not isinstance(globs, list) or not all(isinstance(glob, str) and glob for glob in globs):
        return f"rules: globs of {rule['type']} must be a list of patterns such as '**/*.md', not {globs!r}."
    if not isinstance(rule.get("fallthrough", False), bool):
        return f"rules: fallthrough of {rule['type']} must be true or false, not {rule['fallthrough']!r}."
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotExported:
    """A class that a namespace needs and its Worker's source does not export; `near` is what may be meant."""

    stable_id: str
    class_name: str
    classes: tuple[str, ...]
    """What the source does export by a name."""
    near: str | None

    @property
    def exported(self) -> str:
        """Return in words what the source exports."""
        return f"It exports {' and '.join(self.classes)}." if self.classes else "It exports no class."


def not_exported(needed: Iterable[tuple[str, str]], exports: tuple[str, ...] | None) -> tuple[NotExported, ...]:
    """Return which of the namespaces, as (stable ID, class), a source lacks the class of.

    None where that cannot be told: nothing is claimed of what was not looked at.
    """
    if exports is None:
        return ()
    classes = tuple(name for name in exports if name != "default")
    return tuple(
        NotExported(
            stable_id=stable_id,
            class_name=name,
            classes=classes,
            near=next(iter(get_close_matches(name, classes, n=1, cutoff=0.6)), None),
        )
        for stable_id, name in needed
        if name not in exports
    )
