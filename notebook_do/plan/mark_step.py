"""The step that puts the ids of new namespaces into our mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebook_do.model import StableId


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMark:
    """Put the namespace ids of `stable_ids` into a script's tags, which say who made it; nothing else changes.

    An upload that creates a namespace cannot know its id. The deployer completes `tags`, from those that are live.
    """

    worker: str
    script_name: str
    stable_ids: tuple[StableId, ...]
    tags: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Say in a few words what this step sends."""
        ids = f"the id{'s' * (len(self.stable_ids) != 1)} of {', '.join(self.stable_ids)}"
        return f"note {ids} in the tags of Worker {self.script_name}"
