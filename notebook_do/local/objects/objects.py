"""Looks into the files of stored objects while workerd may be writing them: which there are, what wakes when.

The rules kept here: files are opened read-only, and an id from outside is never made a path before it is known to
be hexadecimal.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import shutil
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_NAMESPACE_ID = re.compile(r"[0-9a-f]{32}")
_OBJECT_FILE = re.compile(r"([0-9a-f]{64})\.sqlite")
_METADATA = "metadata.sqlite"
_ALARM_KEY = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object that has a file. `name` is None when it is not known: names are not stored with objects."""

    id: str
    has_stored_data: bool
    name: str | None = None


def object_id(namespace_id: str, name: str) -> str:
    """Compute the id that `idFromName(name)` gives in a namespace."""
    key = hashlib.sha256(namespace_id.encode()).digest()
    base = hmac.digest(key, name.encode("utf-8", "surrogatepass"), "sha256")[:16]
    return (base + hmac.digest(key, base, "sha256")[:16]).hex()


def folder_of(storage: Path, namespace_id: str) -> Path:
    """Say where the objects of a namespace are; raises ValueError for what is no namespace id."""
    if not _NAMESPACE_ID.fullmatch(namespace_id):
        raise ValueError(f"{namespace_id!r} is no namespace id")
    return storage / namespace_id


def stored_objects(storage: Path, namespace_id: str, *, after: str = "", most: int | None = None) -> list[StoredObject]:
    """List the objects of a namespace by id, behind `after`; with its name where an alarm is set, which alone keeps it.

    Only the files of those that are given are opened.
    """
    folder = folder_of(storage, namespace_id)
    files = {match[1]: path for path in folder.glob("*.sqlite") if (match := _OBJECT_FILE.fullmatch(path.name))}
    known = {alarm.object_id: alarm.name for alarm in alarms(storage, namespace_id) if alarm.name is not None}
    return [
        StoredObject(id=found, has_stored_data=_has_data(files[found]), name=known.get(found))
        for found in sorted(found for found in files if found > after)[:most]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm that is set: `at` is Unix time in seconds."""

    object_id: str
    at: float
    name: str | None


def alarms(storage: Path, namespace_id: str) -> list[Alarm]:
    """List the alarms that are set in a namespace, soonest first."""
    with reading(folder_of(storage, namespace_id) / _METADATA) as database:
        if database is None or not _tables(database) >= {"_cf_ALARM"}:
            return []
        columns = {row[1] for row in database.execute("PRAGMA table_info(_cf_ALARM)")}
        name = "actor_name" if "actor_name" in columns else "NULL"  # older workerd keeps no names
        rows = database.execute(f"SELECT actor_id, scheduled_time, {name} FROM _cf_ALARM ORDER BY 2").fetchall()  # noqa: S608 - one of two words
    return [Alarm(object_id=found, at=at / 1e9, name=name) for found, at, name in rows]


def next_alarm(storage: Path, namespaces: Iterable[str]) -> float | None:
    """Say when the soonest alarm of several namespaces is due, as Unix time."""
    return min((alarm.at for one in namespaces for alarm in alarms(storage, one)[:1]), default=None)


def remove_namespace(storage: Path, namespace_id: str) -> None:
    """Delete all objects of a namespace; out of sight at once, even when the deletion is cut short."""
    folder = folder_of(storage, namespace_id)
    if folder.exists():
        doomed = folder.rename(storage / f"deleted-{uuid4().hex}")
        shutil.rmtree(doomed, ignore_errors=True)


def sweep(storage: Path) -> None:
    """Finish deletions that were cut short."""
    for doomed in storage.glob("deleted-*"):
        shutil.rmtree(doomed, ignore_errors=True)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a file read-only; None when there is none."""
    if not path.is_file():
        yield None
        return
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
        yield database


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _has_data(path: Path) -> bool:
    """Look inside: an object that was only touched, or emptied, leaves a file too."""
    with reading(path) as database:
        if database is None:
            return False
        tables = _tables(database)
        if any(not name.startswith(("_cf_", "sqlite_")) for name in tables):
            return True
        if "_cf_KV" in tables and database.execute("SELECT 1 FROM _cf_KV LIMIT 1").fetchone():
            return True
        alarm = "SELECT 1 FROM _cf_METADATA WHERE key = ? AND value IS NOT NULL"
        return "_cf_METADATA" in tables and database.execute(alarm, (_ALARM_KEY,)).fetchone() is not None
