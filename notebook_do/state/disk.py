"""Files that are private and whole: a reader sees the old content or the new, after any crash.

Every failure is a StateError that names the file; an fsync that fails is a failure. Of this a library for atomic writes
would do `os.replace`, which the standard library has; the rest is in which order what is synced, and what is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING

from notebook_do.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST_FILE = 64 * 1024 * 1024
_NO_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC
"""A link that somebody planted must not choose the file; a child process (workerd, esbuild) must not inherit it."""

_NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS))
"""How a file system answers that has no hard links."""


@contextlib.contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError into a StateError that names `path`."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise StateError(
            f"{path}: {doing} failed ({reason}); make room or mend the permissions, "
            "or choose another place with --state PATH."
        ) from None


def private_directory(path: Path) -> None:
    """Make `path` and its missing parents, 0700 each, and refuse a directory that everyone may write."""
    with explained(path, "making the directory"):
        for missing in reversed([p for p in (path, *path.parents) if not p.exists()]):
            with contextlib.suppress(FileExistsError):  # another process made it meanwhile
                missing.mkdir(mode=0o700)
                missing.chmod(0o700)  # mkdir's mode is cut by the umask
            sync_directory(missing.parent)
        mode = path.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise StateError(f"{path} is not a directory; choose another place with --state PATH.")
    if mode & stat.S_IWOTH:  # whoever may write here can put another file in place of ours, whatever its mode
        raise StateError(
            f"{path} can be written by everyone; run chmod o-w on it, or choose another place with --state PATH."
        )


def resolved(path: Path) -> Path:
    """Follow symbolic links once; refuse what is there but is no regular file, a link to nothing included."""
    with explained(path, "resolving"):
        target = path.resolve()
        try:
            mode = target.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            if path.is_symlink():
                raise StateError(
                    f"{path} is a link to {target}, which does not exist; mend or remove the link."
                ) from None
        else:
            if not stat.S_ISREG(mode):
                raise StateError(f"{path} is not a regular file; choose another place with --state PATH.")
    return target


def read(path: Path, *, largest: int = LARGEST_FILE) -> bytes | None:
    """Read a regular file whole; None when it does not exist. Raises StateError for one of more bytes than that."""
    with explained(path, "reading"):
        try:
            # Without O_NONBLOCK opening a FIFO waits for somebody to write into it.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _NO_FOLLOW)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise StateError(f"{path} is not a regular file; choose another place with --state PATH.")
            if facts.st_size > largest:  # before it is in memory
                raise StateError(f"{path} has {facts.st_size} bytes, which no file of ours has; look at what wrote it.")
            return file.read()


def replace(path: Path, content: bytes, *, synced: bool = True) -> None:
    """Put `content` at `path`, 0600: written beside it, synced, renamed over it, the directory synced.

    In this order: a rename that reaches the disk before the content leaves an empty file after a power loss. What is
    not `synced` may be lost or empty then, and is whole after everything else.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with explained(path, "writing"):
        try:
            _write(temporary, os.O_CREAT | os.O_EXCL, content, synced=synced)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first failure is the one to tell
                temporary.unlink()
            raise
        if synced:
            sync_directory(path.parent)


def create(path: Path, content: bytes) -> None:
    """Put `content` at `path`, 0600, where nothing is: all of it or nothing. A link that is there is not followed.

    Raises FileExistsError, and any other OSError as it is: the path is one that a user has named for this.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        _write(temporary, os.O_CREAT | os.O_EXCL, content, synced=True)
        try:
            os.link(temporary, path, follow_symlinks=False)  # a rename would replace what is there
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _write_new(path, content)
    finally:
        with contextlib.suppress(OSError):  # the first failure is the one to tell
            temporary.unlink()
    sync_directory(path.parent)


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that nobody has yet; half of one is removed again."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _NO_FOLLOW, 0o600))
    try:
        _write(path, 0, content, synced=True)
    except BaseException:
        with contextlib.suppress(OSError):  # the first failure is the one to tell
            path.unlink()
        raise


def append(path: Path, content: bytes) -> None:
    """Add `content` to the end of `path` (0600); it is on the disk once that is synced, and with it all before it."""
    with explained(path, "writing"):
        new = not path.exists()
        _write(path, os.O_APPEND | os.O_CREAT, content)
        if new:
            sync_directory(path.parent)


def size(path: Path) -> int:
    """Return how many bytes a file has; none where it does not exist."""
    with explained(path, "reading"):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0


def sync(path: Path) -> None:
    """Return when all that was added to `path` is on the disk. May be called on any thread, several at once."""
    with explained(path, "writing"):
        fd = os.open(path, os.O_RDONLY | _NO_FOLLOW)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def cut(path: Path, size: int) -> None:
    """Shorten `path` to `size` bytes."""
    with explained(path, "shortening"):
        fd = os.open(path, os.O_WRONLY | _NO_FOLLOW)
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)


def remove(path: Path) -> None:
    """Remove a file; nothing is wrong where it is gone already."""
    with explained(path, "removing"):
        path.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that a killed process left beside `path`."""
    with explained(path, "removing leftovers"):
        # Under the lock only: beside a deploy that is running one of them is about to be renamed.
        for leftover in path.parent.glob(f".{path.name}.*.tmp"):
            leftover.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(path: Path, flags: int, content: bytes, *, synced: bool = False) -> None:
    """Write all of `content` into a file that is opened with `flags` (0600), and sync it if that is asked for."""
    fd = os.open(path, os.O_WRONLY | flags | _NO_FOLLOW, 0o600)
    try:
        os.fchmod(fd, 0o600)  # an old file may have another mode
        view = memoryview(content)
        while view:  # a write may take less than it is given, on a full disk for one
            view = view[os.write(fd, view) :]
        if synced:
            os.fsync(fd)
    finally:
        os.close(fd)
