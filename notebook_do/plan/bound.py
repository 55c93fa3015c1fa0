"""A binding -> the words for what it is bound to; never a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model import ClassBinding, Json, PlainText, Resource, Secret, ServiceBinding, binding_word

if TYPE_CHECKING:
    from notebook_do.model import ScriptBinding


def describe(binding: ScriptBinding | None, script: str) -> str:
    """Say in a few words what a binding of `script` is bound to; never a value. Nothing is bound to nothing."""
    if binding is None:
        return ""
    kind, target = kind_and_target(binding)
    if isinstance(binding, ClassBinding):
        target = f"class {binding.class_name} of {binding.script_name or script}"
    return f"{binding_word(kind)} {target}".strip()


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
            return kind, next((str(v) for v in fields.value.values() if isinstance(v, str)), "")
