"""Puts into words what a binding is bound to, and never a value, and the line that lifts a protection."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Iterable

    from notebook_do.model import DesiredNamespace, ObservedNamespace, ScriptBinding


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
    """Return the line that lifts the protection of a namespace: all that is declared of it, else where it lives."""
    if desired is not None and desired.unprotected:
        return f"%durable {desired.unprotected}"
    return f"%durable namespace {stable_id} --class {live.class_name} --script {live.script_name} --unprotect"
