"""What R2 keeps: tables of objects and uploads, bytes in files of random names, and parts until they are one object."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from notebook_do.local.services.database import Database
from notebook_do.local.services.r2_objects import (
    COLUMNS,
    R2Object,
    R2Refusal,
    check_metadata,
    metadata_answer,
    no_such_upload,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from notebook_do.local.services.server import ServiceAnswer

HASHES = {"0": "md5", "1": "sha1", "2": "sha256", "3": "sha384", "4": "sha512"}
"""The checksums that R2 knows, by their names on the wire."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes in a file that no row names yet."""

    file: str
    size: int
    digests: dict[str, str]


class Files:
    """One folder of files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def store(self, body: BinaryIO, checksums: Iterable[str] = ()) -> Stored:
        """Write the rest of `body` to a new file; its MD5 and the `checksums` asked for are taken on the way."""
        name = secrets.token_hex(16)
        hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in {"md5", *checksums}}
        size = 0
        with (self._folder / name).open("xb") as file:
            while piece := body.read(_CHUNK):
                size += len(piece)
                file.write(piece)
                for one in hashes.values():
                    one.update(piece)
        return Stored(file=name, size=size, digests={kind: one.hexdigest() for kind, one in hashes.items()})

    def join(self, names: Iterable[str]) -> str:
        """Write one new file of several."""
        whole = secrets.token_hex(16)
        with (self._folder / whole).open("xb") as file:
            for name in names:
                with self.open(name) as part:
                    while piece := part.read(_CHUNK):
                        file.write(piece)
        return whole

    def open(self, name: str) -> BinaryIO:
        """Open a file; it can be read to its end even when it is removed meanwhile."""
        return (self._folder / name).open("rb")

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that no row names any more."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def sweep(self, named: set[str]) -> None:
        """Remove every file but those `named`."""
        self.remove(path.name for path in list(self._folder.iterdir()) if path.name not in named)


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


MIN_PART = 5 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    number: int
    file: str
    size: int
    etag: str
    md5: str


class Uploads:
    """The multipart uploads of all buckets."""

    def __init__(self, db: Database, files: Files, clock: Callable[[], float]) -> None:
        self._db, self._files, self._clock = db, files, clock

    def begin(self, bucket: str, asked: dict[str, Any]) -> ServiceAnswer:
        """Begin an upload; its metadata is kept until it is complete."""
        check_metadata(asked)
        upload = secrets.token_urlsafe(96)
        with self._db.writing() as db:
            row = (upload, bucket, asked["object"].encode(), json.dumps(asked))
            db.execute("INSERT INTO upload VALUES (?, ?, ?, ?, 1)", row)
        return metadata_answer({"uploadId": upload})

    def put_part(self, bucket: str, asked: dict[str, Any], body: BinaryIO) -> ServiceAnswer:
        """Keep one part, in place of an earlier one of its number."""
        stored = self._files.store(body)
        etag, place = secrets.token_hex(16), (asked["uploadId"], asked["partNumber"])
        try:
            with self._db.writing() as db:
                open_upload(db, bucket, asked)
                old = db.execute("SELECT file FROM part WHERE upload = ? AND number = ?", place).fetchall()
                row = (*place, stored.file, stored.size, etag, stored.digests["md5"])
                db.execute("INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?)", row)
        except BaseException:
            self._files.remove([stored.file])
            raise
        self._files.remove(file for (file,) in old)
        return metadata_answer({"etag": etag})

    def complete(self, bucket: str, asked: dict[str, Any]) -> ServiceAnswer:
        """Make one object of the parts that are named, and end the upload."""
        with self._db.reading() as db:
            begun = open_upload(db, bucket, asked)
            query = "SELECT number, file, size, etag, md5 FROM part WHERE upload = ?"
            rows = [
                _Part(number=number, file=file, size=size, etag=etag, md5=md5)
                for number, file, size, etag, md5 in db.execute(query, (asked["uploadId"],))
            ]
        parts = _chosen(asked["parts"], {part.number: part for part in rows})
        whole = self._files.join(part.file for part in parts)
        fresh = self._object(begun, parts, whole)
        try:
            with self._db.writing() as db:
                open_upload(db, bucket, asked)
                old = [*replace_object(db, bucket, fresh), *end_upload(db, bucket, asked)]
        except BaseException:
            self._files.remove([whole])
            raise
        self._files.remove(old)
        return fresh.answer()

    def _object(self, begun: dict[str, Any], parts: list[_Part], file: str) -> R2Object:
        md5s = b"".join(bytes.fromhex(part.md5) for part in parts)
        digest = hashlib.md5(md5s, usedforsecurity=False).hexdigest()
        return R2Object.fresh(
            begun,
            size=sum(part.size for part in parts),
            etag=f"{digest}-{len(parts)}",
            checksums={},
            file=file,
            now=self._clock(),
        )

    def abort(self, bucket: str, asked: dict[str, Any]) -> ServiceAnswer:
        """Forget an upload; one that is over stays as it is."""
        with self._db.writing() as db:
            old = end_upload(db, bucket, asked)
        self._files.remove(old)
        return metadata_answer({})


def _chosen(wanted: list[dict[str, Any]], uploaded: dict[int, _Part]) -> list[_Part]:
    """Give the parts that are to be the object, by number; all but the last must be of one size."""
    numbers = sorted({part["part"] for part in wanted})
    found = [uploaded[part["part"]] for part in wanted if part["part"] in uploaded]
    known = {(part.number, part.etag) for part in found}
    if not wanted or len(numbers) != len(wanted) or any((p["part"], p["etag"]) not in known for p in wanted):
        raise R2Refusal(400, 10025, "One or more of the specified parts could not be found.")
    parts = [uploaded[number] for number in numbers]
    sizes = [part.size for part in parts]
    if any(size < MIN_PART for size in sizes[:-1]):
        raise R2Refusal(400, 10011, "Your proposed upload is smaller than the minimum allowed object size.")
    if len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]:
        raise R2Refusal(400, 10048, "There was a problem with the multipart upload.")
    return parts
