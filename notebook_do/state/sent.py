"""Which changes of stored objects were sent with a state file: their digests and when, and nothing of what they say.

An approval names a digest, and the same line may be run again at any time, by another kernel too: what stands here is
not sent a second time. Lines are only added, under a lock: one, on the disk, before what it stands for is sent, and one
when it was. A change with the first alone may have been sent or not.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from notebook_do.errors import StateError
from notebook_do.state import disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_guard = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class SentChange:
    """When a change was begun to be sent; `done` where it is known that it was."""

    at: datetime
    done: bool = False


class SentChanges:
    """The record at `path`; a missing one is empty."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, SentChange]:
        """Return what is known of each change that was begun to be sent, by its digest."""
        found: dict[str, SentChange] = {}
        for line in (disk.read(self.path) or b"").decode("ascii", "replace").splitlines():
            match line.split():
                case ["sent" | "done" as word, digest, at]:
                    # A line that a crash cut short stands for something that was not sent yet.
                    with contextlib.suppress(ValueError):
                        found[digest] = SentChange(at=_time(at), done=word == "done")
                case ["free", digest]:
                    found.pop(digest, None)
        return found

    def take(self, digest: str) -> bool:
        """Write that a change is about to be sent; False where that was written before, by anybody.

        When this returns it is on the disk: else a power loss right after the send would free the approval.
        """
        with self._alone():
            if digest in self.load():
                return False
            self._add(f"sent {digest} {_now()}")
            try:
                disk.sync(self.path)
            except StateError:
                with contextlib.suppress(StateError):  # the first failure is the one to tell
                    self._add(f"free {digest}")
                raise
        return True

    def done(self, digest: str) -> None:
        """Write that a change was sent. What a crash loses of this leaves it as one of which that is not known."""
        with self._alone():
            self._add(f"done {digest} {_now()}")

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
                new = not self.path.exists()
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "rb") as file:
                if new:  # its name must survive a power loss as its lines do
                    disk.sync_directory(self.path.parent)
                with contextlib.suppress(ImportError, OSError):  # a folder without locks: only other threads wait
                    import fcntl

                    fcntl.flock(file, fcntl.LOCK_EX)
                yield


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _time(text: str) -> datetime:
    """Read a time, as UTC where it says no zone. Raises ValueError for what is none."""
    at = datetime.fromisoformat(text)
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:  # a hand wrote a time that UTC has no year for
        return at.replace(tzinfo=UTC)
