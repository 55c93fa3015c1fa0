"""The state file on a real disk: what is written is whole, private and read back; what is not ours is refused."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebook_do.errors import StateCorrupt, StateError
from notebook_do.model import (
    Json,
    MigrationTag,
    MovedClass,
    NamespaceId,
    Recorded,
    RecordedNamespace,
    RecordedWorker,
    StableId,
    Storage,
    Tombstone,
    Trigger,
)
from notebook_do.state import document
from notebook_do.state.file import StateFile

CONTENT: dict[str, Any] = {
    "account_id": "a" * 32,
    "api_origin": "https://api.cloudflare.com",
    "workers": (
        RecordedWorker(
            id="w",
            script_name="w-dev",
            etag="e",
            lifecycle="migrations",
            migration_tag=MigrationTag("t"),
            content_digest="c",
        ),
    ),
    "namespaces": (
        RecordedNamespace(
            stable_id=StableId("counter"),
            namespace_id=NamespaceId("1" * 32),
            script_name="w-dev",
            class_name="Counter",
            storage=Storage.SQLITE,
            class_history=("Old", "Counter"),
        ),
    ),
    "tombstones": (
        Tombstone(
            stable_id=StableId("gone"),
            namespace_id=NamespaceId("2" * 32),
            class_name="G",
            script_name="w-dev",
            at="2026-01-01",
        ),
    ),
}


def saved(path: Path, times: int = 1) -> StateFile:
    """Make a state file that was saved `times` times."""
    state = StateFile(path)
    with state.lock():
        for _ in range(times):
            state.save(replace(state.load(), **CONTENT))
    return state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file of a test is."""
    return tmp_path / "project" / "dev" / "state.json"


def test_round_trip(path: Path) -> None:
    """What is saved is what another process loads, with the next serial."""
    saved(path)
    found = StateFile(path).load()
    assert found == replace(Recorded(lineage=found.lineage, serial=1), **CONTENT)


def test_missing_file_writes_nothing(path: Path) -> None:
    """Loading a missing file gives an empty record of a new, stable lineage and touches nothing."""
    state = StateFile(path)
    assert state.load() == state.load()
    assert state.load().serial == 0
    assert not state.exists
    assert not path.parent.parent.exists()
    assert StateFile(path).load().lineage != state.load().lineage


def test_f62_unknown_fields_are_kept(path: Path) -> None:
    """F62: fields of the same schema that we do not know survive load and save, at every level."""
    state = saved(path)
    body = json.loads(path.read_bytes())
    body["later"] = {"x": [1, 2.5, None]}
    for section in ("workers", "namespaces"):
        for entry in body[section].values():
            entry["note"] = section
    body["tombstones"][0]["why"] = "asked"
    body["target"]["region"] = "eu"
    path.write_bytes(document.write_document(body))
    with state.lock():
        state.save(state.load())
    after = json.loads(path.read_bytes())
    assert after["later"] == {"x": [1, 2.5, None]}
    assert after["workers"]["w"]["note"] == "workers"
    assert after["namespaces"]["counter"]["note"] == "namespaces"
    assert after["tombstones"][0]["why"] == "asked"
    assert after["target"]["region"] == "eu"
    assert after["serial"] == 2


def test_a_large_project_is_read_back(path: Path) -> None:
    """Hundreds of namespaces stand beside each other with the same keys: that is neither deep nor twice."""
    (one,) = CONTENT["namespaces"]
    many = tuple(
        replace(one, stable_id=StableId(f"c{n:03}"), namespace_id=NamespaceId(f"{n:032x}"), class_name=f"C{n}")
        for n in range(300)
    )
    state = StateFile(path)
    with state.lock():
        state.save(replace(state.load(), namespaces=many))
    assert StateFile(path).load().namespaces == many


DAMAGED: dict[str, tuple[Any, str]] = {
    "empty": (lambda _: b"", "it is empty"),
    "blank": (lambda _: b" \n\n", "it is empty"),
    "truncated": (lambda b: b[: len(b) // 2], "line"),
    "duplicate key": (lambda b: b.replace(b'"tool":', b'"serial": 9,\n "tool":'), 'the key "serial" is there twice'),
    "escaped duplicate": (lambda b: b.replace(b'"tool":', b'"seri\\u0061l": 9,\n "tool":'), "is there twice (line"),
    "nothing but a duplicate": (lambda _: b'{"schema": 1, "schema": 1}', 'the key "schema" is there twice'),
    "NaN": (lambda b: b.replace(b'"serial": 1', b'"serial": NaN'), "NaN"),
    "5,000 digits": (lambda b: b.replace(b'"serial": 1', b'"serial": ' + b"7" * 5000), "line"),
    "100,000 deep": (lambda _: b"[" * 100_000, "nested too deeply (line 1 column 65)"),
    "byte order mark": (lambda b: b"\xef\xbb\xbf" + b, "a byte order mark (line 1 column 1)"),
    "carriage returns": (lambda b: b.replace(b"\n", b"\r\n"), "a carriage return (line 1 column 2)"),
    "merge marker": (lambda b: b"<<<<<<< HEAD\n" + b, "a merge conflict marker (line 1 column 1)"),
    "not UTF-8": (lambda b: b.replace(b'"w"', b'"\xff"'), "it is not UTF-8 text (line"),
    "edited": (lambda b: b.replace(b'"protected": true', b'"protected": false'), "its checksum does not match"),
    "not an object": (lambda _: b"[1]", "the file is not an object"),
    "no schema": (lambda _: b"{}", "it has no schema number"),
    "more than a float": (lambda b: b.replace(b'"serial": 1', b'"serial": 1e999'), "not JSON that we write"),
    "surrogate": (lambda b: b.replace(b'"w-dev"', b'"\\ud800"'), "checksum"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_f54_damage_is_refused_and_left(path: Path, name: str) -> None:
    """F54, F55: a damaged or empty file is corrupt, with its place and the next command; it is never overwritten."""
    state = saved(path, times=2)
    damage, words = DAMAGED[name]
    bad = damage(path.read_bytes().replace(b'"serial": 2', b'"serial": 1'))
    path.write_bytes(bad)
    with pytest.raises(StateCorrupt) as caught:
        state.load()
    assert words in str(caught.value)
    assert "%durable state restore 1" in str(caught.value)
    with state.lock(), pytest.raises(StateError):
        state.save(Recorded(lineage="x"))
    assert path.read_bytes() == bad


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("serial",), "1"),
        (("serial",), True),
        (("serial",), -1),
        (("lineage",), None),
        (("target",), []),
        (("workers",), []),
        (("workers", "w"), None),
        (("workers", "w", "name"), 5),
        (("workers", "w", "lifecycle"), "magic"),
        (("workers", "w", "etag"), 1),
        (("namespaces", "counter", "storage"), "tape"),
        (("namespaces", "counter", "protected"), "yes"),
        (("namespaces", "counter", "class_history"), "Old"),
        (("namespaces", "counter", "class_history"), [1]),
        (("namespaces", "counter", "namespace_id"), None),
        (("tombstones",), {}),
        (("tombstones",), [1]),
    ],
)
def test_f54_wrong_shapes_name_the_field(path: Path, where: tuple[str, ...], value: Any) -> None:
    """F54: a value of the wrong kind under a right checksum is corrupt, and the field is named."""
    state = saved(path)
    body = json.loads(path.read_bytes())
    inner = body
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    path.write_bytes(document.write_document(body))
    with pytest.raises(StateCorrupt, match=where[-1]):
        state.load()


def test_f61_newer_schema_is_refused_untouched(path: Path) -> None:
    """F61: a newer schema is refused for reading and writing, with what to do, and stays byte for byte."""
    state = saved(path)
    body = json.loads(path.read_bytes()) | {"schema": document.SCHEMA + 1}
    path.write_bytes(newer := document.write_document(body))
    with pytest.raises(StateError, match="newer notebook_do") as caught:
        state.load()
    assert not isinstance(caught.value, StateCorrupt)
    with state.lock(), pytest.raises(StateError):
        state.save(Recorded(lineage="x"))
    assert path.read_bytes() == newer


def test_f61_older_schema_is_upgraded_on_the_next_save(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F61: an older schema is upgraded in memory; the file changes with the next save, and its old form is a backup."""
    state = saved(path)
    old = path.read_bytes()
    monkeypatch.setattr(document, "SCHEMA", 2)
    monkeypatch.setitem(document.UPGRADES, 1, lambda d: {**d, "schema": 2, "tombstones": []})
    assert state.load().tombstones == ()
    assert path.read_bytes() == old
    with state.lock():
        state.save(state.load())
    assert json.loads(path.read_bytes())["schema"] == 2
    assert [b.path.read_bytes() for b in state.backups()] == [old]


@pytest.mark.parametrize("schema", range(1, document.SCHEMA + 1))
def test_f61_a_file_of_every_schema_is_read(path: Path, schema: int) -> None:
    """F61: the file that the first release of each schema wrote is read whole, and untouched until the next save."""
    old = (Path(__file__).parent / "schemas" / f"{schema}.json").read_bytes()
    path.parent.mkdir(parents=True)
    path.write_bytes(old)
    state = StateFile(path)
    assert state.load() == Recorded(lineage="0" * 32, serial=1, **CONTENT)
    assert path.read_bytes() == old
    with state.lock():
        state.save(state.load())
    assert json.loads(path.read_bytes())["schema"] == document.SCHEMA
    assert StateFile(path).load() == Recorded(lineage="0" * 32, serial=2, **CONTENT)
    assert [b.path.read_bytes() for b in state.backups()] == [old]


@pytest.mark.parametrize(("field", "other"), [("account_id", "b" * 32), ("api_origin", "local:x")])
def test_f60_another_target_is_refused(path: Path, field: str, other: str) -> None:
    """F60, P10: a state file of another account or API is refused; the same one, or none asked, is fine."""
    state = saved(path)
    assert state.load(account_id="a" * 32, api_origin="https://api.cloudflare.com").serial == 1
    with pytest.raises(StateError, match="was deployed to"):
        state.load(**{field: other})


def test_s20_modes_under_any_umask(path: Path) -> None:
    """S20: directories are 0700 and files 0600 even under umask 0."""
    before = os.umask(0)
    try:
        state = saved(path, times=3)
    finally:
        os.umask(before)
    for found in [path, state.lock_path, *(b.path for b in state.backups())]:
        assert stat.S_IMODE(found.stat().st_mode) == 0o600, found
    for found in (path.parent, path.parent.parent, state.backup_directory):
        assert stat.S_IMODE(found.stat().st_mode) == 0o700, found


def test_s20_world_writable_directory_is_refused(path: Path) -> None:
    """S20: a directory that everyone may write is refused before anything is made in it."""
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o777)
    with pytest.raises(StateError, match="chmod o-w"), StateFile(path).lock():
        pass
    assert list(path.parent.iterdir()) == []


def test_s21_a_planted_temporary_link_is_not_followed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S21: a link planted at the name of the temporary file is not written through."""
    state = saved(path)
    victim = path.parent / "victim"
    victim.write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda _: "planted")
    (path.parent / ".state.json.planted.tmp").symlink_to(victim)
    with state.lock(), pytest.raises(StateError):
        state.save(state.load())
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("kind", ["fifo", "directory", "dangling"])
def test_f63_what_is_no_file_is_refused(path: Path, kind: str) -> None:
    """F63: a FIFO, a directory and a link to nothing are refused at once, without waiting for a writer."""
    path.parent.mkdir(parents=True)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to(path.parent / "nothing")
    with pytest.raises(StateError, match=r"not a regular file|does not exist"):
        StateFile(path).load()


def test_f63_a_link_is_kept_and_its_target_replaced(path: Path, tmp_path: Path) -> None:
    """F63: a symbolic link stays a link; the file that it names is replaced, and its companions lie beside that."""
    real = tmp_path / "elsewhere" / "state.json"
    saved(real)
    path.parent.mkdir(parents=True)
    path.symlink_to(real)
    state = saved(path)
    assert path.is_symlink()
    assert StateFile(real).load().serial == 2
    assert state.lock_path.parent == real.parent


def test_f63_a_link_that_is_led_elsewhere_during_a_deploy(path: Path, tmp_path: Path) -> None:
    """F63: what is saved under a lock goes into the file that is locked, wherever the link leads by then."""
    real, other = tmp_path / "elsewhere" / "state.json", tmp_path / "other" / "state.json"
    for each in (real, other):
        saved(each)
    path.parent.mkdir(parents=True)
    path.symlink_to(real)
    state = StateFile(path)
    with state.lock():
        recorded = state.load()
        path.unlink()
        path.symlink_to(other)
        assert state.save(recorded).serial == 2
    assert [StateFile(each).load().serial for each in (real, other)] == [2, 1]
    assert state.load().serial == 1


def test_f63_a_hard_link_keeps_what_it_had(path: Path) -> None:
    """F63: another name of the same file, as backup tools make, keeps the old content; no save writes through it."""
    state = saved(path)
    other = path.with_name("kept")
    other.hardlink_to(path)
    before = path.read_bytes()
    with state.lock():
        state.save(state.load())
    assert other.read_bytes() == before
    assert state.load().serial == 2


def test_f65_ring_of_backups(path: Path) -> None:
    """F65: the last 20 serials are kept, newest first; the tombstone of a destroyed namespace stays in the file."""
    state = saved(path, times=30)
    assert [b.serial for b in state.backups()] == list(range(29, 9, -1))
    assert all(b.readable for b in state.backups())
    assert state.load().tombstones == CONTENT["tombstones"]


def test_f57_restore_raises_the_serial(path: Path) -> None:
    """F57, P8: a restored backup gets a serial higher than any before, and what it replaced is kept."""
    state = saved(path, times=3)
    current = path.read_bytes()
    restored = state.restore(1)
    assert restored.serial == 4
    assert state.load() == restored
    assert current in [p.read_bytes() for p in state.backup_directory.iterdir()]


def test_f57_an_old_file_put_back_by_hand_never_repeats_a_serial(path: Path) -> None:
    """F57, P8: an old file that was copied back continues above the newest backup, and no backup is overwritten."""
    state = saved(path)
    old = path.read_bytes()
    saved(path, times=4)
    kept = {b.path: b.path.read_bytes() for b in state.backups()}
    path.write_bytes(old)
    with state.lock():
        after = state.save(replace(state.load(), workers=()))
    assert after.serial == 5
    assert {p: p.read_bytes() for p in kept} == kept


def test_f57_both_lines_of_a_state_file_are_kept(path: Path) -> None:
    """F57: a backup has its serial as name; where an older file was put back and went on, the other line has more."""
    state = saved(path, times=2)
    first = state.backup_directory / "1.json"
    assert [p.name for p in state.backup_directory.iterdir()] == ["1.json"]
    other = first.read_bytes() + b"\n"
    path.write_bytes(other)
    with state.lock():
        state.save(state.load())
    kept = {p.name: p.read_bytes() for p in state.backup_directory.iterdir()}
    assert kept.pop("1.json") not in {other, b""}
    assert list(kept.values()) == [other]


def test_restore_of_a_damaged_file(path: Path) -> None:
    """From a corrupt file one command leads to a usable one; the damaged bytes are kept aside."""
    state = saved(path, times=2)
    path.write_bytes(path.read_bytes()[:-9])
    assert state.restore(1).serial == 3
    assert state.load().namespaces == CONTENT["namespaces"]


def test_restore_of_what_is_not_there(path: Path) -> None:
    """An unknown serial is refused, and the known ones are named."""
    with pytest.raises(StateError, match="there are: 2, 1"):
        saved(path, times=3).restore(9)


def test_save_over_somebody_elses_change_is_refused(path: Path) -> None:
    """P8: a save whose serial is not the file's is refused: no serial is lost, none written twice."""
    state = saved(path)
    stale = state.load()
    with state.lock():
        state.save(stale)
        with pytest.raises(StateError, match="changed by somebody else"):
            state.save(stale)
    assert state.load().serial == 2


def test_save_without_the_lock_is_refused(path: Path) -> None:
    """Nothing is written by whoever does not hold the lock."""
    state = saved(path)
    with pytest.raises(StateError, match="lock"):
        state.save(state.load())


def full(name: str) -> Any:
    """Make `os.<name>` fail as on a full disk."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fail


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_f50_f51_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """F50, F51: when write or fsync fails, the old file stays whole and no temporary file is left."""
    state = saved(path)
    before = path.read_bytes()
    with state.lock():
        state.prepare()
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full(call))
            with pytest.raises(StateError, match="No space left"):
                state.save(state.load())
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir() if p.name.endswith(".tmp")] == []


def test_f64_a_failed_backup_is_fatal_before_anything_is_sent(path: Path) -> None:
    """F64: when the backup cannot be written, `prepare` fails; the deployer calls it before it sends anything."""
    state = saved(path)
    state.backup_directory.parent.mkdir(exist_ok=True)
    state.backup_directory.write_text("in the way")
    with state.lock(), pytest.raises(StateError):
        state.prepare()


def test_f53_conflicting_copy_is_refused(path: Path) -> None:
    """F53: the conflict copy of a synchronised folder is found and named before anything is sent."""
    state = saved(path)
    (path.parent / "state (Ann's conflicted copy 2026-11-01).json").write_bytes(path.read_bytes())
    with pytest.raises(StateError, match="conflicted copy"), state.lock():
        pass


def test_leftovers_of_a_killed_save_are_removed(path: Path) -> None:
    """A temporary file of a killed process is removed before the next deploy."""
    state = saved(path)
    (path.parent / ".state.json.0123456789abcdef.tmp").write_bytes(b"half")
    with state.lock():
        state.prepare()
    assert not list(path.parent.glob(".*.tmp"))


def test_two_state_files_in_one_directory(tmp_path: Path) -> None:
    """State files with names of their own share no lock, journal or backups."""
    one, two = saved(tmp_path / "a.json", times=2), saved(tmp_path / "b.json", times=2)
    assert {one.lock_path, one.journal_path, one.backup_directory}.isdisjoint(
        {two.lock_path, two.journal_path, two.backup_directory}
    )
    with one.lock(), two.lock():
        assert one.load().lineage != two.load().lineage


def test_the_notebook_that_saved_last_is_known_to_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two notebooks with one state file learn of each other; a notebook does not warn of itself, nor without a name."""
    monkeypatch.setenv("JPY_SESSION_NAME", "first.ipynb")
    state = saved(path)
    assert state.other_notebook() is None
    monkeypatch.setenv("JPY_SESSION_NAME", "second.ipynb")
    assert StateFile(path).other_notebook() == "first.ipynb"
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert StateFile(path).other_notebook() is None


def test_the_triggers_of_a_worker_are_read_back(path: Path) -> None:
    """Routes, domains and consumed queues stay as they were recorded."""
    triggers = (
        Trigger(kind="route", key="example.com/*"),
        Trigger(kind="consumer", key="jobs", settings=Json({"max_retries": 3})),
    )
    (worker,) = CONTENT["workers"]
    state = StateFile(path)
    with state.lock():
        state.save(replace(state.load(), **CONTENT | {"workers": (replace(worker, triggers=triggers),)}))
    assert StateFile(path).load().workers[0].triggers == triggers


def test_what_became_of_the_classes_of_a_worker_is_read_back(path: Path) -> None:
    """A class name that a namespace had, and whether it was renamed there or went to another Worker."""
    moved = (
        MovedClass(class_name="Old", namespace_id=NamespaceId("1" * 32), renamed_to="Counter"),
        MovedClass(class_name="Gone", namespace_id=NamespaceId("3" * 32), to_script="other-dev"),
    )
    (worker,) = CONTENT["workers"]
    state = StateFile(path)
    with state.lock():
        state.save(replace(state.load(), **CONTENT | {"workers": (replace(worker, moved=moved),)}))
    assert StateFile(path).load().workers[0].moved == moved


def test_the_journal_is_one_object(path: Path, tmp_path: Path) -> None:
    """It is read once; where the state file is led elsewhere, the journal beside that one counts."""
    state = saved(path)
    journal = state.journal
    assert state.journal is journal
    elsewhere = saved(tmp_path / "elsewhere" / "state.json")
    path.unlink()
    path.symlink_to(elsewhere.path)
    assert state.journal.path == elsewhere.journal.path != journal.path


def test_git_is_told_which_files_are_this_machines(path: Path) -> None:
    """On Cloudflare the state file is to be committed and nothing beside it; a local state not at all."""
    saved(path)
    said = path.with_name(".gitignore").read_text()
    assert [line for line in said.splitlines() if not line.startswith("#")] == [
        "/state.lock",
        "/journal.jsonl",
        "/backups/",
        "/observations.json",
    ]
    assert "Commit state.json" in said
    local = StateFile(path.with_name("local") / "state.json")
    with local.lock():
        local.save(replace(local.load(), api_origin="local:0123"))
    said = (path.with_name("local") / ".gitignore").read_text()
    assert {"/state.json", "/.gitignore", "/state.lock"} <= set(said.splitlines())


def test_a_gitignore_that_is_there_is_left_alone(path: Path) -> None:
    """`--state` may put the file into a directory of the user's, whose .gitignore is the user's."""
    path.parent.mkdir(parents=True)
    path.with_name(".gitignore").write_text("mine\n")
    saved(path)
    assert path.with_name(".gitignore").read_text() == "mine\n"
