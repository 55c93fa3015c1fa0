"""What objects on Cloudflare have stored, read through them: each is woken for it, and its constructor runs.

Nothing else reaches their storage. An object is asked only if the account lists it, for asking one makes it.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError, TargetError
from notebook_do.live.far_statements import (
    SCHEMA_OF,
    cells_of,
    contents_refused,
    effect_of,
    expected_of,
    rests_on,
    statement_error,
)
from notebook_do.live.inspecting import Declined, NotKnown, Returned, Threw
from notebook_do.live.observe import observe_objects
from notebook_do.live.querying import absent_object
from notebook_do.live.signed import signed_way
from notebook_do.live.stored import StoredValue, TakenObject, TriedStatement
from notebook_do.live.values import encode as encoded
from notebook_do.model import ObservedObject
from notebook_do.model.changes import ObjectContents
from notebook_do.model.plain import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.live.connection import Connection
    from notebook_do.live.inspecting import Op, Outcome
    from notebook_do.live.signed import SignedWay
    from notebook_do.model import Recorded, RecordedNamespace

_EXACT = 2**53
_ROWS, _KEYS = 10, 1000
"""How many rows of a table, and how many keys, a page has; as on a local Cloudflare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FarStorage:
    """The objects of one namespace on Cloudflare, as each reads its own storage; named by name or id."""

    client: Client
    connection: Connection
    recorded: Recorded
    namespace: RecordedNamespace
    verb: str
    _listed: dict[str, ObservedObject] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The objects of the account's list, once it was read: a map of changes looks for many."""

    async def find(self, name_or_id: str) -> ObservedObject:
        """Return one object with its size and alarm. Raises CommandError where the account lists no such object."""
        return (await self._looked(name_or_id, {"op": "info"}))[0]

    async def page(self, name_or_id: str) -> tuple[ObservedObject, dict[str, Any]]:
        """Return one object with its tables, their newest rows, its keys and values, as JSON."""
        one, held = await self._looked(name_or_id, {"op": "list", "limit": _KEYS + 1})
        shapes = await self._ask(one, {"op": "shapes", "most": _ROWS})
        keys = [{"key": key, "value": encoded(value), "size": None} for key, value in held.items()]
        tables = [
            {**shape, "rows": shape["count"], "first": [list(map(encoded, row)) for row in cells_of(shape)]}
            for shape in shapes
        ]
        return one, {"tables": tables, "keys": keys[:_KEYS], "more_keys": len(keys) > _KEYS}

    async def value(self, name_or_id: str, key: str) -> StoredValue | None:
        """Return what is stored under a key; None where nothing is."""
        _, held = await self._looked(name_or_id, {"op": "list", "prefix": key, "limit": 1})
        if key not in held:
            return None
        text = canonical(encoded(held[key]))
        return StoredValue(value=held[key], size=len(text), digest=hashlib.sha256(text.encode()).hexdigest())

    async def values(self, name_or_id: str | None, prefix: str) -> list[dict[str, Any]]:
        """Return what `storage.put` stored in one object, or in all: a row a key."""
        rows: list[dict[str, Any]] = []
        for one in await self._objects(name_or_id):
            after: dict[str, str] = {}
            while held := await self._ask(one, {"op": "list", "prefix": prefix, "limit": _KEYS, **after}):
                rows += [
                    {"object_id": one.object_id, "name": one.name, "key": key, "value": encoded(value)}
                    for key, value in held.items()
                ]
                after = {"after": next(reversed(held))}
                if len(held) < _KEYS:
                    break
        return rows

    async def query(self, sql: str, params: Sequence[Any], name_or_id: str | None) -> list[dict[str, Any]]:
        """Run one SELECT on one object, or on all that have such a table."""
        objects = await self._objects(name_or_id)
        op = {"op": "select", "sql": sql, "params": list(map(_sent, params))}
        outcomes = await self._outcomes([{"object": {"id": one.object_id}, **op} for one in objects])
        found, lacking = [], None
        for one, outcome in zip(objects, outcomes, strict=True):
            if isinstance(outcome, Declined) and "no such table: " in outcome.why:
                lacking = outcome
            else:
                read = self._value(outcome, sql, one)
                self._check_exact(read["inexact"])
                rows = [list(map(encoded, row)) for row in cells_of(read)]
                found.append({"object_id": one.object_id, "name": one.name, "columns": read["columns"], "rows": rows})
        if lacking is not None and not found:
            self._value(lacking, sql)
        return found

    def _check_exact(self, columns: Sequence[str]) -> None:
        """Refuse what came rounded: a Worker reads whole numbers as doubles, where no SELECT can be put around them."""
        if columns:
            names = ", ".join(columns)
            raise CommandError(f"{self.verb}: {names} holds whole numbers beyond 2**53; select CAST(... AS TEXT).")

    async def tried(self, name_or_id: str, sql: str, params: Sequence[Any]) -> TriedStatement:
        """Return what a statement would change: it is run inside of the object, and undone."""
        one = await self._one(name_or_id)
        tried = await self._ask(one, {"op": "try", "sql": sql, "params": list(map(_sent, params))}, sql)
        # A default or a trigger may give another value each time; the statement does not say so.
        touched = canonical(sorted({change["table"] for change in tried["changes"]}))
        schema = await self._ask(one, {"op": "select", "sql": SCHEMA_OF, "params": [touched]})
        effect = effect_of(tried, (sql, *(str(row[0]) for row in cells_of(schema))))
        return TriedStatement(
            effect=effect,
            count=tried["count"],
            rests_on=hashlib.sha256(canonical(encoded(rests_on(tried, effect))).encode()).hexdigest(),
            expect=tuple(expected_of(tried["changes"])),
        )

    async def contents(self, name_or_id: str) -> tuple[ObservedObject, ObjectContents, str]:
        """Return one object, how much it holds, and a digest of all of that."""
        one, found = await self._contents(name_or_id, whole=False)
        return one, _holds(found), str(found["digest"])

    async def taken(self, name_or_id: str) -> TakenObject:
        """Return all that one object holds, as it writes that down itself, at one moment."""
        one, found = await self._contents(name_or_id, whole=True)
        content = gzip.decompress(found["content"])
        if hashlib.sha256(content).hexdigest() != found["digest"]:
            raise TargetError(f"{self.verb}: what came of the object is not what it holds; ask again.")
        return TakenObject(one=one, holds=_holds(found), content=content, form="rows", bookmark=found["bookmark"])

    async def _contents(self, name_or_id: str, *, whole: bool) -> tuple[ObservedObject, dict[str, Any]]:
        one = await self._one(name_or_id)
        asked: list[Op] = [{"op": "info"}, {"op": "contents", "whole": whole}]
        info, contents = await self._outcomes([{"object": {"id": one.object_id}, **op} for op in asked])
        if isinstance(contents, Declined):
            raise CommandError(f"{self.verb}: {one.name or name_or_id}: {contents_refused(contents.why, self.verb)}")
        known, found = self._value(info), self._value(contents)
        one = replace(one, name=one.name or known["name"], size=found["bytes"], alarm=found["alarm"])
        return one, found

    # --- asking

    async def _objects(self, name_or_id: str | None) -> list[ObservedObject]:
        if name_or_id is not None:
            return [await self._one(name_or_id)]
        return [one for one in (await self._list()).values() if one.stored]

    async def _one(self, name_or_id: str) -> ObservedObject:
        """Find one object in the account's list, which has ids alone: a name is turned into one by the inspector."""
        way = await self._way()
        asked = {"id": name_or_id} if is_id(name_or_id) else {"name": name_or_id}
        (outcome,) = await way.ask([{"object": asked, "op": "id"}])
        object_id = str(self._value(outcome))
        if (one := (await self._list()).get(object_id)) is None:
            ids = self.namespace.namespace_id, self.namespace.stable_id
            raise await absent_object(self.client, *ids, name_or_id)
        return ObservedObject(object_id=object_id, name=asked.get("name", one.name), stored=one.stored)

    async def _list(self) -> dict[str, ObservedObject]:
        if not self._listed:
            found, _ = await observe_objects(self.client, self.namespace.namespace_id)
            self._listed.update({one.object_id: one for one in found})
        return self._listed

    async def _looked(self, name_or_id: str, op: Op) -> tuple[ObservedObject, Any]:
        """Ask one object, and how large it is and when its alarm goes off."""
        one = await self._one(name_or_id)
        asked = [{"object": {"id": one.object_id}, **each} for each in ({"op": "info"}, op)]
        info, found = map(self._value, await self._outcomes(asked))
        return (
            ObservedObject(
                object_id=one.object_id,
                name=one.name or info["name"],
                stored=one.stored,
                size=info["bytes"],
                alarm=info["alarm"],
            ),
            found,
        )

    async def _ask(self, one: ObservedObject, op: Op, sql: str = "") -> Any:
        (outcome,) = await self._outcomes([{"object": {"id": one.object_id}, **op}])
        return self._value(outcome, sql, one)

    async def _outcomes(self, ops: list[Op]) -> list[Outcome]:
        return await (await self._way()).ask(ops)

    async def _way(self) -> SignedWay:
        return await signed_way(self.connection, self.recorded, self.namespace.stable_id, self.verb, storage=True)

    def _value(self, outcome: Outcome, sql: str = "", of: ObservedObject | None = None) -> Any:
        match outcome:
            case Returned(value=value):
                return value
            case Threw(error=error):
                raise error
            case NotKnown(why=why):
                raise TargetError(f"{self.verb}: {why}; it was read only, so ask again.")
            case Declined(why=why):
                name = (of.name or of.object_id) if of else "my-object"
                raise statement_error(self.verb, self.namespace.stable_id, sql, why, name)
        raise CommandError(f"{self.verb}: the object has no such operation; deploy again (%durable plan shows why).")


def _holds(found: dict[str, Any]) -> ObjectContents:
    tables = tuple((str(name), int(rows)) for name, rows in found["tables"])
    return ObjectContents(tables=tables, keys=found["keys"], size=found["bytes"], alarm=found["alarm"])


def _sent(param: Any) -> Any:
    """Return a parameter as the object reads it. Raises CommandError for a number that it would round."""
    if isinstance(param, int) and abs(param) > _EXACT:  # `sql.exec` takes no bigint either
        raise CommandError(
            f"{param} cannot be a parameter on Cloudflare, where a Worker binds whole numbers as doubles; write it "
            "into the statement itself."
        )
    return param


def is_id(name_or_id: str) -> bool:
    """Say whether an object is named by its id: 64 hexadecimal digits."""
    return len(name_or_id) == 64 and not set(name_or_id) - set("0123456789abcdef")
