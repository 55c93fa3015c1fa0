"""The lock: one winner, known to the losers, freed by death, and never believed where it does not exclude."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sharing import open_below

from notebook_do.errors import StateError, StateLocked
from notebook_do.model import Recorded
from notebook_do.state.file import StateFile
from notebook_do.state.lock import hold, may_be_held

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def state(tmp_path: Path) -> StateFile:
    """Give a state file of the test's own."""
    return StateFile(tmp_path / "dev" / "state.json")


HOLDER = """
    import sys, time
    from notebook_do.state.file import StateFile
    with StateFile(sys.argv[1]).lock() as holder:
        print(holder.lock_id, flush=True)
        sys.stdin.read()
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a process that runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "JPY_SESSION_NAME": "/books/tour.ipynb"},
    )


@pytest.fixture
def holder(state: StateFile) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lock."""
    process = python(HOLDER, str(state.path))
    assert process.stdout
    process.lock_id = process.stdout.readline().strip()  # type: ignore[attr-defined]
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_f44_the_loser_is_told_who_holds_it(state: StateFile, holder: subprocess.Popen[str]) -> None:
    """F44: a second process is refused at once, and learns pid, host, notebook, time and lock id of the holder."""
    with pytest.raises(StateLocked) as caught, state.lock():
        pass
    for word in (str(holder.pid), os.uname().nodename, "/books/tour.ipynb", "since 20", holder.lock_id):  # type: ignore[attr-defined]
        assert word in str(caught.value)


def test_f44_killed_holder_frees_it(state: StateFile, holder: subprocess.Popen[str]) -> None:
    """F44: when the holder is killed, the next deploy has the lock at once, without an unlock."""
    holder.kill()
    holder.wait(timeout=60)
    with state.lock() as mine:
        assert mine.pid == os.getpid()


def test_f47_a_child_process_does_not_inherit_it(state: StateFile) -> None:
    """F47: a process that the holder started keeps running, the holder dies, and the lock is free."""
    code = """
        import subprocess, sys
        from notebook_do.state.file import StateFile
        with StateFile(sys.argv[1]).lock():
            waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
            child = subprocess.Popen(waits, stdin=subprocess.PIPE, close_fds=False)
            print(child.pid, flush=True)
            sys.stdin.read()
    """
    process = python(code, str(state.path))
    assert process.stdout
    child = int(process.stdout.readline())
    process.kill()
    process.wait(timeout=60)
    try:
        with state.lock():
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate(timeout=60)


def test_two_threads_of_one_process(state: StateFile) -> None:
    """F40: a second thread of the same process is refused as a second process is."""
    refused: list[Exception] = []

    def second() -> None:
        try:
            with state.lock():
                pass
        except StateLocked as error:
            refused.append(error)

    with state.lock():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=60)
    assert len(refused) == 1
    with state.lock():
        pass


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (errno.ENOLCK, "has no file locks"),
        (errno.ENOTSUP, "has no file locks"),
        (errno.EIO, "refused the lock"),
        (None, "do not exclude"),
    ],
)
def test_f53_locks_that_are_none(
    state: StateFile, monkeypatch: pytest.MonkeyPatch, failure: int | None, words: str
) -> None:
    """F53: a file system without locks, or with locks that exclude nobody, is refused with what to do."""

    def flock(*_: Any) -> None:
        if failure is not None:
            raise OSError(failure, os.strerror(failure))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        with pytest.raises(StateError, match=words) as caught, state.lock():
            pass
        assert "--state PATH" in str(caught.value)
    with state.lock():
        pass


def test_f52_read_only_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """F52: where nothing can be written, the lock already says so, and names another way; reading still works."""
    code = """
        import os, sys
        from notebook_do.errors import StateError
        from notebook_do.state.file import StateFile
        os.setgid(65534); os.setuid(65534)
        state = StateFile(sys.argv[1])
        print(state.load().serial)
        try:
            with state.lock():
                print("locked")
        except StateError as error:
            print(error)
    """
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    # Not below `tmp_path`: pytest lets nobody else in, and does so again whenever it is started.
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        process = python(code, str(Path(place, "new", "state.json")))
        told, _ = process.communicate(timeout=60)
    assert told.startswith("0\n")
    assert "Permission denied" in told
    assert "--state PATH" in told


def test_f66_unlock_wants_the_right_id(state: StateFile, holder: subprocess.Popen[str]) -> None:
    """F66: without the lock's own id nothing is unlocked; the right id is shown."""
    with pytest.raises(StateError, match=holder.lock_id):  # type: ignore[attr-defined]
        state.unlock("00000000")


def test_f66_unlock_refuses_while_the_holder_lives(state: StateFile, holder: subprocess.Popen[str]) -> None:
    """F66: a lock of a living process of this host is not broken."""
    with pytest.raises(StateLocked, match="is alive"):
        state.unlock(holder.lock_id)  # type: ignore[attr-defined]
    assert state.holder() is not None


def test_f66_unlock_after_death(state: StateFile, holder: subprocess.Popen[str]) -> None:
    """F66: the note of a dead holder is cleared."""
    holder.kill()
    holder.wait(timeout=60)
    assert "its holder is gone" in state.unlock(holder.lock_id)  # type: ignore[attr-defined]
    assert state.holder() is None


def test_f66_a_broken_lock_stops_its_old_holder(state: StateFile) -> None:
    """F66: a lock held on another host can be broken; whoever had it saves nothing any more, the next one does."""
    with state.lock() as mine:
        note = json.loads(state.lock_path.read_bytes()) | {"host": "another-host"}
        state.lock_path.write_text(json.dumps(note))
        assert "another-host was broken" in StateFile(state.path).unlock(mine.lock_id)
        with pytest.raises(StateError, match="the lock was taken away"):
            state.save(state.load())
    assert not state.exists


def test_the_note_is_private_and_goes_away(state: StateFile) -> None:
    """The note is readable by the user alone and empty when nobody holds the lock."""
    with state.lock():
        assert state.lock_path.stat().st_mode & 0o777 == 0o600
        assert state.holder() is not None
    assert state.holder() is None


def test_the_note_is_private_in_a_file_that_was_open_to_others(state: StateFile) -> None:
    """A lock file that a careless copy made readable to all is private again before the note is in it."""
    state.path.parent.mkdir(mode=0o700)
    state.lock_path.touch(mode=0o644)
    with state.lock():
        assert state.lock_path.stat().st_mode & 0o777 == 0o600


def test_whether_a_deploy_may_be_running(state: StateFile, holder: subprocess.Popen[str]) -> None:
    """As far as the note tells: while its process lives; on another machine nobody can know, so it may."""
    assert may_be_held(state.lock_path)
    holder.kill()
    holder.wait(timeout=60)
    assert not may_be_held(state.lock_path)
    with state.lock():
        assert may_be_held(state.lock_path)
        note = json.loads(state.lock_path.read_bytes())
    assert not may_be_held(state.lock_path)
    state.lock_path.write_text(json.dumps(note))
    assert not may_be_held(state.lock_path), "this very process wrote it, and holds nothing"
    state.lock_path.write_text(json.dumps(note | {"host": "another-host"}))
    assert may_be_held(state.lock_path)


def test_a_lock_file_that_is_a_link_is_refused(state: StateFile, tmp_path: Path) -> None:
    """S21: a planted link in the place of the lock is not followed."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    state.path.parent.mkdir(mode=0o700)
    state.lock_path.symlink_to(victim)
    with pytest.raises(StateError), state.lock():
        pass
    assert victim.read_text() == "mine"


RACER = """
    import os, sys
    from notebook_do.errors import StateError, StateLocked
    from notebook_do.state.file import StateFile
    from dataclasses import replace
    state = StateFile(sys.argv[1])
    for line in sys.stdin:                       # the round's serial: all racers plan on it
        try:
            with state.lock():
                state.save(replace(state.load(), serial=int(line), account_id=str(os.getpid())))
            word = "won"
        except StateLocked:
            word = "locked"
        except StateError:
            word = "stale"
        print(word, os.getpid(), flush=True)
"""


@pytest.mark.parametrize("rounds", [15, pytest.param(300, marks=pytest.mark.thorough)])
def test_f44_eight_processes_race(state: StateFile, rounds: int) -> None:
    """F44: of 8 processes that all planned on serial n exactly one saves n + 1, in every round."""
    with state.lock():
        state.save(Recorded(lineage=state.load().lineage))
    racers = [python(RACER, str(state.path)) for _ in range(8)]
    try:
        for number in range(1, rounds + 1):
            for racer in racers:
                assert racer.stdin
                racer.stdin.write(f"{number}\n")
                racer.stdin.flush()
            told = [racer.stdout.readline().split() for racer in racers if racer.stdout]
            (winner,) = [pid for word, pid in told if word == "won"]
            assert (state.load().serial, state.load().account_id) == (number + 1, winner)
        assert state.holder() is None
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate(timeout=60)


def test_hold_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    """A lock that could not be opened can be tried again in the same process."""
    with pytest.raises(StateError), hold(tmp_path / "no" / "state.lock"):
        pass
    (tmp_path / "no").mkdir()
    with hold(tmp_path / "no" / "state.lock"):
        pass


def test_no_descriptor_is_left_when_the_lock_cannot_be_had(state: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the attempt ends, the lock file is closed: an open one would keep the lock for the life of the kernel."""

    def descriptors() -> int:
        return len(open_below(state.path.parent))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with state.lock():
        pass
    before = descriptors()
    for name in ("_try_flock", "_must_exclude"):
        with monkeypatch.context() as patch:
            patch.setattr(f"notebook_do.state.lock.{name}", interrupted)
            with pytest.raises(KeyboardInterrupt), state.lock():
                pass
        assert descriptors() == before
    with state.lock():
        assert descriptors() == before + 1
    assert descriptors() == before


PRETENDERS = {
    "every lock is granted": "fcntl.flock = lambda *_: None",
    "no locks (ENOLCK)": "fcntl.flock = refuse(errno.ENOLCK)",
    "no locks (ENOTSUP)": "fcntl.flock = refuse(errno.ENOTSUP)",
    "locks that only this process sees": "fcntl.flock = seen_here",
}
PRETENDING = """
    import errno, fcntl, os, sys
    from notebook_do.errors import StateError
    from notebook_do.state.file import StateFile

    def refuse(number):
        def flock(*_):
            raise OSError(number, os.strerror(number))
        return flock

    held = set()
    def seen_here(fd, _):
        if (one := os.fstat(fd).st_ino) in held:
            raise BlockingIOError(errno.EAGAIN, "held")
        held.add(one)

    PRETENCE
    for number in (1, 2):  # a refusal is no proof: the second time is refused too
        held.clear()
        try:
            with StateFile(sys.argv[1], locking=sys.argv[2]).lock() as holder:
                print("held by", holder.pid == os.getpid())
        except StateError as error:
            print(error)
"""


@pytest.mark.parametrize("locking", ["exclusive", "cas-only"])
@pytest.mark.parametrize("pretence", PRETENDERS)
def test_f53_a_process_whose_locks_are_none(state: StateFile, pretence: str, locking: str) -> None:
    """F53: locks that no second process respects are refused in one line with both ways out; cas-only goes on."""
    process = python(textwrap.dedent(PRETENDING).replace("PRETENCE", PRETENDERS[pretence]), str(state.path), locking)
    told = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    assert len(told) == 2
    for line in told:
        if locking == "cas-only":
            assert line == "held by True"
        else:
            assert "file locks" in line
            assert "--state PATH" in line
            assert "--lock cas-only" in line


def test_f53_cas_only_still_waits_for_a_lock_that_works(state: StateFile, holder: subprocess.Popen[str]) -> None:
    """F53: with cas-only a lock that does exclude is respected: the second deploy is refused, and told by whom."""
    with pytest.raises(StateLocked, match=str(holder.pid)), StateFile(state.path, locking="cas-only").lock():
        pass


def test_f53_a_probe_that_cannot_run_proves_nothing(state: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """F53: where no second process can be started, the lock is refused rather than believed, and let go of."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(StateError, match=r"could not be tried out \(FileNotFoundError\)"), state.lock():
            pass
    with state.lock():
        pass


def test_f53_the_second_process_is_asked_once_a_directory(
    state: StateFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F53: the proof holds for the directory and for no other; the second process gets no variable of ours."""
    seen: list[dict[str, str]] = []
    run = subprocess.run

    def counted(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["env"])
        return run(*args, **kwargs)

    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "canary-0123456789abcdef")
    monkeypatch.setattr(subprocess, "run", counted)
    for one, count in ((state, 1), (state, 1), (StateFile(tmp_path / "other" / "state.json"), 2)):
        with one.lock():
            pass
        assert len(seen) == count
    assert all(set(env) <= {"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} for env in seen)
