"""The write-ahead journal: what a deploy is about to send, on the disk before it is sent.

One JSON line an entry, each with its own checksum. An intent stays open until its end is written; an open one is
resolved by looking at what is live, never by sending again. The end of one that happened says what was seen of it: the
state file is written once for many, and what it lacks after a crash is made of these lines. An upload that was given up
(ended without being seen, and without a refusal) is kept: should it show up later, it is recognised by its op. Holds no
secret and no code. Written under the lock.

Lines are only added, so that a crash while writing can damage no earlier one. SQLite would promise the same; a file of
lines can also be read by a person who has to know what was sent.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
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
    from collections.abc import Iterable
    from pathlib import Path

Kind = Literal["upload", "mark", "url", "crons", "queue", "trigger", "untrigger", "delete"]
Status = Literal["done", "not done", "uncertain"]
_LONG = 32 * 1024
"""Bytes of lines that nobody needs any more, above which the journal begins anew: every process reads it whole once."""
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
    known: frozenset[NamespaceId] = frozenset()
    """The namespaces that were live or recorded before it: none of them is one that it creates."""
    sent_at: float | None = None
    """When it was sent last, in seconds since 1970; None in a journal that an older notebook_do wrote: long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was seen live of a mutation that happened: with its intent, all that the state file has to hold of it.

    `etag` and `modified_on` are the uploaded script's, `namespace_ids` those of the namespaces that it hosts since,
    `removable` the earlier class names that no later upload has to repeat, `at` the date of what it destroyed.
    """

    at: str
    etag: str | None = None
    modified_on: str | None = None
    namespace_ids: tuple[tuple[StableId, NamespaceId], ...] = ()
    removable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An intent and how it ended: `status` is None while it is open. `refused`: it certainly did not happen."""

    intent: Intent
    status: Status | None = None
    refused: bool = False
    done: Done | None = None
    """What was seen of it, as long as the state file may not hold that."""

    @property
    def given_up(self) -> bool:
        """True for an upload that was never seen and may still show up, by its op."""
        return self.intent.kind == "upload" and self.status in {"not done", "uncertain"} and not self.refused


def superseded(intent: Intent, attempts: Iterable[Attempt]) -> bool:
    """Say whether a later upload of this session to the same script was done: then `intent` can no longer be."""
    # That other requests are carried out one after the other is known from nowhere.
    uploads = [a for a in attempts if a.intent.kind == "upload" and a.intent.script_name == intent.script_name]
    later = uploads[next((n for n, a in enumerate(uploads) if a.intent.op == intent.op), len(uploads)) + 1 :]
    return any(a.status == "done" for a in later)


@dataclass(slots=True)
class _Content:
    """What the lines of a journal say, up to the last one that was read."""

    text: bytearray = field(default_factory=bytearray)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    ops: set[str] = field(default_factory=set)
    """Of uploads whose lines were dropped."""
    kept: int = 0
    """Bytes of the line that names them."""
    known: frozenset[NamespaceId] = frozenset()
    unsaved: set[str] = field(default_factory=set)
    """Ops that were seen to be done since the state file was last written."""

    def take(self, entry: dict[str, Any], line: bytes, intent: Intent | None = None) -> None:
        """Take one more entry in, that of `intent`; raises Damage, KeyError or TypeError when a newer one wrote it."""
        op = str(entry.get("op"))
        match entry.get("is"):
            case "intent":
                # The last line of an op counts: it was sent again then.
                self.attempts[op] = Attempt(intent=intent or _decode(entry, self.known))
                self.unsaved.discard(op)
            case "known":
                self.known = frozenset(NamespaceId(id_) for id_ in entry["ids"])
            case "ops":
                self.ops |= set(entry["ops"])
                self.kept += len(line)
            case "saved":
                for saved in self.unsaved:
                    self.attempts[saved] = replace(self.attempts[saved], done=None)
                self.unsaved.clear()
            case _ if op in self.attempts:
                # Entries of older editions say nothing of a refusal: what they gave up may still show up. Nor of what
                # they saw: they wrote the state file first.
                done = _decode_done(entry["done"]) if "done" in entry else None
                ended = {"status": entry.get("status", "uncertain"), "refused": entry.get("refused") is True}
                self.attempts[op] = replace(self.attempts[op], done=done, **ended)
                if done is not None:
                    self.unsaved.add(op)
        self.text += line


class Journal:
    """The journal file at `path`; a missing one is empty. What was read once is not read again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = _Content()

    # --- write

    def know(self, namespaces: frozenset[NamespaceId]) -> None:
        """Write which namespaces there are before what is sent next, where that is not written already."""
        # Once for all intents that follow: in each of them it would be most of the journal's bytes.
        if self._content.known is not namespaces and self._up_to_date().known != namespaces:
            self._append({"is": "known", "ids": sorted(namespaces)})
        self._content.known = namespaces

    def begin(self, intent: Intent) -> None:
        """Write an intent, again where it is sent again; nothing may be sent before `sync` returns."""
        self._append(_begun(intent, self._up_to_date().known), intent)

    def sync(self) -> None:
        """Return when every intent is on the disk, and all that was written before it. For any thread."""
        # Were one lost with the machine's power, its upload would be nobody's. An end may be: it is only looked up.
        disk.sync(self.path)

    def end(self, op: str, status: Status, *, refused: bool = False, done: Done | None = None) -> None:
        """Write how an intent ended. `uncertain` closes it too: looking at it again would not tell.

        `done` is what was seen of it, where the state file does not hold that yet: `saved` says when it does.
        """
        self._append(_ended(op, status, refused=refused, done=done))

    def saved(self, serial: int) -> None:
        """Write that the state file holds, since `serial`, all that was seen to be done."""
        self._append({"is": "saved", "serial": serial})

    def shorten(self) -> None:
        """Begin anew when the journal is long and nothing is open; uploads that may still show up stay in it.

        Of other uploads the op stays: a script that carries one was uploaded from here, however long ago.
        """
        content = self._read()
        attempts, is_long = content.attempts.values(), len(content.text) - content.kept > _LONG
        if not is_long or content.unsaved or any(a.status is None for a in attempts):
            return
        # Of what is dropped the state file has all that counts; what was given up is in no other place.
        kept = [a for a in attempts if a.given_up and not superseded(a.intent, attempts)]
        entries = [{"is": "ops", "ops": sorted(self.ops())}] if self.ops() else []
        for a in kept:
            entries += [_begun(a.intent, frozenset()), _ended(a.intent.op, a.status or "uncertain")]
        disk.replace(self.path, b"".join(map(_line, entries)))
        self._content = _Content()

    def _append(self, entry: dict[str, Any], intent: Intent | None = None) -> None:
        content, line = self._up_to_date(), _line(entry)
        disk.append(self.path, line)
        content.take(entry, line, intent)

    def _up_to_date(self) -> _Content:
        """Return what it says, ready for one more line: half a line that was left there would spoil that."""
        size = disk.size(self.path)
        if size != len(self._content.text) and size != len(self._read().text):
            disk.cut(self.path, len(self._content.text))
        return self._content

    # --- read

    def attempts(self) -> tuple[Attempt, ...]:
        """Return every intent and how it ended, oldest first; raises StateCorrupt for a damaged journal."""
        return tuple(self._read().attempts.values())

    def open_intents(self) -> tuple[Intent, ...]:
        """Return the intents without an end, oldest first; raises StateCorrupt for a damaged journal."""
        return tuple(a.intent for a in self.attempts() if a.status is None)

    def ops(self) -> frozenset[str]:
        """Return the operation of every upload that this journal ever held."""
        content = self._read()
        return frozenset(content.ops | {op for op, a in content.attempts.items() if a.intent.kind == "upload"})

    def _read(self) -> _Content:
        """Read the whole lines; half a line at the end was never on the disk, so nothing was sent after it."""
        text = disk.read(self.path) or b""
        if not text.startswith(self._content.text):  # begun anew by another process, or changed by hand
            self._content = _Content()
        for line in text[len(self._content.text) :].split(b"\n")[:-1]:
            try:
                self._content.take(_checked(line), line + b"\n")
            except (Damage, TypeError, KeyError, AttributeError) as error:
                raise self._corrupt(self._content.text.count(b"\n") + 1, str(error)) from None
        return self._content

    def _corrupt(self, number: int, why: str) -> StateCorrupt:
        return StateCorrupt(
            f"{self.path}, line {number} cannot be used: {why}. It was left untouched; move it away and plan again: "
            "what an interrupted deploy did is then found live, and %durable import records it."
        )


def _begun(intent: Intent, known: frozenset[NamespaceId]) -> dict[str, Any]:
    """Return the entry of an intent; the namespaces that are `known` by then are not written once more."""
    own = {} if intent.known == known else {"known": sorted(intent.known)}
    return {"is": "intent", **_encode(intent), **own}


def _ended(op: str, status: Status, *, refused: bool = False, done: Done | None = None) -> dict[str, Any]:
    more: dict[str, Any] = {"refused": True} if refused else {}
    if done is not None:
        more["done"] = {k: dict(v) if k == "namespace_ids" else v for k, v in asdict(done).items() if v}
    return {"is": "end", "op": op, "status": status, **more}


def _line(entry: dict[str, Any]) -> bytes:
    """Write one line; its checksum finds damage, and keeps nobody from forging an entry."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return json.dumps({**entry, "sum": digest}, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _checked(line: bytes) -> dict[str, Any]:
    """Read one line, without its end; raises Damage where it is not as it was written."""
    entry = parse(line)
    # Compared as bytes: there is one way to write an entry, so that nothing in it can be changed unseen.
    if not isinstance(entry, dict) or line != _line({k: v for k, v in entry.items() if k != "sum"})[:-1]:
        raise Damage("its checksum does not match")
    return entry


def _encode(intent: Intent) -> dict[str, Any]:
    """Write an intent; its records are written as in the state file, so that both are upgraded by the same rules."""
    record = intent.worker_record
    return {f.name: getattr(intent, f.name) for f in fields(intent) if f.name != "known"} | {
        "trigger": encode_trigger(intent.trigger) if intent.trigger else None,
        "worker_record": {"id": record.id, **encode_worker(record)} if record else None,
        "namespace_records": [{"stable_id": n.stable_id, **encode_namespace(n)} for n in intent.namespace_records],
    }


def _decode(entry: dict[str, Any], known: frozenset[NamespaceId]) -> Intent:
    """Read an intent of which the checksum holds; raises Damage, KeyError or TypeError when a newer one wrote it.

    What `get` asks for came with later editions: a journal that an older one left open is still read. `known` is what
    the lines before it say of the namespaces, where it says nothing itself.
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
        known=frozenset(NamespaceId(id_) for id_ in entry["known"]) if "known" in entry else known,
        sent_at=float(sent_at) if sent_at is not None else None,
        **texts,
    )


def _decode_done(entry: dict[str, Any]) -> Done:
    return Done(
        at=str(entry["at"]),
        etag=entry.get("etag"),
        modified_on=entry.get("modified_on"),
        namespace_ids=tuple((StableId(s), NamespaceId(n)) for s, n in entry.get("namespace_ids", {}).items()),
        removable=tuple(entry.get("removable", ())),
    )
