"""Writes bindings for wrangler: under its own key where that carries the binding whole, else as `unsafe`.

Key names stand in the table of binding types, as in `config-schema.json` of wrangler 4.164. An `unsafe` binding goes
up as it is, whatever its type, so that nothing is left out for want of a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.model import (
    BINDING_TYPES,
    BindingType,
    ClassBinding,
    Json,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ScriptBinding
    from notebook_do.model.bindings import Key

Config = dict[str, Any]


_PARTS = frozenset({"text_blob", "data_blob", "wasm_module"})


def write_bindings(bindings: Iterable[ScriptBinding]) -> Config:
    """Give the keys of bindings."""
    config: Config = {}
    for binding in bindings:
        if isinstance(binding, ClassBinding):
            entry = {"name": binding.name, "class_name": binding.class_name}
            extra = {"script_name": binding.script_name, "environment": binding.environment}
            _add(config, ("durable_objects", "bindings"), entry | {k: v for k, v in extra.items() if v})
        else:
            _add_value(config, binding.name, binding.value)
    return config


def missing_part(bindings: Iterable[ScriptBinding], modules: frozenset[str]) -> str | None:
    """Say which binding is to a part of the upload that is no module, so that wrangler could not send it."""
    for binding in bindings:
        value = None if isinstance(binding, ClassBinding) else binding.value
        if isinstance(value, Resource) and value.type in _PARTS and value.fields.value.get("part") not in modules:
            part = value.fields.value.get("part")
            return f"binding {binding.name} ({value.type}): its part {part} is not among the Worker's modules"
    return None


def asset_bindings(bindings: Iterable[ScriptBinding]) -> list[str]:
    """Name the bindings of the Worker's own static assets; wrangler has one, beside their directory."""
    values = ((b.name, b.value) for b in bindings if not isinstance(b, ClassBinding))
    return [name for name, value in values if isinstance(value, Resource) and value.type == "assets"]


def _add_value(config: Config, name: str, value: Any) -> None:
    match value:
        case PlainText(text=text):
            config.setdefault("vars", {})[name] = text
        case Json() if isinstance(value.value, str):  # under `vars` it would become plain text
            _add_unsafe(config, name, "json", {"json": value.value})
        case Json():
            config.setdefault("vars", {})[name] = value.value
        case ServiceBinding(worker=service, entrypoint=entrypoint, environment=environment, props=props):
            entry = {"binding": name, "service": service} | ({"props": props.value} if props else {})
            entry |= {k: v for k, v in (("entrypoint", entrypoint), ("environment", environment)) if v}
            _add(config, ("services",), entry)
        case Secret():
            pass  # wrangler keeps the secrets that are set
        case Resource(type=kind, fields=fields):
            _add_resource(config, name, kind, fields.value)
        case _:
            assert_never(value)


def _add_resource(config: Config, name: str, kind: str, fields: Mapping[str, Any]) -> None:
    row = BINDING_TYPES.get(kind, BindingType(kind))
    key, told = row.wrangler, _told(row, fields)
    if key is None or not _carries(row, key, told) or _is_taken(config, kind, key, told):
        _add_unsafe(config, name, kind, fields)
        return
    entry = {key.named: name, **{key.fields[field]: value for field, value in told.items()}}
    if kind == "d1":
        entry["database_name"] = name
    if key.once:
        config[key.path[0]] = entry
    else:
        _add(config, key.path, entry)


def _told(row: BindingType, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields in wrangler's terms: without what an account fills in by itself."""
    told = dict(fields)
    if row.type == "d1":  # two spellings of one fact
        told = {"id": told.pop("id", None) or told.pop("database_id", None), **told}
        told.pop("database_id", None)
    if row.type == "dispatch_namespace" and (outbound := _outbound(told.get("outbound"))) is not None:
        told["outbound"] = outbound
    filled = frozenset(row.filled) - (row.wrangler.fields.keys() if row.wrangler else frozenset())
    return {name: value for name, value in told.items() if name not in filled}


def _outbound(outbound: Any) -> dict[str, Any] | None:
    """Write a dispatch namespace's outbound Worker as wrangler has it; None where it has no words for all of it."""
    if not isinstance(outbound, dict) or outbound.keys() - {"worker", "params"}:
        return None
    worker, params = outbound.get("worker"), outbound.get("params") or []
    if not isinstance(worker, dict) or "service" not in worker or worker.keys() - {"service", "environment"}:
        return None
    if not all(isinstance(p, dict) and p.keys() == {"name"} for p in params):
        return None
    return {**worker, **({"parameters": [p["name"] for p in params]} if params else {})}


def _carries(row: BindingType, key: Key, told: Mapping[str, Any]) -> bool:
    """Return whether wrangler's own key carries all that is told."""
    chosen = [name for name in key.exclusive if told.get(name) is not None]
    if row.type == "dispatch_namespace" and "service" not in told.get("outbound", {"service": ""}):
        return False
    return (
        not (told.keys() - key.fields.keys())
        and all(told.get(name) for name in (*row.required, *key.required))
        and (len(chosen) == 1 if key.exactly_one else len(chosen) < 2)
    )


def _is_taken(config: Config, kind: str, key: Key, told: Mapping[str, Any]) -> bool:
    """Say whether wrangler has no room for it: of some types there is one, of a workflow one by its name."""
    if kind == "workflow":
        return any(one["name"] == told.get("workflow_name") for one in config.get("workflows", ()))
    return key.once and key.path[0] in config


def _add_unsafe(config: Config, name: str, kind: str, fields: Mapping[str, Any]) -> None:
    _add(config, ("unsafe", "bindings"), {**fields, "name": name, "type": kind})


def _add(config: Config, path: tuple[str, ...], entry: Any) -> None:
    place = config
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place.setdefault(path[-1], []).append(entry)
