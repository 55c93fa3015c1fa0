"""The bytes of R2 objects and parts: files of random names, hashed while they are written."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HASHES = {"0": "md5", "1": "sha1", "2": "sha256", "3": "sha384", "4": "sha512"}
"""The checksums that R2 knows, by their names on the wire."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes in a file that no row names yet."""

    file: str
    size: int
    digests: dict[str, str]


class Files:
    """One folder of files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def store(self, body: BinaryIO, checksums: Iterable[str] = ()) -> Stored:
        """Write the rest of `body` to a new file; its MD5 and the `checksums` asked for are taken on the way."""
        name = secrets.token_hex(16)
        hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in {"md5", *checksums}}
        size = 0
        with (self._folder / name).open("xb") as file:
            while piece := body.read(_CHUNK):
                size += len(piece)
                file.write(piece)
                for one in hashes.values():
                    one.update(piece)
        return Stored(file=name, size=size, digests={kind: one.hexdigest() for kind, one in hashes.items()})

    def join(self, names: Iterable[str]) -> str:
        """Write one new file of several."""
        whole = secrets.token_hex(16)
        with (self._folder / whole).open("xb") as file:
            for name in names:
                with self.open(name) as part:
                    while piece := part.read(_CHUNK):
                        file.write(piece)
        return whole

    def open(self, name: str) -> BinaryIO:
        """Open a file; it can be read to its end even when it is removed meanwhile."""
        return (self._folder / name).open("rb")

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that no row names any more."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def sweep(self, named: set[str]) -> None:
        """Remove every file but those `named`."""
        self.remove(path.name for path in list(self._folder.iterdir()) if path.name not in named)
