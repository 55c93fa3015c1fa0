"""Tries what is only an edit: a workerd that is there loads the new code, where a start would take most of the time.

A script is loaded here once a Worker that differs in nothing but its code has passed a start of its own (`Trials`), and
only what passes is believed. What does not, or not soon, is tried by a start of its own, which has workerd's words for
it; so is code that looks at more than plain values while it starts, as nothing else is bound here. Each script has its
own isolate, reaches nothing and stores nothing. One that never ends takes the process with it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.errors import TargetError
from notebook_do.local.runtime.bindings import bindings_of
from notebook_do.local.runtime.config import document, listener, nowhere, service, worker_fields
from notebook_do.local.runtime.spec import INTERNAL_DATE
from notebook_do.local.runtime.upstream import Upstream
from notebook_do.local.runtime.workerd import DidNotStart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from notebook_do.local.runtime.capnp import Struct
    from notebook_do.local.runtime.spec import RunnableWorker
    from notebook_do.local.runtime.workerd import Start, Workerd

_SCRIPT, _GUARD = (Path(__file__).with_name(name) for name in ("loading.js", "guard.js"))
_MAIN = """
import {{ wasRead }} from {guard};
import wrapper from {wrapper};
export * from {wrapper};
export default {{
  async fetch(request) {{
    const answer = await wrapper.fetch(request);
    return wasRead() ? new Response(null, {{ status: 500 }}) : answer;
  }},
}};
"""
_SECONDS = 1.0
"""Cloudflare's limit for a script to start."""
_PAUSE = 0.3
"""Seconds: what was just uploaded is asked for an answer next, which the start of this process would hold up."""
_MOST = 200
"""How many scripts a process loads: what V8 keeps of them is given back with its end."""
_LARGEST = 4 << 20
"""Bytes of code and values: what is larger takes about as long to hand over as a start."""
_KINDS = {"esModule": "js", "commonJsModule": "cjs"}


class Loader:
    """At most one process, which ends when nothing was loaded for `idle` seconds. Close it in the end."""

    def __init__(self, start: Start, folder: Path, *, idle: float, end: Callable[[Workerd], None]) -> None:
        """Take how a process is started, the folder of its socket, and what ends a process without waiting for it."""
        self._start, self._socket, self._idle, self._end = start, folder / "loading", idle, end
        self._running: Workerd | None = None
        self._upstream: Upstream | None = None
        self._loaded = 0
        self._making: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def soon(self) -> None:
        """Have the process made in a moment, unless it is there; where it is, it stays for `idle` seconds from now."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        if self._running is not None:
            self._still()
            self._timer = loop.call_later(self._idle, self._drop)
        elif self._timer is None and self._making is None:
            self._timer = loop.call_later(_PAUSE, self._begin)

    def _still(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        self._making = asyncio.create_task(self._make())

    async def _make(self) -> None:
        worker = {
            "modules": [{"name": _SCRIPT.name, "esModule": _SCRIPT}],
            "compatibilityDate": INTERNAL_DATE,
            "compatibilityFlags": ["experimental"],
            "bindings": [{"name": "LOADER", "workerLoader": {}}],
        }
        config = document([nowhere(), service("loading", worker=worker)], [listener("loading", self._socket)])
        self._socket.unlink(missing_ok=True)
        try:
            self._running = await self._start(config, sockets=["loading"])
        except (DidNotStart, TimeoutError, TargetError, OSError):  # the next trial meets the same, and says so
            return
        finally:
            self._making = None
        self._upstream, self._loaded = Upstream(self._socket), 0
        self.soon()

    async def load(self, worker: RunnableWorker, wrapper: Sequence[Struct]) -> list[dict[str, Any]] | None:
        """Return what `wrapper` answers before the modules of a Worker; None where a start of its own must tell."""
        running, upstream = self._running, self._upstream
        if running is None or upstream is None:
            return None
        try:
            body = await asyncio.to_thread(_code, worker, wrapper)
            if len(body) > _LARGEST:
                return None
            async with asyncio.timeout(_SECONDS):
                answer = await upstream.fetch("POST", "/", host="loading", body=body)
            found: list[dict[str, Any]] | None = json.loads(answer.body) if answer.status == 200 else None
        except (OSError, EOFError, TimeoutError):  # it died, or a script does not come to an end
            if self._running is running:
                self._drop()
            return None
        except ValueError:  # what cannot be handed over, or answered, as it is: two modules of one name, say
            return None
        self._loaded += 1
        if self._running is running:
            self._drop() if self._loaded >= _MOST else self.soon()
        return found

    def _drop(self) -> None:
        self._still()
        running, upstream, self._running, self._upstream = self._running, self._upstream, None, None
        if running is not None and upstream is not None:
            upstream.close()
            self._end(running)

    async def close(self) -> None:
        """Load no more; the process is about to end when this returns."""
        self._closed = True
        self._still()
        if self._making is not None:
            await asyncio.wait([self._making])
        self._drop()


def drawn_name() -> str:
    """Return the name of a module of ours that no script can know, and import."""
    return f"notebook-do-{secrets.token_hex(8)}.js"


def _code(worker: RunnableWorker, wrapper: Sequence[Struct]) -> bytes:
    """Return what the process is sent: as the Worker is configured, in the words of a binding that loads code."""
    values, others = {}, []
    for binding in bindings_of(worker, {worker.name: worker}, {}):
        if "json" in binding:
            values[binding["name"]] = json.loads(binding["json"])
        elif "text" in binding:
            values[binding["name"]] = _text(binding["text"])
        else:
            others.append(binding["name"])
    guard = _GUARD.read_text(encoding="utf-8").replace('["NOTEBOOK_DO_NAMES"]', json.dumps(others))
    name, guarding = (drawn_name() for _ in range(2))
    main = _MAIN.format(guard=json.dumps(f"./{guarding}"), wrapper=json.dumps(f"./{wrapper[0]['name']}"))
    ours = [{"name": name, "esModule": main}, {"name": guarding, "esModule": guard}, *wrapper]
    fields = worker_fields(worker, before=ours)
    names = {module["name"] for module in fields["modules"]}
    if len(names) < len(fields["modules"]):
        raise ValueError("two modules have one name")
    code = {
        "mainModule": ours[0]["name"],
        "modules": [_module(module) for module in fields["modules"]],
        "compatibilityDate": fields["compatibilityDate"],
        "compatibilityFlags": fields["compatibilityFlags"],
        "env": values,
    }
    return json.dumps(code).encode()


def _module(module: Struct) -> dict[str, str]:
    (name, content), *_ = ((key, value) for key, value in module.items() if key != "name")
    kind = _KINDS.get(name, name)
    text = base64.b64encode(content.read_bytes()).decode() if kind in ("wasm", "data") else _text(content)
    return {"name": module["name"], "kind": kind, "content": text}


def _text(content: Path | str) -> str:
    return content.read_bytes().decode() if isinstance(content, Path) else content
