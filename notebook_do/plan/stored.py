"""Tells whether a plan object is still the plan that was shown under its digest."""

from __future__ import annotations

from dataclasses import replace

from notebook_do.plan.plan import Plan


def unchanged(given: Plan, shown: Plan, digest: str) -> bool:
    """Say whether `given` is the plan that was `shown` under `digest`, warnings aside.

    A digest that an object only carries proves nothing: a copy, or the very object, may keep the one that was computed
    before something in it was changed, a consent say. So it is computed anew.
    """
    return type(given) is Plan and replace(given, warnings=shown.warnings) == shown and replace(shown).digest == digest
