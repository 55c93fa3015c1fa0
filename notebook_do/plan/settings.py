"""Compares the declared settings of a Worker with the live ones, and says what an upload carries of them.

A setting is declared here; or was set by this session and is no longer declared, and is taken away; or was never set
here, and stays as it is. An upload replaces all of them, so what stays is sent again with its live value.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from notebook_do.model import UPDATE_DEFAULT, WORKER_SETTINGS, Json

if TYPE_CHECKING:
    from notebook_do.model import DesiredWorker, ObservedScript
    from notebook_do.plan.standing import Standing

_APART = frozenset({"tags", "crons", "compatibility_flags"})
"""Lists of the record that are no options of an upload, or of which it keeps every live one."""
_OFF = {name: row.off for name, row in WORKER_SETTINGS.items() if row.off is not None}
"""How a setting is taken away that an upload may leave as it is where it does not name it."""
_WHOLE = frozenset(name for name, row in WORKER_SETTINGS.items() if row.whole)
"""Tables whose keys mean something only together."""
_UNREMARKABLE = ("code_update_strategy", dict(UPDATE_DEFAULT))
_PLACES = ("region", "host", "hostname")


class Difference(NamedTuple):
    """One setting that is not as declared, with both values as text; empty for one that is not set."""

    name: str
    live: str
    declared: str


def set_here(standing: Standing) -> dict[str, Any]:
    """Give what this session set of the live script, by name; nothing where that was not recorded."""
    return standing.record.set_here if standing.record and standing.live else {}


def setting_differences(standing: Standing) -> list[Difference]:
    """Give the settings that differ, by name; none where the live settings were not read."""
    worker, live = standing.worker, standing.live
    if live is None or live.bindings is None:
        return []
    ours, wanted, found = set_here(standing), worker.options.value, live.options.value
    if strategy := live.carried.value.get("code_update_strategy"):
        found["code_update_strategy"] = strategy
    differ = []
    for name in sorted((wanted.keys() | ours.keys()) - _APART):
        now, before = wanted.get(name), found.get(name)
        if name not in wanted:
            now = _remaining(name, before, ours[name])
        if name in wanted or now != before:
            differ += [] if _same(name, before, now, ours.get(name)) else [Difference(name, _text(before), _text(now))]
    return [*differ, *_tag_differences(worker, live, ours), *_flag_differences(standing, ours)]


def _tag_differences(worker: DesiredWorker, live: ObservedScript, ours: dict[str, Any]) -> list[Difference]:
    declared = worker.options.value.get("tags", [])
    lost = ", ".join(tag for tag in declared if tag not in live.tags)
    gone = ", ".join(tag for tag in live.tags if tag in dropped_tags(worker, ours))
    return [Difference("tags", gone, lost)] if lost or gone else []


def dropped_tags(worker: DesiredWorker, ours: dict[str, Any]) -> frozenset[str]:
    """Give the script tags that this session set and no longer declares."""
    return frozenset(ours.get("tags", ())) - frozenset(worker.options.value.get("tags", ()))


def _flag_differences(standing: Standing, ours: dict[str, Any]) -> list[Difference]:
    live = standing.live.compatibility_flags if standing.live else ()
    sent = sent_flags(standing, ours)
    return [] if set(sent) == set(live) else [Difference("compatibility_flags", ", ".join(live), ", ".join(sent))]


def sent_flags(standing: Standing, ours: dict[str, Any]) -> tuple[str, ...]:
    """Give the compatibility flags of an upload: those declared, or else the live ones that are not ours."""
    if standing.worker.compatibility_flags or standing.live is None:
        return standing.worker.compatibility_flags
    mine = ours.get("compatibility_flags", ())
    return tuple(flag for flag in standing.live.compatibility_flags if flag not in mine)


def sent_options(standing: Standing) -> Json:
    """Give the options of an upload: those declared, those that stay as they are, and the rest switched off."""
    ours, declared = set_here(standing), standing.worker.options.value
    found = standing.live.carried.value if standing.live else {"code_update_strategy": dict(UPDATE_DEFAULT)}
    sent = {name: value for name, value in found.items() if name not in declared.keys() | ours.keys()}
    for name in ours.keys() - declared.keys() - _APART:
        left = _remaining(name, found.get(name), ours[name])
        if left is not None or name in _OFF:
            sent[name] = _OFF[name] if left is None else left
    for name, value in declared.items():
        sent[name] = value if name in _WHOLE else _completed(value, found.get(name), ours.get(name))
    return Json(sent)


def recorded_settings(standing: Standing) -> Json:
    """Give what is set by this session once an upload of it was made, by name."""
    worker, live, ours = standing.worker, standing.live, set_here(standing)
    settings = _declared(worker)
    if live is None or "code_update_strategy" in ours:  # the default was sent by name, and is ours
        settings.setdefault("code_update_strategy", dict(UPDATE_DEFAULT))
    if crons := our_crons(standing):
        settings["crons"] = list(crons)
    return Json(settings)


def imported_settings(worker: DesiredWorker) -> Json:
    """Give what counts as set by this session once a live Worker was imported: what its cell declares."""
    return Json(_declared(worker) | ({"crons": list(worker.crons)} if worker.crons else {}))


def _declared(worker: DesiredWorker) -> dict[str, Any]:
    flags = {"compatibility_flags": list(worker.compatibility_flags)} if worker.compatibility_flags else {}
    settings: dict[str, Any] = worker.options.value
    return settings | flags


def our_crons(standing: Standing) -> tuple[str, ...]:
    """Give the cron triggers that are ours: those set from here, and those declared here that are live already."""
    live, mine = standing.live, set_here(standing).get("crons", [])
    if live is None or live.crons is None:
        return tuple(mine)
    return tuple(cron for cron in live.crons if cron in mine or cron in standing.worker.crons)


def kept_settings(standing: Standing) -> list[tuple[str, str]]:
    """Give the live settings, with their values as text, that are neither declared nor ours, and stay."""
    live, ours = standing.live, set_here(standing)
    if live is None:
        return []
    named = standing.worker.options.value.keys() | ours.keys()
    kept = [(n, v) for n, v in live.carried.value.items() if n not in named and _on(v)]
    flags = sent_flags(standing, ours) if not standing.worker.compatibility_flags else ()
    kept += [("compatibility_flags", list(flags))] if flags else []
    return sorted((name, _text(value)) for name, value in kept if (name, value) != _UNREMARKABLE)


def _remaining(name: str, found: Any, ours: Any) -> Any:
    """Give what is left of a live setting without what this session set of it; None for nothing."""
    if name == "code_update_strategy":
        return None if found is None else dict(UPDATE_DEFAULT)
    if isinstance(found, list) and isinstance(ours, list):
        return [item for item in found if item not in ours] or None
    if name == "limits" and isinstance(found, dict) and isinstance(ours, dict):
        return {key: value for key, value in found.items() if key not in ours} or None
    return None


def _completed(declared: Any, found: Any, ours: Any) -> Any:
    """Give a declared table with the live keys that nobody here set; one whose switch turns is as declared."""
    if not isinstance(declared, dict) or not isinstance(found, dict):
        return declared
    if declared.get("enabled") != found.get("enabled"):
        return declared
    mine = ours if isinstance(ours, dict) else {}
    stay = {key: value for key, value in found.items() if key not in declared and key not in mine}
    return stay | {key: _completed(value, found.get(key), mine.get(key)) for key, value in declared.items()}


def _same(name: str, found: Any, wanted: Any, ours: Any) -> bool:
    """Say whether a live setting is as it is wanted, and has nothing of ours in it that is no longer declared."""
    if name == "code_update_strategy" and found is None:
        return True  # no read tells it
    if name == "placement":
        return bool(_place(found) == _place(wanted))
    return _covers(found, wanted) and not _lingers(found, wanted, ours)


def _place(placement: Any) -> Any:
    """Reduce the spellings of one placement to one: a place stands beside the mode, or in a list of targets."""
    if not isinstance(placement, dict) or not _on(placement):
        return None
    places = [{name: placement[name]} for name in _PLACES if placement.get(name)]
    return placement.get("target") or places or placement.get("mode")


def _lingers(found: Any, wanted: Any, ours: Any) -> bool:
    """Say whether something is live that this session set inside a table, and no longer declares there."""
    if not (isinstance(found, dict) and isinstance(wanted, dict) and isinstance(ours, dict)):
        return False
    gone = (ours.keys() - wanted.keys()) & found.keys()
    return bool(gone) or any(_lingers(found.get(key), wanted[key], ours.get(key)) for key in wanted)


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
