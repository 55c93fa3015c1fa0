"""Why a deploy stopped or sent nothing: with the cell that is to blame, from a real shell and the local Cloudflare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import notebook_do as nd
from notebook_do.errors import SourceError, StalePlan

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = """export default {
  fetch() { return new Response("hi"); },
};
missing.call();
"""


def test_a_failure_has_the_message_alone_and_the_lines_of_the_source(cloud: Path, ip: Any) -> None:
    """Issue 16, views 7: what was answered, Cloudflare's code, the line of the cell with a caret, and the cell."""
    session = nd.session("tour")
    ip.run_cell(f"%%durable worker api\n{BROKEN}", store_history=True)
    plan = session.plan()
    with pytest.raises(SourceError) as stopped:
        session.deploy(plan)
    result = stopped.value.result
    failure = result.failure
    assert (failure.index, failure.code, failure.worker, failure.line) == (0, 10021, "api", 5)
    assert failure.message.startswith("Worker api: Uncaught ReferenceError: missing is not defined")
    assert "[code" not in failure.message
    assert "Not done" not in failure.message
    assert failure.place == f"line 5 of {failure.cell}"
    assert failure.cell == "cell [1]"
    assert ">   5 | missing.call();" in failure.excerpt
    assert failure.excerpt.splitlines()[-1].strip("| ") in {"^", ""} or "^" in failure.excerpt
    assert result.outcomes[0].started is not None
    assert all(one.started is None for one in result.outcomes[1:]), "what was not reached has no beginning"


def test_a_stale_plan_names_the_cell_that_was_run(cloud: Path, ip: Any) -> None:
    """Issue 16, views 7: why nothing was sent, with the cell, the plan and the time; a file is named by its Worker."""
    session = nd.session("tour")
    ip.run_cell("%durable worker api --entrypoint ./api.js", store_history=True)
    (cloud / "api.js").write_text(BROKEN)
    ip.run_cell("%durable worker api --entrypoint ./api.js", store_history=True)
    plan = session.plan()
    (cloud / "api.js").write_text(BROKEN.replace("missing.call();", ""))
    with pytest.raises(
        StalePlan, match=rf"^a file of Worker api was edited after plan {plan.digest} was shown \(\d\d:"
    ):
        session.deploy(plan)
    plan = session.plan()
    ip.run_cell("%durable worker api --entrypoint ./api.js --var MODE=slow", store_history=True)
    with pytest.raises(StalePlan, match=r"^cell \[3\] was run after plan .* UTC\); nothing was sent\.$"):
        session.deploy(plan)
    plan = session.plan()
    session.forget("worker", "api")
    with pytest.raises(StalePlan, match="the declaration of Worker api was forgotten after plan"):
        session.deploy(plan)
