"""The record of sent changes: a digest is taken once, by whichever kernel, and nothing but digests stands in it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import UTC
from pathlib import Path

import pytest

from notebook_do.display.formats import moment
from notebook_do.errors import StateError
from notebook_do.state.sent import SentChanges

TAKE = """
import sys
from pathlib import Path
from notebook_do.state.sent import SentChanges
record = SentChanges(Path(sys.argv[1]))
print(sum(record.take(f"{n:016x}") for n in range(200)))
"""


def test_a_digest_is_taken_once_by_all_processes(tmp_path: Path) -> None:
    """Three processes that take the same 200 digests at once take each exactly once among them."""
    path = tmp_path / "sent" / "changes.log"
    words = [sys.executable, "-c", TAKE, str(path)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(one.communicate()[0]) for one in running) == 200
    assert len(SentChanges(path).load()) == 200
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_not_sent_is_free_again(tmp_path: Path) -> None:
    """A change that was certainly not sent is free to be approved; a line that a crash cut short counts for nothing."""
    record = SentChanges(tmp_path / "changes.log")
    assert record.load() == {}
    assert record.take("a" * 16)
    assert not record.take("a" * 16)
    record.free("a" * 16)
    with record.path.open("a") as file:
        file.write("sent bbbbbbbbbbbbbbbb 2026-")
    assert record.load() == {}
    assert record.take("a" * 16)
    assert list(record.load()) == ["a" * 16]


def test_what_is_to_be_sent_is_on_the_disk_before_it_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`take` syncs the line, and of a new record its name: a power loss after the send leaves no approval to use."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    record = SentChanges(tmp_path / "sent" / "changes.log")
    assert record.take("a" * 16)
    assert synced[-2:] == ["sent", "changes.log"]
    synced.clear()
    assert record.take("b" * 16)
    assert synced == ["changes.log"]


def test_what_cannot_be_synced_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is told, and the change is free to be sent when the disk takes it."""
    record = SentChanges(tmp_path / "changes.log")
    assert record.take("a" * 16)

    def fails(_: int) -> None:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(StateError, match=r"changes\.log: writing failed"):
            record.take("b" * 16)
    assert list(record.load()) == ["a" * 16]
    assert record.take("b" * 16)


def test_a_record_has_an_id_of_its_own(tmp_path: Path) -> None:
    """It stays while the record is written and shortened, and is another one where the record is lost."""
    record = SentChanges(tmp_path / "changes.log")
    assert record.take("a" * 16)
    known = record.id()
    assert record.take("b" * 16)
    assert SentChanges(record.path).id() == known
    with record.path.open("ab") as file:
        file.write(LINES * 30_000)
    assert record.take("c" * 16)
    assert record.path.stat().st_size < 300
    assert record.id() == known
    assert set(record.load()) == {"b" * 16, "c" * 16}
    record.path.unlink()
    assert record.id() not in {known, ""}


LINES = b"sent aaaaaaaaaaaaaaaa 2026-01-01T00:00:00+00:00\nfree aaaaaaaaaaaaaaaa\n"


@pytest.mark.parametrize("lines", [LINES * 30_000, (b"x" * 1_000_000 + b"\n") * 70])
def test_a_long_record_is_shortened_and_forgets_nothing(tmp_path: Path, lines: bytes) -> None:
    """However often it was written, it holds a line of each change, is private, and refuses no change for its size."""
    record = SentChanges(tmp_path / "changes.log")
    kept = b"sent bbbbbbbbbbbbbbbb 2026-01-01T00:00:00+00:00\ndone cccccccccccccccc 2026-01-01T00:00:00+00:00\n"
    record.path.write_bytes(kept + lines)
    before = record.load()
    assert record.take("d" * 16)
    assert record.path.stat().st_size < 200
    assert record.path.stat().st_mode & 0o777 == 0o600
    assert record.load() == {**before, "d" * 16: record.load()["d" * 16]}
    assert [one.done for one in record.load().values()] == [False, True, False]
    assert [record.take(letter * 16) for letter in "abcd"] == [True, False, False, False]


def test_a_record_is_shortened_while_others_write_it(tmp_path: Path) -> None:
    """Three processes take the same digests while it is shortened: each digest is taken exactly once among them."""
    path = tmp_path / "changes.log"
    path.write_bytes(LINES * 30_000)
    words = [sys.executable, "-c", TAKE, str(path)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(one.communicate()[0]) for one in running) == 200
    assert len(SentChanges(path).load()) == 200


def test_what_was_begun_is_not_told_as_sent(tmp_path: Path) -> None:
    """A change is known to be sent only once that is written; of a record of an earlier version it is not known."""
    record = SentChanges(tmp_path / "changes.log")
    assert record.take("a" * 16)
    assert not record.load()["a" * 16].done
    record.done("a" * 16)
    assert record.load()["a" * 16].done
    assert not record.take("a" * 16)
    record.path.write_text(
        "sent bbbbbbbbbbbbbbbb 2026-01-01T00:00:00+00:00\nsent cccccccccccccccc 0001-01-01T00:00:00+23:59\n"
        "sent dddddddddddddddd 2026-01-01\n\xff sent\n"
    )
    found = record.load()
    assert [one.done for one in found.values()] == [False] * 3
    assert {one.at.tzinfo for one in found.values()} == {UTC}, "whatever a hand wrote there can be shown"
    assert all(moment(one.at).endswith(" UTC") for one in found.values())
