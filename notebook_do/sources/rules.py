"""Says what an imported file is by wrangler's module rules: globs, in the order in which they are declared.

wrangler reads a glob in two ways: of an import `*` is any text, of the files of a folder it ends at a `/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.model import RULE_TYPES, ModuleKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_DEFAULT = (
    {"type": "Text", "globs": ["**/*.txt", "**/*.html", "**/*.sql"]},
    {"type": "Data", "globs": ["**/*.bin"]},
    {"type": "CompiledWasm", "globs": ["**/*.wasm", "**/*.wasm?module"]},
)
_CODE = frozenset({ModuleKind.ESM, ModuleKind.COMMONJS})
_NOT_SEARCHED = frozenset({"node_modules", ".git", ".wrangler", ".venv", "__pycache__"})


@dataclass(frozen=True, slots=True)
class ModuleRule:
    """One glob of a rule; `hidden`: an earlier rule of its type says that none follows it."""

    kind: ModuleKind
    glob: str
    hidden: bool

    @property
    def import_pattern(self) -> str:
        """Return the pattern of imports, which Go reads too."""
        return "".join(".*" if part.startswith("*") else re.escape(part) for part in _parts(self.glob))

    @property
    def file_pattern(self) -> str:
        """Return the pattern of paths from the folder that is searched."""
        parts, text = list(_parts(self.glob)), ""
        for at, part in enumerate(parts):
            whole = (at == 0 or parts[at - 1].endswith("/")) and (at + 1 == len(parts) or parts[at + 1][0] == "/")
            if not part.startswith("*"):
                # The `/` behind a `**` is part of what that stands for, so that `**/a` is `a` too.
                text += re.escape(part[1:] if text.endswith("/|$))*)") else part)
            elif len(part) > 1 and whole:
                text += "((?:[^/]*(?:/|$))*)"
            else:
                text += "([^/]*)"
        return text


def _parts(glob: str) -> Iterator[str]:
    return (part for part in re.split(r"(\*+)", glob) if part)


class Rules:
    """The declared rules of a Worker, and wrangler's own behind them."""

    def __init__(self, declared: Sequence[dict[str, Any]] | None) -> None:
        """Keep the rules; a type whose rule has no `fallthrough` is complete with it."""
        self._rules: list[ModuleRule] = []
        complete: set[ModuleKind] = set()
        for rule in (*(declared or ()), *_DEFAULT):
            kind = RULE_TYPES[rule["type"]]
            self._rules += [ModuleRule(kind, glob, kind in complete) for glob in rule["globs"]]
            if not rule.get("fallthrough"):
                complete.add(kind)

    def of_import(self, path: str, *, code: bool) -> ModuleRule | None:
        """Return the rule of an imported path; one of JavaScript only with `code`."""
        found = (r for r in self._rules if (code or r.kind not in _CODE) and re.fullmatch(r.import_pattern, path))
        return min(found, key=lambda rule: rule.hidden, default=None)

    def patterns(self) -> Iterator[str]:
        """Return the patterns of all imports that a rule may be about."""
        return (rule.import_pattern for rule in self._rules)

    def of_file(self, name: str) -> ModuleKind | None:
        """Return what a file of the folder that is searched is, by its path from there; None where no rule names it."""
        shown = (rule for rule in self._rules if not rule.hidden)
        return next((rule.kind for rule in shown if re.fullmatch(rule.file_pattern, name)), None)

    def find(self, folder: Path) -> dict[str, ModuleKind]:
        """Return what the files of a folder are that a rule names, by their paths from it, sorted."""
        kinds = ((name, self.of_file(name)) for name in sorted(_files(folder)))
        return {name: kind for name, kind in kinds if kind is not None}


def _files(folder: Path) -> Iterator[str]:
    ahead = [folder]
    while ahead:
        for path in ahead.pop().iterdir():
            if path.is_dir():
                if path.name not in _NOT_SEARCHED:
                    ahead.append(path)
            else:
                yield path.relative_to(folder).as_posix()
