"""How objects are asked: the module that each class of a namespace gets beside the upload, and the way to it.

The added method has a name that no Worker knows, made anew for each script each time an island starts: who does not
know it meets a class without such a method. It is told to the runtime's own Worker alone, which no Worker reaches.
Trials of an upload run without all this, and nothing that the API returns of a script has it.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.inspector.modules import OWN, HostClass, host_modules, script
from notebook_do.local.runtime.bindings import SYSTEM, worker_service
from notebook_do.local.runtime.capnp import Struct, struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from notebook_do.local.runtime.runtime import Runtime
    from notebook_do.local.runtime.spec import RunnableWorker

_JAVASCRIPT = "application/javascript+module"
_PLAIN = re.compile(r"[\w./@+-]+")
"""The names of main modules that are imported here; workerd reads any other as a URL, and it would be another one."""


def can_be_asked(worker: RunnableWorker) -> bool:
    """Say whether the classes of a Worker can get the module: it has namespaces, and its main module is one of ES."""
    main = next((module for module in worker.modules if module.name == worker.main_module), None)
    kind = "" if main is None else main.content_type.partition(";")[0].strip().lower()
    known = kind in {_JAVASCRIPT, "text/javascript+module"} and _PLAIN.fullmatch(worker.main_module)
    return bool(worker.namespaces and known)


def modules_before(worker: RunnableWorker, token: str) -> list[Struct]:
    """Make the modules that stand before those of a Worker, the new main module first; none where they cannot."""
    if not token or not can_be_asked(worker):
        return []
    classes = (HostClass(name=one.class_name, rpc=one.rpc) for one in worker.namespaces)
    settings = json.dumps({"name": _method(worker.name, token)})
    made = host_modules({module.name for module in worker.modules}, worker.main_module, classes, settings)
    return [{"name": name, "esModule": text} for name, text in made.items()]


def modules_to_ask() -> list[Struct]:
    """Make the modules of the runtime's own Worker that ask."""
    asking = Path(__file__).with_name("asking.js")
    return [{"name": "asking.js", "esModule": asking}, {"name": "wire.js", "esModule": script("wire.js")}]


def bindings_to_ask(workers: Iterable[RunnableWorker], broken: Mapping[str, str], token: str) -> Iterator[Struct]:
    """Make the bindings of the runtime's own Worker to every namespace, and what it must know of each.

    Of a Worker that is `broken` it knows why: what stands in for it has no classes.
    """
    known: dict[str, dict[str, Any]] = {}
    for worker in workers:
        method = _method(worker.name, token) if can_be_asked(worker) else None
        for one in worker.namespaces:
            to = struct(className=one.class_name, serviceName=worker_service(worker.name))
            yield {"name": f"objects:{one.namespace_id}", "durableObjectNamespace": to}
            known[one.namespace_id] = {"method": method, "broken": broken.get(worker.name)}
    yield {"name": "NAMESPACES", "json": json.dumps(known)}


async def ask_objects(runtime: Runtime, host: str, namespace_id: str, asked: bytes) -> bytes:
    """Ask objects of a namespace that `host` has, as asking.js reads it; return JSON. Raises as `lease`, or OSError."""
    headers = ((b"x-namespace", namespace_id.encode()),)
    async with runtime.system(host) as lease:
        answer = await lease.upstream.fetch("POST", "/", host=SYSTEM, body=asked, headers=headers)
    if answer.status != 200:
        raise ConnectionError(answer.body.decode("utf-8", "replace"))
    return answer.body


def _method(script: str, token: str) -> str:
    return OWN + hashlib.sha256(f"{token}/{script}".encode()).hexdigest()[:32]


def as_called(event: dict[str, Any]) -> dict[str, Any] | None:
    """Return a tail event as if a method that was called from a notebook had been called by its own name.

    What it threw is an exception of the event, and `request` what the caller gave to find it by. None for what only
    looked at an object.
    """
    about = event.get("event") or {}
    name = about.get("rpcMethod") or _header(about)
    if not name.startswith(OWN):
        return event
    marks = [log for log in event["logs"] if _is_mark(log["message"])]
    if not marks:
        return None
    _, request, method = marks[0]["message"]
    logs = [log for log in event["logs"] if log not in marks]
    thrown = [
        {"timestamp": log["timestamp"], **{part: log["message"][2][part] for part in ("name", "message", "stack")}}
        for log in marks[1:]
    ]
    outcome = "exception" if thrown else event["outcome"]
    seen = {"event": {"rpcMethod": method}, "outcome": outcome, "exceptions": [*event["exceptions"], *thrown]}
    return {**event, **seen, "logs": logs, "request": request}


def _is_mark(message: Any) -> bool:
    return isinstance(message, list) and message[:1] == [OWN]


def _header(about: dict[str, Any]) -> str:
    headers = (about.get("request") or {}).get("headers") or {}
    return str(headers.get("x-notebook-do", ""))
