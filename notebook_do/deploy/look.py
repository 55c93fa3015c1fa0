"""Looks at what is live until it shows what became of a mutation, or until nothing can show it.

An answer that was lost or cannot be read proves nothing, and an answer that says yes is only believed once the lists
show it: whatever is recorded was seen live. Cloudflare documents no time after which its lists follow an upload, so
each look is repeated a few times, further and further apart.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, assert_never

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.cloudflare.lifecycle import Reconciliation
from notebook_do.cloudflare.retry import Cancelled
from notebook_do.cloudflare.triggers import has_queue, holds, read_triggers
from notebook_do.deploy.intents import judge
from notebook_do.deploy.record import concerned, hosted_by, missing
from notebook_do.errors import ApiError, DeployError
from notebook_do.live.observe import observe_namespaces, observe_scripts
from notebook_do.plan.namespaces.marks import bears_mark, op_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import NamespaceId, ObservedNamespace, ObservedScript
    from notebook_do.state.journal import Intent, Status

    Live = Mapping[NamespaceId, ObservedNamespace]

T = TypeVar("T")
LOOKS = 6
"""How often one fact is looked at: 1, 2, 4, 8 and 16 seconds apart, 31 in all."""
NO_SCRIPT = 10007
NOT_THERE_YET = frozenset({NO_SCRIPT, 10019, 11001})


class Uncertain(DeployError):  # noqa: N818 - what happened
    """It cannot be told whether the mutation happened."""


class Mismatched(Uncertain):
    """The mutation was accepted, and what is live is not as it should have left it."""


class Overtaken(Uncertain):
    """Somebody else's change hides what became of the mutation; looking again will not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A mutation that happened; after an upload, the script as it was answered or seen live.

    `reconciled` is what the upload's own answer says of its `exports`; it is empty where that answer was lost.
    """

    script: ObservedScript | None = None
    reconciled: Reconciliation = field(default=Reconciliation())


class SharedLists:
    """The account's lists of scripts and namespaces, each read once for all who ask before it is renewed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._scripts: Mapping[str, ObservedScript] | None = None
        self._namespaces: Live | None = None
        self._turn = asyncio.Lock()

    def renew(self) -> None:
        """Let whoever asks next read anew: what was read before shows nothing of what was sent since."""
        self._scripts = self._namespaces = None

    async def scripts(self) -> Mapping[str, ObservedScript]:
        """Return the scripts by name."""
        async with self._turn:
            if self._scripts is None:
                self._scripts = await observe_scripts(self.client)
            return self._scripts

    async def namespaces(self) -> Live:
        """Return the namespaces by id."""
        async with self._turn:
            if self._namespaces is None:
                self._namespaces = await observe_namespaces(self.client)
            return self._namespaces

    async def wait_before(self, turn: int, why: str) -> None:
        """Wait before turn number `turn` of `LOOKS`, from the second one on for newer lists."""
        if turn > 1:
            await wait_before(self.client, turn, why)
            self.renew()


# --- waiting


async def wait_before(client: Client, turn: int, why: str) -> None:
    """Wait before turn number `turn` of `LOOKS`: not before the first, then twice as long each time."""
    if turn > 1:
        await client.pace.wait(float(2 ** (turn - 2)), why)


async def until_there(client: Client, script: str, call: Callable[[], Awaitable[T]], *, fresh: bool) -> T:
    """Call until Cloudflare knows `script`, at most `LOOKS` times; at once where it is not `fresh`.

    The parts of Cloudflare learn of an upload one after the other: for some seconds reads and settings answer that the
    Worker does not exist (10007), that a route cannot be configured for it (10019) or that it has no queue handler
    (11001). Of a script that this deploy did not upload (not `fresh`) these are the truth. Each of them says that
    nothing was done, so that a mutation may be sent again too. Raises DeployError when it is still said in the end.
    """
    for turn in range(1, LOOKS + 1):
        await wait_before(client, turn, f"until Cloudflare knows Worker {script}, attempt {turn} of {LOOKS}")
        try:
            return await call()
        except ApiError as error:
            if not fresh or error.code not in NOT_THERE_YET:
                raise
            refused = error
    raise DeployError(
        f"{2 ** (LOOKS - 1) - 1} s after its upload Cloudflare still says of Worker {script}: {refused} "
        "Nothing is lost and nothing else was sent; plan again to go on from here."
    )


# --- looking


async def look(
    lists: SharedLists, intent: Intent, *, change_expected: bool = False, fresh: bool = False
) -> Sent | None:
    """Look whether `intent` happened; None when it did not. Raises Uncertain when that cannot be told.

    With `change_expected` it is looked at several times, as long as the lists do not show any change.
    """
    for turn in range(1, LOOKS + 1):
        try:
            await lists.wait_before(turn, f"looking again whether this happened: {intent.summary}")
            name = intent.script_name
            status, script = await until_there(lists.client, name, lambda: state_of(lists, intent), fresh=fresh)
        except (ApiError, NoAnswer, DeployError) as error:  # DeployError: cancelled, or never known to Cloudflare
            if isinstance(error, ApiError) and error.code == NO_SCRIPT and intent.kind in {"url", "crons"}:
                return None  # somebody deleted the Worker meanwhile: no address and no schedule of it is left to switch
            raise unclear(intent, error) from None
        if status == "done":
            return Sent(script=script)
        if status == "uncertain":
            raise overtaken(intent)
        if not change_expected:
            break
    return None


async def state_of(lists: SharedLists, intent: Intent) -> tuple[Status, ObservedScript | None]:
    """Read the live facts that `intent` is about; return how it stands, and the script where an upload tells."""
    client = lists.client
    match intent.kind:
        case "mark":
            there = (await lists.scripts()).get(intent.script_name)
            return _done_if(there is not None and bears_mark(there.tags, intent.tags)), None
        case "url":
            enabled, previews = await client.script_url(intent.script_name)
            # A step that says nothing of preview URLs leaves them to Cloudflare's default, whatever that is.
            return _done_if(enabled == intent.enabled and intent.previews in (None, previews)), None
        case "crons":
            live = set(wire.decode_crons(await client.schedules(intent.script_name)))
            return _done_if(live == set(intent.crons)), None
        case "queue":
            return _done_if(await has_queue(client, intent.queue)), None
        case "trigger" | "untrigger":
            if intent.trigger is None:
                raise AssertionError("an intent about a trigger without it")
            (holder,) = await read_triggers(client, [intent.trigger])
            if intent.kind == "untrigger":  # somebody else may hold it by now: it is not this script's, as was wanted
                return _done_if(holder.script != intent.script_name), None
            return _done_if(holds(holder, intent.script_name, intent.trigger)), None
        case "upload" | "delete":
            scripts = await lists.scripts()
            return judge(intent, scripts), scripts.get(intent.script_name)
        case _:
            assert_never(intent.kind)


def _done_if(happened: bool) -> Status:  # noqa: FBT001 - a comparison's outcome
    return "done" if happened else "not done"


# --- verifying what was accepted


async def verify(lists: SharedLists, intents: Iterable[Intent]) -> dict[str, Live | Uncertain]:
    """Read the namespaces until those of each intent are as they should be, or never are.

    Returns by op what is live of them, or what is wrong. One list is read for all.
    """
    found: dict[str, Live | Uncertain] = {}
    left, problems = {intent.op: intent for intent in intents}, dict[str, list[str]]()
    for turn in range(1, LOOKS + 1):
        if not left:
            return found
        try:
            first = "; ".join(next(iter(problems.values()), [])[:1])
            await lists.wait_before(turn, f"waiting for the namespace list: {first}")
            live = await lists.namespaces()
        except (ApiError, NoAnswer, Cancelled) as error:  # accepted, and never seen: no more than "unclear"
            return found | {op: unclear(intent, error) for op, intent in left.items()}
        by_script = hosted_by(live)
        seen = {op: concerned(intent, live, by_script) for op, intent in left.items()}
        problems = {op: wrong for op, intent in left.items() if (wrong := missing(intent, seen[op]))}
        found |= {op: spaces for op, spaces in seen.items() if op not in problems}
        left = {op: left[op] for op in problems}
    return found | {
        op: Mismatched(
            f"{intent.summary} was accepted, but {'; '.join(problems[op])}. "
            "Nothing else was sent; plan again, compare the ids."
        )
        for op, intent in left.items()
    }


async def verify_shown(
    lists: SharedLists, uploads: Iterable[tuple[Intent, ObservedScript | None]]
) -> dict[str, ObservedScript | Uncertain]:
    """Read the script list until it shows each upload, by its op or the answered etag, or never does.

    Returns by op the script as it is listed, or what is wrong. One list is read for all.
    """
    found: dict[str, ObservedScript | Uncertain] = {}
    left = {intent.op: (intent, answered) for intent, answered in uploads}
    for turn in range(1, LOOKS + 1):
        if not left:
            return found
        try:
            summary = next(iter(left.values()))[0].summary
            await lists.wait_before(turn, f"waiting for the script list to show this: {summary}")
            scripts = await lists.scripts()
        except (ApiError, NoAnswer, Cancelled) as error:
            return found | {op: unclear(intent, error) for op, (intent, _) in left.items()}
        for op, (intent, answered) in left.items():
            live = scripts.get(intent.script_name)
            status = judge(intent, scripts)
            if live and (status == "done" or _is_as_answered(live, answered)):
                found[op] = live
            elif status == "uncertain":
                found[op] = overtaken(intent)
        left = {op: upload for op, upload in left.items() if op not in found}
    return found | {
        op: Mismatched(
            f"{intent.summary} was accepted, but the script list does not show it. Nothing else was sent; plan again."
        )
        for op, (intent, _) in left.items()
    }


def _is_as_answered(live: ObservedScript, answered: ObservedScript | None) -> bool:
    # A script that has 10 tags of its own has no room for our op (Cloudflare takes 10 a script), so its etag must tell.
    return answered is not None and op_of(live) is None and live.etag == answered.etag


# --- what cannot be told


def overtaken(intent: Intent) -> Overtaken:
    """Return the error of an intent whose script somebody else changed."""
    return Overtaken(
        f"Worker {intent.script_name} was changed by somebody else during the deploy; it cannot be told "
        f"whether this happened: {intent.summary}. Nothing else was sent; plan again and compare."
    )


def unclear(intent: Intent, failure: Exception) -> Uncertain:
    """Return the error of a mutation of which `failure` hides what became of it."""
    return Uncertain(
        f"it cannot be told whether this happened: {intent.summary} ({failure}). "
        "Nothing else was sent; plan again: that looks first."
    )
