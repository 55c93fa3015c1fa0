"""Puts into words what a binding is bound to, and never a value; where something is declared, and the way on."""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from notebook_do.model import (
    RESOURCE_TYPES,
    ClassBinding,
    Json,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    binding_word,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import Desired, DesiredNamespace, DesiredWorker, ObservedNamespace, ScriptBinding, Where


def describe(binding: ScriptBinding | None, script: str) -> str:
    """Return a few words for what a binding of `script` is bound to; never a value. They are empty for no binding."""
    if binding is None:
        return ""
    kind, target = kind_and_target(binding)
    if isinstance(binding, ClassBinding):
        target = f"class {binding.class_name} of {binding.script_name or script}"
    details = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in details_of(binding))
    return f"{binding_word(kind)} {target}".strip() + (f" ({details})" if details else "")


def kind_and_target(binding: ScriptBinding) -> tuple[str, str]:
    """Return Cloudflare's word for the kind of binding, and what it is bound to; never a value."""
    if isinstance(binding, ClassBinding):
        target = f"{binding.script_name}.{binding.class_name}" if binding.script_name else binding.class_name
        return "durable_object_namespace", target
    match binding.value:
        case PlainText():
            return "plain_text", ""
        case Json():
            return "json", ""
        case Secret(source=source, key=key):
            return "secret_text", f"{source} {key}"
        case ServiceBinding(worker=worker):
            return "service", worker
        case Resource(type=kind, fields=fields):
            return kind, str(fields.value.get(_main_field(kind, fields.value), ""))


def _main_field(kind: str, fields: dict[str, Any]) -> str:
    """Return the field that says what is bound: the type's own, or the first text of a type that is not known."""
    known = RESOURCE_TYPES.get(kind)
    names = (*known.required, *known.one_of, *known.optional) if known else tuple(fields)
    return next((name for name in names if isinstance(fields.get(name), str)), "")


def details_of(binding: ScriptBinding) -> list[tuple[str, str]]:
    """Return (field, value) of what else tells a binding from another one with its target."""
    if isinstance(binding, ClassBinding):
        return [("environment", binding.environment)] if binding.environment else []
    match binding.value:
        case ServiceBinding(entrypoint=entrypoint, environment=environment, props=props):
            more = (("entrypoint", entrypoint), ("environment", environment), ("props", props.text if props else None))
            return [(name, value) for name, value in more if value]
        case Resource(type=kind, fields=fields) if kind in RESOURCE_TYPES:
            values = dict(fields.value)
            if kind == "ratelimit" and isinstance(values.get("simple"), dict):  # where its limit and period are
                values |= values.pop("simple")
            main = values.pop(_main_field(kind, values), None)
            return [(n, v if isinstance(v, str) else json.dumps(v)) for n, v in values.items() if v != main]
    return []


def bound_by(found: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Return what binds something, each once, with how it is known: `COUNTER of Worker desk (declared and live)`."""
    ways: dict[str, list[str]] = {}
    for name, how in chain.from_iterable(found):
        ways.setdefault(name, []).append(how)
    return ", ".join(f"{name} ({' and '.join(dict.fromkeys(how))})" for name, how in sorted(ways.items()))


def unprotecting(stable_id: str, desired: DesiredNamespace | None, live: ObservedNamespace) -> str:
    """Return how the protection of a namespace is lifted: with all that is declared of it, else with where it lives."""
    if desired is not None and desired.again is not None:
        return desired.again({"protect": False})
    return f"%durable namespace {stable_id} --class {live.class_name} --script {live.script_name} --unprotect"


def declared_at(where: Where | None) -> str:
    """Return in brackets where something is declared; empty where that is not known."""
    return f" ({where.stated})" if where and where.stated else ""


def suggested_id(class_name: str) -> str:
    """Return a stable ID for a namespace that has none: its class in small words, `chat-room` of `ChatRoom`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_$]+", "-", class_name).strip("-").lower() or "namespace"


def source_of(worker: DesiredWorker, class_name: str) -> str:
    """Return what the source of a Worker is called: its file, or its cell with the line where a class begins."""
    said, where = f"the source of Worker {worker.id}", worker.where
    if worker.source.startswith("file "):
        return f"{said} ({worker.source})"
    if where is None or not where.name:
        return said
    line = _line_of_class(worker, class_name)
    if where.body_line is None or line is None or where.file:
        return f"{said} ({where.name})"
    return f"{said} (line {where.body_line + line} of {where.name})"


def _line_of_class(worker: DesiredWorker, class_name: str) -> int | None:
    """Return the 0-based line of the source on which a class begins, or else the first export."""
    if worker.bundled:  # its lines are no lines of the cell
        return None
    main = worker.own_main or worker.main_module
    text = next((m.content for m in worker.modules if m.name == main), b"").decode(errors="replace")
    patterns = (rf"\bclass\s+{re.escape(class_name)}\b", r"^\s*export\b") if class_name else (r"^\s*export\b",)
    lines = text.splitlines()
    found = (n for pattern in patterns for n, line in enumerate(lines) if re.search(pattern, line))
    return next(found, None)


class DeclaredBinder(NamedTuple):
    """A declared Worker that binds something: which bindings, and where it is declared."""

    bound: str
    worker: str
    place: str


class WaysToUnbind(NamedTuple):
    """What can be done about Workers that bind what is to be destroyed."""

    declared: tuple[DeclaredBinder, ...]
    outside: tuple[str, ...]
    """The scripts that are not declared here."""
    ours: tuple[str, ...]
    """The declared Workers, by id."""


def ways_to_unbind(by_script: Mapping[str, Iterable[tuple[str, str]]], desired: Desired) -> WaysToUnbind:
    """Return what can be done about the Workers that bind something; of each script what binds, and how it is known."""
    workers = {w.script_name: w for w in desired.workers}
    declared: list[DeclaredBinder] = []
    for script, found in sorted(by_script.items()):
        names = dict.fromkeys(what.partition(" of ")[0] for what, how in found if how == "declared")
        if names and script in workers:
            worker = workers[script]
            bound = ", ".join(f"binding {name}" for name in names)
            declared.append(DeclaredBinder(bound, worker.id, declared_at(worker.where)))
    ours = tuple(workers[script].id for script in sorted(by_script) if script in workers)
    return WaysToUnbind(tuple(declared), tuple(sorted(by_script.keys() - workers.keys())), ours)
