"""Writes for wrangler what an upload is made of: its bindings and its modules.

A binding stands under wrangler's own key where that carries it whole, else as `unsafe`, which goes up as it is,
whatever its type: nothing is left out for want of a key. Key names stand in the table of binding types, as in
`config-schema.json` of wrangler 4.164.

Modules are sent as they are (`no_bundle`), under the same names and types. wrangler finds them by rules over the whole
directory, so that each is named, and nothing else of the directory goes up with them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.errors import CommandError
from notebook_do.model import (
    BINDING_TYPES,
    BindingType,
    ClassBinding,
    Json,
    ModuleKind,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import DesiredWorker, Module, ScriptBinding
    from notebook_do.model.bindings import Key

Config = dict[str, Any]

_PARTS = frozenset({"text_blob", "data_blob", "wasm_module"})
"""Types of bindings to a part of the upload, from the service-worker format."""


def write_bindings(bindings: Iterable[ScriptBinding]) -> Config:
    """Return the keys of bindings."""
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
    """Add a binding that is no class, under wrangler's key for it."""
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
            pass  # no project holds one, and wrangler keeps those that are set
        case Resource(type=kind, fields=fields):
            _add_resource(config, name, kind, fields.value)
        case _:
            assert_never(value)


def _add_resource(config: Config, name: str, kind: str, fields: Mapping[str, Any]) -> None:
    """Add a binding by its row in the table of binding types, or as `unsafe` where wrangler would lose a part of it."""
    row = BINDING_TYPES.get(kind, BindingType(kind))
    key, own = row.wrangler, _own_fields(row, fields)
    if key is None or not _carries(row, key, own) or _is_taken(config, kind, key, own):
        _add_unsafe(config, name, kind, fields)
        return
    entry = {key.named: name, **{key.fields[field]: value for field, value in own.items()}}
    if kind == "d1":  # an upload has the id alone; wrangler's own commands want a name for the database
        entry["database_name"] = name
    if key.once:
        config[key.path[0]] = entry
    else:
        _add(config, key.path, entry)


def _own_fields(row: BindingType, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that wrangler has to carry: without what an account fills in by itself."""
    own = dict(fields)
    if row.type == "d1":  # Cloudflare has two spellings of one fact
        own = {"id": own.pop("id", None) or own.pop("database_id", None), **own}
        own.pop("database_id", None)
    if row.type == "dispatch_namespace" and (outbound := _outbound(own.get("outbound"))) is not None:
        own["outbound"] = outbound
    filled = frozenset(row.filled) - (row.wrangler.fields.keys() if row.wrangler else frozenset())
    return {name: value for name, value in own.items() if name not in filled}


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


def _carries(row: BindingType, key: Key, own: Mapping[str, Any]) -> bool:
    """Return whether wrangler's own key carries all that is own."""
    chosen = [name for name in key.exclusive if own.get(name) is not None]
    if row.type == "dispatch_namespace" and "service" not in own.get("outbound", {"service": ""}):
        return False
    return (
        not (own.keys() - key.fields.keys())
        and all(own.get(name) for name in (*row.required, *key.required))
        and (len(chosen) == 1 if key.exactly_one else len(chosen) < 2)
    )


def _is_taken(config: Config, kind: str, key: Key, own: Mapping[str, Any]) -> bool:
    """Say whether wrangler has no room for it: of some types there is one, of a workflow one by its name."""
    if kind == "workflow":
        return any(one["name"] == own.get("workflow_name") for one in config.get("workflows", ()))
    return key.once and key.path[0] in config


def _add_unsafe(config: Config, name: str, kind: str, fields: Mapping[str, Any]) -> None:
    _add(config, ("unsafe", "bindings"), {**fields, "name": name, "type": kind})


def _add(config: Config, path: tuple[str, ...], entry: Any) -> None:
    place = config
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place.setdefault(path[-1], []).append(entry)


_RULES: Mapping[ModuleKind, str] = {
    ModuleKind.ESM: "ESModule",
    ModuleKind.COMMONJS: "CommonJS",
    ModuleKind.PYTHON: "PythonModule",
    ModuleKind.WASM: "CompiledWasm",
    ModuleKind.TEXT: "Text",
    ModuleKind.DATA: "Data",
}
_DEFAULT_RULES = ("Text", "Data", "CompiledWasm")
"""Types for which wrangler has rules of its own: they would take files that are no modules."""
_MAP_COMMENT = "//# sourceMappingURL="
_MAIN_ENDINGS = {ModuleKind.ESM: (".js", ".mjs"), ModuleKind.PYTHON: (".py",)}


def write_modules(worker: DesiredWorker) -> dict[str, Any]:
    """Return the keys that say which modules there are.

    Raises CommandError, with the module's name, for what wrangler could not send the same.
    """
    main = next(m for m in worker.modules if m.name == worker.main_module)
    _check_main(worker, main)
    maps = _source_maps(worker)
    more = [m for m in worker.modules if m is not main and m.name not in maps]
    config: dict[str, Any] = {"main": main.name, "no_bundle": True}
    config |= {"find_additional_modules": True, "base_dir": "."} if more else {"find_additional_modules": False}
    if more:
        config["rules"] = _rules(worker, more)
    return config | {"upload_source_maps": bool(maps)}


def _check_main(worker: DesiredWorker, main: Module) -> None:
    """Raise CommandError for a main module that wrangler would send under another name or type."""
    endings = _MAIN_ENDINGS.get(main.kind, ())
    if "/" in main.name:
        raise _cannot(worker, main, f"lies in a directory, and wrangler sends it as {main.name.rpartition('/')[2]}")
    if not endings:
        raise _cannot(worker, main, f"is a main module of type {main.kind.value}, which wrangler does not send")
    if not main.name.endswith(endings):
        raise _cannot(worker, main, f"is a main module whose name does not end in {' or '.join(endings)}")


def _rules(worker: DesiredWorker, modules: list[Module]) -> list[dict[str, Any]]:
    """Write one rule a type, and one without files for each type that has a rule by default: else that would apply."""
    globs: dict[str, list[str]] = {type_: [] for type_ in _DEFAULT_RULES}
    for module in modules:
        if module.kind not in _RULES:
            raise _cannot(worker, module, f"is of type {module.kind.value}, which wrangler cannot send as a file")
        if "*" in module.name:
            raise _cannot(worker, module, "has a * in its name, which wrangler takes for any name")
        globs.setdefault(_RULES[module.kind], []).append(module.name.removeprefix("./"))
    return [{"type": type_, "globs": sorted(names), "fallthrough": False} for type_, names in globs.items()]


def _source_maps(worker: DesiredWorker) -> frozenset[str]:
    """Name the source maps; wrangler sends one for each module that names it in its last lines."""
    # Refused where it would send another set of maps than is live: an upload replaces all modules, maps among them.
    maps = {m.name: m for m in worker.modules if m.kind is ModuleKind.SOURCE_MAP}
    named = {f"{m.name}.map" for m in worker.modules if m.name not in maps and _map_of(m) == f"{m.name}.map"}
    for name, module in maps.items():
        if name not in named:
            raise _cannot(worker, module, "is a source map that no module names, so wrangler would not send it")
        if not _same_again(module):
            raise _cannot(worker, module, "is a source map that wrangler would send with other paths")
    if lacking := next((m for m in worker.modules if maps and _map_of(m) and f"{m.name}.map" not in maps), None):
        raise _cannot(worker, lacking, f"names a source map {_map_of(lacking)} that is not there, and wrangler stops")
    return frozenset(maps)


def _map_of(module: Module) -> str | None:
    """Return the path of the source map that a module names, from the directory of the Worker."""
    if module.kind not in {ModuleKind.ESM, ModuleKind.COMMONJS}:
        return None
    for line in reversed(module.content.decode("utf-8", "replace").split("\n")):
        text = line.strip()
        if text.startswith(_MAP_COMMENT):
            folder, slash, _ = module.name.rpartition("/")
            return f"{folder}{slash}{text.removeprefix(_MAP_COMMENT).strip()}"
        if text and not text.startswith(("//#", "//@")):
            return None
    return None


def _same_again(module: Module) -> bool:
    """Say whether wrangler sends the paths of a source map as they are: it cuts off `./` and `../`."""
    try:
        content = json.loads(module.content)
    except ValueError:
        return False
    if not isinstance(content, dict) or not isinstance(content.get("sources"), list):
        return False
    paths = [content.get("sourceRoot") or "", *content["sources"]]
    return not any(str(path).startswith(("./", "../", ".\\", "..\\")) for path in paths)


def _cannot(worker: DesiredWorker, module: Module, why: str) -> CommandError:
    return CommandError(f"export: Worker {worker.id}: module {module.name} {why}; rename or leave it out, then export.")
