"""Stacks of exceptions by the source map that came with an upload: at Cloudflare, and so here, they name the sources.

A frame that the map says nothing of stays as it is, and so does every stack of a Worker without one.
"""

from __future__ import annotations

import contextlib
import json
import re
from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.local.runtime.spec import ModuleFile, RunnableWorker

_FRAME = re.compile(
    r"(?P<before>\(|at )(?P<module>[^\s()]+?):(?P<line>\d+):(?P<column>\d+)(?P<after>\)?)$", re.MULTILINE
)
_LETTERS = {c: n for n, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
_BUNDLE = "file:///bundle/"
"""What workerd puts before the name of a module that another one imports; its main module has none."""
_MAP = "application/source-map"
_KEPT = 16
_KNOWN = 1000
_LARGEST = 32 << 20


class SourceMap:
    """Where the lines of one module come from (ECMA-426, version 3)."""

    def __init__(self, text: bytes) -> None:
        """Read the map; raises ValueError for what is none."""
        found = json.loads(text)
        root = found.get("sourceRoot") or ""
        self._sources = [root + source for source in found["sources"]]
        self._lines = _segments(found["mappings"])

    def find(self, line: int, column: int) -> tuple[str, int, int] | None:
        """Return source, line and column of a place, all counted from 1."""
        if not 1 <= line <= len(self._lines):
            return None
        row = self._lines[line - 1]
        at = bisect_right(row, (column - 1, float("inf"))) - 1
        if at < 0 or len(row[at]) == 1:
            return None
        _, source, there, across = row[at]
        return self._sources[int(source)], int(there) + 1, int(across) + 1


def _segments(mappings: str) -> list[list[tuple[float, ...]]]:
    source = line = column = 0
    rows = []
    for text in mappings.split(";"):
        row: list[tuple[float, ...]] = []
        made = 0
        for piece in filter(None, text.split(",")):
            values = _numbers(piece)
            made += values[0]
            if len(values) < 4:
                row.append((made,))
                continue
            source, line, column = source + values[1], line + values[2], column + values[3]
            row.append((made, source, line, column))
        rows.append(row)
    return rows


def _numbers(piece: str) -> list[int]:
    """Read numbers of five bits a letter, the lowest first; the sign is the lowest bit of all."""
    found, value, shift = [], 0, 0
    for letter in piece:
        bits = _LETTERS[letter]
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            found.append(-(value >> 1) if value & 1 else value >> 1)
            value, shift = 0, 0
    return found


class Stacks:
    """The source maps of the versions that ran, read when an exception needs them; any thread may ask."""

    def __init__(self) -> None:
        """Know of no version yet."""
        self._known: OrderedDict[tuple[str, str], dict[str, ModuleFile]] = OrderedDict()
        self._maps: OrderedDict[tuple[str, str, str], SourceMap | None] = OrderedDict()

    def know(self, workers: Iterable[RunnableWorker]) -> None:
        """Take note of versions that are about to run. What they threw may be told when they do so no more."""
        for worker in workers:
            if maps := {one.name: one for one in worker.modules if one.content_type.startswith(_MAP)}:
                self._known[worker.name, worker.version] = maps
                self._known.move_to_end((worker.name, worker.version))
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    def mapped(self, script: str, version: str, stack: str) -> str:
        """Return a stack whose frames name the sources of the version."""

        def place(frame: re.Match[str]) -> str:
            module = frame["module"].removeprefix(_BUNDLE)
            read = self._map(script, version, module)
            if read is None:
                return frame[0].replace(_BUNDLE, "")
            found = read.find(int(frame["line"]), int(frame["column"]))
            if found is None:  # a line of the bundle alone must not look like one of a source of that name
                found = f"<bundle>/{module}", int(frame["line"]), int(frame["column"])
            return f"{frame['before']}{found[0]}:{found[1]}:{found[2]}{frame['after']}"

        return _FRAME.sub(place, stack)

    def _map(self, script: str, version: str, module: str) -> SourceMap | None:
        key = (script, version, module)
        try:
            return self._maps[key]
        except KeyError:
            found = _read(self._known.get((script, version), {}).get(f"{module}.map"))
        self._maps[key] = found
        with contextlib.suppress(KeyError):  # another thread was there meanwhile
            while len(self._maps) > _KEPT:
                self._maps.popitem(last=False)
        return found


def _read(module: ModuleFile | None) -> SourceMap | None:
    try:
        if module is not None and module.path.stat().st_size < _LARGEST:
            return SourceMap(module.path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # a version that is not kept any more, or somebody's own map: the stack stays as it is
    return None
