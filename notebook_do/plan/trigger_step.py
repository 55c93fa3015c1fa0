"""The two steps about triggers: what calls a Worker besides its workers.dev address and its cron triggers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebook_do.model import Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTrigger:
    """Let a script serve a route or a custom domain, or consume a queue; `makes_queue`: it is made first."""

    worker: str
    script_name: str
    trigger: Trigger
    makes_queue: bool = False

    @property
    def summary(self) -> str:
        """Say in a few words what this step sends."""
        first = f"make queue {self.trigger.key}, " if self.makes_queue else ""
        return f"{first}set {self.trigger.label} of Worker {self.script_name}"


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
