"""Finds the script's own faults among Cloudflare's refusals, and the cell's line that each is about.

And says of a refusal that need not name it (11000) which queue it can be about.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from notebook_do.errors import ApiError, DeployError, SourceError
from notebook_do.plan.workers.bindings import bound_queues

if TYPE_CHECKING:
    from notebook_do.errors import DurableError
    from notebook_do.model.steps import Step

SCRIPT_FAULTS = frozenset({10021, 10070, 10061, 10064, 10068})
_ABSENT_QUEUE = 11000
_MISSING_CLASS = frozenset({"config_references_nonexistent_class", "config_export_not_in_code"})
"""The scenarios of 100402 (exports reconciliation) that the script is to blame for: it does not export the class."""


def blamed(error: DurableError, step: Step) -> DurableError:
    """Give the SourceError of an upload that was refused for what is in the script; any other error as it is."""
    from notebook_do.model.steps import Upload

    if not (isinstance(step, Upload) and isinstance(error, ApiError)):
        return error
    if error.code == _ABSENT_QUEUE and (queues := sorted(bound_queues(step.bindings))):
        return DeployError(
            f"{error} Worker {step.worker} sends to {', '.join(queues)}: declare the Worker that consumes it, or make "
            "the queue (wrangler queues create NAME), and plan again."
        )
    if error.code not in SCRIPT_FAULTS and not error.scenarios & _MISSING_CLASS:
        return error
    place = re.search(rf"\bat {re.escape(step.main_module)}:(\d{{1,9}}):\d{{1,9}}", error.message)
    line = step.line
    if place and step.body_line is not None:
        line = step.body_line + int(place[1]) - 1
    return SourceError(f"Worker {step.worker}: {error.message} [code {error.code}]", line=line)
