"""Makes the plans of one session and sends them: each as it was shown, no other, and none twice.

A plan rests on the secrets that were there when it was made. Answers to prompts are sealed and held in memory alone, as
long as the session is.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.declare.notes import texts_of_namespaces
from notebook_do.display import shortened
from notebook_do.display.formats import minute
from notebook_do.errors import CommandError, DeclarationError, DurableError, PlanRefused, SourceError, StalePlan
from notebook_do.live.connection import AccountName
from notebook_do.model.copying import copied
from notebook_do.model.steps import Forget
from notebook_do.plan.plan import Plan
from notebook_do.sessions.advice import undeclared, unhosted, with_advice
from notebook_do.sessions.changed import ShownDeclarations, cell_of, what_changed
from notebook_do.sessions.comparing import Comparison, compare, uncollected
from notebook_do.sessions.inspecting import InspectKeys
from notebook_do.sessions.secrets import SessionSecrets, changed, prompted
from notebook_do.sessions.shown import ShownPlan, ShownPlans
from notebook_do.sources.building import builds_of, run_builds
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from notebook_do.cloudflare.retry import Pace
    from notebook_do.credentials.vault import Vault
    from notebook_do.declare.catalog import Catalog
    from notebook_do.deploy.result import Caller, DeployResult, Event
    from notebook_do.live.connection import Connection
    from notebook_do.model import Desired, DesiredWorker, Recorded, Target
    from notebook_do.sessions.comparing import Watch
    from notebook_do.state.file import StateFile


class Planning:
    """The plans of one session. `live` has the scripts of the account when it was last looked at."""

    def __init__(self, session: str, stage: str, target: Target, catalog: Catalog, state: StateFile) -> None:
        self.session, self.stage, self.target = session, stage, target
        self.catalog, self.state = catalog, state
        self.secrets = SessionSecrets()
        self.inspect_keys = InspectKeys(state.path)
        self.account = AccountName(state)
        self.live: frozenset[str] = frozenset()
        self._shown = ShownPlans()
        self._spent: set[str] = set()
        self.deployed: dict[str, DesiredWorker] = {}
        """The Workers as this kernel deployed them last, by id."""
        self.stopped: DeployResult | None = None
        """The last deploy, where it stopped before its end and nothing went on from there."""
        self._sending = threading.Lock()
        self._other: str | None = None
        """The notebook of which was said already that it deploys the same."""

    def desired(self, destroy: tuple[str, ...] = ()) -> Desired:
        """Return what the declarations resolve to, their sources read from the working directory."""
        try:
            read = with_advice(reader(Path.cwd(), ahead=self.catalog.workers.values()))
            with uncollected():
                return self.catalog.desired(self.session, self.stage, read=read, destroy=destroy)
        except DeclarationError as error:  # what an edited cell left behind is often the reason
            if error.unhosted and (said := unhosted(error.unhosted, self.catalog, self.state.load())):
                error.message = said
                raise
            if error.undeclared and (said := undeclared(error, self.state.load())):
                error.message = said
            if not (left := self.catalog.left_over()):
                raise
            if isinstance(error, SourceError):
                error.after = " ".join((error.after, *left))
                raise
            error.message = f"{error.message} {' '.join(left)}"
            raise

    def ask_missing(self, *, again: bool = False) -> None:
        """Ask for the secrets that a prompt gives and that were never set."""
        if prompted(self.catalog):  # else the state is not read for it
            self.secrets.ask_missing(self.catalog, self.state.load(), again=again)

    # --- inspectors

    def with_inspectors(self, desired: Desired, recorded: Recorded, account_id: str) -> Desired:
        """Add what `inspect` asks for on Cloudflare; on the local target every object can be asked anyhow."""
        if self.target == "local":
            return desired
        from notebook_do.sessions.inspectors import with_inspectors

        return with_inspectors(desired, recorded, account_id, self.inspect_keys)

    # --- make

    def build(self) -> tuple[str, ...]:
        """Run the build commands of the declared Workers, each once, and return what they said."""
        return run_builds(builds_of(self.catalog.workers.values()), Path.cwd())

    async def make(
        self,
        connection: Connection,
        destroy: tuple[str, ...],
        watch: Watch,
        *,
        refresh: bool = False,
        build: bool = False,
    ) -> Plan:
        """Compare declared, recorded and live, and keep the plan as it is shown. Reads only; all of it to `refresh`.

        With `build` the build commands run first.

        What became of an interrupted deploy is found out first: its records are part of what is compared.
        """
        self.ask_missing()
        # Before the state is read: recovering writes into it what the interrupted deploy had done.
        found, undecided = await self._recover(connection, watch.pace)
        recorded = self.state.load(account_id=connection.account_id, api_origin=connection.origin)
        built = await asyncio.to_thread(self.build) if build else ()
        desired = self.with_inspectors(self.desired(destroy), recorded, connection.account_id)
        readings = self.secrets.secret_readings(desired, recorded.lineage, self.secrets.vault())
        given = Comparison(
            desired=desired,
            recorded=recorded,
            readings=readings,
            undecided=undecided,
            target=self.target,
            account_id=connection.account_id,
            account=await self.account.name(connection),
            asked=destroy,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),  # plans of one second are told apart
            refresh=refresh,
        )
        plan, self.live = await compare(connection, given, self.state, watch, self._earlier)
        of_sources = (note for worker in desired.workers for note in worker.notes)
        meant = (text.note for text in texts_of_namespaces(self.catalog.namespaces, self.catalog.workers))
        cautions = (
            *self._shared(plan.deployed_at),
            *connection.cautions,
            *self.catalog.left_over(),
            *meant,
            *of_sources,
        )
        notes = (*built, *plan.notes, *await connection.notes(plan, watch.pace))
        urls = ((name, url) for name in sorted(plan.scripts) if (url := connection.known_url(name)))
        plan = replace(plan, warnings=(*found, *cautions, *plan.warnings), notes=notes, addresses=tuple(urls))
        # By digest, and not the last one only: an approval names the plan that was read.
        declared = ShownDeclarations(items=self.catalog.declared(), desired=desired)
        if plan.empty and not plan.refusals and not undecided:
            self.stopped = None
        with uncollected():
            kept = plan if plan.empty else copied(plan)
            self._shown.keep(ShownPlan(plan=kept, made_of=given, declared=declared))
        return plan

    def _earlier(self) -> Iterator[DesiredWorker]:
        """Yield the Workers as this kernel declared them in the plans that it still knows, the last one first."""
        for shown in self._shown.newest_first():
            yield from shown.made_of.desired.workers

    async def _recover(self, connection: Connection, pace: Pace) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return what became of a deploy that was interrupted, and by script what is not known yet.

        Sends nothing when none was interrupted.
        """
        from notebook_do.deploy.recover import recover, undecided

        async with connection.client(pace) as client:
            found = await recover(client=client, state=self.state)
        return tuple(f"{o.text}: {o.detail}" for o in found if o.status != "not known yet"), undecided(found)

    def _shared(self, deployed_at: str) -> tuple[str, ...]:
        """Return a warning, once a kernel, when another notebook deployed last with this state file, as a copy does."""
        other = self.state.other_notebook()
        if not other or other == self._other:
            return ()
        self._other = other
        when = f" ({minute(deployed_at)})" if deployed_at else ""
        return (f"{shortened(Path(other))} deployed this session last{when}. Both notebooks deploy the same Workers.",)

    # --- send

    @contextmanager
    def sending(self, plan: Plan) -> Iterator[None]:
        """Hold every other deploy of this session off; raises, before anything is read, for what is never sent."""
        if not isinstance(plan, Plan):
            raise CommandError(f"deploy: takes the plan that plan() gave, not a {type(plan).__name__}.")
        if plan.refusals:
            raise PlanRefused("the plan is refused: " + " · ".join(r.message for r in plan.refusals))
        if not self._sending.acquire(blocking=False):
            raise CommandError(f"session {self.session}: a deploy is already running; wait for it to end.")
        try:
            yield
        finally:
            self._sending.release()

    async def send(
        self,
        plan: Plan,
        connection: Connection,
        *,
        confirm: Collection[str],
        emit: Callable[[Event], None] | None,
        cancel: Callable[[], bool] | None,
    ) -> DeployResult:
        """Deploy the plan that was shown under this digest, and spend it; see `Session.adeploy`."""
        from notebook_do.deploy.run import deploy

        # One vault for the check and the deploy: what was compared is what is sent, though the environment may change.
        vault = self.secrets.vault()
        found = self._as_shown(plan, vault)
        shown = found.plan
        self.inspect_keys.keep(shown)
        self.state.rebuilding = self._rebuilds(found)
        async with connection.client() as client:
            try:
                result = await deploy(
                    shown,
                    client=client,
                    state=self.state,
                    confirm=confirm,
                    emit=emit or (lambda _: None),
                    cancel=cancel or (lambda: False),
                    vault=vault,
                )
            except DurableError as stopped:
                self._name_cell(stopped.result, found.declared)
                if stopped.result is not None:
                    self.stopped = stopped.result
                    self._remember(found)
                raise
        self.stopped = None if result.ok else result
        self._remember(found)
        self._spend(found)
        self.inspect_keys.deployed(shown)
        return result

    @staticmethod
    def _rebuilds(shown: ShownPlan) -> bool:
        """Say whether a first state file will hold Workers that are live as this session's own: theirs was lost."""
        made_of = shown.made_of
        live = {name for name, *_ in shown.plan.baseline.scripts}
        # One that is taken over is not its own, and any other that is live was recognised by its tags.
        return made_of.recorded.serial == 0 and any(
            w.script_name in live and not w.adopt for w in made_of.desired.workers
        )

    def _remember(self, shown: ShownPlan) -> None:
        """Keep what was sent of each Worker, to tell later what is declared otherwise: the state file has digests."""
        self.deployed |= {w.id: w for w in shown.made_of.desired.workers}

    @staticmethod
    def _name_cell(result: DeployResult | None, declared: ShownDeclarations) -> None:
        """Say of a fault of a script which cell declares it: the one that was sent, whatever was run since."""
        if result is None or (failure := result.failure) is None or failure.line is None:
            return
        if (worker := declared.items.get(("Worker", failure.worker))) is not None:
            result.failure = replace(failure, cell=cell_of(worker.where))

    def asked(self, plan: Plan) -> tuple[str, ...]:
        """Return what this plan was asked to destroy; nothing for one that was not made here."""
        return self._shown.asked(plan.digest)

    def _as_shown(self, plan: Plan, vault: Vault) -> ShownPlan:
        """Return the plan that was shown under this digest: it is sent, not what somebody made of it since.

        Raises StalePlan for one that was changed, was spent, is of another session, or whose declarations or secrets
        have changed.
        """
        from notebook_do.plan.digest import is_as_shown

        if plan.digest in self._spent:
            raise StalePlan(f"plan {plan.digest} was already deployed; a plan is spent once.")
        if (shown := self._shown.get(plan.digest)) is None:
            raise self._shown.absent(plan.digest, f"{self.session}, {self.stage}")
        if not is_as_shown(plan, shown.plan, plan.digest):
            raise StalePlan(
                f"this plan object is not plan {plan.digest} as it was shown: something in it was changed since. "
                "Nothing was sent; plan again, and deploy what that gives."
            )
        # Sources are read again: an edited file is a changed declaration, though no cell was run.
        of = shown.made_of
        desired = self.with_inspectors(self.desired(of.asked), of.recorded, of.account_id)
        after = f"after plan {plan.digest} was shown ({of.at[11:19]} UTC); nothing was sent."
        if desired != of.desired:
            other = ShownDeclarations(items=self.catalog.declared(), desired=desired)
            raise StalePlan(f"{what_changed(shown.declared, other)} {after}")
        now = self.secrets.secret_readings(shown.made_of.desired, self.state.load().lineage, vault)
        if names := ", ".join(changed(shown.made_of.readings, now)):
            raise StalePlan(f"the value of secret {names} changed {after}")
        return shown

    def _spend(self, shown: ShownPlan) -> None:
        """Spend a plan that was deployed, and forget the declarations of what it destroyed."""
        plan = shown.plan
        # An empty plan sends nothing and may be deployed any number of times.
        if not plan.empty:
            self._spent.add(plan.digest)
        left_out = {id_ for left in plan.undecided for id_ in left.ids}
        # a namespace that was gone already was only forgotten: its cell begins an empty one with the next plan
        begins_anew = {id_ for step in plan.steps if isinstance(step, Forget) for id_ in step.stable_ids}
        for asked in shown.made_of.asked:
            kind, _, id_ = asked.rpartition(":")  # an id that is both may be asked for as worker:ID or namespace:ID
            if kind in {"", "worker"} and id_ not in left_out:
                self.catalog.forget("worker", id_)
            if kind in {"", "namespace"} and id_ not in left_out | begins_anew:
                self.catalog.forget("namespace", id_)
        for consent in plan.consents:
            self.catalog.forget("namespace", consent.stable_id)


async def with_addresses(
    result: DeployResult, url: Callable[[str], Awaitable[str | None]], session: Caller
) -> DeployResult:
    """Add to a result its Workers, ready to be called; `url` finds the address of a script."""
    from notebook_do.deploy.result import Deployed

    result.deployed = {
        id_: Deployed(id=id_, script_name=name, url=await url(name), session=session)
        for id_, name in result.workers.items()
    }
    return result
