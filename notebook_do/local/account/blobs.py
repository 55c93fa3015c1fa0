"""The bytes of modules and assets: on their way in, and under their digest, never under a name that a user wrote.

They are on the disk before any record refers to them, and stay as long as an upload that needs them is under way.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


class IncomingFile:
    """One part of an upload on its way to the disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._digest = hashlib.sha256()
        # O_EXCL: a planted link of the same name is never followed.
        self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._digest.update(data)
        self._file.write(data)
        self.size += len(data)

    def finish(self) -> str:
        """Bring the bytes to the disk and return their digest."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Remove the file; one that was kept meanwhile has another name."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Incoming:
    """What one upload under way needs: nobody else's failure or deletion removes it meanwhile."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.digests: set[str] = set()

    def hold(self, digests: Iterable[str]) -> None:
        """Hold contents that were kept before, by another upload or another version."""
        self.digests.update(digests)

    def keep(self, file: IncomingFile) -> str:
        """Move a received file to its lasting name; returns the digest."""
        digest = self._blobs.keep(file)
        self.digests.add(digest)
        return digest

    def store(self, content: bytes) -> str:
        """Keep bytes that are in memory already."""
        digest = self._blobs.store(content)
        self.digests.add(digest)
        return digest


class Blobs:
    """The directory of module contents, `modules/<first two hex digits>/<digest>`."""

    def __init__(self, data: Path) -> None:
        self._root, self._incoming = data / "modules", data / "incoming"
        self._under_way: list[Incoming] = []
        for directory in (self._root, self._incoming):
            directory.mkdir(mode=0o700, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return the file of one content."""
        return self._root / digest[:2] / digest

    def receive(self) -> IncomingFile:
        """Begin a file whose digest is not known yet."""
        return IncomingFile(self._incoming / secrets.token_hex(16))

    def keep(self, incoming: IncomingFile) -> str:
        """Move a received file to its lasting name; returns the digest."""
        digest = incoming.finish()
        path = self.path(digest)
        if path.exists():
            incoming.discard()
            return digest
        path.parent.mkdir(mode=0o700, exist_ok=True)
        incoming.path.rename(path)
        _sync_directory(path.parent)  # the new name, and the name of its folder, which may be new as well
        _sync_directory(self._root)
        return digest

    def store(self, content: bytes) -> str:
        """Keep bytes that are in memory already."""
        digest = hashlib.sha256(content).hexdigest()
        if self.path(digest).exists():
            return digest
        incoming = self.receive()
        incoming.write(content)
        return self.keep(incoming)

    def sweep(self, wanted: Iterable[str], *, incoming: bool = False) -> int:
        """Remove contents that no record refers to, and with `incoming` half-received files; returns how many.

        Only while no upload is under way.
        """
        keep = set(wanted)
        unknown = [path for path in self._root.glob("*/*") if path.name not in keep]
        gone = [*unknown, *(self._incoming.iterdir() if incoming else ())]
        for path in gone:
            path.unlink()
        return len(gone)

    @contextmanager
    def incoming(self, is_referred: Callable[[str], bool]) -> Iterator[Incoming]:
        """Let an upload keep contents; in the end those go again that no record refers to, as after a failure."""
        incoming = Incoming(self)
        self._under_way.append(incoming)
        try:
            yield incoming
        finally:
            self._under_way.remove(incoming)
            self.drop(digest for digest in incoming.digests if not is_referred(digest))

    def drop(self, digests: Iterable[str]) -> None:
        """Remove contents that no record refers to any more, but for those that an upload under way holds."""
        held = {digest for incoming in self._under_way for digest in incoming.digests}
        for digest in digests:
            if digest not in held:
                self.path(digest).unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
