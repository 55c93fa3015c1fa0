"""Looks at the sources of declarations before any plan: as soon as a cell declares one, and without a download.

Nothing is claimed where esbuild is not there, of Python, or of a source that passes on what another file exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from notebook_do.model import Worker, not_exported
from notebook_do.sources.cells import in_cell
from notebook_do.sources.esbuild import BundleFailed, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.model import Declaration
    from notebook_do.model.building import NotExported
    from notebook_do.sources.esbuild import Parsed


def check_source(item: Declaration) -> None:
    """Raise SourceError, with the cell's line and the lines around it, for a source that cannot be parsed.

    Files are left to the plan: they may change, or be written, before it is made.
    """
    if isinstance(item, Worker):
        try:
            _parsed(item)
        except BundleFailed as failed:
            raise in_cell(item, failed) from None


class Mistake(NamedTuple):
    """A class that is not exported, and the id of the Worker whose source lacks it."""

    worker: str
    lacking: NotExported


Places = Mapping[str, tuple[str, str]]


def mistakes(workers: Mapping[str, Worker], places: Places, scripts: Mapping[str, str]) -> Iterator[Mistake]:
    """Yield the namespaces whose class the source of their Worker, which stands in a cell, does not export.

    `places` has script and class of the namespaces by stable ID, `scripts` the script names by Worker id.
    """
    by_script: dict[str, list[tuple[str, str]]] = {}
    for stable, (script, class_) in places.items():
        by_script.setdefault(script, []).append((stable, class_))
    for id_, worker in workers.items():
        try:
            found = _parsed(worker)
        except BundleFailed:
            continue
        needed = by_script.get(scripts[id_], [])
        yield from (Mistake(id_, one) for one in not_exported(needed, found.exports if found else None))


def _parsed(worker: Worker) -> Parsed | None:
    if worker.script is None or worker.lang == "py":
        return None
    return parsed(worker.script.encode(), lang=worker.lang, only_there=True)
