"""Runs one plan under the lock: recover, observe again, compare, ask for consents, then step after step."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.assets import send_assets
from notebook_do.credentials.vault import Vault
from notebook_do.deploy.before import check_consents, check_decided, check_secrets, not_our_own, verified_afterwards
from notebook_do.deploy.intents import intent_of, new_op, with_ids, with_marks, with_own_tags
from notebook_do.deploy.meanwhile import Left, first_change, must_be_compared
from notebook_do.deploy.order import waits_for
from notebook_do.deploy.overwrite import check_overwritten, unguarded
from notebook_do.deploy.record import after_forget, after_intent
from notebook_do.deploy.recover import bound, recognise, resolve, today
from notebook_do.deploy.result import DeployResult, Event, EventKind, Outcome, of_nothing
from notebook_do.deploy.script_faults import blamed
from notebook_do.deploy.send import Sent, Uncertain, send, verify, verify_shown
from notebook_do.deploy.stale import differences, diverged
from notebook_do.errors import (
    DeployError,
    DurableError,
    PlanRefused,
    SourceError,
    StalePlan,
    StateError,
)
from notebook_do.live.observe import observe, observe_scripts
from notebook_do.model.steps import DeleteScript, Forget, MakeQueue, SetMark, Upload
from notebook_do.plan.plan import take_baseline
from notebook_do.plan.workers.settings import update_notes
from notebook_do.state import make_key
from notebook_do.state.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from notebook_do.cloudflare.client import Client
    from notebook_do.deploy.intents import Mutation
    from notebook_do.model import MigrationTag, NamespaceId, ObservedNamespace, ObservedScript, Recorded
    from notebook_do.model.steps import Step
    from notebook_do.plan.plan import Plan
    from notebook_do.state import StateFile
    from notebook_do.state.journal import Intent, Status

AT_ONCE = 4
"""How many steps of independent Workers are under way together."""
GRACE_SECONDS = 8.0
"""How long an interrupted deploy may take to finish the step that is under way."""


async def deploy(  # noqa: PLR0913 - one plan, its surroundings, and three ways to talk
    plan: Plan,
    *,
    client: Client,
    state: StateFile,
    confirm: Collection[str] = (),
    emit: Callable[[Event], None] = lambda _: None,
    cancel: Callable[[], bool] = lambda: False,
    vault: Vault | None = None,
    now: Callable[[], float] = time.time,
) -> DeployResult:
    """Send exactly `plan`. `confirm` holds the typed phrases of its consents; `cancel` is asked between steps.

    `vault` holds the secrets that the plan sets; without it they are read anew.

    Raises, with nothing sent: PlanRefused, StalePlan, ConsentRequired, CredentialError, StateError. Raises SourceError
    for a fault of the script and DeployError for any other stop; both hold `result`, the outcome of every step.
    """
    if plan.refusals:
        raise PlanRefused("the plan is refused: " + " · ".join(r.message for r in plan.refusals))
    if plan.empty:
        return of_nothing(plan, state.load(account_id=client.account_id, api_origin=client.origin))
    vault = vault or Vault()
    check_secrets(plan, vault)
    with state.lock():
        run = _Run(plan, client, state, emit, cancel, vault, now)
        with client.waiting(run.waiting, cancel):
            await run.begin(frozenset(confirm))
            return await run.steps()


class _Run:
    """One deploy under way. `recorded` is always what the state file holds."""

    def __init__(  # noqa: PLR0913, PLR0917 - what `deploy` was given
        self,
        plan: Plan,
        client: Client,
        state: StateFile,
        emit: Callable[[Event], None],
        cancel: Callable[[], bool],
        vault: Vault,
        now: Callable[[], float],
    ) -> None:
        self.plan, self.client, self.state = plan, client, state
        self.emit, self.cancel, self.vault, self.now = emit, cancel, vault, now
        self.journal = Journal(state.journal_path)
        self.outcomes: dict[int, Outcome] = {}
        self.failed: tuple[int, DurableError] | None = None
        self.cancelled = False
        self.notes: list[str] = []
        self.sent_before = client.requests_sent
        self.recorded: Recorded
        self.left = Left(scripts={})
        self.tags: dict[MigrationTag, MigrationTag] = {}

    async def begin(self, confirm: frozenset[str]) -> None:
        """Recover, observe again, refuse a stale plan or a missing consent, and make sure that state can be written."""
        recovered = await resolve(self.client, self.state, self.now)
        listed = not verified_afterwards(self.plan)
        observed = await observe(self.client, scripts=(), settings=False, namespaces=listed)
        recovered += await recognise(self.client, self.state, {s.name: s for s in observed.scripts})
        self.recorded = self._load()
        check_decided(self.plan, recovered)
        now = take_baseline(self.recorded, observed, self.plan.scripts, self.plan.namespace_ids)
        if not listed:
            now = replace(now, namespaces=self.plan.baseline.namespaces)
        if changes := differences(self.plan.baseline, now):
            done = [o.text for o in recovered if o.status == "done"]
            what = f"an interrupted deploy was completed ({'; '.join(done)})" if done else "; ".join(changes)
            raise StalePlan(f"plan {self.plan.digest} is stale: {what}. Nothing was sent; look at the new plan.")
        if other := diverged(self.recorded, not_our_own(self.journal, observed.scripts), self.plan.scripts):
            raise StateError(other)
        check_consents(self.plan, confirm)
        self.state.prepare()
        self.recorded = bound(self.recorded, self.client)
        if any(wire.secrets_of(s) for s in self.plan.steps if isinstance(s, Upload)):
            make_key(self.recorded.lineage)
        self.left = Left(scripts={s.name: s for s in observed.scripts})

    async def steps(self) -> DeployResult:
        """Run the steps, each after those it waits for, a few at once; nothing new begins after a failure."""
        waits = waits_for(self.plan.steps)
        running: dict[asyncio.Task[Outcome], int] = {}
        self.compared = {i for i, earlier in enumerate(waits) if not earlier}
        try:
            while True:
                await self._compare(self._ready(waits, frozenset(running.values())))
                for index in self._ready(waits, frozenset(running.values()))[: AT_ONCE - len(running)]:
                    self._event("step", index, self.plan.steps[index].summary)
                    running[asyncio.ensure_future(self._step(self.plan.steps[index]))] = index
                if not running:
                    break
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    self._note(running.pop(task), task)
        except BaseException:
            await self._let_finish(running)
            self._finished("interrupted before this")
            raise
        if self.failed is not None:
            raise self._stopped(*self.failed)
        self.journal.shorten()
        return self._finished("cancelled before this")

    def waiting(self, text: str) -> None:
        """Show that the deploy waits."""
        self._event("waiting", min(len(self.outcomes), len(self.plan.steps) - 1), text)

    def _ready(self, waits: tuple[frozenset[int], ...], running: frozenset[int]) -> list[int]:
        """Give the steps that can begin now; none after a failure or a cancel."""
        if self.failed is not None or self.cancelled:
            return []
        left = [i for i in range(len(self.plan.steps)) if i not in self.outcomes and i not in running]
        if left and self.cancel():
            self.cancelled = True
            self._event("failed", left[0], "cancelled")
            return []
        return [i for i in left if waits[i] <= self.outcomes.keys()]

    async def _compare(self, ready: list[int]) -> None:
        """Stop before steps that became ready together and rest on what somebody else changed since the start."""
        fresh = {i: self.plan.steps[i] for i in ready if i not in self.compared}
        self.compared |= fresh.keys()
        if not any(map(must_be_compared, fresh.values())):
            return
        try:
            found = await first_change(self.client, self.left, fresh)
        except DurableError as error:
            self._fail(min(fresh), error, "not done")
            return
        if found is not None:
            index, words = found
            self._fail(index, DeployError(f"{words}. Nothing else was sent; plan again and compare."), "not done")

    def _fail(self, index: int, error: DurableError, status: Status) -> None:
        """Note that a step failed; the first failure is the one to tell."""
        self.outcomes[index] = Outcome(text=self.plan.steps[index].summary, status=status, detail=error.message)
        self.failed = self.failed or (index, error)
        self._event("failed", index, error.message)

    def _note(self, index: int, task: asyncio.Task[Outcome]) -> None:
        """Note how a step ended; an error that is none of ours is a bug and goes on."""
        step = self.plan.steps[index]
        try:
            self.outcomes[index] = task.result()
        except DurableError as caught:
            error = blamed(caught, step)
            status: Status = "uncertain" if isinstance(error, Uncertain) else "not done"
            self._fail(index, error, status)
        except asyncio.CancelledError:
            detail = "interrupted; the next plan looks what became of it"
            self.outcomes[index] = Outcome(text=step.summary, status="uncertain", detail=detail)
        else:
            self._event("done", index, step.summary)

    async def _let_finish(self, running: dict[asyncio.Task[Outcome], int]) -> None:
        """Let the steps under way finish for a short time, then end them: an open intent says what to look at."""
        try:
            if running:
                await asyncio.wait(running, timeout=GRACE_SECONDS)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for task, index in running.items():
                self._note(index, task)

    # --- one step

    async def _step(self, step: Step) -> Outcome:
        if isinstance(step, Forget):
            self.recorded = self.state.save(after_forget(self.recorded, step.stable_ids, step.workers, today()))
            return Outcome(text=step.summary, status="done")
        if isinstance(step, Upload):
            step = self._with_marks(with_own_tags(step, self.recorded, self.tags))
        elif isinstance(step, SetMark):
            step = with_ids(step, await self._with_its_tags(step.script_name), self.recorded)
        op = new_op(self.recorded)
        form = await self._form(step, op) if isinstance(step, Upload) else None
        intent = intent_of(
            step,
            op=op,
            serial=self.recorded.serial,
            live=self.left.scripts.get(step.script_name),
            digest=form.digest if form else "",
            known={i for i, *_ in self.plan.baseline.namespaces} | {n.namespace_id for n in self.recorded.namespaces},
        )
        self._begin(intent)
        try:
            fresh = step.script_name in self.left.fresh and not isinstance(step, Upload | DeleteScript)
            sent = await send(self.client, step, intent, form, again=lambda: self._begin(intent), fresh=fresh)
            live = await verify(self.client, intent) if intent.verify else {}
            self._leave(step, sent.script, op)
            if isinstance(step, Upload) and not intent.verify:
                self.left.seen(await verify_shown(self.client, intent, sent.script))
            if isinstance(step, Upload) and unguarded(step, self.recorded, existed=intent.existed):
                await check_overwritten(self.client, intent, dict(self.plan.deployments).get(step.script_name))
        except Uncertain:
            raise  # the intent stays open: the next plan looks first
        except DurableError:
            self.journal.end(op, "not done", refused=True)
            raise
        try:
            self._record(intent, sent, live)
        except StateError as error:
            raise Uncertain(
                f"{step.summary} happened, but could not be recorded: {error} "
                "The journal knows of it: plan again when that is mended, and it is recorded then."
            ) from None
        return Outcome(text=step.summary, status="done")

    def _leave(self, step: Mutation, script: ObservedScript | None, op: str) -> None:
        """Remember how a step of ours leaves its script: what a later step finds otherwise is somebody else's."""
        if isinstance(step, DeleteScript):
            self.left.deleted(step.script_name)
        elif isinstance(step, Upload) and script is not None:
            self.left.uploaded(step, script, op)
        elif not isinstance(step, MakeQueue):
            self.left.set(step.script_name)

    def _begin(self, intent: Intent) -> None:
        """Journal what is about to be sent, with the time: how long it may still be carried out is told from it."""
        self.journal.begin(replace(intent, sent_at=self.now()))

    async def _with_its_tags(self, script_name: str) -> ObservedScript | None:
        """Give a script as it is live; it is read again where the answer to its upload did not tell its tags."""
        known = self.left.scripts.get(script_name)
        return known if known and known.tags else (await observe_scripts(self.client)).get(script_name)

    def _with_marks(self, step: Upload) -> Upload:
        """Mark the secrets that `step` sets, so that a later plan can tell whether they changed."""
        found = wire.secrets_of(step)
        key = make_key(self.recorded.lineage) if found else b""
        marks = {name: self.vault.mark(secret, key, step.script_name, name) for name, secret in found.items()}
        return with_marks(step, self.recorded, marks)

    async def _form(self, step: Upload, op: str) -> wire.UploadForm:
        """Write the form of an upload; its static assets go first: they change nothing until the upload names them."""
        assets = await send_assets(self.client, step.script_name, step.assets) if step.assets else None
        return wire.encode_upload(step, op=op, vault=self.vault, assets=assets)

    def _record(self, intent: Intent, sent: Sent, live: Mapping[NamespaceId, ObservedNamespace]) -> None:
        script, removable = self.left.scripts.get(intent.script_name), sent.told.removable
        now = after_intent(self.recorded, intent, script=script, live=live, at=today(), removable=removable)
        self.recorded = self.state.save(now)
        self.notes += [note for note in sent.told.notes if note not in self.notes]
        self.journal.end(intent.op, "done")

    # --- how it ends

    def _stopped(self, index: int, error: DurableError) -> DurableError:
        """Make the error that tells how far the deploy came."""
        result = self._finished("stopped before this")
        stopped = result.outcomes[index]
        rest = [(o.text, o.status) for o in result.outcomes if o is not stopped]
        tails = [
            (word, [text for text, status in rest if status == word]) for word in ("done", "not done", "uncertain")
        ]
        tail = "".join(f" {word.capitalize()}: {'; '.join(texts)}." for word, texts in tails if texts)
        if isinstance(error, SourceError):
            fault = SourceError(error.message + tail, line=error.line)
            fault.result = result
            return fault
        stop = DeployError(f"{stopped.text} is {stopped.status}: {error}{tail}")
        stop.result, stop.error = result, error
        return stop

    def _finished(self, rest: str) -> DeployResult:
        """Give the result; steps that were not reached are not done, because of `rest`."""
        outcomes = tuple(
            self.outcomes.get(i) or Outcome(text=s.summary, status="not done", detail=rest)
            for i, s in enumerate(self.plan.steps)
        )
        done = [s for s, o in zip(self.plan.steps, outcomes, strict=True) if o.status == "done"]
        result = DeployResult(
            plan_digest=self.plan.digest,
            outcomes=outcomes,
            workers={w.id: w.script_name for w in self.recorded.workers},
            namespaces={n.stable_id: n.namespace_id for n in self.recorded.namespaces},
            requests=self.client.requests_sent - self.sent_before,
            notes=(*self.plan.notes, *self.notes, *update_notes(done, self.plan.target, done=True)),
        )
        counts = [f"{sum(o.status == s for o in outcomes)} {s}" for s in ("done", "not done", "uncertain")]
        self._event("finished", len(outcomes) - 1, ", ".join(c for c in counts if not c.startswith("0 ")))
        return result

    def _event(self, kind: EventKind, index: int, text: str) -> None:
        self.emit(Event(kind=kind, index=index + 1, total=len(self.plan.steps), text=text))

    def _load(self) -> Recorded:
        """Load the state; one that does not exist yet takes the lineage that the plan was made with."""
        recorded = self.state.load(account_id=self.client.account_id, api_origin=self.client.origin)
        if not self.state.exists and self.plan.baseline.serial == 0:
            return replace(recorded, lineage=self.plan.baseline.lineage)
        return recorded
