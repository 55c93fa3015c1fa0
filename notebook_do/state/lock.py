"""One deploy at a time: an advisory lock on a file that is never replaced, with a note of who holds it.

The lock is the kernel's (`flock`) and ends with the process, however it ends; the note is for people. A lock that
does not exclude (some network and synchronised folders) is found out and refused, unless the caller goes on without.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from notebook_do.errors import StateError, StateLocked
from notebook_do.state import disk
from notebook_do.state.exclusion import WAY_OUT, NoExclusion, must_exclude_a_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from notebook_do.state.exclusion import Locking

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
_guard = threading.Lock()
_held: dict[Path, int] = {}
"""Lock file -> descriptor, of the locks that this process holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the lock. `since` is display only."""

    lock_id: str
    pid: int
    host: str
    notebook: str
    since: str

    def __str__(self) -> str:
        notebook = f", notebook {self.notebook}" if self.notebook else ""
        return f"process {self.pid} on {self.host}{notebook}, since {self.since} (lock {self.lock_id})"


@contextlib.contextmanager
def hold(path: Path, locking: Locking = "exclusive") -> Iterator[Holder]:
    """Hold the lock at `path`; raises StateLocked at once when somebody else does, another thread included.

    Raises NoExclusion where locks keep nobody out; with `cas-only` that is passed over, and only threads are kept out.
    """
    with _guard:
        if path in _held:
            raise StateLocked(
                f"a deploy with this state file is already running in this process ({path}); wait for it to end."
            )
        _held[path] = -1
    try:
        fd = _acquire(path, locking)
    except BaseException:
        with _guard:
            del _held[path]
        raise
    try:
        _held[path] = fd
        holder = _introduce(path, fd)
        yield holder
    finally:
        with _guard:
            del _held[path]
        with contextlib.suppress(OSError):  # the note is only for people; closing is what releases
            os.ftruncate(fd, 0)
        os.close(fd)


def notebook() -> str:
    """Name the notebook of this kernel, as the front-end told it; empty where it did not."""
    return os.environ.get("JPY_SESSION_NAME", "")


def is_held(path: Path) -> bool:
    """Say whether this process holds the lock at `path`, and nobody has broken it."""
    fd = _held.get(path, -1)
    return fd >= 0 and _same_file(path, fd)


def holder_of(path: Path) -> Holder | None:
    """Read the note of who holds the lock; None when there is none or it is not readable yet."""
    content = disk.read(path) or b""
    with contextlib.suppress(ValueError, TypeError, RecursionError):  # a note that is being written
        note = json.loads(content)
        return Holder(**note)
    return None


def break_lock(path: Path, lock_id: str) -> str:
    """Release a lock that its holder left behind; says what was done. Refuses while the holder lives on this host."""
    holder = holder_of(path)
    if holder is None:
        raise StateError(f"{path}: nobody holds the lock.")
    if holder.lock_id != lock_id:
        raise StateError(f"{path}: the lock is {holder.lock_id}, not {lock_id}; it is held by {holder}.")
    fd = _open(path)
    try:
        if _try_flock(fd):
            os.ftruncate(fd, 0)
            return f"lock {lock_id} was free already: its holder is gone."
    finally:
        os.close(fd)
    if holder.host == socket.gethostname() and _alive(holder.pid):
        raise StateLocked(f"{path}: {holder} is alive; end that process instead.")
    disk.replace(path, b"")  # the old holder keeps the old file, and is_held tells it so
    return f"lock {lock_id} of {holder.host} was broken."


def _acquire(path: Path, locking: Locking) -> int:
    for _ in range(3):
        fd = _open(path)
        try:
            taken = not _try_flock(fd)
            ours = not taken and _same_file(path, fd)
            if ours:
                _must_exclude(path)
        except NoExclusion:
            if locking == "cas-only":
                return fd
            os.close(fd)
            raise
        except BaseException:
            os.close(fd)
            raise
        if ours:
            return fd
        os.close(fd)
        if taken:
            raise _taken(path)
        # the lock was broken between open and flock: the file at `path` is another one now
    raise StateLocked(f"{path}: the lock file changes all the time; look at who replaces it.")


def _taken(path: Path) -> StateLocked:
    holder = holder_of(path) or "a process that has just begun"
    return StateLocked(f"another deploy is running with this state file ({path.parent}): {holder}; wait for it to end.")


def _open(path: Path) -> int:
    with disk.explained(path, "opening the lock"):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _try_flock(fd: int) -> bool:
    try:
        import fcntl
    except ImportError:
        raise StateError("state files need POSIX file locks; on Windows, run the notebook inside WSL.") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        what = (
            "has no file locks" if error.errno in _NO_LOCKS else f"refused the lock ({os.strerror(error.errno or 0)})"
        )
        raise NoExclusion(
            f"the file system of the state file {what}; two deploys could run at once. {WAY_OUT}"
        ) from None
    return True


def _must_exclude(path: Path) -> None:
    """Try to take the lock a second time, here and in another process: where that works, locks are a pretence."""
    fd = _open(path)
    try:
        if _try_flock(fd):
            raise NoExclusion(f"{path}: file locks do not exclude anybody on this file system. {WAY_OUT}")
    finally:
        os.close(fd)
    must_exclude_a_process(path)


def _introduce(path: Path, fd: int) -> Holder:
    holder = Holder(
        lock_id=secrets.token_hex(4),
        pid=os.getpid(),
        host=socket.gethostname(),
        notebook=notebook(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with disk.explained(path, "writing the lock's note"):
        os.fchmod(fd, 0o600)
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(asdict(holder)).encode(), 0)
    return holder


def _same_file(path: Path, fd: int) -> bool:
    try:
        there, ours = path.stat(), os.fstat(fd)
    except OSError:
        return False  # the lock file was removed: whoever comes next would lock another one
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
