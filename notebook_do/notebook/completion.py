"""Completes `%durable` lines and `%%durable` bodies: verbs, options, values, TOML keys, and names of the open session.

One matcher is added to IPython's completer on load and taken away on unload. Nothing is sent to complete a word.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

from notebook_do.errors import DurableError
from notebook_do.notebook import verbs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from IPython.core.completer import CompletionContext

    from notebook_do.declare.line import Option
    from notebook_do.sessions.session import Session

_MAGIC = re.compile(r"^(?:%%|.*?%)durable(?P<words>\s.*)?$")
_IS_MAGIC = re.compile(r"^\s*(?:%%?|[\w\s,.\[\]'\"]+=\s*%)durable\s")
"""A line that is one, and no text in which one is named."""
_CLASS = re.compile(r"\bclass\s+([A-Za-z_$][\w$]*)\s+extends\s+DurableObject\b")
_HEADER = re.compile(r"^\s*\[\s*(namespaces|workers)\s*\.\s*([^\].\s]+)\s*(\.\s*bindings\s*)?\]")


class KnownNames:
    """The names that the open session knows: declared, recorded, and live when last looked; none without a session."""

    def __init__(self) -> None:
        module = sys.modules.get("notebook_do.sessions.opening")  # without it no session can be open
        self.workers: list[str] = []
        self.namespaces: list[str] = []
        self.classes: list[str] = []
        self.live: list[str] = []
        self.reachable: list[str] = []
        self._session: Session | None = None
        try:
            session = module.current() if module else None
        except DurableError:
            session = None
        if session is None:
            return
        self._session = session
        catalog = session.catalog
        workers, namespaces = set(catalog.workers), set(map(str, catalog.namespaces))
        scripts = (worker.script or "" for worker in catalog.workers.values())
        classes = {name for script in scripts for name in _CLASS.findall(script)}
        classes |= {n.class_name for n in catalog.namespaces.values()}
        try:
            recorded = session.recorded()
            workers |= {w.id for w in recorded.workers}
            namespaces |= {str(n.stable_id) for n in recorded.namespaces}
        except DurableError:
            pass  # a bad state file is reported by the verb that uses it, not while a name is typed
        self.workers, self.namespaces, self.classes = sorted(workers), sorted(namespaces), sorted(classes)
        self.live = sorted(session.live)
        self.reachable = [*self.workers, *(name for name in self.live if name not in workers)]

    def objects(self, namespace: str) -> list[str]:
        """Return the names of the objects of a namespace that were named or listed before."""
        return sorted(self._session.met.get(namespace, ())) if self._session else []

    def methods(self, namespace: str) -> list[str]:
        """Return the methods of the class of a namespace, as the sources in the cells have them."""
        from notebook_do.sources.methods import methods_of

        declared = dict(self._session.catalog.namespaces).get(namespace) if self._session else None
        if self._session is None or declared is None:
            return []
        scripts = (worker.script or "" for worker in self._session.catalog.workers.values())
        return next((found for script in scripts if (found := methods_of(script, declared.class_name))), [])


def complete(text: str, line: str, *, in_body: bool, variables: Iterable[str] = ()) -> tuple[str, list[str]]:
    """Return what is being typed and what it could become.

    `line` is the line up to the cursor, `text` everything before it; `in_body` means below a bare `%%durable`.
    """
    if in_body and (reference := re.search(r"\$\{py:(\w*)$", line)):
        return reference[1], [name for name in variables if name.startswith(reference[1])]
    if in_body:
        return _in_toml(text, line)
    found = _MAGIC.match(line)
    if found is None or found["words"] is None:
        return "", []
    words = found["words"].split()
    fragment = words.pop() if words and not line[-1].isspace() else ""
    return fragment, _shown(word for word in _in_line(words, fragment, list(variables)) if word.startswith(fragment))


def _shown(words: Iterable[str]) -> list[str]:
    """Leave out what a terminal would obey instead of showing it."""
    # A live script may be called anything; the menu of a terminal is drawn as it is.
    return [word for word in words if word.isprintable()]


def _in_line(words: list[str], fragment: str, variables: list[str]) -> list[str]:
    if not words:
        return [*verbs.BY_NAME, "-h"]
    verb = verbs.BY_NAME.get(words[0])
    if verb is None:
        return []
    options = {o.name: o for o in (*verb.options, *verb.common)}
    behind = options.get(words[-1])
    if behind is not None and behind.value and behind.name.startswith("-"):
        return _values(behind, fragment, variables, words)
    free = [name for name, o in options.items() if name.startswith("-") and (o.many or name not in words)]
    if fragment.startswith("-"):
        return free
    taken = sum(not w.startswith("-") and not _is_value(words, at, options) for at, w in enumerate(words)) - 1
    places = [o for o in verb.options if not o.name.startswith("-")]
    place = places[min(taken, len(places) - 1)] if places and (taken < len(places) or places[-1].many) else None
    return [*(_values(place, fragment, variables, words) if place else []), *(free if not fragment else [])]


def _is_value(words: list[str], at: int, options: dict[str, Option]) -> bool:
    before = options.get(words[at - 1]) if at else None
    return before is not None and bool(before.value) and before.name.startswith("-")


def _values(option: Option, fragment: str, variables: list[str], words: list[str]) -> list[str]:
    if option.choices:
        return list(option.choices)
    # Read when it is needed: a session's state file is on a disk.
    names = KnownNames()
    if option.knows in {"object", "method"}:
        of = words[1] if len(words) > 1 else ""
        return names.objects(of) if option.knows == "object" else names.methods(of)
    if option.value.startswith(("BINDING=", "NAME=")) or (option.many and option.knows):
        start, equals, _ = fragment.partition("=")
        if option.name.startswith("-"):
            return [f"{start}={name}" for name in _known(option.knows, names)] if equals else []
    match option.knows:
        case "variable":
            return variables
        case "path":
            return glob.glob(f"{glob.escape(fragment)}*")  # noqa: PTH207 - completes what was typed as it was typed
        case "environment":
            return sorted({"CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", *os.environ})
        case "topic":
            from notebook_do.notebook.topics import ALL

            return list(dict.fromkeys((*ALL, *verbs.BY_NAME)))
        case "date":
            from notebook_do.toolchain import NEWEST_COMPATIBILITY_DATE

            return [NEWEST_COMPATIBILITY_DATE]
    return _known(option.knows, names)


def _known(knows: str, names: KnownNames) -> list[str]:
    match knows:
        case "worker":
            return names.workers
        case "namespace":
            return names.namespaces
        case "declared":
            return [*names.workers, *names.namespaces]
        case "reachable":
            return names.reachable
        case "live":
            return names.live
        case "class":
            return names.classes
    return []


def _declares_tables(line: str) -> bool:
    """Say whether a cell that begins with `line` has a TOML body: it names no verb."""
    words = line.split()
    values = {at + 1 for at, word in enumerate(words) if word == "--as"}
    return words[:1] == ["%%durable"] and all(w.startswith("-") or n in values for n, w in enumerate(words[1:], 1))


def _in_toml(text: str, line: str) -> tuple[str, list[str]]:
    """Complete a table header, a key, or the value behind a key."""
    from notebook_do.declare.tables import binding_forms, toml_keys

    names = KnownNames()
    if line.lstrip().startswith("["):
        fragment = line.lstrip()
        tables = [*(f"[namespaces.{n}]" for n in names.namespaces), *(f"[workers.{n}]" for n in names.workers)]
        return fragment, _shown(t for t in ("[namespaces.", "[workers.", *tables) if t.startswith(fragment))
    # By lines and not by tomllib: what is being typed is not TOML yet.
    headers = [found for found in map(_HEADER.match, text.split("\n")[:-1]) if found]
    if not headers:
        return "", []
    kind, in_bindings = headers[-1][1], bool(headers[-1][3])
    fragment = re.split(r"[\s=\"'{,]", line)[-1]
    key, equals, value = line.rpartition("=")
    if equals:
        key = re.split(r"[\s{,]", key.rstrip())[-1]
        words = _toml_values(key, names, quoted='"' in value or "'" in value)
    elif in_bindings:
        words = []
    else:
        words = toml_keys("namespace" if kind == "namespaces" else "worker")
    if value.lstrip() in ("{", "{ ") or re.fullmatch(r"\s*\{\s*\w*", value):
        words = list(binding_forms())
    return fragment, _shown(word for word in words if word.startswith(fragment))


def _toml_values(key: str, names: KnownNames, *, quoted: bool) -> list[str]:
    from notebook_do.model import BINDING_TYPES, NAMESPACE_FIELDS, WORKER_FIELDS

    field = NAMESPACE_FIELDS.get(key) or WORKER_FIELDS.get(key)
    if field and field.takes == "switch":
        return ["true", "false", *(f'"{word}"' for word in field.choices)]
    flags = {row.toml: row.flag for row in BINDING_TYPES.values() if row.toml}
    flag = field.flag if field else flags.get(key)
    knows = "reachable" if key == "worker" else flag.completes if flag else ""
    words = list(field.choices) if field and field.choices else _known(knows, names)
    return words if quoted else [f'"{word}"' for word in words]


def load(ip: Any) -> None:
    """Add the matcher to IPython's completer."""

    # `suppress`: without it IPython mixes in Python keywords and names of files.
    def durable_matcher(context: CompletionContext) -> dict[str, Any]:
        lines = context.full_text.split("\n")[: context.cursor_line + 1]
        line = lines[-1][: context.cursor_position]
        in_body = context.cursor_line > 0 and _declares_tables(lines[0])
        if not in_body and "%durable" not in line:
            return {"completions": []}
        before = "\n".join([*lines[:-1], line])
        variables = [name for name in ip.user_ns if not name.startswith("_")]
        fragment, words = complete(before, line, in_body=in_body, variables=variables)
        if not words and (in_body or _IS_MAGIC.match(line)):
            # IPython suppresses the others only for a matcher that has something: what is typed stays as it is.
            words = [fragment := re.split(r"\s", line)[-1]]
        return {
            "completions": [SimpleCompletion(text=word, type="param") for word in words],
            "matched_fragment": fragment,
            "suppress": bool(words),
            "ordered": True,
        }

    if ip.Completer is not None:
        ip.Completer.custom_matchers.append(context_matcher(identifier="notebook_do")(durable_matcher))


def unload(ip: Any) -> None:
    """Take the matcher away."""
    if ip.Completer is not None:
        ip.Completer.custom_matchers[:] = [
            m for m in ip.Completer.custom_matchers if getattr(m, "matcher_identifier", "") != "notebook_do"
        ]
