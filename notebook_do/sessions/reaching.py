"""What a session is made of and how it reaches its target: a state file, declarations and one connection."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from notebook_do.bridge import bridge
from notebook_do.cloudflare import refusing
from notebook_do.declare.catalog import Catalog
from notebook_do.live.connection import Connecting
from notebook_do.sessions.planning import Planning

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from pathlib import Path

    from notebook_do.live.connection import Connection
    from notebook_do.model import Recorded, Target
    from notebook_do.state.file import StateFile
    from notebook_do.state.lock import Locking

    Ids = Iterable[str]

T = TypeVar("T")


class Reaching:
    """A session's name, stage and target, its declarations and state file, and the way to its account."""

    def __init__(self, name: str, *, stage: str, target: Target, account: str | None, state: StateFile) -> None:
        self.name, self.stage, self.target = name, stage, target
        self.catalog = Catalog()
        self.auto_approve = os.environ.get("NOTEBOOK_DO_DEPLOY") == "press"
        self.live: frozenset[str] = frozenset()
        """The scripts of the account when it was last looked at."""
        self.connecting = Connecting(target, account)
        self._state = state
        self._planning = Planning(name, stage, target, self.catalog, state)

    def __repr__(self) -> str:
        return f"Session({self.name!r}, stage={self.stage!r}, target={self.target!r}, state={str(self.state_path)!r})"

    @property
    def identity(self) -> tuple[str, str, Target, str | None, Path, Locking]:
        """What makes this session the same as another: name, stage, target, account, state path and locking."""
        return self.name, self.stage, self.target, self.connecting.account, self.state_path, self._state.locking

    @property
    def state_path(self) -> Path:
        """Where the state file is, or will be after the first deploy."""
        return self._state.path

    @property
    def state(self) -> StateFile:
        """The state file: its backups and its lock."""
        refusing.check("session.state")
        return self._state

    def script_name(self, worker: str) -> str:
        """Return the script name of a Worker id, as declared or as recorded; a name that is neither stays as it is."""
        if worker in self.catalog.workers:
            return self.catalog.script_name(worker, self.stage)
        return next((w.script_name for w in self._state.load().workers if w.id == worker), worker)

    def recorded(self) -> Recorded:
        """Read the state file; a session that never deployed has an empty one with serial 0."""
        return self._state.load()

    def close(self) -> None:
        """Let go of the local target; it ends when its last user is gone."""
        self.connecting.release()

    # --- inside

    async def _connect(self) -> Connection:
        return await self.connecting.connect()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the bridge; what only this thread can ask for is asked first."""
        try:
            self.connecting.ask_first()
        except BaseException:
            coroutine.close()
            raise
        return bridge.run(coroutine)
