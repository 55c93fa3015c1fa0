"""A whole object as one file, and back: the content of its SQLite file, alarm included.

What is copied is what is committed, also while workerd writes. What is restored replaces the content in one transaction
of SQLite's own, which a kill in the middle leaves undone, and only while no workerd has the namespace: an object that
is open would go on with what it remembers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from notebook_do.local.objects.pages import quoted, tables_of
from notebook_do.local.objects.stored import ReadError, reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MARK = ".restoring"
_PAGES = 1024
_METADATA = "metadata.sqlite"
_ALARMS = "CREATE TABLE IF NOT EXISTS _cf_ALARM (actor_id TEXT PRIMARY KEY, scheduled_time INTEGER, actor_name TEXT) WITHOUT ROWID"  # noqa: E501 - as workerd has it
_ALARM = "SELECT value FROM _cf_METADATA WHERE key = 1 AND value IS NOT NULL"
_OWN = ("_cf_KV", "_cf_METADATA")


def copied(path: Path, into: Path) -> None:
    """Copy what is committed of one object to a new file. Raises ReadError where it has no file."""
    with reading(path) as database:
        if database is None:
            raise ReadError("it has stored nothing")
        with contextlib.closing(sqlite3.connect(into)) as copy:
            database.backup(copy, pages=_PAGES)


def digest_of(copy: Path) -> str:
    """Return a digest of all that a copied object holds: equal until something is written to it."""
    digest = hashlib.sha256()
    with copy.open("rb") as file:
        # SQLite counts in the first page how often a file was written, of a copy too: these are no content.
        digest.update(_without_counters(file.read(100)))
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _without_counters(header: bytes) -> bytes:
    return header[:24] + bytes(4) + header[28:40] + bytes(4) + header[44:92] + bytes(8)


def check(copy: Path, *, sql: bool) -> None:
    """Raise ReadError for a file that is no whole object, or one of SQL for a namespace without it."""
    if copy.stat().st_size == 0:  # to SQLite it is a whole file, of nothing
        raise ReadError("the snapshot is no SQLite file: it is empty")
    try:
        with contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as database:
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            alarm = database.execute(_ALARM).fetchone() if "_cf_METADATA" in names else None
    except sqlite3.Error as error:
        raise ReadError(f"the snapshot is no SQLite file: {error}") from None
    if said != "ok":
        raise ReadError(f"the snapshot is damaged: {said}")
    # Before the content is replaced: it is read again after that, by each start of this Cloudflare until it is set.
    if alarm is not None and (type(alarm[0]) is not int or alarm[0] <= 0):
        raise ReadError("the snapshot has an alarm that is no time")
    if strange := sorted(name for name in names if name.startswith("_cf_") and name not in _OWN):
        raise ReadError(f"the snapshot has a table that no object has: {strange[0][:40]}")
    if not sql and any(not name.startswith(("_cf_", "sqlite_")) for name in names):
        raise ReadError("the snapshot has tables, and this namespace keeps keys and values only")


def restore(path: Path, copy: Path, name: str | None) -> None:
    """Put the content of `copy` in place of what the object with this file has, and set its alarm again.

    Only while no process has the namespace. What is cut short by a kill before the content is there leaves all as it
    was; after that `finish` sets the alarm.
    """
    mark = path.with_suffix(_MARK)
    mark.write_text(name or "", encoding="utf-8", errors="surrogatepass")
    with (
        contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as source,
        contextlib.closing(sqlite3.connect(path, timeout=5)) as database,
    ):
        source.backup(database)
    _set_alarm(path, name)
    mark.unlink()


def finish(storage: Path) -> None:
    """Set the alarms of objects whose restoring was cut short, as they are stored; before any process runs."""
    for mark in storage.glob(f"*/*{_MARK}"):
        path = mark.with_suffix(".sqlite")
        if path.exists():
            _set_alarm(path, mark.read_text(encoding="utf-8", errors="surrogatepass") or None)
        mark.unlink()


def _set_alarm(path: Path, name: str | None) -> None:
    """Have workerd ring when the object itself says: it keeps the alarms of a namespace in a file of their own."""
    at = _alarm(path)
    with contextlib.closing(sqlite3.connect(path.with_name(_METADATA), timeout=5)) as metadata, metadata:
        metadata.execute(_ALARMS)
        named = any(row[1] == "actor_name" for row in metadata.execute("PRAGMA table_info(_cf_ALARM)"))
        metadata.execute("DELETE FROM _cf_ALARM WHERE actor_id = ?", (path.stem,))
        if at is not None:
            row = {"actor_id": path.stem, "scheduled_time": at, **({"actor_name": name} if named else {})}
            marks = ", ".join(f":{column}" for column in row)
            metadata.execute(f"INSERT INTO _cf_ALARM ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608 - our own words


def _alarm(path: Path) -> int | None:
    with reading(path) as database:
        if database is None:
            return None
        with contextlib.suppress(sqlite3.OperationalError):  # no alarm was ever set: no such table
            row = database.execute(_ALARM).fetchone()
            return None if row is None else int(row[0])
    return None


@contextlib.contextmanager
def as_copied(storage: Path, path: Path) -> Iterator[Path]:
    """Copy one object for as long as the context lasts. Raises ReadError where it has no file."""
    with working_folder(storage) as folder:
        copied(path, folder / "copy.sqlite")
        yield folder / "copy.sqlite"


@contextlib.contextmanager
def working_folder(storage: Path) -> Iterator[Path]:
    """Make a folder for as long as the context lasts, which a later start sweeps after a kill."""
    folder = storage / f"deleted-{uuid4().hex}"  # as those that `stored.sweep` finds
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def contents(copy: Path) -> dict[str, Any]:
    """Return how much a copied object holds: the rows of each table, the number of its keys, and digests.

    One is of all of it, one of the names of its keys as JSON, which the object itself can tell too.
    """
    with reading(copy) as database:
        assert database is not None  # noqa: S101 - it was just copied
        tables = [{"name": one.name, "rows": _count(database, one.name)} for one in tables_of(database)]
        keys = (
            [key for (key,) in database.execute("SELECT key FROM _cf_KV ORDER BY key")] if _has_keys(database) else []
        )
    names = json.dumps(keys, ensure_ascii=False, separators=(",", ":"))
    key_names = hashlib.sha256(names.encode()).hexdigest()
    return {"tables": tables, "keys": len(keys), "key_names": key_names, "digest": digest_of(copy)}


def _count(database: sqlite3.Connection, table: str) -> int | None:
    with contextlib.suppress(sqlite3.OperationalError):  # a virtual table whose module is not here
        return int(database.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0])  # noqa: S608 - quoted
    return None


def _has_keys(database: sqlite3.Connection) -> bool:
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = '_cf_KV'").fetchone() is not None
