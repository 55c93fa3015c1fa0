"""How long old code may answer: said of a plan and of a result, shorter on the local Cloudflare."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from plan_world import World, declare

from notebook_do.model import Json
from notebook_do.notebook.views.documents import bundle
from notebook_do.plan.workers.settings import update_notes

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan


def planned(*scripts: str, **options: Any) -> Plan:
    """Plan new Workers."""
    desired = declare({}, scripts=scripts)
    workers = tuple(replace(w, options=Json(options)) for w in desired.workers)
    return World().plan(replace(desired, workers=workers))


def test_the_default_delay_of_a_new_worker_is_said() -> None:
    """Plan and result on Cloudflare say it; on the local one, where new code answers at once, nothing is said of it."""
    steps = planned("w1", "w2").steps
    later = (
        "Code updates of w1, w2 are deferred (code_update_strategy): after the deploy old code may answer for up to "
        "300 s."
    )
    assert update_notes(steps, "cloudflare") == (later,)
    assert update_notes(steps, "local") == ()
    for drawn in bundle(replace(planned("w1"), target="cloudflare")).values():
        assert "old code may answer for up to 300 s" in " ".join(drawn.split())
    assert "old code" not in bundle(planned("w1"))["text/plain"]


@pytest.mark.parametrize("strategy", [{"mode": "immediate"}, {"mode": "deferred", "max_delay": 0}])
def test_what_is_handed_over_at_once_needs_no_word(strategy: dict[str, Any]) -> None:
    """A notebook that chose `immediate`, or no delay, reads nothing of it."""
    assert update_notes(planned("w", code_update_strategy=strategy).steps, "cloudflare") == ()


def test_a_delay_that_was_asked_for_is_said_on_the_local_target_too() -> None:
    """There it matters: what was asked for is not what happens here."""
    steps = planned("w", code_update_strategy={"mode": "deferred", "max_delay": 30}).steps
    here = (
        "Code updates of w are deferred (code_update_strategy): on Cloudflare old code may answer for up to 30 s; "
        "here new code answers at once."
    )
    assert update_notes(steps, "local") == (here,)
    many = planned(*(f"w{n}" for n in range(5))).steps
    assert "of 5 Workers are" in update_notes(many, "cloudflare")[0]
