"""Checks the settings that a Worker carries into its upload: in one line what no account could accept.

The values are Cloudflare's own, in Cloudflare's own words.
"""

from __future__ import annotations

from typing import Any

_PLACES = ("region", "host", "hostname")
_LARGEST_CPU_MS = 300_000
_LONGEST_DELAY = 86_400
OWN_TAGS = ("ndo:", "notebook-do:")
"""How the script tags begin that are ours."""


def observability_problem(value: dict[str, Any]) -> str | None:
    """Return what is wrong with logs and traces; None for a good table."""
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


def placement_problem(value: dict[str, Any]) -> str | None:
    """Return what is wrong with where the Worker runs; None for a good table."""
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


def limits_problem(value: dict[str, Any]) -> str | None:
    """Return what is wrong with CPU time and subrequests; None for a good table."""
    for name, limit in value.items():
        if name not in ("cpu_ms", "subrequests"):
            return f"limits has no {name}; it has cpu_ms and subrequests."
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            return f"{name} of limits must be a whole number of at least 1, not {limit!r}."
    if value.get("cpu_ms", 1) > _LARGEST_CPU_MS:
        return f"cpu_ms of limits must be at most {_LARGEST_CPU_MS}, five minutes."
    return None


def tail_consumers_problem(value: list[Any]) -> str | None:
    """Return what is wrong with the Workers that get its logs; None for a good list."""
    for consumer in value:
        if not isinstance(consumer, dict) or not isinstance(consumer.get("service"), str) or not consumer["service"]:
            return f"tail_consumers must be a list of {{service = 'worker'}}, not {consumer!r}."
    return None


def tags_problem(value: list[Any]) -> str | None:
    """Return what is wrong with script tags; None for a good list."""
    for tag in value:
        if not isinstance(tag, str) or not 0 < len(tag.encode()) <= 1024 or set(tag) & set(",&"):
            return f"tags must be strings of 1 to 1,024 bytes without , and &, not {tag!r}."
        if tag.startswith(OWN_TAGS):
            return f"tag {tag!r} cannot be declared: tags that begin with {' or '.join(OWN_TAGS)} are ours."
    if len(value) > 8:
        return f"{len(value)} tags are too many: Cloudflare takes ten, and two are ours."
    return None


def cache_options_problem(value: dict[str, Any]) -> str | None:
    """Return what is wrong with the cache of the Worker; None for a good table."""
    return None if isinstance(value.get("enabled"), bool) else "cache_options needs enabled, true or false."


def code_update_strategy_problem(value: dict[str, Any]) -> str | None:
    """Return what Cloudflare's page "Durable Objects code updates" does not allow; the delay is in seconds."""
    mode, delay = value.get("mode"), value.get("max_delay", 0)
    if mode not in {"deferred", "immediate"} or value.keys() - {"mode", "max_delay"}:
        return "code_update_strategy must be {mode = 'deferred', max_delay = SECONDS} or {mode = 'immediate'}."
    if mode == "immediate" and "max_delay" in value:
        return "max_delay of code_update_strategy is for mode 'deferred'; an immediate update has no delay."
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= _LONGEST_DELAY:
        return f"max_delay of code_update_strategy must be 0 to {_LONGEST_DELAY} seconds, not {delay!r}."
    return None
