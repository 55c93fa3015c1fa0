"""Sends one mutation until it is done, refused, or uncertain. After any unclear answer, live facts decide.

The same body is sent again only after the script list has shown that it did not arrive; a migration is guarded twice,
by that look and by its tag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.cloudflare.reconciliation import Reconciliation, beginnings, decode_reconciliation
from notebook_do.cloudflare.retry import Cancelled, is_definite
from notebook_do.cloudflare.triggers import has_queue, holds, make_queue, read_triggers, remove_trigger, set_trigger
from notebook_do.deploy.deletion import delete_worker
from notebook_do.deploy.intents import Mutation, judge
from notebook_do.deploy.record import missing
from notebook_do.deploy.script_faults import SCRIPT_FAULTS
from notebook_do.deploy.there import until_there
from notebook_do.errors import ApiError, DeployError
from notebook_do.live.observe import observe_namespaces, observe_scripts
from notebook_do.model.steps import (
    DeleteScript,
    MakeQueue,
    RemoveTrigger,
    SetMark,
    SetSchedules,
    SetTrigger,
    SetUrl,
    Upload,
)
from notebook_do.plan.namespaces.marks import bears_mark, op_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from notebook_do.cloudflare.client import Client
    from notebook_do.cloudflare.wire import UploadForm
    from notebook_do.model import NamespaceId, ObservedNamespace, ObservedScript
    from notebook_do.state.journal import Intent, Status

SENDS = 4
LOOKS = 6
_ECHOES = {
    "upload": frozenset({10079, 10074}),
    "delete": frozenset({10007, 10090}),
    "mark": frozenset(),
    "url": frozenset(),
    "crons": frozenset(),
    "queue": frozenset({11009}),
    "trigger": frozenset(),
    "untrigger": frozenset(),
}
"""Refusals that an own request causes when it arrived twice: the tag is set, the class exists, the script is gone, the
name of the queue is taken (11009 is emulated)."""


class Uncertain(DeployError):  # noqa: N818 - what happened
    """It cannot be told whether the mutation happened."""


class Mismatched(Uncertain):
    """It was accepted, and the namespaces are not as it should have left them."""


class Overtaken(Uncertain):
    """Somebody else's change hides what became of the mutation; looking again will not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A mutation that happened; after an upload, the script as it was answered or seen live.

    `told` is what the upload's own answer says of its `exports`; it says nothing where that answer was lost.
    """

    script: ObservedScript | None = None
    told: Reconciliation = field(default=Reconciliation())


async def send(  # noqa: PLR0913 - one mutation, and what is known of its script
    client: Client,
    step: Mutation,
    intent: Intent,
    form: UploadForm | None,
    *,
    again: Callable[[], None] = lambda: None,
    fresh: bool = False,
) -> Sent:
    """Carry out one mutation. Raises the error of a definite refusal, or Uncertain.

    `again` notes that it is sent again. A `fresh` script was uploaded by this deploy: Cloudflare may not know it yet.
    """

    async def once() -> Sent:
        return await until_there(client, intent.script_name, lambda: _once(client, step, form), fresh=fresh)

    sent, sure = await _until_sent(client, intent, once, again, fresh=fresh)
    if isinstance(step, Upload) and await _came_second(client, step, intent, sent.told.began if sure else None):
        raise Overtaken(
            f"this happened, but its classes were there already: {intent.summary}. Another deploy was first, at the "
            "same moment (or the request arrived twice). No objects are lost, and the later code is live. Nothing else "
            "was sent; plan again and compare."
        )
    return sent


async def _until_sent(
    client: Client, intent: Intent, once: Callable[[], Awaitable[Sent]], again: Callable[[], None], *, fresh: bool
) -> tuple[Sent, bool]:
    """Send until it happened; True when no earlier attempt can have been what its answer tells of."""
    doubt = False  # an earlier attempt may have arrived, or may still
    for attempt in range(1, SENDS + 1):
        if attempt > 1:
            again()
        try:
            return await once(), not doubt
        except (ApiError, NoAnswer) as error:
            failure = error
        except Cancelled as cancelled:  # while it waited for its turn
            raise unclear(intent, cancelled) if doubt else cancelled from None
        if isinstance(failure, ApiError) and is_definite(failure):
            if failure.code not in _ECHOES[intent.kind]:
                raise unclear(intent, failure) if doubt and failure.code not in SCRIPT_FAULTS else failure
            if sent := await look(client, intent, change_expected=doubt, fresh=fresh):
                return sent, False
            raise unclear(intent, failure) if doubt else failure
        doubt = doubt or not is_definite(failure)
        try:
            await _pause(client, failure, attempt)
        except Cancelled as cancelled:
            raise unclear(intent, cancelled) if doubt else cancelled from None
        if doubt and (sent := await look(client, intent, fresh=fresh)):
            return sent, False
    raise unclear(intent, failure) if doubt else failure


async def _came_second(client: Client, step: Upload, intent: Intent, began: frozenset[str] | None) -> bool:
    """Say whether somebody else created or renamed meanwhile what this upload was to create or rename.

    A migration tag forbids it; `exports` takes what is there already for what was asked. So the upload's answer tells,
    and when that was lost, a script that was new has more than one deployment.
    """
    migration = step.migration
    if migration is None or migration.wire != "exports":
        return False
    if began is not None:
        return not beginnings(migration) <= began
    if intent.existed:
        return False
    try:
        name = intent.script_name
        return len(await until_there(client, name, lambda: client.list_deployments(name), fresh=True)) > 1
    except (ApiError, NoAnswer, DeployError) as error:
        raise unclear(intent, error) from None


async def look(client: Client, intent: Intent, *, change_expected: bool = False, fresh: bool = False) -> Sent | None:
    """Look whether `intent` happened; None when it did not. Raises Uncertain when that cannot be told.

    With `change_expected`, looks several times while the lists lag behind.
    """
    for turn in range(1, LOOKS + 1):
        try:
            if turn > 1:
                await client.pace.wait(backoff(turn), f"looking again whether this happened: {intent.summary}")
            name = intent.script_name
            status, script = await until_there(client, name, lambda: state_of(client, intent), fresh=fresh)
        except (ApiError, NoAnswer, DeployError) as error:
            raise unclear(intent, error) from None
        if status == "done":
            return Sent(script=script)
        if status == "uncertain":
            raise _overtaken(intent)
        if not change_expected:
            break
    return None


async def verify_shown(client: Client, intent: Intent, answered: ObservedScript | None) -> ObservedScript:
    """Read the script list until it shows an upload, by its op or the answered etag; raises Uncertain otherwise."""
    for turn in range(1, LOOKS + 1):
        try:
            if turn > 1:
                await client.pace.wait(backoff(turn), f"waiting for the script list to show this: {intent.summary}")
            live = (await observe_scripts(client)).get(intent.script_name)
        except (ApiError, NoAnswer, Cancelled) as error:
            raise unclear(intent, error) from None
        status = judge(intent, {live.name: live} if live else {})
        untagged = live is not None and op_of(live) is None and answered is not None
        if live and (status == "done" or (untagged and answered and live.etag == answered.etag)):
            return live
        if status == "uncertain":
            raise _overtaken(intent)
    raise Mismatched(
        f"{intent.summary} was accepted, but the script list does not show it. Nothing else was sent; plan again."
    )


async def verify(client: Client, intent: Intent) -> Mapping[NamespaceId, ObservedNamespace]:
    """Read the namespaces until those of `intent` are as they should be; raises Uncertain when they never are."""
    problems: list[str] = []
    for turn in range(1, LOOKS + 1):
        try:
            if turn > 1:
                await client.pace.wait(backoff(turn), f"waiting for the namespace list: {problems[0]}")
            live = await observe_namespaces(client)
        except (ApiError, NoAnswer, Cancelled) as error:
            raise unclear(intent, error) from None
        problems = missing(intent, live)
        if not problems:
            return live
    raise Mismatched(
        f"{intent.summary} was accepted, but {'; '.join(problems)}. Nothing else was sent; plan again, compare the ids."
    )


async def _once(client: Client, step: Mutation, form: UploadForm | None) -> Sent:
    match step:
        case Upload():
            if form is None:
                raise AssertionError("an upload without its form")
            result = await client.upload_script(step.script_name, form)
            told = decode_reconciliation(result, step.script_name)
            return Sent(script=wire.decode_upload(result, step.script_name), told=told)
        case SetMark():
            await client.set_tags(step.script_name, step.tags)
        case SetUrl():
            await client.set_script_url(step.script_name, enabled=step.enabled, previews=step.previews)
        case SetSchedules():
            await client.set_schedules(step.script_name, step.crons)
        case MakeQueue():
            await make_queue(client, step.queue)
        case SetTrigger():
            await set_trigger(client, step.script_name, step.trigger)
        case RemoveTrigger():
            await remove_trigger(client, step.script_name, step.trigger)
        case DeleteScript():
            await delete_worker(client, step)
        case _:
            assert_never(step)
    return Sent()


async def state_of(client: Client, intent: Intent) -> tuple[Status, ObservedScript | None]:
    """Ask the live facts that tell about `intent`: how it stands, and the script where an upload tells."""
    match intent.kind:
        case "mark":
            there = (await observe_scripts(client)).get(intent.script_name)
            return _told(there is not None and bears_mark(there.tags, intent.tags)), None
        case "url":
            enabled, previews = await client.script_url(intent.script_name)
            return _told(enabled == intent.enabled and intent.previews in (None, previews)), None
        case "crons":
            live = set(wire.decode_crons(await client.schedules(intent.script_name)))
            return _told(live == set(intent.crons)), None
        case "queue":
            return _told(await has_queue(client, intent.queue)), None
        case "trigger" | "untrigger":
            if intent.trigger is None:
                raise AssertionError("an intent about a trigger without it")
            (holder,) = await read_triggers(client, [intent.trigger])
            if intent.kind == "untrigger":
                return _told(holder.script != intent.script_name), None
            return _told(holds(holder, intent.script_name, intent.trigger)), None
        case "upload" | "delete":
            scripts = await observe_scripts(client)
            return judge(intent, scripts), scripts.get(intent.script_name)
        case _:
            assert_never(intent.kind)


def _told(happened: bool) -> Status:  # noqa: FBT001 - a comparison's outcome
    return "done" if happened else "not done"


async def _pause(client: Client, failure: ApiError | NoAnswer, attempt: int) -> None:
    """Wait before looking or sending again; a wait longer than we are ready for ends the attempt."""
    seconds = client.pace.pause(failure, attempt)
    if seconds > client.pace.longest:
        raise Uncertain(
            f"Cloudflare asks to wait {seconds:.0f} s, longer than a deploy waits; plan again later. ({failure})"
        )
    await client.pace.wait(seconds, f"looking what became of the request, attempt {attempt} of {SENDS}")


def backoff(turn: int) -> float:
    """Give the seconds before a look: 1 before the second, then twice as many each time."""
    return float(2 ** (turn - 2))


def _overtaken(intent: Intent) -> Overtaken:
    return Overtaken(
        f"script {intent.script_name} was changed by somebody else during the deploy; it cannot be told "
        f"whether this happened: {intent.summary}. Nothing else was sent; plan again and compare."
    )


def unclear(intent: Intent, failure: Exception) -> Uncertain:
    """Return the error of a mutation of which `failure` hides what became of it."""
    return Uncertain(
        f"it cannot be told whether this happened: {intent.summary} ({failure}). "
        "Nothing else was sent; plan again: that looks first."
    )
