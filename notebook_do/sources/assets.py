"""Reads a Worker's directory of static assets: every file below it by path, with the name of its content.

No link is followed out of the directory of the notebook, which the project is in. Hidden files (but `.well-known`) and
`node_modules` are never assets; `_headers` and `_redirects` are Cloudflare's rules and go up as such; what
`.assetsignore` names stays here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.model import ASSET_CHOICES, AssetFile, Json, StaticAssets, asset_hash
from notebook_do.sources.cells import wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from notebook_do.errors import SourceError
    from notebook_do.model import Worker

MOST_FILES = 20_000
LARGEST_FILE = 25 * 1024 * 1024
"""Cloudflare's limits on a free plan (developers.cloudflare.com/workers/platform/limits)."""
_RULES = ("_headers", "_redirects")
_IGNORE = ".assetsignore"
_NEVER = frozenset({"node_modules"})


def read_assets(worker: Worker, declared: Mapping[str, Any], *, base: str | Path) -> StaticAssets:
    """Read the files that the assets of `worker` name; a relative directory starts at `base`. Raises SourceError."""
    given = Path(declared["directory"]).expanduser()
    root = given if given.is_absolute() else Path(base) / given
    if not root.is_dir():
        raise _wrong(worker, f"{declared['directory']} is no directory in {Path(base).resolve()}.")
    config = {key: declared[key] for key in (*ASSET_CHOICES, "base_path", "run_worker_first") if key in declared}
    config |= {name: _text(worker, text) for name in _RULES if (text := root / name).is_file()}
    found = list(_walk(worker, root, _ignored(worker, root), within=Path(base).resolve()))
    files = tuple(sorted((_file(worker, root, path) for path in found), key=lambda f: f.path))
    if len(files) > MOST_FILES:
        raise _wrong(worker, f"it has {len(files):,} files, more than Cloudflare's {MOST_FILES:,}.")
    return StaticAssets(files=files, config=Json(config))


def _text(worker: Worker, path: Path) -> str:
    """Read a file of rules."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _wrong(worker, f"{path.name} is no UTF-8 text.") from None


def _ignored(worker: Worker, root: Path) -> Callable[[Path], bool]:
    """Return a function that says whether `.assetsignore` names a path.

    The patterns are git's, but wrangler compares them in any case: both sides are made small.
    """
    if not (root / _IGNORE).is_file():
        return lambda _path: False
    from pathspec import GitIgnoreSpec  # only where it is used

    spec = GitIgnoreSpec.from_lines(_text(worker, root / _IGNORE).lower().split("\n"))
    return lambda path: spec.match_file(path.relative_to(root).as_posix().lower())


def _walk(worker: Worker, folder: Path, ignored: Callable[[Path], bool], *, within: Path) -> Iterator[Path]:
    """List the files below a directory that are not ignored; a link that leads out of `within` is refused."""
    stack = [folder]
    while stack:
        for path in sorted(stack.pop().iterdir()):
            hidden = path.name.startswith(".") and path.name != ".well-known"
            rules = path.parent == folder and path.name in _RULES
            if hidden or rules or path.name in _NEVER or ignored(path):
                continue
            # wrangler follows every link. One may lead to any file of this machine, and what goes up is public.
            if path.is_symlink() and not _may_follow(path, within):
                name = path.relative_to(folder)
                raise _wrong(worker, f"{name} is a link, and none is followed out of {within}; put the file there.")
            if path.is_dir():
                stack.append(path)
            elif path.is_file():
                yield path


def _may_follow(link: Path, within: Path) -> bool:
    """Say whether a link stays in the project, and leads to no folder that it is in itself."""
    target = link.resolve()
    inside = any(above.resolve().is_relative_to(target) for above in link.parents)
    return target.is_relative_to(within) and not inside


def _file(worker: Worker, root: Path, path: Path) -> AssetFile:
    name = "/" + path.relative_to(root).as_posix()
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise _wrong(worker, f"{name} has {size / 2**20:.1f} MiB, more than Cloudflare's {LARGEST_FILE // 2**20} MiB.")
    content = path.read_bytes()
    return AssetFile(path=name, hash=asset_hash(content, name), size=len(content), source=str(path.absolute()))


def _wrong(worker: Worker, problem: str) -> SourceError:
    return wrong(worker, f"assets: {problem}")
