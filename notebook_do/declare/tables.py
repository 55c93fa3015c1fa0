"""Turns the TOML body of a `%%durable` cell into declarations: `[namespaces.ID]` and `[workers.ID]` tables.

Keys are those of the Python API. A binding is a string (plain text) or a table that says what it is:
`{namespace = "ID"}`, `{worker = "ID", binding = "NAME"}`, `{service = "WORKER"}`, `{secret = "NAME"}`, `{json = ...}`,
`{kv = "ID"}`, `{r2 = "BUCKET"}` and the like, as the table of binding types has them, or `{type = "...", ...}` in
Cloudflare's own fields.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from notebook_do.declare.line import REFERENCE
from notebook_do.declare.making import FIELDS, Kind, check, field_problem, missing, namespace_of, worker_of
from notebook_do.errors import DeclarationError, nearest
from notebook_do.model import (
    BINDING_TYPES,
    BindingValue,
    Declaration,
    Json,
    Namespace,
    NamespaceBinding,
    PlainText,
    Resource,
    Secret,
    SharedBinding,
    StableId,
    Where,
    Worker,
    resources,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


def _secret(key: str, *, source: str = "env") -> Secret:
    # The key is deleted before anything is raised: it may be the value.
    makers = {"env": Secret.from_env, "keyring": Secret.from_keyring, "prompt": Secret.from_prompt}
    if not isinstance(source, str) or source not in makers:
        del key
        raise DeclarationError(f"the source of a secret is one of {', '.join(makers)}.")
    return makers[source](key)


_OWN: Mapping[str, Callable[..., BindingValue]] = {
    "namespace": lambda text: NamespaceBinding(stable_id=StableId(text)),
    "secret": _secret,
}
"""By key, what makes a binding whose table has another form than its constructor."""


def binding_forms() -> dict[str, Callable[..., BindingValue]]:
    """Return by the key that says what a binding is what makes it of the key's value, and of the other keys by name."""
    rows = (row for row in BINDING_TYPES.values() if row.toml)
    return {row.toml: _OWN.get(row.toml) or getattr(resources, row.constructor) for row in rows}


def toml_keys(kind: Kind) -> list[str]:
    """Return the keys of a `[namespaces.ID]` or `[workers.ID]` table."""
    return [name for name, row in FIELDS[kind].items() if row.toml]


Path = tuple[str, ...]
_LONG = ('"""', "'''")
_TABLES: Mapping[str, Kind] = {"namespaces": "namespace", "workers": "worker"}
_POSITION = re.compile(r" ?\((?:at line (\d+), column \d+|at end of document)\)")


def parse_tables(body: str, *, where: Where, values: Mapping[str, Any]) -> tuple[Declaration, ...]:
    """Read a TOML body; its first line is the one below `where.line`.

    Raises DeclarationError with the cell's line for bad TOML, unknown tables, keys and types.
    """
    # The body begins below the line of the magic.
    first = where.line + 1
    try:
        document = tomllib.loads(body)
    except tomllib.TOMLDecodeError as error:
        # tomllib has the position in its message only (Python 3.11).
        position = _POSITION.search(str(error))
        line = first - 1 + int(position[1] or len(body.splitlines())) if position else None
        text = _POSITION.sub("", str(error))
        raise DeclarationError(f"the TOML cannot be read: {text[:1].lower()}{text[1:]}.", line=line) from None
    lines = Lines(body, first)
    declared: list[Declaration] = []
    for kind, tables in document.items():
        if kind not in _TABLES or not isinstance(tables, dict):
            hint = nearest(kind, _TABLES)
            raise _wrong(lines.of(kind), f"unknown TOML table [{kind}]; {hint}")
        for id_, table in tables.items():
            place = replace(where, line=lines.of(kind, id_), body_line=lines.content(kind, id_, "script"))
            if not isinstance(table, dict):
                raise _wrong(place.line, f"[{kind}.{id_}] must be a table of keys.")
            plain = _Table(kind=_TABLES[kind], id=id_, lines=lines, keys=_filled(table, values, lines, (kind, id_)))
            item: Declaration = plain.namespace(place) if kind == "namespaces" else plain.worker(place)
            check(item)
            declared.append(item)
    return tuple(declared)


class _Table:
    """One `[kind.id]` table, its keys and types checked on the way out."""

    def __init__(self, *, kind: Kind, id: str, lines: Lines, keys: dict[str, Any]) -> None:  # noqa: A002
        self.kind, self.id, self.lines, self.keys = kind, id, lines, keys
        for key, value in keys.items():
            if problem := field_problem(kind, key, value):
                raise self.wrong(problem, key)

    def wrong(self, message: str, *keys: str) -> DeclarationError:
        return _wrong(self.lines.of(f"{self.kind}s", self.id, *keys), f"{self.kind} {self.id}: {message}")

    def namespace(self, where: Where) -> Namespace:
        if lacking := missing("namespace", self.keys):
            raise self.wrong(f"{lacking} is missing; name the class that it runs.")
        return namespace_of(self.id, self.keys, where)

    def worker(self, where: Where) -> Worker:
        bindings = {name: self.binding(name, value) for name, value in self.keys.get("bindings", {}).items()}
        return worker_of(self.id, self.keys | {"bindings": bindings}, where)

    def binding(self, name: str, value: Any) -> BindingValue:
        match value:
            case str():
                return PlainText(text=value)
            case {"json": content, **rest} if not rest:
                return Json(content)
            case {"worker": str(worker), "binding": str(binding), **rest} if not rest:
                return SharedBinding(worker=worker, name=binding)
            case {"type": str(kind), **fields}:
                return Resource(type=kind, fields=Json(fields))
            case dict() if (form := next((key for key in value if key in binding_forms()), None)) is not None:
                return self.form(name, form, value)
        if not isinstance(value, dict):
            raise self.wrong(f"binding {name}: write a string, or {{json = ...}} for {value!r}.", "bindings", name)
        key, kinds = next(iter(value), ""), [*binding_forms(), "json", "worker", "type"]
        known = key in kinds  # then it is what the key holds, or what stands beside it, that is wrong
        hint = f'write {{worker = "...", binding = "..."}}, {{json = ...}} or {{{key} = "..."}}.'
        said = hint if known else f"{key or 'an empty table'} is no kind of binding; {nearest(key, kinds)}"
        raise self.wrong(f"binding {name}: {said}", "bindings", name)

    def form(self, name: str, form: str, value: Mapping[str, Any]) -> BindingValue:
        """Make the binding that one key names, with the other keys by name."""
        make, rest = binding_forms()[form], {key: other for key, other in value.items() if key != form}
        takes = [p.name for p in signature(make).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
        if unknown := [key for key in rest if key not in takes]:
            known = f"takes {', '.join(takes)} besides it" if takes else "takes nothing besides it"
            raise self.wrong(f"binding {name}: unknown key {unknown[0]}; {form} {known}.", "bindings", name)
        if form == "secret" and not isinstance(value[form], str):
            said = "a secret is declared by the name of where its value is, a string."
            raise self.wrong(f"binding {name}: {said}", "bindings", name)
        if not isinstance(value[form], str):
            raise self.wrong(f"binding {name}: {form} must be a string, not {value[form]!r}.", "bindings", name)
        try:
            # A constructor checks what Python gives it, so TOML needs no checks of its own.
            return make(value[form], **rest)
        except DeclarationError as error:
            raise self.wrong(f"binding {name}: {error.message}", "bindings", name) from None
        except TypeError:
            missing = ", ".join(key for key in takes if key not in rest)
            raise self.wrong(f"binding {name}: {form} needs {missing} besides it.", "bindings", name) from None


def _filled(value: Any, values: Mapping[str, Any], lines: Lines, path: Path) -> Any:
    """Replace `${py:NAME}` in every string, but not inside a script; alone in a string it keeps its type."""

    def look_up(match: re.Match[str]) -> Any:
        name = match[1].strip()
        if name not in values:
            said = f"${{py:{name}}}: there is no value of that name; define {name} in Python first."
            raise _wrong(lines.of(*path), said)
        return values[name]

    match value:
        case str():
            whole = REFERENCE.fullmatch(value)
            return look_up(whole) if whole else REFERENCE.sub(lambda found: str(look_up(found)), value)
        case dict():
            return {
                k: v if k == "script" and not REFERENCE.fullmatch(str(v)) else _filled(v, values, lines, (*path, k))
                for k, v in value.items()
            }
        case list():
            return [_filled(v, values, lines, path) for v in value]
    return value


def _wrong(line: int, message: str) -> DeclarationError:
    return DeclarationError(message, line=line)


# --- the lines of tables and keys, which tomllib does not know. The text is known to be TOML by now: so a header or a
# key can be read with tomllib by itself, and strings and lists of several lines are taken together.


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlace:
    """Where a table or key stands; `content` is where its text begins, if its lines are lines here. From 0."""

    line: int
    content: int | None = None


class Lines:
    """The lines of one TOML text, counted as the cell's from `first` on; read only when one is asked for."""

    def __init__(self, text: str, first: int) -> None:
        self._text, self._first = text, first

    def of(self, *path: str) -> int:
        """Return the line of a table or key, or of the nearest one around it that has a line of its own."""
        near = (path[:end] for end in range(len(path), 0, -1))
        return self._first + next((self._places[one].line for one in near if one in self._places), 0)

    def content(self, *path: str) -> int | None:
        """Return the line on which the text of a key begins; None when it does not stand there line by line."""
        place = self._places.get(path)
        return None if place is None or place.content is None else self._first + place.content

    @cached_property
    def _places(self) -> dict[Path, KeyPlace]:
        found: dict[Path, KeyPlace] = {}
        for path, place in _read(self._text.split("\n")):
            found.setdefault(path, place)
            for end in range(1, len(path)):  # `a.b.c = 1` is also where a and a.b begin, when nothing said so before
                found.setdefault(path[:end], KeyPlace(line=place.line))
        return found


def _read(lines: Sequence[str]) -> Iterator[tuple[Path, KeyPlace]]:
    table: Path = ()
    at = 0
    # A whole parse knows no lines, so each header and key is parsed by itself; the text is valid TOML by now.
    while at < len(lines):
        stripped = lines[at].strip()
        if stripped.startswith("["):
            table = _path(stripped)
            yield table, KeyPlace(line=at)
        elif stripped and not stripped.startswith("#"):
            key, _, value = stripped.partition("=")
            path, end = (*table, *_path(f"{key} = 0")), _end(lines, at, value.strip())
            yield path, KeyPlace(line=at, content=_content(value.strip(), at, end))
            at = end
        at += 1


def _content(value: str, at: int, end: int) -> int | None:
    """Return the line on which the text of a string begins: TOML drops a line break right behind its quotes."""
    if value[:1] not in {'"', "'"} or "${py:" in value:
        return None
    if value[:3] in _LONG and end > at:
        return at + 1 if value in _LONG else at
    return None if "\\n" in value else at


def _path(line: str) -> Path:
    """Read one header or one `key = 0` into the path that it names."""
    keys: list[str] = []
    inside: Any = tomllib.loads(line)
    while inside and isinstance(inside, dict | list):
        if isinstance(inside, list):
            inside = inside[0]
            continue
        key = next(iter(inside))
        keys.append(key)
        inside = inside[key]
    return tuple(keys)


def _end(lines: Sequence[str], at: int, value: str) -> int:
    """Return the line on which the value that begins on line `at` ends."""
    if (quote := value[:3]) in _LONG:
        if quote in value[3:]:
            return at
        return next((n for n in range(at + 1, len(lines)) if quote in lines[n]), at)
    # A list or an inline table ends where the text up to there parses; brackets in strings would mislead a count.
    for end in range(at, len(lines)):
        try:
            tomllib.loads("\n".join(["k = " + value, *lines[at + 1 : end + 1]]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return at
