"""The account's database file: opened, brought up to date, or left alone with one clear line."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from notebook_do.errors import TargetError

if TYPE_CHECKING:
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
