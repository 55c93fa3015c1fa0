"""The key of one session's inspectors: which public one a plan deploys, and when its private one is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.model.steps import Upload

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.inspector.signing import SigningKey
    from notebook_do.model import Recorded, RecordedWorker
    from notebook_do.plan.plan import Plan


class InspectKeys:
    """The key of a session and stage: what is deployed keeps its key, whoever plans, until `renew` asks for another."""

    def __init__(self, state: Path) -> None:
        """Hold no key yet: who has no inspector needs none, nor the library that makes one."""
        self._state = state
        self._next: SigningKey | None = None
        self._renewed = False

    def renew(self) -> None:
        """Have every inspector get a new key with the next plan that is deployed."""
        self._renewed = True

    def of(self, record: RecordedWorker | None, recorded: Recorded) -> str:
        """Return the public key for the inspector of a record, or for a new one."""
        known = [w.inspector.key for w in recorded.workers if w.inspector]
        if self._next is not None and known and set(known) == {self._next.public}:
            self._settle()  # it was deployed, though the deploy may have ended with an error after that
        if known and not self._renewed:
            return record.inspector.key if record and record.inspector else known[0]
        return self._following().public

    def keep(self, plan: Plan) -> None:
        """Write down the private key of what is about to be sent, so that nothing knows a key that nobody has."""
        from notebook_do.credentials import inspect_keys

        if self._next is not None and self._next.public in _deployed(plan):
            inspect_keys.keep(self._next)

    def deployed(self, plan: Plan) -> None:
        """Note that a plan was sent: the key that waited is in use now."""
        if self._next is not None and self._next.public in _deployed(plan):
            self._settle()

    def _settle(self) -> None:
        from notebook_do.credentials import inspect_keys

        inspect_keys.forget_waiting(self._state)
        self._next, self._renewed = None, False

    def _following(self) -> SigningKey:
        from notebook_do.credentials import inspect_keys

        if self._next is None:
            self._next = inspect_keys.waiting(self._state)
        return self._next


def _deployed(plan: Plan) -> set[str]:
    """Return the public keys of the inspectors that a plan uploads."""
    records = (step.worker_record for step in plan.steps if isinstance(step, Upload))
    return {record.inspector.key for record in records if record and record.inspector}
