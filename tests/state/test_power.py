"""Power loss: of what was not synced any part may be gone; the state file is always old or new, and whole."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from notebook_do.model import Recorded
from notebook_do.state.file import StateFile


@dataclass
class Disk:
    """What reached the disk while it was recorded: (what, path, ...) in order."""

    log: list[tuple[Any, ...]] = field(default_factory=list)
    paths: dict[int, str] = field(default_factory=dict)

    def record(self, patch: pytest.MonkeyPatch) -> None:
        """Wrap the calls of `os` that change files."""
        real = {
            name: getattr(os, name) for name in ("open", "write", "fsync", "close", "replace", "unlink", "ftruncate")
        }

        def opened(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
            new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
            fd: int = real["open"](path, flags, mode, **more)
            self.paths[fd] = os.fspath(path)
            if new:
                self.log.append(("create", os.fspath(path)))
            return fd

        def wrote(fd: int, data: Any) -> int:
            count: int = real["write"](fd, data)
            self.log.append(("write", self.paths[fd], bytes(data)[:count]))
            return count

        def synced(fd: int) -> None:
            real["fsync"](fd)
            self.log.append(("sync", self.paths[fd]))

        def replaced(old: Any, new: Any, **more: Any) -> None:
            real["replace"](old, new, **more)
            self.log.append(("rename", os.fspath(old), os.fspath(new)))

        patch.setattr(os, "open", opened)
        patch.setattr(os, "write", wrote)
        patch.setattr(os, "fsync", synced)
        patch.setattr(os, "replace", replaced)


@dataclass
class File:
    """One file's content: all that was written, and how much of it is surely on the disk."""

    content: bytes = b""
    durable: int = 0


def after_power_loss(start: dict[str, bytes], log: list[tuple[Any, ...]], dice: random.Random) -> dict[str, bytes]:
    """Play the log up to a random point, then lose a random part of what was not synced.

    A name that was made or moved after the last sync of its directory may or may not be there; bytes after the last
    sync of their file may be there, be cut off anywhere, or be zeros.
    """
    names = {path: File(content, len(content)) for path, content in start.items()}
    certain = dict(names)
    for entry in log[: dice.randint(0, len(log))]:
        match entry:
            case ("create", path):
                names[path] = File()
            case ("write", path, data):
                names[path].content += data
            case ("sync", path) if path in names:
                names[path].durable = len(names[path].content)
            case ("sync", directory):
                certain = {p: f for p, f in certain.items() if str(Path(p).parent) != directory}
                certain |= {p: f for p, f in names.items() if str(Path(p).parent) == directory}
            case ("rename", old, new):
                names[new] = names.pop(old)
    found = {}
    for path in sorted(names.keys() | certain.keys()):
        file = dice.choice([names.get(path), certain.get(path)])
        if file is not None:
            found[path] = survived(file, dice)
    return found


def survived(file: File, dice: random.Random) -> bytes:
    """Keep what is durable, and something of the rest."""
    rest = file.content[file.durable :]
    kept = dice.randint(0, len(rest))
    return file.content[: file.durable] + dice.choice([b"", rest, rest[:kept], b"\0" * len(rest)])


@pytest.mark.parametrize("schedules", [100, pytest.param(2000, marks=pytest.mark.thorough)])
def test_f50_power_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedules: int) -> None:
    """F50, P8: after a power loss at any point of a save the file that is found is the old or the new one, whole."""
    place = tmp_path / "p"
    state = StateFile(place / "state.json")
    with state.lock():
        for _ in range(3):
            state.save(replace(state.load(), account_id="before"))
    start = {str(p): p.read_bytes() for p in place.rglob("*") if p.is_file()}
    disk = Disk()
    with state.lock(), monkeypatch.context() as patch:
        before = state.load()
        disk.record(patch)
        state.prepare()
        after = state.save(replace(before, account_id="after"))
    assert "rename" in {e[0] for e in disk.log}
    assert len(disk.log) >= 8
    outcomes: set[int] = set()
    for seed in range(schedules):
        shutil.rmtree(place)
        for path, content in after_power_loss(start, disk.log, random.Random(seed)).items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(content)
        found = StateFile(place / "state.json").load()
        assert found in (before, after), f"seed {seed}"
        outcomes.add(found.serial)
    assert outcomes == {before.serial, after.serial}


def test_the_simulation_finds_a_missing_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the test: without the fsync of the new file, some schedule leaves an unreadable state file."""
    place = tmp_path / "p"
    state = StateFile(place / "state.json")
    with state.lock():
        state.save(Recorded(lineage=state.load().lineage))
    start = {str(p): p.read_bytes() for p in place.rglob("*") if p.is_file()}
    disk = Disk()
    with state.lock(), monkeypatch.context() as patch:
        before = state.load()
        disk.record(patch)
        after = state.save(before)
    without = [e for e in disk.log if not (e[0] == "sync" and e[1].endswith(".tmp"))]
    good = {start[str(state.path)], state.path.read_bytes()}
    found = [after_power_loss(start, without, random.Random(seed)).get(str(state.path)) for seed in range(300)]
    assert [f for f in found if f not in good]
    assert after.serial == before.serial + 1
