"""The key under which secrets are marked: random, one for each state file, and not beside it.

It lies in the user's own state directory (or NOTEBOOK_DO_KEYS), so that whoever gets the project, its backups or its
repository has marks and no key. A lost key loses nothing: each secret is then set once more.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from notebook_do.errors import StateError
from notebook_do.state import disk

_BYTES = 32


def key_path(lineage: str) -> Path:
    """Say where the key of a state file's lineage is, or would be."""
    if given := os.environ.get("NOTEBOOK_DO_KEYS"):
        return Path(given) / f"{lineage}.key"
    import platformdirs

    return Path(platformdirs.user_state_dir("notebook_do", appauthor=False)) / "keys" / f"{lineage}.key"


def load_key(lineage: str) -> bytes | None:
    """Read the key; None where this user of this machine never made one."""
    path = key_path(lineage)
    key = disk.read(path)
    if key is not None and len(key) != _BYTES:
        raise StateError(f"{path} is no key of ours; remove it: each secret is then set once more.")
    return key


def make_key(lineage: str) -> bytes:
    """Read the key, or make it: 0600 in a 0700 directory. The state's lock must be held."""
    if (key := load_key(lineage)) is None:
        key, path = secrets.token_bytes(_BYTES), key_path(lineage)
        try:
            disk.private_directory(path.parent)
            disk.replace(path, key)
        except StateError:
            raise StateError(
                f"{path}: the key for marking secrets cannot be written, and nothing was sent; "
                "set NOTEBOOK_DO_KEYS to a private directory."
            ) from None
    return key
