"""The record of sent changes: a digest is taken once, by whichever kernel, and nothing but digests stands in it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from notebook_do.state.sent import SentChanges

if TYPE_CHECKING:
    from pathlib import Path

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
