"""Looks at the sources of declarations before any plan: as soon as a cell declares one, and without a download.

Nothing is claimed where esbuild is not there, of Python, or of a source that passes on what another file exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from notebook_do.model import Resource, Worker
from notebook_do.model.building import NeededClass, by_script, needed_classes, not_exported
from notebook_do.sources.cells import in_cell
from notebook_do.sources.esbuild import BundleFailed, parsed
from notebook_do.toolchain import has_esbuild

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.errors import SourceError
    from notebook_do.model import Declaration, Desired
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
            raise in_cell(item, failed, here=True) from None


class Mistake(NamedTuple):
    """What a source lacks, or why it cannot be parsed, and the id of its Worker."""

    worker: str
    lacking: NotExported | None = None
    error: SourceError | None = None


Places = Mapping[str, tuple[str, str]]


def mistakes(
    workers: Mapping[str, Worker], places: Places, scripts: Mapping[str, str], former: Mapping[str, tuple[str, ...]]
) -> Iterator[Mistake]:
    """Yield what a plan would be refused for of the sources that stand in cells.

    `places` has script and class of the namespaces by stable ID, `scripts` the script names by Worker id, `former` the
    classes that a namespace had before.
    """
    hosted: dict[str, list[NeededClass]] = {}
    for stable, (host, class_) in places.items():
        one = NeededClass(kind="namespace", subject=stable, class_name=class_, former=former.get(stable, ()))
        hosted.setdefault(host, []).append(one)
    for id_, worker in workers.items():
        try:
            found = _parsed(worker)
        except BundleFailed as failed:
            yield Mistake(id_, error=in_cell(worker, failed))
            continue
        needed = [*hosted.get(scripts[id_], ()), *_workflows(worker)]
        yield from (Mistake(id_, lacking=lack) for lack in not_exported(needed, found.exports if found else None))


def _workflows(worker: Worker) -> Iterator[NeededClass]:
    values = (v.fields.value for v in worker.bindings.values() if isinstance(v, Resource) and v.type == "workflow")
    for fields in values:
        if fields.get("class_name") and not fields.get("script_name"):
            yield NeededClass(kind="workflow", subject=str(fields["workflow_name"]), class_name=fields["class_name"])


def lacking_exports(desired: Desired, former: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, NotExported]]:
    """Yield by Worker id what the sources lack that were read."""
    hosted = by_script(desired.namespaces)
    for worker in desired.workers:
        needed = needed_classes(worker, hosted.get(worker.script_name, ()), former)
        for one in not_exported(needed, worker.exports):
            yield worker.id, one


def can_be_checked(worker: Worker) -> bool:
    """Return whether a source can be read without fetching esbuild."""
    return has_esbuild() or worker.lang == "py" or bool(worker.modules)


def exports_of(worker: Worker) -> tuple[str, ...] | None:
    """Return what a source that stands in a cell exports; None where that cannot be told, or not without a download."""
    try:
        found = _parsed(worker)
    except BundleFailed:
        return None
    return found.exports if found else None


def _parsed(worker: Worker) -> Parsed | None:
    if worker.script is None or worker.lang == "py":
        return None
    return parsed(worker.script.encode(), lang=worker.lang, only_there=True)
