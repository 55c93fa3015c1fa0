"""Compares the declared settings of a Worker with the live ones, and says what an upload carries of them.

What was sent of a Worker besides its code is recorded as a fingerprint, so that an unchanged Worker is known without
reading it back.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from notebook_do.model import (
    UPDATE_DEFAULT,
    WORKER_FIELDS,
    WORKER_SETTINGS,
    ClassBinding,
    Json,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
)
from notebook_do.model.steps import Upload
from notebook_do.plan.sentences import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import DesiredWorker, ObservedScript, ScriptBinding, Target
    from notebook_do.model.steps import Step
    from notebook_do.plan.workers.ownership import Ownership

_APART = frozenset({"tags", "crons", "compatibility_flags"})
"""Lists of the record that are no options of an upload, or of which it keeps every live one."""
_OFF = {name: row.off for name, row in WORKER_SETTINGS.items() if row.off is not None}
"""How a setting is taken away that an upload may leave as it is where it does not name it."""
_WHOLE = frozenset(name for name, row in WORKER_SETTINGS.items() if row.whole)
"""Tables whose keys mean something only together."""
_SENT = tuple(row.name for row in WORKER_FIELDS.values() if row.part == "upload" and not row.setting)
"""The fields of a Worker that an upload carries beside bindings and options."""
_UNREMARKABLE = ("code_update_strategy", dict(UPDATE_DEFAULT))
"""What is kept without a word: nobody chose it."""
_PLACES = ("region", "host", "hostname")
"""The fields of a targeted placement, each of which names one place."""


class Difference(NamedTuple):
    """One setting that is not as declared, with both values as text; empty for one that is not set."""

    name: str
    live: str
    declared: str


def set_here(ownership: Ownership) -> dict[str, Any]:
    """Return what this session set of the live script, by name; nothing where that was not recorded."""
    return ownership.record.set_here if ownership.record and ownership.live else {}


def setting_differences(ownership: Ownership) -> list[Difference]:
    """Return the settings that differ, by name; none where the live settings were not read.

    Compared are those that are declared and those that this session set. Any other one is somebody else's, and stays.
    """
    worker, live = ownership.worker, ownership.live
    if live is None or live.bindings is None:
        return []
    ours, wanted, found = set_here(ownership), worker.options.value, live.options.value
    if strategy := live.carried.value.get("code_update_strategy"):
        found["code_update_strategy"] = strategy
    differ = []
    for name in sorted((wanted.keys() | ours.keys()) - _APART):
        now, before = wanted.get(name), found.get(name)
        if name not in wanted:
            now = _remaining(name, before, ours[name])
        if name in wanted or now != before:
            differ += [] if _same(name, before, now, ours.get(name)) else [Difference(name, _text(before), _text(now))]
    return [*differ, *_tag_differences(worker, live, ours), *_flag_differences(ownership, ours)]


def _tag_differences(worker: DesiredWorker, live: ObservedScript, ours: dict[str, Any]) -> list[Difference]:
    declared, dropped = worker.options.value.get("tags", []), dropped_tags(worker, ours)
    lost = ", ".join(tag for tag in declared if tag not in live.tags)
    gone = ", ".join(tag for tag in live.tags if tag in dropped)
    return [Difference("tags", gone, lost)] if lost or gone else []


def dropped_tags(worker: DesiredWorker, ours: dict[str, Any]) -> frozenset[str]:
    """Return the script tags that this session set and no longer declares."""
    return frozenset(ours.get("tags", ())) - frozenset(worker.options.value.get("tags", ()))


def _flag_differences(ownership: Ownership, ours: dict[str, Any]) -> list[Difference]:
    live = ownership.live.compatibility_flags if ownership.live else ()
    sent = sent_flags(ownership, ours)
    return [] if set(sent) == set(live) else [Difference("compatibility_flags", ", ".join(live), ", ".join(sent))]


def sent_flags(ownership: Ownership, ours: dict[str, Any]) -> tuple[str, ...]:
    """Return the compatibility flags of an upload: those declared, or else the live ones that are not ours.

    A declared list is the whole list: which flags a source runs with is not left to what was set before.
    """
    if ownership.worker.compatibility_flags or ownership.live is None:
        return ownership.worker.compatibility_flags
    mine = ours.get("compatibility_flags", ())
    return tuple(flag for flag in ownership.live.compatibility_flags if flag not in mine)


def sent_options(ownership: Ownership) -> Json:
    """Return the options of an upload: those declared, those that stay as they are, and the rest switched off.

    An upload sets most of them anew and takes an absent one for its default, so what is to stay is sent again.
    """
    ours, declared = set_here(ownership), ownership.worker.options.value
    # A new Worker is sent the default by name, as wrangler does: Cloudflare's page calls it the default, but by earlier
    # drafts and by one user an upload without it cuts every open connection at once.
    found = ownership.live.carried.value if ownership.live else {"code_update_strategy": dict(UPDATE_DEFAULT)}
    sent = {name: value for name, value in found.items() if name not in declared.keys() | ours.keys()}
    for name in ours.keys() - declared.keys() - _APART:
        left = _remaining(name, found.get(name), ours[name])
        if left is not None or name in _OFF:
            sent[name] = _OFF[name] if left is None else left
    for name, value in declared.items():
        sent[name] = value if name in _WHOLE else _completed(value, found.get(name), ours.get(name))
    return Json(sent)


def recorded_settings(ownership: Ownership) -> Json:
    """Return what is set by this session once an upload of it was made, by name."""
    worker, live, ours = ownership.worker, ownership.live, set_here(ownership)
    settings = _declared(worker)
    if live is None or "code_update_strategy" in ours:  # the default was sent by name, and is ours
        settings.setdefault("code_update_strategy", dict(UPDATE_DEFAULT))
    if crons := our_crons(ownership):
        settings["crons"] = list(crons)
    return Json(settings)


def imported_settings(worker: DesiredWorker) -> Json:
    """Return what counts as set by this session once a live Worker was imported: what its cell declares."""
    return Json(_declared(worker) | ({"crons": list(worker.crons)} if worker.crons else {}))


def _declared(worker: DesiredWorker) -> dict[str, Any]:
    flags = {"compatibility_flags": list(worker.compatibility_flags)} if worker.compatibility_flags else {}
    settings: dict[str, Any] = worker.options.value
    return settings | flags


def our_crons(ownership: Ownership) -> tuple[str, ...]:
    """Return the cron triggers that are ours: those set from here, and those declared here that are live already."""
    live, mine = ownership.live, set_here(ownership).get("crons", [])
    if live is None or live.crons is None:
        return tuple(mine)
    return tuple(cron for cron in live.crons if cron in mine or cron in ownership.worker.crons)


def kept_settings(ownership: Ownership) -> list[tuple[str, str]]:
    """Return the live settings that are neither declared nor ours, and stay: (name, value as text), sorted."""
    live, ours = ownership.live, set_here(ownership)
    if live is None:
        return []
    named = ownership.worker.options.value.keys() | ours.keys()
    kept = [(n, v) for n, v in live.carried.value.items() if n not in named and _on(v)]
    flags = sent_flags(ownership, ours) if not ownership.worker.compatibility_flags else ()
    kept += [("compatibility_flags", list(flags))] if flags else []
    return sorted((name, _text(value)) for name, value in kept if (name, value) != _UNREMARKABLE)


def _remaining(name: str, found: Any, ours: Any) -> Any:
    """Return what is left of a live setting without what this session set of it; None for nothing."""
    if name == "code_update_strategy":
        return None if found is None else dict(UPDATE_DEFAULT)
    if isinstance(found, list) and isinstance(ours, list):
        return [item for item in found if item not in ours] or None
    if name == "limits" and isinstance(found, dict) and isinstance(ours, dict):
        return {key: value for key, value in found.items() if key not in ours} or None
    return None


def _completed(declared: Any, found: Any, ours: Any) -> Any:
    """Return a declared table with the live keys that nobody here set.

    Where its `enabled` changes, it is sent as it is declared: what was set under the other switch is not taken over.
    """
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
        return True  # only the deployments of a script show it, and they may not have been read
    if name == "placement":
        return bool(_place(found) == _place(wanted))
    return _covers(found, wanted) and not _lingers(found, wanted, ours)


def _place(placement: Any) -> Any:
    """Return the one spelling of a placement.

    A place is sent beside the mode, and may be shown in a list of targets.
    """
    if not isinstance(placement, dict) or not _on(placement):
        return None
    places = [{name: placement[name]} for name in _PLACES if placement.get(name)]
    return placement.get("target") or places or placement.get("mode")


def _lingers(found: Any, wanted: Any, ours: Any) -> bool:
    """Say whether something is live inside a table that this session set there and no longer declares."""
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


# --- when new code answers

_NAMED = 3
"""How many Workers a note names; of more it says how many they are."""


def update_notes(steps: Iterable[Step], target: Target) -> tuple[str, ...]:
    """Return a sentence for each delay that uploads ask for; none for what is handed over at once.

    Cloudflare gives running objects their new code with a delay of up to `max_delay` seconds (code updates of Durable
    Objects). On the local Cloudflare new code takes over at once, which is said where another delay than the default
    was asked for: what happens is not what was asked then.
    """
    delays: dict[float, set[str]] = {}
    for step in steps:
        strategy = step.options.value.get("code_update_strategy", {}) if isinstance(step, Upload) else {}
        delay = strategy.get("max_delay", UPDATE_DEFAULT["max_delay"])
        silent = target == "local" and delay == UPDATE_DEFAULT["max_delay"]
        if strategy.get("mode") == "deferred" and delay and not silent:
            delays.setdefault(delay, set()).add(step.script_name if isinstance(step, Upload) else "")
    return tuple(_update_note(sorted(names), delay, target) for delay, names in sorted(delays.items()))


def _update_note(names: list[str], delay: float, target: Target) -> str:
    who = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} Workers"
    return say("code-deferred", "local" if target == "local" else "cloudflare", who=who, delay=delay)


# --- the fingerprint

UNSET = "-"
"""A part of a fingerprint that was never set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What was sent of a Worker besides its code, each part as a digest or a word; UNSET for a part that never was.

    It is recorded as its text, in three parts where no assets were sent, as older state files have it.
    """

    upload: str = UNSET
    url: str = UNSET
    crons: str = UNSET
    assets: str = UNSET

    def __str__(self) -> str:
        parts = [self.upload, self.url, self.crons, *([] if self.assets == UNSET else [self.assets])]
        return ".".join(parts)


def read_fingerprint(text: str | None) -> Fingerprint:
    """Return a recorded fingerprint; anything unknown counts as never set, which only causes one more upload."""
    match (text or "").split("."):
        case [upload, url, crons]:
            return Fingerprint(upload=upload, url=url, crons=crons)
        case [upload, url, crons, assets]:
            return Fingerprint(upload=upload, url=url, crons=crons, assets=assets)
    return Fingerprint()


def fingerprint(worker: DesiredWorker) -> Fingerprint:
    """Return the fingerprint of the declared settings; what is undeclared counts as that, whatever is live."""
    upload = [
        worker.own_main or worker.main_module,
        [plain_binding(b) for b in worker.bindings],
        *(getattr(worker, name) for name in _SENT),
        worker.options.text,
    ]
    return Fingerprint(
        upload=_short(upload),
        url="open" if worker.url else "closed",
        crons=crons_part(worker.crons),
        assets=worker.assets.digest if worker.assets else UNSET,
    )


def crons_part(crons: tuple[str, ...]) -> str:
    """Return the name of a set of cron triggers, whatever their order; none at all is like never set."""
    return _short(sorted(crons)) if crons else UNSET


def plain_binding(binding: ScriptBinding) -> list[Any]:
    """Return a binding as JSON values; of a secret only that it is one, because its mark tells the rest."""
    if isinstance(binding, ClassBinding):
        return [binding.name, "class", binding.class_name, binding.script_name, binding.environment]
    match binding.value:
        case PlainText(text=text):
            return [binding.name, "text", text]
        case Json(text=text):
            return [binding.name, "json", text]
        case Secret():
            return [binding.name, "secret"]
        case ServiceBinding(worker=worker, entrypoint=entrypoint, environment=environment, props=props):
            plain = [binding.name, "service", worker, entrypoint, environment]
            return plain if props is None else [*plain, props.text]  # as it was before there were props
        case Resource(type=kind, fields=fields):
            return [binding.name, kind, fields.text]


def _short(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
