"""One change of many objects, made of the rows of a DataFrame: read as each row says, sent together or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from notebook_do.display import one_line
from notebook_do.display.formats import counted
from notebook_do.errors import CommandError, NothingToChange, nearest
from notebook_do.live.changes import change_of, checked_key, delete_edit, execute_edit, put_edit, varies_notes
from notebook_do.live.mapping import checked_columns, is_empty
from notebook_do.live.querying import about
from notebook_do.live.storage import storage_of
from notebook_do.model.changes import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.live.changes import ChangePlace
    from notebook_do.live.storage import ObjectStorage
    from notebook_do.model.changes import ObjectChange, ObjectEdit

_AT_ONCE = 8
_TAKES = {"put": "key, value", "delete": "key", "execute": "sql, *params"}
"""What `args` names the columns of, as the method of an object takes it."""


async def change_rows(place: ChangePlace, action: str, df: Any, named: str, args: Sequence[str]) -> ObjectChange:
    """Return the change that makes what each row says. Raises CommandError where a row cannot be; sends nothing."""
    if action not in _TAKES:
        raise CommandError(f"map: unknown change {action}; {nearest(action, _TAKES)}")
    columns = checked_columns(df, named, args)
    if len(args) != len(_TAKES[action].split(", ")) and not (action == "execute" and args):
        raise CommandError(
            f"map: for change={action!r} args are the columns of {_TAKES[action]}; given are {len(args)}."
        )
    rows = [(at, *row) for at, row in zip(df.index, zip(*columns, strict=True), strict=True) if not is_empty(row[0])]
    async with place.connection.client() as client:
        storage = storage_of(place.connection, client, place.recorded, place.stable_id, action)
        edits = await _edits(storage, action, rows)
    # Of a key that is not there nothing can be deleted.
    possible = [edit for edit in edits if not (action == "delete" and edit.before is NOTHING)]
    _check_apart(action, possible)  # what changes nothing now may do so behind another row
    # Where all are done already, a change that says so: a notebook that runs again goes on.
    kept = [edit for edit in possible if not edit.noop] or possible
    if not kept:
        raise NothingToChange(f"map: no row of the frame changes anything in {place.stable_id}.")
    unnamed, same = len(columns[0]) - len(rows), len(edits) - len(kept)
    why = {"put": "whose value is there already", "delete": "of a key that is not there"}
    notes = (
        *([f"{counted(unnamed, 'row')} without a name of an object: left out."] if unnamed else []),
        *([f"{counted(same, 'row')} {why.get(action, 'of no change')}: nothing is sent for it."] if same else []),
        *(varies_notes(kept) if action == "execute" else ()),
    )
    whats = {edit.what for edit in kept}
    return change_of(place, action, whats.pop() if len(whats) == 1 else "", tuple(kept), notes)  # type: ignore[arg-type]  # it is one of the three


async def _edits(storage: ObjectStorage, action: str, rows: Sequence[tuple[Any, ...]]) -> list[ObjectEdit]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def read(row: tuple[Any, ...]) -> ObjectEdit:
        at, name, *given = row
        if not isinstance(name, str):
            raise CommandError(f"map: row {at}: an object is named by a text, and not by {name!r}.")
        with about(f"map: row {at} ({one_line(name)})"):
            return await of_row(name, given)

    async def of_row(name: str, given: Sequence[Any]) -> ObjectEdit:
        async with turns:
            match action:
                case "put":
                    return await put_edit(storage, name, checked_key(given[0]), given[1])
                case "delete":
                    return await delete_edit(storage, name, checked_key(given[0]))
            return await execute_edit(storage, name, given[0], given[1:])

    tasks = [asyncio.ensure_future(read(row)) for row in rows]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _check_apart(action: str, edits: Sequence[ObjectEdit]) -> None:
    """Raise CommandError for two rows that change one thing: what the second rests on is what the first changes."""
    met = set[tuple[str, str]]()
    for edit in edits:
        at = (edit.object_id, "" if action == "execute" else edit.what)
        if at in met:
            what = "statement on" if action == "execute" else f"change of key {edit.what} of"
            raise CommandError(f"map: there is more than one {what} {edit.spoken}; make them one after the other.")
        met.add(at)
