"""The sources of a bundle, as its source map names them: what a person edited, and can read a diff of."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from notebook_do.model import BundledSource

_OUTWARDS = re.compile(r"\A(?:\.\.?[/\\])+")
_PACKAGE = re.compile(r"(?:^|/)node_modules/")


def without_sources(content: bytes, *, folder: Path, root: Path) -> tuple[bytes, tuple[BundledSource, ...]]:
    """Return the source map that is uploaded, and the sources that esbuild wrote into it.

    It has no white space, and paths without what leads out of the entrypoint's `folder`: wrangler cuts that off what it
    sends (`cleanPathPrefix`), so that the export of a bundle is deployed as it is live. The texts stay on this machine.
    """
    found = json.loads(content)
    texts, paths = found.pop("sourcesContent", ()), found["sources"]
    found["sources"] = [_OUTWARDS.sub("", path) for path in paths]
    names = (_name(folder, path, root) for path in paths)
    sources = tuple(
        _source(path, name, text or "") for path, name, text in zip(found["sources"], names, texts, strict=False)
    )
    return json.dumps(found, separators=(",", ":")).encode(), sources


def sources_of(content: bytes) -> tuple[BundledSource, ...]:
    """Return the sources that a live source map carries; nothing where it does not carry all of them."""
    try:
        found: Any = json.loads(content)
        paths, texts = found["sources"], found["sourcesContent"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ()
    if not (isinstance(paths, list) and isinstance(texts, list) and len(paths) == len(texts)):
        return ()
    if not all(isinstance(path, str) and isinstance(text, str) for path, text in zip(paths, texts, strict=True)):
        return ()
    cut = [_OUTWARDS.sub("", path) for path in paths]
    try:
        return tuple(_source(path, path, text) for path, text in zip(cut, texts, strict=True))
    except UnicodeEncodeError:  # half a pair of UTF-16, which JSON can write and no file can hold
        return ()


def _name(folder: Path, path: str, root: Path) -> str:
    """Return the path of a source from the project's root; of one that lies outside, what the map calls it."""
    place = Path(os.path.normpath(folder / path))  # both are resolved; a link in a package is none of the project's
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else _OUTWARDS.sub("", path)


def _source(path: str, name: str, text: str) -> BundledSource:
    content = text.encode()
    # Nobody edits a package: that it is another one is enough, and its text need not be kept in memory.
    kept = None if _PACKAGE.search(path) else text
    return BundledSource(path=path, name=name, text=kept, size=len(content), mark=hashlib.sha256(content).hexdigest())
