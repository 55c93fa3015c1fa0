"""Resolves what an interrupted deploy left open: each journalled intent is looked up live, and recorded if it happened.

Not seen yet is not "did not happen": Cloudflare may still carry out a request whose sender is gone. So an intent that
is not seen stays open until it is, until a later upload from here to that script was answered (uploads of one script
are carried out one after the other), or until it is so old that nobody works on it any more. A local Cloudflare says
at once when nothing is under way; then it is looked up once more, and decided. Sends reads only. It runs before a plan
is made and before a deploy sends anything.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.deploy.look import Mismatched, Overtaken, Uncertain, look, verify
from notebook_do.deploy.record import after_intent, missing, unclaimed
from notebook_do.deploy.result import Outcome
from notebook_do.errors import ApiError
from notebook_do.live.observe import observe_namespaces, observe_scripts
from notebook_do.plan.namespaces.marks import op_of
from notebook_do.state.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import ObservedScript, Recorded
    from notebook_do.state.file import StateFile
    from notebook_do.state.journal import Attempt, Intent

DECIDED_AFTER = 600.0
"""Seconds after which a request that was not seen can no longer be carried out (emulated: no document says)."""


async def recover(*, client: Client, state: StateFile, now: Callable[[], float] = time.time) -> tuple[Outcome, ...]:
    """Bring the state file up to date after an interrupted deploy; return what was found, empty when nothing was open.

    Sends nothing and takes no lock when nothing is open. Raises StateLocked while that deploy is still running.
    """
    # Read without the lock, which only what is open or may show up needs: plans are made while another session deploys.
    journal = Journal(state.journal_path)
    attempts = journal.attempts()
    found: tuple[Outcome, ...] = ()
    if any(a.status is None for a in attempts):
        with state.lock():
            found = await resolve(client, state, now)
    if any(_may_show_up(a, attempts) for a in attempts):
        scripts = await observe_scripts(client)
        if _shown(state, scripts):
            with state.lock():
                found += await recognise(client, state, scripts)
    return found


def undecided(found: Iterable[Outcome]) -> dict[str, str]:
    """Return the scripts of which an interrupted step is not known yet, with what to say of each."""
    open_ = [o for o in found if o.status == "not known yet"]
    return {
        name: " ".join(f"{o.text}: {o.detail}" for o in open_ if o.script_name == name)
        for name in sorted({o.script_name for o in open_})
    }


async def resolve(client: Client, state: StateFile, now: Callable[[], float] = time.time) -> tuple[Outcome, ...]:
    """Resolve every open intent, oldest first. The lock must be held."""
    journal = Journal(state.journal_path)
    outcomes = []
    for intent in journal.open_intents():
        # Loaded anew for each: the one before may have saved, and a save goes over the serial that it was loaded with.
        recorded = state.load(account_id=client.account_id, api_origin=client.origin)
        outcome = await _resolve_one(client, state, recorded, intent, now())
        if outcome.status == "not known yet" and await _settled(client, state):
            # Looked up again, and not simply decided: it may have been carried out between the look and the question.
            outcome = await _resolve_one(client, state, recorded, intent, math.inf)
        if outcome.status != "not known yet":
            journal.end(intent.op, outcome.status)
        outcomes.append(outcome)
    return tuple(outcomes)


async def _settled(client: Client, state: StateFile) -> bool:
    """Say whether no request that was sent before can still be carried out, which a local Cloudflare knows at once.

    Where the lock keeps nobody out, the sender may be alive, and about to send what it has journalled.
    """
    if not client.origin.startswith("local:") or state.locking != "exclusive":
        return False
    try:
        return await client.settled()
    except (ApiError, NoAnswer):  # an older server does not know the question
        return False


async def _resolve_one(client: Client, state: StateFile, recorded: Recorded, intent: Intent, now: float) -> Outcome:
    """Look up one intent and record it if it happened; `now` is in seconds since 1970, infinite to decide at once."""
    journal = Journal(state.journal_path)
    common = Outcome(text=intent.summary, status="not done", script_name=intent.script_name)
    overtaken: Uncertain | None = None
    try:
        sent = await look(client, intent)
        live = await verify(client, intent) if sent and intent.verify else {}
    except (Overtaken, Mismatched) as caught:  # any other Uncertain goes on: live facts cannot be read now
        sent, overtaken = None, caught
    if sent is not None:
        state.save(after_intent(bound(recorded, client), intent, script=sent.script, live=live, at=today()))
        return replace(common, status="done", detail="an earlier deploy was interrupted after it; it is recorded now.")
    if intent.kind == "queue":  # made late or made again, it is the same one: there is nothing to wait for
        return replace(common, detail="an earlier deploy was interrupted before it was seen; it can be made again.")
    # Before `overtaken`: a later upload from here is what changed the script, and it decides about this one.
    if _superseded(intent, journal.attempts()):
        return replace(common, detail="an earlier deploy was interrupted before it happened; a later one went on.")
    if overtaken is not None:
        return replace(common, status="uncertain", detail=overtaken.message)
    # A clock that was set back may delay the decision and must never hasten it, so an intent from the future is written
    # anew and counts from now on. One without a time is of an older notebook_do, and old enough.
    if intent.sent_at is not None and intent.sent_at > now:
        intent = replace(intent, sent_at=now)
        journal.begin(intent)
    if intent.sent_at is not None and now < intent.sent_at + DECIDED_AFTER:
        return replace(common, status="not known yet", detail=_not_known(intent.sent_at))
    return replace(common, detail="an earlier deploy was interrupted before it happened.")


def _not_known(sent_at: float) -> str:
    return (
        f"an earlier deploy was interrupted after it was sent at {_clock(sent_at)}, and Cloudflare may still carry it "
        f"out. %durable plan looks again; at {_clock(sent_at + DECIDED_AFTER)} it is decided."
    )


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S} UTC"


# --- what shows up after it was given up


async def recognise(client: Client, state: StateFile, scripts: Mapping[str, ObservedScript]) -> tuple[Outcome, ...]:
    """Record the uploads that were given up and are live now, recognised by their op. The lock must be held."""
    shown = _shown(state, scripts)
    outcomes = [await _record_late(client, state, i, scripts[i.script_name]) for i in shown]
    return tuple(o for o in outcomes if o is not None)


def _shown(state: StateFile, scripts: Mapping[str, ObservedScript]) -> list[Intent]:
    attempts = Journal(state.journal_path).attempts()
    return [a.intent for a in attempts if _may_show_up(a, attempts) and _shows(a.intent, scripts)]


async def _record_late(client: Client, state: StateFile, intent: Intent, script: ObservedScript) -> Outcome | None:
    """Record a late upload as done; None where its namespaces are not as it left them: somebody went on from there."""
    recorded = state.load(account_id=client.account_id, api_origin=client.origin)
    live = await observe_namespaces(client) if intent.namespace_records else {}
    if missing(intent, live):
        return None
    # The state file may have gone on since: what it records by now keeps its stable IDs and namespaces.
    fitting = replace(intent, namespace_records=unclaimed(recorded, intent, live))
    state.save(after_intent(bound(recorded, client), fitting, script=script, live=live, at=today()))
    Journal(state.journal_path).end(intent.op, "done")
    detail = "an earlier deploy was interrupted, and it happened late; it is recorded now."
    return Outcome(text=intent.summary, status="done", detail=detail, script_name=intent.script_name)


def _may_show_up(attempt: Attempt, attempts: Sequence[Attempt]) -> bool:
    return attempt.given_up and not _superseded(attempt.intent, attempts)


def _shows(intent: Intent, scripts: Mapping[str, ObservedScript]) -> bool:
    live = scripts.get(intent.script_name)
    return live is not None and op_of(live) == intent.op


def _superseded(intent: Intent, attempts: Sequence[Attempt]) -> bool:
    """Say whether a later upload of this session to the same script was done: then `intent` can no longer be."""
    if intent.kind != "upload":
        return False  # that other requests are carried out one after the other is known from nowhere
    uploads = [a for a in attempts if a.intent.kind == "upload" and a.intent.script_name == intent.script_name]
    later = uploads[next((n for n, a in enumerate(uploads) if a.intent.op == intent.op), len(uploads)) + 1 :]
    return any(a.status == "done" for a in later)


def bound(recorded: Recorded, client: Client) -> Recorded:
    """Return `recorded` tied to the account and API that it is used with; a new state file is tied to none yet."""
    return replace(recorded, account_id=client.account_id, api_origin=client.origin)


def today() -> str:
    """Return the time in UTC, for people to read; nothing is decided on it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
