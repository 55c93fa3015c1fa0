"""Writes `worker-configuration.d.ts`: the TypeScript type of a Worker's `env`, from its declared bindings.

The names are those of `@cloudflare/workers-types`. A Durable Object class is imported as a type where its source is a
file here, so that calls through the binding are checked too. (`wrangler types` writes the same from a wrangler project;
it needs Node, and there is no such project here.)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.model import BINDING_TYPES, ClassBinding, Json, PlainText, Resource, Secret, ServiceBinding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import DesiredWorker, ScriptBinding

TYPES_FILE = "worker-configuration.d.ts"
HEAD = "// The bindings of Worker "
"""How every file begins that is written here."""


def env_types(worker: DesiredWorker, *, sources: Mapping[str, str] | None = None) -> str:
    """Write the type of one Worker's `env`; `sources` gives the import path of each script whose source is a file."""
    known = sources or {}
    lines = [f"  {binding.name}: {_type(binding, worker.script_name, known)};" for binding in worker.bindings]
    head = (
        f"{HEAD}{worker.id}, as they are declared; written anew whenever they change.",
        "// Needs the types of @cloudflare/workers-types.",
    )
    body = ("declare namespace Cloudflare {", "  interface Env {", *(f"  {line}" for line in lines), "  }", "}")
    return "\n".join((*head, *body, "interface Env extends Cloudflare.Env {}")) + "\n"


def _type(binding: ScriptBinding, script: str, sources: Mapping[str, str]) -> str:
    """Write the type of one binding; where its class is not a file here, a comment names it."""
    if isinstance(binding, ClassBinding):
        path = sources.get(binding.script_name or script)
        of = f"<{_imported(path)}.{binding.class_name}>" if path else ""
        return f"DurableObjectNamespace{of}{'' if path else _note(binding)}"
    match binding.value:
        case PlainText() | Secret():
            return "string"
        case Json() as value:
            return _literal(value.value)
        case ServiceBinding(worker=worker, entrypoint=entrypoint):
            path = sources.get(worker)
            named = f"typeof {_imported(path)}.{entrypoint or 'default'}" if path else ""
            return f"Service<{named}>" if path else f"Fetcher /* {_plain(worker)} */"
        case Resource(type=kind):
            row = BINDING_TYPES.get(kind)
            return (row.typescript if row else "") or f"unknown /* {_plain(kind)} */"
        case _:
            assert_never(binding.value)


def _imported(path: str | None) -> str:
    return f"import({json.dumps(path)})"


def _note(binding: ClassBinding) -> str:
    where = f"{binding.script_name}." if binding.script_name else ""
    return f" /* {_plain(where + binding.class_name)} */"


def _plain(text: str) -> str:
    """Return a name so that it cannot end the comment that it stands in: names of live Workers are anybody's."""
    return text.replace("*/", "* /")


def _literal(value: Any) -> str:
    """Write the type of a JSON value: its shape, not its content."""
    match value:
        case None:
            return "null"
        # Before the numbers, of which a bool is one in Python.
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            kinds = sorted({_literal(item) for item in value})
            return f"({' | '.join(kinds)})[]" if kinds else "never[]"
        case dict():
            fields = "; ".join(f"{json.dumps(key)}: {_literal(item)}" for key, item in sorted(value.items()))
            return f"{{ {fields} }}" if fields else "{}"
    return "unknown"
