"""Looks at live objects: which a namespace has, and, on a local Cloudflare, what they have stored. Reads only.

Cloudflare tells ids and no more; there, what an object holds is the Worker's to say.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError, nearest
from notebook_do.live.observe import observe_objects, observe_scripts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from notebook_do.live.connection import Connection
    from notebook_do.model import NamespaceId, Recorded


def deployed(recorded: Recorded, stable_id: str) -> NamespaceId:
    """Return the namespace id of a stable ID; raises CommandError for one that was never deployed."""
    ids: dict[str, NamespaceId] = {n.stable_id: n.namespace_id for n in recorded.namespaces}
    if stable_id not in ids:
        hint = nearest(stable_id, list(ids)) if ids else "deploy it first."
        raise CommandError(f"no namespace {stable_id} is deployed; {hint}")
    return ids[stable_id]


async def live_scripts(connection: Connection) -> frozenset[str]:
    """Return the names of all scripts of the account: one request."""
    async with connection.client() as client:
        return frozenset(await observe_scripts(client))


def must_be_live(worker: str, live: Collection[str], declared: Iterable[str]) -> None:
    """Raise CommandError for a Worker that is not among the `live` scripts, with the nearest name that there is."""
    if worker not in live:
        hint = nearest(worker, sorted({*declared, *live})) if live else "deploy it first."
        raise CommandError(f"fetch: no Worker {worker} is declared or live; {hint}")


async def object_rows(
    connection: Connection, recorded: Recorded, stable_id: str, limit: int | None, after: str | None
) -> tuple[tuple[dict[str, Any], ...], bool]:
    """List the objects of a namespace, `limit` at most, behind the one called `after`: the rows of the frame `objects`.

    True when there are more.
    """
    if limit is not None and limit < 1:
        raise CommandError(f"objects: a limit is at least 1, not {limit}.")
    namespace_id = deployed(recorded, stable_id)
    async with connection.client() as client:
        found, more = await observe_objects(client, namespace_id, most=limit, after=after)
    return tuple({"stable_id": stable_id, **asdict(one)} for one in found), more


def going_on(stable_id: str, rows: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """Return what the frame of these objects says below them and in its `attrs`, where there are `more`."""
    if not more:
        return {"read": len(rows), "more": False}
    last = rows[-1]["object_id"]
    hint = f"go on with after={last!r} (%durable objects {stable_id} --after {last})"
    said = f"{len(rows):,} were read, and there are more: {hint}."
    return {"said": said, "read": len(rows), "more": True, "after": last}


async def value_rows(
    connection: Connection, recorded: Recorded, stable_id: str, name: str | None
) -> tuple[dict[str, Any], ...]:
    """Read what `storage.put` stored in one object or in all: the rows of the frame `values`."""
    namespace_id = _readable(connection, recorded, stable_id, "values")
    async with connection.client() as client:
        found = await client.stored_values(namespace_id, name)
    return tuple({"stable_id": stable_id, **one, "value": _python(one["value"])} for one in found)


async def select(  # noqa: PLR0913, PLR0917 - where, and what is asked
    connection: Connection, recorded: Recorded, stable_id: str, sql: str, params: Sequence[Any], name: str | None
) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Run one SELECT on one object or on all; return columns and rows.

    Of all objects, every row begins with `object_id` and `name`, and a column that an object lacks is None there.
    """
    namespace_id = _readable(connection, recorded, stable_id, "query")
    async with connection.client() as client:
        found = await client.query_objects(namespace_id, sql, list(params), name)
    if name is not None:
        return (tuple(found[0]["columns"]), _rows(found[0])) if found else ((), [])
    # In the order in which they come first: objects may have been written by different versions of the code.
    columns = dict.fromkeys(column for one in found for column in one["columns"])
    rows = [
        [one["object_id"], one["name"], *map(dict(zip(one["columns"], row, strict=True)).get, columns)]
        for one in found
        for row in _rows(one)
    ]
    return ("object_id", "name", *columns), rows


def _readable(connection: Connection, recorded: Recorded, stable_id: str, verb: str) -> NamespaceId:
    if connection.target != "local":
        raise CommandError(
            f"{verb}: Cloudflare has no way to read what an object has stored; ask the Worker (fetch), "
            "or look at it on the local target."
        )
    return deployed(recorded, stable_id)


def _rows(one: dict[str, Any]) -> list[list[Any]]:
    return [[_python(value) for value in row] for row in one["rows"]]


def _python(value: Any) -> Any:
    """Return a value with bytes in place of what stands for them in JSON (`{"$base64": ...}`)."""
    match value:
        case {"$base64": str(text)} if len(value) == 1:
            return base64.b64decode(text)
        case dict():
            return {key: _python(item) for key, item in value.items()}
        case list():
            return [_python(item) for item in value]
    return value
