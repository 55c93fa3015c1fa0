"""Whose fault a refused upload is, and what to do: of the script, on the line of its cell, of a queue, or of the form.

The runtime counts lines from where the script begins; a cell has the magic above it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from notebook_do.errors import ApiError, DeployError, SourceError
from notebook_do.model.steps import Upload
from notebook_do.plan.workers.bindings import bound_queues
from notebook_do.sources.cells import excerpt
from notebook_do.sources.esbuild import Position

if TYPE_CHECKING:
    from notebook_do.errors import DurableError
    from notebook_do.model.steps import Step

SCRIPT_FAULTS = frozenset({10021, 10070, 10061, 10064, 10068})
"""Refusals of what the script says or exports: it does not start, or lacks a class or a handler."""
_MISSING_CLASS = frozenset({"config_references_nonexistent_class", "config_export_not_in_code"})
"""The scenarios of 100402 (exports reconciliation) that are faults of the script: it does not export the class."""
_ABSENT_QUEUE = 11000
_TWO_FORMS = re.compile(r"\bexports\b.*\bmigrations\b|\bmigrations\b.*\bexports\b", re.DOTALL)
"""In what Cloudflare says of `migrations` for a Worker that uses `exports`; its very words are emulated."""


def with_line(error: DurableError, step: Step) -> DurableError:
    """Return the SourceError of an upload that was refused for what its script says, with the cell's line of it.

    The runtime counts lines from where the script begins. A refusal that need not name the queue (11000) gets the
    queues that it can be about. One of the form in which classes change gets the form to declare: reads show the form
    of a Worker by its classes, so that no plan knows it where none is left. Any other error is returned as it is.
    """
    if not (isinstance(step, Upload) and isinstance(error, ApiError)):
        return error
    if error.code == _ABSENT_QUEUE and (queues := sorted(bound_queues(step.bindings))):
        return DeployError(
            f"{error} Worker {step.worker} sends to {', '.join(queues)}: declare the Worker that consumes it, or make "
            f"the queue (npx wrangler queues create {queues[0]}), and plan again."
        )
    if step.migration and step.migration.wire == "migrations" and _TWO_FORMS.search(error.message):
        return DeployError(
            f"{error} Nothing live shows that of a Worker without classes: declare lifecycle='exports' on Worker "
            f"{step.worker} (`--lifecycle exports` in its cell), and plan again."
        )
    if error.code not in SCRIPT_FAULTS and not error.scenarios & _MISSING_CLASS:
        return error
    # Bounded digits: the text is Cloudflare's, and int() refuses more than 4,300 of them.
    place = re.search(rf"\bat {re.escape(step.main_module)}:(\d{{1,9}}):(\d{{1,9}})", error.message)
    line = step.line
    if place and step.body_line is not None:
        line = step.body_line + int(place[1]) - 1
    fault = SourceError(f"Worker {step.worker}: {error.message} [code {error.code}]", line=line)
    fault.code = error.code
    if place and step.body_line is not None:
        fault.excerpt = _lines(step, int(place[1]), int(place[2]), first=step.body_line)
    return fault


def _lines(step: Upload, line: int, column: int, *, first: int) -> str:
    """Return the lines of the main module around a place, numbered as those of its cell."""
    content = next((module.content for module in step.modules if module.name == step.main_module), b"")
    lines = content.decode("utf-8", "replace").split("\n")
    if not 0 < line <= len(lines):
        return ""
    return excerpt(lines, Position(file=step.main_module, line=line, column=max(column, 1)), first=first)
