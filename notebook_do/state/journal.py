"""The write-ahead journal: what a deploy is about to send, on the disk before it is sent.

One JSON line an entry, each with its own checksum. An intent stays open until its end is written; an open one is
resolved by looking at what is live, never by sending again. An upload that was given up (ended without being seen, and
without a refusal) is kept: should it show up later, it is recognised by its op. Holds no secret and no code. Written
under the lock.

Lines are only added, so that a crash while writing can damage no earlier one. SQLite would promise the same; a file of
lines can also be read by a person who has to know what was sent.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from notebook_do.errors import StateCorrupt
from notebook_do.model import MigrationTag, NamespaceId, RecordedNamespace, RecordedWorker, StableId, Trigger
from notebook_do.state import disk
from notebook_do.state.document import (
    decode_namespace,
    decode_trigger,
    decode_worker,
    encode_namespace,
    encode_trigger,
    encode_worker,
)
from notebook_do.state.strict import Damage, parse

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["upload", "mark", "url", "crons", "queue", "trigger", "untrigger", "delete"]
Status = Literal["done", "not done", "uncertain"]
_LONG = 256 * 1024
"""Bytes; the file is read whole for every entry, so it is begun anew when it is longer."""
_KINDS = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One mutation that is about to be sent, with all that is needed to find out later whether it happened.

    `etag`, `modified_on` and `tag` are the live script's before it, `new_tag` the migration tag that it sets; the
    records are what the state file holds when it is done.
    """

    op: str
    kind: Kind
    script_name: str
    worker: str
    summary: str
    serial: int
    existed: bool = False
    etag: str | None = None
    modified_on: str | None = None
    tag: MigrationTag | None = None
    new_tag: MigrationTag | None = None
    body_sha256: str = ""
    enabled: bool = False
    previews: bool | None = None
    crons: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Those of `crons` that somebody else set."""
    worker_record: RecordedWorker | None = None
    namespace_records: tuple[RecordedNamespace, ...] = ()
    verify: tuple[StableId, ...] = ()
    """The namespaces that this very mutation creates, renames or moves: they must be live as recorded after it."""
    settings_digest: str | None = None
    trigger: Trigger | None = None
    queue: str = ""
    """The name of the queue that it makes."""
    forgotten: tuple[StableId, ...] = ()
    tags: tuple[str, ...] = ()
    """The script's tags after it, where it sets those alone."""
    known: tuple[NamespaceId, ...] = ()
    """The namespaces that were live or recorded before it: none of them is one that it creates."""
    sent_at: float | None = None
    """When it was sent last, in seconds since 1970; None in a journal that an older notebook_do wrote: long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An intent and how it ended: `status` is None while it is open. `refused`: it certainly did not happen."""

    intent: Intent
    status: Status | None = None
    refused: bool = False

    @property
    def given_up(self) -> bool:
        """True for an upload that was never seen and may still show up, by its op."""
        return self.intent.kind == "upload" and self.status in {"not done", "uncertain"} and not self.refused


class Journal:
    """The journal file at `path`; a missing one is empty."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, intent: Intent) -> None:
        """Write an intent, again where it is sent again; it is on the disk when this returns."""
        # Synced: were it lost with the machine's power, what was sent after it would be nobody's upload.
        self._append(_begun(intent))

    def end(self, op: str, status: Status, *, refused: bool = False) -> None:
        """Write how an intent ended. `uncertain` closes it too: looking at it again would not tell."""
        self._append(_ended(op, status, refused=refused))

    def attempts(self) -> tuple[Attempt, ...]:
        """Return every intent and how it ended, oldest first; raises StateCorrupt for a damaged journal."""
        found: dict[str, Attempt] = {}
        for number, entry in self._entries():
            try:
                if entry.get("is") == "intent":
                    intent = _decode(entry)
                    found[intent.op] = Attempt(intent=intent)  # the last of an op counts: it was sent again then
                elif (op := str(entry.get("op"))) in found:
                    # Entries of older editions say nothing of a refusal: what they gave up may still show up.
                    refused = entry.get("refused") is True
                    found[op] = replace(found[op], status=entry.get("status", "uncertain"), refused=refused)
            except (Damage, TypeError, KeyError) as error:
                raise self._corrupt(number, str(error)) from None
        return tuple(found.values())

    def open_intents(self) -> tuple[Intent, ...]:
        """Return the intents without an end, oldest first; raises StateCorrupt for a damaged journal."""
        return tuple(a.intent for a in self.attempts() if a.status is None)

    def shorten(self) -> None:
        """Begin anew when the journal is long and nothing is open; uploads that were given up stay in it."""
        if not self.path.exists() or self.path.stat().st_size <= _LONG:
            return
        attempts = self.attempts()
        if any(a.status is None for a in attempts):
            return
        # Of what is dropped the state file has all that counts; what was given up is in no other place.
        kept = [a for a in attempts if a.given_up]
        entries = [e for a in kept for e in (_begun(a.intent), _ended(a.intent.op, a.status or "uncertain"))]
        disk.replace(self.path, b"".join(map(_line, entries)))

    def _append(self, entry: dict[str, Any]) -> None:
        """Add one line; half a line that a killed process left is cut off first, or it would spoil this one."""
        content = disk.read(self.path) or b""
        if (whole := content.rfind(b"\n") + 1) != len(content):
            disk.cut(self.path, whole)
        disk.append(self.path, _line(entry))

    def _entries(self) -> list[tuple[int, dict[str, Any]]]:
        """Read the whole lines; half a line at the end was never on the disk, so nothing was sent after it."""
        lines = (disk.read(self.path) or b"").split(b"\n")[:-1]
        entries = []
        for number, line in enumerate(lines, start=1):
            try:
                entry = parse(line)
            except Damage as damage:
                raise self._corrupt(number, str(damage)) from None
            # Compared as bytes: there is one way to write an entry, so that nothing in it can be changed unseen.
            if not isinstance(entry, dict) or line != _line({k: v for k, v in entry.items() if k != "sum"})[:-1]:
                raise self._corrupt(number, "its checksum does not match")
            entries.append((number, entry))
        return entries

    def _corrupt(self, number: int, why: str) -> StateCorrupt:
        return StateCorrupt(
            f"{self.path}, line {number} cannot be used: {why}. It was left untouched; move it away and plan again: "
            "what an interrupted deploy did is then found live, and %durable import records it."
        )


def _begun(intent: Intent) -> dict[str, Any]:
    return {"is": "intent", **_encode(intent)}


def _ended(op: str, status: Status, *, refused: bool = False) -> dict[str, Any]:
    return {"is": "end", "op": op, "status": status, **({"refused": True} if refused else {})}


def _line(entry: dict[str, Any]) -> bytes:
    """Write one line; its checksum finds damage, and keeps nobody from forging an entry."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return json.dumps({**entry, "sum": digest}, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _encode(intent: Intent) -> dict[str, Any]:
    """Write an intent; its records are written as in the state file, so that both are upgraded by the same rules."""
    record = intent.worker_record
    return asdict(intent) | {
        "trigger": encode_trigger(intent.trigger) if intent.trigger else None,
        "worker_record": {"id": record.id, **encode_worker(record)} if record else None,
        "namespace_records": [{"stable_id": n.stable_id, **encode_namespace(n)} for n in intent.namespace_records],
    }


def _decode(entry: dict[str, Any]) -> Intent:
    """Read an intent of which the checksum holds; raises Damage, KeyError or TypeError when a newer one wrote it.

    What `get` asks for came with later editions: a journal that an older one left open is still read.
    """
    kind, record = entry["kind"], entry["worker_record"]
    if kind not in _KINDS:  # not passed over: an open intent that nobody resolves would be sent once more
        raise Damage(f"{kind!r} is of a newer notebook_do")
    sent_at = entry.get("sent_at")
    texts: dict[str, str] = {key: str(entry[key]) for key in ("op", "script_name", "worker", "summary", "body_sha256")}
    tag, new_tag = entry["tag"], entry["new_tag"]
    return Intent(
        kind=kind,
        serial=int(entry["serial"]),
        existed=bool(entry["existed"]),
        etag=entry["etag"],
        modified_on=entry["modified_on"],
        tag=MigrationTag(tag) if tag else None,
        new_tag=MigrationTag(new_tag) if new_tag else None,
        enabled=bool(entry["enabled"]),
        previews=entry.get("previews"),
        crons=tuple(entry["crons"]),
        kept=tuple(entry.get("kept", ())),
        worker_record=decode_worker(record["id"], record) if record else None,
        namespace_records=tuple(decode_namespace(n["stable_id"], n) for n in entry["namespace_records"]),
        verify=tuple(entry["verify"]),
        settings_digest=entry["settings_digest"],
        trigger=decode_trigger(entry["trigger"], "trigger") if entry.get("trigger") else None,
        queue=str(entry.get("queue", "")),
        forgotten=tuple(entry["forgotten"]),
        tags=tuple(entry.get("tags", ())),
        known=tuple(NamespaceId(id_) for id_ in entry.get("known", ())),
        sent_at=float(sent_at) if sent_at is not None else None,
        **texts,
    )
