"""Cancel while a deploy waits: it ends at once, says what is certain and what is not, and the next run ends it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from account_model import Account, Clock, client_of
from faults import FAULTS
from IPython.core.interactiveshell import InteractiveShell
from project import Project, worker_of
from sharing import thinned
from test_faults import ENDPOINTS, Weather, check_state, check_truth

from notebook_do.errors import DurableError
from notebook_do.notebook.shells import DeployLine
from notebook_do.notebook.views import text
from notebook_do.notebook.widgets.panel import DeployPanel
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from notebook_do.deploy.result import DeployResult, Event
    from notebook_do.plan.plan import Plan

DECLARED = worker_of("host", {"a": "A"}, crons=("0 * * * *",)) + worker_of("guest", {}, uses=("a",), url=False)
USED = tuple(name for name in ENDPOINTS if name not in {"delete", "read settings"})
"""What a deploy of these Workers asks, when nothing goes well."""


class Impatient:
    """A person who presses Cancel as soon as a wait is shown, and notes when it was over."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.waits, self.pressed = clock, list[str](), 0.0

    def see(self, event: Event) -> None:
        """Look at what is shown."""
        if event.kind == "waiting":
            self.waits.append(event.text)
            self.pressed = self.pressed or self.clock.now

    def cancel(self) -> bool:
        """Say whether it was pressed."""
        return self.pressed > 0


@pytest.mark.parametrize(("fault", "endpoint"), thinned(FAULTS, USED, of=5))
def test_f36_f42_cancelled_in_any_wait(tmp_path: Path, fault: str, endpoint: str) -> None:
    """F36, F42: Cancel in the wait after any fault ends it within 200 ms, tells no lie, and one more run ends it.

    What may have arrived is uncertain, never "not done"; its intent stays open, so the next plan looks first.
    """
    account, state, clock = Account(), StateFile(tmp_path / "s" / "state.json"), Clock()
    person = Impatient(clock)
    weather = Weather(ENDPOINTS[endpoint], FAULTS[fault], 1000)
    project = Project(state, lambda: client_of(account, weather, clock), DECLARED)

    async def live_through() -> None:
        weather.left = 0
        plan = await project.plan()
        weather.left = 1000
        try:
            await project.deploy(plan, emit=person.see, cancel=person.cancel)
        except DurableError as error:
            check_truth(error, account, state)
        if person.waits:
            assert clock.now - person.pressed < 0.2
        weather.left = 0
        plan = await project.plan()
        assert not plan.refusals, plan.refusals
        if plan.steps:
            await project.deploy(plan)
        assert (await project.plan()).steps == ()

    asyncio.run(live_through())
    check_state(account, state)
    applied = [str(m) for m in account.migrations_applied]
    assert len(applied) == len(set(applied)) == 1


class OnModel:
    """A session in front of the account model, under a rain of 429 that asks to wait 7 s."""

    def __init__(self, path: Path) -> None:
        self.account, self.clock = Account(), Clock()
        self.weather = Weather(ENDPOINTS["upload"], FAULTS["429 in seconds"], 0)
        state = StateFile(path / "s" / "state.json")
        self.project = Project(state, lambda: client_of(self.account, self.weather, self.clock), DECLARED)
        self.made = asyncio.run(self.project.plan())
        self.weather.left = 1

    def deploy(self, plan: Plan, *, emit: Any, cancel: Any = None, **_: Any) -> DeployResult:
        """Deploy, whatever was confirmed."""
        return asyncio.run(self.project.deploy(plan, emit=emit, cancel=cancel or (lambda: False)))


def press(session: OnModel, see: Callable[[DeployPanel, str], None]) -> DeployPanel:
    """Press Deploy in a real panel and wait for its end; `see` looks at each state of the steps."""
    panel = DeployPanel(session, session.made)  # type: ignore[arg-type]
    panel.steps.observe(lambda change: see(panel, change["new"]), "value")
    panel.button.click()
    for thread in threading.enumerate():
        if thread.name == "notebook-do-deploy":
            thread.join(60)
    return panel


def test_f36_the_panel_counts_down_and_goes_on(tmp_path: Path) -> None:
    """F36: while Cloudflare asks to wait, the panel shows the seconds that are left; then the deploy goes on."""
    session, shown = OnModel(tmp_path), list[str]()
    press(session, lambda _, html: shown.append(html))
    for left in range(7, 0, -1):
        row = [html for html in shown if f">waits {left} s<" in html]
        assert any("Cloudflare asks for a pause (429), then it is tried again (2 of 4)" in html for html in row), shown
    assert set(session.account.scripts) == {"host", "guest"}


def test_f36_cancel_in_the_panel_ends_the_wait(tmp_path: Path) -> None:
    """F36: Cancel while the panel counts down ends it; what may have happened is called uncertain."""
    session = OnModel(tmp_path)

    def cancel_at_5(panel: DeployPanel, html: str) -> None:
        if "waits 5 s" in html:
            panel.stop.click()

    before = session.clock.now
    panel = press(session, cancel_at_5)
    assert session.clock.now - before < 2.2
    assert not session.account.scripts
    said = " ".join(text.render(panel.controller.document).split())
    assert "Whether step 1 happened is not known." in said
    assert "cancelled while waiting" in said
    session.project.found.clear()
    assert asyncio.run(session.project.run()).ok
    assert [o.status for o in session.project.found] == ["not done"]


def test_f36_a_terminal_shows_each_wait_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F36: where no line can be replaced, a wait is one line and not one each second."""
    session = OnModel(tmp_path)
    line = DeployLine(InteractiveShell(), "Deploying.")
    session.deploy(session.made, emit=line)
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("waits 7 s: Cloudflare asks for a pause (429), then it is tried again (2 of 4)") == 1
    assert told.count("waits") == 1
