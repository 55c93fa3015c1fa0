"""Runs the command that makes a Worker's entrypoint, where that is asked for, and says when it should be asked for.

A plan runs no command by itself: reading what a deploy would do must not run a program of somebody's project.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from notebook_do.model import Worker

SECONDS = 600
"""How long a command may take before it is ended."""
_SHOWN = 40
"""So many of the last lines of what it says are kept."""
_SOURCES = frozenset({".ts", ".mts", ".tsx", ".js", ".mjs", ".cjs", ".jsx", ".rs", ".go", ".py", ".c", ".cpp", ".json"})
_NOT_SEARCHED = frozenset({"node_modules", "target", "__pycache__"})


def made_by(worker: Worker) -> str:
    """Say what makes an entrypoint, and how that is run."""
    return f"`{worker.build}` makes it: %durable plan --build runs that."


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildCommand:
    """The build command of a Worker, and the line of its cell where there is one."""

    worker: str
    command: str
    line: int | None = None
    cell: str = ""


def builds_of(workers: Iterable[Worker]) -> list[BuildCommand]:
    """Return the build commands of declared Workers."""
    return [
        BuildCommand(worker=w.id, command=w.build, line=line, cell=cell)
        for w in workers
        if w.build
        for line, cell in [w.where.of_error if w.where else (None, "")]
    ]


def run_builds(builds: Iterable[BuildCommand], base: Path) -> tuple[str, ...]:
    """Run build commands in `base`, each once, and return what they said, line by line."""
    told: list[str] = []
    for build in {build.command: build for build in builds}.values():
        told += [f"Worker {build.worker}: `{build.command}` was run.", *_run(build, base)]
    return tuple(told)


def _run(build: BuildCommand, base: Path) -> tuple[str, ...]:
    """Run one command and return the last lines of what it said; raises SourceError, with the last, where it fails."""
    try:
        done = subprocess.run(  # noqa: S602 - the user's own command, written in the cell, for a shell
            build.command,
            shell=True,
            cwd=base,
            env={**os.environ, "PATH": _path(base)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(build, f"did not end within {SECONDS} s", ()) from None
    lines = tuple(line.rstrip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip())
    if done.returncode != 0:
        raise _failed(build, f"ended with exit code {done.returncode}", lines)
    left_out = len(lines) - _SHOWN
    return (f"… {left_out} lines before", *lines[-_SHOWN:]) if left_out > 0 else lines


def _path(base: Path) -> str:
    """Return where a command finds programs: those of the project's packages first.

    npm and npx, with which wrangler is mostly started, do the same. The first place is that of the folder into which
    the command itself may change.
    """
    folder = base.resolve()
    packages = [str(above / "node_modules" / ".bin") for above in (folder, *folder.parents)]
    return os.pathsep.join([str(Path("node_modules", ".bin")), *packages, os.environ.get("PATH", os.defpath)])


def _failed(build: BuildCommand, what: str, lines: tuple[str, ...]) -> SourceError:
    last = f": {lines[-1]}" if lines else ""
    error = SourceError(f"Worker {build.worker}: build command `{build.command}` {what}{last}", line=build.line)
    error.cell = build.cell
    error.excerpt = "\n".join(lines[-_SHOWN:])
    return error


def older_than(worker: Worker, entry: Path, base: Path) -> tuple[str, ...]:
    """Say that an entrypoint is older than the newest source that its build command may make it of."""
    if not worker.build:
        return ()
    built = entry.stat().st_mtime_ns
    newer = [path for path in _sources(base, entry) if path.stat().st_mtime_ns > built]
    if not newer:
        return ()
    newest = max(newer, key=lambda path: path.stat().st_mtime_ns).relative_to(base).as_posix()
    return (f"{worker.entrypoint} is older than {newest}; {made_by(worker)}",)


def _sources(base: Path, entry: Path) -> Iterator[Path]:
    """Yield the sources in `src`, as wrangler watches them, or else in the folder without what is built there."""
    root = base / "src" if (base / "src").is_dir() and base / "src" not in entry.parents else base
    built = entry.parent if entry.parent != root else None
    ahead = [root]
    while ahead:
        for path in ahead.pop().iterdir():
            if path.name.startswith(".") or path.name in _NOT_SEARCHED or path in {built, entry}:
                continue
            if path.is_dir():
                ahead.append(path)
            elif path.suffix in _SOURCES:
                yield path
