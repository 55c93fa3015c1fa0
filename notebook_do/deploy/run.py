"""Runs one plan under the lock: recover, observe again, compare, ask for consents, then wave after wave.

A wave is what has nothing to do with each other: sent together, seen live in one list, written into the state file
once. So what a deploy costs is proportional to its steps, and the waits are those for Cloudflare.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.retry import Cancelled
from notebook_do.credentials.vault import Vault, make_key
from notebook_do.deploy.before import check_consents, check_decided, check_secrets, verified_afterwards, waves_of
from notebook_do.deploy.conflicts import KnownScripts, check_current, diverged, first_change, must_be_compared
from notebook_do.deploy.faults import with_line
from notebook_do.deploy.look import SharedLists, Uncertain
from notebook_do.deploy.record import Recording, after_forget
from notebook_do.deploy.recover import bound, recognise, resolve, today
from notebook_do.deploy.result import Event, Outcome, all_outcomes, counted, result_of, stopped
from notebook_do.deploy.sender import Sender, unrecorded
from notebook_do.errors import DeployError, DurableError, PlanRefused, StateError
from notebook_do.live.observe import observe
from notebook_do.model.steps import Forget, Upload
from notebook_do.plan.plan import take_baseline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from notebook_do.cloudflare.client import Client
    from notebook_do.deploy.look import Live
    from notebook_do.deploy.result import DeployResult, Ending, EventKind
    from notebook_do.deploy.sender import Accepted
    from notebook_do.model import Recorded
    from notebook_do.model.steps import Step
    from notebook_do.plan.plan import Plan
    from notebook_do.state.file import StateFile

AT_ONCE = 8
"""How many steps of one wave are under way together; Terraform has ten."""
GRACE_SECONDS = 8.0
"""How long an interrupted deploy may take to finish the step that is under way."""
_under_way: ContextVar[int | None] = ContextVar("_under_way", default=None)
"""The step that this task sends: steps of one wave wait for Cloudflare each for themselves, and each says so."""


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
    """One deploy under way."""

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
        self.journal, self.lists = state.journal, SharedLists(client)
        self.outcomes: dict[int, Outcome] = {}
        self.started = self._time()
        self.begun: dict[int, datetime] = {}
        """When each step was begun."""
        self.failed: tuple[int, DurableError] | None = None
        self.ended = False
        """Whether it was cancelled or interrupted."""
        self.cancelled = False
        self.notes: list[str] = []
        self.sent_before = client.requests_sent

    async def begin(self, confirm: frozenset[str]) -> None:
        """Recover, observe again, refuse a stale plan or a missing consent, and make sure that state can be written."""
        # What an interrupted deploy did is recorded before state and live facts are compared with the plan: else the
        # plan would be called stale for a change that is our own, or miss one that is not seen yet.
        recovered = await resolve(self.client, self.state, self.now)
        listed = not verified_afterwards(self.plan)
        observed = await observe(self.client, scripts=(), settings=False, namespaces=listed)
        recovered += await recognise(self.client, self.state, {s.name: s for s in observed.scripts})
        recorded = self._load()
        check_decided(self.plan, recovered)
        now = take_baseline(recorded, observed, self.plan.scripts, self.plan.namespace_ids)
        if not listed:
            now = replace(now, namespaces=self.plan.baseline.namespaces)
        check_current(self.plan, now, recovered)
        if other := diverged(recorded, observed.scripts, self.plan.scripts, self.journal):
            raise StateError(other)
        # Last of all refusals: a phrase consents to a plan that still holds, and to no other.
        check_consents(self.plan, confirm)
        # What can fail on this machine's disk fails now: after the first request a failure would leave something live
        # that is recorded nowhere.
        self.state.prepare()
        if any(wire.secrets_of(s) for s in self.plan.steps if isinstance(s, Upload)):
            make_key(recorded.lineage)
        self.known = KnownScripts(scripts={s.name: s for s in observed.scripts})
        self.recording = Recording(self.state, bound(recorded, self.client))
        self.sender = Sender(self.plan, self.lists, self.known, self.recording, self.journal, self.vault, self.now)

    def _load(self) -> Recorded:
        """Load the state; one that does not exist yet gets the lineage that the plan was made with."""
        recorded = self.state.load(account_id=self.client.account_id, api_origin=self.client.origin)
        if not self.state.exists and self.plan.baseline.serial == 0:
            return replace(recorded, lineage=self.plan.baseline.lineage)
        return recorded

    async def steps(self) -> DeployResult:
        """Run the steps in waves, each once all before it are done and recorded; nothing begins after a failure."""
        try:
            for number, wave in enumerate(waves_of(self.plan.steps)):
                if number and not self._ends(wave[0]):  # what the first wave rests on was compared by `begin`
                    await self._compare({i: self.plan.steps[i] for i in wave})
                # Asked twice: comparing takes a request, and finds a reason to stop or lets a cancel come in between.
                if self._ends(wave[0]):
                    break
                await self._finish(asyncio.ensure_future(self._run(wave)))
        except BaseException:  # an interrupt too: what was under way may be carried out, and is accounted for
            self._finished("interrupted before this")
            raise
        if self.failed is not None:
            raise stopped(self._finished("stopped before this"), *self.failed)
        self.journal.shorten()
        return self._finished("cancelled before this")

    def waiting(self, text: str) -> None:
        """Show that the step that is sent waits, or else the first that is not done."""
        index = _under_way.get()
        if index is None:
            steps = range(len(self.plan.steps))
            index = next((i for i in steps if i not in self.outcomes), len(self.plan.steps) - 1)
        self._event("waiting", index, text)

    def _ends(self, index: int) -> bool:
        """Say whether nothing more is to be sent, after a failure or a cancel; `index` would be the next."""
        if self.failed is None and not self.ended and self.cancel():
            self.ended = self.cancelled = True
            self._event("failed", index, "cancelled")
        return self.ended or self.failed is not None

    async def _compare(self, wave: dict[int, Step]) -> None:
        """Stop before steps that rest on what somebody else changed since the start."""
        if not any(map(must_be_compared, wave.values())):
            return
        try:
            found = await first_change(self.lists, self.known, wave)
        except DurableError as error:
            self._fail(min(wave), error)
            return
        if found is not None:
            index, words = found
            self._fail(index, DeployError(f"{words}. Nothing else was sent; plan again and compare."))

    # --- one wave

    async def _finish(self, wave: asyncio.Task[None]) -> None:
        """Wait for a wave; when interrupted for a short time only, and end it: open intents say what to look at."""
        try:
            await asyncio.wait([wave])
        except BaseException:
            self.ended = True
            try:
                await asyncio.wait([wave], timeout=GRACE_SECONDS)
            finally:
                wave.cancel()
                await asyncio.gather(wave, return_exceptions=True)
            raise
        await wave

    async def _run(self, wave: tuple[int, ...]) -> None:
        """Send the steps of a wave, a few at once, see them live, and record them."""
        accepted: dict[int, Accepted] = {}
        self.sender.begin_wave()
        try:
            await self._each(wave, partial(self._send, accepted), self._ends)
            self.lists.renew()
            seen = await self.sender.see(accepted.values())
            await self._each(tuple(accepted), partial(self._judge, accepted, seen))
        finally:
            for index in accepted:
                self._interrupted(index)
            self._save(wave)

    async def _each(
        self,
        indexes: tuple[int, ...],
        act: Callable[[int], Awaitable[None]],
        ends: Callable[[int], bool] = lambda _: False,
    ) -> None:
        """Call `act` with each index, `AT_ONCE` at once, until `ends` says so."""
        left = iter(indexes)

        async def work() -> None:
            for index in left:  # one iterator for all
                if ends(index):
                    return
                try:
                    await act(index)
                except BaseException:  # a bug, or an interrupt: the others begin nothing more
                    self.ended = True
                    raise

        found = await asyncio.gather(*(work() for _ in indexes[:AT_ONCE]), return_exceptions=True)
        if error := next((e for e in found if e is not None), None):
            raise error

    async def _send(self, accepted: dict[int, Accepted], index: int) -> None:
        """Send one step. An upload is `accepted` then, until the lists show it; any other is done."""
        step = self.plan.steps[index]
        _under_way.set(index)
        self.begun[index] = self._time()
        self._event("step", index, step.summary)
        try:
            if isinstance(step, Forget):
                self.recording.put(after_forget(self.recording.recorded, step.stable_ids, step.workers, today()))
                self._done(index)
                return
            one = await self.sender.send(step)
            if isinstance(step, Upload):
                accepted[index] = one
            else:
                self.sender.record(one, {})
                self._done(index)
        except DurableError as error:
            self._fail(index, with_line(error, step))
        except asyncio.CancelledError:
            self._interrupted(index)
            raise

    async def _judge(self, accepted: dict[int, Accepted], seen: Mapping[str, Live | Uncertain], index: int) -> None:
        """Record an accepted upload that the lists show and that overwrote nothing."""
        one = accepted[index]
        try:
            if isinstance(live := seen[one.intent.op], Uncertain):
                raise live
            await self.sender.check_overwritten(one)
            self.sender.record(one, live)
        except DurableError as error:
            self._fail(index, error)
        else:
            self.notes += [note for note in one.sent.reconciled.notes if note not in self.notes]
            self._done(index)
        del accepted[index]

    def _save(self, wave: tuple[int, ...]) -> None:
        """Write the state file, once for all that the wave did."""
        try:
            self.recording.save()
        except StateError as error:
            for index in wave:
                if index in self.outcomes and self.outcomes[index].status == "done":
                    self._fail(index, unrecorded(self.plan.steps[index].summary, error))

    def _done(self, index: int) -> None:
        text = self.plan.steps[index].summary
        self._note(index, "done")
        self._event("done", index, text)

    def _fail(self, index: int, error: DurableError) -> None:
        """Note that a step failed; the error of the first one is the deploy's."""
        status: Ending = "uncertain" if isinstance(error, Uncertain) else "not done"
        if isinstance(error, Cancelled):  # it was refused by nobody
            self.begun.pop(index, None)
        self._note(index, status, error.message)
        self.failed = self.failed or (index, error)
        self._event("failed", index, error.message)

    def _interrupted(self, index: int) -> None:
        self._note(index, "uncertain", "interrupted; the next plan looks what became of it")

    def _note(self, index: int, status: Ending, detail: str = "") -> None:
        """Keep how a step ended, and when."""
        text, started = self.plan.steps[index].summary, self.begun.get(index)
        ended = self._time() if started else None
        self.outcomes[index] = Outcome(text=text, status=status, detail=detail, started=started, ended=ended)

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    # --- how it ends

    def _finished(self, rest: str) -> DeployResult:
        """Return the result; steps that were not reached are not done, because of `rest`."""
        outcomes = all_outcomes(self.plan, self.outcomes, rest)
        requests = self.client.requests_sent - self.sent_before
        result = result_of(
            self.plan,
            self.recording.recorded,
            outcomes,
            requests=requests,
            notes=tuple(self.notes),
            times=(self.started, self._time()),
        )
        result.cancelled = self.cancelled and not result.ok
        self._event("finished", len(outcomes) - 1, counted(outcomes))
        return result

    def _event(self, kind: EventKind, index: int, text: str) -> None:
        self.emit(Event(kind=kind, index=index + 1, total=len(self.plan.steps), text=text))
