"""Says which cron triggers a Worker shall have: those declared, or else the live ones that this session never set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.plan.fingerprint import UNSET, Fingerprint, crons_part
from notebook_do.plan.plan import Action, Change
from notebook_do.plan.settings import set_here

if TYPE_CHECKING:
    from notebook_do.plan.standing import Standing


def wanted_crons(standing: Standing, before: Fingerprint) -> tuple[str, ...]:
    """Give the cron triggers that shall be live. A declared list is the whole list."""
    return standing.worker.crons or kept_crons(standing, before)


def kept_crons(standing: Standing, before: Fingerprint) -> tuple[str, ...]:
    """Give the live cron triggers that stay though they are not declared: those that this session never set."""
    live = (standing.live.crons or ()) if standing.live else ()
    if standing.worker.crons or not live:
        return ()
    known = standing.record and standing.record.settings
    mine = set_here(standing).get("crons", ()) if known else live if crons_part(live) == before.crons else ()
    return tuple(cron for cron in live if cron not in mine)


def crons_differ(standing: Standing, before: Fingerprint) -> bool:
    """Say whether the cron triggers must be replaced; what was not read is compared with what was set."""
    read = standing.live.crons if standing.live else None
    if read is None:
        return crons_part(standing.worker.crons) != (before.crons if standing.live else UNSET)
    return set(wanted_crons(standing, before)) != set(read)


def cron_change(standing: Standing, before: Fingerprint) -> Change:
    """Say how the cron triggers change, by name."""
    worker = standing.worker
    live, wanted = (standing.live.crons or ()) if standing.live else (), wanted_crons(standing, before)
    gone = ", ".join(cron for cron in live if cron not in wanted)
    detail = f"The cron triggers of {worker.script_name} are replaced."
    if not worker.crons:
        detail = f"Cron trigger {gone} of {worker.script_name}, set from here and no longer declared, is removed."
    elif crons_part(worker.crons) == before.crons:
        detail += " They were changed outside."
    shown = {"before": ", ".join(live), "after": ", ".join(wanted)}
    return _row(standing, Action.UPDATE, detail, **shown)


def kept_cron_rows(standing: Standing, before: Fingerprint) -> list[Change]:
    """Tell of the cron triggers that stay though they are not declared here."""
    name = standing.worker.script_name
    return [
        _row(standing, Action.NOOP, f"Cron trigger {cron} of {name}, which is not declared here, is kept.", after=cron)
        for cron in kept_crons(standing, before)
    ]


def _row(standing: Standing, action: Action, detail: str, *, before: str = "", after: str = "") -> Change:
    worker = standing.worker
    return Change(
        action=action,
        kind="cron",
        id=worker.id,
        worker=worker.id,
        name=worker.script_name,
        field="crons",
        before=before,
        after=after,
        detail=detail,
    )
