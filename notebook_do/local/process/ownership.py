"""Takes a data directory for one runtime: its lock, its folder for sockets, and no workerd left in it from before.

On Linux the kernel ends a workerd with the process that started it; elsewhere, and should that ever fail, whoever
takes the lock next does. Two workerd processes on one directory would lose acknowledged writes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import TargetError
from notebook_do.local.process.temporary import is_ours, marked_folder, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_PATIENCE = 5.0
_SOCKET_PATH_LIMIT = 70


def locked(path: Path, data: Path) -> int:
    """Take the lock of a data directory; raises TargetError when another process has it."""
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

    A socket's path is limited to about a hundred bytes: where `wanted` is too long it becomes a link to a short one,
    which is marked as used while the descriptor that comes with it is open.
    """
    wanted = wanted.absolute()
    former = wanted.resolve()
    if not wanted.is_symlink() or is_ours(former):  # a link to anywhere else is not one of ours
        reap(str(former))
        shutil.rmtree(former, ignore_errors=True)
    sweep(before=reap)
    wanted.unlink(missing_ok=True)
    if len(str(wanted)) <= _SOCKET_PATH_LIMIT:
        wanted.mkdir(mode=0o700)
        return wanted, None
    short, mark = marked_folder()
    wanted.symlink_to(short)
    return short, mark


def reap(place: str) -> list[int]:
    """Kill every workerd whose configuration lies under `place`; returns when they are gone, with their ids.

    Only call this as the owner of `place`: nobody else may have started a workerd there.
    """
    doomed = [pid for pid, command in _commands() if "workerd" in command and f"{place}/config-" in command]
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and any(f"{place}/config-" in command for _, command in _commands()):
        time.sleep(0.01)
    return doomed


def _commands() -> Iterator[tuple[int, str]]:
    if (_PROC / "self" / "cmdline").exists():
        for path in _PROC.glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                yield int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        return
    listing = subprocess.run(["/bin/ps", "-axo", "pid=,command="], capture_output=True, text=True, check=False)
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command
