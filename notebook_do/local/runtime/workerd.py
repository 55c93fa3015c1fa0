"""One workerd process: started, known to be ready, drained of its output, and surely ended.

The rules kept here: it gets no environment, no descriptor that it does not need and its own process group; it
dies with the process that started it (Linux); its output is always read, because a full pipe would hang it; its
configuration, which can hold secrets, is a private file that is gone once it was read.
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

OUTPUT_LINES = 200
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
    """There is no workerd where it was, and none could be had; `message` says so in one line."""


class Workerd:
    """A running workerd. `ended` is set when the process is gone, for whatever reason."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Wrap a process that `start` made, and begin to read its output."""
        self.process = process
        self.pid = process.pid
        self.output: deque[str] = deque(maxlen=OUTPUT_LINES)
        self.errors: deque[str] = deque(maxlen=OUTPUT_LINES)
        self.ended = asyncio.Event()
        self.ports: dict[str, int] = {}
        self._reader = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        process = self.process
        try:
            await asyncio.gather(_read(process.stdout, self.output), _read(process.stderr, self.errors))
        finally:
            await process.wait()
            self.ended.set()

    async def stop(self, grace: float) -> None:
        """End it: SIGTERM, then SIGKILL after `grace` seconds (it never ends by itself with a websocket open)."""
        if grace > 0 and not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                self.process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(self.ended.wait(), grace)
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.ended.wait()


async def start(
    workerd: Path,
    config: str,
    *,
    folder: Path,
    sockets: Iterable[str],
    timeout: float = 30.0,  # noqa: ASYNC109 - it ends a process, not only a wait
) -> Workerd:
    """Start workerd with `config` and return when every one of `sockets` listens.

    Raises DidNotStart when it ends before it is ready, TimeoutError when it is not ready in time, Absent when there
    is no such program any more: it is looked for, and fetched, once more before that.
    """
    if not os.access(workerd, os.X_OK):
        workerd = await _found_again(workerd)
    ready, told = os.pipe()
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="config-") as private:
            path = Path(private) / "config.capnp"
            with open(path, "x", encoding="utf-8", opener=_private) as file:  # noqa: ASYNC230 - a few kilobytes
                file.write(config)
            try:
                running = await _spawn(workerd, path, told)
            except (FileNotFoundError, PermissionError) as error:
                raise Absent(f"workerd cannot be started from {workerd} ({error.strerror}); try again.") from None
            finally:
                os.close(told)
            try:
                running.ports = await asyncio.wait_for(_listening(ready, set(sockets)), timeout)
            except BaseException:
                await running.stop(0)
                raise
    finally:
        os.close(ready)
    if not running.ports:
        await running.stop(0)
        raise DidNotStart(running.errors)
    return running


async def _found_again(workerd: Path) -> Path:
    try:
        found = await asyncio.to_thread(find_workerd)
    except ToolchainError as error:
        raise Absent(f"workerd is gone from {workerd}, and could not be had again: {error}") from None
    _log.warning("workerd was gone from %s; %s is used", workerd, found)
    return found


async def _read(pipe: asyncio.StreamReader | None, lines: deque[str]) -> None:
    while pipe is not None and (chunk := await pipe.read(1 << 16)):
        lines.extend(line[:OUTPUT_LINE] for line in chunk.decode("utf-8", "replace").splitlines())


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


async def _spawn(workerd: Path, config: Path, told: int) -> Workerd:
    process = await asyncio.create_subprocess_exec(
        str(workerd),
        *("serve", "--experimental", "-I", "/", f"--control-fd={told}"),
        str(config),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},
        cwd=str(config.parent),
        pass_fds=[told],
        start_new_session=True,
        preexec_fn=_tied_to_parent(),
    )
    _raise_file_limit(process.pid)
    return Workerd(process)


def _tied_to_parent() -> Callable[[], None] | None:
    """Make what a fresh child runs before workerd, so that it cannot outlive us; only Linux has it."""
    if sys.platform != "linux":
        return None
    prctl, parent, leave = ctypes.CDLL(None).prctl, os.getpid(), os._exit

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            leave(1)

    return tie


def _raise_file_limit(pid: int) -> None:
    """Let workerd open about nine files a Worker: an island of 120 Workers fails at the usual 1,024."""
    if sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(ProcessLookupError, PermissionError):
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (wanted, hard))


async def _listening(ready: int, wanted: set[str]) -> dict[str, int]:
    """Read the control descriptor until all `wanted` sockets listen; empty when the process ended instead."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[dict[str, int]] = loop.create_future()
    ports: dict[str, int] = {}
    rest = b""

    def read() -> None:
        nonlocal rest
        chunk = os.read(ready, 1 << 16)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event.get("event") == "listen":
                ports[event["socket"]] = int(event.get("port") or 0)
        if not done.done() and (not chunk or wanted <= ports.keys()):
            done.set_result(ports if wanted <= ports.keys() else {})

    loop.add_reader(ready, read)
    try:
        return await done
    finally:
        loop.remove_reader(ready)


_NOISE = re.compile(r"^(?:workerd/|\*\*\* |stack: |.*\bwarning: |.* refers to service \"assets:).*")
_PLACE = re.compile(r"(?:(?:/[^\s:\"']+)*/)?config\.capnp:[\d:-]+\s*(?:error: )?")
_SERVICE = re.compile(r"^service \S+?: |file:///bundle/")


def readable(output: Iterable[str]) -> str:
    """Give what workerd said of a script, without its own source positions, paths and service names."""
    lines = [_PLACE.sub("", _SERVICE.sub("", line)) for line in output if line.strip() and not _NOISE.match(line)]
    return "\n".join(lines) or "the script does not start, and workerd did not say why"
