"""What Cloudflare bounds beside classes: the tags of a script, its code update strategy, the Workers that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.local.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

MOST_TAGS = 10
MOST_TAG_BYTES = 1024
LONGEST_DELAY = 86_400


def check_tags(tags: Collection[str]) -> None:
    """Refuse too many tags, one that is too long, and the characters that the filter of the script list is made of."""
    for tag in tags:
        if len(tag.encode(errors="replace")) > MOST_TAG_BYTES:
            raise refuse("tag_large")
        if "," in tag or "&" in tag:
            raise refuse("tag_form", tag=tag[:100])
    if len(tags) > MOST_TAGS:
        raise refuse("too_many_tags")


def check_update_strategy(strategy: Mapping[str, Any]) -> None:
    """Refuse a code update strategy that is neither immediate nor deferred for a day at most."""
    mode, delay = strategy.get("mode", "deferred"), strategy.get("max_delay")
    if mode not in {"deferred", "immediate"}:
        raise refuse("update_strategy", why="`mode` must be 'deferred' or 'immediate'")
    if unknown := set(strategy) - {"mode", "max_delay"}:
        raise refuse("update_strategy", why=f"unknown key `{min(unknown)}`")
    if delay is None:
        return
    if mode == "immediate":
        raise refuse("update_strategy", why="`max_delay` cannot be used with mode 'immediate'")
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= LONGEST_DELAY:
        raise refuse("update_strategy", why=f"`max_delay` must be 0 to {LONGEST_DELAY} seconds")


def check_services(name: str, bindings: Iterable[Mapping[str, Any]], scripts: Collection[str]) -> None:
    """Refuse service bindings to Workers that are not there, and to other environments than the one that there is."""
    for binding in bindings:
        if binding["type"] != "service":
            continue
        words = {"name": binding["name"], "service": binding["service"], "environment": binding.get("environment")}
        if binding["service"] != name and binding["service"] not in scripts:
            raise refuse("service_missing", **words)
        if words["environment"] not in {None, "", "production"}:
            raise refuse("environment_missing", **words)


def check_tails(name: str, consumers: Iterable[Mapping[str, Any]], scripts: Collection[str]) -> None:
    """Refuse tail consumers that are not there; a Worker may be its own."""
    if any(consumer.get("service") not in {name, *scripts} for consumer in consumers):
        raise refuse("tail_missing")
