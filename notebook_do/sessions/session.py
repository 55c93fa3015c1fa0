"""One session: declarations, a state file and a target, composed. All rooms are joined here and only here.

`plan` reads, `deploy` sends exactly one plan, and nothing else in the package sends a mutation.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from notebook_do import refusing
from notebook_do.bridge import bridge
from notebook_do.declare.catalog import Catalog
from notebook_do.display import Shown, Table, frame, selected
from notebook_do.errors import CommandError, DeclarationError, DurableError, PlanRefused, StalePlan, nearest, spelled
from notebook_do.live import objects as explore
from notebook_do.live.connection import Connection, connect_cloudflare, connect_local
from notebook_do.live.inventory import namespace_rows, state_rows, worker_rows
from notebook_do.model.steps import Forget
from notebook_do.plan.build import build_plan
from notebook_do.plan.plan import Plan
from notebook_do.sessions.secrets import SessionSecrets, changed
from notebook_do.settings import settled
from notebook_do.sources.bundle import reader
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable

    import httpx
    import pandas as pd

    from notebook_do.credentials.token import Token
    from notebook_do.credentials.vault import Vault
    from notebook_do.deploy.result import DeployResult, Event
    from notebook_do.interchange.cells import Imported
    from notebook_do.interchange.exporting import GivenAssets
    from notebook_do.local.process.launch import LocalTarget
    from notebook_do.model import Declaration, Desired, NamespaceId, Observed, Recorded, Target
    from notebook_do.sessions.secrets import SecretReadings
    from notebook_do.state.lock import Locking

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class Status(Shown):
    """Where am I: the session, its target and state file, what is declared and recorded, and what to do next."""

    session: str
    stage: str
    target: Target
    account_id: str
    api: str
    state_path: Path
    declared_workers: int
    declared_namespaces: int
    recorded_workers: int
    recorded_namespaces: int
    next_steps: tuple[str, ...]


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


class Session:
    """Declarations of one session and stage, with their state file and target. Made by `open_session`."""

    def __init__(self, name: str, *, stage: str, target: Target, account: str | None, state: StateFile) -> None:
        self.name, self.stage, self.target = name, stage, target
        self.catalog = Catalog()
        self.auto_approve = os.environ.get("NOTEBOOK_DO_DEPLOY") == "press"
        self.progress: Callable[[int, int], None] | None = None
        self.live: frozenset[str] = frozenset()
        """The scripts of the account when it was last looked at."""
        self._account, self._state = account, state
        self._local: LocalTarget | None = None
        self._cloudflare: Connection | None = None
        self._token: Token | None = None
        self._desired: dict[str, tuple[Desired, SecretReadings]] = {}
        self._plans: dict[str, Plan] = {}
        self._secrecy = SessionSecrets()
        self._spent: set[str] = set()
        self._deploying = threading.Lock()

    def __repr__(self) -> str:
        return f"Session({self.name!r}, stage={self.stage!r}, target={self.target!r}, state={str(self.state_path)!r})"

    @property
    def identity(self) -> tuple[str, str, Target, str | None, Path, Locking]:
        """What makes this session the same as another: name, stage, target, account, state path and locking."""
        return self.name, self.stage, self.target, self._account, self.state_path, self._state.locking

    @property
    def state_path(self) -> Path:
        """Where the state file is, or will be after the first deploy."""
        return self._state.path

    @property
    def state(self) -> StateFile:
        """The state file: its backups and its lock."""
        refusing.check("session.state")
        return self._state

    # --- declare: no effects

    def declare(self, *items: Declaration) -> tuple[Declaration, ...]:
        """Register declarations; the same kind and id again replaces the earlier one. Sends nothing."""
        return self.catalog.declare(*items)

    def forget(self, kind: Literal["namespace", "worker"], id: str) -> bool:  # noqa: A002 - the vocabulary's word
        """Forget a declaration; what is live stays as it is. False when there was none."""
        return self.catalog.forget(kind, id)

    # --- plan: reads only

    async def aplan(self, destroy: Iterable[str] = ()) -> Plan:
        """Compare declared, recorded and live, and say what a deploy would do. Reads only."""
        connection = await self._connect()
        self._secrecy.ask_missing(self.catalog, self._state.load())
        found, undecided = await self._recover(connection)
        recorded = self._state.load(account_id=connection.account_id, api_origin=connection.origin)
        desired = self._desire(tuple(destroy))
        secret_readings = self._secrecy.secret_readings(desired, recorded.lineage, self._secrecy.vault())
        plan = await self._plan_on(connection, desired, recorded, secret_readings, undecided)
        warnings = (*found, *self._shared(), *connection.cautions, *self.catalog.left_over(), *plan.warnings)
        plan = replace(plan, warnings=warnings, notes=(*plan.notes, *await connection.notes(plan)))
        self._desired[plan.digest], self._plans[plan.digest] = (desired, secret_readings), deepcopy(plan)
        return plan

    def plan(self, destroy: Iterable[str] = ()) -> Plan:
        """Compare declared, recorded and live, and say what a deploy would do. Reads only."""
        self._secrecy.ask_missing(self.catalog, self._state.load(), again=True)
        return self._run(self.aplan(destroy))

    def destroy(self, *ids: str) -> Plan:
        """Plan the deletion of Workers and namespaces by id or stable ID. Deletes nothing: deploy the plan for that."""
        return self.plan(destroy=ids)

    # --- deploy: the only mutation

    async def adeploy(
        self,
        plan: Plan,
        *,
        confirm: Collection[str] = (),
        emit: Callable[[Event], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> DeployResult:
        """Send exactly `plan`, once. `confirm` holds the phrases of its consents; `cancel` is asked between steps.

        Raises PlanRefused, ConsentRequired, StalePlan (nothing was sent), or DeployError (says what was done).
        """
        from notebook_do.deploy.run import deploy

        refusing.check("session.deploy")
        if not isinstance(plan, Plan):
            raise CommandError(f"deploy: takes the plan that plan() gave, not a {type(plan).__name__}.")
        if plan.refusals:
            raise PlanRefused("the plan is refused: " + " · ".join(r.message for r in plan.refusals))
        if not self._deploying.acquire(blocking=False):
            raise CommandError(f"session {self.name}: a deploy is already running; wait for it to end.")
        try:
            vault = self._secrecy.vault()
            plan = self._must_be_current(plan, vault)
            connection = await self._connect()
            async with connection.client() as client:
                result = await deploy(
                    plan,
                    client=client,
                    state=self._state,
                    confirm=confirm,
                    emit=emit or (lambda _: None),
                    cancel=cancel or (lambda: False),
                    vault=vault,
                )
            self._spent |= set() if plan.empty else {plan.digest}
            self._forget_destroyed(plan)
            return await self._with_urls(result, connection)
        except StalePlan as stale:
            stale.plan = await self.aplan(self._desired[plan.digest][0].destroy if plan.digest in self._desired else ())
            raise
        except DurableError as stopped:
            if stopped.result is not None and self.target == "local":  # on Cloudflare an address costs a request
                await self._with_urls(stopped.result, connection)
            raise
        finally:
            self._deploying.release()

    def deploy(
        self,
        plan: Plan,
        *,
        confirm: Collection[str] = (),
        emit: Callable[[Event], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> DeployResult:
        """Send exactly `plan`, once; see `adeploy`."""
        return self._run(self.adeploy(plan, confirm=confirm, emit=emit, cancel=cancel))

    # --- look

    async def afetch(self, worker: str, path: str = "/", *, method: str = "GET", **options: Any) -> httpx.Response:
        """Call a Worker by id or script name; `options` are those of `httpx.request`."""
        refusing.check("session.fetch")
        connection, name = await self._connect(), self.script_name(worker)
        recorded = {w.script_name for w in self._state.load().workers}
        if name == worker and worker not in self.catalog.workers and name not in recorded:
            self.live = await explore.live_scripts(connection)
            if name not in self.live:
                hint = nearest(name, sorted({*self.catalog.workers, *self.live})) if self.live else "deploy it first."
                raise CommandError(f"fetch: no Worker {name} is declared or live; {hint}")
        return await connection.fetch(name, path, method, options)

    def fetch(self, worker: str, path: str = "/", *, method: str = "GET", **options: Any) -> httpx.Response:
        """Call a Worker by id or script name; `options` are those of `httpx.request`."""
        return self._run(self.afetch(worker, path, method=method, **options))

    def script_name(self, worker: str) -> str:
        """Give the script name of a Worker id, as declared or as recorded; a name that is neither stays as it is."""
        if worker in self.catalog.workers:
            return self.catalog.script_name(worker, self.stage)
        return next((w.script_name for w in self._state.load().workers if w.id == worker), worker)

    def recorded(self) -> Recorded:
        """Read the state file; a session that never deployed has an empty one with serial 0."""
        return self._state.load()

    async def aobserve(self) -> tuple[Recorded, Observed, Connection]:
        """Read the state file and what is live, object counts of the recorded namespaces included."""
        from notebook_do.live.observe import observe

        connection = await self._connect()
        recorded = self._state.load()
        async with connection.client() as client:
            ids = tuple(n.namespace_id for n in recorded.namespaces)
            observed = await observe(client, scripts=None, settings=False, objects_of=ids)
        self.live = frozenset(s.name for s in observed.scripts)
        return recorded, observed, connection

    def namespaces(self) -> pd.DataFrame:
        """List the namespaces, declared, recorded or live on our Workers: one row each, with `objects` stored now.

        `status` is live, declared (not deployed yet), orphan (live, not declared now; never deleted for that),
        gone (recorded, not live) or unmanaged (live on one of our scripts, not recorded).
        """
        rows = self.namespace_rows()
        more = [row["stable_id"] or row["namespace_id"] for row in rows if row.get("objects_more")]
        said = f"More objects than that: {', '.join(more)}." if more else ""
        return frame("namespaces", rows, said=said, more_objects=more)

    def workers(self) -> pd.DataFrame:
        """List the Workers, declared or recorded: one row each, with what is live of them."""
        return frame("workers", self.worker_rows())

    def objects(self, stable_id: str, *, limit: int | None = 10_000, after: str | None = None) -> pd.DataFrame:
        """List the objects of a namespace, at most `limit` (None: all): one row each; `stored`: it holds data.

        `after` goes on behind the object with that id. Where there are more, the frame says so, and its `attrs` have
        `more` and the id to go on `after`. `name` is known on the local target for objects that were reached by name;
        Cloudflare lists ids only.
        """
        rows, more = self._run(self._look(explore.object_rows, stable_id, limit, after))
        last = rows[-1]["object_id"] if more else ""
        hint = f"go on with after={last!r} (%durable objects {stable_id} --after {last})"
        said = f"{len(rows):,} were read, and there are more: {hint}." if more else ""
        return frame("objects", rows, said=said, read=len(rows), more=more, **({"after": last} if more else {}))

    def values(self, stable_id: str, *, object: str | None = None) -> pd.DataFrame:  # noqa: A002 - what it is
        """Read what `storage.put` stored, of one object (its name or id) or of all: one row a key.

        `value` is the plain Python value; what has none is `{"undecoded": why}`. On the local target only.
        """
        return frame("values", self._run(self._look(explore.value_rows, stable_id, object)))

    def query(self, stable_id: str, sql: str, *params: Any, object: str | None = None) -> pd.DataFrame:  # noqa: A002
        """Run one SELECT on the SQLite storage of one object (its name or id), or of all objects of a namespace.

        Of all, the rows begin with `object_id` and `name`, and objects without such a table are left out. Only reads,
        at most 100,000 rows, and only on the local target: raises CommandError or ApiError, which say why not.
        """
        return selected(*self._run(self._look(explore.select, stable_id, sql, params, object)))

    def namespace_rows(self) -> tuple[dict[str, Any], ...]:
        """Give the rows of `namespaces()`."""
        recorded, observed, _ = self._run(self.aobserve())
        return namespace_rows(self.catalog, recorded, observed)

    def worker_rows(self) -> tuple[dict[str, Any], ...]:
        """Give the rows of `workers()`."""
        return self._run(self._worker_rows())

    def show(self, what: str = "all") -> Shown:
        """Give a table to display: namespaces, workers, bindings, migrations or state."""
        match what:
            case "namespaces":
                return Table(name="namespaces", title="Namespaces", rows=self.namespace_rows())
            case "workers":
                return Table(name="workers", title="Workers", rows=self.worker_rows())
            case "bindings":
                return Table(name="bindings", title="Bindings", rows=self.plan().binding_rows)
            case "migrations":
                return Table(name="migrations", title="Class migrations to come", rows=self.plan().migration_rows)
            case "state":
                title = f"State file {_short(self.state_path)}"
                return Table(name="state", title=title, rows=state_rows(self._state.load()))
        raise CommandError(f"show: unknown {what!r}; choose namespaces, workers, bindings, migrations or state.")

    def import_(self, *workers: str, from_account: bool = False) -> Imported:
        """Adopt live Workers as they are, all of them with `from_account`: declares them, and writes the cells to keep.

        The state file then knows them and their namespaces, so that the next plan is empty. Sends nothing.
        """
        refusing.check("session.import_")
        if not workers and not from_account:
            raise CommandError("import: name the live Workers, or ask for all of them with --from-account.")
        return self._run(self._import(workers))

    def export_wrangler(self, directory: str | Path = "wrangler", *, assets: GivenAssets = None) -> tuple[Path, ...]:
        """Write a wrangler project for each declared Worker: what `wrangler deploy` finds live already, unchanged.

        `assets` gives, by Worker id, the directory of static assets that are live and not declared here (as after an
        import), or a table of `directory` and how they are served; a directory alone is that of the only Worker.
        """
        return self._run(self._export(Path(directory), assets))

    def export_types(self, directory: str | Path = "types") -> tuple[Path, ...]:
        """Write the type of each declared Worker's `env`: `<directory>/<Worker id>/worker-configuration.d.ts`."""
        from notebook_do.interchange.exporting import export_types

        refusing.check("session.export_types")
        entrypoints = {
            self.catalog.script_name(w.id, self.stage): w.entrypoint
            for w in self.catalog.workers.values()
            if w.entrypoint is not None
        }
        return export_types(self._desire(()), entrypoints, Path(directory))

    def ask_secret(self, key: str) -> bool:
        """Ask anew for a secret that is declared with `Secret.from_prompt(key)`; False when nothing was answered.

        The next plan tells whether the answer changes anything.
        """
        return self._secrecy.ask(self.catalog, key)

    def whoami(self) -> Table:
        """Say which token is used: where it was found, its account, and the last four characters of its id."""
        return Table(name="whoami", title="Token in use", rows=(self._run(self._whoami()),))

    def status(self) -> Status:
        """Say where we are. Starts the local target when it is not running, so that its address can be shown."""
        connection = self._run(self._connect())
        recorded = self._state.load()
        declared = len(self.catalog.workers)
        return Status(
            session=self.name,
            stage=self.stage,
            target=self.target,
            account_id=connection.account_id,
            api=connection.base_url,
            state_path=_short(self.state_path),
            declared_workers=declared,
            declared_namespaces=len(self.catalog.namespaces),
            recorded_workers=len(recorded.workers),
            recorded_namespaces=len(recorded.namespaces),
            next_steps=("%durable plan", "%durable deploy") if declared else _FIRST_STEPS,
        )

    def close(self) -> None:
        """Let go of the local target; it ends when its last user is gone."""
        if self._local is not None:
            self._local.release()
            self._local = None

    # --- inside

    async def _connect(self) -> Connection:
        """Reach the target; the local one is looked up each time, so that a stopped server starts again."""
        if self.target == "local":
            connection, self._local = await asyncio.to_thread(connect_local, self.progress)
            return connection
        if self._cloudflare is None:
            try:
                self._cloudflare = await connect_cloudflare(self._account, self._find_token())
            except DurableError:
                self._token = None  # it may be the wrong one: look, or ask, again
                raise
        return self._cloudflare

    def _find_token(self) -> Token:
        """Find the API token, once. A kernel can only ask for it on the thread on which its cells run."""
        if self._token is None:
            from notebook_do.credentials.token import find_token

            self._token, _ = find_token()
        return self._token

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the bridge; what only this thread can ask for is asked first."""
        if self.target == "cloudflare":
            try:
                self._find_token()
            except BaseException:
                coroutine.close()
                raise
        return bridge.run(coroutine)

    async def _worker_rows(self) -> tuple[dict[str, Any], ...]:
        recorded, observed, connection = await self.aobserve()
        names = {w.id: w.script_name for w in recorded.workers}
        names |= {id_: self.catalog.script_name(id_, self.stage) for id_ in self.catalog.workers}
        live = {s.name for s in observed.scripts}
        urls = {name: await connection.url(name) for name in names.values() if name in live}
        return worker_rows(self.catalog, names, recorded, observed, urls)

    async def _import(self, workers: tuple[str, ...]) -> Imported:
        from notebook_do.interchange.importing import import_workers

        connection = await self._connect()
        with self._state.lock():
            recorded = self._state.load(account_id=connection.account_id, api_origin=connection.origin)
            async with connection.client() as client:
                about = self.name, self.stage
                found = await import_workers(client, recorded, workers, session=about, catalog=self.catalog)
            if found.recorded != recorded:
                self._state.save(found.recorded, above=found.newest)
        self.declare(*found.declare)
        return found.imported

    async def _export(self, directory: Path, assets: GivenAssets) -> tuple[Path, ...]:
        from notebook_do.interchange.exporting import export_wrangler

        connection = await self._connect()
        async with connection.client() as client:
            return await export_wrangler(client, self._desire(()), self._state.load(), directory, assets)

    async def _whoami(self) -> dict[str, str]:
        from notebook_do.credentials.account import whoami

        connection = await self._connect()
        async with connection.client() as client:
            return await whoami(client, connection.token)

    async def _look(self, read: Callable[..., Coroutine[Any, Any, T]], *asked: Any) -> T:
        return await read(await self._connect(), self._state.load(), *asked)

    async def _recover(self, connection: Connection) -> tuple[tuple[str, ...], dict[str, str]]:
        """Look what became of a deploy that was interrupted: what is to say, and of which scripts it is not known yet.

        Sends nothing when none was interrupted.
        """
        from notebook_do.deploy.recover import recover, undecided

        async with connection.client() as client:
            found = await recover(client=client, state=self._state)
        return tuple(f"{o.text}: {o.detail}" for o in found if o.status != "not known yet"), undecided(found)

    def _shared(self) -> tuple[str, ...]:
        """Say when another notebook deploys with this state file, as a copied one does."""
        other, path = self._state.other_notebook(), _short(self.state_path)
        said = f"{path} is also used by notebook {other}, which deployed last: the Workers are the same."
        return (said,) if other else ()

    def _desire(self, destroy: tuple[str, ...]) -> Desired:
        try:
            return self.catalog.desired(self.name, self.stage, read=reader(Path.cwd()), destroy=destroy)
        except DeclarationError as error:  # what an edited cell left behind is often the reason
            if not (left := self.catalog.left_over()):
                raise
            raise DeclarationError(f"{error.message} {' '.join(left)}", line=error.line) from None

    async def _plan_on(
        self,
        connection: Connection,
        desired: Desired,
        recorded: Recorded,
        secret_readings: SecretReadings,
        undecided: dict[str, str],
    ) -> Plan:
        from notebook_do.live.observe import observe, with_binders
        from notebook_do.plan.workers.lifecycle import binders_asked
        from notebook_do.plan.workers.triggers import triggers_concerned
        from notebook_do.state.journal import Journal
        from notebook_do.toolchain import NEWEST_COMPATIBILITY_DATE

        scripts = {w.script_name for w in desired.workers} | {w.script_name for w in recorded.workers}
        scripts |= {n.script_name for n in desired.namespaces} | {n.script_name for n in recorded.namespaces}

        triggers = triggers_concerned(desired, recorded)
        planned = partial(
            build_plan,
            target=self.target,
            default_compatibility_date=NEWEST_COMPATIBILITY_DATE,
            secret_readings=secret_readings,
            undecided=undecided,
            own=frozenset(attempt.intent.op for attempt in Journal(self._state.journal_path).attempts()),
        )

        async def build(objects_of: tuple[NamespaceId, ...]) -> Plan:
            async with connection.client() as client:
                # whoever in the account still binds what is to be destroyed must be named
                read = None if desired.destroy else sorted(scripts)
                observed = await observe(client, scripts=read, settings=True, objects_of=objects_of, triggers=triggers)
                self.live = frozenset(s.name for s in observed.scripts)
                plan = planned(desired, recorded, observed)
                if asked := binders_asked(plan, desired, recorded, observed):
                    plan = planned(desired, recorded, await with_binders(client, observed, asked))
                return plan

        plan = await build(())
        if plan.consents:  # what would be lost is counted before it is asked for
            plan = await build(tuple(c.namespace_id for c in plan.consents))
        return plan

    def _must_be_current(self, plan: Plan, vault: Vault) -> Plan:
        """Return the plan that was shown under this digest: it is sent, not what somebody made of it since.

        Refuses one that was changed, was spent, is of another session, or whose declarations or secrets have changed.
        """
        from notebook_do.plan.plan import is_as_shown

        if plan.digest in self._spent:
            raise StalePlan(f"plan {plan.digest} was already deployed; a plan is spent once.")
        if plan.digest not in self._desired:
            raise StalePlan(f"plan {plan.digest} was not made by this session ({self.name}, {self.stage}); plan again.")
        if not is_as_shown(plan, self._plans[plan.digest], plan.digest):
            raise StalePlan(
                f"this plan object is not plan {plan.digest} as it was shown: something in it was changed since. "
                "Nothing was sent; plan again, and deploy what that gives."
            )
        shown, secret_readings = self._desired[plan.digest]
        if self._desire(shown.destroy) != shown:
            raise StalePlan(f"declarations changed after plan {plan.digest} was shown; nothing was sent.")
        now = self._secrecy.secret_readings(shown, self._state.load().lineage, vault)
        if names := ", ".join(changed(secret_readings, now)):
            raise StalePlan(
                f"the value of secret {names} changed after plan {plan.digest} was shown; nothing was sent."
            )
        return self._plans[plan.digest]

    def _forget_destroyed(self, plan: Plan) -> None:
        left_out = {id_ for left in plan.undecided for id_ in left.ids}
        # a namespace that was gone already was only forgotten: its cell begins an empty one with the next plan
        begins_anew = {id_ for step in plan.steps if isinstance(step, Forget) for id_ in step.stable_ids}
        for asked in self._desired[plan.digest][0].destroy:
            kind, _, id_ = asked.rpartition(":")  # an id that is both may be asked for as worker:ID or namespace:ID
            for one in ("worker", "namespace"):
                if kind in {"", one} and id_ not in left_out and not (one == "namespace" and id_ in begins_anew):
                    self.catalog.forget(one, id_)
        for consent in plan.consents:
            self.catalog.forget("namespace", consent.stable_id)

    async def _with_urls(self, result: DeployResult, connection: Connection) -> DeployResult:
        result.deployed = {
            id_: Deployed(id=id_, script_name=name, url=await connection.url(name), session=self)
            for id_, name in result.workers.items()
        }
        return result


_FIRST_STEPS = (
    "%durable namespace counter --class Counter",
    "%%durable worker my-worker --bind COUNTER=counter",
    "%durable plan",
)
_current: Session | None = None


@spelled("nd.session")
def open_session(  # noqa: PLR0913 - what a session is, each optional but its name
    name: str,
    *,
    stage: str | None = None,
    target: Target | None = None,
    account: str | None = None,
    state: str | Path | None = None,
    lock: Locking | None = None,
) -> Session:
    """Open a session and make it the current one; declarations register with it from now on.

    The state file is `.notebook_do/<name>/<stage>/state.json` beside the notebook, or `state`. It is written by the
    first deploy. Opening the session that is open already gives it back, declarations included. Nothing is sent.
    `lock="cas-only"` deploys even where file locks exclude nobody; then only what is live tells two deploys apart.
    What is not given is as `%config Durable`, `NOTEBOOK_DO_*` or pyproject.toml say, else stage dev on target local.
    """
    where = str(state) if state else None
    return use(prepared(name, {"stage": stage, "target": target, "account": account, "lock": lock, "state": where}))


def prepared(name: str, given: dict[str, Any]) -> Session:
    """Make the session that `open_session` opens, or return the open one; nothing is replaced until it is used."""
    name, given = refusing.opening(name, given)
    state, settings = given["state"], settled(given)
    stage, target, lock = settings["stage"], settings["target"], settings["lock"]
    for word, value in (("session", name), ("stage", stage)):
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise CommandError(
                f"{word} {value!r}: use letters, digits, - and _, at most 63, beginning with a letter or digit."
            )
    bridge.mode = settings["async_mode"]
    # A path that was given is that path; one that was set for all sessions has the places of name and stage in it.
    where = str(state) if state else settings["state"].replace("{session}", name).replace("{stage}", stage)
    path, account = Path.cwd() / where, settings["account"]
    if _current is not None and _current.identity == (name, stage, target, account, path, lock):
        return _current
    return Session(name, stage=stage, target=target, account=account, state=StateFile(path, locking=lock))


def use(session: Session) -> Session:
    """Make a session the current one, and let go of the one before."""
    global _current  # noqa: PLW0603 - "the current session" is the one piece of ambient state a notebook needs
    if _current is not None and _current is not session:
        _current.close()
    _current = session
    return session


def current() -> Session:
    """Give the session opened last; raises CommandError when there is none."""
    if _current is None:
        raise CommandError("no session is open; run %durable session NAME first, or nd.session('NAME') in Python.")
    return _current


def close_all() -> None:
    """Stop what runs in the background for the current session; its next use starts it again."""
    if _current is not None:
        _current.close()
    bridge.close()


def _short(path: Path) -> Path:
    """Write a path as a person in this directory would."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def register(*items: Declaration) -> None:
    """Declare `items` in the current session, where one is open; the last one always, the others when not known yet.

    The others are the namespaces that a Worker binds: an older value that it still holds never undoes a newer cell.
    """
    if _current is None:
        refusing.loose(items)
    else:
        known = _current.catalog.namespaces if len(items) > 1 else {}
        _current.declare(*(item for item in items if item is items[-1] or item.id not in known))
