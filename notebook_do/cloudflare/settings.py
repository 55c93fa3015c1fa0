"""Reads what stands around a live script: its settings, its deployments, and who binds its namespaces.

Field names as in `GET /accounts/{id}/workers/scripts/{name}/settings` of Cloudflare's OpenAPI document. The settings
are read twice: as a declaration would say them (without what is at its default), and as an upload has to repeat them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import objects_in, text_in
from notebook_do.errors import ApiError
from notebook_do.model import UPDATE_DEFAULT, WORKER_SETTINGS, Json, NamespaceId, ObservedBinders, ObservedDeployment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import Field

_READ_ELSEWHERE = frozenset({"tags", "code_update_strategy"})
"""Settings that are read from the list of scripts and from the newest deployment.

The strategy is a field of the deployment, not of the version (Cloudflare's page on Durable Object code updates).
"""
_NOT_SETTINGS = frozenset(
    (
        *("bindings", "compatibility_date", "compatibility_flags", "tags", "annotations"),
        *("migrations", "migration_tag", "exports", "exports_reconciliation"),
        *("id", "tag", "etag", "handlers", "named_handlers", "created_on", "modified_on", "last_deployed_from"),
        *("has_assets", "has_modules", "routes", "entry_point", "startup_time_ms"),
        *("placement_mode", "placement_status"),
    )
)
"""Fields of the answer that have a place of their own, or that only tell what is live."""


def decode_options(settings: Mapping[str, Any], deployments: list[Any]) -> Json:
    """Return the settings by their declared names; tags are not among them, for an upload keeps every live tag."""
    found: dict[str, Any] = {}
    for name, row in WORKER_SETTINGS.items():
        if name not in _READ_ELSEWHERE and (value := _as_declared(row, settings.get(name))):
            found[name] = value
    if (strategy := _strategy(deployments)) and strategy != UPDATE_DEFAULT:
        found["code_update_strategy"] = strategy
    return Json(found)


def _as_declared(row: Field, value: Any) -> Any:
    """Return what a live setting says that a declaration could say; nothing where it is off."""
    match row.takes, value:
        case "switch", bool():
            return value
        case "list", list():
            return [_known(item) for item in value if isinstance(item, dict)]
        case "table", dict() if row.reported:
            return _asked(value, row.reported)
        case "table", dict() if _enabled(value) or not row.switched:
            return _known(value)
    return None


def decode_carried(settings: Mapping[str, Any], deployments: list[Any]) -> Json:
    """Return every setting as an upload has to repeat it, so that it stays as it is; what was never set is left out.

    Settings that nobody here knows are among them: an upload replaces all of them.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name in _NOT_SETTINGS or (name == "usage_model" and value == "standard"):  # what every Worker has
            continue
        reports = WORKER_SETTINGS[name].reported if name in WORKER_SETTINGS else ()
        kept = _asked(value, reports) if reports and isinstance(value, dict) else value
        # A table that says it is switched off is repeated as well; a plain false is what every Worker has.
        if kept := _known(kept) if isinstance(kept, dict) else kept:
            found[name] = kept
    if strategy := _strategy(deployments):
        found["code_update_strategy"] = strategy
    return Json(found)


def _strategy(deployments: list[Any]) -> dict[str, Any]:
    """Return how the newest deployment hands over to new code; empty where it does not say."""
    strategy = _newest(deployments).get("code_update_strategy")
    return _known(strategy) if isinstance(strategy, dict) else {}


def _asked(table: Mapping[str, Any], reports: tuple[str, ...]) -> dict[str, Any]:
    """Return what was asked for, without the fields that only report what came of it."""
    return {name: value for name, value in table.items() if name not in reports and value}


def _enabled(table: Mapping[str, Any]) -> bool:
    """Say whether a table or one inside it is switched on."""
    return table.get("enabled") is True or any(_enabled(t) for t in table.values() if isinstance(t, dict))


def _known(table: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is null: Cloudflare's way to say that it was never set."""
    return {k: _known(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}


# --- deployments and references


def _newest(deployments: list[Any]) -> dict[str, Any]:
    """Return the newest deployment, which is the live one: Cloudflare lists it first."""
    return deployments[0] if deployments and isinstance(deployments[0], dict) else {}


def decode_split(deployments: list[Any]) -> bool:
    """Say whether the newest deployment sends part of the traffic to another version."""
    versions = _newest(deployments).get("versions")
    return isinstance(versions, list) and len(versions) > 1


def decode_deployments(deployments: list[Any]) -> tuple[ObservedDeployment, ...]:
    """Return the deployments of a script, newest first."""
    if not all(isinstance(item, dict) for item in deployments):
        raise ApiError("Cloudflare's answer has an unexpected shape: a deployment is no object.")
    return tuple(
        ObservedDeployment(
            id=text_in(fields, "id") or "",
            author=text_in(fields, "author_email"),
            source=text_in(fields, "source"),
            created_on=text_in(fields, "created_on"),
        )
        for fields in deployments
    )


def decode_listed_binders(worker: Mapping[str, Any]) -> ObservedBinders | None:
    """Return who binds a Worker and its namespaces, as its item in the list of Workers says.

    `references` is required there by Cloudflare's OpenAPI document: `durable_objects` are the "other Workers that
    reference Durable Object classes implemented by the Worker", `workers` those "using service bindings". None where
    it is not of that form, down to the last item: then it says nothing.
    """
    references = worker.get("references")
    if not isinstance(references, dict):
        return None
    objects, callers = references.get("durable_objects"), references.get("workers")
    if not _all_have(objects, "namespace_id", "worker_name") or not _all_have(callers, "name"):
        return None
    return ObservedBinders(
        pairs=tuple(sorted({(NamespaceId(item["namespace_id"]), item["worker_name"]) for item in objects_in(objects)})),
        callers=tuple(sorted({item["name"] for item in objects_in(callers)})),
    )


def _all_have(items: Any, *keys: str) -> bool:
    """Say whether this is a list of objects that all have these texts."""
    found = objects_in(items)
    return isinstance(items, list) and len(found) == len(items) and all(text_in(i, key) for i in found for key in keys)


def decode_binders(references: dict[str, Any]) -> ObservedBinders:
    """Return who binds the namespaces of a script, from what refers to it.

    wrangler asks `references` before it deletes a script; no document describes it.
    """
    items = objects_in(references.get("durable_objects"))
    pairs = {(text_in(item, "durable_object_namespace_id"), text_in(item, "service")) for item in items}
    return ObservedBinders(pairs=tuple(sorted((NamespaceId(id_), name) for id_, name in pairs if id_ and name)))
