"""Carries out a line or cell that declares: read, its source checked, registered. Sends nothing."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from notebook_do.declare.cell import parse_cell
from notebook_do.errors import SourceError
from notebook_do.notebook.views.documents import Declared
from notebook_do.sessions.opening import current
from notebook_do.sources.checking import check_source

if TYPE_CHECKING:
    from notebook_do.display import Shown
    from notebook_do.model import Declaration
    from notebook_do.notebook.parsing import Call
    from notebook_do.sessions.session import Session


def declare(call: Call) -> Shown:
    """Read declarations from a line or cell and register them. Sends nothing."""
    line = shlex.join((call.verb, *call.words)) if call.verb else shlex.join(call.words)
    found = parse_cell(line, call.body, where=call.where, values=call.ip.user_ns)
    opened = current()
    for item in found:  # before it is declared: what is wrong leaves the earlier declaration
        try:
            check_source(item)
        except SourceError as error:
            error.after = _unchanged(opened, item, error)
            raise
    return declared(opened.declare(*found))


def _unchanged(opened: Session, item: Declaration, error: SourceError) -> str:
    """Say what a source that cannot be parsed leaves as it was, and how to go on."""
    earlier = opened.catalog.workers.get(item.id)
    where = earlier.where.name if earlier and earlier.where else ""
    stays = f"The declaration of {where} stays" if where else "The earlier declaration stays" if earlier else ""
    line = (
        f"Fix line {error.line} and run this cell again." if error.line else "Fix the source and run this cell again."
    )
    return f"{stays}; nothing was sent. {line}" if stays else f"Nothing was declared or sent. {line}"


def declared(items: tuple[Declaration, ...]) -> Shown:
    """Return one declaration as itself, and several as one value."""
    return items[0] if len(items) == 1 else Declared(items)
