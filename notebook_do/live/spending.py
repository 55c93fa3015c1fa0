"""Which changes of stored objects a session has sent: each is sent once."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError, StateError
from notebook_do.model.changes import ObjectChange

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from notebook_do.live.applying import AppliedChange
    from notebook_do.live.connection import Connection
    from notebook_do.model import Recorded
    from notebook_do.state.sent import SentChanges


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One change that is to be sent: in this kernel once, and by its digest once with the record of the session."""

    change: ObjectChange
    record: SentChanges
    spent: set[str]
    lock: threading.Lock

    def check(self) -> None:
        """Raise CommandError where it was begun to be sent in this kernel."""
        if self.change.made in self.spent:
            raise self._used()

    def take(self) -> None:
        """Note that it is about to be sent. Raises CommandError where that was noted before, by anybody."""
        with self.lock:
            self.check()
            self.spent.add(self.change.made)
        try:
            taken = self.record.take(self.change.digest)
        except BaseException:
            self.spent.discard(self.change.made)  # what cannot be noted is not sent
            raise
        if not taken:
            raise self._used()

    def free(self) -> None:
        """Note that it was certainly not sent after all."""
        self.spent.discard(self.change.made)
        # What kept it from being sent is the error to tell; the record then has it as one that may have been sent.
        with contextlib.suppress(StateError):
            self.record.free(self.change.digest)

    def done(self) -> None:
        """Note that it was sent."""
        # What became of it must be told all the same; the record then has it as one that may have been sent.
        with contextlib.suppress(StateError):
            self.record.done(self.change.digest)

    def _used(self) -> CommandError:
        digest = self.change.digest
        noted = self.record.load().get(digest)
        if noted is None or noted.done:
            return CommandError(f"apply: the change {digest} was applied already; make it anew to repeat it.")
        return CommandError(
            f"apply: the change {digest} was begun to be sent before, and whether it was is not known; look at the "
            "object, then make the change anew to repeat it."
        )


class Spending:
    """The changes that were sent: each once, whatever became of it, and so a copy of it and what has the same digest.

    Of this kernel all that were begun, and by their digests all that the record of the session has. What was certainly
    not sent is none of them.
    """

    def __init__(self, record: Callable[[], SentChanges]) -> None:
        self._spent: set[str] = set()
        self._lock = threading.Lock()
        self._record = record

    async def apply(
        self, connection: Connection, recorded: Recorded, change: ObjectChange, confirm: Collection[str]
    ) -> AppliedChange:
        """Send a change, and spend it; see `Session.apply`."""
        from notebook_do.live.applying import apply, check  # few sessions send a change

        if not isinstance(change, ObjectChange):
            raise CommandError(
                f"apply: takes the change that put() and the like return, not a {type(change).__name__}."
            )
        check(change, connection, recorded, confirm)
        turn = Turn(change=change, record=self._record(), spent=self._spent, lock=self._lock)
        turn.check()
        return await apply(connection, recorded, change, turn)
