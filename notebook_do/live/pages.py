"""One object whole: its tables with their newest rows, its keys with their values, its alarm. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.answer import objects_in
from notebook_do.display import Shown
from notebook_do.inspector.modules import OWN
from notebook_do.inspector.values import decode
from notebook_do.live.storage import storage_of
from notebook_do.model.changes import named

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from notebook_do.cloudflare.client import Client
    from notebook_do.live.connection import Connection
    from notebook_do.model import ObservedObject, Recorded
    from notebook_do.model.states import RecordedNamespace

_NO_METHODS = {
    *("constructor", "fetch", "connect", "alarm", "webSocketMessage", "webSocketClose", "webSocketError"),
    *("dup", "id", "name"),  # of every stub
}
"""What a class may have and nobody calls by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTable:
    """One table: its number of rows (None: not known), its columns with their types, and its newest rows.

    `newest` says whether the rows are these; a table without rowids has no order of its own.
    """

    name: str
    rows: int | None
    columns: tuple[str, ...]
    types: tuple[str, ...]
    first: tuple[tuple[Any, ...], ...]
    newest: bool

    @property
    def described(self) -> str:
        """Return its columns with their types, as a row of `tables()` has them."""
        return ", ".join(f"{name} {type_}".strip() for name, type_ in zip(self.columns, self.types, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class PageKey:
    """One key with its value; `size` is how many bytes that takes, None where only its object could tell."""

    key: str
    value: Any
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPage(Shown):
    """All that a person sees of one object. `methods` are those of its class that can be called, None: not known."""

    name: str | None
    object_id: str
    stable_id: str
    class_name: str
    worker: str
    size: int | None
    last_write: datetime | None
    alarm: datetime | None
    stored: bool
    tables: tuple[PageTable, ...]
    keys: tuple[PageKey, ...]
    more_keys: bool
    methods: tuple[str, ...] | None
    woken: bool = False
    """Whether it was read through the object, which woke it and ran its constructor: on Cloudflare."""

    def __repr__(self) -> str:
        return named(self, "name", "object_id", "stable_id", "class_name", "worker", "size")


async def page(connection: Connection, recorded: Recorded, stable_id: str, name_or_id: str) -> ObjectPage:
    """Read one object: from its file, so that it is not woken, or on Cloudflare through it."""
    async with connection.client() as client:
        storage = storage_of(connection, client, recorded, stable_id, "info")
        one, found = await storage.page(name_or_id)
        methods = await methods_of(client, storage.namespace)
    namespace = storage.namespace
    return ObjectPage(
        name=one.name,
        object_id=one.object_id,
        stable_id=namespace.stable_id,
        class_name=namespace.class_name,
        worker=worker_of(recorded, namespace),
        size=one.size,
        last_write=one.last_write,
        alarm=one.alarm,
        stored=one.stored,
        tables=tuple(map(_table, found["tables"])),
        keys=tuple(PageKey(key=k["key"], value=decode(k["value"]), size=k["size"]) for k in found["keys"]),
        more_keys=found["more_keys"] is True,
        methods=methods,
        woken=connection.target != "local",
    )


def _table(one: Mapping[str, Any]) -> PageTable:
    return PageTable(
        name=str(one["name"]),
        rows=one["rows"],
        columns=tuple(str(name) for name, _, _ in one["columns"]),
        types=tuple(f"{type_}{' PRIMARY KEY' if key else ''}".strip() for _, type_, key in one["columns"]),
        first=tuple(tuple(map(decode, row)) for row in one["first"]),
        newest=one["newest"] is True,
    )


async def methods_of(client: Client, namespace: RecordedNamespace) -> tuple[str, ...] | None:
    """Return the methods of a namespace's class that can be called, as the account knows them of the upload."""
    for script in objects_in(await client.list_scripts()):
        if script.get("id") == namespace.script_name:
            for one in objects_in(script.get("named_handlers") or []):
                if one.get("name") == namespace.class_name:
                    return tuple(str(name) for name in one.get("handlers") or () if not _is_no_method(str(name)))
    return None


def _is_no_method(name: str) -> bool:
    return name in _NO_METHODS or name.startswith(OWN)


def worker_of(recorded: Recorded, namespace: RecordedNamespace) -> str:
    """Return the id of the Worker that hosts a namespace; its script where the session has no such Worker."""
    ids = {one.script_name: str(one.id) for one in recorded.workers}
    return ids.get(namespace.script_name, namespace.script_name)


async def found_object(
    connection: Connection, recorded: Recorded, stable_id: str, name_or_id: str, verb: str
) -> ObservedObject:
    """Return one object as the list has it: its size, last write and alarm."""
    async with connection.client() as client:
        return await storage_of(connection, client, recorded, stable_id, verb).find(name_or_id)
