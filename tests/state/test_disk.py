"""Files of the state directory, one call each: private under any umask, and on the disk with their names."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sharing import open_below

from notebook_do.errors import StateError
from notebook_do.state import disk

if TYPE_CHECKING:
    from collections.abc import Callable


def mode(path: Path) -> int:
    """Give the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("write", [disk.replace, disk.append])
def test_s20_a_file_can_be_read_again_under_the_narrowest_umask(
    tmp_path: Path, write: Callable[[Path, bytes], None]
) -> None:
    """A umask that takes the owner's own permissions does not lock the user out of the state."""
    before = os.umask(0o777)
    try:
        write(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert mode(tmp_path / "file") == 0o600


def test_s20_a_file_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    """The journal of a careless copy is private after the next line."""
    path = tmp_path / "journal"
    disk.append(path, b"one\n")
    path.chmod(0o644)
    disk.append(path, b"two\n")
    assert mode(path) == 0o600
    assert path.read_bytes() == b"one\ntwo\n"


def test_f50_the_name_of_a_new_file_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line of a journal syncs the directory; what is in the file is on the disk once that is synced."""
    synced: list[Path] = []
    really_sync = os.fsync

    def sync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        really_sync(fd)

    monkeypatch.setattr(os, "fsync", sync)
    path = tmp_path / "journal"
    disk.append(path, b"one\n")
    assert synced == [tmp_path]
    synced.clear()
    disk.append(path, b"two\n")
    assert synced == []
    disk.sync(path)
    assert synced == [path]
    synced.clear()
    disk.cut(path, 4)
    assert synced == [path]
    assert path.read_bytes() == b"one\n"


def test_f63_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    """A pipe in the place of a file is refused at once: reading it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StateError, match="is not a regular file"):
        disk.read(tmp_path / "pipe")
    assert disk.read(tmp_path / "absent") is None


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    """No file of ours is that large; it is not taken into memory."""
    path = tmp_path / "state.json"
    with path.open("wb") as file:
        file.truncate(disk.LARGEST_FILE + 1)
    with pytest.raises(StateError, match=r"has \d+ bytes, which no file of ours has"):
        disk.read(path)


def test_every_missing_parent_is_private(tmp_path: Path) -> None:
    """Directories that are made on the way are 0700 as well, under any umask."""
    before = os.umask(0)
    try:
        disk.private_directory(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert [mode(p) for p in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c")] == [0o700] * 3


@pytest.mark.parametrize("synced", [True, False])
def test_no_call_leaves_a_descriptor_open(tmp_path: Path, *, synced: bool) -> None:
    """A kernel plans and deploys for days: what each write left open would use up what a process may have open."""
    path = tmp_path / "journal"
    disk.append(path, b"one\n")
    disk.sync(path)
    disk.sync_directory(tmp_path)
    disk.replace(path, b"one\ntwo\n", synced=synced)
    disk.cut(path, 4)
    assert disk.read(path) == b"one\n"
    assert open_below(tmp_path) == []
