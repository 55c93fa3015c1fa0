"""Runs the steps of one plan: lock, observe again, and for each step journal, send, verify, record.

Whatever fails, every step ends as done, not done or uncertain, and the next run continues from what is live.
"""

from __future__ import annotations

from notebook_do.deploy.recover import recover, undecided
from notebook_do.deploy.result import DeployResult, Event, Outcome
from notebook_do.deploy.run import deploy

__all__ = ["DeployResult", "Event", "Outcome", "deploy", "recover", "undecided"]
