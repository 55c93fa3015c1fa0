"""What a session keeps of the plans that it showed: the last ones, bounded; an older one sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.errors import StalePlan
from notebook_do.sessions import shown

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "export default {{ async fetch() {{ return new Response('{}'); }} }};"


def planned(session: nd.Session, text: str) -> nd.Plan:
    """Declare another source, and plan it."""
    nd.Worker("api", script=SOURCE.format(text))
    return session.plan()


def test_the_oldest_plan_is_forgotten_and_sends_nothing(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number; pressing its button says so, and carries the plan as it is now. The newest are deployed."""
    monkeypatch.setattr(shown, "MOST_PLANS", 2)
    session = nd.session("shown")
    plans = [planned(session, text) for text in "abc"]
    with pytest.raises(StalePlan, match=f"plan {plans[0].digest} was forgotten, as many others were shown") as caught:
        session.deploy(plans[0])
    assert caught.value.plan is not None
    assert caught.value.plan.digest == plans[2].digest
    assert session.status() is not None
    assert session.deploy(plans[2]).ok


def test_large_plans_are_bounded_by_their_code(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the bytes of code; the newest is kept, however large it is."""
    monkeypatch.setattr(shown, "MOST_BYTES", 10_000)
    session = nd.session("shown")
    first, second = (planned(session, letter * 20_000) for letter in "ab")
    with pytest.raises(StalePlan, match="was forgotten"):
        session.deploy(first)
    assert session.deploy(second).ok


def test_a_plan_that_is_made_again_is_known_again(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest names what is sent: shown again, it may be sent again. A plan of nobody is no forgotten one."""
    monkeypatch.setattr(shown, "MOST_PLANS", 1)
    session = nd.session("shown")
    first = planned(session, "a")
    planned(session, "b")
    assert planned(session, "a").digest == first.digest
    assert session.deploy(first).ok
    with pytest.raises(StalePlan, match="was not made by this session"):
        nd.session("other").deploy(first)
