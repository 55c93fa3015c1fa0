"""What the files of stored objects tell without workerd: which of them hold anything."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from notebook_do.local.objects.stored import reading, stored_objects
from notebook_do.local.objects.written import Written

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
    (one,) = stored_objects(tmp_path, SPACE, Written())
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


def test_an_object_that_is_closed_while_it_is_listed_keeps_its_last_write(tmp_path: Path) -> None:
    """The end of a process may come between a look and the listing; the file says then when it was closed."""
    path = tmp_path / f"{ID}.sqlite"
    database = sqlite3.connect(path)
    for statement in ("PRAGMA journal_mode = WAL", KV, "INSERT INTO _cf_KV VALUES ('n', x'01')"):
        database.execute(statement)
    database.commit()
    os.utime(path.with_name(path.name + "-wal"), (1_000, 1_000))
    os.utime(path, (900, 900))
    written = Written()
    written.look([tmp_path])
    assert written.last(path) == 1_000
    database.close()
    assert path.stat().st_mtime > 1_000
    assert written.last(path) == 1_000
    written.look([tmp_path])
    assert written.last(path) == path.stat().st_mtime == 1_000
