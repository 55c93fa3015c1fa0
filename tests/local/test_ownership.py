"""One owner of a data directory: the lock, the private folder, and no workerd left in it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sharing import open_below

from notebook_do.errors import TargetError
from notebook_do.local.process.ownership import fresh_folder, locked, reap


def sleeper(*words: str) -> subprocess.Popen[bytes]:
    """Start a process with these words on its command line."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *words])
    deadline = time.monotonic() + 60
    while words[-1].encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    """The lock is another one's until it is let go; the file is private, and no descriptor is left of a refusal."""
    lock = locked(tmp_path / "lock", tmp_path)
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    with pytest.raises(TargetError, match=rf"another process runs the local Cloudflare of {tmp_path}"):
        locked(tmp_path / "lock", tmp_path)
    assert open_below(tmp_path) == [str(tmp_path / "lock")]
    os.close(lock)
    os.close(locked(tmp_path / "lock", tmp_path))


def test_only_what_runs_in_this_place_is_reaped(tmp_path: Path) -> None:
    """Another place's workerd and another program of this place live on."""
    mine = sleeper("workerd", f"{tmp_path}/config-1")
    others = [sleeper("workerd", f"{tmp_path}-other/config-1"), sleeper("editor", f"{tmp_path}/config-1")]
    try:
        assert reap(str(tmp_path)) == [mine.pid]
        assert mine.wait(60) == -9
        assert [p.poll() for p in others] == [None, None]
        assert reap(str(tmp_path)) == []
    finally:
        for process in (mine, *others):
            process.kill()
            process.wait()


def test_the_folder_is_fresh_and_private(tmp_path: Path) -> None:
    """What an earlier server left in it is gone, and so is its workerd."""
    place = Path(tempfile.mkdtemp(prefix="nd", dir="/tmp")) / "run"
    place.mkdir()
    (place / "old.sock").write_text("")
    old = sleeper("workerd", f"{place}/config-1")
    try:
        assert fresh_folder(place) == (place, None)
        assert list(place.iterdir()) == []
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert old.wait(60) == -9
    finally:
        old.kill()
        old.wait()
        place.rmdir()
        place.parent.rmdir()


def test_a_long_path_gets_a_short_folder(tmp_path: Path) -> None:
    """A socket's path is limited: the folder is then a link to a short one, made anew by the next server."""
    wanted = tmp_path / ("x" * 80)
    short, mark = fresh_folder(wanted)
    assert mark is not None
    assert wanted.resolve() == short.resolve()
    assert len(str(short)) < 70
    (short / "left").write_text("")
    os.close(mark)
    again, mark = fresh_folder(wanted)
    assert mark is not None
    assert list(again.iterdir()) == [] or [p.name for p in again.iterdir()] != ["left"]
    assert wanted.resolve() == again.resolve()
    os.close(mark)


def test_a_link_to_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """What somebody else's link leads to is left alone; only the link goes."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").write_text("kept")
    wanted = Path(tempfile.mkdtemp(prefix="nd", dir="/tmp")) / "run"
    wanted.symlink_to(other)
    assert fresh_folder(wanted) == (wanted, None)
    assert not wanted.is_symlink()
    assert (other / "kept").read_text() == "kept"
    wanted.rmdir()
    wanted.parent.rmdir()
