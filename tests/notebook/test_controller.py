"""The Deploy button's logic: one press, one plan, and whatever happens is said."""

from __future__ import annotations

import threading
from collections.abc import Callable  # noqa: TC003 - a dataclass field
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.deploy.result import DeployResult, Failure, Outcome
from notebook_do.errors import DeployError, StalePlan, TargetError
from notebook_do.notebook.views import text
from notebook_do.notebook.widgets.controller import DeployController, Phase

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan


def ended(*endings: str, **more: Any) -> DeployResult:
    """Give the result of a deploy whose steps ended so."""
    outcomes = tuple(Outcome(text=f"step number {n}", status=e) for n, e in enumerate(endings, 1))  # type: ignore[arg-type]
    return DeployResult(plan_digest="1234567890abcdef", outcomes=outcomes, **more)


@dataclass(eq=False)
class Recorder:
    """A session that notes what it is asked to deploy, and then does what the test wants."""

    act: Callable[..., Any] = lambda **_: ended("done")
    sent: list[tuple[Plan, tuple[str, ...]]] = field(default_factory=list)

    again: Callable[[], Any] = lambda: None

    def deploy(self, plan: Plan, *, confirm: Any, emit: Any, cancel: Any) -> Any:
        """Note the plan, then act."""
        self.sent.append((plan, tuple(confirm)))
        return self.act(emit=emit, cancel=cancel)

    def plan(self, destroy: Any) -> Any:
        """Plan again."""
        del destroy
        return self.again()


def said(controller: DeployController) -> str:
    """Give the record as text."""
    return " ".join(text.render(controller.document).split())


def raising(error: BaseException) -> Callable[..., Any]:
    """Give an act that fails."""

    def act(**_: Any) -> Any:
        raise error

    return act


def pressed(session: Any, plan: Plan) -> DeployController:
    """Press once and wait for the end."""
    controller = DeployController(session, plan)
    assert controller.press()
    assert controller.wait(60)
    return controller


def test_one_press_sends_the_very_plan_once(make_plan: Callable[..., Plan]) -> None:
    """A second press of a deployed plan starts nothing."""
    session, plan = Recorder(), make_plan()
    controller = pressed(session, plan)
    assert controller.phase is Phase.DONE
    assert not controller.press()
    assert [sent is plan for sent, _ in session.sent] == [True]


def test_a_hundred_presses_at_once_send_one_plan(make_plan: Callable[..., Plan]) -> None:
    """Double clicks from any thread start one deploy."""
    hold = threading.Event()
    session = Recorder(act=lambda **_: hold.wait(60) and ended("done"))
    controller = DeployController(session, make_plan())  # type: ignore[arg-type]
    started: list[bool] = []
    threads = [threading.Thread(target=lambda: started.append(controller.press())) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    hold.set()
    assert controller.wait(60)
    assert started.count(True) == 1
    assert len(session.sent) == 1


def test_nothing_is_sent_before_every_phrase_is_typed(deletion: Plan) -> None:
    """A wrong phrase is no consent; the right one is passed on."""
    session = Recorder()
    controller = DeployController(session, deletion)  # type: ignore[arg-type]
    controller.type("destroy counter abababab", "destroy counter")
    assert not controller.press()
    controller.type("destroy counter abababab", "  destroy counter abababab ")
    assert controller.press()
    assert controller.wait(60)
    assert [confirm for _, confirm in session.sent] == [("destroy counter abababab",)]


def test_a_refused_plan_cannot_be_pressed(refused: Plan) -> None:
    """A refusal is not a question."""
    assert not DeployController(Recorder(), refused).press()  # type: ignore[arg-type]


def test_a_stale_plan_is_replaced_and_needs_its_own_press(make_plan: Callable[..., Plan]) -> None:
    """Nothing was sent; the new plan stands there, and a late second click on the old button does not send it."""
    stale, new = StalePlan("the script changed."), make_plan(stage="new")
    stale.plan = new
    session = Recorder(act=raising(stale))
    controller = pressed(session, make_plan())
    assert controller.plan is new
    assert controller.phase is Phase.READY
    assert said(controller).startswith(
        "~ Nothing was sent: the script changed. The plan as it is now needs its own press."
    )
    assert new.digest in said(controller), "the whole new plan stands there"
    assert not controller.press(generation=0)
    session.act = lambda **_: ended("done")
    assert controller.press(generation=1)
    assert controller.wait(60)
    assert session.sent[-1][0] is new


def test_typed_phrases_do_not_carry_over_to_another_plan(deletion: Plan) -> None:
    """A consent belongs to the plan that was read."""
    stale = StalePlan("12 objects became 13.")
    stale.plan = deletion
    session = Recorder(act=raising(stale))
    controller = DeployController(session, deletion)  # type: ignore[arg-type]
    controller.type("destroy counter abababab", "destroy counter abababab")
    assert controller.press()
    assert controller.wait(60)
    assert controller.missing == ("destroy counter abababab",)


@pytest.mark.parametrize(
    ("error", "phase", "line"),
    [
        (TargetError("nobody answers."), Phase.READY, "! Nothing was sent: nobody answers. = Not deployed yet."),
        (KeyError("bug"), Phase.ENDED, "! Stopped by an unexpected KeyError: 'bug', 2"),
        (KeyboardInterrupt(), Phase.ENDED, "! Stopped by an unexpected KeyboardInterrupt, 2"),
    ],
)
def test_every_error_is_recorded(make_plan: Callable[..., Plan], error: BaseException, phase: Phase, line: str) -> None:
    """What was not sent may be pressed again; after anything else the plan is spent; a bug shows its traceback."""
    controller = pressed(Recorder(act=raising(error)), make_plan())
    assert controller.phase is phase
    assert said(controller).startswith(line)
    assert ("Traceback" in said(controller)) is (phase is Phase.ENDED)


def test_a_deploy_that_stopped_is_recorded_step_by_step(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, views 7: counts, the message once, then the steps; what is left can be planned again."""
    error = DeployError("step number 2 is not done: no. Done: step number 1.")
    error.result = ended("done", "not done", failure=Failure(index=1, message="the account says no", code=10013))
    controller = pressed(Recorder(act=raising(error)), make_plan())
    assert controller.phase is Phase.ENDED
    assert controller.can_plan_again
    assert said(controller).startswith("! Stopped in step 2 of 2, plan 12345678. 1 step is done, 1 is not.")
    assert said(controller).count("the account says no") == 1
    assert "Cloudflare code 10013" in said(controller)
    assert "done step number 1" in said(controller)


def test_plan_again_shows_the_new_plan_in_the_same_place(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, views 7: below how the first press ended; its press sends it, and both stay in the record."""
    error = DeployError("stopped.")
    error.result = ended("done", "not done", failure=Failure(index=1, message="no"))
    new = make_plan(stage="next")
    session = Recorder(act=raising(error), again=lambda: new)
    controller = pressed(session, make_plan())
    assert not controller.press(), "what was spent is not sent again"
    assert controller.plan_again()
    assert controller.wait(60)
    assert (controller.phase, controller.plan, controller.generation) == (Phase.READY, new, 1)
    assert "Stopped in step 2 of 2" in said(controller)
    assert said(controller).endswith("waits for the button below. After a restart of the kernel, run this cell again.")
    session.act = lambda **_: ended("done", plan=new)
    assert controller.press(generation=1)
    assert controller.wait(60)
    assert session.sent[-1][0] is new
    assert "Stopped in step 2 of 2" in said(controller)
    assert new.digest in said(controller), "the plan that was sent stays, folded"
    assert "✓ Deployed 3 changes to next on local" in said(controller)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"steps": (), "changes": ()}, "Nothing is left to do."),
        (None, "No new plan could be made: TargetError: nobody answers."),
    ],
)
def test_plan_again_without_a_plan_says_so(make_plan: Callable[..., Plan], now: Any, words: str) -> None:
    """What ended stays recorded above; where no plan could be made, it can be tried again."""
    error = DeployError("stopped.")
    error.result = ended("done", "not done", failure=Failure(index=1, message="no"))

    def again() -> Plan:
        if now is None:
            raise TargetError("nobody answers.")
        return make_plan(**now)

    controller = pressed(Recorder(act=raising(error), again=again), make_plan())
    assert controller.plan_again()
    assert controller.wait(60)
    assert said(controller).startswith("! Stopped in step 2 of 2")
    assert said(controller).endswith(words)
    assert controller.can_plan_again is (now is None)


def test_cancel_is_asked_between_steps(make_plan: Callable[..., Plan]) -> None:
    """Cancel reaches the running deploy, which ends as not complete."""
    inside, cancelled = threading.Event(), []

    def act(*, cancel: Callable[[], bool], **_: Any) -> DeployResult:
        inside.set()
        while not cancel():
            pass
        cancelled.append(cancel())
        return ended("done", "not done", cancelled=True)

    controller = DeployController(Recorder(act=act), make_plan())  # type: ignore[arg-type]
    assert controller.press()
    assert inside.wait(60)
    controller.cancel()
    assert controller.stopping
    assert controller.wait(60)
    assert cancelled == [True]
    assert controller.phase is Phase.ENDED
    assert said(controller).startswith(
        "~ Stopped on your request after step 1 of 2, plan 12345678. 1 step is not done."
    )


def test_an_older_panel_is_switched_off(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, views 7: a retired button starts nothing, and the record says by which cell it was replaced."""
    session = Recorder()
    controller = DeployController(session, make_plan())  # type: ignore[arg-type]
    controller.retire("cell [12]")
    assert not controller.press()
    assert said(controller) == "= This plan was replaced by the one of cell [12]; nothing was sent from here."


def test_a_deploy_that_runs_is_retired_at_its_end(make_plan: Callable[..., Plan]) -> None:
    """A newer panel leaves a running deploy alone; what could be pressed after it cannot be."""
    hold, stale = threading.Event(), StalePlan("the script changed.")
    stale.plan = make_plan(stage="new")

    def act(**_: Any) -> Any:
        assert hold.wait(60)
        raise stale

    controller = DeployController(Recorder(act=act), make_plan())  # type: ignore[arg-type]
    assert controller.press()
    controller.retire("cell [3]")
    assert controller.phase is Phase.RUNNING
    hold.set()
    assert controller.wait(60)
    assert controller.phase is Phase.RETIRED
    assert not controller.press(generation=1)
    assert said(controller).endswith("replaced by the one of cell [3]; nothing more was sent from here.")


def test_an_error_while_keeping_the_result_is_said(make_plan: Callable[..., Plan]) -> None:
    """What runs after the deploy cannot hide that it failed, nor what the deploy did."""
    controller = DeployController(Recorder(), make_plan(), finished=raising(ValueError("no such name")))  # type: ignore[arg-type]
    controller.finished = lambda _: (_ for _ in ()).throw(ValueError("no such name"))
    assert controller.press()
    assert controller.wait(60)
    assert said(controller).startswith("✓ Deployed")
    assert "After the deploy: ValueError: no such name" in said(controller)
