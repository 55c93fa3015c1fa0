"""Finds out whether file locks exclude anybody where a lock file is, by a second process that tries to take a held one.

Network and synchronised folders refuse locks, or grant every one of them. It is asked once a directory and process.
What it cannot show: whether a lock reaches other machines.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Literal

from notebook_do.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

Locking = Literal["exclusive", "cas-only"]
"""`exclusive` refuses locks that exclude nobody; `cas-only` goes on without, and relies on what is live alone."""

WAY_OUT = "Put the state file on a local disk with --state PATH, or open the session with --lock cas-only."
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


class NoExclusion(StateError):  # noqa: N818 - what was found
    """Locks do not keep a second deploy out here."""


def must_exclude_a_process(path: Path) -> None:
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
    """Give the exit code of a process that tries for the lock, or why it has none. It gets no secret of ours."""
    command = [sys.executable, "-I", "-S", "-c", _SECOND, str(path)]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        return subprocess.run(  # noqa: S603 - this interpreter, and a text of ours
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        ).returncode
    except (OSError, subprocess.SubprocessError) as error:
        return type(error).__name__
