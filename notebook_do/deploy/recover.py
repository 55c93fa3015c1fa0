"""Resolves what an interrupted deploy left open: each journalled intent is looked up live, and recorded if it happened.

Not seen yet is not "did not happen": Cloudflare may still carry out a request whose sender is gone. So an intent that
is not seen stays open until it is, until a later upload from here to that script was answered (uploads of one script
are carried out one after the other), or until it is so old that nobody works on it any more. A local Cloudflare says
at once when nothing is under way; then it is looked up once more, and decided. What the journal saw done and the state
file does not hold yet is recorded without a look. Sends reads only. It runs before a plan is made and before a deploy
sends anything.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.cloudflare.settings import decode_deployments
from notebook_do.deploy.look import Mismatched, Overtaken, SharedLists, Uncertain, look, unclear, until_there, verify
from notebook_do.deploy.record import Recording, after_done, done_of, missing, unclaimed
from notebook_do.deploy.result import Outcome
from notebook_do.errors import ApiError, DeployError
from notebook_do.live.observe import observe_namespaces, observe_scripts
from notebook_do.plan.namespaces.marks import op_of
from notebook_do.state.journal import superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import NamespaceId, ObservedDeployment, ObservedNamespace, ObservedScript, Recorded
    from notebook_do.state.file import StateFile
    from notebook_do.state.journal import Attempt, Done, Intent, Journal

DECIDED_AFTER = 600.0
"""Seconds after which a request that was not seen can no longer be carried out (emulated: no document says)."""


async def recover(*, client: Client, state: StateFile, now: Callable[[], float] = time.time) -> tuple[Outcome, ...]:
    """Bring the state file up to date after an interrupted deploy; return what was found, empty when nothing was open.

    Sends nothing and takes no lock when nothing is open. Raises StateLocked while that deploy is still running.
    """
    # Read without the lock, which only what is open or may show up needs: plans are made while another session deploys.
    attempts = state.journal.attempts()
    found: tuple[Outcome, ...] = ()
    if any(map(_is_left, attempts)):
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
    journal = state.journal
    if not any(map(_is_left, journal.attempts())):
        return ()
    recorded = state.load(account_id=client.account_id, api_origin=client.origin)
    recording, lists = Recording(state, bound(recorded, client)), SharedLists(client)
    outcomes = _catch_up(recording, state)
    try:
        for intent in journal.open_intents():
            outcome, done = await _resolve_one(lists, journal, intent, now())
            if outcome.status == "not known yet" and await _settled(client, state):
                # Looked up again, and not simply decided: it may have been carried out between the look and the
                # question.
                lists.renew()
                outcome, done = await _resolve_one(lists, journal, intent, math.inf)
            if done is not None:
                recording.done(intent, done)
            elif outcome.status != "not known yet":
                journal.end(intent.op, outcome.status)
            outcomes.append(outcome)
    finally:
        recording.save()
    return tuple(outcomes)


def _is_left(attempt: Attempt) -> bool:
    return attempt.status is None or attempt.done is not None


def _catch_up(recording: Recording, state: StateFile) -> list[Outcome]:
    """Record what the journal saw done since the state file was written.

    Where that file is another one than the deploy began with (restored, imported into), it is looked up instead.
    """
    recorded, journal = recording.recorded, state.journal
    unsaved = [(a.intent, a.done) for a in journal.attempts() if a.done is not None]
    after = after_done(recorded, unsaved)
    if after == recorded:  # the process ended between the save and the journal's line of it
        if unsaved:
            journal.saved(recorded.serial)
        return []
    if not all(_was_made_with(recorded, intent) for intent, _ in unsaved):
        for intent, _ in unsaved:
            journal.begin(intent)
        return []
    recording.put(after)
    journal.saved(recording.recorded.serial)
    return [_completed(intent) for intent, _ in unsaved]


def _was_made_with(recorded: Recorded, intent: Intent) -> bool:
    """Say whether an intent was made with this very state file; where none is there yet, with none."""
    lineage = intent.op.partition(".")[0]
    return intent.serial == recorded.serial and (recorded.serial == 0 or recorded.lineage.startswith(lineage))


def _completed(intent: Intent) -> Outcome:
    return Outcome(
        text=intent.summary,
        status="done",
        script_name=intent.script_name,
        detail="an earlier deploy was interrupted after it; it is recorded now.",
    )


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


async def _resolve_one(lists: SharedLists, journal: Journal, intent: Intent, now: float) -> tuple[Outcome, Done | None]:
    """Look up one intent; return what became of it, and what was seen of it if it happened.

    `now` is in seconds since 1970, infinite to decide at once.
    """
    overtaken: Uncertain | None = None
    try:
        if (sent := await look(lists, intent)) is not None:
            live = await _verified(lists, intent)
            return _completed(intent), done_of(intent, script=sent.script, live=live, at=today())
    except (Overtaken, Mismatched) as caught:  # any other Uncertain goes on: live facts cannot be read now
        overtaken = caught
    return _undone(journal, intent, overtaken, now), None


async def _verified(lists: SharedLists, intent: Intent) -> Mapping[NamespaceId, ObservedNamespace]:
    """Return the namespaces that an intent left; raises Uncertain where they are not as they should be."""
    if not intent.verify:
        return {}
    seen = (await verify(lists, [intent]))[intent.op]
    if isinstance(seen, Uncertain):
        raise seen
    if await _was_changed_since(lists.client, intent):
        raise Overtaken(
            f"this happened, and somebody else changed Worker {intent.script_name} after it: {intent.summary}. Class "
            "names do not tell any more which of its new namespaces is which; plan again, and compare the ids."
        )
    return seen


async def _was_changed_since(client: Client, intent: Intent) -> bool:
    """Say whether class names may tell the namespaces that an upload created wrongly: somebody uploaded after it.

    Tags stay in such an upload, and whoever swaps two new classes swaps them for us: nothing else tells these apart.
    """
    if sum(not one.namespace_id for one in intent.namespace_records) < 2:
        return False
    try:
        name = intent.script_name
        deployments = decode_deployments(
            await until_there(client, name, lambda: client.list_deployments(name), fresh=True)
        )
    except (ApiError, NoAnswer, DeployError) as error:
        raise unclear(intent, error) from None
    since = [one for one in deployments if not intent.existed or _is_after(one, intent.modified_on)]
    return len(since) > 1  # one is its own


def _is_after(deployment: ObservedDeployment, moment: str | None) -> bool:
    """Say whether a deployment began after a moment; what cannot be read may have."""
    try:
        return datetime.fromisoformat(deployment.created_on or "") > datetime.fromisoformat(moment or "")
    except (TypeError, ValueError):
        return True


def _undone(journal: Journal, intent: Intent, overtaken: Uncertain | None, now: float) -> Outcome:
    """Say what became of an intent that was not seen."""
    common = Outcome(text=intent.summary, status="not done", script_name=intent.script_name)
    if intent.kind == "queue":  # made late or made again, it is the same one: there is nothing to wait for
        return replace(common, detail="an earlier deploy was interrupted before it was seen; it can be made again.")
    # Before `overtaken`: a later upload from here is what changed the script, and it decides about this one.
    if superseded(intent, journal.attempts()):
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
    attempts = state.journal.attempts()
    return [a.intent for a in attempts if _may_show_up(a, attempts) and _shows(a.intent, scripts)]


async def _record_late(client: Client, state: StateFile, intent: Intent, script: ObservedScript) -> Outcome | None:
    """Record a late upload as done; None where its namespaces are not as it left them: somebody went on from there."""
    recorded = state.load(account_id=client.account_id, api_origin=client.origin)
    live = await observe_namespaces(client) if intent.namespace_records else {}
    if missing(intent, live) or await _was_changed_since(client, intent):
        return None
    # The state file may have gone on since: what it records by now keeps its stable IDs and namespaces.
    fitting = replace(intent, namespace_records=unclaimed(recorded, intent, live))
    done = done_of(fitting, script=script, live=live, at=today())
    state.save(after_done(bound(recorded, client), [(fitting, done)]))
    state.journal.end(intent.op, "done")
    detail = "an earlier deploy was interrupted, and it happened late; it is recorded now."
    return Outcome(text=intent.summary, status="done", detail=detail, script_name=intent.script_name)


def _may_show_up(attempt: Attempt, attempts: Sequence[Attempt]) -> bool:
    return attempt.given_up and not superseded(attempt.intent, attempts)


def _shows(intent: Intent, scripts: Mapping[str, ObservedScript]) -> bool:
    live = scripts.get(intent.script_name)
    return live is not None and op_of(live) == intent.op


def bound(recorded: Recorded, client: Client) -> Recorded:
    """Return `recorded` tied to the account and API that it is used with; a new state file is tied to none yet."""
    return replace(recorded, account_id=client.account_id, api_origin=client.origin)


def today() -> str:
    """Return the time in UTC, for people to read; nothing is decided on it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
