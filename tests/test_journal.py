"""The journal: an intent is on the disk before it is acted on, and half a line was never written."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.errors import DurableError, StateCorrupt, StateError
from notebook_do.model import MigrationTag, NamespaceId, RecordedNamespace, RecordedWorker, StableId, Storage
from notebook_do.state import journal as module
from notebook_do.state.journal import Done, Intent, Journal

if TYPE_CHECKING:
    from pathlib import Path

INTENT = Intent(
    op="0123456789abcdef",
    kind="upload",
    script_name="w",
    worker="w",
    summary="upload Worker w · é\n",
    serial=3,
    existed=True,
    etag="e",
    modified_on="t1",
    tag=MigrationTag("old"),
    new_tag=MigrationTag("new"),
    body_sha256="ab",
    crons=("* * * * *",),
    worker_record=RecordedWorker(id="w", script_name="w", lifecycle="exports", settings_digest="s"),
    namespace_records=(
        RecordedNamespace(
            stable_id=StableId("c"),
            namespace_id=NamespaceId(""),
            script_name="w",
            class_name="C",
            storage=Storage.SQLITE,
            class_history=("B", "C"),
        ),
    ),
    verify=(StableId("c"),),
    settings_digest="d",
    forgotten=(StableId("x"),),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Give an empty journal."""
    return Journal(tmp_path / "journal.jsonl")


def test_round_trip(journal: Journal) -> None:
    """An open intent is read back by another process as it was written; an ended one is not open."""
    other = replace(INTENT, op="f" * 16, kind="queue", queue="jobs", worker_record=None, new_tag=None)
    journal.begin(INTENT)
    journal.begin(other)
    assert Journal(journal.path).open_intents() == (INTENT, other)
    journal.end(INTENT.op, "done")
    assert Journal(journal.path).open_intents() == (other,)
    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_a_missing_journal_is_empty(journal: Journal) -> None:
    """Where nothing was ever sent, nothing is open."""
    assert journal.open_intents() == ()
    assert not journal.path.exists()


def test_f30_half_a_line_was_never_written(journal: Journal) -> None:
    """F30: cut off at every byte, the last line counts as not written, and the next entry goes after the whole ones."""
    journal.begin(INTENT)
    first = journal.path.read_bytes()
    second = replace(INTENT, op="f" * 16)
    journal.begin(second)
    both = journal.path.read_bytes()
    for size in range(len(first), len(both)):
        journal.path.write_bytes(both[:size])
        assert journal.open_intents() == (INTENT,)
        journal.end(INTENT.op, "not done")
        assert journal.open_intents() == ()
        assert journal.path.read_bytes().startswith(first)
        assert journal.path.read_bytes().count(b"\n") == 2


def test_f54_a_damaged_line_is_told(journal: Journal) -> None:
    """F54: a changed byte in a whole line is found, whatever byte it is, and the line is named."""
    journal.begin(INTENT)
    journal.end("f" * 16, "done")
    whole = journal.path.read_bytes()
    line = whole.index(b"\n")
    for at in range(0, line, 7):
        damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        journal.path.write_bytes(damaged)
        with pytest.raises(StateCorrupt, match="line 1"):
            journal.open_intents()
        assert journal.path.read_bytes() == damaged


@given(
    content=st.binary(max_size=400)
    | st.sampled_from([b"{}\n", b"[1]\n", b"null\n", b'{"is":"intent"}\n', b"[" * 99999 + b"\n"])
)
def test_f54_any_content_gives_a_typed_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """F54: whatever is in the file, reading it gives intents or a typed error, and leaves it as it is."""
    path = tmp_path_factory.mktemp("fuzz") / "journal.jsonl"
    path.write_bytes(content)
    try:
        Journal(path).open_intents()
    except DurableError as error:
        assert str(path) in str(error)  # noqa: PT017 - most contents are refused, an unfinished line is not
    assert path.read_bytes() == content


def on_the_disk(journal: Journal) -> None:
    """Journal an intent as a deploy does before it sends."""
    journal.begin(INTENT)
    journal.sync()


def test_f51_a_full_disk_fails_before_anything_is_sent(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """F51: when the intent cannot be written or synced, that fails; whoever calls it has not sent anything yet."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    for call in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(StateError, match="No space left"):
                on_the_disk(journal)


def test_a_long_journal_begins_anew_when_nothing_is_open(journal: Journal) -> None:
    """The journal does not grow for ever, and never loses an open intent."""
    while not journal.path.exists() or journal.path.stat().st_size < 300_000:
        journal.begin(replace(INTENT, summary="x" * 50_000))
        journal.end(INTENT.op, "done")
    journal.begin(replace(INTENT, op="open"))
    journal.shorten()
    assert len(journal.open_intents()) == 1
    journal.end("open", "done")
    journal.shorten()
    assert journal.path.stat().st_size < 100
    assert journal.attempts() == ()


def test_what_was_given_up_outlives_shortening(journal: Journal) -> None:
    """Issue 11.4: an upload that ended without being seen stays known for ever; one that was refused does not."""
    gone = replace(INTENT, op="given-up", script_name="other", sent_at=12.5)
    for op, status, refused in (("given-up", "uncertain", False), ("refused", "not done", True)):
        journal.begin(replace(gone, op=op))
        journal.end(op, status, refused=refused)  # type: ignore[arg-type]
    while journal.path.stat().st_size < 300_000:
        journal.begin(replace(INTENT, summary="x" * 50_000))
        journal.end(INTENT.op, "done")
    journal.shorten()
    (kept,) = Journal(journal.path).attempts()
    assert (kept.intent, kept.status, kept.given_up) == (gone, "uncertain", True)
    assert journal.open_intents() == ()
    journal.end("given-up", "done")
    assert not any(a.given_up for a in journal.attempts())


def test_a_journal_without_times_is_read(journal: Journal) -> None:
    """A journal that an older notebook_do wrote has no time of sending and no queue, and is read all the same."""
    journal.begin(INTENT)
    entry = {k: v for k, v in json.loads(journal.path.read_text()).items() if k not in {"sum", "sent_at", "queue"}}
    journal.path.unlink()
    journal._append(entry)
    assert journal.open_intents() == (INTENT,)


def grow(journal: Journal) -> None:
    """Add what nobody needs any more, until the journal is long."""
    for number in range(8):
        journal.begin(replace(INTENT, op=f"filler-{number}", script_name="filler", summary="x" * 5_000))
        journal.end(f"filler-{number}", "done")


def test_an_operation_of_ours_is_known_for_ever(journal: Journal) -> None:
    """Issue 13.4: a short journal still knows every upload that was ever sent, whatever became of it, and no other."""
    for op, kind, status in (("a", "upload", "done"), ("b", "upload", "not done"), ("c", "url", "done")):
        journal.begin(replace(INTENT, op=op, kind=kind))  # type: ignore[arg-type]
        journal.end(op, status)  # type: ignore[arg-type]
    for _ in range(3):
        grow(journal)
        journal.shorten()
        assert {"a", "b", "filler-7"} <= Journal(journal.path).ops() == journal.ops()
        assert "c" not in journal.ops()
        assert journal.path.stat().st_size < 2_000
    journal.begin(replace(INTENT, op="d"))
    assert "d" in Journal(journal.path).ops() == journal.ops()


def test_what_can_no_longer_happen_is_dropped(journal: Journal) -> None:
    """An upload that was given up stays while it may show up, and only its operation once a later one was done."""
    journal.begin(replace(INTENT, op="given-up"))
    journal.end("given-up", "not done")
    grow(journal)
    journal.shorten()
    assert [a.intent.op for a in journal.attempts()] == ["given-up"]
    journal.begin(replace(INTENT, op="later"))
    journal.end("later", "done")
    grow(journal)
    journal.shorten()
    assert journal.attempts() == ()
    assert {"given-up", "later"} <= journal.ops()


def test_what_was_there_before_is_written_once(journal: Journal) -> None:
    """Issue 13.4: the namespaces that were there before stand in the journal once, and each intent knows them."""
    known = frozenset(NamespaceId(f"{n:032x}") for n in range(100))
    intents = [replace(INTENT, op=f"o{n}", known=known) for n in range(20)]
    for intent in intents:
        journal.know(intent.known)
        journal.begin(intent)
    alone = replace(INTENT, op="alone")
    journal.begin(alone)
    journal.know(known | {NamespaceId("f")})
    more = replace(INTENT, op="more", known=known | {NamespaceId("f")})
    journal.begin(more)
    assert journal.path.read_bytes().count(b"0" * 31 + b"7") == 2
    assert list(Journal(journal.path).open_intents()) == [*intents, alone, more] == list(journal.open_intents())
    for intent in (*intents[1:], alone, more):
        journal.end(intent.op, "done")
    journal.end("o0", "not done")
    grow(journal)
    journal.end("alone", "done")
    journal.shorten()
    journal.begin(replace(INTENT, op="next"))
    assert [i.known for i in Journal(journal.path).open_intents()] == [frozenset()]


def test_what_was_seen_is_kept_until_the_state_file_has_it(journal: Journal) -> None:
    """Issue 13.4: the end of an intent says what was seen of it; it counts until the state file was written."""
    ids = ((StableId("c"), NamespaceId("1")),)
    done = Done(at="today", etag="e", modified_on="t", namespace_ids=ids, removable=("Old",))
    for op in ("one", "two", "three"):
        journal.begin(replace(INTENT, op=op))
    journal.end("one", "done", done=done)
    journal.end("two", "done", done=Done(at="today"))
    for reader in (journal, Journal(journal.path)):
        assert [a.done for a in reader.attempts()] == [done, Done(at="today"), None]
        assert [i.op for i in reader.open_intents()] == ["three"]
    journal.saved(4)
    journal.end("three", "done", done=done)
    for reader in (journal, Journal(journal.path)):
        assert [a.done for a in reader.attempts()] == [None, None, done]
    grow(journal)
    journal.shorten()
    assert len(journal.attempts()) > 3, "it was shortened before the state file had all of it"
    journal.begin(replace(INTENT, op="three"))  # sent, or looked at, once more
    journal.end("three", "done", done=done)
    journal.saved(5)
    journal.shorten()
    assert journal.attempts() == ()


def test_each_line_is_read_once(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 13.4: what was written or read here is not parsed again; what another process adds is, and nothing else."""
    parsed, real = list[bytes](), module.parse
    monkeypatch.setattr(module, "parse", lambda line: (parsed.append(line), real(line))[1])
    for number in range(10):
        journal.begin(replace(INTENT, op=f"o{number}"))
    assert len(journal.open_intents()) == len(journal.attempts()) == 10
    assert parsed == []
    other = Journal(journal.path)
    other.end("o3", "done")
    assert len(parsed) == 10
    assert len(journal.open_intents()) == 9
    assert len(parsed) == 11
    journal.path.write_bytes(b"".join(journal.path.read_bytes().splitlines(keepends=True)[:4]))
    assert len(journal.open_intents()) == len(other.open_intents()) == 4
    assert len(parsed) == 19
