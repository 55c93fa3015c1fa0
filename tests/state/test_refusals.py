"""What a person reads when a state file is refused: which file, what is wrong and where, and one next step."""

from __future__ import annotations

import ast
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import notebook_do
from notebook_do.errors import StateError
from notebook_do.model import Recorded
from notebook_do.state import document
from notebook_do.state.file import StateFile
from notebook_do.state.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable


def hurt(state: StateFile) -> None:
    """Break the file in its second line."""
    lines = state.path.read_bytes().split(b"\n")
    state.path.write_bytes(b"\n".join([lines[0], b" oops,", *lines[1:]]))
    state.load()


def hurt_with_its_backups(state: StateFile) -> None:
    """Break the file, and all backups."""
    for backup in state.backups():
        backup.path.write_bytes(b"")
    hurt(state)


def hurt_with_its_newest_backup(state: StateFile) -> None:
    """Break the file and the newest backup: an older one is good."""
    state.backups()[0].path.write_bytes(b"")
    hurt(state)


def empty(state: StateFile) -> None:
    """Leave nothing in the file."""
    state.path.write_bytes(b"")
    state.load()


def newer(state: StateFile) -> None:
    """Let a newer release write the file."""
    fields = document.read_document(state.path.read_bytes())
    state.path.write_bytes(document.write_document({**fields, "schema": document.SCHEMA + 1}))
    state.load()


def other_account(state: StateFile) -> None:
    """Use it with another account."""
    state.load(account_id="b" * 32)


def changed_meanwhile(state: StateFile) -> None:
    """Save over what somebody else saved."""
    with state.lock():
        state.save(replace(state.load(), serial=1))


def conflicting(state: StateFile) -> None:
    """Let a synchronised folder make its copy."""
    state.path.with_name("state (conflicted copy).json").write_bytes(b"")
    with state.lock():
        pass


def open_to_all(state: StateFile) -> None:
    """Let everyone write the directory."""
    state.path.parent.chmod(0o777)
    with state.lock():
        pass


def lock_taken_away(state: StateFile) -> None:
    """Remove the lock file while it is held."""
    with state.lock():
        state.lock_path.unlink()
        state.save(state.load())


def twice(state: StateFile) -> None:
    """Lock it while it is locked."""
    with state.lock(), state.lock():
        pass


def dangling(state: StateFile) -> None:
    """Let it be a link to nothing."""
    state.path.unlink()
    state.path.symlink_to("nothing")
    state.load()


def pipe(state: StateFile) -> None:
    """Let it be a pipe."""
    state.path.unlink()
    os.mkfifo(state.path)
    state.load()


def no_such_backup(state: StateFile) -> None:
    """Restore what is not there."""
    state.restore(77)


def bad_journal(state: StateFile) -> None:
    """Break the journal."""
    state.journal_path.write_bytes(b"{}\n")
    Journal(state.journal_path).open_intents()


def no_lock_to_break(state: StateFile) -> None:
    """Unlock what nobody holds."""
    state.unlock("0" * 8)


REFUSALS: dict[Callable[[StateFile], None], str] = {
    hurt: r"FILE cannot be used: it is not JSON: .* \(line 2 column 2\)\. It was left untouched; "
    r"the newest good backup is 2: %durable state restore 2\.",
    hurt_with_its_newest_backup: r"the newest good backup is 1: %durable state restore 1\.",
    hurt_with_its_backups: r"there is no good backup; move it away and use %durable import to rebuild it from what is",
    empty: r"FILE cannot be used: it is empty\. It was left untouched; the newest good backup is 2: %durable state res",
    newer: r"FILE was written by a newer notebook_do \(schema \d+, .*\); it was left untouched\. Run: pip install -U",
    other_account: r"FILE was deployed to account aaaa…aaaa.*, and this session is on account bbbb…bbbb\. To go on "
    r"there: open the session on that target and account\. To begin anew here: open a session with another name",
    changed_meanwhile: r"FILE was changed by somebody else \(serial 3, not 1\); plan again\.",
    conflicting: r"DIR holds a conflicting copy .* Decide for one, remove the other, and move it with --state PATH\.",
    open_to_all: r"DIR can be written by everyone; run chmod o-w on it, or choose another place with --state PATH\.",
    lock_taken_away: r"state\.lock: the lock was taken away during this deploy; nothing was saved\. Plan again\.",
    twice: r"a deploy with this state file is already running in this process \(.*\); wait for it to end\.",
    dangling: r"FILE is a link to .*nothing, which does not exist; mend or remove the link\.",
    pipe: r"FILE is not a regular file; choose another place with --state PATH\.",
    no_such_backup: r"there is no readable backup 77 of FILE; there are: 2, 1\.",
    bad_journal: r"journal\.jsonl, line 1 cannot be used: .* move it away and plan again",
    no_lock_to_break: r"state\.lock: nobody holds the lock\.",
}


@pytest.mark.parametrize("refused", REFUSALS, ids=lambda act: act.__name__)
def test_each_refusal_names_file_place_and_next_step(tmp_path: Path, refused: Callable[[StateFile], None]) -> None:
    """F54, F55, F60, F61, F63, 4.8: one line names the file, the place in it, the good backup and the next step."""
    state = StateFile(tmp_path / "p" / "state.json")
    with state.lock():
        for _ in range(3):
            state.save(replace(state.load(), account_id="a" * 32))
    assert isinstance(state.load(), Recorded)
    words = REFUSALS[refused].replace("FILE", str(state.path)).replace("DIR", str(state.path.parent))
    with pytest.raises(StateError, match=words) as caught:
        refused(state)
    assert "\n" not in str(caught.value)


@pytest.mark.thorough
def test_nowhere_is_the_advice_to_edit_the_state_file() -> None:
    """4.8: no text of the package asks a person to edit the state file or the journal by hand."""
    texts = [
        node.value
        for path in Path(notebook_do.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(texts) > 1000
    advice = [t for t in texts if "edit " in t.lower() and any(w in t.lower() for w in ("state", "journal", ".json"))]
    assert advice == []
