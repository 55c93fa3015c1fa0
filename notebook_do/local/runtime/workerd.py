"""One workerd process: started, known to be ready, drained of its output, and surely ended.

It gets no environment, no descriptor that it does not need and its own process group. It dies with the process that
started it (Linux). Its output is always read, because a full pipe hangs it (after about 64 kB). Its configuration,
which can hold secrets, goes to its standard input and is never a file.
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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from notebook_do.errors import TargetError, ToolchainError
from notebook_do.local.runtime.capnp import Struct, encode
from notebook_do.toolchain import find_workerd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

OUTPUT_LINES = 200  # enough for one script's error
OUTPUT_LINE = 4096
_PR_SET_PDEATHSIG = 1
_FILES = 1 << 16
_END_SECONDS = 5
_log = logging.getLogger(__name__)


class DidNotStart(Exception):  # noqa: N818 - what happened, not whose error it is
    """workerd ended before it was ready; `lines` is what it said."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Keep what workerd said."""
        self.lines = tuple(lines)
        super().__init__(readable(self.lines))


class RuntimeMissing(TargetError):  # noqa: N818 - what is the case
    """There is no workerd where it was, and none could be fetched; or all is being closed. `message` says which."""


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

    def configure(self, config: bytes) -> None:
        """Send its configuration, and nothing after it. It is not there any more if that fails, which `ended` says."""
        if (stdin := self.process.stdin) is not None:
            stdin.write(config)
            stdin.close()

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfigured:
    """A process that waits for its configuration. It is nobody's yet: it has opened nothing and knows nothing.

    `held` closes what the start of it needs: `control`, where it tells what it listens at, and its folder.
    """

    process: Workerd
    control: int
    held: contextlib.ExitStack

    async def run(
        self,
        config: bytes,
        sockets: Iterable[str],
        timeout: float,  # noqa: ASYNC109 - see there
        cpu_seconds: int | None,
    ) -> Workerd:
        """Send it its configuration, and return when it listens. Raises as `start_workerd`."""
        try:
            if cpu_seconds is not None:
                _limit_processor(self.process.pid, cpu_seconds)
            self.process.configure(config)
            ready = await asyncio.wait_for(_listening(self.control, set(sockets)), timeout)
        except BaseException:
            await self.process.stop(0)
            raise
        finally:
            self.held.close()
        if not ready:
            # It has ended by itself, or is about to: a kill in between would hide by what.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.ended.wait(), _END_SECONDS)
            await self.process.stop(0)
            if self.process.process.returncode == -signal.SIGXCPU:
                raise TimeoutError
            raise DidNotStart(self.process.errors)
        return self.process

    async def end(self) -> None:
        """End it unused."""
        await self.process.stop(0)
        self.held.close()


class Start(Protocol):
    """How a process is started; raises as `start_workerd`, which is one when it is told the program and the folder."""

    async def __call__(
        self,
        config: Struct,
        *,
        sockets: Iterable[str],
        timeout: float = ...,  # noqa: ASYNC109 - see there
        cpu_seconds: int | None = ...,
    ) -> Workerd:
        """Start it."""


async def start_workerd(  # noqa: PLR0913 - what is started, and how long it may take
    workerd: Path,
    config: Struct,
    *,
    folder: Path,
    sockets: Iterable[str],
    timeout: float = 30.0,  # noqa: ASYNC109 - it ends a process, not only a wait
    cpu_seconds: int | None = None,
) -> Workerd:
    """Start workerd with `config` and return when every one of `sockets` listens.

    Raises DidNotStart when it ends before it is ready, or a file of the configuration cannot be read, TimeoutError
    when it is not ready in time, or needs more than `cpu_seconds` of the processor for it (Linux), Absent when there
    is no such program any more: it is looked for, and fetched, once more before that.
    """
    message = await message_of(config)
    waiting = await spawn_workerd(workerd, folder)
    return await waiting.run(message, sockets, timeout, cpu_seconds)


async def message_of(config: Struct) -> bytes:
    """Return what workerd reads of a configuration. Raises DidNotStart where a file of it cannot be read."""
    try:
        return await asyncio.to_thread(encode, config)  # it reads every module
    except OSError as error:
        raise DidNotStart([f"a file of its code cannot be read ({error.strerror}): upload the Worker again"]) from None


async def spawn_workerd(workerd: Path, folder: Path) -> Unconfigured:
    """Start a workerd that waits for its configuration, with a place in `folder`. Raises Absent as `start_workerd`."""
    if not os.access(workerd, os.X_OK):  # a cache may be cleared while the server runs
        workerd = await _found_again(workerd)
    with contextlib.ExitStack() as held:
        place = held.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix="config-"))
        control, theirs = os.pipe()
        held.callback(os.close, control)
        try:
            process = await _spawn(workerd, place, theirs)
        except (FileNotFoundError, PermissionError) as error:
            raise RuntimeMissing(f"workerd cannot be started from {workerd} ({error.strerror}); try again.") from None
        finally:
            os.close(theirs)  # workerd has the only copy now: its end is the end of what can be read
        return Unconfigured(process=process, control=control, held=held.pop_all())


async def _found_again(workerd: Path) -> Path:
    try:
        found = await asyncio.to_thread(find_workerd)
    except ToolchainError as error:
        raise RuntimeMissing(f"workerd is gone from {workerd}, and could not be had again: {error}") from None
    _log.warning("workerd was gone from %s; %s is used", workerd, found)
    return found


async def _spawn(workerd: Path, place: str, control: int) -> Workerd:
    process = await asyncio.create_subprocess_exec(
        str(workerd),
        # `-I` has no use but to name the place: whoever takes the directory next finds it by that (`reap`).
        *("serve", "--experimental", "--binary", "-I", place, f"--control-fd={control}"),
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,  # what Workers log, which comes as tail events too
        stderr=asyncio.subprocess.PIPE,
        env={},  # a Worker must not find what this process was started with
        cwd=place,
        pass_fds=[control],
        start_new_session=True,  # Ctrl-C in a terminal goes to a whole group: the end is ours to order
        preexec_fn=_tied_to_parent(),
    )
    _raise_file_limit(process.pid)
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


def _limit_processor(pid: int, seconds: int) -> None:
    if sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(ProcessLookupError, PermissionError):
        # Some seconds more before SIGKILL, so that the signal tells the reason; and no core of a gigabyte for it.
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds + 5))


def _raise_file_limit(pid: int) -> None:
    """Let workerd open about nine files for each Worker: an island of 120 Workers fails at the usual 1,024."""
    if sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(ProcessLookupError, PermissionError):
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
_SERVICE = re.compile(r"^service \S+?: |file:///bundle/")
_UNKNOWN_FLAG = "No such compatibility flag: "


def readable(output: Iterable[str]) -> str:
    """Return what workerd said of a script, without its own source positions, paths and service names."""
    lines = [_SERVICE.sub("", line) for line in output if line.strip() and not _NOISE.match(line)]
    # Said once for all of them: a Worker has one line, whatever it misspelt.
    if unknown := [line.removeprefix(_UNKNOWN_FLAG) for line in lines if line.startswith(_UNKNOWN_FLAG)]:
        return (
            f"{_UNKNOWN_FLAG}{', '.join(unknown)}; correct it, leave it out, or deploy to Cloudflare, whose runtime "
            "may be newer than the local one."
        )
    return "\n".join(lines) or "the script does not start, and workerd did not say why"
