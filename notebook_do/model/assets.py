"""Static assets of a Worker: which files, under which paths, and how Cloudflare serves them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from notebook_do.model.declared import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetFile:
    """One file. `path` begins with `/`; `hash` names content and ending; `source` is where it is read from."""

    path: str
    hash: str
    size: int
    source: str = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAssets:
    """All files of a Worker by path, and Cloudflare's `assets.config` for them."""

    files: tuple[AssetFile, ...]
    config: Json = field(default=Json({}))

    @property
    def digest(self) -> str:
        """Name the files and their configuration."""
        text = json.dumps([[f.path, f.hash, f.size] for f in self.files]) + self.config.text
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def asset_hash(content: bytes, path: str) -> str:
    """Name a file by its content and its ending: 32 hex digits, as Cloudflare asks of a client."""
    ending = path.rpartition("/")[2].rpartition(".")[2] if "." in path.rpartition("/")[2] else ""
    return hashlib.sha256(content + b"\0" + ending.encode()).hexdigest()[:32]
