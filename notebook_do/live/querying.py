"""Why a statement was not run on live objects, said to the person who wrote it."""

from __future__ import annotations

import contextlib
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from notebook_do.cloudflare import wire
from notebook_do.declare.line import as_argument, quoted
from notebook_do.display import clean, one_line
from notebook_do.display.formats import counted, listed
from notebook_do.display.source import shown_code
from notebook_do.errors import ApiError, CommandError, DurableError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.model import NamespaceId

NO_OBJECT, NO_TABLE, NOT_A_READ, BAD_QUERY, BAD_STATEMENT, MOVED = 10179, 10180, 10181, 10182, 10183, 10078
"""The local Cloudflare's own codes: Cloudflare has nothing that could give them."""
_TABLES = """SELECT name FROM sqlite_master WHERE type = 'table'
AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"""
_WRITES = re.compile(
    r"\b(INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|PRAGMA|ATTACH|DETACH|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|VACUUM|REINDEX)\b",
    re.IGNORECASE,
)
_NAMES = 10_000
"""How many objects are looked through for a name that is near."""
_SHOWN = 5
_LONGEST = 200


@contextlib.contextmanager
def about(which: str) -> Iterator[None]:
    """Begin an error that is raised inside with `which` of several objects it is about."""
    try:
        yield
    except (CommandError, TargetError) as error:
        error.message = f"{which}: {error.message}"
        raise


async def explained(  # noqa: PLR0913, PLR0917 - what was asked, of whom
    client: Client, namespace_id: NamespaceId, stable_id: str, sql: str, name_or_id: str | None, error: ApiError
) -> DurableError:
    """Return the error of a statement that was refused, in words for a person; any other error as it is."""
    match error.code:
        case code if code == NO_OBJECT and name_or_id is not None:
            return await absent_object(client, namespace_id, stable_id, name_or_id)
        case code if code == NO_TABLE:
            return await _no_table(client, namespace_id, stable_id, name_or_id, error)
        case code if code == NOT_A_READ:
            name = as_argument(name_or_id) if name_or_id else ""
            return CommandError(_writes(stable_id, sql, name or await _one_name(client, namespace_id)))
        case code if code == BAD_QUERY:
            return CommandError(f"query: {error.message}")
    return error


async def _no_table(
    client: Client, namespace_id: NamespaceId, stable_id: str, name_or_id: str | None, error: ApiError
) -> CommandError:
    table = error.message.removeprefix("no such table: ").removeprefix("main.")
    found = await client.query_objects(namespace_id, _TABLES, [], name_or_id)
    known = list(dict.fromkeys(str(row[0]) for one in found for row in one["rows"]))
    where = f"the objects of {stable_id}" if name_or_id is None else f"{one_line(name_or_id)} of {stable_id}"
    they = "they have" if name_or_id is None else "it has"
    near = get_close_matches(table, known, n=1, cutoff=0.6)
    meant = f". Did you mean {near[0]}?" if near else "."
    return CommandError(f"No table {table} in {where}; {they} {', '.join(known) or 'no table'}{meant}")


def _writes(stable_id: str, sql: str, name: str) -> str:
    found = _WRITES.search(sql)
    word = found[1].upper() if found else "this statement"
    if word == "PRAGMA":
        return "query only reads: this PRAGMA is not run. table_info, table_list, index_list and index_info are."
    return f"query only reads: {word} is not run. {to_change(stable_id, name, sql, word)}"


def to_change(stable_id: str, name: str, sql: str, word: str) -> str:
    """Say how a statement changes data that begins with this word, or has it; `name` is that of an object on a line.

    The line has the statement, to be pasted, where that is short and has nothing to hide and no value to be given.
    """
    statement = sql.strip().removesuffix(";")
    told = len(statement) <= _LONGEST and statement.upper().startswith(word) and not set("?\n") & set(statement)
    shown = quoted(statement) if told and shown_code(statement) == statement == clean(statement) else f'"{word} …"'
    return f"To change data: %durable execute {stable_id} {name} {shown} (shown first), or call a method."


async def _one_name(client: Client, namespace_id: NamespaceId) -> str:
    names = await _names(client, namespace_id, 10)
    return as_argument(names[0]) if names else "my-object"


async def absent_object(client: Client, namespace_id: NamespaceId, stable_id: str, name_or_id: str) -> CommandError:
    """Say that a namespace has no such object, with the nearest name that it has."""
    said = f"{stable_id} has no object {one_line(name_or_id)} that stored something"
    names: Sequence[str] = await _names(client, namespace_id, _NAMES)
    if not names:
        return CommandError(f"{said}; it has none at all yet.")
    if near := get_close_matches(name_or_id, names, n=1, cutoff=0.6):
        return CommandError(f"{said}; the nearest name is {one_line(near[0])}.")
    return CommandError(
        f"{said}; it has {counted(len(names), 'object')}: {listed(list(map(one_line, names)), _SHOWN)}."
    )


async def _names(client: Client, namespace_id: NamespaceId, most: int) -> list[str]:
    """Return the names of objects, their ids where they have none; of the first page of the list."""
    async for items in client.list_objects(namespace_id, limit=most):
        return [one.name or one.object_id for one in map(wire.decode_object, items)]
    return []
