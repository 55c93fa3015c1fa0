"""Turns a live script's settings into the options that a declaration has; what is at its default is left out.

Field names as in `GET /accounts/{id}/workers/scripts/{name}/settings` of Cloudflare's OpenAPI document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.model import Json

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEMENT = ("mode", "region", "host", "hostname")
"""What of a placement is asked for; the rest (status, last_analyzed_at) tells what came of it."""


def decode_options(settings: Mapping[str, Any]) -> Json:
    """Give the settings by their declared names; tags are not among them, for an upload keeps every live tag."""
    found: dict[str, Any] = {}
    observability, placement = settings.get("observability"), settings.get("placement")
    if isinstance(observability, dict) and _enabled(observability):
        found["observability"] = _known(observability)
    if isinstance(placement, dict) and (asked := {k: placement[k] for k in _PLACEMENT if placement.get(k)}):
        found["placement"] = asked
    if isinstance(limits := settings.get("limits"), dict) and (set_ := _known(limits)):
        found["limits"] = set_
    if settings.get("logpush") is True:
        found["logpush"] = True
    if isinstance(consumers := settings.get("tail_consumers"), list) and consumers:
        found["tail_consumers"] = [_known(c) for c in consumers if isinstance(c, dict)]
    if isinstance(cache := settings.get("cache_options"), dict) and _enabled(cache):
        found["cache_options"] = _known(cache)
    return Json(found)


def _enabled(table: Mapping[str, Any]) -> bool:
    """Say whether a table or one inside it is switched on."""
    return table.get("enabled") is True or any(_enabled(t) for t in table.values() if isinstance(t, dict))


def _known(table: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is null: Cloudflare's way to say that it was never set."""
    return {k: _known(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}
