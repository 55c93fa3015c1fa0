"""What an error of a declaration says to do next, where the plan was asked for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sharing import COUNTER

import notebook_do as nd
from notebook_do.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_worker_that_cannot_be_bundled_names_the_way_to_plan_without_it(cloud: Path) -> None:
    """A destroy of another Worker says that nothing was sent, and the line that it gives makes the plan possible."""
    del cloud
    session = nd.session("shop")
    counter = nd.DurableObjectNamespace("counter", class_name="Counter", protect=False)
    nd.Worker("api", script=COUNTER, bindings={"COUNTER": counter})
    session.deploy(session.plan())
    nd.Worker("api2", script='import x from "lodash"; export default { fetch() { return x; } };')
    with pytest.raises(SourceError, match=r"^Worker api2: .*lodash") as caught:
        session.destroy("api")
    below = caught.value._render_traceback_()[-1]
    assert below.startswith("Nothing was sent. ")
    assert "`%durable rm worker api2`" in below
    assert session.forget("worker", "api2")
    assert [consent.stable_id for consent in session.destroy("api").consents] == ["counter"]
