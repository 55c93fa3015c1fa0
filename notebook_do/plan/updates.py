"""Says how long old code may answer after a deploy: Cloudflare hands running objects over to new code with a delay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model import UPDATE_DEFAULT
from notebook_do.model.steps import Upload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import Target
    from notebook_do.model.steps import Step

_NAMED = 3


def update_notes(steps: Iterable[Step], target: Target, *, done: bool = False) -> tuple[str, ...]:
    """Return a sentence for each delay that uploads ask for; none for what is handed over at once.

    On the local Cloudflare new code takes over at once, which is said of a plan, and of what is `done` only where
    another delay than the default was asked for.
    """
    delays: dict[float, set[str]] = {}
    for step in steps:
        strategy = step.options.value.get("code_update_strategy", {}) if isinstance(step, Upload) else {}
        delay = strategy.get("max_delay", UPDATE_DEFAULT["max_delay"])
        silent = done and target == "local" and delay == UPDATE_DEFAULT["max_delay"]
        if strategy.get("mode") == "deferred" and delay and not silent:
            delays.setdefault(delay, set()).add(step.script_name if isinstance(step, Upload) else "")
    return tuple(_sentence(sorted(names), delay, target) for delay, names in sorted(delays.items()))


def _sentence(names: list[str], delay: float, target: Target) -> str:
    who = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} Workers"
    said = f"Code updates of {who} are deferred (code_update_strategy):"
    if target == "local":
        return f"{said} on Cloudflare old code may answer for up to {delay:g} s; here new code answers at once."
    return f"{said} after the deploy old code may answer for up to {delay:g} s."
