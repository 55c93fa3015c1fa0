"""Compares the declared settings of a Worker with the live ones: what changes, and what was changed outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from notebook_do.model import Json

if TYPE_CHECKING:
    from notebook_do.model import DesiredWorker, ObservedScript

_UNSEEN = frozenset({"code_update_strategy", "tags"})
"""Settings that no read shows (an upload sends them), and tags, of which an upload keeps every live one."""
_OFF: dict[str, Any] = {"observability": {"enabled": False}, "logpush": False, "tail_consumers": []}
"""Settings that belong to the script and not to a version: an upload that leaves them out leaves them as they are."""


class Difference(NamedTuple):
    """One setting that is not as declared, with both values as text; empty for one that is not set."""

    name: str
    live: str
    declared: str


def setting_differences(worker: DesiredWorker, live: ObservedScript) -> list[Difference]:
    """Give the settings that differ, by name; none where the live settings were not read."""
    if live.bindings is None:
        return []
    wanted, found = worker.options.value, live.options.value
    differ = [
        Difference(name, _text(found.get(name)), _text(wanted.get(name)))
        for name in sorted((wanted.keys() | found.keys()) - _UNSEEN)
        if not _covers(found.get(name), wanted.get(name))
    ]
    if lost := [tag for tag in wanted.get("tags", ()) if tag not in live.tags]:
        differ.append(Difference("tags", "", ", ".join(lost)))
    if set(worker.compatibility_flags) != set(live.compatibility_flags):
        flags = ", ".join(live.compatibility_flags), ", ".join(worker.compatibility_flags)
        differ.append(Difference("compatibility_flags", *flags))
    return differ


def sent_options(worker: DesiredWorker, live: ObservedScript | None) -> Json:
    """Give the options of an upload: those declared, and switched off what is live and not declared."""
    found = live.options.value if live else {}
    off = {name: value for name, value in _OFF.items() if name in found}
    return Json({**off, **worker.options.value}) if off else worker.options


def _covers(found: Any, wanted: Any) -> bool:
    """Say whether what is live is what is wanted; Cloudflare fills in keys that were not given."""
    if wanted is None or found is None:
        return not _on(found) and not _on(wanted)
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(_covers(found.get(key), value) for key, value in wanted.items())
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_covers, found, wanted))
    return bool(found == wanted)


def _on(value: Any) -> bool:
    """Say whether a setting does anything: a table that says `enabled = false` does not."""
    if isinstance(value, dict):
        return bool(value) and value.get("enabled") is not False
    return bool(value)


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value, sort_keys=True)
