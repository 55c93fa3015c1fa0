"""One live object, as `session.object(namespace, name_or_id)` returns it. Making it sends nothing; its verbs do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from notebook_do.cloudflare import refusing
from notebook_do.display import frame, selected
from notebook_do.errors import CommandError
from notebook_do.live import calling, changes, pages, snapshots
from notebook_do.live import objects as explore
from notebook_do.live.inspecting import SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from datetime import datetime
    from pathlib import Path

    import pandas as pd

    from notebook_do.live.connection import Connection
    from notebook_do.live.pages import ObjectPage
    from notebook_do.live.snapshots import Snapshot
    from notebook_do.model import ObservedObject, Recorded
    from notebook_do.model.changes import ObjectChange


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWay:
    """How an object of a session gets to what is live: `look` asks with its connection and record, `run` waits.

    `call` looks with the namespaces that other sessions host, too; `place` tells where a change is made; `meet` keeps
    the names that objects of a namespace told of themselves.
    """

    look: Callable[..., Coroutine[Any, Any, Any]]
    call: Callable[..., Coroutine[Any, Any, Any]]
    run: Callable[[Coroutine[Any, Any, Any]], Any]
    place: Callable[[Connection, Recorded, str], changes.ChangePlace]
    meet: Callable[[str, Iterable[str]], None]


class LiveObject:
    """A Durable Object of a namespace of this session, by its name or its id.

    `room.messages(1)` calls the class's method `messages`, as `room.call("messages", 1)` does. The verbs of this class
    win over methods of the same name, which `call` reaches. A name that begins with `_` is no method.
    """

    def __init__(self, way: SessionWay, stable_id: str, name_or_id: str) -> None:
        self._way, self._stable_id, self._name_or_id = way, stable_id, name_or_id
        calling.where_of(name_or_id)

    def __repr__(self) -> str:
        return f"<object {self._name_or_id!r} of namespace {self._stable_id}>"

    def __getattr__(self, name: str) -> ObjectMethod:
        # IPython, pandas and copy look for names of their own: these are never a method of the object.
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return ObjectMethod(self, name)

    def call(self, method: str, *args: Any, timeout: float = SECONDS, follow: bool = False) -> Any:
        """Call a method of the object's class and return what it returns, as a Python value.

        Raises JSError where it throws, CommandError where nothing was called, and TargetError where no answer came in
        `timeout` seconds: whether it was done is not known then, and it is not called again. As with `fetch`, what the
        method does is the Worker's business: no plan guards it, and calling an object that is not there makes it.
        A JSError has the stack of the object's own code, mapped to its source. `follow` is for what the call logs: see
        `called`.
        """
        return self.called(method, *args, timeout=timeout, follow=follow).value()

    async def acall(
        self,
        method: str,
        *args: Any,
        timeout: float = SECONDS,  # noqa: ASYNC109 - `call`'s own
        follow: bool = False,
    ) -> Any:
        """Call a method; see `call`."""
        return (await self._called(method, args, timeout, follow=follow)).value()

    def called(self, method: str, *args: Any, timeout: float = SECONDS, follow: bool = False) -> calling.Called:
        """Call a method, and return what became of it, an error too; see `call`.

        `follow` keeps apart what exactly this call logs, as `%durable call` shows it: `session.request_logs(
        called.request)`. As with `fetch` it is not done unasked: the first call or request of a Worker that is followed
        begins its local process anew.
        """
        called: calling.Called = self._way.run(self._called(method, args, timeout, follow=follow))
        return called

    async def _called(self, method: str, args: tuple[Any, ...], seconds: float, *, follow: bool) -> calling.Called:
        refusing.check("session.object(...).call")
        called: calling.Called = await self._way.call(
            calling.call, self._stable_id, self._name_or_id, method, args, seconds, follow
        )
        return called

    # --- look: from its file, so that it is not woken

    def info(self) -> ObjectPage:
        """Return all that it has stored, to be shown: tables with their newest rows, keys with values, its alarm."""
        found: ObjectPage = self._read(pages.page)
        self._met(found.name)
        return found

    def tables(self) -> pd.DataFrame:
        """List its tables: one row each, with the number of its rows and its columns."""
        found = self.info().tables
        return frame("tables", ({"table": one.name, "rows": one.rows, "columns": one.described} for one in found))

    def values(self, prefix: str = "") -> pd.DataFrame:
        """Read what `storage.put` stored in it, one row a key; only keys that begin with `prefix`."""
        return frame("values", self._read(explore.value_rows, prefix))

    def query(self, sql: str, *params: Any) -> pd.DataFrame:
        """Run one SELECT on its SQLite storage; see `Session.query`."""
        return selected(*self._way.run(self._way.look(explore.select, self._stable_id, sql, params, self._name_or_id)))

    def alarm(self) -> datetime | None:
        """Return when its alarm goes off; None where none is set."""
        found: ObservedObject = self._read(pages.found_object, "alarm")
        self._met(found.name)
        return found.alarm

    # --- change: nothing is sent but by `session.apply(change)`

    def put(self, key: str, value: Any) -> ObjectChange:
        """Return the change that stores a value under a key, with what is there now. Sends nothing."""
        return self._made(changes.put, key, value)

    def delete(self, key: str) -> ObjectChange:
        """Return the change that deletes a key, with what is there now. Sends nothing."""
        return self._made(changes.delete, key)

    def execute(self, sql: str, *params: Any) -> ObjectChange:
        """Return the change that runs one statement, with the rows that it changes before and after. Sends nothing.

        The statement is tried on a copy of the object's file.
        """
        return self._made(changes.execute, sql, params)

    def set_alarm(self, at: datetime | None) -> ObjectChange:
        """Return the change that sets its alarm, or with None deletes it. Sends nothing."""
        return self._made(changes.set_alarm, at)

    def run_alarm(self) -> ObjectChange:
        """Return the change that runs its class's alarm() now, once. Sends nothing."""
        return self._made(changes.run_alarm)

    def wipe(self) -> ObjectChange:
        """Return the change that deletes all that it has stored; its constructor runs anew then. Sends nothing."""
        return self._made(changes.wipe)

    def restore(self, snapshot: str | Path | Snapshot, *, other: bool = False) -> ObjectChange:
        """Return the change that puts what a snapshot holds in place of what it has. Sends nothing.

        A snapshot of another object is refused unless `other` says that this is meant.
        """
        return self._made(partial(changes.restore, other=other), snapshot)

    def snapshot(self, path: str | Path) -> Snapshot:
        """Write all that it has stored to a new file, which `restore` takes; it is not woken and not changed."""
        taken: Snapshot = self._read(snapshots.take, path)
        return taken

    def _read(self, read: Callable[..., Coroutine[Any, Any, Any]], *asked: Any) -> Any:
        return self._way.run(self._way.look(read, self._stable_id, self._name_or_id, *asked))

    def _made(self, make: Callable[..., Coroutine[Any, Any, ObjectChange]], *asked: Any) -> ObjectChange:
        async def made(connection: Connection, recorded: Recorded, stable_id: str) -> ObjectChange:
            place = self._way.place(connection, recorded, stable_id)
            return await make(place, self._name_or_id, *asked)

        change: ObjectChange = self._way.run(self._way.look(made, self._stable_id))
        self._met(change.edits[0].name)
        return change

    def _met(self, name: str | None) -> None:
        """Keep the name that the object told where it was asked by its id: on Cloudflare no list has it."""
        if name:
            self._way.meet(self._stable_id, (name,))

    def getdoc(self) -> str:
        """Return what `room?` shows: IPython calls this by its name, which would be a call of the object."""
        return type(self).__doc__ or ""


class ObjectMethod:
    """A method of a live object, which is called when this is."""

    def __init__(self, of: LiveObject, name: str) -> None:
        self._of, self._name = of, name

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._of!r}>"

    def __call__(self, *args: Any, timeout: float = SECONDS, follow: bool = False, **named: Any) -> Any:
        """Call it; see `LiveObject.call`."""
        if named:
            _no_keywords(self._name, named)
        return self._of.call(self._name, *args, timeout=timeout, follow=follow)


def _no_keywords(method: str, named: dict[str, Any]) -> NoReturn:
    raise CommandError(
        f"{method}: JavaScript has no keyword arguments ({', '.join(named)}); send them in order, or one dict."
    )
