"""The key of a state file's secrets: made once, private, in the user's own place, read back by everybody after."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest

from notebook_do.credentials.vault import key_path, load_key, make_key
from notebook_do.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

LINEAGE = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def place(keys: Path) -> Iterator[Path]:
    """Where the key is, with none in it."""
    path = keys / f"{LINEAGE}.key"
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


def test_a_key_is_made_once_and_private(place: Path) -> None:
    """Nobody has a key before it is made; then it is 32 random bytes, for this user alone, and stays the same."""
    assert load_key(LINEAGE) is None
    key = make_key(LINEAGE)
    assert len(key) == 32
    assert place.read_bytes() == key
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert load_key(LINEAGE) == key
    assert make_key(LINEAGE) == key
    place.unlink()
    assert make_key(LINEAGE) != key


def test_without_a_setting_it_lies_in_the_users_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gets the project directory does not get the key."""
    monkeypatch.delenv("NOTEBOOK_DO_KEYS")
    there = Path(platformdirs.user_state_dir("notebook_do", appauthor=False))
    assert key_path(LINEAGE) == there / "keys" / f"{LINEAGE}.key"


def test_what_is_no_key_is_refused(place: Path) -> None:
    """A file of another length is no key; it is named and left."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"short")
    with pytest.raises(StateError, match=rf"{place} is no key of ours; remove it"):
        make_key(LINEAGE)
    assert place.read_bytes() == b"short"


def test_a_key_that_cannot_be_written_stops_the_deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that everyone may write is no place for a key; the error names the setting that helps."""
    tmp_path.chmod(0o777)
    monkeypatch.setenv("NOTEBOOK_DO_KEYS", str(tmp_path))
    with pytest.raises(StateError, match="nothing was sent; set NOTEBOOK_DO_KEYS to a private directory"):
        make_key(LINEAGE)
    assert list(tmp_path.iterdir()) == []
