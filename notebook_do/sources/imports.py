"""Decides what the imports of a bundle mean, as wrangler's own plugins of esbuild do, and in their order.

First the declared aliases, then files that become modules of their own (WebAssembly, text, data), then Node's modules,
and last what only the runtime has (`cloudflare:*`). All else is left to esbuild.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.model import Module
from notebook_do.sources.node import MODULES, file_of, has_file, read_file
from notebook_do.sources.service import Answer, ImportQuestion, Plugin

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping

    from notebook_do.sources.node import Node
    from notebook_do.sources.rules import ModuleRule, Rules

# Names of namespaces stand in a bundle, before the paths of their files.
_REQUIRED, _REQUIRED_ALIAS = "node-built-in-modules", "required-unenv-alias"
_PACKAGES, _GLOBALS = "node-polyfill", "node-globals"
_WHOLE = f"{_GLOBALS}:"
_SHIMS = ("unenv/npm/", "unenv/mock/")


def injected(node: Node) -> list[str]:
    """Return what is run before the source: what makes Node's globals, then what completes those of the runtime."""
    return [f"{_WHOLE}{name}" for name in node.globals_] + [f"{_WHOLE}{name}" for name in node.first]


class Imports(Plugin):
    """The decisions for one bundle. `modules` has by name the files that became modules of their own."""

    namespaces = (_REQUIRED, _REQUIRED_ALIAS, _PACKAGES, _GLOBALS)

    def __init__(
        self, *, folder: Path, alias: Mapping[str, str], rules: Rules, node: Node, apart: Collection[str] = ()
    ) -> None:
        """Aliases are looked up from `folder`; `apart` are the paths of files that go up beside the bundle."""
        self._folder, self._alias, self._rules, self._node = str(folder), alias, rules, node
        self._apart = frozenset(apart)
        self.modules: dict[str, Module] = {}
        names = "|".join(re.escape(n) for n in sorted({*MODULES, *alias, *node.stands_in}))
        known = "|".join(rules.patterns())
        self.filters = {"": f"^(?:{names}|node:.+|cloudflare:.*|{_WHOLE}.*|{known})$", _PACKAGES: ".*"}
        self.filters |= dict.fromkeys((_GLOBALS, _REQUIRED, _REQUIRED_ALIAS), ".*")

    def decide(self, one: ImportQuestion) -> Generator[ImportQuestion, Answer, Answer]:
        """Decide what an import leads to; nothing is decided of the entrypoint."""
        if one.path.startswith(_WHOLE):
            name = one.path.removeprefix(_WHOLE)
            return _packaged(file_of(name)) if name in self._node.first else {"path": name, "namespace": _GLOBALS}
        if one.kind == "entry-point":
            return {}
        if one.namespace == _PACKAGES and one.path.startswith("."):
            return _packaged(posixpath.normpath(posixpath.join(posixpath.dirname(one.importer), one.path)))
        if target := self._alias.get(one.path):
            return (yield from self._aliased(one, target))
        if rule := self._rules.of_import(one.path, code=bool(self._apart)):
            return (yield from self._ruled(one, rule))
        if decided := (yield from self._of_node(one)):
            return decided
        return {"path": one.path, "external": True} if one.path.startswith("cloudflare:") else {}

    def load(self, namespace: str, path: str) -> Answer:
        """Return a file that is in no folder: of Node's stand-ins, or what joins them to a source."""
        if namespace == _PACKAGES:
            return {"contents": read_file(path), "loader": "js"}
        if namespace == _GLOBALS:
            text = f'import it from "{self._node.globals_[path]}"; globalThis.{path} = it;'
        elif namespace == _REQUIRED:
            # `require` of an ES module: what CommonJS wants is its default export.
            text = f"import libDefault from '{path}';\nmodule.exports = libDefault;"
        else:
            text = (
                f"import * as esm from '{path}';\nmodule.exports = Object.entries(esm)"
                ".filter(([k]) => k !== 'default').reduce((cjs, [k, value]) => "
                "Object.defineProperty(cjs, k, { value, enumerable: true }), 'default' in esm ? esm.default : {});"
            )
        return {"contents": text.encode(), "loader": "js"}

    def _aliased(self, one: ImportQuestion, target: str) -> Generator[ImportQuestion, Answer, Answer]:
        if decided := (yield from self._of_node(_renamed(one, target))):
            return decided
        places = [self._folder] if target.startswith((".", "/")) else [self._folder, one.folder]
        found: Answer = {"errors": True}
        for folder in places:
            if found["errors"]:
                found = yield ImportQuestion(
                    path=target, kind="import-statement", importer="", namespace="file", folder=folder
                )
        if found["errors"]:
            return _error(f'alias {one.path}: "{target}" is no package and no file in {self._folder}')
        return {key: found[key] for key in ("path", "namespace", "external", "suffix", "sideEffects") if key in found}

    def _ruled(self, one: ImportQuestion, rule: ModuleRule) -> Generator[ImportQuestion, Answer, Answer]:
        """Make a module of the file that a rule is about; its name has the content, so that it is no other's."""
        path = one.path.partition("?")[0]
        beside = posixpath.normpath(posixpath.join(one.folder, path))
        if beside in self._apart:
            return {"path": path, "external": True}
        if rule.kind.value in {"esm", "commonjs"}:
            return {}
        if rule.hidden:
            return _error(
                f'{one.path} fits the rule "{rule.glob}", behind another rule of its type that says no fallthrough'
            )
        found = yield _renamed(one, path)
        file = Path(beside if found["errors"] else found["path"])
        if not file.is_file():
            return {}
        content = file.read_bytes()
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        name = f"{digest}-{posixpath.basename(path)}"
        self.modules[name] = Module(name=name, content=content, kind=rule.kind)
        return {"path": f"./{name}", "external": True}

    def _of_node(self, one: ImportQuestion) -> Generator[ImportQuestion, Answer, Answer]:
        """Decide what one of Node's modules leads to, or a package that stands for one of them."""
        name, prefixed = one.path.removeprefix("node:"), one.path.startswith("node:")
        of_node = prefixed or name in MODULES
        node = self._node
        if node.mode != "v2":
            return (yield from self._of_older_node(one)) if of_node else {}
        if of_node and one.kind == "require-call" and one.namespace != _REQUIRED:
            return {"path": one.path, "namespace": _REQUIRED}
        if of_node and name in node.native:
            return {"path": one.path, "external": True}
        target = node.stands_in.get(name if of_node else one.path)
        if target is None:
            return self._of_packages(one)
        if one.kind == "require-call" and target.startswith(_SHIMS):
            return {"path": one.path, "namespace": _REQUIRED_ALIAS}
        return _packaged(file_of(target))

    def _of_older_node(self, one: ImportQuestion) -> Generator[ImportQuestion, Answer, Answer]:
        """Leave to the runtime what is nowhere on the disk: without the second form only `node:` names one of Node's.

        A bare name is taken for one as well where the Worker has Node at all.
        """
        prefixed = one.path.startswith("node:")
        if not prefixed and self._node.mode != "v1":
            return {}
        found = yield one
        if not found["errors"]:
            return {}
        return {"path": one.path if prefixed else f"node:{one.path}", "external": True}

    @staticmethod
    def _of_packages(one: ImportQuestion) -> Answer:
        """Decide what an import leads to that one of the packages has of another."""
        inside = one.namespace in {_PACKAGES, _GLOBALS, _REQUIRED_ALIAS}
        return _packaged(file_of(one.path)) if inside and has_file(one.path) else {}


def _packaged(file: str) -> Answer:
    # The packages say so themselves (`sideEffects` in package.json), but for what is made to be run.
    return {"path": file, "namespace": _PACKAGES, "sideEffects": "/polyfill/" in file}


def _renamed(one: ImportQuestion, path: str) -> ImportQuestion:
    return ImportQuestion(path=path, kind=one.kind, importer=one.importer, namespace=one.namespace, folder=one.folder)


def _error(text: str) -> Answer:
    message: dict[str, Any] = {"id": "", "pluginName": "", "text": text, "location": None, "notes": [], "detail": -1}
    return {"errors": [message]}
