"""What objects have stored, read without waking them: from the files of a local Cloudflare, through its API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare import wire
from notebook_do.cloudflare.answer import LARGEST_ANSWER, dict_of
from notebook_do.display.formats import size
from notebook_do.errors import ApiError, CommandError
from notebook_do.inspector.values import decode
from notebook_do.live.far_storage import FarStorage
from notebook_do.live.inventory import deployed_namespace
from notebook_do.live.querying import BAD_STATEMENT, NO_OBJECT, absent_object, explained
from notebook_do.live.stored import StoredValue, TakenObject, TriedStatement
from notebook_do.model.changes import NOTHING, ObjectContents, RowChange, SchemaChange, StatementEffect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.live.connection import Connection
    from notebook_do.model import ObservedObject, Recorded
    from notebook_do.model.states import RecordedNamespace

_TRIES = 5
"""How often a file is copied that is written to meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStorage:
    """The files of one namespace, as a local Cloudflare reads them. An object is named by its name or its id."""

    client: Client
    namespace: RecordedNamespace
    verb: str

    async def find(self, name_or_id: str) -> ObservedObject:
        """Return one object as the list of the namespace has it. Raises CommandError, with the nearest name."""
        return wire.decode_object(await self._ask("object", name_or_id))

    async def page(self, name_or_id: str) -> tuple[ObservedObject, dict[str, Any]]:
        """Return one object with its tables, their newest rows, its keys and values, as JSON."""
        found = dict_of(await self._ask("page", name_or_id))
        return wire.decode_object(found), found

    async def value(self, name_or_id: str, key: str) -> StoredValue | None:
        """Return what is stored under a key; None where nothing is."""
        found = await self._ask("value", name_or_id, key=key)
        if found is None:
            return None
        node = found["value"] if found["exact"] else NOTHING
        return StoredValue(value=decode(found["value"]), size=found["size"], digest=found["digest"], node=node)

    async def values(self, name_or_id: str | None, prefix: str) -> list[Any]:
        """Return what `storage.put` stored in one object, or in all: a row a key."""
        return await self._explained(
            self.client.stored_values(self.namespace.namespace_id, name_or_id, prefix), "", name_or_id
        )

    async def query(self, sql: str, params: list[Any], name_or_id: str | None) -> list[Any]:
        """Run one SELECT on one object, or on all that have such a table; `params` are tagged."""
        return await self._explained(
            self.client.query_objects(self.namespace.namespace_id, sql, params, name_or_id), sql, name_or_id
        )

    async def _explained(self, answer: Awaitable[list[Any]], sql: str, name_or_id: str | None) -> list[Any]:
        try:
            return await answer
        except ApiError as error:
            ids = self.namespace.namespace_id, self.namespace.stable_id
            raise await explained(self.client, *ids, sql, name_or_id, error) from None

    async def tried(self, name_or_id: str, sql: str, params: Sequence[Any]) -> TriedStatement:
        """Return what a statement would change; `params` are tagged."""
        found = dict_of(await self._ask("try", name_or_id, sql=sql, params=list(params)))
        effect = StatementEffect(
            rows=tuple(map(_row, found["changes"])),
            schema=tuple(
                SchemaChange(kind=one["type"], **{part: one[part] for part in ("name", "before", "after", "rows")})
                for one in found["schema"]
            ),
            varies=tuple(found["varies"]),
        )
        return TriedStatement(
            effect=effect, count=found["count"], rests_on=found["rests_on"], expect=tuple(found["expect"])
        )

    async def contents(self, name_or_id: str) -> tuple[ObservedObject, ObjectContents, str]:
        """Return one object, how much it holds, and a digest of all of that."""
        found = dict_of(await self._ask("contents", name_or_id))
        one = wire.decode_object(found)
        tables = tuple((str(table["name"]), table["rows"]) for table in found["tables"])
        held = ObjectContents(
            tables=tables, keys=found["keys"], size=one.size or 0, alarm=one.alarm, key_names=found.get("key_names")
        )
        return one, held, str(found["digest"])

    async def taken(self, name_or_id: str) -> TakenObject:
        """Return all that one object holds, as a SQLite file."""
        one, _, before = await self.contents(name_or_id)
        for _ in range(_TRIES):  # what is said of it must be what is in it
            content = await self._file(one.object_id)
            one, held, after = await self.contents(one.object_id)
            if before == after:
                return TakenObject(one=one, holds=held, content=content, form="file")
            before = after
        raise CommandError(
            f"{self.verb}: {name_or_id} of {self.namespace.stable_id} is written to all the time; try again when it "
            "rests."
        )

    async def _file(self, name_or_id: str) -> bytes:
        path = self.client.path("local", "namespaces", self.namespace.namespace_id, "snapshot")
        found: bytes = await self._told(name_or_id, self.client.bytes_of(path, {"object": name_or_id}))
        if not found:  # no SQLite file is empty: what is too large is cut off
            raise CommandError(f"{self.verb}: {name_or_id} is larger than {size(LARGEST_ANSWER)}, which is the most.")
        return found

    async def restore(self, object_id: str, content: bytes, digest: str) -> None:
        """Put a SQLite file in place of what one object holds, where that has this digest still."""
        path = self.client.path("local", "namespaces", self.namespace.namespace_id, "restore")
        asked = {"object": object_id, "digest": digest}
        await self._told(object_id, self.client.send_bytes(path, content, asked))

    async def _ask(self, what: str, name_or_id: str, **more: Any) -> Any:
        path = self.client.path("local", "namespaces", self.namespace.namespace_id, what)
        return await self._told(name_or_id, self.client.change("POST", path, {"object": name_or_id, **more}))

    async def _told(self, name_or_id: str, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except ApiError as error:
            if error.code == BAD_STATEMENT:
                raise CommandError(f"{self.verb}: {error.message}.") from None
            if error.code != NO_OBJECT:
                raise
        raise await absent_object(self.client, self.namespace.namespace_id, self.namespace.stable_id, name_or_id)


def _row(one: dict[str, Any]) -> RowChange:
    before, after = (None if cells is None else tuple(map(decode, cells)) for cells in (one["before"], one["after"]))
    return RowChange(table=one["table"], kind=one["kind"], columns=tuple(one["columns"]), before=before, after=after)


ObjectStorage = LocalStorage | FarStorage


def storage_of(connection: Connection, client: Client, recorded: Recorded, stable_id: str, verb: str) -> ObjectStorage:
    """Return the way to what the objects of a namespace stored: files of a local Cloudflare, or each object itself."""
    namespace = deployed_namespace(recorded, stable_id)
    if connection.target == "local":
        return LocalStorage(client=client, namespace=namespace, verb=verb)
    return FarStorage(client=client, connection=connection, recorded=recorded, namespace=namespace, verb=verb)
