"""Writes a Worker's settings for wrangler: under its own key where that carries the value whole, else as metadata.

`unsafe.metadata` goes up as it is, so that a setting for which wrangler has no key stays too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import DesiredWorker, ObservedScript

_KEYS = {
    "cache_options": "cache",
    **{same: same for same in ("limits", "logpush", "observability", "placement", "streaming_tail_consumers")},
    "tail_consumers": "tail_consumers",
}
"""wrangler's key by Cloudflare's."""
_FIELDS: Mapping[str, frozenset[str]] = {
    "cache_options": frozenset({"enabled", "cross_version_cache"}),
    "code_update_strategy": frozenset({"mode", "max_delay"}),
    "limits": frozenset({"cpu_ms", "subrequests"}),
    "placement": frozenset({"mode", "hint", "region", "host", "hostname"}),
    "streaming_tail_consumers": frozenset({"service"}),
    "tail_consumers": frozenset({"service", "environment"}),
}
"""What wrangler carries of a setting, where it does not send all of it."""


def write_settings(worker: DesiredWorker, live: ObservedScript | None, config: dict[str, Any]) -> dict[str, Any]:
    """Give `config` with the settings of a Worker; raises CommandError for one that wrangler cannot keep."""
    written, metadata = dict(config), dict[str, Any]()
    for name, value in worker.options.value.items():
        if name == "tags":
            metadata |= _tags(worker, live, value)
        elif name == "containers":
            raise CommandError(f"export: Worker {worker.id} runs containers, which are not exported; use its project.")
        elif name == "code_update_strategy" and _carries(name, value):
            objects = {"bindings": [], **written.get("durable_objects", {}), "code_update_strategy": value}
            written["durable_objects"] = objects
        elif name in _KEYS and _carries(name, value):
            written[_KEYS[name]] = value
        else:
            metadata[name] = value
    if metadata:
        written["unsafe"] = {**written.get("unsafe", {}), "metadata": metadata}
    return written


def _carries(name: str, value: Any) -> bool:
    """Say whether wrangler's own key carries all of a value."""
    tables = value if isinstance(value, list) else [value]
    return name not in _FIELDS or all(isinstance(t, dict) and t.keys() <= _FIELDS[name] for t in tables)


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
