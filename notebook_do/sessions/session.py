"""One session: declarations, a state file and a target, composed. All rooms are joined here and only here.

`plan` reads, `deploy` sends exactly one plan, and nothing else in the package sends a mutation.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakSet

from notebook_do.bridge import bridge
from notebook_do.cloudflare import refusing
from notebook_do.declare.catalog import Catalog
from notebook_do.display import Passing, TitledTable, shortened
from notebook_do.errors import CommandError, DurableError, Interrupted, StalePlan, nearest
from notebook_do.live.connection import Connecting
from notebook_do.live.inventory import state_rows
from notebook_do.live.spending import Spending
from notebook_do.model import StableId
from notebook_do.sessions import exchanging
from notebook_do.sessions.comparing import watched
from notebook_do.sessions.looking import DeployedThen, Looking
from notebook_do.sessions.planning import Planning, with_addresses
from notebook_do.settings import in_advance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable

    import httpx

    from notebook_do.deploy.result import Cancel, DeployResult, Emit
    from notebook_do.display import Shown
    from notebook_do.interchange.cells import Imported
    from notebook_do.interchange.exporting import GivenAssets
    from notebook_do.live.connection import Connection
    from notebook_do.live.status import Status
    from notebook_do.live.tailing import LogTail
    from notebook_do.model import Declaration, Inspect, Recorded, Secret, Target
    from notebook_do.plan.plan import Plan
    from notebook_do.state.file import StateFile
    from notebook_do.state.lock import Locking

    Ids = Iterable[str]

T = TypeVar("T")


class Session(Looking):
    """Declarations of one session and stage, with their state file and target. Made by `open_session`."""

    def __init__(self, name: str, *, stage: str, target: Target, account: str | None, state: StateFile) -> None:
        self.name, self.stage, self.target = name, stage, target
        self.catalog = Catalog()
        self.auto_approve, self.approved = in_advance(os.environ.get("NOTEBOOK_DO_DEPLOY"))
        self.live: frozenset[str] = frozenset()
        """The scripts of the account when it was last looked at."""
        self.met: dict[str, dict[str, None]] = {}
        """The objects that were named or listed, by namespace: what completion knows of them."""
        self.offered = ""
        """The digest of the plan that was offered last and waits to be sent."""
        self._deploys: list[DeployedThen] = []
        self._tails: WeakSet[LogTail] = WeakSet()
        self.connecting = Connecting(target, account)
        self._state = state
        self._spent = Spending(lambda: self._state.sent_changes)
        self._planning = Planning(name, stage, target, self.catalog, state)

    def __repr__(self) -> str:
        return f"Session({self.name!r}, stage={self.stage!r}, target={self.target!r}, state={str(self.state_path)!r})"

    @property
    def identity(self) -> tuple[str, str, Target, str | None, Path, Locking]:
        """What makes this session the same as another: name, stage, target, account, state path and locking."""
        return self.name, self.stage, self.target, self.connecting.account, self.state_path, self._state.locking

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

    def inspect(self, stable_id: str, how: Inspect, *, new_key: bool = False) -> Declaration:
        """Declare how the objects of a declared namespace can be asked on Cloudflare; the next plan shows it.

        "calls": their methods can be called, True: they can be looked into as well. With `new_key` the next plan gives
        every inspector of this session another key. Sends nothing.
        """
        known = self.catalog.namespaces
        if stable_id not in known:
            hint = nearest(stable_id, list(known)) if known else "run its cell first."
            raise CommandError(f"inspect: no namespace {stable_id} is declared; {hint}")
        if new_key:
            self._planning.inspect_keys.renew()
        return self.declare(replace(known[StableId(stable_id)], inspect=how))[0]

    def forget(self, kind: Literal["namespace", "worker"], id: str) -> bool:  # noqa: A002 - the vocabulary's word
        """Forget a declaration; what is live stays as it is. False when there was none."""
        return self.catalog.forget(kind, id)

    # --- plan: reads only

    async def aplan(
        self, destroy: Ids = (), *, refresh: bool = False, build: bool = False, emit: Emit = None, cancel: Cancel = None
    ) -> Plan:
        """Compare declared, recorded and live, and say what a deploy would do. Reads only.

        `refresh` reads what the account's lists show no change of too, `build` runs the build commands first. `emit` is
        told of waits (default: a line that passes); `cancel` ends a wait.
        """
        with Passing() as line:
            watch = watched(emit or line, cancel or (lambda: False))
            plan = await self._planning.make(await self._connect(), tuple(destroy), watch, refresh=refresh, build=build)
        self.live = self._planning.live
        return plan

    def plan(
        self, destroy: Ids = (), *, refresh: bool = False, build: bool = False, emit: Emit = None, cancel: Cancel = None
    ) -> Plan:
        """Compare declared, recorded and live, and say what a deploy would do; see `aplan`. Reads only."""
        # Asked here, on the thread of the cell: a kernel cannot ask from the bridge's thread.
        self._planning.ask_missing(again=True)
        try:
            return self._run(self.aplan(destroy, refresh=refresh, build=build, emit=emit, cancel=cancel))
        except KeyboardInterrupt:
            raise Interrupted("the plan was stopped; a plan sends nothing, so nothing was changed.") from None

    def destroy(self, *ids: str, refresh: bool = False) -> Plan:
        """Plan the deletion of Workers and namespaces by id or stable ID. Deletes nothing: deploy the plan for that."""
        return self.plan(ids, refresh=refresh)

    # --- deploy: the only mutation

    async def adeploy(
        self, plan: Plan, *, confirm: Collection[str] = (), emit: Emit = None, cancel: Cancel = None
    ) -> DeployResult:
        """Send exactly `plan`, once. `confirm` holds the phrases of its consents; `cancel` is asked between steps.

        Raises PlanRefused, ConsentRequired, StalePlan (nothing was sent), or DeployError (says what was done).
        """
        refusing.check("session.deploy")
        with self._planning.sending(plan):
            self.offered = ""
            connection, declared, started = await self._connect(), dict(self.catalog.workers), datetime.now(UTC)
            try:
                result = await self._planning.send(plan, connection, confirm=confirm, emit=emit, cancel=cancel)
            except StalePlan as stale:
                stale.plan = await self.aplan(self._planning.asked(plan), emit=emit, cancel=cancel)
                raise
            except DurableError as stopped:
                if stopped.result is not None and self.target == "local":  # on Cloudflare an address costs a request
                    await with_addresses(stopped.result, connection.url, self)
                raise
            self._deploys.append(DeployedThen(started=started, ended=datetime.now(UTC), workers=declared))
            self._end_tails()
            return await with_addresses(result, connection.url, self)

    def deploy(
        self, plan: Plan, *, confirm: Collection[str] = (), emit: Emit = None, cancel: Cancel = None
    ) -> DeployResult:
        """Send exactly `plan`, once; see `adeploy`."""
        return self._run(self.adeploy(plan, confirm=confirm, emit=emit, cancel=cancel))

    # --- look: the rest is `Looking`

    async def afetch(
        self, worker: str, path: str = "/", *, method: str = "GET", follow: bool = False, **options: Any
    ) -> httpx.Response:
        """Call a Worker by id or script name; see `fetch`."""
        refusing.check("session.fetch")
        connection, name = await self._connect(), self.script_name(worker)
        # What is recorded is called at once; only what may not be there costs the request that lists all scripts.
        recorded = {w.script_name: w.id for w in self._state.load().workers}
        if name not in recorded:
            from notebook_do.live import objects as explore

            self.live = await explore.live_scripts(connection)
            explore.must_be_live(worker, name, self.live, self.catalog.workers, recorded.values())
        return await connection.fetch(name, path, method, options, follow=follow)

    def fetch(
        self, worker: str, path: str = "/", *, method: str = "GET", follow: bool = False, **options: Any
    ) -> httpx.Response:
        """Call a Worker by id or script name; `options`: those of `httpx.request`, its `timeout` (60 s) for all of it.

        With `stream=True` the answer is returned once it begins, to be read as it comes: `with ... as answer:`.
        `follow` keeps apart what exactly this request logs, as `%durable fetch` shows it (`request_logs`); the first
        one that is followed begins the Worker's local process anew.
        """
        return self._run(self.afetch(worker, path, method=method, follow=follow, **options))

    def script_name(self, worker: str) -> str:
        """Return the script name of a Worker id, as declared or as recorded; a name that is neither stays as it is."""
        if worker in self.catalog.workers:
            return self.catalog.script_name(worker, self.stage)
        return next((w.script_name for w in self._state.load().workers if w.id == worker), worker)

    def recorded(self) -> Recorded:
        """Read the state file; a session that never deployed has an empty one with serial 0."""
        return self._state.load()

    def show(self, what: str = "all") -> Shown:
        """Return a table to display: namespaces, workers, bindings, migrations or state."""
        match what:
            case "namespaces":
                return TitledTable(name="namespaces", title="Namespaces", rows=self.namespace_rows())
            case "workers":
                return TitledTable(name="workers", title="Workers", rows=self.worker_rows())
            case "bindings":
                return TitledTable(name="bindings", title="Bindings", rows=self.plan().binding_rows)
            case "migrations":
                return TitledTable(name="migrations", title="Class migrations to come", rows=self.plan().migration_rows)
            case "state":
                title = f"State file {shortened(self.state_path)}"
                return TitledTable(name="state", title=title, rows=state_rows(self._state.load()))
        raise CommandError(f"show: unknown {what!r}; choose namespaces, workers, bindings, migrations or state.")

    # --- in and out

    def import_(self, *workers: str, from_account: bool = False, source: str | Path | None = None) -> Imported:
        """Adopt live Workers as they are, all of them with `from_account`: declares them, and writes the cells to keep.

        The state file then knows them and their namespaces, so that the next plan is empty. `source` is the file that
        the one Worker is made of: its cell names that, and the plan shows an update where its code is another. Sends
        nothing.
        """
        refusing.check("session.import_")
        exchanging.check_asked(workers, source, all_of_them=from_account)
        return self._run(self._exchange(exchanging.import_live, workers, None if source is None else str(source)))

    def import_wrangler(
        self, path: str | Path | exchanging.ReadProject = ".", env: str | None = None, *, build: bool = False
    ) -> Imported:
        """Declare the Workers of a wrangler project, one file or all below a folder, and write the cells to keep.

        Without `env` those of the top level. What is live is taken over, so that the next plan shows what the project
        changes; what cannot be carried is named in the notes. `build` runs build commands first. Sends nothing.
        """
        refusing.check("session.import_wrangler")
        return self._run(self._exchange(exchanging.import_wrangler, exchanging.read_wrangler(path, env), build))

    def export_wrangler(self, directory: str | Path = "wrangler", *, assets: GivenAssets = None) -> tuple[Path, ...]:
        """Write a wrangler project for each declared Worker: what `wrangler deploy` finds live already, unchanged.

        `assets` gives, by Worker id, the directory of static assets that are live and not declared here (as after an
        import), or a table of `directory` and how they are served; a directory alone is that of the only Worker.
        """
        return self._run(self._exchange(exchanging.export_project, self._planning.desired(), Path(directory), assets))

    def export_types(self, directory: str | Path = "types") -> tuple[Path, ...]:
        """Write the type of each declared Worker's `env`: `<directory>/<Worker id>/worker-configuration.d.ts`."""
        from notebook_do.interchange.exporting import export_types

        refusing.check("session.export_types")
        return export_types(self._planning.desired(), self.catalog.entrypoints(self.stage), Path(directory))

    # --- about itself

    def ask_secret(self, key: str) -> bool:
        """Ask anew for a secret that is declared with `Secret.from_prompt(key)`; False when nothing was answered.

        The next plan tells whether the answer changes anything.
        """
        return self._planning.secrets.ask(self.catalog, key)

    def secret_is_set(self, secret: Secret) -> bool | None:
        """Say whether a secret has a value here; None where only the plan finds that out."""
        return self._planning.secrets.is_set(secret)

    def whoami(self) -> TitledTable:
        """Say which token is used: where it was found, its account, and the last four characters of its id."""
        return TitledTable(name="whoami", title="Token in use", rows=(self._run(self._whoami()),))

    def status(self) -> Status:
        """Say where we are, how everything stands by what is known here, and what to do next. Asks the API nothing.

        Starts the local target when it is not running, so that its address can be shown.
        """
        from notebook_do.sessions.status import status_of

        return status_of(self._planning, self._run(self._connect()))

    def close(self) -> None:
        """Let go of the local target, which ends when its last user is gone, and end the live tails."""
        for tail in tuple(self._tails):
            tail.end(f"session {self.name} was closed")
        self.connecting.release()

    # --- inside

    def _end_tails(self) -> None:
        """End the tails of Workers that are no longer there: no API tells who listens of a deletion."""
        if not self._tails:  # else the state would be read for nothing
            return
        there = {one.script_name for one in self._state.load().workers}
        for tail in tuple(self._tails):
            if tail.script not in there:
                tail.end(f"Worker {tail.worker} was deleted")

    async def _connect(self) -> Connection:
        return await self.connecting.connect()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the bridge; what only this thread can ask for is asked first."""
        try:
            self.connecting.ask_first()
        except BaseException:
            coroutine.close()
            raise
        return bridge.run(coroutine)

    async def _exchange(self, act: Callable[..., Coroutine[Any, Any, T]], *asked: Any) -> T:
        connection = await self._connect()
        place = exchanging.ExchangeContext(
            name=self.name, stage=self.stage, connection=connection, state=self._state, catalog=self.catalog
        )
        return await act(place, *asked)

    async def _whoami(self) -> dict[str, str]:
        from notebook_do.credentials.account import whoami

        connection = await self._connect()
        async with connection.client() as client:
            return await whoami(client, connection.token)
