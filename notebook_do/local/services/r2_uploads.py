"""R2's multipart uploads: parts as they come, and the one object that they become."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from notebook_do.local.services.r2_rows import (
    R2Object,
    R2Refusal,
    check_metadata,
    metadata_answer,
)
from notebook_do.local.services.r2_store import end_upload, open_upload, replace_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.local.services.database import Database
    from notebook_do.local.services.exchange import Answer
    from notebook_do.local.services.r2_files import Files

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

    def begin(self, bucket: str, asked: dict[str, Any]) -> Answer:
        """Begin an upload; its metadata is kept until it is complete."""
        check_metadata(asked)
        upload = secrets.token_urlsafe(96)
        with self._db.writing() as db:
            row = (upload, bucket, asked["object"].encode(), json.dumps(asked))
            db.execute("INSERT INTO upload VALUES (?, ?, ?, ?, 1)", row)
        return metadata_answer({"uploadId": upload})

    def put_part(self, bucket: str, asked: dict[str, Any], body: BinaryIO) -> Answer:
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

    def complete(self, bucket: str, asked: dict[str, Any]) -> Answer:
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

    def abort(self, bucket: str, asked: dict[str, Any]) -> Answer:
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
