"""Makes the plans of one session and sends them: each as it was shown, no other, and none twice."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError, DeclarationError, PlanRefused, StalePlan
from notebook_do.model.steps import Forget
from notebook_do.plan.build import build_plan
from notebook_do.plan.plan import Plan
from notebook_do.sessions.secrets import SessionSecrets, changed
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import httpx

    from notebook_do.credentials.vault import Vault
    from notebook_do.declare.catalog import Catalog
    from notebook_do.deploy.result import DeployResult, Event
    from notebook_do.live.connection import Connection
    from notebook_do.model import Desired, NamespaceId, Recorded, Target
    from notebook_do.sessions.secrets import SecretReadings
    from notebook_do.sessions.session import Session
    from notebook_do.state.file import StateFile


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployed Worker, ready to be called. `url` is None while the account has no workers.dev name."""

    id: str
    script_name: str
    url: str | None
    session: Session = field(repr=False)

    def fetch(self, path: str = "/", method: str = "GET", **options: Any) -> httpx.Response:
        """Call the Worker; `options` are those of `httpx.request`."""
        return self.session.fetch(self.id, path, method=method, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A plan as it was shown, with what it was made of. A copy: what somebody makes of the shown one is not sent."""

    plan: Plan
    desired: Desired
    secret_readings: SecretReadings


class Planning:
    """The plans of one session. `live` has the scripts of the account when it was last looked at."""

    def __init__(self, session: str, stage: str, target: Target, catalog: Catalog, state: StateFile) -> None:
        self.session, self.stage, self.target = session, stage, target
        self.catalog, self.state = catalog, state
        self.secrets = SessionSecrets()
        self.live: frozenset[str] = frozenset()
        self._shown: dict[str, _Shown] = {}
        self._spent: set[str] = set()
        self._sending = threading.Lock()

    def desired(self, destroy: tuple[str, ...] = ()) -> Desired:
        """Return what the declarations resolve to, their sources read from the working directory."""
        try:
            return self.catalog.desired(self.session, self.stage, read=reader(Path.cwd()), destroy=destroy)
        except DeclarationError as error:  # what an edited cell left behind is often the reason
            if not (left := self.catalog.left_over()):
                raise
            raise DeclarationError(f"{error.message} {' '.join(left)}", line=error.line) from None

    def ask_missing(self, *, again: bool = False) -> None:
        """Ask for the secrets that a prompt gives and that were never set."""
        self.secrets.ask_missing(self.catalog, self.state.load(), again=again)

    # --- make

    async def make(self, connection: Connection, destroy: tuple[str, ...]) -> Plan:
        """Compare declared, recorded and live, and keep the plan as it is shown. Reads only.

        What became of an interrupted deploy is found out first: its records are part of what is compared.
        """
        self.ask_missing()
        # Before the state is read: recovering writes into it what the interrupted deploy had done.
        found, undecided = await self._recover(connection)
        recorded = self.state.load(account_id=connection.account_id, api_origin=connection.origin)
        desired = self.desired(destroy)
        readings = self.secrets.secret_readings(desired, recorded.lineage, self.secrets.vault())
        plan = await self._compare(connection, desired, recorded, readings, undecided)
        warnings = (*found, *self._shared(), *connection.cautions, *self.catalog.left_over(), *plan.warnings)
        plan = replace(plan, warnings=warnings, notes=(*plan.notes, *await connection.notes(plan)))
        # By digest, and not the last one only: an approval names the plan that was read.
        self._shown[plan.digest] = _Shown(plan=deepcopy(plan), desired=desired, secret_readings=readings)
        return plan

    async def _recover(self, connection: Connection) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return what became of a deploy that was interrupted, and by script what is not known yet.

        Sends nothing when none was interrupted.
        """
        from notebook_do.deploy.recover import recover, undecided

        async with connection.client() as client:
            found = await recover(client=client, state=self.state)
        return tuple(f"{o.text}: {o.detail}" for o in found if o.status != "not known yet"), undecided(found)

    async def _compare(
        self,
        connection: Connection,
        desired: Desired,
        recorded: Recorded,
        readings: SecretReadings,
        undecided: dict[str, str],
    ) -> Plan:
        from notebook_do.live.observe import observe, with_binders
        from notebook_do.plan.workers.lifecycle import binders_asked
        from notebook_do.plan.workers.triggers import triggers_concerned
        from notebook_do.state.journal import Journal
        from notebook_do.toolchain import NEWEST_COMPATIBILITY_DATE

        planned = partial(
            build_plan,
            target=self.target,
            default_compatibility_date=NEWEST_COMPATIBILITY_DATE,
            secret_readings=readings,
            undecided=undecided,
            # A script that carries one of these tags was uploaded by us, even if its answer never came.
            own=frozenset(attempt.intent.op for attempt in Journal(self.state.journal_path).attempts()),
        )
        # Who binds what is to be destroyed must be named, and may be any script of the account.
        scripts = None if desired.destroy else sorted(_scripts(desired, recorded))
        triggers = triggers_concerned(desired, recorded)

        async def build(objects_of: tuple[NamespaceId, ...]) -> Plan:
            async with connection.client() as client:
                observed = await observe(
                    client, scripts=scripts, settings=True, objects_of=objects_of, triggers=triggers
                )
                self.live = frozenset(s.name for s in observed.scripts)
                plan = planned(desired, recorded, observed)
                # Only where a class is renamed or moved: it is one request more for each such script.
                if asked := binders_asked(plan, desired, recorded, observed):
                    plan = planned(desired, recorded, await with_binders(client, observed, asked))
                return plan

        plan = await build(())
        if plan.consents:  # what would be lost is counted before it is asked for
            plan = await build(tuple(c.namespace_id for c in plan.consents))
        return plan

    def _shared(self) -> tuple[str, ...]:
        """Return a warning when another notebook deploys with this state file, as a copied one does."""
        other, path = self.state.other_notebook(), shortened(self.state.path)
        said = f"{path} is also used by notebook {other}, which deployed last: the Workers are the same."
        return (said,) if other else ()

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
        shown = self._as_shown(plan, vault)
        async with connection.client() as client:
            result = await deploy(
                shown,
                client=client,
                state=self.state,
                confirm=confirm,
                emit=emit or (lambda _: None),
                cancel=cancel or (lambda: False),
                vault=vault,
            )
        self._spend(shown)
        return result

    def asked(self, plan: Plan) -> tuple[str, ...]:
        """Return what this plan was asked to destroy; nothing for one that was not made here."""
        shown = self._shown.get(plan.digest)
        return shown.desired.destroy if shown else ()

    def _as_shown(self, plan: Plan, vault: Vault) -> Plan:
        """Return the plan that was shown under this digest: it is sent, not what somebody made of it since.

        Raises StalePlan for one that was changed, was spent, is of another session, or whose declarations or secrets
        have changed.
        """
        from notebook_do.plan.plan import is_as_shown

        if plan.digest in self._spent:
            raise StalePlan(f"plan {plan.digest} was already deployed; a plan is spent once.")
        if plan.digest not in self._shown:
            raise StalePlan(
                f"plan {plan.digest} was not made by this session ({self.session}, {self.stage}); plan again."
            )
        shown = self._shown[plan.digest]
        if not is_as_shown(plan, shown.plan, plan.digest):
            raise StalePlan(
                f"this plan object is not plan {plan.digest} as it was shown: something in it was changed since. "
                "Nothing was sent; plan again, and deploy what that gives."
            )
        # Sources are read again: an edited file is a changed declaration, though no cell was run.
        if self.desired(shown.desired.destroy) != shown.desired:
            raise StalePlan(f"declarations changed after plan {plan.digest} was shown; nothing was sent.")
        now = self.secrets.secret_readings(shown.desired, self.state.load().lineage, vault)
        if names := ", ".join(changed(shown.secret_readings, now)):
            raise StalePlan(
                f"the value of secret {names} changed after plan {plan.digest} was shown; nothing was sent."
            )
        return shown.plan

    def _spend(self, plan: Plan) -> None:
        """Spend a plan that was deployed, and forget the declarations of what it destroyed."""
        # An empty plan sends nothing and may be deployed any number of times.
        if not plan.empty:
            self._spent.add(plan.digest)
        left_out = {id_ for left in plan.undecided for id_ in left.ids}
        # a namespace that was gone already was only forgotten: its cell begins an empty one with the next plan
        begins_anew = {id_ for step in plan.steps if isinstance(step, Forget) for id_ in step.stable_ids}
        for asked in self.asked(plan):
            kind, _, id_ = asked.rpartition(":")  # an id that is both may be asked for as worker:ID or namespace:ID
            if kind in {"", "worker"} and id_ not in left_out:
                self.catalog.forget("worker", id_)
            if kind in {"", "namespace"} and id_ not in left_out | begins_anew:
                self.catalog.forget("namespace", id_)
        for consent in plan.consents:
            self.catalog.forget("namespace", consent.stable_id)


def _scripts(desired: Desired, recorded: Recorded) -> set[str]:
    """Return the names of the scripts that a plan is about: declared, recorded, or host of a namespace."""
    workers = {w.script_name for w in desired.workers} | {w.script_name for w in recorded.workers}
    return workers | {n.script_name for n in desired.namespaces} | {n.script_name for n in recorded.namespaces}


def shortened(path: Path) -> Path:
    """Return a path as a person in this directory would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
