"""Turns what is declared and deployed into a project for wrangler, to leave at any time: `wrangler.jsonc` and sources.

Deployed by wrangler over what is live, it changes nothing: with `migrations` the last tag is the live one, so that
wrangler has nothing to apply; with `exports` the map is what is live.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError
from notebook_do.interchange.wrangler_bindings import asset_bindings, missing_part, write_bindings
from notebook_do.interchange.wrangler_exports import class_entries, other_entries
from notebook_do.interchange.wrangler_modules import write_modules
from notebook_do.interchange.wrangler_settings import write_settings
from notebook_do.model import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import (
        Desired,
        DesiredWorker,
        Observed,
        ObservedScript,
        Recorded,
        RecordedNamespace,
        RecordedWorker,
        Trigger,
    )

_CUSTOM: Mapping[str, dict[str, Any]] = {"route": {}, "domain": {"custom_domain": True}}
_WAIT = "max_wait_time_ms"
_CONSUMER = {
    "batch_size": "max_batch_size",
    _WAIT: "max_batch_timeout",
    **{same: same for same in ("max_retries", "max_concurrency", "retry_delay", "dead_letter_queue")},
    "visibility_timeout_ms": "visibility_timeout_ms",
}
"""wrangler's words for the settings of a queue's consumer."""


def wrangler_files(desired: Desired, recorded: Recorded, observed: Observed) -> dict[str, bytes]:
    """Give the files by path: one directory for each declared Worker.

    A compatibility date that is not declared is the live one. What is only declared and not deployed yet is written as
    a first deploy would need it.
    """
    live = {s.name: s for s in observed.scripts}
    workers = {w.script_name: w for w in recorded.workers}
    files: dict[str, bytes] = {}
    for worker in desired.workers:
        name = worker.script_name
        classes = _classes(worker, workers.get(name), live.get(name), desired, recorded, observed)
        hosted = [n for n in recorded.namespaces if n.script_name == name]
        config = _config(worker, live.get(name), _lifecycle(worker, workers.get(name), live.get(name), hosted, classes))
        text = json.dumps(_grouped(config, live.get(name), observed), indent=2, ensure_ascii=False) + "\n"
        files[f"{name}/wrangler.jsonc"] = text.encode()
        files |= {f"{name}/{m.name}": m.content for m in worker.modules}
    return files


def asset_folder(worker: DesiredWorker) -> str:
    """Name the directory of static assets in a project: one that no module lies in."""
    taken = {m.name.partition("/")[0] for m in worker.modules}
    return next(name for name in ("assets", "static-assets", "public-assets", "worker-assets") if name not in taken)


def _grouped(config: dict[str, Any], live: ObservedScript | None, observed: Observed) -> dict[str, Any]:
    """Put the keys below the environment that wrangler deployed the Worker as.

    wrangler tags the Workers of a project with environments as one group, and takes the tags away without them.
    """
    group, environment = (_tagged(live, word) for word in ("service", "environment"))
    if not group:
        return config
    if environment:
        return {"name": group, "env": {environment: config}}
    others = {_tagged(s, "environment") for s in observed.scripts if _tagged(s, "service") == group} - {""}
    return {**config, "env": {other: {} for other in sorted(others) or ["none"]}}


def _tagged(script: ObservedScript | None, word: str) -> str:
    """Give what a tag of wrangler's says."""
    return next((t.partition("=")[2] for t in (script.tags if script else ()) if t.startswith(f"cf:{word}=")), "")


def _config(worker: DesiredWorker, live: ObservedScript | None, lifecycle: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {"name": worker.script_name, **write_modules(worker)}
    if date := worker.compatibility_date or (live.compatibility_date if live else None):
        config["compatibility_date"] = date
    if worker.compatibility_flags:
        config["compatibility_flags"] = list(worker.compatibility_flags)
    config["workers_dev"] = worker.url
    if worker.previews is not None:
        config["preview_urls"] = worker.previews
    served = asset_bindings(worker.bindings)[:1] if worker.assets else []
    if told := missing_part(worker.bindings, frozenset(m.name for m in worker.modules)):
        raise CommandError(f"export: Worker {worker.id}: {told}, so wrangler could not send it; add that module.")
    config |= write_bindings(b for b in worker.bindings if b.name not in served)
    config |= lifecycle
    if worker.crons:
        config["triggers"] = {"crons": list(worker.crons)}
    _add_triggers(worker, config, worker.triggers)
    if worker.assets:
        binding = {"binding": served[0]} if served else {}
        rules = {k: v for k, v in worker.assets.config.value.items() if not k.startswith("_")}
        config["assets"] = {"directory": f"./{asset_folder(worker)}", **binding, **rules}
    return write_settings(worker, live, config)


def _add_triggers(worker: DesiredWorker, config: dict[str, Any], triggers: tuple[Trigger, ...]) -> None:
    """Write routes, custom domains and consumed queues."""
    places = [{"pattern": t.key, **_CUSTOM[t.kind]} for t in triggers if t.kind in _CUSTOM]
    if places:
        config["routes"] = [p if len(p) > 1 else p["pattern"] for p in places]
    if consumers := [_consumer(worker, t) for t in triggers if t.kind == "consumer"]:
        config.setdefault("queues", {})["consumers"] = consumers


def _consumer(worker: DesiredWorker, trigger: Trigger) -> dict[str, Any]:
    """Write the consumer of a queue; wrangler has the longest wait in seconds."""
    settings = trigger.settings.value
    if unknown := sorted(settings.keys() - _CONSUMER.keys()):
        raise CommandError(
            f"export: Worker {worker.id}: wrangler has no key for {unknown[0]} of the consumer of queue {trigger.key}, "
            "and would take it away; set it back first, or deploy this Worker from here."
        )
    told = {_CONSUMER[name]: value / 1000 if name == _WAIT else value for name, value in settings.items()}
    return {"queue": trigger.key, **told}


def _classes(  # noqa: PLR0913, PLR0917 - the three states, and of each the Worker's own
    worker: DesiredWorker,
    record: RecordedWorker | None,
    live: ObservedScript | None,
    desired: Desired,
    recorded: Recorded,
    observed: Observed,
) -> dict[str, Storage]:
    """Give the classes that the Worker hosts: those that are live, also such that nobody here manages."""
    name = worker.script_name
    if live is not None:
        return {n.class_name: n.storage for n in observed.namespaces if n.script_name == name}
    if record is not None:
        return {n.class_name: n.storage for n in recorded.namespaces if n.script_name == name}
    return {n.class_name: n.storage or Storage.SQLITE for n in desired.namespaces if n.host == worker.id}


def _lifecycle(
    worker: DesiredWorker,
    record: RecordedWorker | None,
    live: ObservedScript | None,
    hosted: list[RecordedNamespace],
    classes: dict[str, Storage],
) -> dict[str, Any]:
    """Write the classes that the Worker hosts, in the form that it speaks."""
    known = live or record
    form = (known.lifecycle if known else None) or ("exports" if worker.lifecycle == "auto" else worker.lifecycle)
    entries = other_entries(worker, live)
    if form == "exports" and (classes or (record and record.moved)):
        entries |= class_entries(worker, record, live, classes)
    written: dict[str, Any] = {"exports": dict(sorted(entries.items()))} if entries else {}
    if form == "migrations" and classes:
        written["migrations"] = _migrations((known.migration_tag if known else None) or "v1", classes, hosted)
    return written


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
