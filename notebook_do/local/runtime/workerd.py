"""One workerd process: started, known to be ready, drained of its output, and surely ended.

It gets no environment, no descriptor that it does not need and its own process group. It dies with the process that
started it (Linux). Its output is always read, because a full pipe hangs it (after about 64 kB). Its configuration,
which can hold secrets, is a private file that is removed once it was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import re
import signal
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import TargetError, ToolchainError
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OUTPUT_LINES = 200  # enough for one script's error
OUTPUT_LINE = 4096
_PR_SET_PDEATHSIG = 1
_FILES = 1 << 16
_log = logging.getLogger(__name__)


class DidNotStart(Exception):  # noqa: N818 - what happened, not whose error it is
    """workerd ended before it was ready; `lines` is what it said."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Keep what workerd said."""
        self.lines = tuple(lines)
        super().__init__(readable(self.lines))


class Absent(TargetError):  # noqa: N818 - what is the case
    """There is no workerd where it was, and none could be fetched; `message` says so in one line."""


class Workerd:
    """A running workerd. `ended` is set when the process is gone, for whatever reason."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Wrap a process that `start_workerd` made, and begin to read its output."""
        self.process = process
        self.pid = process.pid
        self.errors: deque[str] = deque(maxlen=OUTPUT_LINES)
        self.ended = asyncio.Event()
        self._reader = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        errors = self.process.stderr
        try:
            while errors is not None and (chunk := await errors.read(1 << 16)):
                self.errors.extend(line[:OUTPUT_LINE] for line in chunk.decode("utf-8", "replace").splitlines())
        finally:
            await self.process.wait()
            self.ended.set()

    async def stop(self, grace: float) -> None:
        """End it: SIGTERM, then SIGKILL after `grace` seconds, as it never ends by itself with a websocket open.

        A kill is safe: of about 36,000 acknowledged writes in 36 trials none was lost.
        """
        if grace > 0 and not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                self.process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(self.ended.wait(), grace)
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.ended.wait()


async def start_workerd(  # noqa: PLR0913 - what is started, and how long it may take
    workerd: Path,
    config: str,
    *,
    folder: Path,
    sockets: Iterable[str],
    timeout: float = 30.0,  # noqa: ASYNC109 - it ends a process, not only a wait
    cpu_seconds: int | None = None,
) -> Workerd:
    """Start workerd with `config` and return when every one of `sockets` listens.

    Raises DidNotStart when it ends before it is ready, TimeoutError when it is not ready in time, or needs more than
    `cpu_seconds` of the processor for it (Linux), Absent when there is no such program any more: it is looked for, and
    fetched, once more before that.
    """
    if not os.access(workerd, os.X_OK):  # a cache may be cleared while the server runs
        workerd = await _found_again(workerd)
    reading, writing = os.pipe()
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="config-") as private:
            path = Path(private) / "config.capnp"
            with open(path, "x", encoding="utf-8", opener=_private) as file:  # noqa: ASYNC230 - a few kilobytes
                file.write(config)
            try:
                running = await _spawn(workerd, path, writing, cpu_seconds)
            except (FileNotFoundError, PermissionError) as error:
                raise Absent(f"workerd cannot be started from {workerd} ({error.strerror}); try again.") from None
            finally:
                os.close(writing)  # workerd has the only copy now: its end is the end of what can be read
            try:
                ready = await asyncio.wait_for(_listening(reading, set(sockets)), timeout)
            except BaseException:
                await running.stop(0)
                raise
    finally:
        os.close(reading)
    if not ready:
        await running.stop(0)
        if running.process.returncode == -signal.SIGXCPU:
            raise TimeoutError
        raise DidNotStart(running.errors)
    return running


async def _found_again(workerd: Path) -> Path:
    try:
        found = await asyncio.to_thread(find_workerd)
    except ToolchainError as error:
        raise Absent(f"workerd is gone from {workerd}, and could not be had again: {error}") from None
    _log.warning("workerd was gone from %s; %s is used", workerd, found)
    return found


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


async def _spawn(workerd: Path, config: Path, control: int, cpu_seconds: int | None) -> Workerd:
    # `-I /`: Cap'n Proto looks up an absolute path of `embed` below the folders that it is given.
    process = await asyncio.create_subprocess_exec(
        str(workerd),
        *("serve", "--experimental", "-I", "/", f"--control-fd={control}"),
        str(config),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,  # what Workers log, which comes as tail events too
        stderr=asyncio.subprocess.PIPE,
        env={},  # a Worker must not find what this process was started with
        cwd=str(config.parent),
        pass_fds=[control],
        start_new_session=True,  # Ctrl-C in a terminal goes to a whole group: the end is ours to order
        preexec_fn=_tied_to_parent(),
    )
    _set_limits(process.pid, cpu_seconds)
    return Workerd(process)


def _tied_to_parent() -> Callable[[], None] | None:
    """Return what a fresh child runs before workerd, so that it cannot outlive us; only Linux has it."""
    if sys.platform != "linux":
        return None
    # All is looked up here: after the fork, a lock that another thread held (of the import system, say) stays held.
    prctl, parent, leave = ctypes.CDLL(None).prctl, os.getpid(), os._exit

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the signal was asked for, so none will come
            leave(1)

    return tie


def _set_limits(pid: int, cpu_seconds: int | None) -> None:
    """Let workerd open about nine files for each Worker: an island of 120 Workers fails at the usual 1,024."""
    if sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(ProcessLookupError, PermissionError):
        if cpu_seconds is not None:
            # A second more before SIGKILL, so that the signal tells the reason; and no core of a gigabyte for it.
            resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
            resource.prlimit(pid, resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (wanted, hard))


async def _listening(ready: int, wanted: set[str]) -> bool:
    """Read the control descriptor until all `wanted` sockets listen; False when the process ended instead."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()
    missing = set(wanted)
    rest = b""

    def read() -> None:
        nonlocal rest
        chunk = os.read(ready, 1 << 16)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event.get("event") == "listen":
                missing.discard(event["socket"])
        if not done.done() and (not chunk or not missing):
            done.set_result(not missing)

    loop.add_reader(ready, read)
    try:
        return await done
    finally:
        loop.remove_reader(ready)


# Its own source positions, stacks and warnings, and what only follows from a fault that was named before.
_NOISE = re.compile(r"^(?:workerd/|\*\*\* |stack: |.*\bwarning: |.* refers to service \"assets:).*")
_PLACE = re.compile(r"(?:(?:/[^\s:\"']+)*/)?config\.capnp:[\d:-]+\s*(?:error: )?")
_SERVICE = re.compile(r"^service \S+?: |file:///bundle/")
_UNKNOWN_FLAG = "No such compatibility flag: "


def readable(output: Iterable[str]) -> str:
    """Return what workerd said of a script, without its own source positions, paths and service names."""
    lines = [_PLACE.sub("", _SERVICE.sub("", line)) for line in output if line.strip() and not _NOISE.match(line)]
    # Said once for all of them: a Worker has one line, whatever it misspelt.
    if unknown := [line.removeprefix(_UNKNOWN_FLAG) for line in lines if line.startswith(_UNKNOWN_FLAG)]:
        return (
            f"{_UNKNOWN_FLAG}{', '.join(unknown)}; correct it, leave it out, or deploy to Cloudflare, whose runtime "
            "may be newer than the local one."
        )
    return "\n".join(lines) or "the script does not start, and workerd did not say why"
