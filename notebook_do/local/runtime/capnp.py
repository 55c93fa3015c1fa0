"""Configurations as messages in workerd's own format (Cap'n Proto), which it needs no parser for.

A configuration is a value: structs are mappings from a field's name to its content, and a field that is absent is not
set. Of workerd's schema there is only where the fields lie that are written here: a test compares each with what the
pinned workerd itself makes of the same value as text. A place never changes from one version of workerd to the next.
"""

from __future__ import annotations

import struct as packing
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Struct = dict[str, Any]
"""Fields by name. A text is a string; what a file holds is its path, read when the message is made."""
VOID = None
"""The content of a field that only says that it is the one of its union."""


def struct(**fields: Any) -> Struct:
    """Make a struct of fields; a field that is None is left out."""
    return {name: value for name, value in fields.items() if value is not None}


Usage = IntEnum("Usage", "encrypt decrypt sign verify deriveKey deriveBits wrapKey unwrapKey", start=0)
"""What a key may be used for, by its number. The content of a field of `WORDS`."""


class Kind(Enum):
    """What a field holds. A group has no place of its own: its fields are those of the struct around it."""

    TEXT, DATA, TEXTS, WORDS, STRUCT, STRUCTS, GROUP, FLAG, NOTHING = (auto() for _ in range(9))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldLayout:
    """Where a field lies: `at` is the number of its pointer, or of its bit for a flag.

    `tag` is what its union holds while this field is set, at the 16-bit word `union`. `of` is the layout of what it
    holds.
    """

    kind: Kind
    at: int
    of: str
    tag: int | None
    union: int


def _made_for(kind: Kind) -> Callable[..., FieldLayout]:
    def field(at: int = 0, of: str = "", *, tag: int | None = None, union: int = 0) -> FieldLayout:
        return FieldLayout(kind=kind, at=at, of=of, tag=tag, union=union)

    return field


_text, _data, _texts, _words = map(_made_for, (Kind.TEXT, Kind.DATA, Kind.TEXTS, Kind.WORDS))
_one, _many, _group = map(_made_for, (Kind.STRUCT, Kind.STRUCTS, Kind.GROUP))
_flag, _nothing = map(_made_for, (Kind.FLAG, Kind.NOTHING))

LAYOUTS: Mapping[str, Mapping[str, FieldLayout]] = {
    "Config": {"services": _many(0, "Service"), "sockets": _many(1, "Socket"), "extensions": _many(3, "Extension")},
    "Socket": {
        "name": _text(0),
        "address": _text(1),
        "http": _one(2, "HttpOptions", tag=0),
        "service": _one(4, "Designator"),
    },
    "Service": {
        "name": _text(0),
        "worker": _one(1, "Worker", tag=1),
        "network": _one(1, "Network", tag=2),
        "external": _one(1, "External", tag=3),
        "disk": _one(1, "Disk", tag=4),
        "assets": _one(1, "Assets", tag=6),
    },
    "Designator": {"name": _text(0), "entrypoint": _text(1), "props": _group(of="Props")},
    "Props": {"json": _text(2, tag=1)},
    "Worker": {
        "modules": _many(0, "Module", tag=0),
        "compatibilityDate": _text(1),
        "compatibilityFlags": _texts(2),
        "bindings": _many(3, "Binding"),
        "durableObjectNamespaces": _many(5, "Namespace"),
        "cacheApiOutbound": _one(7, "Designator"),
        "durableObjectStorage": _group(of="Storage"),
        "tails": _many(10, "Designator"),
        "streamingTails": _many(11, "Designator"),
        "workflowsEngine": _one(15, "Engine"),
    },
    "Storage": {"inMemory": _nothing(tag=1, union=1), "localDisk": _text(8, tag=2, union=1)},
    "Module": {
        "name": _text(0),
        "esModule": _text(1, tag=0),
        "commonJsModule": _text(1, tag=1),
        "text": _text(1, tag=2),
        "data": _data(1, tag=3),
        "wasm": _data(1, tag=4),
        "json": _text(1, tag=5),
        "bundled": _text(1, tag=9),
    },
    "Binding": {
        "name": _text(0),
        "text": _text(1, tag=2),
        "data": _data(1, tag=3),
        "json": _text(1, tag=4),
        "cryptoKey": _one(1, "Key", tag=6),
        "service": _one(1, "Designator", tag=7),
        "durableObjectNamespace": _one(1, "Class", tag=8),
        "kvNamespace": _one(1, "Designator", tag=9),
        "r2Bucket": _one(1, "Designator", tag=10),
        "wrapped": _one(1, "Wrapped", tag=12),
        "queue": _one(1, "Designator", tag=13),
        "analyticsEngine": _one(1, "Designator", tag=15),
        "workerLoader": _group(of="Loader", tag=20),
    },
    "Loader": {},
    "Key": {
        "base64": _text(0, tag=2),
        "pkcs8": _text(0, tag=3),
        "spki": _text(0, tag=4),
        "jwk": _text(0, tag=5),
        "algorithm": _group(of="Algorithm"),
        "usages": _words(2),
    },
    "Algorithm": {"json": _text(1, tag=1, union=1)},
    "Class": {"className": _text(0), "serviceName": _text(1)},
    "Wrapped": {"moduleName": _text(0), "entrypoint": _text(1), "innerBindings": _many(2, "Binding")},
    "Namespace": {"className": _text(0), "uniqueKey": _text(1, tag=0), "enableSql": _flag(17)},
    "Engine": {"actorClass": _one(0, "Designator"), "workflows": _many(1, "Workflow")},
    "Workflow": {"className": _text(0), "name": _text(1), "bindingService": _one(2, "Designator")},
    "Assets": {"path": _text(0), "config": _text(1), "userWorker": _one(2, "Designator")},
    "External": {"address": _text(0), "http": _one(1, "HttpOptions", tag=0)},
    "Network": {"allow": _texts(0), "deny": _texts(1), "tlsOptions": _one(2, "TlsOptions")},
    "Disk": {"path": _text(0), "writable": _flag(0)},
    "HttpOptions": {
        "forwardedProtoHeader": _text(0),
        "cfBlobHeader": _text(1),
        "injectRequestHeaders": _many(2, "Header"),
    },
    "Header": {"name": _text(0), "value": _text(1)},
    "TlsOptions": {"trustBrowserCas": _flag(1)},
    "Extension": {"modules": _many(0, "Internal")},
    "Internal": {"name": _text(0), "internal": _flag(0), "esModule": _text(1)},
}
"""Where each field lies that is written, by the struct that it is in; those of `Module` and `Binding` are unions."""


def encode(config: Struct) -> bytes:
    """Return a configuration as one message. Raises TypeError for a field without a place, OSError as its files do."""
    message = _Message()
    root = message.room(1)
    message.add_struct(root, 0, "Config", config)
    return b"".join([packing.pack("<II", 0, message.words), *message.pieces])


def mentions(value: object, word: str) -> bool:
    """Say whether a value holds this very text anywhere."""
    if isinstance(value, dict):
        return any(mentions(one, word) for one in value.values())
    return any(mentions(one, word) for one in value) if isinstance(value, list | tuple) else value == word


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """Words of a message that are still to be filled, from the word `begins` on."""

    content: bytearray
    begins: int

    def point(self, word: int, to: int, kind: int, more: int) -> None:
        """Write a pointer: it counts words from its own end."""
        packing.pack_into("<iI", self.content, 8 * word, (to - self.begins - word - 1) << 2 | kind, more)


class _Message:
    """The pieces of a message in the order in which they lie, so that no content is copied before the end."""

    def __init__(self) -> None:
        self.pieces: list[bytes | bytearray] = []
        self.words = 0

    def room(self, words: int) -> _Room:
        made = _Room(content=bytearray(8 * words), begins=self.words)
        self.pieces.append(made.content)
        self.words += words
        return made

    def add_struct(self, room: _Room, word: int, layout: str, value: Struct) -> None:
        words, pointers = _size(layout)
        room.point(word, self.words, 0, words | pointers << 16)
        self._fill(self.room(words + pointers), 0, words, layout, value)

    def add_structs(self, room: _Room, word: int, layout: str, values: Sequence[Struct]) -> None:
        words, pointers = _size(layout)
        each = words + pointers
        room.point(word, self.words, 1, 7 | len(values) * each << 3)
        body = self.room(1 + len(values) * each)
        packing.pack_into("<II", body.content, 0, len(values) << 2, words | pointers << 16)
        for number, value in enumerate(values):
            self._fill(body, 1 + number * each, words, layout, value)

    def add_texts(self, room: _Room, word: int, values: Sequence[str]) -> None:
        room.point(word, self.words, 1, 6 | len(values) << 3)
        body = self.room(len(values))
        for number, value in enumerate(values):
            self.add_bytes(body, number, value, b"\0")

    def add_bytes(self, room: _Room, word: int, value: str | Path, end: bytes = b"") -> None:
        # What is not UTF-8 (a lone surrogate) becomes a question mark.
        content = value.read_bytes() if isinstance(value, Path) else value.encode("utf-8", "replace")
        size = len(content) + len(end)
        room.point(word, self.words, 1, 2 | size << 3)
        self.pieces += (content, end + bytes(-size % 8))
        self.words += (size + 7) // 8

    def add_words(self, room: _Room, word: int, values: Sequence[int]) -> None:
        room.point(word, self.words, 1, 3 | len(values) << 3)
        packing.pack_into(f"<{len(values)}H", self.room((len(values) + 3) // 4).content, 0, *values)

    def _fill(self, room: _Room, word: int, words: int, layout: str, value: Struct) -> None:
        """Write fields into a struct that lies at `word` and whose pointers come after `words` words."""
        for name, content in value.items():
            field = LAYOUTS[layout].get(name)
            if field is None:
                raise TypeError(f"there is no place for {name} in {layout}")
            if field.tag is not None:
                packing.pack_into("<H", room.content, 8 * word + 2 * field.union, field.tag)
            if field.kind is Kind.GROUP:
                self._fill(room, word, words, field.of, content)
            elif field.kind is Kind.FLAG:
                room.content[8 * word + field.at // 8] |= bool(content) << field.at % 8
            elif field.kind is not Kind.NOTHING:
                self._add(room, word + words + field.at, field, content)

    def _add(self, room: _Room, word: int, field: FieldLayout, content: Any) -> None:
        if field.kind is Kind.STRUCT:
            self.add_struct(room, word, field.of, content)
        elif field.kind is Kind.STRUCTS:
            self.add_structs(room, word, field.of, content)
        elif field.kind is Kind.TEXTS:
            self.add_texts(room, word, content)
        elif field.kind is Kind.WORDS:
            self.add_words(room, word, content)
        else:
            self.add_bytes(room, word, content, b"\0" if field.kind is Kind.TEXT else b"")


@cache
def _size(layout: str) -> tuple[int, int]:
    """Return how many words of data and how many pointers a struct has, as far as these fields need them.

    A struct that is shorter than workerd's own reads as one whose other fields are not set.
    """
    words = pointers = 0
    for field in LAYOUTS[layout].values():
        if field.kind is Kind.GROUP:
            inner = _size(field.of)
            words, pointers = max(words, inner[0]), max(pointers, inner[1])
        elif field.kind is Kind.FLAG:
            words = max(words, field.at // 64 + 1)
        elif field.kind is not Kind.NOTHING:
            pointers = max(pointers, field.at + 1)
        if field.tag is not None:
            words = max(words, field.union // 4 + 1)
    return words, pointers
