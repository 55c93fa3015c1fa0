"""Turns a live script's settings into the options that a declaration has; what is at its default is left out.

Field names as in `GET /accounts/{id}/workers/scripts/{name}/settings` of Cloudflare's OpenAPI document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.model import UPDATE_DEFAULT, WORKER_SETTINGS, Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import Field

_READ_ELSEWHERE = frozenset({"tags", "code_update_strategy"})
"""Settings that are read from the list of scripts and from the newest deployment."""
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
    """Give the settings by their declared names; tags are not among them, for an upload keeps every live tag."""
    found: dict[str, Any] = {}
    for name, row in WORKER_SETTINGS.items():
        if name not in _READ_ELSEWHERE and (value := _told(row, settings.get(name))):
            found[name] = value
    if (strategy := _strategy(deployments)) and strategy != UPDATE_DEFAULT:
        found["code_update_strategy"] = strategy
    return Json(found)


def _told(row: Field, value: Any) -> Any:
    """Return what a live setting says that a declaration could say; nothing where it is off."""
    match row.takes, value:
        case "switch", bool():
            return value
        case "list", list():
            return [_known(item) for item in value if isinstance(item, dict)]
        case "table", dict() if row.told:
            return _asked(value, row.told)
        case "table", dict() if _enabled(value) or not row.switched:
            return _known(value)
    return None


def decode_carried(settings: Mapping[str, Any], deployments: list[Any]) -> Json:
    """Give every setting as an upload has to repeat it, so that it stays as it is; what was never set is left out."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name in _NOT_SETTINGS or (name == "usage_model" and value == "standard"):
            continue
        told = WORKER_SETTINGS[name].told if name in WORKER_SETTINGS else ()
        kept = _asked(value, told) if told and isinstance(value, dict) else value
        if kept := _known(kept) if isinstance(kept, dict) else kept:
            found[name] = kept
    if strategy := _strategy(deployments):
        found["code_update_strategy"] = strategy
    return Json(found)


def _strategy(deployments: list[Any]) -> dict[str, Any]:
    """Give how the newest deployment hands over to new code; empty where it does not say."""
    newest = deployments[0] if deployments and isinstance(deployments[0], dict) else {}
    strategy = newest.get("code_update_strategy")
    return _known(strategy) if isinstance(strategy, dict) else {}


def _asked(table: Mapping[str, Any], told: tuple[str, ...]) -> dict[str, Any]:
    """Return what was asked for, without what only tells what came of it."""
    return {name: value for name, value in table.items() if name not in told and value}


def _enabled(table: Mapping[str, Any]) -> bool:
    """Say whether a table or one inside it is switched on."""
    return table.get("enabled") is True or any(_enabled(t) for t in table.values() if isinstance(t, dict))


def _known(table: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is null: Cloudflare's way to say that it was never set."""
    return {k: _known(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}
