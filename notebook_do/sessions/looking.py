"""What a session shows of what is live: Workers, namespaces and their objects. It reads; `fetch` does what it calls.

What asks objects is imported where it is asked for, as a process that plans and deploys does without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from notebook_do.cloudflare import refusing
from notebook_do.display import frame, selected
from notebook_do.errors import CommandError, Interrupted, nearest
from notebook_do.live.inventory import more_objects, must_be_deployed, namespace_rows, worker_rows
from notebook_do.model import StableId

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from weakref import WeakSet

    import pandas as pd

    from notebook_do.declare.catalog import Catalog
    from notebook_do.live.applying import AppliedChange
    from notebook_do.live.changes import ChangePlace
    from notebook_do.live.connection import Connecting, Connection
    from notebook_do.live.logs import PastLogs, RequestLogs
    from notebook_do.live.records import LogRecord
    from notebook_do.live.spending import Spending
    from notebook_do.live.tailing import LogTail
    from notebook_do.model import Observed, Recorded, Worker
    from notebook_do.model.changes import ObjectChange
    from notebook_do.sessions.logs import LocatedRecord, LogsPlace
    from notebook_do.sessions.objects import LiveObject
    from notebook_do.state.file import StateFile

    Ids = Iterable[str]

T = TypeVar("T")
_MET = 400
"""How many names of a map are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedThen:
    """What a deploy of this kernel made live: the Workers as they were declared, and when it began and ended."""

    started: datetime
    ended: datetime
    workers: Mapping[str, Worker]


class Looking(ABC):
    """The part of a session that looks at what runs; `Session` has the way there."""

    catalog: Catalog
    live: frozenset[str]
    met: dict[str, dict[str, None]]
    name: str
    stage: str
    stopped_map: pd.DataFrame | None = None
    """What a map had come to when it was interrupted."""
    _state: StateFile
    connecting: Connecting
    _deploys: list[DeployedThen]
    _tails: WeakSet[LogTail]
    _spent: Spending

    @abstractmethod
    async def _connect(self) -> Connection: ...

    @abstractmethod
    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T: ...

    async def aobserve(self) -> tuple[Recorded, Observed, Connection]:
        """Read the state file and what is live, object counts of the recorded namespaces included."""
        from notebook_do.live.observe import observe

        connection, recorded = await self._connect(), self._state.load()
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
        return frame("namespaces", rows, **more_objects(rows))

    def workers(self) -> pd.DataFrame:
        """List the Workers, declared or recorded: one row each, with what is live of them."""
        return frame("workers", self.worker_rows())

    def objects(self, stable_id: str, *, limit: int | None = 1000, after: str | None = None) -> pd.DataFrame:
        """List the objects of a namespace by id, at most `limit` (None: all): one row each; `stored`: it holds data.

        `after` goes on behind the object with that id. Where there are more, the frame says so, and its `attrs` have
        `more` and the id to go on `after`. The local target tells the bytes of each, when it was last written and when
        its alarm is due, and its name where it was reached by one; Cloudflare tells ids only, and the rest is NA. Names
        stand there where this session used them, if an inspector is deployed that can make ids of them.
        """
        from notebook_do.live import objects as explore

        known = list(self.met.get(stable_id, ()))
        rows, more, why = self._run(self._look(explore.object_rows, stable_id, limit, after, known))
        self._meet(stable_id, (row["name"] for row in rows if row["name"]))
        return frame("objects", rows, **explore.going_on(stable_id, rows, why, more=more))

    def _meet(self, stable_id: str, names: Iterable[str]) -> None:
        """Keep the names of objects that were named: for completion, and for the list of a target that tells none."""
        self.met.setdefault(stable_id, {}).update(dict.fromkeys(names))

    def values(self, stable_id: str, *, object: str | None = None) -> pd.DataFrame:  # noqa: A002 - what it is
        """Read what `storage.put` stored, of one object (its name or id) or of all: one row a key.

        `value` is the Python value (a Date an aware datetime); one that cannot be read says why. On
        Cloudflare it is read through the object, which that wakes; the namespace must be deployed with inspect=True.
        """
        from notebook_do.live import objects as explore

        return frame("values", self._run(self._look(explore.value_rows, stable_id, object)))

    def query(self, stable_id: str, sql: str, *params: Any, object: str | None = None) -> pd.DataFrame:  # noqa: A002
        """Run one SELECT on the SQLite storage of one object (its name or id), or of all objects of a namespace.

        Of all, the rows begin with `name` and end with `object_id`, and objects without such a table are left out. Only
        reads, at most 100,000 rows and 16 MiB: raises CommandError or ApiError, which say why not. On Cloudflare it is
        read through the objects, which that wakes, and the namespace must be deployed with inspect=True.
        """
        from notebook_do.live import objects as explore

        return selected(*self._run(self._look(explore.select, stable_id, sql, params, object)))

    def object(self, namespace: str, name_or_id: str) -> LiveObject:
        """Return one object of a namespace, by its name or id, to be called: `room.messages()`. Sends nothing.

        `namespace` is a stable ID of this session. 64 hexadecimal digits are an id, all else is a name.
        """
        from notebook_do.sessions.objects import LiveObject, SessionWay

        known = {*map(str, self.catalog.namespaces), *(str(one.stable_id) for one in self._state.load().namespaces)}
        if namespace not in known:
            hint = nearest(namespace, sorted(known)) if known else "declare one, and deploy it, first."
            raise CommandError(f"object: no namespace {namespace} is declared or deployed; {hint}")
        way = SessionWay(look=self._look, call=self._call, run=self._run, place=self._change_place, meet=self._meet)
        made = LiveObject(way, namespace, name_or_id)
        self._meet(namespace, (name_or_id,))
        return made

    @overload
    def map(
        self,
        namespace: str,
        df: pd.DataFrame,
        *,
        object: str,
        change: str,
        args: Sequence[str] = ...,
    ) -> ObjectChange: ...

    @overload
    def map(
        self,
        namespace: str,
        df: pd.DataFrame,
        *,
        object: str,
        call: str,
        args: Sequence[str] = ...,
        concurrency: int = ...,
        timeout: float = ...,
    ) -> pd.DataFrame: ...

    def map(  # noqa: PLR0913 - the words of one call
        self,
        namespace: str,
        df: pd.DataFrame,
        *,
        object: str,  # noqa: A002 - what it is
        call: str | None = None,
        change: str | None = None,
        args: Sequence[str] = (),
        concurrency: int = 8,
        timeout: float = 20.0,
    ) -> pd.DataFrame | ObjectChange:
        """Call a method once for each row: `object` is the column of the objects' names, `args` those of the arguments.

        With `change` ("put", "delete" or "execute") in place of `call` nothing is sent: it returns one ObjectChange of
        all these objects, `args` being the columns of what `room.put` and the like take.

        Returns the frame with `result`, `ms` and `error` (NA where it returned). A row that fails fails alone; one
        without a name is not called; no answer in `timeout` seconds is unknown and not repeated. Calls of one object
        keep the order of the rows, and `concurrency` objects are called at a time. Interrupted, what was done so far is
        in `stopped_map`.
        """
        from notebook_do.live.mapping import MappedRows, map_rows, rows_asked, with_results

        refusing.check("session.map")
        if (call is None) is (change is None):
            raise CommandError("map: say what to do with each row, once: call=METHOD, or change='put'.")
        if call is None:
            made: ObjectChange = self._run(self._look(self._changed_rows, namespace, change, df, object, args))
            return made
        asked = rows_asked(df, object, call, args, concurrency=concurrency, timeout=timeout)
        into = MappedRows(namespace=namespace, class_name="", asked=asked)
        try:
            self._run(self._call(map_rows, namespace, asked, into))
            self._meet(namespace, [name for name in asked.names if isinstance(name, str) and name][-_MET:])
        except KeyboardInterrupt:
            self.stopped_map = with_results(df, into)
            done = len(asked.names) - into.counts["not called"]
            raise Interrupted(
                f"the map was stopped after {done:,} of {len(asked.names):,} rows; what became of them is the frame "
                "stopped_map of the session."
            ) from None
        return with_results(df, into)

    async def _changed_rows(self, connection: Connection, recorded: Recorded, stable_id: str, *asked: Any) -> Any:
        from notebook_do.live.many import change_rows

        return await change_rows(self._change_place(connection, recorded, stable_id), *asked)

    def _change_place(self, connection: Connection, recorded: Recorded, stable_id: str) -> ChangePlace:
        from notebook_do.live.changes import ChangePlace

        return ChangePlace(
            session=self.name,
            stage=self.stage,
            connection=connection,
            recorded=recorded,
            stable_id=stable_id,
            record=self._state.sent_changes,
        )

    def logs(
        self,
        worker: str,
        *,
        since: str | datetime | timedelta = "1h",
        object: str | None = None,  # noqa: A002 - what it is
        level: str | None = None,
        limit: int = 1000,
    ) -> pd.DataFrame:
        """Return what a Worker logged, a row a line or exception, oldest first: the newest `limit` that are wanted.

        `since` is a time such as `30m`, `2h`, `7d`, a timedelta or an aware datetime; `object` a name or id; `level`
        takes what is above it too. `attrs` have `missing`: which lines are not there, and why.
        """
        from notebook_do.sessions.logs import logs_frame

        found, _ = self.past_logs(worker, since=since, object=object, level=level, limit=limit)
        return logs_frame(found)

    def past_logs(self, worker: str, **asked: Any) -> tuple[PastLogs, tuple[LocatedRecord, ...]]:
        """Return what a Worker logged, and the records with the places of their stacks; `asked` as for `logs`."""
        from notebook_do.live.logs import asked_logs
        from notebook_do.sessions.logs import known_worker, past

        wanted, place = asked_logs(**asked), self._run(self._logs_place())
        return self._run(past(place, self._run(known_worker(worker, place)), wanted))

    def located(self, records: Iterable[LogRecord]) -> tuple[LocatedRecord, ...]:
        """Return records with the places of their stacks."""
        from notebook_do.sessions.logs import with_places

        found = tuple(records)
        if not any(one.stack for one in found):
            return self._run(with_places(None, found))
        return self._run(with_places(self._run(self._logs_place()), found))

    def tail(self, worker: str) -> LogTail:
        """Return a live tail of a Worker: `with session.tail("chat") as tail: for record in tail: ...`.

        `tail.missing` says which lines are not there, and why. On Cloudflare the start of a tail may start the Worker's
        objects anew.
        """
        from notebook_do.live.tailing import LogTail
        from notebook_do.sessions.logs import known_worker

        place = self._run(self._logs_place())
        id_ = self._run(known_worker(worker, place))
        tail = LogTail(self._connect, place.scripts.get(id_, id_), id_, self.connecting.reconnect)
        self._tails.add(tail)
        return tail

    def request_logs(self, request_id: str, *, wait: float = 1.0) -> tuple[RequestLogs, tuple[LocatedRecord, ...]]:
        """Return what one request logged, and all that it called, once it is over or `wait` seconds have gone."""
        from notebook_do.sessions.logs import of_request

        return self._run(of_request(self._run(self._logs_place()), request_id, wait))

    async def _logs_place(self) -> LogsPlace:
        from notebook_do.sessions.logs import LogsPlace

        connection, recorded = await self._connect(), self._state.load()
        scripts = {id_: self.catalog.script_name(id_, self.stage) for id_ in self.catalog.workers}
        return LogsPlace(
            connection=connection,
            recorded=recorded,
            declared=dict(self.catalog.workers),
            scripts=scripts | {one.id: one.script_name for one in recorded.workers},
            deploys=tuple(self._deploys),
        )

    def apply(self, change: ObjectChange, *, confirm: str | Collection[str] = ()) -> AppliedChange:
        """Send a change of stored objects as it was shown, once. `confirm` is the phrase that it may ask for.

        Raises CommandError for one that was applied, ConsentRequired without its phrase, and StaleChange where what it
        rests on moved since it was shown: nothing was sent then. TargetError: whether it was done is not known.
        """
        refusing.check("session.apply")
        return self._run(self._look(self._spent.apply, change, [confirm] if isinstance(confirm, str) else [*confirm]))

    def namespace_rows(self) -> tuple[dict[str, Any], ...]:
        """Return the rows of `namespaces()`."""
        recorded, observed, _ = self._run(self.aobserve())
        return namespace_rows(self.catalog, recorded, observed)

    def worker_rows(self) -> tuple[dict[str, Any], ...]:
        """Return the rows of `workers()`."""
        return self._run(self._worker_rows())

    async def _worker_rows(self) -> tuple[dict[str, Any], ...]:
        recorded, observed, connection = await self.aobserve()
        names = {w.id: w.script_name for w in recorded.workers}
        names |= {id_: self.catalog.script_name(id_, self.stage) for id_ in self.catalog.workers}
        live = {s.name for s in observed.scripts}
        urls = {name: await connection.url(name) for name in names.values() if name in live}
        return worker_rows(self.catalog, names, recorded, observed, urls)

    async def _call(self, act: Callable[..., Coroutine[Any, Any, T]], stable_id: str, *asked: Any) -> T:
        from notebook_do.live.ways import with_hosted_elsewhere

        declared = self.catalog.namespaces.get(StableId(stable_id))
        connection = await self._connect()
        recorded = await with_hosted_elsewhere(connection, self._state.load(), declared)
        must_be_deployed(declared, recorded)
        return await act(connection, recorded, stable_id, *asked)

    async def _look(self, read: Callable[..., Coroutine[Any, Any, T]], *asked: Any) -> T:
        declared = self.catalog.namespaces.get(asked[0]) if isinstance(asked[0], str) else None  # a change, of `apply`
        must_be_deployed(declared, recorded := self._state.load())
        return await read(await self._connect(), recorded, *asked)
