"""Which changes of stored objects were sent with a state file: their digests and when, and nothing of what they say.

An approval names a digest, and the same line may be run again at any time, by another kernel too: what stands here is
not sent a second time. Lines are only added, under a lock, each before what it stands for is sent.
"""

from __future__ import annotations

import contextlib
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from notebook_do.state import disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_guard = threading.Lock()


class SentChanges:
    """The record at `path`; a missing one is empty."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, datetime]:
        """Return when each change was sent, by its digest."""
        found: dict[str, datetime] = {}
        for line in (disk.read(self.path) or b"").decode("ascii", "replace").splitlines():
            match line.split():
                case ["sent", digest, at]:
                    # A line that a crash cut short stands for something that was not sent yet.
                    with contextlib.suppress(ValueError):
                        found[digest] = datetime.fromisoformat(at)
                case ["free", digest]:
                    found.pop(digest, None)
        return found

    def take(self, digest: str) -> bool:
        """Write that a change is about to be sent; False where that was written before, by anybody."""
        with self._alone():
            if digest in self.load():
                return False
            self._add(f"sent {digest} {datetime.now(UTC).isoformat(timespec='seconds')}")
        return True

    def free(self, digest: str) -> None:
        """Write that a change was certainly not sent after all."""
        with self._alone():
            self._add(f"free {digest}")

    def _add(self, line: str) -> None:
        whole = (disk.read(self.path) or b"\n").endswith(b"\n")
        disk.append(self.path, f"{'' if whole else chr(10)}{line}\n".encode())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        disk.private_directory(self.path.parent)
        with _guard:
            with disk.explained(self.path, "locking"):
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "rb") as file:
                with contextlib.suppress(ImportError, OSError):  # a folder without locks: only other threads wait
                    import fcntl

                    fcntl.flock(file, fcntl.LOCK_EX)
                yield
