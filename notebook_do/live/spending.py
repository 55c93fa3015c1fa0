"""Which changes of stored objects a session has sent: each is sent once."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from notebook_do.live.applying import AppliedChange
    from notebook_do.live.connection import Connection
    from notebook_do.model import Recorded
    from notebook_do.model.changes import ObjectChange
    from notebook_do.state.sent import SentChanges


class Spent:
    """One change that is to be sent: in this kernel once, and by its digest once with the record of the session."""

    def __init__(self, change: ObjectChange, record: SentChanges, spent: set[str], lock: threading.Lock) -> None:
        self._change, self._record, self._spent = change, record, spent
        self._taken = False
        with lock:
            if change.made in spent:
                raise self._used()
            spent.add(change.made)

    def take(self) -> None:
        """Note that it is about to be sent. Raises CommandError where that was noted before, by anybody."""
        self._taken = self._record.take(self._change.digest)
        if not self._taken:
            raise self._used()

    def leave(self) -> None:
        """Let it be sent later where it was not noted that it is sent: what it rests on moved, nothing answers."""
        if not self._taken:
            self._spent.discard(self._change.made)

    def free(self) -> None:
        """Note that it was certainly not sent after all."""
        self._spent.discard(self._change.made)
        # What kept it from being sent is the error to tell; the record then has it as one that may have been sent.
        with contextlib.suppress(StateError):
            self._record.free(self._change.digest)

    def done(self) -> None:
        """Note that it was sent."""
        # What became of it must be told all the same; the record then has it as one that may have been sent.
        with contextlib.suppress(StateError):
            self._record.done(self._change.digest)

    def _used(self) -> CommandError:
        digest = self._change.digest
        noted = self._record.load().get(digest)
        if noted is not None and noted.done:
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
        from notebook_do.model.changes import ObjectChange

        if not isinstance(change, ObjectChange):
            raise CommandError(
                f"apply: takes the change that put() and the like return, not a {type(change).__name__}."
            )
        check(change, connection, recorded, confirm)
        turn = Spent(change, self._record(), self._spent, self._lock)
        try:
            return await apply(connection, recorded, change, turn)
        finally:
            turn.leave()
