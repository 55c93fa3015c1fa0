"""Static assets of a Worker: which files, under which paths, and how Cloudflare serves them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.errors import nearest
from notebook_do.model.declared import Json

if TYPE_CHECKING:
    from collections.abc import Mapping

ASSET_CHOICES: Mapping[str, tuple[str, ...]] = {
    "html_handling": ("auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"),
    "not_found_handling": ("none", "404-page", "single-page-application"),
}
_KEYS = ("directory", "binding", *ASSET_CHOICES, "base_path", "run_worker_first")


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


def assets_problem(value: Any) -> str | None:
    """Return in one line what is wrong with declared assets; None for good ones. Reads no file."""
    if not isinstance(value, dict) or not isinstance(value.get("directory"), str) or not value["directory"]:
        return f"assets must be a table with a directory, not {value!r}."
    for key, setting in value.items():
        if key not in _KEYS:
            return f"assets has no {key}; {nearest(key, _KEYS)}"
        if key in ASSET_CHOICES and setting not in ASSET_CHOICES[key]:
            return f"{key} of assets {setting!r}: {nearest(str(setting), ASSET_CHOICES[key])}"
    if not isinstance(value.get("binding", ""), str):
        return f"binding of assets must be a name, not {value['binding']!r}."
    if not isinstance(value.get("base_path", ""), str):
        return f"base_path of assets must be a path such as '/docs', not {value['base_path']!r}."
    first = value.get("run_worker_first", False)
    if isinstance(first, bool):
        return None
    if not isinstance(first, list) or not all(
        isinstance(p, str) and p.removeprefix("!").startswith("/") for p in first
    ):
        return f"run_worker_first of assets must be true, false or a list of paths such as '/api/*', not {first!r}."
    return None
