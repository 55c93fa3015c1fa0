"""Resolves what an interrupted deploy left open: each journalled intent is looked up live, and recorded if it happened.

Sends reads only. It runs before a plan is made and before a deploy sends anything.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from notebook_do.deploy.record import after_intent
from notebook_do.deploy.result import Outcome
from notebook_do.deploy.send import Overtaken, look, verify
from notebook_do.journal import Journal

if TYPE_CHECKING:
    from notebook_do.cloudflare.client import Client
    from notebook_do.journal import Intent
    from notebook_do.model import Recorded
    from notebook_do.state import StateFile


async def recover(*, client: Client, state: StateFile) -> tuple[Outcome, ...]:
    """Bring the state file up to date after an interrupted deploy; gives what was found, empty when nothing was open.

    Sends nothing and takes no lock when nothing is open. Raises StateLocked while that deploy is still running.
    """
    if not Journal(state.journal_path).open_intents():
        return ()
    with state.lock():
        return await resolve(client, state)


async def resolve(client: Client, state: StateFile) -> tuple[Outcome, ...]:
    """Resolve every open intent, oldest first; the lock is held."""
    journal = Journal(state.journal_path)
    outcomes = []
    for intent in journal.open_intents():
        recorded = state.load(account_id=client.account_id, api_origin=client.origin)
        outcomes.append(await _resolve_one(client, state, recorded, intent))
        journal.end(intent.op, outcomes[-1].status)
    return tuple(outcomes)


async def _resolve_one(client: Client, state: StateFile, recorded: Recorded, intent: Intent) -> Outcome:
    try:
        sent = await look(client, intent)
    except Overtaken as overtaken:
        return Outcome(text=intent.summary, status="uncertain", detail=overtaken.message)
    if sent is None:
        return Outcome(
            text=intent.summary, status="not done", detail="an earlier deploy was interrupted before it happened."
        )
    live = await verify(client, intent) if intent.verify else {}
    state.save(
        after_intent(
            bound(recorded, client), intent, etag=sent.script.etag if sent.script else None, live=live, at=today()
        )
    )
    return Outcome(
        text=intent.summary, status="done", detail="an earlier deploy was interrupted after it; it is recorded now."
    )


def bound(recorded: Recorded, client: Client) -> Recorded:
    """Tie a state file that is new to the account and API that it is first used with."""
    return replace(recorded, account_id=client.account_id, api_origin=client.origin)


def today() -> str:
    """Give the time for people to read; nothing is decided on it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
