"""The directories of the static assets that processes serve, made of links to what the account keeps."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.local.runtime.spec import RunnableWorker, StaticSite

_DIGEST = re.compile(r"[0-9a-f]{32}")
_LONGEST_NAME = 255


def is_plain(path: str) -> bool:
    """Say whether the path of a static asset can be a file below any directory, and never leaves it."""
    names = path.split("/")
    return names[0] == "" and len(names) > 1 and all(map(_is_name, names[1:]))


def _is_name(name: str) -> bool:
    try:
        length = len(name.encode())
    except UnicodeEncodeError:  # half a character
        return False
    return name not in {"", ".", ".."} and "\0" not in name and length <= _LONGEST_NAME


async def make_sites(workers: Iterable[RunnableWorker], root: Path | None) -> None:
    """Make the directories below `root` that hold the static assets of `workers`, where they are not there already.

    A directory is named by its content, and complete before it has that name: Workers and versions share it.
    """
    for worker in workers:
        if worker.assets is not None and root is not None:
            await asyncio.to_thread(_make_site, worker.assets, root)


def _make_site(site: StaticSite, root: Path) -> None:
    """Make one directory of links. A path that is not plain, as an older upload may have one, gets no file."""
    folder = root / site.digest
    if folder.exists():
        return
    root.mkdir(mode=0o700, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=root))
    for path, content in site.files.items():
        if is_plain(path):
            place = fresh / path[1:]
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(content, place)
    try:
        fresh.rename(folder)
    except OSError:  # another start was faster, and made the same
        shutil.rmtree(fresh)


def _link(content: Path, place: Path) -> None:
    """Link a file; copy it where the disk has no hard links, or too many to one file already."""
    try:
        os.link(content, place)
    except FileNotFoundError:
        raise  # the content is gone: a copy would fail as well
    except OSError:
        shutil.copy2(content, place)  # with its time: workerd makes it a part of the ETag


def sweep_sites(root: Path, workers: Iterable[RunnableWorker] | None = None) -> None:
    """Remove the directories that none of `workers` serves; without `workers` all, unfinished ones too."""
    keep = None if workers is None else {worker.assets.digest for worker in workers if worker.assets}
    for folder in root.iterdir() if root.exists() else ():
        if keep is None or (_DIGEST.fullmatch(folder.name) and folder.name not in keep):
            shutil.rmtree(folder, ignore_errors=True)
