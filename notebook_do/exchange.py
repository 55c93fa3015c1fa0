"""Brings live Workers in as cells to paste, and takes declarations out as a wrangler project. Sends no change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.cloudflare.wire import decode_modules
from notebook_do.declare.exporting import wrangler_files
from notebook_do.declare.importing import import_cells
from notebook_do.errors import CommandError
from notebook_do.observe import observe
from notebook_do.plan.mark import alchemy_classes, read_mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from notebook_do.cloudflare.client import Client
    from notebook_do.declare.importing import Imported
    from notebook_do.model import Desired, Observed, Recorded


async def import_workers(client: Client, recorded: Recorded, scripts: Sequence[str]) -> Imported:
    """Write the cells that declare `scripts` (none: all of the account) exactly as they are live, sources included."""
    observed = await observe(client, scripts=scripts or None, settings=True)
    names = list(scripts or [s.name for s in observed.scripts])
    live = {s.name for s in observed.scripts}
    sources = {name: decode_modules(*await client.script_modules(name)) for name in names if name in live}
    return import_cells(observed, names, sources, stable_ids=_known_stable_ids(recorded, observed))


def _known_stable_ids(recorded: Recorded, observed: Observed) -> dict[str, str]:
    """Give the stable ID by namespace id: as the marks on the scripts say, and before them the state file."""
    by_class = {(n.script_name, n.class_name): n.namespace_id for n in observed.namespaces}
    known: dict[str, str] = {}
    for script in observed.scripts:
        mark = read_mark(script.tags)
        for stable_id, class_name in (mark.classes if mark else alchemy_classes(script)).items():
            if (script.name, class_name) in by_class:
                known[by_class[script.name, class_name]] = stable_id
    return known | {n.namespace_id: n.stable_id for n in recorded.namespaces}


async def export_wrangler(client: Client, desired: Desired, recorded: Recorded, directory: Path) -> tuple[Path, ...]:
    """Write one wrangler project a declared Worker below `directory`; gives the files, those unchanged included."""
    if not desired.workers:
        raise CommandError("export: no Worker is declared; run the cells that declare them first.")
    observed = await observe(client, scripts=[w.script_name for w in desired.workers], settings=True)
    return write_files(directory, wrangler_files(desired, recorded, observed))


def write_files(directory: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write files below `directory`; refuses, before the first one, where another content would be overwritten."""
    paths = {directory / name: content for name, content in sorted(files.items())}
    for path, content in paths.items():
        if not path.resolve().is_relative_to(directory.resolve()):
            raise CommandError(f"{path}: a file would be written outside {directory}; nothing was written.")
        if path.exists() and path.read_bytes() != content:
            raise CommandError(f"{path} exists with another content; move it away or name another directory.")
    for path, content in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tuple(paths)
