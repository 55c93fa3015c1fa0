"""The kernels of a history: processes that use the public API only, and are killed with SIGKILL where a history says.

Run as a program it listens on a Unix socket with everything imported, and forks a kernel for each connection. A kernel
reads orders, one JSON line each, and answers each with one line; an answer never holds more than a user would see.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

_really_time = time.time
later = 0.0
"""Seconds by which the clock of this process is ahead; notebook_do is imported after this and sees no other clock."""
time.time = lambda: _really_time() + later

sys.path.insert(0, str(Path(__file__).parent.parent / "deploy"))

from crashing import Killer  # noqa: E402

import notebook_do as nd  # noqa: E402
import notebook_do.sessions.opening as session_module  # noqa: E402
from notebook_do.bridge import bridge  # noqa: E402
from notebook_do.cloudflare.http import Connections  # noqa: E402
from notebook_do.cloudflare.retry import Pace  # noqa: E402

if TYPE_CHECKING:
    import httpx

HASTE = 0.02
"""What is left of each wait of a client: nothing else of it is changed."""
_really_send = Connections.handle_async_request
_really_wait = Pace.wait


class SomeEffects(Killer):
    """Counts only effects of one kind: `net` that change something, `disk`, or any."""

    def __init__(self, at: int, phase: str, kind: str) -> None:
        super().__init__(at, phase, Path(os.devnull))
        self.wanted = {"net": r"net (PUT|POST|PATCH|DELETE)", "disk": "disk", "any": ""}[kind]

    def note(self, what: str) -> bool:
        """Count an effect if it is of the kind; True when it is the one."""
        return bool(re.match(self.wanted, what)) and super().note(what)


def arm(at: int, phase: str, kind: str) -> SomeEffects:
    """End this process at an effect: `before` it, `after` it, `sentN` (N ms after the request left), or `tornN`."""
    killer = SomeEffects(at, phase, kind)
    killer.arm()

    async def send(self: Connections, request: httpx.Request) -> httpx.Response:
        mine = killer.note(f"net {request.method} {request.url.path}")
        if mine and phase.startswith("sent"):
            await asyncio.wait([asyncio.ensure_future(_really_send(self, request))], timeout=int(phase[4:]) / 1000)
            killer.die()
        response = await _really_send(self, request)
        await response.aread()
        if mine and phase == "after":
            killer.die()
        return response

    Connections.handle_async_request = send  # type: ignore[method-assign]
    return killer


def in_haste() -> None:
    """Let every wait of a client be short."""

    async def wait(self: Pace, seconds: float, why: str) -> None:
        await _really_wait(self, seconds * HASTE, why)

    Pace.wait = wait  # type: ignore[method-assign]


class Kernel:
    """One kernel with one session."""

    def __init__(self) -> None:
        self.session: Any = None
        self.plan: Any = None

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry one order out."""
        if kill := order.get("kill"):
            arm(**kill)
        answer: dict[str, Any] = getattr(self, f"do_{order['do']}")(**order.get("with", {}))
        return answer

    def do_open(self, directory: str, data: str, secret: str, ahead: float) -> dict[str, Any]:
        """Open the session as its first cell does."""
        global later  # noqa: PLW0603 - the clock of a process is one
        later = ahead
        os.chdir(directory)
        os.environ.update(NOTEBOOK_DO_DATA=data, HISTORY_SECRET=secret, NOTEBOOK_DO_KEYS=f"{data}/../keys")
        in_haste()
        self.session = nd.session("app", stage="production")
        return {"pid": os.getpid()}

    def do_secret(self, value: str) -> dict[str, Any]:
        """Give the secret another value."""
        os.environ["HISTORY_SECRET"] = value
        return {}

    def do_declare(self, namespaces: list[dict[str, Any]], workers: list[dict[str, Any]]) -> dict[str, Any]:
        """Run all cells; what was declared before and is not among them is forgotten."""
        catalog = self.session.catalog
        for id_ in list(catalog.workers):
            self.session.forget("worker", id_)
        for id_ in list(catalog.namespaces):
            self.session.forget("namespace", id_)
        made = {n["id"]: nd.DurableObjectNamespace(**n) for n in namespaces}
        for worker in workers:
            bound: dict[str, Any] = {name: made[id_] for name, id_ in worker.pop("bound").items()}
            if worker.pop("secret"):
                bound["SECRET"] = nd.Secret.from_env("HISTORY_SECRET")
            bound |= worker.pop("vars")
            nd.Worker(**worker, bindings=bound)
        return {}

    def do_plan(self, destroy: tuple[str, ...] = ()) -> dict[str, Any]:
        """Plan, and say what a reader of the plan sees."""
        self.plan = plan = self.session.plan(destroy=destroy)
        return {
            "digest": plan.digest,
            "empty": plan.empty,
            "steps": [s.summary for s in plan.steps],
            "refusals": [
                {"code": r.code, "subject": r.subject, "message": r.message, "choices": list(r.choices)}
                for r in plan.refusals
            ],
            "consents": [{"phrase": c.phrase, "namespace_id": c.namespace_id} for c in plan.consents],
            "drift": [c.detail for c in plan.drift],
            "changes": [
                {
                    "action": str(c.action),
                    "kind": c.kind,
                    "id": c.id,
                    "detail": c.detail,
                    "namespace_id": c.namespace_id,
                }
                for c in plan.changes
            ],
            "warnings": list(plan.warnings),
            "undecided": {u.script_name: u.detail for u in plan.undecided},
            "shown": plan.to_json() + repr(plan),
        }

    def do_deploy(self, confirm: tuple[str, ...] = ()) -> dict[str, Any]:
        """Press the button."""
        result = self.session.deploy(self.plan, confirm=confirm)
        return {"outcomes": [[o.text, o.status, o.detail] for o in result.outcomes], "shown": repr(result)}

    def do_import(self, workers: tuple[str, ...] = ()) -> dict[str, Any]:
        """Adopt live Workers (none named: all) as they are; their cells are declared."""
        found = self.session.import_(*workers, from_account=not workers)
        spaces = [d for d in found.declarations if type(d).__name__ == "Namespace"]
        return {
            "namespaces": [
                {"id": n.id, "class_name": n.class_name, "script": n.script_name, "namespace_id": n.namespace_id}
                for n in spaces
            ],
            "workers": [d.id for d in found.declarations if type(d).__name__ == "Worker"],
            "notes": list(found.notes),
            "shown": "\n".join(found.cells),
        }

    def do_backups(self) -> dict[str, Any]:
        """List the serials that can be restored."""
        return {"serials": [b.serial for b in self.session.state.backups() if b.readable]}

    def do_restore(self, serial: int) -> dict[str, Any]:
        """Make a backup the state file again."""
        return {"serial": self.session.state.restore(serial).serial}

    def do_recorded(self) -> dict[str, Any]:
        """Read the state file."""
        recorded = self.session.recorded()
        return {
            "serial": recorded.serial,
            "namespaces": {n.stable_id: n.namespace_id for n in recorded.namespaces},
            "workers": [w.script_name for w in recorded.workers],
        }

    def do_export(self, directory: str) -> dict[str, Any]:
        """Write wrangler projects."""
        return {"files": [str(p) for p in self.session.export_wrangler(directory)]}


def serve(connection: socket.socket) -> None:
    """Be one kernel until the history hangs up; what is no DurableError is answered as a crash."""
    kernel, file = Kernel(), connection.makefile("rw")
    for line in file:
        order = json.loads(line)
        try:
            answer = kernel.obey(order)
        except nd.DurableError as error:
            answer = {"error": type(error).__name__, "message": str(error), "shown": repr(error)}
            if error.result is not None:
                answer["outcomes"] = [[o.text, o.status, o.detail] for o in error.result.outcomes]
        except Exception:  # noqa: BLE001 - this is what a history looks for
            answer = {"crash": traceback.format_exc()}
        file.write(json.dumps(answer) + "\n")
        file.flush()


def warm() -> None:
    """Import what a kernel would import at its first plan."""
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        import notebook_do.cloudflare.client
        import notebook_do.deploy
        import notebook_do.interchange.importing
        import notebook_do.live.observe
        import notebook_do.local.process.launch
        import notebook_do.plan.build
        import notebook_do.toolchain  # noqa: F401

        os.chdir("/")
    assert session_module._current is None
    assert bridge._thread is None


def main(path: str) -> None:
    """Fork a kernel for each connection; end when the one that started us is gone."""
    warm()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(2.0)
        parent = os.getppid()
        while os.getppid() == parent:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                connection.settimeout(None)
                serve(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
