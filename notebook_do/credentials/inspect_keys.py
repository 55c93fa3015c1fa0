"""Keeps the keys that requests to inspectors are signed with: each in a file of its own, beside the keys of marks.

A file is named by its public key, which is what is recorded and deployed, so that a new key never writes over the one
that an inspector still knows. The key of a first plan lies beside them under the name of its state file until it is
deployed: the same plan is then made by another process too. NOTEBOOK_DO_INSPECT_KEY has the text of such a file, for
who deployed nothing from here.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from notebook_do.credentials.vault import key_path
from notebook_do.errors import StateError
from notebook_do.inspector.signing import SigningKey, fingerprint
from notebook_do.state import disk

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "NOTEBOOK_DO_INSPECT_KEY"


def file_of(public: str) -> Path:
    """Return where the private key to a public one is, or would be."""
    return key_path(f"inspect-{fingerprint(public)}")


def held(public: str) -> SigningKey | None:
    """Return the private key to a deployed public one; None where neither the variable nor a file here has it."""
    for read in (_given, lambda: _read(file_of(public))):
        if (key := read()) is not None and key.public == public:
            return key
    return None


def waiting(state: Path) -> SigningKey:
    """Return the key that the next inspector of a state file gets: that of the variable, or one that waits for it.

    Makes and writes one where there is none, so that every plan until the deploy has the same.
    """
    place = _place(state)
    if (key := _given() or _read(place)) is None:
        key = SigningKey.made()
        _write(place, key)
    return key


def forget_waiting(state: Path) -> None:
    """Let go of the key that waited, once it is deployed or is not wanted."""
    disk.remove(_place(state))


def keep(key: SigningKey) -> None:
    """Write a key under its own name, before anything that knows it is sent."""
    if _read(place := file_of(key.public)) is None:
        _write(place, key)


def _place(state: Path) -> Path:
    return key_path(f"inspect-next-{hashlib.sha256(str(state).encode()).hexdigest()[:16]}")


def _given() -> SigningKey | None:
    # No name for the text here and below: what is shown of an error may have the variables of its frames.
    if not os.environ.get(VARIABLE):
        return None
    return SigningKey.of_text(os.fsencode(os.environ[VARIABLE]), f"the environment variable {VARIABLE}")


def _read(path: Path) -> SigningKey | None:
    found = [text for text in (disk.read(path),) if text is not None]
    return SigningKey.of_text(found.pop(), str(path)) if found else None


def _write(path: Path, key: SigningKey) -> None:
    try:
        disk.private_directory(path.parent)
        disk.replace(path, key.text() + b"\n")
    except StateError:
        raise StateError(
            f"{path}: the key of the inspector cannot be written, and nothing was sent; "
            "set NOTEBOOK_DO_KEYS to a private directory."
        ) from None
