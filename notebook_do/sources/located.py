"""Where the frames of a stack stand in what a person wrote: the line of the cell, or of the file.

A frame is led back only where it is certain which source it means: of a bundle, that is what its source map says, and
the runtime has read that already. What is not certain stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.sources.cells import excerpt
from notebook_do.sources.esbuild import Position

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.model import Worker

_FRAME = re.compile(r"\s*at (?:(?P<what>.*?) \()?(?P<file>[^\s()]+?):(?P<line>\d+):(?P<column>\d+)\)?\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedCode:
    """The source of what was uploaded. `same`: the files on the disk are still what went up."""

    worker: Worker
    base: Path
    cell: str = ""
    same: bool = True
    mapped: bool = True
    """Whether frames of a bundle are those of its sources, as the runtime read its source map."""
    bundled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedStack:
    """A stack with the places that are known behind its frames.

    `place` is that of the first such frame, in words, `what` the function that it is in, `excerpt` the lines around it.
    """

    lines: tuple[str, ...]
    place: str = ""
    what: str = ""
    excerpt: str = ""


def locate(stack: str, code: UploadedCode | None) -> LocatedStack:
    """Find the places of a stack's frames."""
    lines: list[str] = []
    first: tuple[str, str, str] | None = None
    for line in stack.splitlines():
        if not line.lstrip().startswith("at "):
            continue  # the message, which the record has
        frame = _FRAME.match(line)
        found = _place(frame, code) if frame and code else None
        if frame is None or found is None:
            lines.append(line.strip())
            continue
        lines.append(f"{line.strip()}  → {found.short}")
        first = first or (found.words, (frame["what"] or "").removeprefix("async "), found.excerpt)
    place, what, around = first or ("", "", "")
    return LocatedStack(lines=tuple(lines), place=place, what=what, excerpt=around)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    short: str
    words: str
    excerpt: str = ""


def _place(frame: re.Match[str], code: UploadedCode) -> _Place | None:
    worker, file, line, column = code.worker, frame["file"], int(frame["line"]), int(frame["column"])
    if code.bundled and not code.mapped and file == "index.js":
        return None  # a line of the bundle, which nobody has read the source map of
    if worker.script is not None:
        own = f"index.{worker.lang}"
        return _in_cell(code, worker.script, line, column) if file == own else _in_file(code, file, line, column)
    if worker.entrypoint is None:
        return None
    if not code.bundled and file.partition(".")[0] == "index" and "/" not in file:
        return _in_file(code, code.worker.entrypoint or "", line, column, whole=True)
    return _in_file(code, file, line, column)


def _in_cell(code: UploadedCode, script: str, line: int, column: int) -> _Place:
    where = code.worker.where
    body = where.body_line if where else None
    first = body or 1
    number, cell = first + line - 1, code.cell if body is not None else ""
    words = f"line {number} of {cell}" if cell else f"line {line} of the script of Worker {code.worker.id}"
    short = f"{cell}, line {number}" if cell else f"line {line} of the script"
    return _Place(
        short=short,
        words=words,
        excerpt=_around(script, line, column, first if cell else 1, file=f"index.{code.worker.lang}"),
    )


def _in_file(code: UploadedCode, file: str, line: int, column: int, *, whole: bool = False) -> _Place | None:
    """Return a place in a file, whose name a bundle has from the folder of its entrypoint."""
    given = code.worker.entrypoint
    folder = code.base if whole or given is None else (code.base / given).parent
    path = folder / file
    if not path.is_file():
        return None
    shown = path.relative_to(code.base).as_posix() if path.is_relative_to(code.base) else path.as_posix()
    text = path.read_text(encoding="utf-8", errors="replace") if code.same else ""
    around = _around(text, line, column, 1, file=file) if text else ""
    return _Place(short=f"{shown}:{line}", words=f"line {line} of {shown}", excerpt=around)


def _around(text: str, line: int, column: int, first: int, *, file: str) -> str:
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return ""
    return excerpt(lines, Position(file=file, line=line, column=column), first=first)
