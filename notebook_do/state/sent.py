"""Which changes of stored objects were sent with a state file: their digests and when, and nothing of what they say.

An approval names a digest, and the same line may be run again at any time, by another kernel too: what stands here is
not sent a second time. Lines are added under a lock: one, on the disk, before what it stands for is sent, and one when
it was. A change with the first alone may have been sent or not.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from notebook_do.errors import StateError
from notebook_do.state import disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHORT, _LARGEST = 1024 * 1024, 1024 * 1024 * 1024
"""Bytes: from when on what a record need not say is taken out, and what is none of ours."""
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
        for line in self._read().decode("ascii", "replace").splitlines():
            match line.split():
                case ["sent" | "done" as word, digest, at]:
                    # A line that a crash cut short stands for something that was not sent yet.
                    with contextlib.suppress(ValueError):
                        found[digest] = SentChange(at=_time(at), done=word == "done")
                case ["free", digest]:
                    found.pop(digest, None)
        return found

    def id(self) -> str:
        """Return 32 hexadecimal digits of this record alone; written to it the first time.

        The digest of what leaves nothing behind rests on it: where the record is lost, that it was sent is not known,
        and an approval of it is of another record. One that cannot be written is another one each time.
        """
        if known := self._id():
            return known
        with contextlib.suppress(StateError), self._alone():
            if not (known := self._id()):
                self._add(f"record {secrets.token_hex(16)}")
                disk.sync(self.path)
        return self._id() or secrets.token_hex(16)

    def _id(self) -> str:
        lines = (line.split() for line in self._read().decode("ascii", "replace").splitlines())
        return next((words[1] for words in lines if words[:1] == ["record"] and len(words) == 2), "")

    def take(self, digest: str) -> bool:
        """Write that a change is about to be sent; False where that was written before, by anybody.

        When this returns it is on the disk: else a power loss right after the send would free the approval.
        """
        with self._alone() as locked:
            if digest in (known := self.load()):
                return False
            if locked:
                self._shorten(known)
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
        whole = (self._read() or b"\n").endswith(b"\n")
        disk.append(self.path, f"{'' if whole else chr(10)}{line}\n".encode())

    def _read(self) -> bytes:
        return disk.read(self.path, largest=_LARGEST) or b""

    def _shorten(self, known: dict[str, SentChange]) -> None:
        """Leave one line of each change, where that is much less than there is: no change is forgotten."""
        if disk.size(self.path) <= max(_SHORT, 72 * len(known)):  # half as much again as the lines need
            return
        lines = (f"{'done' if one.done else 'sent'} {digest} {one.at.isoformat()}\n" for digest, one in known.items())
        own = f"record {known_id}\n" if (known_id := self._id()) else ""
        disk.replace(self.path, "".join([own, *lines]).encode())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Keep others out; gives whether that holds for other processes too."""
        disk.private_directory(self.path.parent)
        with _guard:
            with disk.explained(self.path, "locking"):
                file = self._opened()
                while (locked := _lock(file)) and not self._is(file):  # another process shortened it meanwhile
                    file.close()
                    file = self._opened()
            with file:
                yield locked

    def _opened(self) -> BinaryIO:
        new = not self.path.exists()
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if new:  # its name must survive a power loss as its lines do
            disk.sync_directory(self.path.parent)
        return os.fdopen(fd, "rb")

    def _is(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat(follow_symlinks=False))
        except FileNotFoundError:
            return False


def _lock(file: BinaryIO) -> bool:
    """Wait until no other process has it; False in a folder without locks, where only other threads wait."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    except (ImportError, OSError):
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _time(text: str) -> datetime:
    """Read a time, as UTC where it says no zone. Raises ValueError for what is none."""
    at = datetime.fromisoformat(text)
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:  # a hand wrote a time that UTC has no year for
        return at.replace(tzinfo=UTC)
