"""The steps about triggers: what calls a Worker besides its workers.dev address and its cron triggers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebook_do.model import Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeQueue:
    """Make the queue that a script is to consume; sends nothing when there is one of that name."""

    worker: str
    script_name: str
    queue: str

    @property
    def summary(self) -> str:
        """Say in a few words what this step sends."""
        return f"make queue {self.queue}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTrigger:
    """Let a script serve a route or a custom domain, or consume a queue, which must be there."""

    worker: str
    script_name: str
    trigger: Trigger

    @property
    def summary(self) -> str:
        """Say in a few words what this step sends."""
        return f"set {self.trigger.label} of Worker {self.script_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveTrigger:
    """Take a trigger of ours away; sends nothing when the script no longer holds it."""

    worker: str
    script_name: str
    trigger: Trigger

    @property
    def summary(self) -> str:
        """Say in a few words what this step sends."""
        return f"remove {self.trigger.label} of Worker {self.script_name}"
