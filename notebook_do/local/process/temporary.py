"""Short folders outside the data directory, for sockets: each is marked while its server lives, and removed after it.

A server that is killed cannot remove its folder. The next one on this machine does, but only a folder that this
module made, of this user, whose mark nobody holds any more.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX = "notebook-do-"
_NAME = re.compile(rf"{_PREFIX}[a-z0-9_]{{8}}")
_MARK = "in-use"


def marked_folder() -> tuple[Path, int]:
    """Make a folder that is ours as long as this process keeps the descriptor that comes with it."""
    import fcntl  # not on Windows, where `Runtime` says so itself

    folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    mark = os.open(folder / f"{_MARK}.new", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    fcntl.flock(mark, fcntl.LOCK_EX)
    (folder / f"{_MARK}.new").rename(folder / _MARK)  # locked before anybody could look
    return folder, mark


def sweep(before: Callable[[str], object]) -> list[Path]:
    """Remove the folders of servers that are gone, and give them; `before` is called with each one's path."""
    removed = []
    place = Path(tempfile.gettempdir()).resolve()
    for folder in place.glob(f"{_PREFIX}*"):
        if is_ours(folder) and (mark := _left_behind(folder)) is not None:
            before(str(folder))
            shutil.rmtree(folder, ignore_errors=True)
            os.close(mark)
            removed.append(folder)
    return removed


def is_ours(folder: Path) -> bool:
    """Say whether a path is a folder that this module could have made for this user."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return private and _NAME.fullmatch(folder.name) is not None


def _left_behind(folder: Path) -> int | None:
    """Give the held mark of a folder of ours that nobody else holds."""
    import fcntl

    try:
        mark = os.open(folder / _MARK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with contextlib.suppress(OSError):
            os.close(mark)
        return None
    return mark
