"""Read a value as `storage.put` stores it: bytes in V8's serialization format -> JSON, in one of two forms.

Tagged, what JSON has no form for is an object with the key `$` (`{"$": "date", "v": 0}`), and so is an object of a
user's that has this key; `is_exact` says whether that is all that is stored. Plain, for what Cloudflare's own API shows
of workflows, a Date is its ISO text, a Map a list of pairs, a Set a list, bytes `{"$base64": ...}`, `undefined` null, a
BigInt a whole number, and an error its first line. The format is that of V8's `ValueSerializer`, versions 13 to 15.

v8serialize 0.4.0 reads this format too and is not used: its import takes 247 ms, it is four times slower (an array of
1,000 objects: 103 ms against 25 ms), and gives JavaScript's types, which would have to be converted once more.
"""

from __future__ import annotations

import contextlib
import math
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from notebook_do.local.objects.tags import TYPED_ARRAYS, tagged_bytes, unwritten

if TYPE_CHECKING:
    from collections.abc import Callable

_DEEPEST = 200
_MOST_PARTS = 200_000
_NATIVE_ERROR = 10
"""workerd's number of the one kind of its own that storage holds."""
_WORDS: dict[bytes, Any] = {b"_": None, b"0": None, b"T": True, b"F": False, b"-": None}
_EXACT = frozenset((b"_", b"0", b"T", b"F", b"I", b"N", b"Z", b'"', b"c", b"o", b"A", b"a", b";", b"'", b"D", b"B"))


class DecodeError(ValueError):
    """These bytes are not a value that is read here."""


def decode(stored: bytes, *, most: int = _MOST_PARTS) -> Any:
    """Read one stored value, tagged. Raises DecodeError for what is none, has no form, or more than `most` parts."""
    reader = _ValueReader(stored, most, tagged=True)
    try:
        return reader.whole()
    except (IndexError, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise DecodeError(f"cut short or malformed at byte {reader.at}: {error}") from None
    except RecursionError:  # Python's own limit counts the callers too
        raise DecodeError(f"it is nested too deep to be read here, at byte {reader.at}") from None


def is_exact(stored: bytes) -> bool:
    """Say whether the tagged form tells all of a stored value: not of a hole in an array, or a RegExp."""
    reader = _ValueReader(stored, _MOST_PARTS, tagged=True)
    with contextlib.suppress(DecodeError, IndexError, struct.error, UnicodeDecodeError, OverflowError, RecursionError):
        reader.whole()
        return reader.exact
    return False


def beginning(stored: bytes, *, most: int = _MOST_PARTS) -> dict[str, Any]:
    """Read a stored object, plain, as far as it can be read: all, or what comes before the first part that cannot."""
    reader, found = _ValueReader(stored, most, tagged=False), dict[str, Any]()
    with contextlib.suppress(DecodeError, IndexError, struct.error, UnicodeDecodeError, OverflowError, RecursionError):
        if reader.begins() and reader.tag() == b"o":
            reader.keep(found)
            while reader.bytes[reader.at : reader.at + 1] != b"{":
                key = str(reader.value())
                found[key] = reader.value()
    return found


class _ValueReader:
    def __init__(self, stored: bytes, most: int, *, tagged: bool) -> None:
        self.bytes, self.at, self.depth, self.parts, self.most = stored, 0, 0, 0, most
        self.tagged, self.exact = tagged, True
        self.rings: set[int] = set()
        """The objects that hold themselves, by their numbers."""
        self.seen: list[Any] = []
        """Every object in the order in which it began: a later `^` refers to it by its number."""
        self.sizes: dict[int, int] = {}
        """How many parts each finished object has: one that is stored once may be referred to a thousand times."""

    def begins(self) -> bool:
        return self.take(1) == b"\xff" and 13 <= self.varint() <= 15

    def whole(self) -> Any:
        if not self.begins():
            raise DecodeError("it does not begin as a stored value of a known version")
        return self.value()

    def take(self, count: int) -> bytes:
        taken = self.bytes[self.at : self.at + count]
        if len(taken) < count:
            raise IndexError(f"{count} bytes wanted")
        self.at += count
        return taken

    def varint(self) -> int:
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
            if shift > 63:
                raise IndexError("a number without end")

    def double(self) -> float:
        number: float = struct.unpack("<d", self.take(8))[0]
        return number

    def tag(self) -> bytes:
        while (found := self.take(1)) == b"\0":  # padding before text of two bytes a character
            pass
        return found

    def value(self) -> Any:
        place, before = len(self.seen), self.parts
        self.depth += 1
        if self.depth > _DEEPEST:
            raise DecodeError(f"it is nested deeper than {_DEEPEST}")
        self.grow(1)
        found = self._of(self.tag())
        self.depth -= 1
        if len(self.seen) > place:
            self.sizes[place] = self.parts - before
            if self.tagged and place in self.rings:
                return {"$": "def", "n": place, "v": found}
        return found

    def grow(self, parts: int) -> None:
        self.parts += parts
        if self.parts > self.most:
            raise DecodeError(f"it has more than {self.most:,} parts")

    def _of(self, tag: bytes) -> Any:
        self.exact = self.exact and tag in _EXACT
        if tag == b"_" and self.tagged:
            return {"$": "undefined"}
        if tag in _WORDS:
            return _WORDS[tag]
        read = _READ.get(tag)
        if read is None:
            raise DecodeError(f"a value of kind {tag!r} has no plain form")
        return read(self)

    # --- text and numbers

    def number(self) -> Any:
        number = self.double()
        name = unwritten(number)
        if name and self.tagged:
            return {"$": "number", "v": name}
        if not math.isfinite(number):
            return name
        return int(number) if number.is_integer() and abs(number) < 2**53 else number

    def signed(self) -> int:
        number = self.varint()
        return (number >> 1) ^ -(number & 1)

    def bigint(self) -> Any:
        head = self.varint()
        number = int.from_bytes(self.take(head >> 1), "little")
        number = -number if head & 1 else number
        return {"$": "bigint", "v": str(number)} if self.tagged else number

    def latin(self) -> str:
        return self.take(self.varint()).decode("latin-1")

    def wide(self) -> str:
        return self.take(self.varint()).decode("utf-16-le", "surrogatepass")  # a lone half, too

    def utf8(self) -> str:
        return self.take(self.varint()).decode("utf-8", "replace")

    # --- objects

    def keep(self, made: Any) -> Any:
        self.seen.append(made)
        return made

    def boxed(self, read: Callable[[], Any]) -> Any:
        place = len(self.seen)
        self.seen.append(None)
        self.seen[place] = made = read()
        return made

    def again(self) -> Any:
        number = self.varint()
        if number >= len(self.seen):
            raise DecodeError(f"it refers to object {number}, which has not begun")
        # It has begun and not ended: it holds itself.
        if number not in self.sizes or (self.tagged and number in self.rings):
            self.rings.add(number)
            return {"$": "ref", "v": number} if self.tagged else "[circular]"
        self.grow(self.sizes[number])  # a few bytes that double what is shown with each reference are bounded so
        return self.seen[number]

    def pairs(self, end: bytes) -> list[tuple[Any, Any]]:
        found = []
        while self.bytes[self.at : self.at + 1] != end:
            found.append((self.value(), self.value()))
        self.at += 1
        return found

    def object(self) -> dict[str, Any]:
        made: dict[str, Any] = self.keep({})
        made.update((str(key), item) for key, item in self.pairs(b"{"))
        self.varint()
        if self.tagged and "$" in made:
            held = [list(pair) for pair in made.items()]
            made.clear()
            made.update({"$": "object", "v": held})
        return made

    def dense(self) -> list[Any]:
        made: list[Any] = self.keep([])
        made.extend(self.value() for _ in range(self.varint()))
        named = self.pairs(b"$")  # properties of an array: rare, and no part of the list
        self.exact = self.exact and not named
        self.varint(), self.varint()
        return made

    def sparse(self) -> list[Any]:
        made: list[Any] = self.keep([])
        length = self.varint()
        self.grow(length)  # before it is made: five bytes can ask for billions of holes
        made.extend([None] * length)
        pairs = self.pairs(b"@")
        self.exact = self.exact and [key for key, _ in pairs] == list(range(length))  # no hole: V8 writes some so
        for key, item in pairs:
            if isinstance(key, int) and key < length:
                made[key] = item
        self.varint(), self.varint()
        return made

    def map(self) -> Any:
        made, held = self.listed("map")
        held.extend([key, item] for key, item in self.pairs(b":"))
        self.varint()
        return made

    def set(self) -> Any:
        made, held = self.listed("set")
        while self.bytes[self.at : self.at + 1] != b",":
            held.append(self.value())
        self.at += 1
        self.varint()
        return made

    def listed(self, tag: str) -> tuple[Any, list[Any]]:
        """Begin a Map or a Set; return what stands for it, and the list of what it holds."""
        held: list[Any] = []
        return self.keep({"$": tag, "v": held} if self.tagged else held), held

    def date(self) -> Any:
        moment = self.double()
        if not self.tagged:
            return self.keep(_date(moment))
        return self.keep({"$": "date", "v": int(moment) if math.isfinite(moment) else None})

    def pattern(self) -> str:
        def read() -> str:
            source = self.value()
            self.varint()
            return f"/{source}/"

        return str(self.boxed(read))

    def buffer(self, *, resizable: bool = False) -> Any:
        place = len(self.seen)
        self.seen.append(None)
        length = self.varint()
        if resizable:
            self.varint()
        held = self.take(length)
        self.seen[place] = made = self.held("bytes", held)
        if self.bytes[self.at : self.at + 1] == b"V":  # a view on the buffer that was just read
            self.at += 1
            return self.view(held)
        self.exact = False
        return made

    def view(self, held: bytes) -> Any:
        tag, offset, length = self.take(1), self.varint(), self.varint()
        kind = TYPED_ARRAYS.get(tag, "bytes")
        self.exact = self.exact and length == len(held) and (tag in TYPED_ARRAYS or tag == b"B")
        self.varint()  # its flags, since version 14
        self.sizes[len(self.seen)] = 1
        return self.keep(self.held(kind, held[offset : offset + length]))

    def held(self, kind: str, held: bytes) -> dict[str, str]:
        made = tagged_bytes(held, kind)
        return made if self.tagged else {"$base64": made["v"]}

    def host(self) -> Any:
        """Read what workerd adds to V8's kinds; of these only errors can be stored."""

        def read() -> Any:
            if self.varint() != _NATIVE_ERROR:
                raise DecodeError("an object of the runtime has no plain form")
            # Which of JavaScript's errors it is: the stack says so too. One of none of these has its name written out.
            own = self.value() if self.varint() == 0 else ""
            message, more = self.value(), self.value()
            stack = more.get("stack") if isinstance(more, dict) else None
            first = stack.partition("\n")[0] if isinstance(stack, str) else f"Error: {message}"
            if not self.tagged:
                return first
            name = own or first.removesuffix(str(message).partition("\n")[0]).rstrip(": ") or "Error"
            cause = {"cause": more["cause"]} if isinstance(more, dict) and more.get("cause") is not None else {}
            return {"$": "error", "name": name, "message": str(message), "stack": stack, **cause}

        return self.boxed(read)


_READ: dict[bytes, Callable[[_ValueReader], Any]] = {
    b"I": _ValueReader.signed,
    b"U": _ValueReader.varint,
    b"N": _ValueReader.number,
    b"Z": _ValueReader.bigint,
    b'"': _ValueReader.latin,
    b"c": _ValueReader.wide,
    b"S": _ValueReader.utf8,
    b"^": _ValueReader.again,
    b"o": _ValueReader.object,
    b"A": _ValueReader.dense,
    b"a": _ValueReader.sparse,
    b";": _ValueReader.map,
    b"'": _ValueReader.set,
    b"D": _ValueReader.date,
    b"R": _ValueReader.pattern,
    b"\\": _ValueReader.host,
    b"B": _ValueReader.buffer,
    b"~": lambda reader: reader.buffer(resizable=True),
    b"y": lambda reader: reader.keep(True),  # noqa: FBT003 - a boxed true
    b"x": lambda reader: reader.keep(False),  # noqa: FBT003 - a boxed false
    b"n": lambda reader: reader.boxed(reader.number),
    b"z": lambda reader: reader.boxed(reader.bigint),
    b"s": lambda reader: reader.boxed(reader.value),
}
"""V8's tag -> how what follows it is read."""


def _date(milliseconds: float) -> str:
    if math.isnan(milliseconds):
        return "Invalid Date"
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:  # JavaScript's years reach further than Python's
        return f"{milliseconds:.0f} ms since 1970"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
