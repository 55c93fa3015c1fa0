"""A shell while an interrupted upload is not known yet: the plan says so, and a deploy that must wait is no success."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from test_controller import Recorder, pressed, raising, said
from test_magics import declare, run

from notebook_do.errors import DeployError, StalePlan
from notebook_do.plan.plan import Undecided
from notebook_do.sessions.opening import current
from notebook_do.state.journal import Intent, Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

    from notebook_do.plan.plan import Plan


def interrupt(seconds_ago: float = 5.0) -> None:
    """Leave what a killed kernel leaves: an intent of which nothing is live."""
    intent = Intent(
        op="0123456789abcdef",
        kind="upload",
        script_name="my-worker-dev",
        worker="my-worker",
        summary="create Worker my-worker-dev",
        serial=0,
        sent_at=time.time() - seconds_ago,
    )
    with current().state.lock():
        Journal(current().state.journal_path).begin(intent)


def test_the_plan_says_it_and_a_deploy_waits(
    ip: InteractiveShell, cloud: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 11.4: the plan shows `not known yet` and until when; approved or in advance, nothing is deployed.

    With `cas-only` the sender may be alive, so that not even a local Cloudflare can tell at once.
    """
    run(ip, "%durable session tour --lock cas-only --as session")
    declare(ip)
    interrupt()
    run(ip, "%durable plan")
    shown = capsys.readouterr().out
    assert "Not known yet" in shown
    assert "Worker my-worker-dev: create Worker my-worker-dev: an earlier deploy was interrupted" in shown
    assert "%durable plan looks again" in " ".join(shown.split())
    assert "live as declared" not in shown
    with pytest.raises(DeployError, match="not known yet, so nothing can be deployed until then"):
        run(ip, f"%durable deploy --approve {current().plan().digest}")
    current().auto_approve = True
    with pytest.raises(DeployError, match="Worker my-worker-dev: create Worker my-worker-dev"):
        run(ip, "%durable deploy")


def test_a_local_cloudflare_decides_at_once(ip: InteractiveShell, cloud: Path) -> None:
    """On the local target nobody waits ten minutes: the server says that no such request is under way."""
    declare(ip)
    interrupt(seconds_ago=0.0)
    plan = current().plan()
    assert plan.undecided == ()
    assert any("interrupted before it happened" in warning for warning in plan.warnings)
    assert current().deploy(plan)["my-worker"].fetch("/").json()["n"] == 1


def test_after_ten_minutes_it_goes_on(ip: InteractiveShell, cloud: Path) -> None:
    """Issue 11.4: once it is decided that it did not happen, the plan offers it anew and says what became of it."""
    declare(ip)
    interrupt(seconds_ago=601)
    plan = current().plan()
    assert plan.undecided == ()
    assert plan.steps
    assert any("interrupted before it happened" in warning for warning in plan.warnings)


def test_the_button_says_that_it_waits(make_plan: Callable[..., Plan]) -> None:
    """Issue 11.4: a pressed plan that is replaced by one that must wait is not "nothing is left to do"."""
    left: Any = (Undecided(worker="my-worker", script_name="my-worker-dev", detail="not known yet"),)
    stale = StalePlan("it is not known yet what became of this: create Worker my-worker-dev.")
    stale.plan = make_plan(steps=(), changes=(), undecided=left)
    record = said(pressed(Recorder(act=raising(stale)), make_plan()))
    assert "Until that is known, nothing can be deployed: %durable plan looks again." in record
    assert "Nothing is left" not in record
