"""Cancel while a deploy waits: it ends at once, says what is certain and what is not, and the next run ends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from account_model import Account, Clock, client_of
from faults import FAULTS
from project import Project, worker_of
from test_faults import ENDPOINTS, Weather, check_state, check_truth

from notebook_do.errors import DurableError
from notebook_do.state import StateFile

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.deploy import Event

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


@pytest.mark.parametrize("endpoint", USED)
@pytest.mark.parametrize("fault", FAULTS)
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
