"""Says what becomes of each declared secret: set, changed, kept, or missing. Knows no value, only marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from notebook_do.model import Json, Resource, Secret, ValueBinding

if TYPE_CHECKING:
    from notebook_do.model import RecordedWorker, ScriptBinding

Fate = Literal["set", "changed", "kept", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What can be told of a secret where the plan is made: the mark of its value, or why there is no value."""

    mark: str = ""
    problem: str = ""


KEPT = Resource(type="secret_text", fields=Json({}))
"""What an upload binds where the live value stays, as a live secret is read: without a value. It is not sent."""


def is_kept(binding: ScriptBinding) -> bool:
    """Say whether a binding of an upload stands for a live secret that stays."""
    return isinstance(binding, ValueBinding) and binding.value == KEPT


def fate_of(binding: ValueBinding, live: ScriptBinding | None, record: RecordedWorker | None, sight: Sight) -> Fate:
    """Judge one declared secret. What is live and cannot be compared is kept only where there is no value to set.

    A secret that was set by somebody else, or marked under another machine's key, is set once more.
    """
    if live is None or not is_live_secret(live):
        return "missing" if sight.problem else "set"
    if not sight.mark:
        return "kept"
    known = dict(record.secrets if record else ()).get(binding.name, "")
    if known == sight.mark:
        return "kept"
    same_key = known.partition(".")[0] == sight.mark.partition(".")[0]
    return "changed" if same_key else "set"


def is_live_secret(binding: ScriptBinding) -> bool:
    """Say whether a live binding is a secret text; it shows no source, and is known by its type alone."""
    if not isinstance(binding, ValueBinding):
        return False
    return isinstance(binding.value, Secret) or (
        isinstance(binding.value, Resource) and binding.value.type == "secret_text"
    )
