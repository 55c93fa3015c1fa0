"""Reads one environment of a wrangler configuration into what a Worker declares; pure over the table.

The rows of the table of fields say where wrangler has each, as they do for the export, so that an export that is read
again is the same declaration. Paths become relative to where the notebook is.
"""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError
from notebook_do.interchange.class_history import Classes, classes_of
from notebook_do.interchange.wrangler_bound import Bound, read_bindings, taken_keys
from notebook_do.interchange.wrangler_left import Left
from notebook_do.model import NOT_CARRIED, WORKER_FIELDS, WORKER_SETTINGS
from notebook_do.model.triggers import CONSUMER_SETTINGS, CONSUMER_WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.interchange.configuration import Environment
    from notebook_do.model import Field

_TAKEN = frozenset(
    {
        *("name", "main", "workers_dev", "route", "routes", "assets", "queues", "triggers", "build", "exports"),
        *("migrations", "durable_objects", "unsafe", "keep_vars", "account_id"),
    }
)
"""Keys that are read whole below, or of which what is not carried is noted where they are read."""
_PATHS = frozenset({"base_dir", "tsconfig"})
"""Fields that are paths from the folder of the configuration."""
_MAIN_PYTHON = "entry.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectWorker:
    """What a configuration declares of a Worker: `given` by field as TOML has it, `settings` in Cloudflare's words.

    `id` is the Worker's name at the top level, the same in every environment.
    """

    id: str
    script: str
    place: str
    given: Mapping[str, Any]
    settings: Mapping[str, Any]
    bound: Bound
    classes: Classes
    keep_vars: bool = False
    account: str | None = None
    notes: tuple[str, ...] = field(default=())


def read_worker(place: str, folder: str, environment: Environment) -> ProjectWorker | None:
    """Return what a configuration declares; None where it has no code, a site of static assets alone.

    `folder` is that of the configuration, as a path from the notebook. Raises CommandError for what cannot be right.
    """
    config, left = environment.config, Left(worker=environment.top)
    if config.get("main") is None and config.get("assets") and not config.get("durable_objects"):
        return None
    bound = read_bindings(place, environment.script, config, left)
    classes = classes_of(place, config)
    given, settings = _fields(place, folder, environment.script, config, left)
    if classes.tags:
        given["lifecycle"] = "migrations"
    left.rest("", config, _TAKEN | taken_keys() | {row.wrangler[0] for row in WORKER_FIELDS.values() if row.wrangler})
    inherits = [
        f"Worker {environment.top}: {key} stands at the top level, and env.{environment.name} does not inherit it; "
        f"write it there where it is meant."
        for key in environment.not_inherited
    ]
    classes_notes = [f"Worker {environment.top}: {note}" for note in classes.notes]
    return ProjectWorker(
        id=environment.top,
        script=environment.script,
        place=place,
        given=given,
        settings=settings,
        bound=bound,
        classes=classes,
        keep_vars=bool(config.get("keep_vars")),
        account=config.get("account_id") or None,
        notes=(*inherits, *classes_notes, *left.notes),
    )


def _fields(
    place: str, folder: str, script: str, config: Mapping[str, Any], left: Left
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of fields, and the settings in Cloudflare's own words."""
    given: dict[str, Any] = {"name": script, "entrypoint": _entrypoint(place, folder, config)}
    settings: dict[str, Any] = {}
    for row in WORKER_FIELDS.values():
        value = _at(place, config, row.wrangler)
        if value is None or (row.setting and value in ({}, [])):
            continue
        if row.setting:
            _read_setting(place, row, value, settings, left)
        else:
            given[row.name] = _rebased(row, folder, value, config)
    given |= _triggers(place, config, left)
    given |= _containers(config)
    if config.get("workers_dev") is None:  # as wrangler: no address on workers.dev where there is a route
        given["url"] = not (config.get("routes") or config.get("route"))
    if assets := _assets(place, folder, config.get("assets"), left):
        given["assets"] = assets
    left.rest("triggers", _rest_of(config, "triggers"), ("crons",))
    left.rest("build", _rest_of(config, "build"), ("command", "cwd"))
    _read_metadata(place, _rest_of(config, "unsafe").get("metadata") or {}, settings, left)
    for row in (row for row in WORKER_FIELDS.values() if row.name in given):
        if problem := row.problem(given[row.name]):
            raise CommandError(f"{place}: {problem}")
    return given, settings


def _at(place: str, config: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return what stands at a path; None for nothing."""
    value: Any = config if path else None
    for key in path:
        if value is None:
            return None
        if not isinstance(value, dict) and value is not config:
            raise CommandError(f"{place}: {'.'.join(path[:-1])} must be a table; correct it, then import again.")
        value = value.get(key)
    return value


def _rest_of(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _entrypoint(place: str, folder: str, config: Mapping[str, Any]) -> str:
    main = config.get("main")
    if not isinstance(main, str) or not main:
        raise CommandError(f"{place}: there is no main, so no code to declare; write main, then import again.")
    # A Python Worker is all modules of its folder, of which `entry.py` is the main one.
    return from_notebook(folder, posixpath.dirname(main) if posixpath.basename(main) == _MAIN_PYTHON else main)


def from_notebook(folder: str, path: str) -> str:
    """Return a path from the folder of a configuration as one from the notebook."""
    return path if posixpath.isabs(path) else posixpath.normpath(posixpath.join(folder, path))


def _rebased(row: Field, folder: str, value: Any, config: Mapping[str, Any]) -> Any:
    if row.name in _PATHS and isinstance(value, str):
        return from_notebook(folder, value)
    if row.name == "alias" and isinstance(value, dict):
        return {name: _module(folder, to) for name, to in value.items()}
    if row.name == "build" and isinstance(value, str):
        where = from_notebook(folder, _rest_of(config, "build").get("cwd") or ".")
        return value if where == "." else f"cd {shlex.quote(where)} && {value}"
    return value


def _module(folder: str, to: Any) -> Any:
    """Return what stands in for a module: a file by its path from the notebook, a package by its name."""
    if not isinstance(to, str) or not to.startswith(("./", "../")):
        return to
    path = from_notebook(folder, to)
    return path if path.startswith("../") else f"./{path}"


def _assets(place: str, folder: str, assets: Any, left: Left) -> dict[str, Any] | None:
    """Return the assets as they are declared; None where only a build of the project knows their directory."""
    if not assets:
        return None
    if not isinstance(assets, dict):
        raise CommandError(f"{place}: assets must be a table; correct it, then import again.")
    directory = assets.get("directory")
    if directory is None:  # as for the plugin of Vite, which writes it into the configuration that it generates
        left.say("assets", "it has no directory, so they are left out: build the project, then import again.")
        return None
    if not isinstance(directory, str):
        raise CommandError(f"{place}: assets.directory must be a path; correct it, then import again.")
    return {**assets, "directory": from_notebook(folder, directory)}


# --- settings


def _read_setting(place: str, row: Field, value: Any, settings: dict[str, Any], left: Left) -> None:
    """Keep a setting in Cloudflare's words; what of its table wrangler alone knows is noted."""
    path = ".".join(row.wrangler)
    if row.name == "placement" and isinstance(value, dict):
        if value.get("mode") == "off":
            left.add("placement.mode", "off")
            return
        left.rest(path, {k: v for k, v in value.items() if k == "hint"}, ())
        value = {k: v for k, v in value.items() if k != "hint"}
    tables = value if isinstance(value, list) else [value]
    for table in tables if row.carries else ():
        if isinstance(table, dict):
            left.rest(path, table, row.carries | {"mode"})
    if row.carries and isinstance(value, dict):
        value = {k: v for k, v in value.items() if k in row.carries}
    if problem := row.problem(value) or row.fault(value):
        raise CommandError(f"{place}: {path}: {problem}")
    settings[row.name] = value


def _read_metadata(place: str, metadata: Any, settings: dict[str, Any], left: Left) -> None:
    """Keep what goes up as it is in an upload's metadata, where it is a setting that is known here."""
    if not isinstance(metadata, dict):
        raise CommandError(f"{place}: unsafe.metadata must be a table; correct it, then import again.")
    for name, value in metadata.items():
        if name in NOT_CARRIED:
            left.say(f"unsafe.metadata.{name}", NOT_CARRIED[name])
        elif name not in WORKER_SETTINGS or WORKER_SETTINGS[name].problem(value) or WORKER_SETTINGS[name].fault(value):
            left.say(f"unsafe.metadata.{name}", "it is no setting that is known here; what is live of it stays.")
        else:
            settings[name] = value


def _containers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the classes that have a container, so that a plan can say what becomes of it."""
    entries = config.get("containers") or []
    named = [str(one["class_name"]) for one in entries if isinstance(one, dict) and one.get("class_name")]
    return {"containers": sorted(set(named))} if named else {}


# --- triggers


def _triggers(place: str, config: Mapping[str, Any], left: Left) -> dict[str, Any]:
    routes, domains = list[str](), list[str]()
    given = config.get("routes")
    if given is not None and not isinstance(given, list):
        raise CommandError(f"{place}: routes must be a list; correct it, then import again.")
    alone = [("route", config["route"])] if config.get("route") else []
    for path, route in [*(("routes", one) for one in given or ()), *alone]:
        if isinstance(route, str):
            routes.append(route)
            continue
        if not isinstance(route, dict) or not isinstance(route.get("pattern"), str):
            raise CommandError(f"{place}: each of {path} must be a pattern, or a table with one; correct it.")
        (domains if route.get("custom_domain") else routes).append(route["pattern"])
        left.rest(path, _unfound(route), ("pattern", "custom_domain"))
    queues = _rest_of(config, "queues")
    left.rest("queues", queues, ("producers", "consumers"))
    consumes = _consumers(place, queues.get("consumers") or (), left)
    named = {"routes": routes, "domains": domains, "consumes": consumes}
    return {name: value for name, value in named.items() if value}


def _unfound(route: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route without a zone that its own host name finds."""
    host = route["pattern"].split("://")[-1].split("/")[0]
    zone = route.get("zone_name")
    found = isinstance(zone, str) and (host == zone or host.endswith((f".{zone}", f"*{zone}")))
    return {key: value for key, value in route.items() if not (key == "zone_name" and found)}


def _consumers(place: str, consumers: Any, left: Left) -> dict[str, dict[str, Any]]:
    """Return the consumed queues with their settings, in wrangler's own words."""
    found: dict[str, dict[str, Any]] = {}
    for entry in consumers:
        if not isinstance(entry, dict) or not isinstance(entry.get("queue"), str):
            raise CommandError(f"{place}: each of queues.consumers needs a queue; correct it, then import again.")
        if entry.get("type", "worker") != "worker":
            left.say("queues.consumers.type", f"the consumer of {entry['queue']} is no Worker; wrangler sets it.")
            continue
        known = (*CONSUMER_WORDS, *CONSUMER_SETTINGS)
        settings = {key: value for key, value in entry.items() if key in known and value is not None}
        left.rest("queues.consumers", entry, ("queue", "type", *known))
        found[entry["queue"]] = settings
    return found
