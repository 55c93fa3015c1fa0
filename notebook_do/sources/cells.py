"""Says what is wrong with a source as an error of the declaration: with the cell's line, and the lines around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.model import Worker
    from notebook_do.sources.esbuild import BundleFailed, Position


def wrong(worker: Worker, message: str, *, line: int | None = None) -> SourceError:
    """Return an error of a Worker's source; without a line it is at the declaration."""
    return SourceError(f"Worker {worker.id}: {message}", line=line or (worker.where.line if worker.where else None))


def in_cell(worker: Worker, failed: BundleFailed) -> SourceError:
    """Return an error of a source that stands in a cell: with the cell's line, and the lines around it."""
    place, body = failed.place, worker.where.body_line if worker.where else None
    # A file that the cell imports is named by its path; its lines are not the cell's.
    if place is None or not place.file.startswith("index.") or "/" in place.file:
        return wrong(worker, failed.text)
    first = body or 1
    error = wrong(worker, failed.text, line=body + place.line - 1 if body is not None else None)
    error.excerpt = excerpt((worker.script or "").splitlines(), place, first=first)
    return error


def excerpt(lines: Sequence[str], place: Position, *, first: int) -> str:
    """Return the lines around a place with a caret below it; `first` is the number of the first line."""
    shown = range(max(1, place.line - 2), min(len(lines), place.line + 1) + 1)
    width = max(3, *(len(str(first + number - 1)) for number in shown)) if shown else 3
    text = []
    for number in shown:
        mark = ">" if number == place.line else " "
        text.append(f"{mark} {first + number - 1:>{width}} | {lines[number - 1]}")
        if number == place.line:
            text.append(f"  {'':>{width}} | {' ' * (place.column - 1)}{'^' * place.length}")
    return "\n".join(text)
