"""Names what changed since a plan was made, and what a copy of the state file does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.plan.workers.ownership import is_behind, serial_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import ObservedScript, Recorded
    from notebook_do.plan.plan import Baseline


def differences(planned: Baseline, now: Baseline) -> tuple[str, ...]:
    """Say in words what differs; empty when the plan still holds."""
    facts = (
        ("the state file is another one (lineage)", planned.lineage, now.lineage),
        (f"the state file went from serial {planned.serial} to {now.serial}", planned.serial, now.serial),
        ("the account is another one", planned.account_id, now.account_id),
        ("the API is another one", planned.api_origin, now.api_origin),
    )
    return (
        *(text for text, before, after in facts if before != after),
        *_changed("script", {s[0]: s[1:] for s in planned.scripts}, {s[0]: s[1:] for s in now.scripts}),
        *_changed("namespace", {n[0]: n[1:] for n in planned.namespaces}, {n[0]: n[1:] for n in now.namespaces}),
    )


def _changed(kind: str, before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    words = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            words.append(f"{kind} {name} is gone")
        elif name not in before:
            words.append(f"{kind} {name} is new")
        elif before[name] != after[name]:
            was, now = (", ".join(str(v) for v in facts if v is not None) for facts in (before[name], after[name]))
            words.append(f"{kind} {name} changed ({was} → {now})")
    return words


def diverged(recorded: Recorded, scripts: Iterable[ObservedScript], concerned: frozenset[str]) -> str | None:
    """Say that a copy of this very state file has deployed what this one does not know; None when none has."""
    for script in scripts:
        if script.name in concerned and is_behind(script, recorded):
            return (
                f"script {script.name} was deployed with another copy of this state file (at serial "
                f"{serial_of(script, recorded)}; this one is at {recorded.serial}), or its journal is lost. Go on with "
                f"that copy; or bring this one up to date with %durable import {script.name}; or open a session of "
                "another name. Nothing was sent."
            )
    return None
