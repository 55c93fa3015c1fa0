"""Turns the TOML body of a `%%durable` cell into declarations: `[namespaces.ID]` and `[workers.ID]` tables.

Keys are those of the Python API. A binding is a string (plain text) or a table that says what it is:
`{namespace = "ID"}`, `{worker = "ID", binding = "NAME"}`, `{service = "WORKER"}`, `{secret = "NAME"}`, `{json = ...}`,
`{kv = "ID"}`, `{r2 = "BUCKET"}` and the like (BINDING_FORMS), or `{type = "...", ...}` in Cloudflare's own fields.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from notebook_do.declare.check import check
from notebook_do.declare.lines import Lines
from notebook_do.declare.options import nearest
from notebook_do.declare.settings import NOT_CARRIED, SETTING_TYPES
from notebook_do.declare.triggers import triggers_of
from notebook_do.errors import DeclarationError
from notebook_do.model import (
    D1,
    KV,
    R2,
    AiSearch,
    AnalyticsEngine,
    Artifacts,
    Bindings,
    BindingValue,
    Declaration,
    DispatchNamespace,
    Hyperdrive,
    Json,
    MtlsCertificate,
    Namespace,
    NamespaceBinding,
    Pipeline,
    PlainText,
    Queue,
    RateLimit,
    Resource,
    Secret,
    Service,
    SharedBinding,
    StableId,
    Vectorize,
    VpcService,
    Where,
    Worker,
    Workflow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from notebook_do.declare.lines import Path

NAMESPACE_KEYS: Mapping[str, type] = {
    "class_name": str,
    "sqlite": bool,
    "script_name": str,
    "environment": str,
    "namespace_id": str,
    "renamed_from": str,
    "transferred_from": str,
    "protect": bool,
}
WORKER_KEYS: Mapping[str, type] = {
    "name": str,
    "script": str,
    "entrypoint": str,
    "no_bundle": bool,
    "lang": str,
    "bindings": dict,
    "compatibility_date": str,
    "compatibility_flags": list,
    "url": bool,
    "previews": bool,
    "crons": list,
    "routes": list,
    "domains": list,
    "consumes": dict,
    "assets": dict,
    **SETTING_TYPES,
    "adopt": bool,
    "lifecycle": str,
}
CHOICES: Mapping[str, tuple[str, ...]] = {"lang": ("js", "ts", "py"), "lifecycle": ("auto", "exports", "migrations")}


def _secret(key: str, *, source: str = "env") -> Secret:
    makers = {"env": Secret.from_env, "keyring": Secret.from_keyring, "prompt": Secret.from_prompt}
    if not isinstance(source, str) or source not in makers:
        del key
        raise DeclarationError(f"the source of a secret is one of {', '.join(makers)}.")
    return makers[source](key)


BINDING_FORMS: Mapping[str, Callable[..., BindingValue]] = {
    "namespace": lambda text: NamespaceBinding(stable_id=StableId(text)),
    "secret": _secret,
    "service": Service,
    "kv": KV,
    "r2": R2,
    "d1": D1,
    "queue": Queue,
    "hyperdrive": Hyperdrive,
    "vectorize": Vectorize,
    "analytics_engine": AnalyticsEngine,
    "ratelimit": RateLimit,
    "workflow": Workflow,
    "pipeline": Pipeline,
    "dispatch_namespace": DispatchNamespace,
    "mtls_certificate": MtlsCertificate,
    "ai_search": AiSearch,
    "vpc_service": VpcService,
    "artifacts": Artifacts,
}
"""By the key that says what a binding is: what makes it of the key's value, and of the other keys by name."""
_VALUE = re.compile(r"\$\{py:([^}]*)\}")
_POSITION = re.compile(r" ?\((?:at line (\d+), column \d+|at end of document)\)")


def parse_tables(body: str, *, where: Where, values: Mapping[str, Any]) -> tuple[Declaration, ...]:
    """Read a TOML body; its first line is the one below `where.line`.

    Raises DeclarationError with the cell's line for bad TOML, unknown tables, keys and types.
    """
    first = where.line + 1
    try:
        document = tomllib.loads(body)
    except tomllib.TOMLDecodeError as error:
        position = _POSITION.search(str(error))
        line = first - 1 + int(position[1] or len(body.splitlines())) if position else None
        text = _POSITION.sub("", str(error))
        raise DeclarationError(f"the TOML cannot be read: {text[:1].lower()}{text[1:]}.", line=line) from None
    lines = Lines(body, first)
    declared: list[Declaration] = []
    for kind, tables in document.items():
        if kind not in {"namespaces", "workers"} or not isinstance(tables, dict):
            hint = nearest(kind, ["namespaces", "workers"])
            raise _wrong(lines.of(kind), f"unknown TOML table [{kind}]; {hint}")
        for id_, table in tables.items():
            place = replace(where, line=lines.of(kind, id_), body_line=lines.content(kind, id_, "script"))
            if not isinstance(table, dict):
                raise _wrong(place.line, f"[{kind}.{id_}] must be a table of keys.")
            plain = _Table(kind=kind[:-1], id=id_, lines=lines, keys=_filled(table, values, lines, (kind, id_)))
            item: Declaration = plain.namespace(place) if kind == "namespaces" else plain.worker(place)
            check(item)
            declared.append(item)
    return tuple(declared)


class _Table:
    """One `[kind.id]` table, its keys and types checked on the way out."""

    def __init__(self, *, kind: str, id: str, lines: Lines, keys: dict[str, Any]) -> None:  # noqa: A002
        self.kind, self.id, self.lines, self.keys = kind, id, lines, keys
        known = NAMESPACE_KEYS if kind == "namespace" else WORKER_KEYS
        for key, value in keys.items():
            if key in NOT_CARRIED and kind == "worker":
                raise self.wrong(f"{key} cannot be declared: {NOT_CARRIED[key]}", key)
            if key not in known:
                raise self.wrong(f"unknown key {key}; {nearest(key, list(known))}", key)
            if not isinstance(value, known[key]):
                raise self.wrong(f"{key} must be {_WORDS[known[key]]}, not {value!r}.", key)
            if key in CHOICES and value not in CHOICES[key]:
                raise self.wrong(f"{key} {value!r}: {nearest(str(value), CHOICES[key])}", key)

    def wrong(self, message: str, *keys: str) -> DeclarationError:
        return _wrong(self.lines.of(f"{self.kind}s", self.id, *keys), f"{self.kind} {self.id}: {message}")

    def namespace(self, where: Where) -> Namespace:
        if "class_name" not in self.keys:
            raise self.wrong("class_name is missing; name the class that it runs.")
        return Namespace(StableId(self.id), where=where, **self.keys)

    def worker(self, where: Where) -> Worker:
        keys = dict(self.keys)
        passed = {k: keys.pop(k) for k in SETTING_TYPES if k in keys}
        bindings = {name: self.binding(name, value) for name, value in keys.pop("bindings", {}).items()}
        for key in ("compatibility_flags", "crons", "routes", "domains"):
            keys[key] = tuple(self.strings(key, keys.get(key, [])))
        places = {key: keys.pop(key, ()) for key in ("routes", "domains", "consumes")}
        keys["triggers"] = triggers_of(**places)
        keys["assets"] = Json(keys["assets"]) if "assets" in keys else None
        return Worker(self.id, where=where, bindings=Bindings(self.id, bindings), options=Json(passed), **keys)

    def strings(self, key: str, items: Iterable[Any]) -> list[str]:
        listed = list(items)
        if not all(isinstance(item, str) for item in listed):
            raise self.wrong(f"{key} must be a list of strings.", key)
        return listed

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
            case dict() if (form := next((key for key in value if key in BINDING_FORMS), None)) is not None:
                return self.form(name, form, value)
        if not isinstance(value, dict):
            raise self.wrong(f"binding {name}: write a string, or {{json = ...}} for {value!r}.", "bindings", name)
        key, kinds = next(iter(value), ""), [*BINDING_FORMS, "json", "worker", "type"]
        known = key in kinds  # then it is what the key holds, or what stands beside it, that is wrong
        hint = f'write {{worker = "...", binding = "..."}}, {{json = ...}} or {{{key} = "..."}}.'
        said = hint if known else f"{key or 'an empty table'} is no kind of binding; {nearest(key, kinds)}"
        raise self.wrong(f"binding {name}: {said}", "bindings", name)

    def form(self, name: str, form: str, value: Mapping[str, Any]) -> BindingValue:
        """Make the binding that one key names, with the other keys by name."""
        make, rest = BINDING_FORMS[form], {key: other for key, other in value.items() if key != form}
        takes = [p.name for p in signature(make).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
        if unknown := [key for key in rest if key not in takes]:
            known = f"takes {', '.join(takes)} besides it" if takes else "takes nothing besides it"
            raise self.wrong(f"binding {name}: unknown key {unknown[0]}; {form} {known}.", "bindings", name)
        if form == "secret" and not isinstance(value[form], str):
            told = "a secret is declared by the name of where its value is, a string."
            raise self.wrong(f"binding {name}: {told}", "bindings", name)
        if not isinstance(value[form], str):
            raise self.wrong(f"binding {name}: {form} must be a string, not {value[form]!r}.", "bindings", name)
        try:
            return make(value[form], **rest)
        except DeclarationError as error:
            raise self.wrong(f"binding {name}: {error.message}", "bindings", name) from None
        except TypeError:
            missing = ", ".join(key for key in takes if key not in rest)
            raise self.wrong(f"binding {name}: {form} needs {missing} besides it.", "bindings", name) from None


_WORDS: Mapping[type, str] = {str: "a string", bool: "true or false", dict: "a table", list: "a list"}


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
            whole = _VALUE.fullmatch(value)
            return look_up(whole) if whole else _VALUE.sub(lambda found: str(look_up(found)), value)
        case dict():
            return {
                k: v if k == "script" and not _VALUE.fullmatch(str(v)) else _filled(v, values, lines, (*path, k))
                for k, v in value.items()
            }
        case list():
            return [_filled(v, values, lines, path) for v in value]
    return value


def _wrong(line: int, message: str) -> DeclarationError:
    return DeclarationError(message, line=line)
