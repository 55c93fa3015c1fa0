"""Turns what is declared and deployed into a project for wrangler, to leave at any time: `wrangler.jsonc` and sources.

Deployed by wrangler over what is live, it changes nothing: with `migrations` the last tag is the live one, so that
wrangler has nothing to apply; with `exports` the map is what is live. (wrangler that does not find the live tag among
those of the project applies all of them again, which is refused with 10074.)
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.lifecycle import CLASS_ENTRY, STORAGE_WORDS, moved_entry
from notebook_do.errors import CommandError
from notebook_do.interchange.wrangler_upload import asset_bindings, missing_part, write_bindings, write_modules
from notebook_do.model import WORKER_FIELDS, WORKER_SETTINGS, Storage
from notebook_do.model.triggers import CONSUMER_SETTINGS, CONSUMER_WORDS

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

_CARRIED: Mapping[str, frozenset[str]] = {
    CLASS_ENTRY: frozenset({"container"}),
    "worker": frozenset({"cache"}),
    "workflow": frozenset({"name", "limits", "concurrency", "schedules", "default_retention", "jurisdiction"}),
}
"""By type of entry, the fields that wrangler sends besides those of a class's own life."""
_CUSTOM: Mapping[str, dict[str, Any]] = {"route": {}, "domain": {"custom_domain": True}}
_CONSUMER = {name: (name, 1) for name in (*CONSUMER_SETTINGS, "visibility_timeout_ms")} | {
    name: (word, times) for word, (name, times) in CONSUMER_WORDS.items()
}
"""wrangler's words for the settings of a queue's consumer, and by what a value is divided."""


def wrangler_files(desired: Desired, recorded: Recorded, observed: Observed) -> dict[str, bytes]:
    """Return the files by path: one directory for each declared Worker.

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
    # A project has the tag of its group only where it names an environment; where none is live, any name does.
    others = {_tagged(s, "environment") for s in observed.scripts if _tagged(s, "service") == group} - {""}
    return {**config, "env": {other: {} for other in sorted(others) or ["none"]}}


def _tagged(script: ObservedScript | None, word: str) -> str:
    """Return what a tag of wrangler's says (`cf:service=NAME`, `cf:environment=NAME`); empty without it."""
    return next((t.partition("=")[2] for t in (script.tags if script else ()) if t.startswith(f"cf:{word}=")), "")


def _config(worker: DesiredWorker, live: ObservedScript | None, lifecycle: dict[str, Any]) -> dict[str, Any]:
    """Write the keys of one Worker."""
    config: dict[str, Any] = {"name": worker.script_name, **write_modules(worker)}
    date = worker.compatibility_date or (live.compatibility_date if live else None)
    rows = [row for row in WORKER_FIELDS.values() if row.wrangler and not row.setting and not row.source]
    values = {row.wrangler: _value(getattr(replace(worker, compatibility_date=date), row.name)) for row in rows}
    config |= {path[0]: value for path, value in values.items() if len(path) == 1 and value is not None}
    # wrangler has one binding of the Worker's assets, beside their directory; a second one goes up as `unsafe`.
    served = asset_bindings(worker.bindings)[:1] if worker.assets else []
    if worker.containers:
        raise CommandError(f"export: Worker {worker.id} runs containers, which are not exported; use its project.")
    if lacking := missing_part(worker.bindings, frozenset(m.name for m in worker.modules)):
        raise CommandError(f"export: Worker {worker.id}: {lacking}, so wrangler could not send it; add that module.")
    config |= write_bindings(b for b in worker.bindings if b.name not in served)
    config |= lifecycle
    config |= {path[0]: {path[1]: value} for path, value in values.items() if len(path) > 1 and value is not None}
    _add_triggers(worker, config, worker.triggers)
    if worker.assets:
        binding = {"binding": served[0]} if served else {}
        rules = {k: v for k, v in worker.assets.config.value.items() if not k.startswith("_")}
        config["assets"] = {"directory": f"./{asset_folder(worker)}", **binding, **rules}
    return _with_settings(worker, live, config)


def _value(value: Any) -> Any:
    """Return a value as wrangler.jsonc has it; None for a list with nothing in it."""
    return (list(value) or None) if isinstance(value, tuple) else value


def _with_settings(worker: DesiredWorker, live: ObservedScript | None, config: dict[str, Any]) -> dict[str, Any]:
    """Return `config` with the settings of a Worker; raises CommandError for one that wrangler cannot keep.

    `unsafe.metadata` goes up as it is, so that a setting for which wrangler has no key stays too.
    """
    written, metadata = dict(config), dict[str, Any]()
    for name, value in worker.options.value.items():
        path, carries = _key(name)
        tables = value if isinstance(value, list) else [value]
        if name == "tags":
            metadata |= _tags(worker, live, value)
        elif name == "containers":
            raise CommandError(f"export: Worker {worker.id} runs containers, which are not exported; use its project.")
        elif not path or (carries and not all(isinstance(t, dict) and t.keys() <= carries for t in tables)):
            metadata[name] = value
        elif len(path) == 1:
            written[path[0]] = value
        else:  # wrangler wants the list beside it, be it empty
            written[path[0]] = {"bindings": [], **written.get(path[0], {}), path[1]: value}
    if metadata:
        written["unsafe"] = {**written.get("unsafe", {}), "metadata": metadata}
    return written


def _key(name: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return where wrangler has a setting, and what it carries of it."""
    if name == "streaming_tail_consumers":  # not declared here, but kept where it is live
        return (name,), frozenset({"service"})
    row = WORKER_SETTINGS.get(name)
    return (row.wrangler, row.carries) if row else ((), frozenset())


def _tags(worker: DesiredWorker, live: ObservedScript | None, tags: list[str]) -> dict[str, Any]:
    """Write the tags of a Worker that is not live yet; wrangler has no key for them, and keeps those that are live."""
    if live is None:
        return {"tags": tags}
    if lacking := [tag for tag in tags if tag not in live.tags]:
        raise CommandError(
            f"export: tag {lacking[0]} of Worker {worker.id} is declared and not live; deploy it first, because "
            "wrangler only keeps tags that are live."
        )
    return {}


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
    words = {name: _CONSUMER[name] for name in settings}
    written = {word: settings[name] / times if times > 1 else settings[name] for name, (word, times) in words.items()}
    return {"queue": trigger.key, **written}


def _classes(  # noqa: PLR0913, PLR0917 - the three states, and of each the Worker's own
    worker: DesiredWorker,
    record: RecordedWorker | None,
    live: ObservedScript | None,
    desired: Desired,
    recorded: Recorded,
    observed: Observed,
) -> dict[str, Storage]:
    """Return the classes that the Worker hosts: those that are live, also such that nobody here manages."""
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
    # What is live decides: no script can go from `exports` back to `migrations`.
    form = (known.lifecycle if known else None) or ("exports" if worker.lifecycle == "auto" else worker.lifecycle)
    entries = _other_entries(worker, live)
    if form == "exports" and (classes or (record and record.moved)):
        entries |= _class_entries(worker, record, live, classes)
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
    """Return the keys of a step that creates classes, by their storage; a key without classes is left out."""
    by_key = {
        key: sorted(c for c, s in classes.items() if s is storage)
        for storage, key in ((Storage.SQLITE, "new_sqlite_classes"), (Storage.KV, "new_classes"))
    }
    return {key: names for key, names in by_key.items() if names}


# --- the map `exports`: it is replaced as a whole, so entries of other kinds and earlier class names are repeated


def _class_entries(
    worker: DesiredWorker, record: RecordedWorker | None, live: ObservedScript | None, classes: Mapping[str, Storage]
) -> dict[str, Any]:
    """Return the entries of the classes, with what stands beside their storage, and of their earlier names."""
    if live is not None and live.expects:  # half of a transfer: a deploy by wrangler would take it back
        raise CommandError(
            f"export: Worker {worker.id}: class {live.expects[0]} waits to be taken over from another Worker; finish "
            "that first, then export."
        )
    rest = _kept(worker, live)
    entries = {
        name: {"type": CLASS_ENTRY, "storage": STORAGE_WORDS[storage], **rest.get(name, {})}
        for name, storage in classes.items()
    }
    for one in record.moved if record else ():
        entries.setdefault(one.class_name, moved_entry(one))
    return entries


def _other_entries(worker: DesiredWorker, live: ObservedScript | None) -> dict[str, Any]:
    """Return the entries that are no classes; they stand beside either form of a class's life."""
    return {name: entry for name, entry in _kept(worker, live).items() if "type" in entry}


def _kept(worker: DesiredWorker, live: ObservedScript | None) -> dict[str, dict[str, Any]]:
    """Return what `exports` has besides classes and their storage; raises CommandError for what wrangler would drop."""
    kept: dict[str, dict[str, Any]] = live.entries.value if live else {}
    for name, entry in kept.items():
        kind = entry.get("type", CLASS_ENTRY)
        unknown = sorted(entry.keys() - {"type"} - _CARRIED.get(kind, frozenset()))
        if kind not in _CARRIED or unknown:
            what = f"field {unknown[0]} of" if kind in _CARRIED else f"type {kind} of"
            raise CommandError(
                f"export: Worker {worker.id}: wrangler cannot send {what} entry {name} in its exports, and would take "
                "it away; deploy this Worker from here."
            )
    return kept
