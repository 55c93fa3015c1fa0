"""A process that goes through the stages of a project and is killed at one of its effects.

Run as a program it reads orders, one JSON line each, forks a child for each, and answers how the child ended. The
child counts its effects (what reaches the disk or the network) and ends itself with SIGKILL at the one it was told:
before it, after it, or half-way through the first write from there on.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))

from account_model import Account, client_of
from project import Project, worker_of

from notebook_do.cloudflare.client import Client
from notebook_do.cloudflare.http import Connections
from notebook_do.credentials.token import Token
from notebook_do.deploy import run
from notebook_do.deploy.recover import recover
from notebook_do.state.file import StateFile

if TYPE_CHECKING:
    import httpx

STEPS = ("open", "write", "pwrite", "fsync", "ftruncate", "replace", "unlink", "mkdir", "chmod")
"""The calls of `os` through which everything reaches the disk."""


class Killer:
    """Counts effects and ends this process at effect number `at`, in `phase`."""

    def __init__(self, at: int, phase: str, log: Path) -> None:
        self.at, self.phase, self.count, self.log = at, phase, 0, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.really_write, self.turn = os.write, threading.RLock()

    def note(self, what: str) -> bool:
        """Count an effect, on whatever thread; True when it is the one."""
        with self.turn:
            self.count += 1
            self.really_write(self.log, f"{what}\n".encode())
            if self.count == self.at and self.phase == "before":
                self.die()
            return self.count == self.at

    def die(self) -> None:
        """End now, without any clean-up."""
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()

    def arm(self) -> None:
        """Wrap the calls of `os`."""
        for name in STEPS:
            setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name: str, call: Any) -> Any:
        """Count `call` unless it only reads."""

        def effect(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & (os.O_CREAT | os.O_TRUNC):
                return call(*args, **kwargs)
            mine = self.note(f"disk {name}" + (f" {Path(args[1]).name}" if name == "replace" else ""))
            if self.phase.startswith("torn") and name == "write" and self.count >= self.at:
                call(args[0], bytes(args[1])[: int(self.phase[4:])])
                self.die()
            result = call(*args, **kwargs)
            if mine and self.phase == "after":
                self.die()
            return result

        return effect


class Wire(Connections):
    """The real network, counted: `after` is after the server's commit and before its answer is seen."""

    def __init__(self, killer: Killer) -> None:
        super().__init__(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))  # loopback: no certificate is asked for
        self.killer = killer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Count the request, and the time between commit and answer."""
        mine = self.killer.note(f"net {request.method} {request.url.path.rsplit('/workers/', 1)[-1]}")
        response = await super().handle_async_request(request)
        await response.aread()
        if mine and self.killer.phase == "after":
            self.killer.die()
        return response


def stages(form: Any) -> tuple[tuple[tuple[Any, ...], tuple[str, ...]], ...]:
    """Declare 3 Workers and 4 namespaces; rename one and move another; destroy one. `form` is the lifecycle."""
    from dataclasses import replace

    one = worker_of("one", {"a": "A", "b": "B"}, lifecycle=form)
    two = worker_of("two", {"c": "C", "d": "D"}, lifecycle=form, crons=("0 * * * *",))
    guest = worker_of("guest", {}, uses=("a",), url=False)
    renamed = worker_of("one", {"a": "A2", "b": "B", "d": "D"}, lifecycle=form)
    moved = tuple(replace(n, transferred_from="two") if n.id == "d" else n for n in renamed)
    less = worker_of("two", {"c": "C"}, lifecycle=form, crons=("0 * * * *",))
    without = worker_of("one", {"a": "A2", "d": "D"}, lifecycle=form)
    return (
        ((*one, *two, *guest), ()),
        ((*moved, *less, *guest), ()),
        ((*without, *less, *guest), ("b",)),
    )


def later(path: Path) -> float:
    """Let a day pass since the last run in this directory: what was sent then can no longer be carried out."""
    now = (float(path.read_text()) if path.exists() else 0.0) + 86_400
    path.write_text(str(now))
    return now


async def go(order: dict[str, Any], killer: Killer) -> None:
    """Go through the stages from the one ordered; each has to end with an empty plan."""
    state = StateFile(order["state"])
    run.AT_ONCE = order["at_once"]

    def client() -> Client:
        return Client(
            order["base"],
            order["account"],
            Token(order["token"]),
            origin=order.get("origin", "model"),
            transport=Wire(killer),
        )

    project = Project(state, client, time=later(Path(order["progress"] + ".time")))
    for number, (declared, destroy) in enumerate(stages(order["form"])):
        if number < order["stage"]:
            continue
        if number > order.get("last", 9):
            break
        Path(order["progress"]).write_text(str(number))  # noqa: ASYNC240 - nothing else runs
        project.declared = declared
        async with client() as one:
            await recover(client=one, state=state, now=lambda: project.time)
        known = {n.stable_id for n in state.load().namespaces}
        project.destroy = tuple(i for i in destroy if i in known)
        for _ in range(1 + order.get("more", 0)):
            plan = await project.plan()
            if plan.refusals:
                raise SystemExit(f"stage {number}: refused: {plan.refusals}")
            if plan.steps:
                await project.deploy(plan)
                project.destroy = ()
        if rest := (await project.plan()).steps:
            raise SystemExit(f"stage {number}: not clean after it: {[s.summary for s in rest]}")


def child(order: dict[str, Any]) -> None:
    """Run one order in this process; never returns."""
    error = 1
    try:
        killer = Killer(order["at"], order["phase"], Path(order["log"]))
        killer.arm()
        asyncio.run(go(order, killer))
        error = 0
    except BaseException as problem:  # noqa: BLE001 - a forked child must not run its parent's clean-up
        Path(order["error"]).write_text(f"{type(problem).__name__}: {problem}")
    finally:
        os._exit(error)


def main() -> None:
    """Answer each order with the wait status of its child. What a child would import is imported here, once."""
    with tempfile.TemporaryDirectory() as directory:
        state = StateFile(Path(directory) / "warm" / "state.json")
        asyncio.run(Project(state, lambda: client_of(Account()), stages("exports")[0][0]).run())
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(order)
        _, status = os.waitpid(pid, 0)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
