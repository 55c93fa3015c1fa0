"""What a Worker may say of how its source becomes modules, in wrangler's words, and what its source must export.

Each check returns in one line what neither wrangler nor esbuild could take. Nothing is read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.errors import nearest
from notebook_do.model.words import ModuleKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from notebook_do.model.states import DesiredNamespace, DesiredWorker

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


Exporter = Literal["namespace", "workflow", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededClass:
    """A class that a source must export: of which namespace or workflow, and which names it had there before."""

    kind: Exporter
    subject: str
    class_name: str
    former: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotExported:
    """What a source must export and does not: a class of a namespace or workflow, or anything at all.

    `near` is the exported name that may be meant. `was` is the name that the class had and that is exported still: then
    it was renamed in the declaration, and not in the source.
    """

    kind: Exporter
    subject: str
    class_name: str
    exports: tuple[str, ...]
    near: str | None = None
    was: str | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """What the source does export by a name."""
        return tuple(name for name in self.exports if name != "default")

    @property
    def exported(self) -> str:
        """Return in a sentence what the source exports."""
        return f"It exports {exports_words(self.exports)}."

    @property
    def short(self) -> str:
        """Return in a few words what is wrong."""
        if self.kind == "nothing":
            return "its source exports nothing"
        of = "workflow class" if self.kind == "workflow" else "class"
        still = f", {self.was} still is" if self.was else ""
        return f"{of} {self.class_name} is not exported{still}"

    @property
    def mend(self) -> str:
        """Return in a few words what could be done."""
        if self.kind == "nothing":
            return "export default { fetch }"
        if self.was:
            return f"rename {self.was} in the source too"
        return f"did you mean {self.near}?" if self.near else f"it exports {exports_words(self.exports)}"


def exports_words(exports: tuple[str, ...]) -> str:
    """Return in words what a source exports: its classes by name, and its default handler."""
    classes = [name for name in exports if name != "default"]
    if not exports:
        return "nothing"
    if not classes:
        return "no class, only a default handler"
    last = "a default handler" if "default" in exports else classes.pop()
    return f"{', '.join(classes)} and {last}" if classes else last


def not_exported(needed: Iterable[NeededClass], exports: tuple[str, ...] | None) -> tuple[NotExported, ...]:
    """Return which of the classes a source lacks, and whether it exports anything at all.

    `exports` is None where that cannot be told: nothing is claimed of what was not looked at.
    """
    if exports is None:
        return ()
    found = tuple(_lacking(one, exports) for one in needed if one.class_name not in exports)
    if not exports and not found:  # Cloudflare refuses such an upload: 10068, no registered event handlers
        return (NotExported(kind="nothing", subject="", class_name="", exports=()),)
    return found


def _lacking(one: NeededClass, exports: tuple[str, ...]) -> NotExported:
    classes = [name for name in exports if name != "default"]
    return NotExported(
        kind=one.kind,
        subject=one.subject,
        class_name=one.class_name,
        exports=exports,
        near=next(iter(get_close_matches(one.class_name, classes, n=1, cutoff=0.6)), None),
        was=next((name for name in one.former if name in classes), None),
    )


def by_script(namespaces: Iterable[DesiredNamespace]) -> dict[str, list[DesiredNamespace]]:
    """Return the namespaces of each script, so that they are not all looked through for every Worker."""
    found: dict[str, list[DesiredNamespace]] = {}
    for one in namespaces:
        found.setdefault(one.script_name, []).append(one)
    return found


def needed_classes(
    worker: DesiredWorker, namespaces: Iterable[DesiredNamespace], former: Mapping[str, tuple[str, ...]]
) -> Iterator[NeededClass]:
    """Yield the classes that the source of a Worker must export, for the namespaces and workflows that it hosts.

    `former` has by stable ID the class names that a namespace had before.
    """
    for one in namespaces:
        if one.script_name == worker.script_name:
            yield NeededClass(
                kind="namespace",
                subject=one.stable_id,
                class_name=one.class_name,
                former=former.get(one.stable_id, ()),
            )
    for trigger in worker.triggers:
        if trigger.kind == "workflow":
            yield NeededClass(kind="workflow", subject=trigger.key, class_name=trigger.settings.value["class_name"])
