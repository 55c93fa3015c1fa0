"""Says which settings a Worker carries into its upload, what each may be, and why some are not carried.

The values are Cloudflare's own, in Cloudflare's own words; what is checked here is what no account could accept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SETTING_TYPES: Mapping[str, type] = {
    "observability": dict,
    "placement": dict,
    "limits": dict,
    "logpush": bool,
    "tail_consumers": list,
    "tags": list,
    "cache_options": dict,
    "code_update_strategy": dict,
}
"""By name, the JSON type of each setting that an upload carries."""
NOT_CARRIED: Mapping[str, str] = {
    "containers": "containers need an image that is built and pushed; deploy this Worker with wrangler.",
    "usage_model": "every account has the standard usage model; leave it out.",
}
"""By name, why a setting that Cloudflare knows cannot be declared here, and what to do."""
_PLACES = ("region", "host", "hostname")
_LARGEST_CPU_MS = 300_000
_LONGEST_DELAY = 86_400
OWN_TAGS = ("ndo:", "notebook-do:")


def setting_problem(name: str, value: Any) -> str | None:
    """Say in one line what is wrong with a setting; None for a good one."""
    if name in NOT_CARRIED:
        return f"{name} cannot be declared: {NOT_CARRIED[name]}"
    if name not in SETTING_TYPES:
        return f"unknown option {name!r}; known are {', '.join(SETTING_TYPES)}."
    if not isinstance(value, SETTING_TYPES[name]):
        return f"{name} must be {_WORDS[SETTING_TYPES[name]]}, not {value!r}."
    return _CHECKS[name](value) if name in _CHECKS else None


_WORDS: Mapping[type, str] = {dict: "a table", bool: "true or false", list: "a list"}


def _observability(value: dict[str, Any]) -> str | None:
    for where, table in {
        "observability": value,
        **{f"observability.{k}": value.get(k) for k in ("logs", "traces")},
    }.items():
        if table is None:
            continue
        if not isinstance(table, dict):
            return f"{where} must be a table, not {table!r}."
        if not isinstance(table.get("enabled", where != "observability"), bool) or (
            where == "observability" and "enabled" not in table
        ):
            return f"{where} needs enabled, true or false."
        rate = table.get("head_sampling_rate", 1)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            return f"head_sampling_rate of {where} must be a number from 0 to 1, not {rate!r}."
    return None


def _placement(value: dict[str, Any]) -> str | None:
    if value == {"mode": "smart"}:
        return None
    rest = {name: part for name, part in value.items() if name != "mode"}
    places = rest["target"] if list(rest) == ["target"] and value.get("mode") == "targeted" else [rest]
    named = isinstance(places, list) and bool(places) and all(map(_is_place, places))
    if named and value.get("mode", "targeted") == "targeted":
        return None
    return (
        "placement must be {mode = 'smart'}, or name one of region, host and hostname, or be "
        "{mode = 'targeted', target = [{region = 'PROVIDER:REGION'}]}."
    )


def _is_place(value: Any) -> bool:
    """Say whether a table names one place and nothing else."""
    return (
        isinstance(value, dict)
        and len(value) == 1
        and all(name in _PLACES and isinstance(place, str) and place for name, place in value.items())
    )


def _limits(value: dict[str, Any]) -> str | None:
    for name, limit in value.items():
        if name not in ("cpu_ms", "subrequests"):
            return f"limits has no {name}; it has cpu_ms and subrequests."
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            return f"{name} of limits must be a whole number of at least 1, not {limit!r}."
    if value.get("cpu_ms", 1) > _LARGEST_CPU_MS:
        return f"cpu_ms of limits must be at most {_LARGEST_CPU_MS}, five minutes."
    return None


def _tail_consumers(value: list[Any]) -> str | None:
    for consumer in value:
        if not isinstance(consumer, dict) or not isinstance(consumer.get("service"), str) or not consumer["service"]:
            return f"tail_consumers must be a list of {{service = 'worker'}}, not {consumer!r}."
    return None


def _tags(value: list[Any]) -> str | None:
    for tag in value:
        if not isinstance(tag, str) or not 0 < len(tag.encode()) <= 1024 or set(tag) & set(",&"):
            return f"tags must be strings of 1 to 1,024 bytes without , and &, not {tag!r}."
        if tag.startswith(OWN_TAGS):
            return f"tag {tag!r} cannot be declared: tags that begin with {' or '.join(OWN_TAGS)} are ours."
    if len(value) > 8:
        return f"{len(value)} tags are too many: Cloudflare takes ten, and two are ours."
    return None


def _cache_options(value: dict[str, Any]) -> str | None:
    return None if isinstance(value.get("enabled"), bool) else "cache_options needs enabled, true or false."


def _code_update_strategy(value: dict[str, Any]) -> str | None:
    """Check what Cloudflare's page "Durable Objects code updates" allows; the delay is in seconds."""
    mode, delay = value.get("mode"), value.get("max_delay", 0)
    if mode not in {"deferred", "immediate"} or value.keys() - {"mode", "max_delay"}:
        return "code_update_strategy must be {mode = 'deferred', max_delay = SECONDS} or {mode = 'immediate'}."
    if mode == "immediate" and "max_delay" in value:
        return "max_delay of code_update_strategy is for mode 'deferred'; an immediate update has no delay."
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= _LONGEST_DELAY:
        return f"max_delay of code_update_strategy must be 0 to {_LONGEST_DELAY} seconds, not {delay!r}."
    return None


_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "observability": _observability,
    "placement": _placement,
    "limits": _limits,
    "tail_consumers": _tail_consumers,
    "tags": _tags,
    "cache_options": _cache_options,
    "code_update_strategy": _code_update_strategy,
}
