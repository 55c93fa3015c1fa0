"""What R2 keeps of buckets: the rows of objects and of uploads under way, and bytes in files of random names.

Also what is said of an object on the wire: its metadata, R2's refusals, conditions and ranges.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from notebook_do.local.services.server import Database, ServiceAnswer, after, header_span

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

METADATA_SIZE = "CF-R2-Metadata-Size"
ERROR = "CF-R2-Error"
MAX_KEY = 1024
MAX_METADATA = 8192
MAX_LIST = 1000
HASHES = {"0": "md5", "1": "sha1", "2": "sha256", "3": "sha384", "4": "sha512"}
"""The checksums that R2 knows, by their names on the wire."""
_CHUNK = 1 << 20
COLUMNS = "key, version, size, etag, uploaded, checksums, http, custom, storage_class, file"
NAMED = "SELECT file FROM object UNION SELECT file FROM part"
"""All files that a row names."""
SCHEMA = """
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


class R2Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """R2's own refusal, with the code that the binding shows; `found` is the object where a condition failed."""

    def __init__(self, status: int, code: int, text: str, *, found: R2Object | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.found = status, code, text, found

    def answer(self) -> ServiceAnswer:
        """Return it as the binding reads it: in a header, the object's metadata as the body."""
        error = json.dumps({"version": 1, "v4code": self.code, "message": self.text})
        if self.found is None:
            return ServiceAnswer(status=self.status, headers=((ERROR, error),))
        return self.found.answer(status=self.status, headers=((ERROR, error),))


def no_such_key() -> R2Refusal:
    """Refuse an object that is not there."""
    return R2Refusal(404, 10007, "The specified key does not exist.")


def no_such_upload() -> R2Refusal:
    """Refuse a multipart upload that is not under way."""
    return R2Refusal(400, 10024, "The specified multipart upload does not exist.")


@dataclass(frozen=True, slots=True, kw_only=True)
class R2Object:
    """One stored object without its bytes; `file` is where those are."""

    key: str
    version: str
    size: int
    etag: str
    uploaded: int
    checksums: dict[str, str]
    http: dict[str, Any]
    custom: list[dict[str, str]]
    storage_class: str
    file: str

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> R2Object:
        """Read a row of the table `object`, the columns as `COLUMNS` names them."""
        key, version, size, etag, uploaded, checksums, http, custom, storage_class, file = row
        return cls(
            key=key.decode(),
            version=version,
            size=size,
            etag=etag,
            uploaded=uploaded,
            checksums=json.loads(checksums),
            http=json.loads(http),
            custom=json.loads(custom),
            storage_class=storage_class,
            file=file,
        )

    @classmethod
    def fresh(  # noqa: PLR0913 - the facts of an object
        cls, asked: dict[str, Any], *, size: int, etag: str, checksums: dict[str, str], file: str, now: float
    ) -> R2Object:
        """Make the object that a put, or the beginning of an upload, asked for."""
        return cls(
            key=asked["object"],
            version=secrets.token_hex(16),
            size=size,
            etag=etag,
            uploaded=int(now * 1000),
            checksums=checksums,
            http=asked.get("httpFields") or {},
            custom=asked.get("customFields") or [],
            storage_class=asked.get("storageClass") or "Standard",
            file=file,
        )

    def to_row(self) -> tuple[Any, ...]:
        """Write a row of the table `object`."""
        texts = (json.dumps(value) for value in (self.checksums, self.http, self.custom))
        numbers = (self.key.encode(), self.version, self.size, self.etag, self.uploaded)
        return (*numbers, *texts, self.storage_class, self.file)

    def to_json(self, *, span: tuple[int, int] | None = None, http: bool = True, custom: bool = True) -> dict[str, Any]:
        """Write the object as the binding reads it; `span` is (offset, length) of the bytes that follow."""
        offset, length = span or (0, self.size)
        return {
            "name": self.key,
            "version": self.version,
            "size": self.size,
            "etag": self.etag,
            "uploaded": self.uploaded,
            "checksums": self.checksums,
            "httpFields": self.http if http else {},
            "customFields": self.custom if custom else [],
            "storageClass": self.storage_class,
            "range": {"offset": offset, "length": length},
        }

    def answer(self, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> ServiceAnswer:
        """Answer with the object's metadata alone."""
        return metadata_answer(self.to_json(), status=status, headers=headers)


def metadata_answer(value: Any, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> ServiceAnswer:
    """Answer with JSON, its size in the header where the binding looks for it."""
    body = json.dumps(value, separators=(",", ":")).encode()
    own = ((METADATA_SIZE, str(len(body))), ("content-type", "application/json"))
    return ServiceAnswer(status=status, headers=(*own, *headers), body=body)


def check_metadata(asked: dict[str, Any]) -> None:
    """Refuse custom metadata above R2's limit."""
    size = sum(len(one["k"].encode()) + len(one["v"].encode()) for one in asked.get("customFields") or [])
    if size > MAX_METADATA:
        raise R2Refusal(400, 10012, "Your metadata headers exceed the maximum allowed metadata size.")


def check_condition(condition: dict[str, Any] | None, found: R2Object | None) -> None:
    """Refuse when `onlyIf` does not hold (RFC 9110, section 13; an absent object fails what asks for one)."""
    if condition and not _holds(condition, found):
        raise R2Refusal(412, 10031, "At least one of the pre-conditions you specified did not hold.", found=found)


def _holds(condition: dict[str, Any], found: R2Object | None) -> bool:
    wanted, unwanted = condition.get("etagMatches"), condition.get("etagDoesNotMatch")
    since, until = condition.get("uploadedAfter"), condition.get("uploadedBefore")
    if found is None:
        return wanted is None and since is None
    # A condition that was written as an HTTP header has whole seconds only.
    uploaded = found.uploaded // 1000 * 1000 if condition.get("secondsGranularity") else found.uploaded
    matches = wanted is None or _names(wanted, found.etag, weak=False)
    differs = unwanted is None or not _names(unwanted, found.etag, weak=True)
    # An etag condition that is given and holds outweighs the date of its kind.
    newer = since is None or int(since) < uploaded or (unwanted is not None and differs)
    older = until is None or uploaded < int(until) or (wanted is not None and matches)
    return matches and differs and newer and older


def _names(etags: list[dict[str, str]], etag: str, *, weak: bool) -> bool:
    return any(
        one["type"] == "wildcard" or (one.get("value") == etag and (weak or one["type"] == "strong")) for one in etags
    )


def span_of(asked: dict[str, Any], size: int) -> tuple[int, int]:
    """Return (offset, length) of the bytes that a `get` means; a header that means no single range means all."""
    if header := asked.get("rangeHeader"):
        return header_span(header, size) or (0, size)
    wanted = asked.get("range") or {}
    if "suffix" in wanted:
        length = min(int(wanted["suffix"]), size)
        offset = size - length
    else:
        offset = int(wanted.get("offset", 0))
        length = min(int(wanted.get("length", size - offset)), size - offset)
    if wanted and (offset > size or length <= 0):
        raise R2Refusal(416, 10039, "The requested range is not satisfiable")
    return offset, length


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
        # MD5 always, which is the etag of an object that is put at once.
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


def find(db: sqlite3.Connection, bucket: str, key: str) -> R2Object | None:
    """Return an object, or None."""
    query = f"SELECT {COLUMNS} FROM object WHERE bucket = ? AND key = ?"  # noqa: S608 - our own columns
    row = db.execute(query, (bucket, key.encode())).fetchone()
    return R2Object.from_row(row) if row else None


def replace_object(db: sqlite3.Connection, bucket: str, fresh: R2Object) -> list[str]:
    """Write the row of a new object; returns the files that no row names any more."""
    old = find(db, bucket, fresh.key)
    query = f"INSERT OR REPLACE INTO object (bucket, {COLUMNS}) VALUES (?{', ?' * 10})"  # noqa: S608 - our own columns
    db.execute(query, (bucket, *fresh.to_row()))
    return [old.file] if old else []


def listed(
    data: Database, bucket: str, prefix: bytes, delimiter: bytes, start: bytes
) -> Iterator[tuple[bytes, R2Object | None]]:
    """Yield objects from `start` on, and None for each prefix that `delimiter` makes of several, in order of keys.

    The rows behind a prefix are skipped by the next query, not read: a folder may hold a million of them.
    """
    end = after(prefix)
    query = f"""
        SELECT {COLUMNS} FROM object WHERE bucket = :bucket AND key >= :start AND (:end IS NULL OR key < :end)
        ORDER BY key LIMIT 200
    """  # noqa: S608 - our own columns
    while True:
        # A page at a time: while this list is being told, others use the connection.
        with data.reading() as db:
            rows = db.execute(query, {"bucket": bucket, "start": start, "end": end}).fetchall()
        for row in rows:
            key: bytes = row[0]
            # Of the same page, and folded into the prefix that was just shown.
            if key < start:
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                start = key + b"\x00"
                yield key, R2Object.from_row(row)
            else:
                shared = key[: cut + len(delimiter)]
                yield shared, None
                beyond = after(shared)
                if beyond is None:
                    return
                start = beyond
        if not rows:
            return


def open_upload(db: sqlite3.Connection, bucket: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what an upload was begun with; refuses one that is not there or is over."""
    query = "SELECT asked FROM upload WHERE id = ? AND bucket = ? AND key = ? AND open"
    row = db.execute(query, (asked["uploadId"], bucket, asked["object"].encode())).fetchone()
    if row is None:
        raise no_such_upload()
    begun: dict[str, Any] = json.loads(row[0])
    return begun


def end_upload(db: sqlite3.Connection, bucket: str, asked: dict[str, Any]) -> list[str]:
    """Close an upload and return its parts' files. One that is over already has none; one that never was is refused."""
    query = "UPDATE upload SET open = 0 WHERE id = ? AND bucket = ? AND key = ?"
    if not db.execute(query, (asked["uploadId"], bucket, asked["object"].encode())).rowcount:
        raise no_such_upload()
    gone = db.execute("DELETE FROM part WHERE upload = ? RETURNING file", (asked["uploadId"],)).fetchall()
    return [file for (file,) in gone]
