"""Sends the steps of one plan: each is journalled and sent, what was accepted is seen live, and recorded.

In this order, so that a crash between any two leaves an open intent, or the outcome of one: the next run finds out how
far it came.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.assets import send_assets
from notebook_do.credentials.vault import make_key
from notebook_do.deploy.conflicts import check_overwritten, unguarded
from notebook_do.deploy.intents import intent_of, new_op, with_ids, with_marks, with_own_tags
from notebook_do.deploy.look import Uncertain, verify, verify_shown
from notebook_do.deploy.record import done_of
from notebook_do.deploy.recover import today
from notebook_do.deploy.send import send
from notebook_do.errors import DurableError, StateError
from notebook_do.model.steps import DeleteScript, MakeQueue, SetMark, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from notebook_do.credentials.vault import Vault
    from notebook_do.deploy.conflicts import KnownScripts
    from notebook_do.deploy.intents import Mutation
    from notebook_do.deploy.look import Live, Sent, SharedLists
    from notebook_do.deploy.record import Recording
    from notebook_do.model import MigrationTag, ObservedScript
    from notebook_do.plan.plan import Plan
    from notebook_do.state.journal import Intent, Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A mutation that was accepted: as it was sent, and what it was answered."""

    step: Mutation
    intent: Intent
    sent: Sent


class Sender:
    """Sends the steps of `plan` and knows what they leave behind; `lists` are what is read between them."""

    def __init__(  # noqa: PLR0913, PLR0917 - one plan, what it is sent with, and where it is written down
        self,
        plan: Plan,
        lists: SharedLists,
        known: KnownScripts,
        recording: Recording,
        journal: Journal,
        vault: Vault,
        now: Callable[[], float],
    ) -> None:
        self.plan, self.lists, self.client, self.known = plan, lists, lists.client, known
        self.recording, self.journal, self.vault, self.now = recording, journal, vault, now
        self._tags: dict[MigrationTag, MigrationTag] = {}
        self._deployments = dict(plan.deployments)
        self.begin_wave()

    def begin_wave(self) -> None:
        """Take in what is recorded since the last wave."""
        recorded = self.recording.recorded
        self._ids = {n.stable_id: n.namespace_id for n in recorded.namespaces}
        self._secrets = {w.id: dict(w.secrets) for w in recorded.workers if w.secrets}
        self._recorded = frozenset(w.script_name for w in recorded.workers)
        self._namespaces = frozenset({i for i, *_ in self.plan.baseline.namespaces} | set(self._ids.values()))

    async def send(self, step: Mutation) -> Accepted:
        """Journal one step and send it. Raises the error of a definite refusal, or Uncertain."""
        recorded = self.recording.recorded
        if isinstance(step, Upload):
            step = self._with_marks(with_own_tags(step, recorded, self._tags))
        elif isinstance(step, SetMark):
            step = with_ids(step, await self._with_its_tags(step.script_name), self._ids)
        op = new_op(recorded)
        form = await self._form(step, op) if isinstance(step, Upload) else None
        intent = intent_of(
            step,
            op=op,
            serial=recorded.serial,
            live=self.known.scripts.get(step.script_name),
            digest=form.digest if form else "",
            known=self._namespaces,
        )
        self._begin(intent)
        await asyncio.to_thread(self.journal.sync)  # others are sent meanwhile: a disk may take as long as the network
        try:
            # 10007 says of an upload that what it binds is absent, of a deletion that it is done: neither is a lag.
            fresh = step.script_name in self.known.fresh and not isinstance(step, Upload | DeleteScript)
            sent = await send(self.client, step, intent, form, again=lambda: self._again(intent), fresh=fresh)
        except Uncertain:
            raise  # the intent stays open: the next plan looks first
        except DurableError:
            self.journal.end(op, "not done", refused=True)
            raise
        self._leave(step, sent.script, op)
        return Accepted(step=step, intent=intent, sent=sent)

    async def see(self, accepted: Collection[Accepted]) -> dict[str, Live | Uncertain]:
        """Read the lists until they show the uploads that were accepted; return by op what is live, or what is wrong.

        One list for all that creates or moves namespaces, and one for all that does not.
        """
        seen = await verify(self.lists, (a.intent for a in accepted if a.intent.verify))
        # The namespaces say nothing of an upload of code alone.
        shown = await verify_shown(self.lists, ((a.intent, a.sent.script) for a in accepted if not a.intent.verify))
        for op, script in shown.items():
            if isinstance(script, Uncertain):
                seen[op] = script
            else:
                self.known.listed(script)
                seen[op] = {}
        return seen

    async def check_overwritten(self, accepted: Accepted) -> None:
        """Raise Overtaken when an upload replaced what somebody else sent since the plan was made."""
        step, intent = accepted.step, accepted.intent
        is_ours = intent.script_name in self._recorded
        if isinstance(step, Upload) and unguarded(step, is_ours=is_ours, existed=intent.existed):
            await check_overwritten(self.client, intent, self._deployments.get(step.script_name))

    def record(self, accepted: Accepted, live: Live) -> None:
        """Write down that a mutation happened; raises Uncertain when that cannot be written."""
        intent, removable = accepted.intent, accepted.sent.reconciled.removable
        script = self.known.scripts.get(intent.script_name)
        done = done_of(intent, script=script, live=live, at=today(), removable=removable)
        try:
            self.recording.done(intent, done)
        except StateError as error:
            raise unrecorded(intent.summary, error) from None

    def _leave(self, step: Mutation, script: ObservedScript | None, op: str) -> None:
        """Note how a step leaves its script: what a later step finds otherwise was changed by somebody else."""
        if isinstance(step, DeleteScript):
            self.known.deleted(step.script_name)
        elif isinstance(step, Upload) and script is not None:
            self.known.uploaded(step, script, op)
        elif not isinstance(step, MakeQueue):
            self.known.touched(step.script_name)

    def _begin(self, intent: Intent) -> None:
        """Journal what is about to be sent, with the time, from which `recover` knows how long it may be under way."""
        if intent.known:
            self.journal.know(intent.known)
        self.journal.begin(replace(intent, sent_at=self.now()))

    def _again(self, intent: Intent) -> None:
        self._begin(intent)
        self.journal.sync()

    async def _with_its_tags(self, script_name: str) -> ObservedScript | None:
        """Return a script as it is live; the list is read where the answer to its upload did not have its tags."""
        known = self.known.scripts.get(script_name)
        return known if known and known.tags else (await self.lists.scripts()).get(script_name)

    def _with_marks(self, step: Upload) -> Upload:
        """Mark the secrets that `step` sets, so that a later plan can tell whether they changed."""
        found = wire.secrets_of(step)
        key = make_key(self.recording.recorded.lineage) if found else b""
        marks = {name: self.vault.mark(secret, key, step.script_name, name) for name, secret in found.items()}
        return with_marks(step, self._secrets.get(step.worker, {}), marks)

    async def _form(self, step: Upload, op: str) -> wire.UploadForm:
        """Write the form of an upload; its static assets go first: they change nothing until the upload names them."""
        assets = await send_assets(self.client, step.script_name, step.assets) if step.assets else None
        return wire.encode_upload(step, op=op, vault=self.vault, assets=assets)


def unrecorded(summary: str, error: StateError) -> Uncertain:
    """Return the error of a step that happened, and is not in the state file."""
    return Uncertain(
        f"{summary} happened, but could not be recorded: {error} "
        "The journal knows of it: plan again when that is mended, and it is recorded then."
    )
