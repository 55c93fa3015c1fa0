"""R2 buckets, in the protocol that workerd's own R2 binding speaks: rows in SQLite, bytes in files of random names.

The order of a put keeps every object whole: bytes to a file, then one transaction that names it, then the old file is
removed. A file that no row names, left by a killed process, is removed at the next start.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from notebook_do.local.services.r2_store import (
    HASHES,
    MAX_KEY,
    MAX_LIST,
    METADATA_SIZE,
    NAMED,
    SCHEMA,
    Files,
    R2Object,
    R2Refusal,
    check_condition,
    check_metadata,
    end_upload,
    find,
    listed,
    metadata_answer,
    no_such_key,
    open_upload,
    replace_object,
    span_of,
)
from notebook_do.local.services.server import Database, ServiceAnswer, ServiceRefusal, ServiceRequest, after

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIN_PART = 5 << 20  # R2's, of all parts but the last


class R2Service:
    """All R2 buckets of one data directory. A bucket begins with its first object."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._files = Files(folder / "files")
        self._db = Database(folder / "r2.sqlite", SCHEMA)
        self._uploads = MultipartUploads(self._db, self._files, clock)
        with self._db.reading() as db:
            self._files.sweep({name for (name,) in db.execute(NAMED)})

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def empty(self, bucket: str) -> bool:
        """Say whether a bucket holds no object."""
        with self._db.reading() as db:
            return db.execute("SELECT 1 FROM object WHERE bucket = ? LIMIT 1", (bucket,)).fetchone() is None

    def handle(self, request: ServiceRequest) -> ServiceAnswer:
        """Answer one request of an R2 binding; the resource is the bucket's name."""
        try:
            asked = _asked(request)
            _check_names(asked)
            return self._method(request, asked)
        except R2Refusal as refusal:
            return refusal.answer()

    def _method(self, request: ServiceRequest, asked: dict[str, Any]) -> ServiceAnswer:
        bucket = request.resource
        match asked["method"]:
            case "head":
                return self._found(bucket, asked["object"]).answer()
            case "get":
                return self._get(bucket, asked)
            case "list":
                return self._list(bucket, asked)
            case "put":
                return self._put(bucket, asked, request.body)
            case "delete":
                return self._delete(bucket, asked.get("objects") or [asked["object"]])
            case "createMultipartUpload":
                return self._uploads.begin(bucket, asked)
            case "uploadPart":
                return self._uploads.put_part(bucket, asked, request.body)
            case "completeMultipartUpload":
                return self._uploads.complete(bucket, asked)
            case "abortMultipartUpload":
                return self._uploads.abort(bucket, asked)
        raise R2Refusal(501, 10029, f"the local runtime does not serve {asked['method']}")

    # --- objects

    def _found(self, bucket: str, key: str) -> R2Object:
        with self._db.reading() as db:
            found = find(db, bucket, key)
        if found is None:
            raise no_such_key()
        return found

    def _get(self, bucket: str, asked: dict[str, Any]) -> ServiceAnswer:
        with self._db.reading() as db:
            found = find(db, bucket, asked["object"])
            if found is None:
                raise no_such_key()
            check_condition(asked.get("onlyIf"), found)
            offset, length = span_of(asked, found.size)
            # Opened before anybody can replace the object: the open file outlives its name.
            file = self._files.open(found.file)
        file.seek(offset)
        answer = metadata_answer(found.to_json(span=(offset, length)))
        return replace(answer, file=file, file_size=length)

    def _put(self, bucket: str, asked: dict[str, Any], body: BinaryIO) -> ServiceAnswer:
        check_metadata(asked)
        # Before the lock of the database: a large body must not hold up the other requests.
        stored = self._files.store(body, [kind for kind in HASHES.values() if kind in asked])
        try:
            checksums = _checksums(asked, stored.digests)
            fresh = R2Object.fresh(
                asked,
                size=stored.size,
                etag=stored.digests["md5"],
                checksums=checksums,
                file=stored.file,
                now=self.clock(),
            )
            with self._db.writing() as db:
                # In the transaction of the replacement: of two puts that ask for an absent key only one can win.
                check_condition(asked.get("onlyIf"), find(db, bucket, fresh.key))
                old = replace_object(db, bucket, fresh)
        except BaseException:
            self._files.remove([stored.file])
            raise
        self._files.remove(old)
        return fresh.answer()

    def _delete(self, bucket: str, keys: list[str]) -> ServiceAnswer:
        query = "DELETE FROM object WHERE bucket = ? AND key = ? RETURNING file"
        with self._db.writing() as db:
            old = [file for key in keys for (file,) in db.execute(query, (bucket, key.encode())).fetchall()]
        self._files.remove(old)
        return metadata_answer({})

    # --- lists

    def _list(self, bucket: str, asked: dict[str, Any]) -> ServiceAnswer:
        limit = asked.get("limit", MAX_LIST)
        if not 1 <= limit <= MAX_LIST:
            raise R2Refusal(400, 10022, f"MaxKeys params must be positive integer <= {MAX_LIST}.")
        # A Worker from before `r2_list_honor_include` (2022-08-04) asks for nothing and gets both kinds of metadata.
        included = asked.get("include", [] if asked.get("newRuntime") else [0, 1])
        objects: list[R2Object] = []
        prefixes: list[str] = []
        last, truncated = b"", False
        prefix, delimiter = asked.get("prefix", "").encode(), asked.get("delimiter", "").encode()
        start = max(prefix, _past(_cursor(asked.get("cursor")), delimiter, prefix), _past_key(asked.get("startAfter")))
        # One more than the limit is looked for, so that no cursor leads to an empty page.
        for key, found in listed(self._db, bucket, prefix, delimiter, start):
            if len(objects) + len(prefixes) == limit:
                truncated = True
                break
            last = key
            if found is None:
                prefixes.append(key.decode())
            else:
                objects.append(found)
        answer = {
            "objects": [one.to_json(http=0 in included, custom=1 in included) for one in objects],
            "delimitedPrefixes": prefixes,
            "truncated": truncated,
        }
        cursor = {"cursor": base64.urlsafe_b64encode(last).decode()} if truncated else {}
        return metadata_answer({**answer, **cursor})


def _asked(request: ServiceRequest) -> dict[str, Any]:
    """Read what is asked: from a header with a GET, from the first bytes of the body with a PUT."""
    if request.method == "GET":
        text = request.headers.get("cf-r2-request", "")
    else:
        text = request.body.read(int(request.headers.get(METADATA_SIZE.lower(), "0"))).decode()
    if not text:
        raise ServiceRefusal(400, "Metadata missing or invalid")
    asked: dict[str, Any] = json.loads(text)
    return asked


def _check_names(asked: dict[str, Any]) -> None:
    """Refuse keys that are too long, and what the local runtime does not have."""
    keys = [asked["object"]] if "object" in asked else asked.get("objects", [])
    if any(len(key.encode()) > MAX_KEY for key in keys):
        raise R2Refusal(400, 10020, "The specified object name is not valid.")
    if "ssec" in asked:
        raise R2Refusal(501, 10029, "customer-provided encryption keys are not served by the local runtime")


def _checksums(asked: dict[str, Any], digests: dict[str, str]) -> dict[str, str]:
    """Compare the checksums that were given, and name those to be kept: these, and MD5 always."""
    kept = {"0": digests["md5"]}  # R2 has it of every object that was put at once
    for number, kind in HASHES.items():
        if kind not in asked:
            continue
        given = base64.b64decode(asked[kind]).hex() if kind == "md5" else asked[kind].lower()
        if given != digests[kind]:
            text = f"The {kind} checksum {given} that you gave is not that of what was received, {digests[kind]}."
            raise R2Refusal(400, 10037, text)
        kept[number] = digests[kind]
    return kept


def _cursor(text: str | None) -> bytes:
    try:
        return base64.urlsafe_b64decode(text or "")
    except binascii.Error:
        raise R2Refusal(400, 10001, "the cursor is not one of this bucket") from None


def _past(cursor: bytes, delimiter: bytes, prefix: bytes) -> bytes:
    """Return where a list goes on: behind a key, or behind all keys that share the prefix it stopped at."""
    if not cursor:
        return b""
    if delimiter and cursor.endswith(delimiter) and len(cursor) > len(prefix):
        return after(cursor) or cursor + b"\xff"
    return cursor + b"\x00"


def _past_key(key: str | None) -> bytes:
    return key.encode() + b"\x00" if key else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    number: int
    file: str
    size: int
    etag: str
    md5: str


class MultipartUploads:
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
        # Not of the bytes: of two uploads of one part number only the later one is found by its etag.
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
        # R2 has no MD5 of a whole that came in parts; like S3 it names the MD5s of the parts together, and how many.
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
    """Return the parts that are to be the object, by number; all but the last must be of one size."""
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
