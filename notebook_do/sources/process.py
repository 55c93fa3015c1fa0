"""The processes of esbuild: one makes one bundle after the other, as its start takes longer than most bundles."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import threading
from functools import cache
from typing import TYPE_CHECKING

from notebook_do.toolchain import ESBUILD_VERSION

if TYPE_CHECKING:
    from pathlib import Path


class Service:
    """A process of esbuild, which makes one bundle after the other."""

    def __init__(self, program: Path) -> None:
        self.program, self.greeted = program, False
        command = [str(program), f"--service={_version(program)}"]
        self.process = subprocess.Popen(  # noqa: S603 - the pinned binary, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr  # noqa: PT018, S101 - all are pipes
        self.questions, self.answers, self.errors = self.process.stdin, self.process.stdout, self.process.stderr

    def end(self) -> None:
        """End the process; it writes nothing that could be cut short."""
        self.process.kill()
        for stream in (self.questions, self.answers, self.errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self.process.wait()


class Spare:
    """The process that waits for the next bundle, one at most.

    It ends with this process, whose end closes its pipes.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._service: Service | None = None
        if hasattr(os, "register_at_fork"):  # not on Windows, where nothing is forked
            os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.end)

    def take(self, program: Path) -> Service | None:
        """Return the process that waits, if it is there and of this program."""
        with self._turn:
            service, self._service = self._service, None
        if service is not None and (service.program != program or service.process.poll() is not None):
            service.end()
            return None
        return service

    def keep(self, service: Service) -> None:
        """Let a process wait in the place of the one that does."""
        with self._turn:
            before, self._service = self._service, service
        if before is not None:
            before.end()

    def end(self) -> None:
        """End the process that waits."""
        with self._turn:
            service, self._service = self._service, None
        if service is not None:
            service.end()

    def _forget(self) -> None:
        """Leave the process to the one that was forked: two cannot hold one conversation."""
        self._turn, self._service = threading.Lock(), None


@cache
def _version(program: Path) -> str:
    """Return the version that an esbuild wants to be greeted with: the pinned one, or that of the user's own."""
    if "NOTEBOOK_DO_ESBUILD" not in os.environ:
        return ESBUILD_VERSION
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or ESBUILD_VERSION
