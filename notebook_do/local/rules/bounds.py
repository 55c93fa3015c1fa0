"""What Cloudflare bounds beside classes: tags, the code update strategy, what a script names. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from notebook_do.local.rules.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from notebook_do.local.services.assembly import Directory, Kind

MOST_TAGS = 10  # alchemy#811; older pages of Workers for Platforms said 8
MOST_TAG_BYTES = 1024
LONGEST_DELAY = 86_400  # cloudflare-docs, "Durable Objects code updates"
# Each resource is named by another field, and its absence has another code.
_MADE: dict[str, tuple[Kind, str, str]] = {
    "kv_namespace": ("kv", "namespace_id", "kv_missing"),
    "r2_bucket": ("r2", "bucket_name", "bucket_missing"),
    "d1": ("d1", "id", "d1_missing"),
}
WORKFLOW_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]{0,63}\Z")  # wrangler 4.164, `isValidWorkflowName`
_KV_ID = re.compile(r"[0-9a-f]{32}\Z")


def as_object(value: Any, where: str) -> dict[str, Any]:
    """Refuse anything but a JSON object."""
    if not isinstance(value, dict):
        raise refuse("bad_field", where=where, why="must be an object")
    return value


def check_tags(tags: Collection[str]) -> None:
    """Refuse too many tags, one that is too long, and the characters that the filter of the script list is made of."""
    for tag in tags:
        if len(tag.encode(errors="replace")) > MOST_TAG_BYTES:
            raise refuse("tag_large")
        # These two alone, as was tried on the real API: `: ; = /`, blanks and Unicode come back as sent (alchemy#824).
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
    # JSON's `true` is an `int` to Python.
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= LONGEST_DELAY:
        raise refuse("update_strategy", why=f"`max_delay` must be 0 to {LONGEST_DELAY} seconds")


def check_services(name: str, bindings: Iterable[Mapping[str, Any]], scripts: Collection[str]) -> None:
    """Refuse service bindings to Workers that are not there, and to other environments than the one that there is."""
    for binding in bindings:
        if binding["type"] != "service":
            continue
        words = {"name": binding["name"], "service": binding["service"], "environment": binding.get("environment")}
        # A Worker may call itself: it is there once this upload is accepted.
        if binding["service"] != name and binding["service"] not in scripts:
            raise refuse("service_missing", **words)
        # A Worker has one environment today; wrangler's own are Workers of other names.
        if words["environment"] not in {None, "", "production"}:
            raise refuse("environment_missing", **words)


def check_tails(name: str, consumers: Iterable[Mapping[str, Any]], scripts: Collection[str]) -> None:
    """Refuse tail consumers that are not there; a Worker may be its own."""
    if any(consumer.get("service") not in {name, *scripts} for consumer in consumers):
        raise refuse("tail_missing")


def check_queues(bindings: Iterable[Mapping[str, Any]], queues: Collection[str]) -> None:
    """Refuse bindings to a queue that nobody made."""
    for binding in bindings:
        if binding["type"] == "queue" and binding.get("queue_name") not in queues:
            raise refuse("queue_missing", name=str(binding.get("queue_name"))[:200])


def check_resources(bindings: Iterable[Mapping[str, Any]], directory: Directory) -> None:
    """Refuse bindings to a KV namespace, an R2 bucket or a D1 database that nobody made."""
    for binding in bindings:
        if binding["type"] not in _MADE:
            continue
        kind, key, rule = _MADE[binding["type"]]
        words = {"name": binding["name"], "id": str(binding.get(key))[:200]}
        if kind == "kv" and not _KV_ID.match(words["id"]):  # before it is looked for: Cloudflare has a code for each
            raise refuse("kv_id", **words)
        if words["id"] not in {made.id for made in directory.listed(kind)}:
            raise refuse(rule, **words)


def check_workflow_name(name: Any) -> None:
    """Refuse a name that Cloudflare does not take, and of which workerd would make a folder here."""
    if not isinstance(name, str) or not WORKFLOW_NAME.match(name):
        raise refuse("workflow_name", name=str(name)[:100])


def check_workflow_classes(classes: Mapping[str, str], exported: Collection[str]) -> None:
    """Refuse workflows whose class the code does not export."""
    for name, class_name in classes.items():
        if class_name not in exported:
            raise refuse("workflow_class", name=name, class_name=class_name)
