"""Scripts, versions and deployments as the API shows them; secret texts are never part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.local.account.records import Deployment, Script, Version, public_binding
from notebook_do.local.rules.exports import live_entries

if TYPE_CHECKING:
    from notebook_do.local.account.account import Account

_HANDLERS = frozenset({"durable-object", "worker-entrypoint", "workflow"})
AUTHOR = "local@localhost"


def named_handlers(version: Version) -> list[dict[str, Any]]:
    """Give the classes that a version exports."""
    exports = version.code.report.exports
    return [{"name": e.name, "handlers": list(e.handlers) or ["class"]} for e in exports if e.kind in _HANDLERS]


def shared_settings(script: Script) -> dict[str, Any]:
    """Give the settings that belong to a script and not to a version."""
    settings = script.settings
    return {
        "logpush": settings.get("logpush", False),
        "observability": settings.get("observability") or {"enabled": False},
        "tags": settings.get("tags") or [],
        "tail_consumers": settings.get("tail_consumers") or [],
    }


def script_item(account: Account, script: Script) -> dict[str, Any]:
    """Give a script as lists show it."""
    version = account.serving.get(script.name)
    item = {
        "id": script.name,
        "tag": script.tag,
        "etag": version.etag if version else "",
        "created_on": script.created_on,
        "modified_on": script.modified_on,
        "last_deployed_from": script.last_deployed_from,
        "has_assets": version is not None and version.assets is not None,
        "has_modules": version is not None,
        **shared_settings(script),
        "routes": [],
    }
    if script.migration_tag:
        item["migration_tag"] = script.migration_tag
    return item if version is None else {**item, **_of_version(version)}


def _of_version(version: Version) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "handlers": list(version.code.report.default_handlers),
        "named_handlers": named_handlers(version),
        "compatibility_date": version.code.compatibility_date,
        "compatibility_flags": list(version.code.compatibility_flags),
        "usage_model": version.options.get("usage_model", "standard"),
    }
    for key in ("placement", "cache_options"):
        if key in version.options:
            shown[key] = version.options[key]
    if version.exports is not None:
        shown["exports"] = live_entries(version.exports)
    return shown


def upload_result(account: Account, script: Script, version: Version, reconciliation: Any) -> dict[str, Any]:
    """Give the answer to an upload."""
    result = {
        **script_item(account, script),
        "entry_point": version.code.main_module,
        "startup_time_ms": version.code.report.startup_ms,
        # The version's id without hyphens, under this name: what wrangler reads.
        "deployment_id": version.id.replace("-", ""),
        "pipeline_hash": version.etag,
        "mutable_pipeline_id": script.tag,
    }
    result.pop("routes")
    return result if reconciliation is None else {**result, "exports_reconciliation": reconciliation}


def settings_result(script: Script, version: Version) -> dict[str, Any]:
    """Give the versioned and the script's own settings in one."""
    shown: dict[str, Any] = {
        "bindings": shown_bindings(version),
        "compatibility_date": version.code.compatibility_date,
        "compatibility_flags": list(version.code.compatibility_flags),
        "usage_model": version.options.get("usage_model", "standard"),
        "limits": version.options.get("limits") or {},
        "placement": version.options.get("placement") or {},
        "annotations": version.options.get("annotations") or {},
        **shared_settings(script),
    }
    if "cache_options" in version.options:
        shown["cache_options"] = version.options["cache_options"]
    if version.exports is not None:
        shown["exports"] = live_entries(version.exports)
    if script.migration_tag:
        shown["migration_tag"] = script.migration_tag
    if not shown["placement"]:
        del shown["placement"]
    return shown


def shown_bindings(version: Version) -> list[dict[str, Any]]:
    """Give the bindings of a version as reads show them."""
    return [public_binding(binding) for binding in version.bindings]


def version_item(version: Version) -> dict[str, Any]:
    """Give a version as lists show it."""
    return {
        "id": version.id,
        "number": version.number,
        "metadata": {
            "created_on": version.created_on,
            "modified_on": version.created_on,
            "source": version.source,
            "author_id": "",
            "author_email": AUTHOR,
            "hasPreview": False,
            # wrangler reads this spelling where the published types have the other.
            "has_preview": False,
        },
        "annotations": version.options.get("annotations") or {},
    }


def version_result(version: Version) -> dict[str, Any]:
    """Give a whole version."""
    code = version.code
    runtime: dict[str, Any] = {
        "compatibility_date": code.compatibility_date,
        "compatibility_flags": list(code.compatibility_flags),
        "usage_model": version.options.get("usage_model", "standard"),
        "limits": version.options.get("limits") or {},
    }
    if version.migration_tag:
        runtime["migration_tag"] = version.migration_tag
    if version.exports is not None:
        runtime["exports"] = live_entries(version.exports)
    return {
        **version_item(version),
        "resources": {
            "bindings": shown_bindings(version),
            "script": {
                "etag": version.etag,
                "handlers": list(code.report.default_handlers),
                "named_handlers": named_handlers(version),
                "last_deployed_from": version.source,
            },
            "script_runtime": runtime,
        },
        "startup_time_ms": code.report.startup_ms,
    }


def deployment_item(deployment: Deployment) -> dict[str, Any]:
    """Give a deployment."""
    return {
        "id": deployment.id,
        "source": deployment.source,
        "strategy": "percentage",
        "author_email": AUTHOR,
        "created_on": deployment.created_on,
        "annotations": deployment.annotations,
        "code_update_strategy": deployment.code_update_strategy,
        "versions": [{"version_id": version, "percentage": share} for version, share in deployment.versions],
    }
