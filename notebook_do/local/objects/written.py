"""When each object was last written: the clock of its files, put right where workerd moves it.

workerd writes to the `-wal` beside an object's file, and copies that into the file when it closes the object: ten
seconds after its last use, or with its process. The file would then say when the object was closed, which may be an
hour after its last write. So while a process runs its objects' `-wal` are looked at more often than that, and what they
said is what the file says once they are gone. A process that is killed leaves its `-wal`, which tells by itself.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERY = 4.0
"""Seconds between two looks: less than half of what an object stays open for without a request."""
_WAL = "-wal"


class Written:
    """What the `-wal` of open objects said last, by the file beside them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._said: dict[Path, int] = {}
        self._looking = Lock()

    def look(self, folders: Iterable[Path]) -> None:
        """Note when the open objects in these folders were written, and put right the files of those closed since."""
        with self._looking:
            for folder in folders:
                self._look(folder)

    def _look(self, folder: Path) -> None:
        now = dict[Path, int]()
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
            for entry in found:
                if entry.name.endswith(_WAL):
                    with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                        now |= _written(Path(entry.path.removesuffix(_WAL)), entry.stat())
        for path in [one for one in self._said if one.parent == folder and one not in now]:
            _set(path, self._said.pop(path))
        self._said |= now

    def last(self, path: Path) -> float:
        """Return when the object with this file was last written, as Unix time. Raises OSError where it is gone."""
        # An empty `-wal` only says that somebody opened the file.
        with contextlib.suppress(FileNotFoundError):
            for at in _written(path, path.with_name(path.name + _WAL).stat()).values():
                return at / 1e9
        with self._looking:  # closed since the last look: the file is not put right yet
            said = self._said.get(path)
        at = path.stat().st_mtime_ns
        return min(at, at if said is None else said) / 1e9


def _written(path: Path, wal: os.stat_result) -> dict[Path, int]:
    return {path: wal.st_mtime_ns} if wal.st_size else {}


def _set(path: Path, at: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        found = path.stat()
        if found.st_mtime_ns > at:
            os.utime(path, ns=(found.st_atime_ns, at))
