"""The file of a snapshot: private, whole, new, and never through a link."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from notebook_do.errors import CommandError
from notebook_do.live.snapshots import read_snapshot, write_snapshot
from notebook_do.live.stored import TakenObject
from notebook_do.model.changes import ObjectContents
from notebook_do.model.states import ObservedObject, RecordedNamespace
from notebook_do.model.words import Storage
from notebook_do.state import disk

if TYPE_CHECKING:
    from pathlib import Path

ROOMS = RecordedNamespace(
    stable_id="rooms", namespace_id="0" * 32, script_name="chat", class_name="Room", storage=Storage.SQLITE
)
TAKEN = TakenObject(
    one=ObservedObject(object_id="1" * 64, name="kitchen", stored=True),
    holds=ObjectContents(),
    content=b"all of it",
    form="file",
)


def test_a_snapshot_is_its_owners_alone(tmp_path: Path) -> None:
    """It holds all that an object has stored: 0600, whatever the umask; nothing else is left beside it."""
    old = os.umask(0)
    try:
        made = write_snapshot(tmp_path / "kitchen.ndsnap", ROOMS, TAKEN)
    finally:
        os.umask(old)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["kitchen.ndsnap"]
    assert read_snapshot(made.path)[1] == b"all of it"


@pytest.mark.parametrize("there", ["file", "link", "dangling", "directory"])
def test_what_is_there_stays_as_it_is(tmp_path: Path, there: str) -> None:
    """A file, a link to one, a link to nothing: none is written over, and no link chooses where the data goes."""
    path, elsewhere = tmp_path / "kitchen.ndsnap", tmp_path / "elsewhere"
    if there == "file":
        path.write_bytes(b"mine")
    elif there == "directory":
        path.mkdir()
    else:
        path.symlink_to(elsewhere)
    if there == "link":
        elsewhere.write_bytes(b"mine")
    with pytest.raises(CommandError, match="is there already and was left as it is; name another file"):
        write_snapshot(path, ROOMS, TAKEN)
    assert elsewhere.exists() == (there == "link")
    assert not path.is_file() or path.read_bytes() == b"mine"
    assert not list(tmp_path.glob(".*"))


def test_half_of_a_snapshot_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves no file: neither the snapshot nor its beginning. Also without hard links."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    def without_links(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(disk.os, "write", full)
        with pytest.raises(CommandError, match="cannot be written: No space left on device"):
            write_snapshot(tmp_path / "kitchen.ndsnap", ROOMS, TAKEN)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(disk.os, "link", without_links)
    made = write_snapshot(tmp_path / "kitchen.ndsnap", ROOMS, TAKEN)
    assert made.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="is there already"):
        write_snapshot(made.path, ROOMS, TAKEN)
    assert [path.name for path in tmp_path.iterdir()] == ["kitchen.ndsnap"]
