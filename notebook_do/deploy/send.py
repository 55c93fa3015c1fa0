"""Sends one mutation until it is done, refused, or uncertain. After any unclear answer, live facts decide.

The same body is sent again only after the script list has shown that it did not arrive; a migration is guarded twice,
by that look and by its tag. No retry library can do this: what decides is not the exception but what is live by then
(wrangler repeats the PUT blindly, and a first attempt that arrived makes the second fail with 10079: workers-sdk#705).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.cloudflare.lifecycle import beginnings, decode_reconciliation
from notebook_do.cloudflare.retry import Cancelled, is_definite
from notebook_do.cloudflare.triggers import consumed_queues, make_queue, remove_trigger, set_trigger
from notebook_do.deploy.faults import SCRIPT_FAULTS
from notebook_do.deploy.look import Overtaken, Sent, SharedLists, Uncertain, look, unclear, until_there
from notebook_do.display.formats import short_namespace
from notebook_do.errors import ApiError, DeployError
from notebook_do.live.observe import observe_namespaces, users_of
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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from notebook_do.cloudflare.client import Client
    from notebook_do.cloudflare.wire import UploadForm
    from notebook_do.deploy.intents import Mutation
    from notebook_do.state.journal import Intent

SENDS = 4
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
STILL_IN_USE = 10064
"""Cloudflare's code for a script that namespaces depend on; that a DELETE answers it for its own ones is emulated: no
document tells whether it refuses those. The same code says that the script still consumes a queue."""


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

    `again` is called before it is sent once more. A `fresh` script was uploaded by this deploy: Cloudflare may not know
    it yet.
    """

    async def once() -> Sent:
        return await until_there(client, intent.script_name, lambda: _send_once(client, step, form), fresh=fresh)

    sent, sure = await _until_sent(client, intent, once, again, fresh=fresh)
    if isinstance(step, Upload) and await _came_second(client, step, intent, sent.reconciled.began if sure else None):
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
    # Once in doubt, always in doubt: a request without an answer may be carried out after any later one was refused.
    doubt = False
    for attempt in range(1, SENDS + 1):
        if attempt > 1:
            again()
        try:
            return await once(), not doubt  # in doubt, what an earlier attempt did may be what is answered now
        except (ApiError, NoAnswer) as error:
            failure = error
        except Cancelled as cancelled:  # while it waited for its turn
            raise unclear(intent, cancelled) if doubt else cancelled from None
        if isinstance(failure, ApiError) and is_definite(failure):
            if failure.code not in _ECHOES[intent.kind]:
                # A fault of the script is certain in spite of any doubt: the same body was refused for it before, too.
                raise unclear(intent, failure) if doubt and failure.code not in SCRIPT_FAULTS else failure
            # Without doubt one look is enough: then it is somebody else's tag or class that refused this.
            if sent := await look(SharedLists(client), intent, change_expected=doubt, fresh=fresh):
                return sent, False
            raise unclear(intent, failure) if doubt else failure
        doubt = doubt or not is_definite(failure)
        # Before the look as well: a request whose answer was lost may need a moment more to be carried out.
        try:
            await _pause(client, failure, attempt)
        except Cancelled as cancelled:
            raise unclear(intent, cancelled) if doubt else cancelled from None
        if doubt and (sent := await look(SharedLists(client), intent, fresh=fresh)):
            return sent, False
    raise unclear(intent, failure) if doubt else failure


async def _pause(client: Client, failure: ApiError | NoAnswer, attempt: int) -> None:
    """Wait before looking or sending again; a wait longer than we are ready for ends the attempt."""
    seconds = client.pace.pause(failure, attempt)
    if seconds > client.pace.longest:
        raise Uncertain(
            f"Cloudflare asks to wait {seconds:.0f} s, longer than a deploy waits; plan again later. ({failure})"
        )
    asked = getattr(failure, "status", 0) == 429
    why = (
        "Cloudflare asks for a pause (429), then it is tried again" if asked else "then it is looked what became of it"
    )
    await client.pace.wait(seconds, f"{why} ({attempt + 1} of {SENDS})")


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
    if intent.existed:  # its deployments from before say nothing of this one
        return False
    try:
        name = intent.script_name
        return len(await until_there(client, name, lambda: client.list_deployments(name), fresh=True)) > 1
    except (ApiError, NoAnswer, DeployError) as error:
        raise unclear(intent, error) from None


async def _send_once(client: Client, step: Mutation, form: UploadForm | None) -> Sent:
    """Send the one request of a step; a trigger, a queue or a deletion is looked at before, with reads."""
    match step:
        case Upload():
            if form is None:
                raise AssertionError("an upload without its form")
            result = await client.upload_script(step.script_name, form)
            reconciled = decode_reconciliation(result, step.script_name)
            return Sent(script=wire.decode_upload(result, step.script_name), reconciled=reconciled)
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
            await _delete(client, step)
        case _:
            assert_never(step)
    return Sent()


# --- the deletion of a Worker that hosts Durable Objects


async def _delete(client: Client, step: DeleteScript) -> None:
    """Delete a script; raises DeployError, with the script left as it is, when more than its own namespaces hold it.

    Unforced first, and forced only when nothing but its own namespaces hold it: `?force=true` deletes them even where
    other Workers bind them (Cloudflare's OpenAPI text), so who binds them is asked again right before.
    """
    try:
        await client.delete_script(step.script_name)
    except ApiError as refused:
        if refused.code != STILL_IN_USE or not step.namespace_ids:  # without any, nothing of its own can hold it
            raise
        await _check_only_its_own(client, step, refused)
        await client.delete_script(step.script_name, force=True)


async def _check_only_its_own(client: Client, step: DeleteScript, refused: ApiError) -> None:
    """Raise DeployError, or what refused the deletion, unless the script's own namespaces are all that holds it."""
    name = step.script_name
    hosted = {n.namespace_id for n in (await observe_namespaces(client)).values() if n.script_name == name}
    # A person consented to the loss of the namespaces in the plan, and to no other.
    if others := sorted(hosted - set(step.namespace_ids)):
        since = short_namespace(others[0])
        raise DeployError(f"Worker {name} hosts namespace {since} since, which nobody agreed to lose; plan again.")
    if not hosted:  # then something else holds it, which only the refusal names
        raise refused
    holders = [f"Worker {user}" for user in await users_of(client, name, hosted)]
    holders += [f"queue {q}" for q in await consumed_queues(client, name)]
    if holders:
        raise DeployError(
            f"Worker {name} is still used by {', '.join(holders)}; deleting it would take that away too. Remove that "
            "first, then plan again."
        )
