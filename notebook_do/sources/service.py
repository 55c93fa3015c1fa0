"""Speaks to esbuild as its npm package does, in packets over stdin and stdout: what an import means is decided here.

esbuild's command line has no plugins, and without them a bundle cannot be wrangler's. The protocol
is that of the pinned version; it has no description but esbuild's own `lib/shared/stdio_protocol.ts`.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.sources.process import Service, Spare
from notebook_do.toolchain import find_esbuild

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

SECONDS = 60
"""How long a bundle may take before it is given up."""
_LARGE = 1 << 20
"""Bytes of a bundle whose process is ended: it does not give back its memory, hundreds of MB, while it waits."""
_NONE, _BOOL, _INT, _TEXT, _BYTES, _LIST, _DICT = range(7)
_U32 = struct.Struct("<I")
_KEY = 0
_waiting = Spare()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportQuestion:
    """An import whose meaning esbuild asks for; `namespace` and `folder` are those of the file that has it."""

    path: str
    kind: str
    importer: str
    namespace: str
    folder: str


Answer = dict[str, Any]
"""What an import leads to, in the words of esbuild's plugins (`path`, `external`, `namespace`); empty: as it likes."""


class Plugin:
    """What is asked for imports whose path fits `filters` (Go's regular expressions, by the importer's namespace)."""

    filters: Mapping[str, str] = {}
    namespaces: Sequence[str] = ()
    """Of these the files are not on the disk: `load` gives them."""

    def decide(self, one: ImportQuestion) -> Generator[ImportQuestion, Answer, Answer]:
        """Yield the imports that esbuild shall look up by its own rules, be sent what it found, return the answer."""
        raise NotImplementedError

    def load(self, namespace: str, path: str) -> Answer:
        """Return a file that is not on the disk: `contents`, `loader` and the like."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What esbuild is asked for: a file, or the text `source`, with `flags` as on its command line, in `folder`."""

    entry: str = ""
    source: bytes | None = None
    flags: Sequence[str]
    folder: str
    plugin: Plugin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What esbuild made: files by path, what it says of them as JSON, and its messages as it gives them."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    metafile: str = ""
    errors: Sequence[Answer] = ()


class EsbuildStopped(Exception):  # noqa: N818 - what happened
    """esbuild ended without an answer; the text says what is known of it."""


def run(build: Build) -> Built:
    """Let esbuild make one bundle; raises ToolchainError where there is none, EsbuildStopped, and what a plugin raises.

    Files that it makes are returned, and never written.
    """
    program = find_esbuild()
    service = _waiting.take(program) or Service(program)
    late = threading.Timer(SECONDS, service.process.kill)
    late.start()
    try:
        built = _Conversation(service, build).hold()
    except (EOFError, BrokenPipeError):
        problem = service.errors.read()
        said = " ".join(problem.decode(errors="replace").split())[:300]
        ran_out = f"esbuild did not end within {SECONDS} s; bundle it yourself and give the .js file."
        service.end()
        raise EsbuildStopped(said or (ran_out if late.finished.is_set() else "esbuild ended in the middle.")) from None
    except BaseException:  # a plugin's, or an interrupt: it stands in the middle of a conversation
        service.end()
        raise
    finally:
        late.cancel()
    if sum(map(len, built.files.values())) < _LARGE:
        _waiting.keep(service)
    else:
        service.end()
    return built


class _Conversation:
    """One build over a pair of pipes; several questions of esbuild are open at a time."""

    def __init__(self, service: Service, build: Build) -> None:
        self._service, self._build = service, build
        self._in, self._out = service.answers, service.questions
        self._next = 1
        self._deciding: dict[int, tuple[int, Generator[ImportQuestion, Answer, Answer]]] = {}
        """By our question, whose answer goes on with which decision of esbuild's question."""

    def hold(self) -> Built:
        """Ask for the build and answer until it is there."""
        if not self._service.greeted:
            self._receive()  # esbuild's version, which it has compared already
            self._service.greeted = True
        self._send(0, self._request(), question=True)
        while True:
            number, question, value = _decode(self._receive())
            if question:
                self._answer(number, value)
            elif number in self._deciding:
                asked, deciding = self._deciding.pop(number)
                self._go_on(asked, deciding, value)
            else:
                return _built(value)

    def _request(self) -> Answer:
        build, plugin = self._build, self._build.plugin
        asked: Answer = {
            "command": "build",
            "key": _KEY,
            "entries": [["", build.entry]] if build.source is None else [],
            "flags": list(build.flags),
            "write": False,
            "stdinContents": build.source,
            "stdinResolveDir": None if build.source is None else build.folder,
            "absWorkingDir": build.folder,
            "nodePaths": [],
            "context": False,
        }
        if plugin is not None:
            found = [{"id": 0, "filter": text, "namespace": name} for name, text in plugin.filters.items()]
            loads = [{"id": 1, "filter": ".*", "namespace": name} for name in plugin.namespaces]
            own = {"name": "notebook_do", "onStart": False, "onEnd": False, "onResolve": found, "onLoad": loads}
            asked["plugins"] = [own]
        return asked

    def _answer(self, number: int, asked: Answer) -> None:
        plugin = self._build.plugin
        if plugin is not None and asked["command"] == "on-resolve":
            # What we look up ourselves comes back as a question; it is marked, and left to esbuild's own rules.
            if asked.get("pluginData", -1) not in {None, -1}:
                self._send(number, {})
                return
            words = {"path": "path", "kind": "kind", "importer": "importer", "namespace": "namespace"}
            one = ImportQuestion(**{ours: asked[theirs] for ours, theirs in words.items()}, folder=asked["resolveDir"])
            self._go_on(number, plugin.decide(one), None)
        elif plugin is not None and asked["command"] == "on-load":
            self._send(number, {"id": 1, **plugin.load(asked["namespace"], asked["path"])})
        else:  # the beginning of the build, and whether we are still there
            self._send(number, {"errors": [], "warnings": []})

    def _go_on(self, number: int, deciding: Generator[ImportQuestion, Answer, Answer], found: Answer | None) -> None:
        try:
            ahead = next(deciding) if found is None else deciding.send(found)
        except StopIteration as decided:
            self._send(number, {"id": 0, **decided.value} if decided.value else {})
            return
        ours, self._next = self._next, self._next + 1
        self._deciding[ours] = number, deciding
        asked = {"command": "resolve", "key": _KEY, "pluginName": "notebook_do", "path": ahead.path, "pluginData": 1}
        asked |= {"importer": ahead.importer, "namespace": ahead.namespace, "kind": ahead.kind}
        self._send(ours, {**asked, "resolveDir": ahead.folder}, question=True)

    def _send(self, number: int, value: Answer, *, question: bool = False) -> None:
        content = b"".join((_U32.pack(number << 1 | (not question)), *_encode(value)))
        self._out.write(_U32.pack(len(content)))  # apart: a source may be as large as a script can be
        self._out.write(content)
        self._out.flush()

    def _receive(self) -> bytes:
        return self._read(*_U32.unpack(self._read(4)))

    def _read(self, size: int) -> bytes:
        content = self._in.read(size)
        if len(content) < size:
            raise EOFError
        return content


def _built(value: Answer) -> Built:
    if "error" in value:
        raise EsbuildStopped(str(value["error"]))
    files = {one["path"]: one["contents"] for one in value.get("outputFiles") or ()}
    meta = value.get("metafile") or ""
    text = meta.decode() if isinstance(meta, bytes) else meta
    return Built(files=files, metafile=text, errors=value["errors"])


# --- packets: a kind, then the content; numbers and lengths are four bytes, the smallest first


def _encode(value: Any) -> Iterator[bytes]:
    match value:
        case None:
            yield bytes([_NONE])
        case bool():
            yield bytes([_BOOL, value])
        case int():
            yield bytes([_INT]) + _U32.pack(value & 0xFFFFFFFF)
        case str():
            yield bytes([_TEXT]) + _sized(value.encode())
        case bytes():
            yield bytes([_BYTES]) + _U32.pack(len(value))
            yield value
        case dict():
            yield bytes([_DICT]) + _U32.pack(len(value))
            for key, one in value.items():
                yield _sized(key.encode())
                yield from _encode(one)
        case _:
            yield bytes([_LIST]) + _U32.pack(len(value))
            for one in value:
                yield from _encode(one)


def _sized(content: bytes) -> bytes:
    return _U32.pack(len(content)) + content


def _decode(packet: bytes) -> tuple[int, bool, Answer]:
    """Return the number, whether it is a question, and what it says."""
    (number,) = _U32.unpack_from(packet)
    value, _ = _value(packet, 4)
    return number >> 1, not number & 1, value


def _value(packet: bytes, at: int) -> tuple[Any, int]:
    kind, at = packet[at], at + 1
    if kind == _NONE:
        return None, at
    if kind == _BOOL:
        return bool(packet[at]), at + 1
    (number,) = _U32.unpack_from(packet, at)
    at += 4
    match kind:
        case 2:
            return number - (1 << 32) if number >> 31 else number, at
        case 3:
            return packet[at : at + number].decode(errors="replace"), at + number
        case 4:
            return packet[at : at + number], at + number
        case 5:
            items = []
            for _ in range(number):
                one, at = _value(packet, at)
                items.append(one)
            return items, at
    table = {}
    for _ in range(number):
        (size,) = _U32.unpack_from(packet, at)
        key = packet[at + 4 : at + 4 + size].decode()
        table[key], at = _value(packet, at + 4 + size)
    return table, at
