"""The plans that a session has shown: what a button or an approval may still send. The oldest are forgotten."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from notebook_do.errors import StalePlan
from notebook_do.model.steps import Upload

if TYPE_CHECKING:
    from notebook_do.plan.plan import Plan
    from notebook_do.sessions.changed import ShownDeclarations
    from notebook_do.sessions.comparing import Comparison

MOST_PLANS, MOST_BYTES = 100, 256 * 1024 * 1024
"""How many plans are kept, and how much code: a kernel that plans every minute runs for weeks."""
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPlan:
    """A plan as it was shown, with what it was made of. A copy: what somebody makes of the shown one is not sent.

    One that sends nothing is kept itself: of what somebody makes of it nothing is sent either.
    """

    plan: Plan
    made_of: Comparison
    declared: ShownDeclarations


class ShownPlans:
    """Keeps the plans that were shown last, by digest. May be used on any thread."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[ShownPlan, int]] = {}
        self._forgotten: dict[str, tuple[str, ...]] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def keep(self, shown: ShownPlan) -> None:
        """Keep a plan as the newest, and forget the oldest ones that are too many or too large together."""
        digest, size = shown.plan.digest, _size(shown)
        with self._lock:
            self._drop(digest)
            self._forgotten.pop(digest, None)
            self._kept[digest] = shown, size
            self._bytes += size
            while len(self._kept) > 1 and (len(self._kept) > MOST_PLANS or self._bytes > MOST_BYTES):
                oldest = next(iter(self._kept))
                self._forgotten[oldest] = self._kept[oldest][0].made_of.asked
                self._drop(oldest)
            for digest in list(islice(self._forgotten, max(0, len(self._forgotten) - _REMEMBERED))):
                del self._forgotten[digest]

    def get(self, digest: str) -> ShownPlan | None:
        """Return the plan that was shown under a digest."""
        kept = self._kept.get(digest)
        return kept[0] if kept else None

    def newest_first(self) -> list[ShownPlan]:
        """Return all that are kept."""
        with self._lock:
            return [shown for shown, _ in reversed(self._kept.values())]

    def asked(self, digest: str) -> tuple[str, ...]:
        """Return what a plan was asked to destroy, also one that was forgotten since."""
        shown = self.get(digest)
        return shown.made_of.asked if shown else self._forgotten.get(digest, ())

    def absent(self, digest: str, session: str) -> StalePlan:
        """Return the error of a plan that is not kept: it was shown too long ago, or by another session."""
        if digest in self._forgotten:
            return StalePlan(
                f"plan {digest} was forgotten, as many others were shown since; nothing was sent. Plan again, and "
                "deploy what that gives."
            )
        return StalePlan(f"plan {digest} was not made by this session ({session}); plan again.")

    def _drop(self, digest: str) -> None:
        _, size = self._kept.pop(digest, (None, 0))
        self._bytes -= size


def _size(shown: ShownPlan) -> int:
    """Say how many bytes of code a plan holds, about: what is sent, what it is compared with, and its diff."""
    plan, desired = shown.plan, shown.made_of.desired
    sent = sum(len(m.content) for step in plan.steps if isinstance(step, Upload) for m in step.modules)
    declared = sum(len(m.content) for worker in desired.workers for m in worker.modules)
    diffs = sum(len(line) for diff in plan.code for module in diff.modules for line in module.lines)
    return sent + declared + diffs + 1000 * (len(plan.changes) + len(plan.steps))
