"""Stacks of exceptions by the source map that came with an upload: at Cloudflare, and so here, they name the sources.

A frame that the map says nothing of stays as it is, and so does every stack of a Worker without one.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notebook_do.local.runtime.spec import RunnableWorker

Versions = Callable[[str], Iterable["RunnableWorker"]]
"""Gives the versions of a script that run, or are deployed."""
_FRAME = re.compile(
    r"(?P<before>\(|at )(?P<module>[^\s()]+?):(?P<line>\d+):(?P<column>\d+)(?P<after>\)?)$", re.MULTILINE
)
_LETTERS = {c: n for n, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
_BUNDLE = "file:///bundle/"
"""What workerd puts before the name of a module that another one imports; its main module has none."""
_MAP = "application/source-map"
_KEPT = 16
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
    """The source maps of the versions that run, read when an exception needs them."""

    def __init__(self, versions: Versions) -> None:
        """Read nothing yet."""
        self._versions = versions
        self._maps: OrderedDict[tuple[str, str, str], SourceMap | None] = OrderedDict()

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
        if key not in self._maps:
            worker = next((one for one in self._versions(script) if one.version == version), None)
            self._maps[key] = _read(worker, module) if worker else None
            while len(self._maps) > _KEPT:
                self._maps.popitem(last=False)
        return self._maps[key]


def _read(worker: RunnableWorker, module: str) -> SourceMap | None:
    for one in worker.modules:
        if one.content_type.startswith(_MAP) and one.name == f"{module}.map" and one.path.stat().st_size < _LARGEST:
            try:
                return SourceMap(one.path.read_bytes())
            except (ValueError, KeyError, TypeError, AttributeError):
                return None  # somebody's own map: the stack stays as it is
    return None
