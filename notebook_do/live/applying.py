"""Sends changes of what objects have stored, as they were shown: see `changes` for the three steps."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from notebook_do.cloudflare.answer import NoAnswer
from notebook_do.display import Shown, frame
from notebook_do.display.formats import counted, listed
from notebook_do.errors import ApiError, CommandError, ConsentRequired, DurableError, StaleChange, TargetError
from notebook_do.live.inspecting import Declined, NoMethod, NotKnown, Returned, Threw
from notebook_do.live.querying import MOVED, about
from notebook_do.live.restoring import put_back, restored_by_itself
from notebook_do.live.storage import LocalStorage, storage_of
from notebook_do.live.ways import way_to
from notebook_do.model import Storage
from notebook_do.model.changes import named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pandas as pd

    from notebook_do.live.connection import Connection
    from notebook_do.live.inspecting import Inspecting, Op, Outcome
    from notebook_do.live.storage import ObjectStorage
    from notebook_do.model import Recorded
    from notebook_do.model.changes import ObjectChange, ObjectEdit

_MOVED = "moved"
"""What an object answers where what a change rests on is not there any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedChange(Shown):
    """A change that was sent. `results` has for each object what it answered: None, or the rows of RETURNING.

    `errors` has for each why it was not changed, None where it was.
    """

    change: ObjectChange
    at: datetime
    results: tuple[Any, ...]
    errors: tuple[str | None, ...]
    bookmark: str | None = None
    """Of what was put back on Cloudflare: where its class can go back to what it had before, for 30 days."""

    @property
    def ok(self) -> bool:
        """Say whether every object was changed."""
        return not any(self.errors)

    @property
    def df(self) -> pd.DataFrame:
        """One row for each object, in the order of the change: why it was not changed, NA where it was."""
        each = zip(self.change.edits, self.errors, strict=True)
        rows = ({"name": one.name, "object_id": one.object_id, "error": why} for one, why in each)
        return frame("applied_changes", rows)

    def __repr__(self) -> str:
        return named(self, "change", "at", "errors")


class Turn(Protocol):
    """Where it is noted that a change is sent, once."""

    def take(self) -> None:
        """Note that it is about to be sent. Raises CommandError where that was noted before."""

    def free(self) -> None:
        """Note that it was certainly not sent after all."""

    def done(self) -> None:
        """Note that it was sent."""


@contextlib.contextmanager
def _sending(turn: Turn) -> Iterator[list[Outcome]]:
    """Note that a change is sent, and after it that it was; take it back where it certainly was not.

    What became of it is put into the list that this gives. Where no answer came of anything neither is noted.
    """
    turn.take()
    outcomes: list[Outcome] = []
    try:
        yield outcomes
    except DurableError as error:
        # Of those that a way raises none was sent; of a file another error than a refusal tells nothing.
        if not (isinstance(error, NoAnswer) and error.sent) and not isinstance(error, ApiError):
            turn.free()
        raise
    if outcomes and all(map(_is_undone, outcomes)):
        turn.free()
    elif not all(isinstance(one, NotKnown) or _is_undone(one) for one in outcomes) or not outcomes:
        turn.done()


def _is_undone(outcome: Outcome) -> bool:
    """Say whether an outcome tells that nothing was done."""
    return isinstance(outcome, NoMethod) or (isinstance(outcome, Declined) and not outcome.done)


def check(change: ObjectChange, connection: Connection, recorded: Recorded, confirm: Collection[str]) -> None:
    """Raise CommandError or ConsentRequired, before anything is read, for a change that is not sent here."""
    if change.made.rpartition(" ")[2] != change.digest:
        raise CommandError(
            f"apply: the change {change.digest} is not as it was made and shown; nothing was sent. Make it anew."
        )
    known = {one.namespace_id: one.stable_id for one in recorded.namespaces}
    if change.target != connection.target or known.get(change.namespace_id) != change.stable_id:
        raise CommandError(
            f"apply: the change is of namespace {change.stable_id} on {change.target}, which is not in the state of "
            "this session; nothing was sent."
        )
    if change.phrase is not None and change.phrase not in confirm:
        raise ConsentRequired(
            f"apply: {why_asked(change)}; nothing was sent. "
            f'To allow it: confirm="{change.phrase}" (--confirm "{change.phrase}").'
        )


def why_asked(change: ObjectChange) -> str:
    """Say for what a change asks its phrase: of which objects it loses all, or which ones it changes at once."""
    names = list(dict.fromkeys(one.spoken for one in change.edits))
    if len(change.edits) == 1:
        return f"what {names[0]} has is lost, and cannot be had back"
    objects = counted(len({one.object_id for one in change.edits}), "object")
    return f"{objects} of {change.stable_id} would be changed at once: {listed(names)}"


async def apply(connection: Connection, recorded: Recorded, change: ObjectChange, turn: Turn) -> AppliedChange:
    """Send a change, unless it is done already. Raises StaleChange where what it rests on moved: nothing was sent."""
    async with connection.client() as client:
        storage = storage_of(connection, client, recorded, change.stable_id, "apply")
        if change.action == "restore":
            _check_content(change)
            if not restored_by_itself(change):
                await _restore_file(storage, change, turn)
                return _applied(change, (None,), (None,))
        if change.noop:
            await _must_be_as_shown(storage, change)
            return _applied(change, (None,) * len(change.edits), (None,) * len(change.edits))
        way = await way_to(connection, client, recorded, change.stable_id, "apply")
        # Before all of it goes, the object is not woken: its constructor may write, and is to be run after that.
        whole = change.action in {"wipe", "restore"}
        expected = _counted(change.edits) if whole else await _seen(way, change)
        began = datetime.now(UTC)
        if not whole or isinstance(storage, LocalStorage):  # it compares all by itself, in the change's own transaction
            await _must_be_as_shown(storage, change)
        ops = [_op(edit, texts) for edit, texts in zip(change.edits, expected, strict=True)]
        if change.action == "wipe" and isinstance(storage, LocalStorage):
            ops = [await _unwritten(way, storage, change, ops[0], began)]
        with _sending(turn) as outcomes:
            if change.action == "restore":
                outcomes.append(await put_back(way, ops[0], change.content))
            else:
                outcomes.extend(await way.ask(ops, at_once=8))
    return _told(change, outcomes)


def _check_content(change: ObjectChange) -> None:
    if hashlib.sha256(change.content).hexdigest() != json.loads(change.edits[0].op)["content"]:
        raise CommandError("restore: the content is not that of the snapshot that was shown; nothing was sent.")


async def _restore_file(storage: ObjectStorage, change: ObjectChange, turn: Turn) -> None:
    (edit,) = change.edits
    assert isinstance(storage, LocalStorage)  # noqa: S101 - `Snapshot.check_for` lets a file go nowhere else
    try:
        with _sending(turn):
            try:
                await storage.restore(edit.object_id, change.content, edit.rests_on)
            except ApiError as error:
                if error.code != MOVED:
                    raise
                raise _stale(change, [edit]) from None
    except NoAnswer as lost:
        if lost.sent:
            raise TargetError(f"restore: {lost}: whether it was done is not known; look at the object.") from None
        raise


def _counted(edits: Sequence[ObjectEdit]) -> list[list[str]]:
    return [[one["is"] for one in json.loads(edit.checks)] for edit in edits]


async def _seen(way: Inspecting, change: ObjectChange) -> list[list[str]]:
    """Return what each object says now of what the change rests on."""
    asked = [{"object": {"id": one.object_id}, "op": "seen", "checks": json.loads(one.checks)} for one in change.edits]
    found = []
    for edit, outcome in zip(change.edits, await way.ask(asked), strict=True):
        if not isinstance(outcome, Returned):
            raise CommandError(f"{change.action}: {edit.spoken} cannot be asked: {_why(outcome)}. Nothing was changed.")
        found.append(list(outcome.value))
    return found


async def _must_be_as_shown(storage: ObjectStorage, change: ObjectChange) -> None:
    moved = []
    for edit in change.edits:
        with about(f"{change.action} of {edit.spoken}"):
            if await _rests_on(storage, change, edit) != edit.rests_on:
                moved.append(edit)
    if moved:
        raise _stale(change, moved)


async def _unwritten(way: Inspecting, storage: LocalStorage, change: ObjectChange, op: Op, compared: datetime) -> Op:
    """Return a wipe that the object refuses where anything was written since its file was `compared`.

    What the object holds cannot be told as its file has it. So it says how much it has written, the file is compared
    once more, and the object wipes only if it has written no more. An object that wakes for this may write first, in
    its constructor: then names and numbers are compared, as the change has them.
    """
    (edit,) = change.edits
    check = {"writes": True} if storage.namespace.storage is Storage.SQLITE else {"all": True}
    asked = {"object": {"id": edit.object_id}}
    info, seen = await way.ask([{**asked, "op": "info"}, {**asked, "op": "seen", "checks": [check]}])
    if not isinstance(info, Returned) or not isinstance(seen, Returned):
        return op  # whoever cannot be asked that is not wiped by being asked either, or is too large to be compared
    if await _rests_on(storage, change, edit) != edit.rests_on and info.value["born"] <= compared:
        raise _stale(change, [edit])
    return {**op, "checks": [*op["checks"], check], "expect": [*op["expect"], *seen.value]}


async def _rests_on(storage: ObjectStorage, change: ObjectChange, edit: ObjectEdit) -> str:
    op = json.loads(edit.op)
    match change.action:
        case "put" | "delete":
            found = await storage.value(edit.object_id, op["key"])
            return "" if found is None else found.digest
        case "execute":
            return (await storage.tried(edit.object_id, op["sql"], json.loads(edit.params))).rests_on
        case "alarm" | "run alarm":
            one = await storage.find(edit.object_id)
            return "" if one.alarm is None else one.alarm.isoformat()
    return (await storage.contents(edit.object_id))[2]


def _op(edit: ObjectEdit, expected: list[str]) -> Op:
    op: Op = json.loads(edit.op)
    return {"object": {"id": edit.object_id}, **op, "checks": json.loads(edit.checks), "expect": expected}


def _told(change: ObjectChange, outcomes: Sequence[Outcome]) -> AppliedChange:
    """Return what became of the change; raises for a change of one object that was not made."""
    if len(change.edits) == 1:
        ((edit,), (outcome,)) = change.edits, outcomes
        if not isinstance(outcome, Returned):
            raise _error(change, edit, outcome)
    errors = [None if isinstance(one, Returned) else _why(one) for one in outcomes]
    values = [one.value if isinstance(one, Returned) else None for one in outcomes]
    bookmark = values[0].get("bookmark") if change.action == "restore" and isinstance(values[0], dict) else None
    return replace(_applied(change, tuple(map(_result, values)), tuple(errors)), bookmark=bookmark)


def _result(value: Any) -> Any:
    return value["rows"] if isinstance(value, dict) and value.get("columns") else None


def _error(change: ObjectChange, edit: ObjectEdit, outcome: Outcome) -> DurableError:
    where = f"{change.action} of {edit.spoken}"
    match outcome:
        case Declined(why="moved"):
            return _stale(change, [edit])
        case Threw(error=error):
            return error
        case Declined(done=True):
            return TargetError(f"{where}: it was done, and its result cannot be told: {_why(outcome)}.")
        case NotKnown():
            return TargetError(f"{where}: {_why(outcome)}; look at the object before you change it again.")
    return CommandError(f"{where}: {_why(outcome)}. Nothing was changed.")


def _why(outcome: Outcome) -> str:
    match outcome:
        case Threw(error=error):
            return str(error)
        case Declined(why="moved"):
            return "it moved meanwhile; nothing was sent"
        case Declined(why="closed"):
            return "its class cannot be looked into, so only its own methods can change it"
        case Declined(why=why):
            return why.removesuffix(".")
        case NotKnown(why=why):
            return f"{why}: whether it was done is not known, and it was not repeated"
        case NoMethod():
            return "its class has no such method"
    return ""


def _stale(change: ObjectChange, moved: Sequence[ObjectEdit]) -> StaleChange:
    names = ", ".join(one.spoken for one in moved[:3]) + (f" and {len(moved) - 3:,} more" if len(moved) > 3 else "")
    what = {"put": f"key {change.what} of ", "delete": f"key {change.what} of ", "execute": "the rows of "}
    alarm = "the alarm of " if change.action in {"alarm", "run alarm"} else ""
    return StaleChange(
        f"{what.get(change.action, alarm)}{names} moved after the change {change.digest} was shown; nothing was sent. "
        "Read it as it is now, and decide again."
    )


def _applied(change: ObjectChange, results: tuple[Any, ...], errors: tuple[str | None, ...]) -> AppliedChange:
    return AppliedChange(change=change, at=datetime.now(UTC), results=results, errors=errors)
