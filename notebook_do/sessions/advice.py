"""Says what to do about a declaration of which no plan can be made: an error of it gets its next steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.model import Source, Worker


def with_advice(read: Callable[[Worker], Source]) -> Callable[[Worker], Source]:
    """Return `read`, whose errors say that nothing was sent, and how a plan is made without the Worker.

    That plan may be one of another Worker, as a destroy is: no source is guessed for the one that cannot be read.
    """

    def advised(worker: Worker) -> Source:
        try:
            return read(worker)
        except SourceError as error:
            error.after = (
                f"Nothing was sent. Correct the source of Worker {worker.id}, or plan without it: "
                f"`%durable rm worker {worker.id}` forgets its declaration, and what is live of it stays."
            )
            raise

    return advised
