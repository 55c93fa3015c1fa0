"""The file that holds the API token: used only where nobody else could have written or read it."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from notebook_do.errors import TargetError

if TYPE_CHECKING:
    from pathlib import Path

_TOKEN = re.compile(r"[0-9a-f]{64}\n?")
_MOST = 4096


def read_token(path: Path) -> str:
    """Give the token in `path`; raises TargetError, which says why the file is not used and what to do."""
    text, why = _read(path)
    if why:
        raise TargetError(
            f"the token file {path} is not used: it {why}; end this local Cloudflare (notebook-do local stop) "
            "and start it again: it then makes a token of its own."
        )
    return text


def is_sound(path: Path) -> bool:
    """Say whether `path` holds a token that only its owner can read."""
    return not _read(path)[1]


def _read(path: Path) -> tuple[str, str]:
    """Give the token, or why there is none to be used."""
    try:
        # Not blocking: what lies there may be a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return "", "is a symbolic link" if path.is_symlink() else f"cannot be read ({error.strerror})"
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return "", "is no ordinary file"
        if found.st_uid != os.getuid():
            return "", "belongs to another user"
        if found.st_mode & 0o077:
            return "", "can be read or changed by other users"
        text = os.read(descriptor, _MOST).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    if not text.strip():
        return "", "is empty"
    return (text.strip(), "") if _TOKEN.fullmatch(text) else ("", "does not hold a token")
