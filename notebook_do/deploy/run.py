"""Runs one plan under the lock: recover, observe again, compare, ask for consents, then step after step."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.assets import send_assets
from notebook_do.credentials.vault import Vault, make_key
from notebook_do.deploy.before import check_consents, check_decided, check_secrets, verified_afterwards, waits_for
from notebook_do.deploy.conflicts import (
    KnownScripts,
    check_current,
    check_overwritten,
    diverged,
    first_change,
    must_be_compared,
    unguarded,
)
from notebook_do.deploy.intents import intent_of, new_op, with_ids, with_marks, with_own_tags
from notebook_do.deploy.look import Uncertain, verify, verify_shown
from notebook_do.deploy.record import after_forget, after_intent
from notebook_do.deploy.recover import bound, recognise, resolve, today
from notebook_do.deploy.result import Event, Outcome, all_outcomes, counted, result_of, stopped, with_line
from notebook_do.deploy.send import send
from notebook_do.errors import DeployError, DurableError, PlanRefused, StateError
from notebook_do.live.observe import observe, observe_scripts
from notebook_do.model.steps import DeleteScript, Forget, MakeQueue, SetMark, Upload
from notebook_do.plan.plan import take_baseline
from notebook_do.state.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from notebook_do.cloudflare.client import Client
    from notebook_do.deploy.intents import Mutation
    from notebook_do.deploy.look import Sent
    from notebook_do.deploy.result import DeployResult, EventKind
    from notebook_do.model import MigrationTag, NamespaceId, ObservedNamespace, ObservedScript, Recorded
    from notebook_do.model.steps import Step
    from notebook_do.plan.plan import Plan
    from notebook_do.state.file import StateFile
    from notebook_do.state.journal import Intent, Status

AT_ONCE = 4
"""How many steps of independent Workers are under way together. Reads of one plan are as many (live.observe)."""
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
        return result_of(plan, state.load(account_id=client.account_id, api_origin=client.origin))
    vault = vault or Vault()
    check_secrets(plan, vault)
    with state.lock():
        run = _Run(plan, client, state, emit, cancel, vault, now)
        with client.pace.shown(run.waiting, cancel):
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
        self.known = KnownScripts(scripts={})
        self.tags: dict[MigrationTag, MigrationTag] = {}

    async def begin(self, confirm: frozenset[str]) -> None:
        """Recover, observe again, refuse a stale plan or a missing consent, and make sure that state can be written."""
        # What an interrupted deploy did is recorded before state and live facts are compared with the plan: else the
        # plan would be called stale for a change that is our own, or miss one that is not seen yet.
        recovered = await resolve(self.client, self.state, self.now)
        listed = not verified_afterwards(self.plan)
        observed = await observe(self.client, scripts=(), settings=False, namespaces=listed)
        recovered += await recognise(self.client, self.state, {s.name: s for s in observed.scripts})
        self.recorded = self._load()
        check_decided(self.plan, recovered)
        now = take_baseline(self.recorded, observed, self.plan.scripts, self.plan.namespace_ids)
        if not listed:
            now = replace(now, namespaces=self.plan.baseline.namespaces)
        check_current(self.plan, now, recovered)
        if other := diverged(self.recorded, observed.scripts, self.plan.scripts, self.journal):
            raise StateError(other)
        # Last of all refusals: a phrase consents to a plan that still holds, and to no other.
        check_consents(self.plan, confirm)
        # What can fail on this machine's disk fails now: after the first request a failure would leave something live
        # that is recorded nowhere.
        self.state.prepare()
        self.recorded = bound(self.recorded, self.client)
        if any(wire.secrets_of(s) for s in self.plan.steps if isinstance(s, Upload)):
            make_key(self.recorded.lineage)
        self.known = KnownScripts(scripts={s.name: s for s in observed.scripts})

    def _load(self) -> Recorded:
        """Load the state; one that does not exist yet gets the lineage that the plan was made with."""
        recorded = self.state.load(account_id=self.client.account_id, api_origin=self.client.origin)
        if not self.state.exists and self.plan.baseline.serial == 0:
            return replace(recorded, lineage=self.plan.baseline.lineage)
        return recorded

    async def steps(self) -> DeployResult:
        """Run the steps, each after those it waits for, a few at once; nothing new begins after a failure."""
        waits = waits_for(self.plan.steps)
        running: dict[asyncio.Task[Outcome], int] = {}
        self.compared = {i for i, earlier in enumerate(waits) if not earlier}  # `begin` did those that wait for nothing
        try:
            while True:
                # Asked twice: comparing takes a request, and finds a reason to stop or lets a cancel come in between.
                await self._compare(self._ready(waits, frozenset(running.values())))
                for index in self._ready(waits, frozenset(running.values()))[: AT_ONCE - len(running)]:
                    self._event("step", index, self.plan.steps[index].summary)
                    running[asyncio.ensure_future(self._step(self.plan.steps[index]))] = index
                if not running:
                    break
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    self._note(running.pop(task), task)
        except BaseException:  # an interrupt too: what is under way may be carried out, and has to be accounted for
            await self._let_finish(running)
            self._finished("interrupted before this")
            raise
        if self.failed is not None:
            raise stopped(self._finished("stopped before this"), *self.failed)
        self.journal.shorten()
        return self._finished("cancelled before this")

    def waiting(self, text: str) -> None:
        """Show that the deploy waits."""
        self._event("waiting", min(len(self.outcomes), len(self.plan.steps) - 1), text)

    def _ready(self, waits: tuple[frozenset[int], ...], running: frozenset[int]) -> list[int]:
        """Return the steps that can begin now; none after a failure or a cancel."""
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
            found = await first_change(self.client, self.known, fresh)
        except DurableError as error:
            self._fail(min(fresh), error, "not done")
            return
        if found is not None:
            index, words = found
            self._fail(index, DeployError(f"{words}. Nothing else was sent; plan again and compare."), "not done")

    def _fail(self, index: int, error: DurableError, status: Status) -> None:
        """Note that a step failed; the error of the first one is the deploy's."""
        self.outcomes[index] = Outcome(text=self.plan.steps[index].summary, status=status, detail=error.message)
        self.failed = self.failed or (index, error)
        self._event("failed", index, error.message)

    def _note(self, index: int, task: asyncio.Task[Outcome]) -> None:
        """Note how a step ended; an error that is no DurableError is a bug and is raised."""
        step = self.plan.steps[index]
        try:
            self.outcomes[index] = task.result()
        except DurableError as caught:
            error = with_line(caught, step)
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
        """Carry out one step: journal it, send it, see it live, record it.

        In this order, so that a crash between any two leaves an open intent: the next run finds out how far it came.
        """
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
            live=self.known.scripts.get(step.script_name),
            digest=form.digest if form else "",
            known={i for i, *_ in self.plan.baseline.namespaces} | {n.namespace_id for n in self.recorded.namespaces},
        )
        self._begin(intent)
        try:
            # 10007 says of an upload that what it binds is absent, of a deletion that it is done: neither is a lag.
            fresh = step.script_name in self.known.fresh and not isinstance(step, Upload | DeleteScript)
            sent = await send(self.client, step, intent, form, again=lambda: self._begin(intent), fresh=fresh)
            live = await verify(self.client, intent) if intent.verify else {}
            self._leave(step, sent.script, op)
            if isinstance(step, Upload) and not intent.verify:  # the namespaces say nothing of an upload of code alone
                self.known.listed(await verify_shown(self.client, intent, sent.script))
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
        """Note how a step leaves its script: what a later step finds otherwise was changed by somebody else."""
        if isinstance(step, DeleteScript):
            self.known.deleted(step.script_name)
        elif isinstance(step, Upload) and script is not None:
            self.known.uploaded(step, script, op)
        elif not isinstance(step, MakeQueue):
            self.known.touched(step.script_name)

    def _begin(self, intent: Intent) -> None:
        """Journal what is about to be sent, with the time, from which `recover` knows how long it may be under way."""
        self.journal.begin(replace(intent, sent_at=self.now()))

    async def _with_its_tags(self, script_name: str) -> ObservedScript | None:
        """Return a script as it is live; it is read again where the answer to its upload did not have its tags."""
        known = self.known.scripts.get(script_name)
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
        script, removable = self.known.scripts.get(intent.script_name), sent.reconciled.removable
        now = after_intent(self.recorded, intent, script=script, live=live, at=today(), removable=removable)
        self.recorded = self.state.save(now)
        self.notes += [note for note in sent.reconciled.notes if note not in self.notes]
        self.journal.end(intent.op, "done")  # after the save: an intent that is open once too often is only looked up

    # --- how it ends

    def _finished(self, rest: str) -> DeployResult:
        """Return the result; steps that were not reached are not done, because of `rest`."""
        outcomes = all_outcomes(self.plan, self.outcomes, rest)
        requests = self.client.requests_sent - self.sent_before
        result = result_of(self.plan, self.recorded, outcomes, requests=requests, notes=tuple(self.notes))
        self._event("finished", len(outcomes) - 1, counted(outcomes))
        return result

    def _event(self, kind: EventKind, index: int, text: str) -> None:
        self.emit(Event(kind=kind, index=index + 1, total=len(self.plan.steps), text=text))
