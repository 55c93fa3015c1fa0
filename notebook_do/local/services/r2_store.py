"""The tables of R2: objects, and multipart uploads with their parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from notebook_do.local.services.database import Database
from notebook_do.local.services.r2_rows import COLUMNS, R2Object, no_such_upload

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, key BLOB NOT NULL, version TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    uploaded INTEGER NOT NULL, checksums TEXT NOT NULL, http TEXT NOT NULL, custom TEXT NOT NULL,
    storage_class TEXT NOT NULL, file TEXT NOT NULL, PRIMARY KEY (bucket, key)
);
CREATE TABLE IF NOT EXISTS upload (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, asked TEXT NOT NULL, open INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS part (
    upload TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    md5 TEXT NOT NULL, PRIMARY KEY (upload, number)
);
"""
NAMED = "SELECT file FROM object UNION SELECT file FROM part"
"""All files that a row names."""


def open_tables(path: Path) -> Database:
    """Open the database."""
    return Database(path, _SCHEMA)


def find(db: sqlite3.Connection, bucket: str, key: str) -> R2Object | None:
    """Give an object, or None."""
    query = f"SELECT {COLUMNS} FROM object WHERE bucket = ? AND key = ?"  # noqa: S608 - our own columns
    row = db.execute(query, (bucket, key.encode())).fetchone()
    return R2Object.from_row(row) if row else None


def replace_object(db: sqlite3.Connection, bucket: str, fresh: R2Object) -> list[str]:
    """Name a new object; gives the files that nothing names any more."""
    old = find(db, bucket, fresh.key)
    query = f"INSERT OR REPLACE INTO object (bucket, {COLUMNS}) VALUES (?{', ?' * 10})"  # noqa: S608 - our own columns
    db.execute(query, (bucket, *fresh.to_row()))
    return [old.file] if old else []


def open_upload(db: sqlite3.Connection, bucket: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Give what an upload was begun with; refuses one that is not there or is over."""
    query = "SELECT asked FROM upload WHERE id = ? AND bucket = ? AND key = ? AND open"
    row = db.execute(query, (asked["uploadId"], bucket, asked["object"].encode())).fetchone()
    if row is None:
        raise no_such_upload()
    begun: dict[str, Any] = json.loads(row[0])
    return begun


def end_upload(db: sqlite3.Connection, bucket: str, asked: dict[str, Any]) -> list[str]:
    """Close an upload; gives its parts' files. Refuses one that never was."""
    query = "UPDATE upload SET open = 0 WHERE id = ? AND bucket = ? AND key = ?"
    if not db.execute(query, (asked["uploadId"], bucket, asked["object"].encode())).rowcount:
        raise no_such_upload()
    gone = db.execute("DELETE FROM part WHERE upload = ? RETURNING file", (asked["uploadId"],)).fetchall()
    return [file for (file,) in gone]
