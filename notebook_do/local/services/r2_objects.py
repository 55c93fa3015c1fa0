"""R2's words and what is kept of an object: the protocol's rows and refusals, conditions and ranges."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from notebook_do.local.services.server import ServiceAnswer

METADATA_SIZE = "CF-R2-Metadata-Size"
ERROR = "CF-R2-Error"
MAX_KEY = 1024
MAX_METADATA = 8192
MAX_LIST = 1000


class R2Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """R2's own refusal, with the code that the binding shows; `found` is the object where a condition failed."""

    def __init__(self, status: int, code: int, text: str, *, found: R2Object | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.found = status, code, text, found

    def answer(self) -> ServiceAnswer:
        """Say it as the binding reads it: in a header, the object's metadata as the body."""
        said = json.dumps({"version": 1, "v4code": self.code, "message": self.text})
        if self.found is None:
            return ServiceAnswer(status=self.status, headers=((ERROR, said),))
        return self.found.answer(status=self.status, headers=((ERROR, said),))


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


COLUMNS = "key, version, size, etag, uploaded, checksums, http, custom, storage_class, file"


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
    """Give (offset, length) of the bytes that a `get` means; a header that means no single range means all."""
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


def header_span(header: str, size: int) -> tuple[int, int] | None:
    """Read a `Range` header of one range as (offset, length); None for any other."""
    unit, _, rest = header.partition("=")
    first, dash, last = (part.strip() for part in rest.partition("-"))
    if unit.strip().lower() != "bytes" or not dash or not all(p.isascii() and p.isdigit() for p in (first, last) if p):
        return None
    if first:
        end = min(int(last) + 1 if last else size, size)
        return (int(first), end - int(first)) if int(first) < end else None
    length = min(int(last or 0), size)
    return (size - length, length) if length else None
