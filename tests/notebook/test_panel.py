"""The Deploy panel with real widgets: what is pressed, what is seen."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.deploy.result import DeployResult, Event, Outcome
from notebook_do.errors import StalePlan
from notebook_do.model.steps import DeleteScript
from notebook_do.notebook.views import html, text
from notebook_do.notebook.widgets.panel import DeployPanel
from notebook_do.plan.plan import Action, Change

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
    return DeployResult(plan_digest="1234567890abcdef", outcomes=done, requests=3)


def panel_of(plan: Plan, act: Callable[..., Any] = succeed) -> tuple[DeployPanel, Recorder]:
    """Make a panel on a recording session."""
    session = Recorder(act)
    return DeployPanel(session, plan), session  # type: ignore[arg-type]


def field_of(panel: DeployPanel) -> Any:
    """Give the panel's first confirmation field."""
    return panel.phrases.children[0].children[0]


def said(panel: DeployPanel) -> str:
    """Give the record that stands above the panel."""
    return " ".join(text.render(panel.controller.document).split())


def shown(panel: DeployPanel) -> list[str]:
    """Give the names of the parts that are to be seen."""
    if panel.widget.layout.display == "none":
        return []
    names = ("phrases", "button", "stop", "again", "progress")
    return [name for name in names if getattr(panel, name).layout.display == ""]


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


def test_a_press_deploys_once_and_the_widget_ends_empty(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, views 7: the button is off at once; after the end the steps stand in the record, nothing in here."""
    plan = make_plan()
    panel, session = panel_of(plan)
    panel.button.click()
    assert panel.button.disabled
    assert panel.controller.wait(60)
    panel.button.click()
    assert panel.controller.wait(60)
    assert [sent is plan for sent, _ in session.sent] == [True]
    assert panel.button.disabled
    assert shown(panel) == []
    assert panel.steps.value == ""
    assert said(panel).startswith("✓ Deployed, plan 12345678. 2 steps, 3 requests")
    assert "done step number 2" in said(panel)


def test_the_button_waits_for_the_typed_phrase(deletion: Plan) -> None:
    """Issue 16, views 7: destroying says destroy; it is off until its phrase stands in the field; nothing else asks."""
    panel, session = panel_of(deletion)
    assert panel.button.description == "Destroy 1 namespace (12 objects) in dev on local"
    assert "Deploy" not in said(panel)
    assert "12" not in panel.phrases.children[0].children[1].value, "the loss is said once, in the plan"
    assert field_of(panel).description == "Type this to allow it"
    assert (panel.button.button_style, panel.button.disabled) == ("", True), "no colour where it cannot be pressed"
    field_of(panel).value = "destroy counter"
    assert panel.button.disabled
    assert "as asked" not in panel.phrases.children[0].children[1].value
    field_of(panel).value = "destroy counter abababab"
    assert "as asked" in panel.phrases.children[0].children[1].value
    assert (panel.button.button_style, panel.button.disabled) == ("danger", False)
    panel.button.click()
    assert panel.controller.wait(60)
    assert [confirm for _, confirm in session.sent] == [("destroy counter abababab",)]


def test_an_error_is_seen_in_the_record(make_plan: Callable[..., Plan]) -> None:
    """A callback's exception would be invisible; here it is an alert with its details folded."""

    def fail(**_: Any) -> Any:
        raise KeyError("<img src=x onerror=alert(1)>")

    panel, _ = panel_of(make_plan(), fail)
    panel.button.click()
    assert panel.controller.wait(60)
    drawn = html.render(panel.controller.document)
    assert 'role="alert"' in drawn
    assert "KeyError" in drawn
    assert "<img" not in drawn
    assert shown(panel) == ["again"]


def test_a_stale_plan_is_shown_anew_with_a_button_of_its_own(make_plan: Callable[..., Plan]) -> None:
    """The old button leads nowhere; the new plan stands in the panel; nothing was sent for it yet."""
    stale = StalePlan("the script changed.")
    stale.plan = make_plan(stage="next")

    def fail(**_: Any) -> Any:
        raise stale

    panel, session = panel_of(make_plan(), fail)
    old = panel.button
    old.click()
    assert panel.controller.wait(60)
    assert "Nothing was sent" in said(panel)
    assert stale.plan.digest in said(panel)
    assert panel.button is not old
    assert panel.button.description == "Deploy 3 changes to next on local"
    assert not panel.button.disabled
    old.click()
    assert panel.controller.wait(60)
    assert len(session.sent) == 1


def test_cancel_is_there_while_it_runs_and_only_then(make_plan: Callable[..., Plan]) -> None:
    """Cancel asks the running deploy to stop before its next step."""
    inside, ended = threading.Event(), threading.Event()

    def run(*, emit: Callable[[Event], None], cancel: Callable[[], bool], **_: Any) -> DeployResult:
        emit(Event(kind="step", index=1, total=2, text="first"))
        inside.set()
        assert ended.wait(60)
        ending = Outcome(text="x", status="not done" if cancel() else "done")
        return DeployResult(plan_digest="d", outcomes=(ending,), cancelled=cancel())

    panel, _ = panel_of(make_plan(), run)
    assert shown(panel) == ["button"]
    panel.button.click()
    assert inside.wait(60)
    assert shown(panel) == ["stop", "progress"]
    assert panel.stop.description == "Stop before the next step"
    panel.stop.click()
    assert (panel.stop.description, panel.stop.disabled) == ("Stops when this step is done", True)
    assert said(panel).startswith("~ Deploying since 2")
    ended.set()
    assert panel.controller.wait(60)
    assert shown(panel) == ["again"]
    assert said(panel).startswith("~ Stopped on your request before the first step")


def test_a_newer_panel_switches_the_older_off(make_plan: Callable[..., Plan]) -> None:
    """Two buttons of one session can never both be pressed."""
    first, session = panel_of(make_plan())
    second = DeployPanel(session, make_plan(), cell="cell [7]")  # type: ignore[arg-type]
    first.button.click()
    assert session.sent == []
    assert shown(first) == []
    assert said(first) == "= This plan was replaced by the one of cell [7]; nothing was sent from here."
    second.button.click()
    assert second.controller.wait(60)
    assert len(session.sent) == 1


@pytest.mark.parametrize("secret", ["CLOUDFLARE_API_TOKEN"])
def test_no_trait_of_any_widget_holds_a_token(
    make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """Widget state is saved into notebooks in clear."""
    monkeypatch.setenv(secret, "s3cr3t-t0ken")
    panel, _ = panel_of(make_plan(target="cloudflare"))
    panel.button.click()
    assert panel.controller.wait(60)
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
    assert panel.controller.wait(60)
    assert len(session.sent) == 1
    assert panel.button.disabled


def test_a_wait_that_cloudflare_asks_for_counts_down_in_its_row(make_plan: Callable[..., Plan]) -> None:
    """Issue 16, views 7: each second is seen in the row of the step, beside the stop; the record does not count."""
    seen, records = [], list[str]()

    def wait(*, emit: Callable[[Event], None], **_: Any) -> DeployResult:
        emit(Event(kind="step", index=1, total=2, text="create Worker w"))
        for left in (3, 2, 1):
            emit(Event(kind="waiting", index=1, total=2, text=f"waits {left} s: Cloudflare asks for a pause (2 of 5)"))
            seen.append((panel.steps.value, shown(panel)))
            records.append(said(panel))
        return succeed(emit=emit)

    panel, _ = panel_of(make_plan(), wait)
    panel.button.click()
    assert panel.controller.wait(60)
    for left, (value, parts) in zip((3, 2, 1), seen, strict=True):
        assert f">waits {left} s<" in value
        assert "create Worker my-worker-dev: Cloudflare asks for a pause (2 of 5)" in value
        assert parts == ["stop", "progress"]
    assert len(set(records)) == 1


def test_only_production_and_destruction_are_red(make_plan: Callable[..., Plan], deletion: Plan) -> None:
    """Issue 16, views 7: the words and the colour of the button for each kind of plan."""
    names = {"target": "cloudflare", "stage": "production"}
    production = panel_of(make_plan(**names))[0].button
    assert production.description == "Deploy 3 changes to PRODUCTION on Cloudflare, account a1a1…a1a1"
    staging = panel_of(make_plan(**names | {"stage": "staging"}))[0].button
    assert staging.description == "Deploy 3 changes to staging on Cloudflare, account a1a1…a1a1"
    gone = (make_plan().steps[0], DeleteScript(worker="api", script_name="api-dev"))
    both = panel_of(
        make_plan(steps=gone, changes=(*deletion.changes, gone_worker(), other()), consents=deletion.consents)
    )
    assert (
        both[0].button.description
        == "Deploy 1 change and destroy 1 namespace (12 objects) and 1 Worker in dev on local"
    )
    field_of(both[0]).value = "destroy counter abababab"
    looks = [b.button_style for b in (production, staging, both[0].button, panel_of(make_plan())[0].button)]
    assert looks == ["danger", "primary", "danger", "primary"]


def gone_worker() -> Change:
    """Give the change of a Worker that is deleted."""
    return Change(action=Action.DELETE, kind="worker", id="api", worker="api", name="api-dev")


def other() -> Change:
    """Give a change of a Worker that stays."""
    return Change(action=Action.UPDATE, kind="code", id="desk", worker="desk", name="desk-dev")
