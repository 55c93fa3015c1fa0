"""Take a data directory for one runtime: its lock, its folder for sockets, and no workerd left in it from before.

On Linux the kernel ends a workerd with the process that started it; elsewhere, and should that ever fail, whoever
takes the lock next does. Two workerd processes on one directory would lose acknowledged writes. A server that is
killed cannot remove its folder for sockets: the next one on this machine does, but only a folder that this module
made, of this user, whose mark nobody holds any more.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PREFIX = "notebook-do-"
_NAME = re.compile(rf"{_PREFIX}[a-z0-9_]{{8}}")
_MARK = "in-use"
_PROC = Path("/proc")
_PATIENCE = 5.0
# A socket's path has 108 bytes on Linux and 104 on macOS, its end included; an island's sockets lie one folder deeper.
_SOCKET_PATH_LIMIT = 70


def locked(path: Path, data: Path) -> int:
    """Take the lock of a data directory and return its descriptor; raises TargetError when another process has it."""
    import fcntl  # not on Windows, where `Runtime` says so itself

    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise TargetError(
            f"another process runs the local Cloudflare of {data}; use that one, or another directory."
        ) from None
    return lock


def fresh_folder(wanted: Path) -> tuple[Path, int | None]:
    """Make the folder of sockets and configurations, empty and private; nothing that was started in it is left.

    Where `wanted` is too long for the path of a socket it becomes a link to a short folder, which is marked as used
    while the descriptor that comes with it is open. Call this with the lock of the data directory only.
    """
    wanted = wanted.absolute()
    former = wanted.resolve()
    if not wanted.is_symlink() or is_ours(former):  # a link to anywhere else is not one of ours
        reap(str(former))  # before its files go: a workerd is found by the path of its configuration
        shutil.rmtree(former, ignore_errors=True)
    sweep(before=reap)
    wanted.unlink(missing_ok=True)
    if len(str(wanted)) <= _SOCKET_PATH_LIMIT:
        wanted.mkdir(mode=0o700)
        return wanted, None
    short, mark = marked_folder()
    wanted.symlink_to(short)
    return short, mark


def marked_folder() -> tuple[Path, int]:
    """Make a folder that is ours as long as this process keeps the descriptor that comes with it."""
    import fcntl

    folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    mark = os.open(folder / f"{_MARK}.new", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    fcntl.flock(mark, fcntl.LOCK_EX)
    # Locked before it has its name: another server's `sweep` would take an unlocked mark for that of a dead one.
    (folder / f"{_MARK}.new").rename(folder / _MARK)
    return folder, mark


def sweep(before: Callable[[str], object]) -> list[Path]:
    """Remove the folders of servers that are gone, and return them; `before` is called with the path of each."""
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
        found = folder.lstat()  # of the link itself: anybody may put one into the folder of temporary files
    except OSError:
        return False
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return private and _NAME.fullmatch(folder.name) is not None


def _left_behind(folder: Path) -> int | None:
    """Take and return the mark of a folder that nobody holds any more; None where somebody does, or there is none."""
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


def reap(place: str) -> list[int]:
    """Kill every workerd whose configuration lies under `place`; returns when they are gone, with their ids.

    Only call this as the owner of `place`: nobody else may have started a workerd there.
    """
    # By the command line and not by ids kept in a file: an id may belong to another program by now, while the path of
    # a configuration is unique to one start.
    found = _workerds(place)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # not SIGTERM, which never ends one with an open websocket
    deadline = time.monotonic() + _PATIENCE
    while found and time.monotonic() < deadline and _workerds(place):
        time.sleep(0.01)
    return found


def _workerds(place: str) -> list[int]:
    """Return the ids of every workerd whose configuration lies under `place`; an editor that shows one is none."""
    return [pid for pid, command in _commands() if "workerd" in command and f"{place}/config-" in command]


def _commands() -> Iterator[tuple[int, str]]:
    """List (process id, command line) of all processes that this user may see."""
    if (_PROC / "self" / "cmdline").exists():  # not on macOS
        for path in _PROC.glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                yield int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        return
    listing = subprocess.run(["/bin/ps", "-axo", "pid=,command="], capture_output=True, text=True, check=False)
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command
