"""What a Worker carries into its upload besides code and bindings: static assets, and settings in Cloudflare's words.

Each check returns in one line what no account could accept. What only this account cannot, Cloudflare says itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.errors import nearest
from notebook_do.model.declared import Json

if TYPE_CHECKING:
    from collections.abc import Mapping

# --- static assets

ASSET_CHOICES: Mapping[str, tuple[str, ...]] = {
    "html_handling": ("auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"),
    "not_found_handling": ("none", "404-page", "single-page-application"),
}
_ASSET_KEYS = ("directory", "binding", *ASSET_CHOICES, "base_path", "run_worker_first")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetFile:
    """One file. `path` begins with `/`; `hash` names content and ending; `source` is where it is read from."""

    path: str
    hash: str
    size: int
    source: str = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAssets:
    """All files of a Worker by path, and Cloudflare's `assets.config` for them."""

    files: tuple[AssetFile, ...]
    config: Json = field(default=Json({}))

    @property
    def digest(self) -> str:
        """Return 16 hex digits that name the files and their configuration."""
        text = json.dumps([[f.path, f.hash, f.size] for f in self.files]) + self.config.text
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def asset_hash(content: bytes, path: str) -> str:
    """Return the name of a file's content and ending: 32 hex digits, as Cloudflare asks of a client."""
    # Content is uploaded once a hash, with the media type of its ending: under another ending it is another file.
    name = path.rpartition("/")[2]
    ending = name.rpartition(".")[2] if "." in name else ""
    return hashlib.sha256(content + b"\0" + ending.encode()).hexdigest()[:32]


def assets_problem(value: Any) -> str | None:
    """Return in one line what is wrong with declared assets; None for good ones. Reads no file."""
    if not isinstance(value, dict) or not isinstance(value.get("directory"), str) or not value["directory"]:
        return f"assets must be a table with a directory, not {value!r}."
    for key, setting in value.items():
        if key not in _ASSET_KEYS:
            return f"assets has no {key}; {nearest(key, _ASSET_KEYS)}"
        if key in ASSET_CHOICES and setting not in ASSET_CHOICES[key]:
            return f"{key} of assets {setting!r}: {nearest(str(setting), ASSET_CHOICES[key])}"
    if not isinstance(value.get("binding", ""), str):
        return f"binding of assets must be a name, not {value['binding']!r}."
    if not isinstance(value.get("base_path", ""), str):
        return f"base_path of assets must be a path such as '/docs', not {value['base_path']!r}."
    first = value.get("run_worker_first", False)
    if isinstance(first, bool):
        return None
    if not isinstance(first, list) or not all(
        isinstance(p, str) and p.removeprefix("!").startswith("/") for p in first
    ):
        return f"run_worker_first of assets must be true, false or a list of paths such as '/api/*', not {first!r}."
    return None


# --- settings

_PLACES = ("region", "host", "hostname")
_LARGEST_CPU_MS = 300_000
_LONGEST_DELAY = 86_400
OWN_TAGS = ("ndo:", "notebook-do:")
"""How the script tags begin that are ours."""
# Cloudflare takes ten tags and answers 403 to an eleventh, 400 to one of more than 1,024 bytes, and forbids only , and
# & in one (alchemy issues 811 and 824). Two of the ten are ours: the operation, and the namespace ids.
_MOST_TAGS, _LONGEST_TAG, _NOT_IN_TAGS = 8, 1024, set(",&")


_OBSERVED = ("logs", "traces", "issues")


def observability_problem(value: dict[str, Any]) -> str | None:
    """Return what is wrong with logs and traces; None for a good table."""
    for where, table in {
        "observability": value,
        **{f"observability.{k}": value.get(k) for k in _OBSERVED},
    }.items():
        if table is None:
            continue
        if not isinstance(table, dict):
            return f"{where} must be a table, not {table!r}."
        # As wrangler, which takes the switch of a part for that of the whole.
        parts = [part for part in (value, *map(value.get, _OBSERVED)) if isinstance(part, dict)]
        if not isinstance(table.get("enabled", True), bool) or not any("enabled" in part for part in parts):
            return f"{where} needs enabled, true or false."
        # A bool is an int to Python, and `true` no rate: it is looked for by itself, here and below.
        rate = table.get("head_sampling_rate", 1)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            return f"head_sampling_rate of {where} must be a number from 0 to 1, not {rate!r}."
    return None


def placement_problem(value: dict[str, Any]) -> str | None:
    """Return what is wrong with where the Worker runs; None for a good table."""
    if value == {"mode": "smart"}:
        return None
    rest = {name: part for name, part in value.items() if name != "mode"}
    # One place may be named with or without the mode; several only in the list of the targeted form.
    places = rest["target"] if list(rest) == ["target"] and value.get("mode") == "targeted" else [rest]
    named = isinstance(places, list) and bool(places) and all(map(_is_place, places))
    if named and value.get("mode", "targeted") == "targeted":
        return None
    return (
        "placement must be {mode = 'smart'}, or name one of region, host and hostname, or be "
        "{mode = 'targeted', target = [{region = 'PROVIDER:REGION'}]}."
    )


def _is_place(value: Any) -> bool:
    """Return whether a table names one place and nothing else."""
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
        if not isinstance(tag, str) or not 0 < len(tag.encode()) <= _LONGEST_TAG or set(tag) & _NOT_IN_TAGS:
            return f"tags must be strings of 1 to 1,024 bytes without , and &, not {tag!r}."
        if tag.startswith(OWN_TAGS):
            return f"tag {tag!r} cannot be declared: tags that begin with {' or '.join(OWN_TAGS)} are ours."
    if len(value) > _MOST_TAGS:
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
