"""Says what is wrong with a source as an error of the declaration: with the cell's line, and the lines around it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.display.source import language_of, shown_code
from notebook_do.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.model import Worker
    from notebook_do.sources.esbuild import BundleFailed, Position


def wrong(worker: Worker, message: str, *, line: int | None = None) -> SourceError:
    """Return an error of a Worker's source; without a line it is at the declaration."""
    error = SourceError(f"Worker {worker.id}: {message}")
    error.line, error.cell = worker.where.of_error if worker.where else (None, "")
    error.line = line or error.line
    return error


def in_cell(worker: Worker, failed: BundleFailed, *, here: bool = False) -> SourceError:
    """Return an error of a source that stands in a cell: with the cell's line, and the lines around it.

    `here`: that cell is the one that runs.
    """
    place, where = failed.place, worker.where
    body = where.body_line if where else None
    # A file that the cell imports is named by its path; its lines are not the cell's.
    if place is None or not place.file.startswith("index.") or "/" in place.file:
        return wrong(worker, failed.text)
    place = _within((worker.script or "").splitlines(), place)
    # Without the cell's line it is counted from the first one of the source.
    line = body + place.line - 1 if body is not None else place.line
    named = where.name if where and where.name else "its source"
    of = "its source" if body is None else "this cell" if here else named
    text = failed.message.removesuffix("; correct the source.") if failed.is_syntax else failed.message
    kind = "syntax error" if failed.is_syntax else "error"
    said = f"Worker {worker.id}: {kind} in line {line} of {of}: {text[:1].lower()}{text[1:]}"
    error = SourceError(said, line=line if body is not None else None)
    error.says_line = True
    error.excerpt = excerpt((worker.script or "").splitlines(), place, first=body or 1)
    return error


def _within(lines: Sequence[str], place: Position) -> Position:
    """Return the end of the last line for a place below it: there esbuild says what is missing at the end of a file."""
    if not lines or place.line <= len(lines):
        return place
    return replace(place, line=len(lines), column=len(lines[-1]) + 1, length=1)


def excerpt(lines: Sequence[str], place: Position, *, first: int) -> str:
    """Return the lines around a place with a caret below it; `first` is the number of the first line.

    What looks like a secret is hidden.
    """
    lines = shown_code("\n".join(lines), language=language_of(place.file)).split("\n")
    shown = range(max(1, place.line - 2), min(len(lines), place.line + 1) + 1)
    width = max(3, *(len(str(first + number - 1)) for number in shown)) if shown else 3
    text = []
    for number in shown:
        mark = ">" if number == place.line else " "
        text.append(f"{mark} {first + number - 1:>{width}} | {lines[number - 1]}")
        if number == place.line:
            text.append(f"  {'':>{width}} | {' ' * (place.column - 1)}{'^' * place.length}")
    return "\n".join(text)
