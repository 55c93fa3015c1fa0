"""Looks at live objects: which a namespace has, and what they have stored. Reads only.

Cloudflare tells ids and no more; there, what an object holds is read through it, where it was deployed with `inspect`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError, NotDeployed, TargetError, nearest
from notebook_do.inspector.values import decode
from notebook_do.live.far_storage import is_id
from notebook_do.live.inspecting import Returned
from notebook_do.live.inventory import deployed_namespace, inspector_of
from notebook_do.live.observe import observe_objects, observe_scripts
from notebook_do.live.signed import signed_way
from notebook_do.live.storage import storage_of
from notebook_do.live.values import parameters, whole

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.live.connection import Connection
    from notebook_do.model import NamespaceId, Recorded

_LOOKED_THROUGH = 9_999
_NAMES = 400
"""How many names a list asks the ids of: ten requests."""


async def live_scripts(connection: Connection) -> frozenset[str]:
    """Return the names of all scripts of the account: one request."""
    async with connection.client() as client:
        return frozenset(await observe_scripts(client))


def must_be_live(
    worker: str, script: str, live: Collection[str], declared: Collection[str], recorded: Collection[str]
) -> None:
    """Raise CommandError for a Worker that is not among the `live` scripts, with the nearest name that there is.

    `recorded` are the ids of Workers that the state file has: they are names too.
    """
    if worker in declared and script not in live:
        raise NotDeployed.of(f"Worker {worker}", "fetch: ")
    if script not in live:
        hint = nearest(worker, sorted({*declared, *recorded, *live})) if live else "deploy it first."
        raise CommandError(f"fetch: no Worker {worker} is declared or live; {hint}")


async def object_rows(  # noqa: PLR0913, PLR0917 - where, and what is asked
    connection: Connection,
    recorded: Recorded,
    stable_id: str,
    limit: int | None,
    after: str | None,
    known: Sequence[str] = (),
) -> tuple[tuple[dict[str, Any], ...], bool, str]:
    """List the objects of a namespace, `limit` at most, behind the one called `after`: the rows of the frame `objects`.

    True when there are more. On Cloudflare those with one of the `known` names have it; the text says why they do not.
    """
    if limit is not None and limit < 1:
        raise CommandError(f"objects: a limit is at least 1, not {limit}.")
    namespace_id = deployed_namespace(recorded, stable_id, with_id=True).namespace_id
    async with connection.client() as client:
        found, more = await observe_objects(client, namespace_id, most=limit, after=after)
    names, why = await _names(connection, recorded, stable_id, known)
    rows = ({"stable_id": stable_id, **asdict(one), "name": one.name or names.get(one.object_id)} for one in found)
    return tuple(rows), more, why


async def _names(
    connection: Connection, recorded: Recorded, stable_id: str, known: Sequence[str]
) -> tuple[dict[str, str], str]:
    """Return the names by id: the inspector makes an id of each, which reaches no object and makes none."""
    names = [name for name in known if not is_id(name)][-_NAMES:]
    if connection.target == "local" or not names or inspector_of(recorded, stable_id) is None:
        return {}, ""
    try:
        way = await signed_way(connection, recorded, stable_id, "objects")
        outcomes = await way.ask([{"object": {"name": name}, "op": "id"} for name in names])
    except (CommandError, TargetError) as error:  # the list is there all the same
        return {}, f"No names were asked for. {error}"
    pairs = zip(outcomes, names, strict=True)
    return {str(one.value): name for one, name in pairs if isinstance(one, Returned)}, ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentWrites:
    """Which objects of a namespace were written lately: how many within the hour, and the names of the newest."""

    within_hour: int
    newest: tuple[str, ...]


async def recent_writes(client: Client, namespace_id: NamespaceId, *, most: int = 3) -> RecentWrites | None:
    """Return which objects were written lately, by one request; None where the target does not tell, or has none.

    For the plan that deletes a namespace, and its panel. An object without a name is called by the start of its id. Of
    more than 10,000 objects, which one answer has, nothing is claimed either.
    """
    found, more = await observe_objects(client, namespace_id, most=_LOOKED_THROUGH)
    written = [(one.last_write, one) for one in found if one.stored and one.last_write is not None]
    if more or not written:
        return None
    newest = sorted(written, key=lambda pair: (pair[0], pair[1].object_id), reverse=True)
    since = datetime.now(UTC) - timedelta(hours=1)
    return RecentWrites(
        within_hour=sum(at >= since for at, _ in written),
        newest=tuple(one.name or f"{one.object_id[:8]}…" for _, one in newest[:most]),
    )


def going_on(stable_id: str, rows: Sequence[dict[str, Any]], why: str = "", *, more: bool) -> dict[str, Any]:
    """Return what the frame of these objects says below them and in its `attrs`, where there are `more`.

    `why` is what is to be said besides.
    """
    if not more:
        return {"read": len(rows), "more": False, **({"said": why} if why else {})}
    last = rows[-1]["object_id"]
    hint = f"go on with after={last!r} (%durable objects {stable_id} --after {last})"
    said = f"{len(rows):,} were read, and there are more: {hint}. {why}".rstrip()
    return {"said": said, "read": len(rows), "more": True, "after": last}


async def value_rows(
    connection: Connection, recorded: Recorded, stable_id: str, name: str | None, prefix: str = ""
) -> tuple[dict[str, Any], ...]:
    """Read what `storage.put` stored in one object or in all: the rows of the frame `values`."""
    whole(prefix, "values: the prefix", "which no key can have")
    async with connection.client() as client:
        found = await storage_of(connection, client, recorded, stable_id, "values").values(name, prefix)
    return tuple({"stable_id": stable_id, **one, "value": decode(one["value"])} for one in found)


async def select(  # noqa: PLR0913, PLR0917 - where, and what is asked
    connection: Connection, recorded: Recorded, stable_id: str, sql: str, params: Sequence[Any], name: str | None
) -> tuple[tuple[str, ...], list[list[Any]], bool]:
    """Run one SELECT on one object or on all; return the names of the columns, the rows, and whether ours are there.

    Of all objects every row begins with the object's name and ends with its id, and a column that an object lacks is
    None there.
    """
    sent = parameters(params)
    whole(sql, "query: the statement", "which no statement can have")
    async with connection.client() as client:
        found = await storage_of(connection, client, recorded, stable_id, "query").query(sql, sent, name)
    # A statement may select one name twice, and objects of one class may be of several versions of the code: a column
    # is its name and how often that came before. In the order in which they come first.
    told = [(one, numbered(one["columns"])) for one in found]
    keys = dict.fromkeys(key for _, keys in told for key in keys)
    columns = distinct([column for column, _ in keys])
    if name is not None:
        return columns, [_cells(row) for one in found for row in one["rows"]], False
    rows = [
        [one["name"], *map(dict(zip(own, _cells(row), strict=True)).get, keys), one["object_id"]]
        for one, own in told
        for row in one["rows"]
    ]
    return (_ours("name", columns), *columns, _ours("object_id", columns)), rows, True


def numbered(columns: Sequence[str]) -> list[tuple[str, int]]:
    """Return each column with how often its name came before."""
    counts: dict[str, int] = {}
    found = []
    for column in columns:
        found.append((column, counts.setdefault(column, 0)))
        counts[column] += 1
    return found


def distinct(columns: Sequence[str]) -> tuple[str, ...]:
    """Give columns of one name different ones: `id`, `id.1`, ...; a name that another column has is never taken."""
    given, used = set(columns), dict[str, None]()
    for column in columns:
        free, number = column, 0
        while free in used or (number and free in given):
            number += 1
            free = f"{column}.{number}"
        used[free] = None
    return tuple(used)


def _ours(name: str, columns: Sequence[str]) -> str:
    return distinct([*columns, f"object.{name}" if name in columns else name])[-1]


def _cells(row: list[Any]) -> list[Any]:
    return [decode(value) for value in row]
