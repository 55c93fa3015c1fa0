"""Which changes of stored objects a session has sent: each is sent once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError
from notebook_do.model.changes import ObjectChange

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from notebook_do.live.applying import AppliedChange
    from notebook_do.live.connection import Connection
    from notebook_do.model import Recorded
    from notebook_do.state.sent import SentChanges


class Spending:
    """The changes that were sent: each once, whatever became of it, and so a copy of it and what has the same digest.

    Of this kernel all that were begun, and by their digests all that the record of the session has.
    """

    def __init__(self, record: Callable[[], SentChanges]) -> None:
        self._spent: set[str] = set()
        self._lock = threading.Lock()
        self._record = record

    async def apply(
        self, connection: Connection, recorded: Recorded, change: ObjectChange, confirm: Collection[str]
    ) -> AppliedChange:
        """Send a change, and spend it; see `Session.apply`."""
        from notebook_do.live.applying import applied_already, apply, check  # few sessions send a change

        if not isinstance(change, ObjectChange):
            raise CommandError(
                f"apply: takes the change that put() and the like return, not a {type(change).__name__}."
            )
        check(change, connection, recorded, confirm)
        with self._lock:
            if change.made in self._spent:
                raise applied_already(change)
            self._spent.add(change.made)
        return await apply(connection, recorded, change, self._record())
