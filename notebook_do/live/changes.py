"""Changes of what objects have stored: read and shown first, then sent as they were shown, or refused as stale.

What is shown is read from files, so nothing runs for it. To send, three steps: the object says what it has now, in its
own words; the files are read again, and must say what was shown; then the object is asked to make the change if it
still has what it said. Whatever is written in between is found by the second step or the third: what an object answers
is on the disk before the answer leaves (output gates).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from notebook_do.display.formats import moment, size
from notebook_do.errors import CommandError, nearest
from notebook_do.inspector.values import decode, encode
from notebook_do.live.inspecting import MOST_BYTES
from notebook_do.live.snapshots import read_snapshot
from notebook_do.live.storage import storage_of
from notebook_do.live.values import parameters, whole
from notebook_do.model import Storage
from notebook_do.model.changes import NOTHING, ObjectChange, ObjectContents, ObjectEdit
from notebook_do.model.plain import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from notebook_do.live.connection import Connection
    from notebook_do.live.snapshots import Snapshot
    from notebook_do.live.storage import ObjectStorage
    from notebook_do.live.stored import StoredValue
    from notebook_do.model import ObservedObject, Recorded
    from notebook_do.model.changes import ChangeAction
    from notebook_do.state.sent import SentChange, SentChanges

_WOKEN = "On Cloudflare an object is read and changed through itself: it is woken for that."
_PAST = "This time is past: the alarm goes off as soon as it is set."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = 2**53
_OF_ROWS = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE|WITH)\b(?!.*\bRETURNING\b)", re.IGNORECASE | re.DOTALL)
"""What changes rows or nothing, and answers none; of others, such as ANALYZE, no row tells what they do."""
_LONGEST_KEY = 2048
"""Bytes: what Cloudflare takes for a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePlace:
    """Whose change it is: the session with its stage, the connection and the record, and the namespace."""

    session: str
    stage: str
    connection: Connection
    recorded: Recorded
    stable_id: str
    record: SentChanges
    """What was begun to be sent, by digest."""


# --- making: reads only


async def put(place: ChangePlace, name_or_id: str, key: str, value: Any) -> ObjectChange:
    """Return the change that stores a value under a key."""
    async with place.connection.client() as client:
        edit = await put_edit(_storage(place, client, "put"), name_or_id, key, value)
    return _change(place, "put", key, edit)


async def put_edit(storage: ObjectStorage, name_or_id: str, key: str, value: Any) -> ObjectEdit:
    """Read what a value would replace."""
    node = encode(value, "value")
    op = {"op": "put", "key": checked_key(key), "value": node}
    if (sent := len(canonical(op))) > MOST_BYTES:
        raise CommandError(f"put: the value is {size(sent)} as it is sent, and {size(MOST_BYTES)} can be sent at once.")
    one, found, before, rests_on = await _value(storage, name_or_id, key)
    edit = _edit(one, before, decode(json.loads(canonical(node))), op, [{"key": key}], rests_on)
    return replace(edit, noop=found is not None and found.node is not NOTHING and _told(found.node) == _told(node))


def _told(node: Any) -> str:
    """Write tagged JSON as JavaScript tells values apart: 1.0 and 1 are one number there, 1 and true are not."""
    return json.dumps(_numbers(node))


def _numbers(node: Any) -> Any:
    match node:
        case float() if node.is_integer():
            return int(node)
        case list():
            return [_numbers(one) for one in node]
        case dict():
            return {key: _numbers(one) for key, one in node.items()}
    return node


async def delete(place: ChangePlace, name_or_id: str, key: str) -> ObjectChange:
    """Return the change that deletes a key. Raises CommandError, with the nearest key, where there is none."""
    async with place.connection.client() as client:
        storage = _storage(place, client, "delete")
        edit = await delete_edit(storage, name_or_id, key)
        if edit.before is NOTHING:
            keys = [one["key"] for one in (await storage.page(name_or_id))[1]["keys"]]
            hint = nearest(key, keys) if keys else "it has none."
            raise CommandError(f"delete: {edit.spoken} of {place.stable_id} has no key {key}; {hint}")
    return _change(place, "delete", key, edit)


async def delete_edit(storage: ObjectStorage, name_or_id: str, key: str) -> ObjectEdit:
    """Read what would be deleted."""
    op = {"op": "delete", "key": checked_key(key)}
    one, _, before, rests_on = await _value(storage, name_or_id, key)
    return _edit(one, before, NOTHING, op, [{"key": key}], rests_on)


async def _value(
    storage: ObjectStorage, name_or_id: str, key: str
) -> tuple[ObservedObject, StoredValue | None, Any, str]:
    one = await storage.find(name_or_id)
    found = await storage.value(one.object_id, key)
    return one, found, NOTHING if found is None else found.value, "" if found is None else found.digest


async def execute(place: ChangePlace, name_or_id: str, sql: str, params: Sequence[Any]) -> ObjectChange:
    """Return the change that runs one statement; it was tried on a copy."""
    async with place.connection.client() as client:
        edit = await execute_edit(_storage(place, client, "execute"), name_or_id, sql, params)
    return _change(place, "execute", sql, edit, varies_notes([edit]))


def varies_notes(edits: Sequence[ObjectEdit]) -> tuple[str, ...]:
    """Return the note on what statements use that gives another value each time, where they do."""
    varies = ", ".join(dict.fromkeys(name for edit in edits for name in edit.before.varies))
    return (f"{varies} gives another value when the statement is sent.",) if varies else ()


async def execute_edit(storage: ObjectStorage, name_or_id: str, sql: str, params: Sequence[Any]) -> ObjectEdit:
    """Read the rows that a statement would change, before and after."""
    whole(sql, "execute: the statement", "which no statement can have")
    if storage.namespace.storage is not Storage.SQLITE:
        raise CommandError(
            f"execute: namespace {storage.namespace.stable_id} has key-value storage without SQL; put and delete "
            "change its keys."
        )
    given = [_bound(param, place) for place, param in enumerate(parameters(params, "execute"), 1)]
    one = await storage.find(name_or_id)
    tried = await storage.tried(one.object_id, sql, given)
    # A statement that changes the schema leaves SQLite's count of rows as an earlier one set it.
    count = {} if tried.effect.schema else {"count": tried.count}
    op = {"op": "change", "sql": sql, "params": given, **count}
    checks = [{"sql": check["sql"], "params": check["params"]} for check in tried.expect]
    edit = _edit(one, tried.effect, tried.effect, op, checks, tried.rests_on)
    # SQLite counts also rows that are not shown: those of sqlite_sequence, and those that a trigger took away again.
    none = not (tried.count or tried.effect.rows or tried.effect.schema or tried.effect.varies)
    return replace(edit, params=canonical(given), noop=none and bool(_OF_ROWS.match(sql)))


def _bound(param: Any, place: int) -> Any:
    """Return a parameter of a change. Raises CommandError for a number that the object cannot bind as it is.

    The file is read exactly, so that a query takes it; the object runs the statement itself, and `sql.exec` takes
    numbers, which are exact up to 2**53, and no BigInt.
    """
    if isinstance(param, int) and abs(param) > _EXACT:
        raise CommandError(
            f"execute: parameter {place} is {param}, and a Worker binds whole numbers exactly only up to {_EXACT}. "
            f'Write it into the statement itself, or give the text "{param}" and write CAST(? AS INTEGER).'
        )
    return param


async def set_alarm(place: ChangePlace, name_or_id: str, at: datetime | None) -> ObjectChange:
    """Return the change that sets an object's alarm, or with None deletes it."""
    if at is not None and (not isinstance(at, datetime) or at.tzinfo is None):
        raise CommandError(f"set_alarm: takes an aware datetime, or None to delete the alarm, not {at!r}.")
    after = None if at is None else (at - _EPOCH) // timedelta(milliseconds=1)
    op = {"op": "alarm", "at": after}
    async with place.connection.client() as client:
        one = await _storage(place, client, "set_alarm").find(name_or_id)
    shown = None if after is None else _EPOCH + timedelta(milliseconds=after)
    past = shown is not None and shown < datetime.now(UTC)
    notes = (_PAST,) if past else ()
    edit = _edit(one, one.alarm, shown, op, [{"alarm": True}], _of_alarm(one))
    return _change(place, "alarm", "", replace(edit, noop=one.alarm == shown and not past), notes)


async def run_alarm(place: ChangePlace, name_or_id: str) -> ObjectChange:
    """Return the change that runs an object's alarm() now, once."""
    async with place.connection.client() as client:
        one = await _storage(place, client, "run_alarm").find(name_or_id)
    edit = _edit(one, one.alarm, one.alarm, {"op": "ring"}, [{"alarm": True}], _of_alarm(one))
    stays = "" if one.alarm is None else f" The alarm of {moment(one.alarm)} stays set."
    return _change(place, "run alarm", "", edit, (f"alarm() runs once; what it does is the class's.{stays}",))


async def wipe(place: ChangePlace, name_or_id: str) -> ObjectChange:
    """Return the change that deletes all that an object has stored, its alarm included."""
    async with place.connection.client() as client:
        one, held, digest = await _storage(place, client, "wipe").contents(name_or_id)
    return _change(place, "wipe", "", _edit(one, held, NOTHING, {"op": "wipe"}, _inside(place, held, digest), digest))


def _inside(place: ChangePlace, held: ObjectContents, digest: str) -> list[dict[str, Any]]:
    """Return what the object itself compares, with what it `is`, before all that it has is replaced.

    On Cloudflare the digest is the object's own, of all. Of a file it cannot be: there these are the names of the keys
    and the numbers of rows, and the file is compared right before.
    """
    if place.connection.target != "local":
        return [{"all": True, "is": digest}]
    keys = [] if held.key_names is None else [{"keys": True, "is": held.key_names}]
    counts = [
        {"sql": _count(table), "params": [], "is": f"[[{rows}]]"} for table, rows in held.tables if rows is not None
    ]
    return [*keys, *counts]


def _count(table: str) -> str:
    name = table.replace('"', '""')
    return f'SELECT count(*) FROM "{name}"'  # noqa: S608 - quoted


async def restore(place: ChangePlace, name_or_id: str, snapshot: str | Path | Snapshot, *, other: bool) -> ObjectChange:
    """Return the change that puts what a snapshot holds in place of what an object has."""
    taken, content = read_snapshot(snapshot)
    async with place.connection.client() as client:
        storage = _storage(place, client, "restore")
        one, held, digest = await storage.contents(name_or_id)
    taken.check_for(storage.namespace, one.object_id, place.connection.target, other=other)
    rows = {} if taken.form == "file" else {"form": taken.form}
    op = {"op": "restore", "content": hashlib.sha256(content).hexdigest(), **rows}
    checks = [] if taken.form == "file" else _inside(place, held, digest)
    edit = _edit(one, held, taken.contents, op, checks, digest)
    notes = (f"The snapshot is of {taken.spoken}, taken {moment(taken.taken)}.",)
    return _change(place, "restore", str(taken.path), edit, notes, content)


def _storage(place: ChangePlace, client: Any, verb: str) -> ObjectStorage:
    return storage_of(place.connection, client, place.recorded, place.stable_id, verb)


def _edit(  # noqa: PLR0913, PLR0917 - the parts of an edit
    one: ObservedObject, before: Any, after: Any, op: dict[str, Any], checks: list[dict[str, Any]], rests_on: str
) -> ObjectEdit:
    return ObjectEdit(
        object_id=one.object_id,
        name=one.name,
        what=str(op.get("key", op.get("sql", ""))),
        before=before,
        after=after,
        op=canonical(op),
        checks=canonical(checks),
        rests_on=rests_on,
    )


def _change(  # noqa: PLR0913, PLR0917 - the parts of a change
    place: ChangePlace,
    action: ChangeAction,
    what: str,
    edit: ObjectEdit,
    notes: tuple[str, ...] = (),
    content: bytes = b"",
) -> ObjectChange:
    return change_of(place, action, what, (edit,), notes, content)


def change_of(  # noqa: PLR0913, PLR0917 - as above
    place: ChangePlace,
    action: ChangeAction,
    what: str,
    edits: tuple[ObjectEdit, ...],
    notes: tuple[str, ...] = (),
    content: bytes = b"",
) -> ObjectChange:
    """Return the change that makes these edits."""
    namespace = next(one for one in place.recorded.namespaces if one.stable_id == place.stable_id)
    change = ObjectChange(
        action=action,
        what=what,
        session=place.session,
        stage=place.stage,
        target=place.connection.target,
        stable_id=place.stable_id,
        namespace_id=namespace.namespace_id,
        class_name=namespace.class_name,
        edits=edits,
        notes=notes if place.connection.target == "local" else (*notes, _WOKEN),
        content=content,
        # What rings leaves nothing that tells that it was sent: where the record is lost, so is what was approved.
        record=place.record.id() if action == "run alarm" or _PAST in notes else "",
    )
    before: list[SentChange] = []
    sent = place.record.load()
    while noted := sent.get(change.digest):
        before.append(noted)
        change = replace(change, again=change.again + 1)
    if before:
        change = replace(change, notes=(*change.notes, _sent_before(before)))
    return replace(change, made=f"{secrets.token_hex(16)} {change.digest}")


def _sent_before(noted: Sequence[SentChange]) -> str:
    """Return the words for how often the same was sent, and whether that is known."""
    times = "once" if len(noted) == 1 else f"{len(noted):,} times"
    if all(one.done for one in noted):
        return f"This change was sent {times} before; it would be sent once more."
    last = moment(noted[-1].at)
    if len(noted) == 1:
        return f"This change was begun to be sent once before, {last}, and whether it was is not known."
    return f"This change was begun to be sent {times} before, last {last}, and whether it was each time is not known."


def _of_alarm(one: ObservedObject) -> str:
    return "" if one.alarm is None else one.alarm.isoformat()


def checked_key(key: str) -> str:
    """Return a key. Raises CommandError for what storage takes for none."""
    if not isinstance(key, str) or not key:
        raise CommandError("a key is a text, and not empty.")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise CommandError(f"key {key!r} has half a character (a lone surrogate), which no key can have.") from None
    if size > _LONGEST_KEY:
        raise CommandError(f"a key has at most {_LONGEST_KEY:,} bytes; this one has {size:,}.")
    return key
