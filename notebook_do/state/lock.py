"""One deploy at a time: an advisory lock on a file that is never replaced, with a note of who holds it.

The lock is the kernel's (`flock`) and ends with the process, however it ends; the note is for people. It is not on the
state file: a save renames another file over that, and whoever opens it then locks the new one.

Network and synchronised folders refuse locks, or grant every one of them. So it is tried out, once a directory and
process, whether a second process is kept out; where it is not, deploys are refused unless the caller goes on without.
What that cannot show: whether a lock reaches other machines. filelock and portalocker call the same `flock`, and have
neither the note nor this trial, which are what this file is about.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from notebook_do.errors import StateError, StateLocked
from notebook_do.state import disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Locking = Literal["exclusive", "cas-only"]
"""`exclusive` refuses locks that exclude nobody; `cas-only` goes on without, and relies on what is live alone."""
WAY_OUT = "Put the state file on a local disk with --state PATH, or open the session with --lock cas-only."
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
_guard = threading.Lock()
_held: dict[Path, int] = {}
"""Lock file -> descriptor, of the locks that this process holds."""


class NoExclusion(StateError):  # noqa: N818 - what was found
    """Locks do not keep a second deploy out here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the lock. `since` is shown only: how long a lock is held says nothing about its holder's life."""

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
    # For the threads of this process: with `cas-only` nothing else may keep them apart.
    with _guard:
        if path in _held:
            raise StateLocked(
                f"a deploy with this state file is already running in this process ({path}); wait for it to end."
            )
        _held[path] = -1  # reserved: taking the lock may last, and another thread must not begin to
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
    """Return the name of this kernel's notebook, as the front-end gave it; empty where it did not."""
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


def may_be_held(path: Path) -> bool:
    """Say whether a deploy with this lock may be running now, as far as its note tells; takes no lock."""
    holder = holder_of(path)
    if holder is None:
        return False
    if holder.host != socket.gethostname():
        return True
    return is_held(path) if holder.pid == os.getpid() else _alive(holder.pid)


def break_lock(path: Path, lock_id: str) -> str:
    """Release a lock that its holder left behind; return what was done, in words.

    Raises StateLocked while the holder lives on this host. `flock` ends with its process, so a lock can only be left
    behind on another machine, or by a process that hangs.
    """
    holder = holder_of(path)
    if holder is None:
        raise StateError(f"{path}: nobody holds the lock.")
    if holder.lock_id != lock_id:  # the one that a person read about may have ended, and another one come
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
    disk.replace(path, b"")  # the old holder keeps the old file, and is_held says so before its next save
    return f"lock {lock_id} of {holder.host} was broken."


def _acquire(path: Path, locking: Locking) -> int:
    """Return a descriptor that holds the lock at `path`; it never waits."""
    for _ in range(3):
        fd = _open(path)
        try:
            taken = not _try_flock(fd)
            acquired = not taken and _same_file(path, fd)
            if acquired:
                _must_exclude(path)
        except NoExclusion:
            if locking == "cas-only":
                return fd
            os.close(fd)
            raise
        except BaseException:
            os.close(fd)
            raise
        if acquired:
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
    # Inherited by no child (O_CLOEXEC): one that outlives this process would hold the lock on.
    with disk.explained(path, "opening the lock"):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _try_flock(fd: int) -> bool:
    """Take the lock; return False where somebody holds it. Raises NoExclusion where locks cannot be taken at all."""
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
    """Try to take the lock a second time, here and in another process; raises NoExclusion where that works."""
    fd = _open(path)
    try:
        if _try_flock(fd):
            raise NoExclusion(f"{path}: file locks do not exclude anybody on this file system. {WAY_OUT}")
    finally:
        os.close(fd)
    _must_exclude_a_process(path)


def _introduce(path: Path, fd: int) -> Holder:
    """Write the note of who holds the lock, into the locked file itself."""
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
        at_path, locked = path.stat(), os.fstat(fd)
    except OSError:
        return False  # the lock file was removed: whoever comes next would lock another one
    return (at_path.st_dev, at_path.st_ino) == (locked.st_dev, locked.st_ino)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process is alive too
        return True
    return True


# --- the trial with a second process

_SECONDS = 10.0
_TAKEN, _EXCLUDED = 3, 4
_SECOND = f"""
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOFOLLOW)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    os._exit({_EXCLUDED})
os._exit({_TAKEN})
"""
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_proven: set[tuple[int, int]] = set()
"""(device, inode) of the directories where a second process was excluded."""


def _must_exclude_a_process(path: Path) -> None:
    """Let another process try for the lock at `path`, which is held; raises NoExclusion unless it is kept out."""
    facts = path.parent.stat()
    place = facts.st_dev, facts.st_ino
    if place in _proven or not sys.executable:  # an embedded interpreter has no program to start
        return
    match _second_process(path):
        case code if code == _EXCLUDED:
            _proven.add(place)
        case code if code == _TAKEN:
            raise NoExclusion(f"{path}: file locks keep no other process out on this file system. {WAY_OUT}")
        case code:
            raise NoExclusion(f"{path}: whether file locks exclude could not be tried out ({code}). {WAY_OUT}")


def _second_process(path: Path) -> int | str:
    """Return the exit code of a process that tries for the lock, or why it has none; it gets none of our variables."""
    # A program and not a fork: a kernel has threads, of which a fork keeps none, but all of their locks. Without site
    # packages (-I -S) it takes some ms, and no package of the user's runs in it.
    command = [sys.executable, "-I", "-S", "-c", _SECOND, str(path)]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        return subprocess.run(  # noqa: S603 - this interpreter, and a text of ours
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        ).returncode
    except (OSError, subprocess.SubprocessError) as error:
        return type(error).__name__
