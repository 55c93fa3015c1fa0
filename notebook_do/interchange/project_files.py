"""Finds the wrangler configurations of a project: of one file, or of a folder and all folders below it.

As wrangler does, `wrangler.json` goes before `wrangler.jsonc`, and that before `wrangler.toml`; where a build tool has
left `.wrangler/deploy/config.json`, the configurations that it names are read in place of the one beside it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError
from notebook_do.interchange.configuration import read_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("wrangler.json", "wrangler.jsonc", "wrangler.toml")
REDIRECT = Path(".wrangler", "deploy", "config.json")
_NEVER = frozenset({"node_modules", "__pycache__"})
_REDIRECTED = frozenset({"configPath", "auxiliaryWorkers", "prerenderWorkerConfigPath"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFile:
    """One configuration: its path as a person here would write it, its folder, and what it says."""

    place: str
    folder: Path
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The configurations of a project, and what of it was not read, a line each."""

    files: tuple[ProjectFile, ...]
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A configuration that was found; `followed`: a build tool named it."""

    file: Path
    followed: bool = False


def read_project(path: Path) -> Project:
    """Read the configurations of a file or folder; raises CommandError where there is none, or one cannot be read."""
    path = path.expanduser()
    if path.is_file():
        return _read([_Found(file=path, followed=True)], [])
    if not path.is_dir():
        raise CommandError(f"import: there is no file or folder {path}; name one of {', '.join(NAMES)}, or its folder.")
    notes: list[str] = []
    found = [one for folder in _folders(path) for one in _of_folder(folder, notes)]
    if not found:
        raise CommandError(f"import: {path} has none of {', '.join(NAMES)}, nor has a folder below it.")
    return _read(found, notes)


def _folders(top: Path) -> Iterator[Path]:
    """Yield a folder and all below it, in order; hidden ones, those of packages and links are left out."""
    for where, names, _ in os.walk(top):
        names[:] = sorted(n for n in names if n not in _NEVER and not n.startswith("."))
        yield Path(where)


def _of_folder(folder: Path, notes: list[str]) -> list[_Found]:
    """Return the configurations that wrangler would read in a folder."""
    there = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(there) > 1:
        others = ", ".join(_shown(file) for file in there[1:])
        notes.append(f"{_shown(there[0])} is read, as wrangler does; beside it not: {others}.")
    redirect = folder / REDIRECT
    if not redirect.is_file():
        return [_Found(file=file) for file in there[:1]]
    files = _redirected(redirect)
    notes.append(f"{_shown(redirect)} was followed to {', '.join(_shown(file) for file in files)}.")
    return [_Found(file=file, followed=True) for file in files]


def _redirected(redirect: Path) -> list[Path]:
    """Return the configurations that a build tool names in place of the one that a person wrote."""
    place, said = _shown(redirect), read_configuration(_shown(redirect), _content(redirect))
    if unknown := sorted(said.keys() - _REDIRECTED):
        raise CommandError(f"{place}: {unknown[0]} is not known here; build the project again, or name its file.")
    beside = said.get("auxiliaryWorkers") or []
    if not isinstance(beside, list) or not all(isinstance(one, dict) for one in beside):
        raise CommandError(f"{place}: auxiliaryWorkers must be a list of tables; build the project again.")
    files = []
    for given in (said.get("configPath"), *(one.get("configPath") for one in beside)):
        if not isinstance(given, str):
            raise CommandError(f"{place}: configPath is missing; build the project again.")
        file = Path(os.path.normpath(redirect.parent / given))
        if not file.is_file():
            raise CommandError(f"{place} names {_shown(file)}, which is not there; build the project, then import.")
        files.append(file)
    return files


def _read(found: list[_Found], notes: list[str]) -> Project:
    """Read configurations, each once; what a build tool wrote is read only where the project leads to it."""
    followed = {one.file.resolve() for one in found if one.followed}
    read: dict[Path, ProjectFile] = {}
    for one in found:
        place, whole = _shown(one.file), one.file.resolve()
        raw = read_configuration(place, _content(one.file))
        if "userConfigPath" in raw and whole not in followed:
            notes.append(f"{place} is not read: a build tool made it of another one; name it to read it.")
            continue
        read.setdefault(whole, ProjectFile(place=place, folder=one.file.parent, raw=raw))
    return Project(files=tuple(read.values()), notes=tuple(notes))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"{_shown(file)} cannot be read: {error.strerror or error}.") from None


def _shown(path: Path) -> str:
    """Return a path as a person in this directory would write it."""
    return Path(os.path.relpath(path)).as_posix()
