"""What may be sent while the command line runs cells of a notebook for what they declare: reads only.

A refusal is kept as well as raised, so that a cell which catches it is refused all the same. Whether something may be
sent hangs on the context, not on the process: the verb on the command line may, what a cell started may not.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True, kw_only=True)
class Refusing:
    """What holds for the cells of one notebook while they are run, and what was refused to them."""

    place: str = ""
    """The cell that runs."""
    refused: list[CommandError] = field(default_factory=list)


R = TypeVar("R", bound=Refusing)
imposed: Refusing | None = None
_allowed: ContextVar[bool] = ContextVar("notebook_do_may_send", default=False)


@contextmanager
def imposing(what: R) -> Iterator[R]:
    """Impose `what` for the time of a block."""
    global imposed  # noqa: PLW0603 - one process runs one notebook
    before, imposed = imposed, what
    try:
        yield what
    finally:
        imposed = before


@contextmanager
def allowing() -> Iterator[None]:
    """Let this context send, and what it starts."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


def check(method: str) -> None:
    """Raise CommandError for what sends or writes, where a cell that the command line runs asks for it."""
    if imposed is None or _allowed.get():
        return
    error = CommandError(
        f"{imposed.place}: {method} is refused here, as cells are run only for what they declare; "
        "notebook-do run runs the notebook with it."
    )
    imposed.refused.append(error)
    raise error
