"""The Deploy panel with real widgets: what is pressed, what is seen."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.deploy.result import DeployResult, Event, Outcome
from notebook_do.errors import StalePlan
from notebook_do.notebook.shells import event_tone
from notebook_do.notebook.views.blocks import Tone
from notebook_do.notebook.widgets.panel import DeployPanel

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.plan.plan import Plan


class Recorder:
    """A session that notes what it is asked to deploy, and then does what the test wants."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self.act, self.sent = act, list[Any]()

    def deploy(self, plan: Plan, *, confirm: Any, emit: Any, cancel: Any) -> Any:
        """Note the plan, then act."""
        self.sent.append((plan, tuple(confirm)))
        return self.act(emit=emit, cancel=cancel)


def succeed(*, emit: Callable[[Event], None], **_: Any) -> DeployResult:
    """Do two steps."""
    for index in (1, 2):
        emit(Event(kind="step", index=index, total=2, text=f"step number {index}"))
        emit(Event(kind="done", index=index, total=2, text=f"step number {index}"))
    done = tuple(Outcome(text=f"step number {n}", status="done") for n in (1, 2))
    return DeployResult(plan_digest="d", outcomes=done, namespaces={"counter": "ab" * 16}, requests=3)


def panel_of(plan: Plan, act: Callable[..., Any] = succeed) -> tuple[DeployPanel, Recorder]:
    """Make a panel on a recording session."""
    session = Recorder(act)
    return DeployPanel(session, plan), session  # type: ignore[arg-type]


def field_of(panel: DeployPanel) -> Any:
    """Give the panel's first confirmation field."""
    return panel.consents.children[1]


def test_the_button_says_what_it_does_and_where(make_plan: Callable[..., Plan]) -> None:
    """Verb, count, stage and target are the button's own text."""
    panel, _ = panel_of(make_plan())
    assert panel.button.description == "Deploy 3 changes to dev on local"
    assert panel.button.button_style == "primary"
    assert not panel.button.disabled


def test_showing_a_panel_sends_nothing(make_plan: Callable[..., Plan]) -> None:
    """Only a press sends."""
    panel, session = panel_of(make_plan())
    panel._repr_mimebundle_()
    assert session.sent == []


def test_a_press_deploys_once_and_shows_the_result(make_plan: Callable[..., Plan]) -> None:
    """The button is off at once, and stays off; the result has the namespace id."""
    plan = make_plan()
    panel, session = panel_of(plan)
    panel.button.click()
    assert panel.button.disabled
    assert panel.controller.wait(10)
    panel.button.click()
    assert panel.controller.wait(10)
    assert [sent is plan for sent, _ in session.sent] == [True]
    assert panel.button.disabled
    assert (panel.bar.value, panel.bar.max, panel.bar.bar_style) == (2, 2, "success")
    assert "ab" * 16 in panel.outcome.value


def test_the_button_waits_for_the_typed_phrase(deletion: Plan) -> None:
    """A deletion is dangerous to look at, and off until its phrase stands in the field."""
    panel, session = panel_of(deletion)
    assert (panel.button.button_style, panel.button.disabled) == ("danger", True)
    field_of(panel).value = "destroy counter"
    assert panel.button.disabled
    field_of(panel).value = "destroy counter abababab"
    assert not panel.button.disabled
    panel.button.click()
    assert panel.controller.wait(10)
    assert [confirm for _, confirm in session.sent] == [("destroy counter abababab",)]
    assert "12 stored objects" in panel.consents.children[0].value


def test_an_error_is_seen_in_the_panel(make_plan: Callable[..., Plan]) -> None:
    """A callback's exception would be invisible; here it is an alert with its details folded."""

    def fail(**_: Any) -> Any:
        raise KeyError("<img src=x onerror=alert(1)>")

    panel, _ = panel_of(make_plan(), fail)
    panel.button.click()
    assert panel.controller.wait(10)
    assert 'role="alert"' in panel.outcome.value
    assert "KeyError" in panel.outcome.value
    assert "<img" not in panel.outcome.value
    assert panel.button.disabled


def test_a_stale_plan_is_shown_anew_with_a_button_of_its_own(make_plan: Callable[..., Plan]) -> None:
    """The old button leads nowhere; the new plan stands in the panel; nothing was sent for it yet."""
    stale = StalePlan("the script changed.")
    stale.plan = make_plan(stage="next")

    def fail(**_: Any) -> Any:
        raise stale

    panel, session = panel_of(make_plan(), fail)
    old = panel.button
    old.click()
    assert panel.controller.wait(10)
    assert "Nothing was sent" in panel.plan_now.value
    assert stale.plan.digest in panel.plan_now.value
    assert panel.button is not old
    assert panel.button.description == "Deploy 3 changes to next on local"
    assert not panel.button.disabled
    old.click()
    assert panel.controller.wait(10)
    assert len(session.sent) == 1


def test_cancel_is_there_while_it_runs_and_only_then(make_plan: Callable[..., Plan]) -> None:
    """Cancel asks the running deploy to stop before its next step."""
    inside, ended = threading.Event(), threading.Event()

    def run(*, emit: Callable[[Event], None], cancel: Callable[[], bool], **_: Any) -> DeployResult:
        emit(Event(kind="step", index=1, total=2, text="first"))
        inside.set()
        assert ended.wait(10)
        return DeployResult(plan_digest="d", outcomes=(Outcome(text="x", status="not done" if cancel() else "done"),))

    panel, _ = panel_of(make_plan(), run)
    assert panel.cancel.layout.display == "none"
    panel.button.click()
    assert inside.wait(10)
    assert panel.cancel.layout.display == ""
    panel.cancel.click()
    assert "Stopping before the next step" in panel.outcome.value
    ended.set()
    assert panel.controller.wait(10)
    assert panel.cancel.layout.display == "none"
    assert "Stopped before the end" in panel.outcome.value


def test_a_newer_panel_switches_the_older_off(make_plan: Callable[..., Plan]) -> None:
    """Two buttons of one session can never both be pressed."""
    first, session = panel_of(make_plan())
    second = DeployPanel(session, make_plan())  # type: ignore[arg-type]
    first.button.click()
    assert session.sent == []
    assert first.button.disabled
    assert "A newer plan" in first.outcome.value
    second.button.click()
    assert second.controller.wait(10)
    assert len(session.sent) == 1


@pytest.mark.parametrize("secret", ["CLOUDFLARE_API_TOKEN"])
def test_no_trait_of_any_widget_holds_a_token(
    make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """Widget state is saved into notebooks in clear."""
    monkeypatch.setenv(secret, "s3cr3t-t0ken")
    panel, _ = panel_of(make_plan(target="cloudflare"))
    panel.button.click()
    assert panel.controller.wait(10)
    states = [str(widget.get_state()) for widget in _all(panel.widget)]
    assert len(states) > 8
    assert not any("s3cr3t-t0ken" in state for state in states)


def _all(widget: Any) -> list[Any]:
    return [widget, *(inner for child in getattr(widget, "children", ()) for inner in _all(child))]


def test_a_hundred_clicks_at_once_send_one_plan(make_plan: Callable[..., Plan]) -> None:
    """However fast a mouse, or many front-ends on one kernel: one deploy."""
    panel, session = panel_of(make_plan())
    start = threading.Barrier(100)

    def click() -> None:
        start.wait()
        panel.button.click()

    threads = [threading.Thread(target=click) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert panel.controller.wait(10)
    assert len(session.sent) == 1
    assert panel.button.disabled


def test_a_wait_that_cloudflare_asks_for_counts_down_in_the_panel(make_plan: Callable[..., Plan]) -> None:
    """Each second is seen, beside Cancel, and is announced as a status."""
    seen = []

    def wait(*, emit: Callable[[Event], None], **_: Any) -> DeployResult:
        emit(Event(kind="step", index=1, total=2, text="create Worker w"))
        for left in (3, 2, 1):
            emit(Event(kind="waiting", index=1, total=2, text=f"Cloudflare asks to wait: {left} s left"))
            seen.append((panel.step.value, panel.step.layout.display, panel.cancel.layout.display))
        return succeed(emit=emit)

    panel, _ = panel_of(make_plan(), wait)
    panel.button.click()
    assert panel.controller.wait(10)
    for left, (value, shown, cancel) in zip((3, 2, 1), seen, strict=True):
        assert f"step 1 of 2: Cloudflare asks to wait: {left} s left" in value
        assert 'role="status"' in value
        assert (shown, cancel) == ("", "")


@pytest.mark.parametrize(
    ("text", "tone"),
    [("2 done", Tone.ADD), ("1 not done", Tone.ALERT), ("1 done, 1 uncertain", Tone.ALERT)],
)
def test_only_a_whole_deploy_is_a_success(text: str, tone: Tone) -> None:
    """The last word of a deploy that left a step undone bears no sign of success."""
    assert event_tone(Event(kind="finished", index=1, total=1, text=text)) is tone
