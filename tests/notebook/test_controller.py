"""The Deploy button's logic: one press, one plan, and whatever happens is said."""

from __future__ import annotations

import threading
from collections.abc import Callable  # noqa: TC003 - a dataclass field
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.errors import DeployError, StalePlan, TargetError
from notebook_do.notebook.widgets.panel import DeployController, Phase

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan


@dataclass
class Result:
    """What the controller reads of a deploy result."""

    ok: bool = True


@dataclass(eq=False)
class Recorder:
    """A session that notes what it is asked to deploy, and then does what the test wants."""

    act: Callable[..., Any] = lambda **_: Result()
    sent: list[tuple[Plan, tuple[str, ...]]] = field(default_factory=list)

    def deploy(self, plan: Plan, *, confirm: Any, emit: Any, cancel: Any) -> Any:
        """Note the plan, then act."""
        self.sent.append((plan, tuple(confirm)))
        return self.act(emit=emit, cancel=cancel)


def raising(error: BaseException) -> Callable[..., Any]:
    """Give an act that fails."""

    def act(**_: Any) -> Any:
        raise error

    return act


def pressed(session: Any, plan: Plan) -> DeployController:
    """Press once and wait for the end."""
    controller = DeployController(session, plan)
    assert controller.press()
    assert controller.wait(10)
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
    session = Recorder(act=lambda **_: hold.wait(10) and Result())
    controller = DeployController(session, make_plan())  # type: ignore[arg-type]
    started: list[bool] = []
    threads = [threading.Thread(target=lambda: started.append(controller.press())) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    hold.set()
    assert controller.wait(10)
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
    assert controller.wait(10)
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
    assert "Nothing was sent" in controller.message
    assert not controller.press(generation=0)
    session.act = lambda **_: Result()
    assert controller.press(generation=1)
    assert controller.wait(10)
    assert session.sent[-1][0] is new


def test_typed_phrases_do_not_carry_over_to_another_plan(deletion: Plan) -> None:
    """A consent belongs to the plan that was read."""
    stale = StalePlan("12 objects became 13.")
    stale.plan = deletion
    session = Recorder(act=raising(stale))
    controller = DeployController(session, deletion)  # type: ignore[arg-type]
    controller.type("destroy counter abababab", "destroy counter abababab")
    assert controller.press()
    assert controller.wait(10)
    assert controller.missing == ("destroy counter abababab",)


@pytest.mark.parametrize(
    ("error", "phase", "details"),
    [
        (TargetError("nobody answers."), Phase.READY, False),
        (DeployError("step 2 is uncertain."), Phase.FAILED, False),
        (KeyError("bug"), Phase.FAILED, True),
        (KeyboardInterrupt(), Phase.FAILED, True),
    ],
)
def test_every_error_is_said(make_plan: Callable[..., Plan], error: BaseException, phase: Phase, details: bool) -> None:  # noqa: FBT001
    """What was not sent may be pressed again; after anything else the plan is spent; a bug shows its traceback."""
    controller = pressed(Recorder(act=raising(error)), make_plan())
    assert controller.phase is phase
    assert controller.alert
    assert str(error) in controller.message
    assert bool(controller.details) is details


def test_cancel_is_asked_between_steps(make_plan: Callable[..., Plan]) -> None:
    """Cancel reaches the running deploy, which ends as not complete."""
    inside, cancelled = threading.Event(), []

    def act(*, cancel: Callable[[], bool], **_: Any) -> Result:
        inside.set()
        while not cancel():
            pass
        cancelled.append(cancel())
        return Result(ok=False)

    controller = DeployController(Recorder(act=act), make_plan())  # type: ignore[arg-type]
    assert controller.press()
    assert inside.wait(10)
    controller.cancel()
    assert controller.wait(10)
    assert cancelled == [True]
    assert controller.phase is Phase.FAILED


def test_an_older_panel_is_switched_off(make_plan: Callable[..., Plan]) -> None:
    """A retired button starts nothing, and says why."""
    session = Recorder()
    controller = DeployController(session, make_plan())  # type: ignore[arg-type]
    controller.retire("newer below")
    assert not controller.press()
    assert controller.message == "newer below"


def test_an_error_while_keeping_the_result_is_said(make_plan: Callable[..., Plan]) -> None:
    """What runs after the deploy cannot hide that it failed."""
    controller = DeployController(Recorder(), make_plan(), finished=raising(ValueError("no such name")))  # type: ignore[arg-type]
    controller.finished = lambda _: (_ for _ in ()).throw(ValueError("no such name"))
    assert controller.press()
    assert controller.wait(10)
    assert "no such name" in controller.message
