"""What the files of stored objects tell without workerd: which of them hold anything."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.local.objects.stored import reading, stored_objects

if TYPE_CHECKING:
    from pathlib import Path

SPACE, ID = "0123456789abcdef0123456789abcdef", "5" * 64
KV = "CREATE TABLE _cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"
METADATA = "CREATE TABLE _cf_METADATA (key INTEGER PRIMARY KEY, value BLOB)"


@pytest.mark.parametrize(
    ("written", "holds"),
    [
        ((), False),
        ((KV,), False),
        ((KV, "INSERT INTO _cf_KV VALUES ('n', x'01')"), True),
        ((METADATA,), False),
        ((METADATA, "INSERT INTO _cf_METADATA VALUES (1, NULL)"), False),
        ((METADATA, "INSERT INTO _cf_METADATA VALUES (2, 7)"), False),
        ((METADATA, "INSERT INTO _cf_METADATA VALUES (1, 7)"), True),
        ((KV, METADATA), False),
        (("CREATE TABLE messages (text TEXT)",), True),
        (("CREATE TABLE _cf_other (text TEXT)",), False),
    ],
)
def test_which_objects_hold_anything(tmp_path: Path, written: tuple[str, ...], *, holds: bool) -> None:
    """A row of its storage, a table of its own, or an alarm that is set: a file alone says nothing."""
    (tmp_path / SPACE).mkdir()
    with closing(sqlite3.connect(tmp_path / SPACE / f"{ID}.sqlite")) as database, database:
        database.execute("PRAGMA user_version = 1")
        for statement in written:
            database.execute(statement)
    (one,) = stored_objects(tmp_path, SPACE)
    assert (one.id, one.has_stored_data) == (ID, holds)


def test_a_file_that_is_removed_just_before_it_is_opened_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A namespace may be deleted while its alarms are read: there are none then, and all others keep theirs."""
    folder = tmp_path / SPACE
    folder.mkdir()
    metadata = folder / "metadata.sqlite"
    metadata.touch()
    real = sqlite3.connect

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        metadata.unlink(missing_ok=True)
        return real(*args, **options)

    monkeypatch.setattr(sqlite3, "connect", connect)
    with reading(metadata) as database:
        assert database is None
    assert not metadata.exists()
