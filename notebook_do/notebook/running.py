"""The verbs that ask or change what runs, in a module of their own: `commands` loads it with the first of them.

A plan and a deploy load none of what these need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.errors import NotDeployed
from notebook_do.notebook import calling, changing, exploring, inspecting, logs
from notebook_do.notebook.views.blocks import Line, Tone
from notebook_do.notebook.views.documents import View
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.notebook.parsing import Call

ON_WHAT_RUNS: dict[str, Callable[[Call], Any]] = {
    "inspect": inspecting.inspect,
    "fetch": exploring.fetch,
    "call": calling.call,
    "map": calling.map_,
    "logs": logs.logs,
    "objects": exploring.objects,
    "values": exploring.values,
    "query": exploring.query,
    "object": changing.object_page,
    "put": changing.put,
    "delete": changing.delete,
    "execute": changing.execute,
    "alarm": changing.alarm,
    "wipe": changing.wipe,
    "snapshot": changing.snapshot,
    "restore": changing.restore,
}


def run(call: Call) -> Any:
    """Run such a verb. Where what it asks is not deployed yet, and the plan that does it waits, this is no mistake."""
    try:
        return ON_WHAT_RUNS[call.verb](call)
    except NotDeployed as first:
        # All cells of a new notebook are run at once, or a runbook up to its approval: the plan is read before this is.
        if not (waits := current().offered):
            raise
        said = f"Nothing was asked: {first.what} is not deployed yet. Plan {waits[:8]} above waits to be sent."
        return View((Line(said, Tone.SAME),), data={"waits": waits})
