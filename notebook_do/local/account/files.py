"""The account's files: its database, brought up to date or left alone, and the bytes of modules by their digest.

A content is on the disk before any record refers to it; its name is its digest, never anything that a user wrote.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from typing import TYPE_CHECKING

from notebook_do.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

UPGRADES = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE script (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE version (id TEXT PRIMARY KEY, script TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL)
        WITHOUT ROWID;
    CREATE UNIQUE INDEX version_of ON version (script, number);
    CREATE TABLE module (version TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (version, digest)) WITHOUT ROWID;
    CREATE INDEX module_digest ON module (digest);
    CREATE TABLE deployment (serial INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, script TEXT NOT NULL,
        body TEXT NOT NULL);
    CREATE INDEX deployment_of ON deployment (script, serial);
    CREATE TABLE namespace (id TEXT PRIMARY KEY, script TEXT NOT NULL, class_name TEXT NOT NULL,
        sqlite INTEGER NOT NULL, UNIQUE (script, class_name)) WITHOUT ROWID;
    CREATE TABLE doomed (namespace_id TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE schedule (script TEXT NOT NULL, cron TEXT NOT NULL, created_on TEXT NOT NULL,
        PRIMARY KEY (script, cron)) WITHOUT ROWID;
    """,
)
"""The schema, step by step; the number of steps that were taken is the file's `user_version`."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database and bring its schema up to date; a file of a newer program is left alone."""
    db = sqlite3.connect(path, isolation_level=None)
    path.chmod(0o600)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        db.close()
        raise TargetError(f"{path} cannot be read ({error}): move it away to start with an empty account") from None
    if found > len(UPGRADES):
        db.close()
        raise TargetError(
            f"{path} was written by a newer notebook_do: update notebook_do or use another data directory"
        )
    for number, script in enumerate(UPGRADES[found:], start=found + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
    return db


_CHUNK = 1 << 20


class IncomingFile:
    """One part of an upload on its way to the disk."""

    __slots__ = ("_digest", "_file", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._digest = hashlib.sha256()
        # O_EXCL: a planted link of the same name is never followed.
        self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._digest.update(data)
        self._file.write(data)
        self.size += len(data)

    def finish(self) -> str:
        """Put the bytes on the disk and give their digest."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Forget the bytes, unless they were kept meanwhile."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Blobs:
    """The directory of module contents, `modules/<first two hex digits>/<digest>`."""

    def __init__(self, data: Path) -> None:
        self._root, self._incoming = data / "modules", data / "incoming"
        for directory in (self._root, self._incoming):
            directory.mkdir(mode=0o700, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Give the file of one content."""
        return self._root / digest[:2] / digest

    def receive(self) -> IncomingFile:
        """Begin a file whose content is not known yet."""
        return IncomingFile(self._incoming / secrets.token_hex(16))

    def keep(self, incoming: IncomingFile) -> str:
        """Give a received file its lasting name; returns the digest."""
        digest = incoming.finish()
        path = self.path(digest)
        if path.exists():
            incoming.discard()
            return digest
        path.parent.mkdir(mode=0o700, exist_ok=True)
        incoming.path.rename(path)
        _sync_directory(path.parent)
        _sync_directory(self._root)
        return digest

    def store(self, content: bytes) -> str:
        """Keep bytes that are in memory already."""
        incoming = self.receive()
        incoming.write(content)
        return self.keep(incoming)

    def sweep(self, wanted: Iterable[str], *, incoming: bool = False) -> int:
        """Remove contents that no record refers to, and with `incoming` half-received files; returns how many went.

        Only while no upload keeps contents, and `incoming` only while none receives any.
        """
        keep = set(wanted)
        unknown = [path for path in self._root.glob("*/*") if path.name not in keep]
        gone = [*unknown, *(self._incoming.iterdir() if incoming else ())]
        for path in gone:
            path.unlink()
        return len(gone)

    def drop(self, digests: Iterable[str]) -> None:
        """Remove contents that no record refers to any more."""
        for digest in digests:
            self.path(digest).unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
