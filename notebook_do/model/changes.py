"""A change of what objects have stored: what is there, what would be, and what it rests on. Values only.

It is made by reading, shown to a person, and sent as it was shown or not at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.display import Shown, clean, frame, one_line
from notebook_do.display.formats import counted
from notebook_do.model.plain import canonical
from notebook_do.model.words import LATER

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from notebook_do.model.words import NamespaceId

ChangeAction = Literal["put", "delete", "execute", "alarm", "run alarm", "wipe", "restore"]
_VERSION = "object-change-1"


def named(value: Any, *names: str) -> str:
    """Return a repr with these fields alone: IPython shows the repr of each item of a list, and nothing hides in it."""
    return f"{type(value).__name__}({', '.join(f'{name}={getattr(value, name)!r}' for name in names)})"


class Nothing:
    """Stands for the value of a key that is not there; there is one of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NOTHING"

    def __bool__(self) -> bool:
        return False


NOTHING = Nothing()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One row that a statement inserts, updates or deletes: its cells before and after, None where there is no row."""

    table: str
    kind: Literal["insert", "update", "delete"]
    columns: tuple[str, ...]
    before: tuple[Any, ...] | None
    after: tuple[Any, ...] | None

    def __repr__(self) -> str:
        return named(self, "table", "kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """A table, index, view or trigger that a statement makes, alters or drops; `rows` are those that a table loses."""

    kind: str
    name: str
    before: str | None
    after: str | None
    rows: int | None = None

    def __repr__(self) -> str:
        return named(self, "kind", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementEffect:
    """What a statement changes. `varies` names what it uses that gives another value each time, such as random()."""

    rows: tuple[RowChange, ...]
    schema: tuple[SchemaChange, ...] = ()
    varies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBeside:
    """An index, view or trigger that comes with the tables of a snapshot."""

    kind: str
    name: str
    sql: str

    def __repr__(self) -> str:
        return named(self, "kind", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectContents:
    """How much an object holds: tables with their number of rows (None: not known), keys, bytes, and its alarm.

    `key_names` is a digest of the names of the keys, None where that is not needed. `beside` is what a
    snapshot that was read has beside tables.
    """

    tables: tuple[tuple[str, int | None], ...] = ()
    keys: int = 0
    size: int = 0
    alarm: datetime | None = None
    key_names: str | None = field(default=None, compare=False, repr=False)
    beside: tuple[MadeBeside, ...] = field(default=(), compare=False, repr=False)

    @property
    def is_empty(self) -> bool:
        """Say whether nothing would be lost with it."""
        return not self.tables and not self.keys and self.alarm is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEdit:
    """What a change does to one object. `before` and `after` are what is shown; `what` is the key or the statement.

    `op` is what is asked of the object, `checks` what it compares before it does that, both as JSON; `rests_on` is a
    digest of what was there.
    """

    object_id: str
    name: str | None
    what: str
    before: Any
    after: Any
    op: str
    checks: str = "[]"
    rests_on: str = ""
    params: str = "[]"
    """The parameters of a statement, to try it once more."""
    noop: bool = field(default=False, repr=False, metadata={LATER: True})
    """Whether what it would do is done already: the value is there, the alarm is set, no row would change."""

    @property
    def spoken(self) -> str:
        """Return the object's name as it is written in a sentence or typed; the beginning of its id without one."""
        name = self.name or ""
        return name if name and one_line(name) == name == clean(name) else f"{self.object_id[:8]}…"

    def __repr__(self) -> str:
        return named(self, "object_id", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange(Shown):
    """A change of one object, or of many at once, that was read and not sent: `session.apply(change)` sends it.

    `what` is the key, the statement or the snapshot that it is about, empty where that differs. It can be applied once,
    and is refused as stale when what it rests on is not there any more.
    """

    action: ChangeAction
    what: str
    session: str
    stage: str
    target: str
    stable_id: str
    namespace_id: NamespaceId
    class_name: str
    edits: tuple[ObjectEdit, ...]
    notes: tuple[str, ...] = ()
    content: bytes = field(default=b"", repr=False)
    """The snapshot's own bytes, of a restore."""
    again: int = field(default=0, repr=False, metadata={LATER: True})
    """How often the same was sent before: this one has another digest, so that no approval is used twice."""
    record: str = field(default="", repr=False, metadata={LATER: True})
    """Of what runs alarm() the id of the record of what was sent: an approval is good where its use is known."""
    made: str = field(default="", repr=False)
    """Tells it from another change of the same digest, and has the digest that was shown; a copy has the same."""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of all that is sent, to whom, and of what it rests on."""
        body = {
            "is": _VERSION,
            "session": self.session,
            "stage": self.stage,
            "target": self.target,
            "namespace": self.namespace_id,
            "action": self.action,
            "edits": [[one.object_id, one.op, one.checks, one.rests_on] for one in self.edits],
            **({"again": self.again} if self.again else {}),
            **({"record": self.record} if self.record else {}),
        }
        return hashlib.sha256(canonical(body).encode()).hexdigest()[:16]

    @property
    def noop(self) -> bool:
        """Whether nothing would change: it is shown in a line, asks for no approval, and nothing is sent for it."""
        return all(one.noop for one in self.edits)

    @property
    def before(self) -> Any:
        """What is there, of the one object; of many a list in their order."""
        return self.edits[0].before if len(self.edits) == 1 else [one.before for one in self.edits]

    @property
    def after(self) -> Any:
        """What would be there, of the one object; of many a list in their order."""
        return self.edits[0].after if len(self.edits) == 1 else [one.after for one in self.edits]

    @property
    def phrase(self) -> str | None:
        """What a person types to allow it: where all of an object would be lost, or many change. None for the rest."""
        if self.noop:
            return None
        if len(self.edits) > 1:
            return f"{self.action} {counted(len({one.object_id for one in self.edits}), 'object')} of {self.stable_id}"
        (only,) = self.edits
        empty = isinstance(only.before, ObjectContents) and only.before.is_empty
        loses = self.action == "wipe" or (self.action == "restore" and not empty)
        return f"delete {only.spoken.rstrip('…')} {only.object_id[-8:]}" if loses else None

    @property
    def df(self) -> pd.DataFrame:
        """One row for each object, with what is there and what would be."""
        rows = (
            {"name": one.name, "object_id": one.object_id, "value": one.before, "new_value": one.after}
            for one in self.edits
        )
        return frame("object_changes", rows)

    def __repr__(self) -> str:
        return named(self, "action", "session", "stage", "target", "stable_id", "edits")
