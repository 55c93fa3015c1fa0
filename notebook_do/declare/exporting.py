"""Turns what is declared and deployed into a project for wrangler, to leave at any time: `wrangler.jsonc` and sources.

Deployed by wrangler over what is live, it changes nothing: with `migrations` the last tag is the live one, so that
wrangler has nothing to apply; with `exports` the map is what is live.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.model import ClassBinding, Json, PlainText, Resource, Secret, ServiceBinding, Storage, ValueBinding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import (
        Desired,
        DesiredWorker,
        Observed,
        Recorded,
        RecordedNamespace,
        RecordedWorker,
        ScriptBinding,
        Trigger,
    )

_LISTS = {"kv_namespace": "kv_namespaces", "r2_bucket": "r2_buckets", "d1": "d1_databases", "queue": "queues"}
_CUSTOM: Mapping[str, dict[str, Any]] = {"route": {}, "domain": {"custom_domain": True}}
_CONSUMER = {"batch_size": "max_batch_size"}
_WAIT = "max_wait_time_ms"
_FIELDS = {"kv_namespace": {"namespace_id": "id"}, "d1": {"id": "database_id"}, "queue": {"queue_name": "queue"}}


def wrangler_files(desired: Desired, recorded: Recorded, observed: Observed) -> dict[str, bytes]:
    """Give the files by path: one directory for each declared Worker.

    A compatibility date that is not declared is the live one. What is only declared and not deployed yet is written as
    a first deploy would need it.
    """
    dates = {s.name: s.compatibility_date for s in observed.scripts}
    workers = {w.script_name: w for w in recorded.workers}
    files: dict[str, bytes] = {}
    for worker in desired.workers:
        hosted = [n for n in recorded.namespaces if n.script_name == worker.script_name]
        dated = replace(worker, compatibility_date=worker.compatibility_date or dates.get(worker.script_name))
        config = _config(dated, workers.get(worker.script_name), hosted, desired)
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        files[f"{worker.script_name}/wrangler.jsonc"] = text.encode()
        files |= {f"{worker.script_name}/{m.name}": m.content for m in worker.modules}
    return files


def _config(
    worker: DesiredWorker, record: RecordedWorker | None, hosted: list[RecordedNamespace], desired: Desired
) -> dict[str, Any]:
    config: dict[str, Any] = {"name": worker.script_name, "main": worker.main_module, "no_bundle": True}
    if len(worker.modules) > 1:
        config |= {"find_additional_modules": True, "base_dir": "."}
    if worker.compatibility_date:
        config["compatibility_date"] = worker.compatibility_date
    if worker.compatibility_flags:
        config["compatibility_flags"] = list(worker.compatibility_flags)
    config["workers_dev"] = worker.url
    if worker.previews is not None:
        config["preview_urls"] = worker.previews
    for binding in worker.bindings:
        _add_binding(config, binding)
    config |= _lifecycle(worker, record, hosted, desired)
    if worker.crons:
        config["triggers"] = {"crons": list(worker.crons)}
    _add_triggers(config, worker.triggers)
    if worker.assets:
        config["assets"] = {"directory": "./assets", **_served(worker)}
    config |= worker.options.value
    return config


def _served(worker: DesiredWorker) -> dict[str, Any]:
    """Write how static assets are served; Cloudflare's rule files lie among the assets."""
    config = worker.assets.config.value if worker.assets else {}
    names = [b.name for b in worker.bindings if isinstance(b, ValueBinding) and _is_assets(b)]
    binding = {"binding": names[0]} if names else {}
    return {**binding, **{k: v for k, v in config.items() if not k.startswith("_")}}


def _is_assets(binding: ScriptBinding) -> bool:
    return isinstance(binding, ValueBinding) and isinstance(binding.value, Resource) and binding.value.type == "assets"


def _add_triggers(config: dict[str, Any], triggers: tuple[Trigger, ...]) -> None:
    """Write routes, custom domains and consumed queues; wrangler has other words for a consumer's settings."""
    places = [{"pattern": t.key, **_CUSTOM[t.kind]} for t in triggers if t.kind in _CUSTOM]
    if places:
        config["routes"] = [p if len(p) > 1 else p["pattern"] for p in places]
    consumers = [
        {"queue": t.key, **{_CONSUMER.get(k, k): v for k, v in t.settings.value.items() if k != _WAIT}, **_wait(t)}
        for t in triggers
        if t.kind == "consumer"
    ]
    if consumers:
        config.setdefault("queues", {})["consumers"] = consumers


def _wait(trigger: Trigger) -> dict[str, float]:
    """Give the longest wait for a batch in seconds, as wrangler has it."""
    settings = trigger.settings.value
    return {"max_batch_timeout": settings[_WAIT] / 1000} if _WAIT in settings else {}


def _lifecycle(
    worker: DesiredWorker, record: RecordedWorker | None, hosted: list[RecordedNamespace], desired: Desired
) -> dict[str, Any]:
    """Write the classes that the Worker hosts, in the form that it speaks."""
    classes = {n.class_name: n.storage for n in hosted}
    if record is None:
        declared = [n for n in desired.namespaces if n.host == worker.id]
        classes = {n.class_name: n.storage or Storage.SQLITE for n in declared}
    form = (record.lifecycle if record else None) or ("exports" if worker.lifecycle == "auto" else worker.lifecycle)
    if not classes:
        return {}
    if form == "exports":
        words = {Storage.SQLITE: "sqlite", Storage.KV: "legacy-kv"}
        return {"exports": {c: {"type": "durable-object", "storage": words[s]} for c, s in sorted(classes.items())}}
    return {"migrations": _migrations((record.migration_tag if record else None) or "v1", classes, hosted)}


def _migrations(tag: str, classes: dict[str, Storage], hosted: list[RecordedNamespace]) -> list[dict[str, Any]]:
    """Write the history that ends at `tag`: the classes under their first names, then their renames in one step.

    wrangler applies nothing where `tag` is live, and all of it where nothing is. Where first and present names overlap
    (a swap, a freed name) the renames have no order that is legal in one step: then the present names are the history.
    """
    first = {n.class_name: n.class_history[0] for n in hosted if n.class_history and n.class_history[0] != n.class_name}
    began = [first.get(c, c) for c in classes]
    if not first or len(set(began)) < len(began) or set(first.values()) & classes.keys():
        return [{"tag": tag, **_created(classes)}]
    created = {first.get(c, c): storage for c, storage in classes.items()}
    renames = [{"from": old, "to": new} for new, old in sorted(first.items(), key=lambda pair: pair[1])]
    return [{"tag": f"{tag}-before", **_created(created)}, {"tag": tag, "renamed_classes": renames}]


def _created(classes: dict[str, Storage]) -> dict[str, list[str]]:
    by_key = {
        key: sorted(c for c, s in classes.items() if s is storage)
        for storage, key in ((Storage.SQLITE, "new_sqlite_classes"), (Storage.KV, "new_classes"))
    }
    return {key: names for key, names in by_key.items() if names}


def _add_binding(config: dict[str, Any], binding: ScriptBinding) -> None:
    if isinstance(binding, ClassBinding):
        entry = {"name": binding.name, "class_name": binding.class_name}
        extra = {"script_name": binding.script_name, "environment": binding.environment}
        entry |= {k: v for k, v in extra.items() if v}
        config.setdefault("durable_objects", {"bindings": []})["bindings"].append(entry)
        return
    match binding.value:
        case PlainText(text=text):
            config.setdefault("vars", {})[binding.name] = text
        case Json() as value:
            config.setdefault("vars", {})[binding.name] = value.value
        case ServiceBinding(worker=service, entrypoint=entrypoint, environment=environment, props=props):
            entry = {"binding": binding.name, "service": service} | ({"props": props.value} if props else {})
            entry |= {k: v for k, v in (("entrypoint", entrypoint), ("environment", environment)) if v}
            config.setdefault("services", []).append(entry)
        case Secret():
            pass  # wrangler keeps the secrets that are set
        case Resource(type=kind, fields=fields):
            _add_resource(config, binding.name, kind, fields.value)
        case _:
            assert_never(binding.value)


def _add_resource(config: dict[str, Any], name: str, kind: str, fields: dict[str, Any]) -> None:
    """Write a resource under wrangler's key; one that has none here goes up as it is, as wrangler's `unsafe` does."""
    if kind not in _LISTS:
        entry = {"name": name, "type": kind, **fields}
        config.setdefault("unsafe", {"bindings": []})["bindings"].append(entry)
        return
    renamed = {_FIELDS.get(kind, {}).get(k, k): v for k, v in fields.items()}
    if kind == "d1":
        renamed.setdefault("database_name", name)
    if kind == "queue":
        config.setdefault("queues", {}).setdefault("producers", []).append({"binding": name, **renamed})
        return
    config.setdefault(_LISTS[kind], []).append({"binding": name, **renamed})
