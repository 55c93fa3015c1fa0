"""A binding -> the words for what it is bound to; never a value."""

from __future__ import annotations

import json
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
    from notebook_do.model import DesiredWorker, ScriptBinding


def describe(binding: ScriptBinding | None, script: str) -> str:
    """Say in a few words what a binding of `script` is bound to; never a value. Nothing is bound to nothing."""
    if binding is None:
        return ""
    kind, target = kind_and_target(binding)
    if isinstance(binding, ClassBinding):
        target = f"class {binding.class_name} of {binding.script_name or script}"
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in _details(binding))
    return f"{binding_word(kind)} {target}".strip() + (f" ({told})" if told else "")


def called_by(worker: DesiredWorker) -> frozenset[str]:
    """Name the scripts that must be there when a Worker is uploaded: those of its services and its tail consumers."""
    values = (b.value for b in worker.bindings if not isinstance(b, ClassBinding))
    services = {value.worker for value in values if isinstance(value, ServiceBinding)}
    return frozenset(services | {tail["service"] for tail in worker.options.value.get("tail_consumers", ())})


def kind_and_target(binding: ScriptBinding) -> tuple[str, str]:
    """Give Cloudflare's word for the kind of binding, and what it is bound to; never a value."""
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
    """Name the field that says what is bound: the type's own, or the first text of a type that is not known."""
    known = RESOURCE_TYPES.get(kind)
    names = (*known.required, *known.one_of, *known.optional) if known else tuple(fields)
    return next((name for name in names if isinstance(fields.get(name), str)), "")


def _details(binding: ScriptBinding) -> list[tuple[str, str]]:
    """Give what else tells a binding from another one of its target: field and value."""
    if isinstance(binding, ClassBinding):
        return [("environment", binding.environment)] if binding.environment else []
    match binding.value:
        case ServiceBinding(entrypoint=entrypoint, environment=environment, props=props):
            told = (("entrypoint", entrypoint), ("environment", environment), ("props", props.text if props else None))
            return [(name, value) for name, value in told if value]
        case Resource(type=kind, fields=fields) if kind in RESOURCE_TYPES:
            values = dict(fields.value)
            if kind == "ratelimit" and isinstance(values.get("simple"), dict):
                values |= values.pop("simple")
            main = values.pop(_main_field(kind, values), None)
            return [(n, v if isinstance(v, str) else json.dumps(v)) for n, v in values.items() if v != main]
    return []
