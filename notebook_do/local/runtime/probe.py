"""Finds out what an uploaded script really exports, by loading it in a throw-away workerd.

workerd itself only warns about a class that is not exported and never gives up on an endless loop; Cloudflare
refuses both at upload. The rule kept here: nothing that is stored can be touched (memory only), nothing can be
reached (no network), and the process never outlives the question.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from notebook_do.local.runtime import capnp
from notebook_do.local.runtime import workerd as process
from notebook_do.local.runtime.bindings import bindings_of, externals
from notebook_do.local.runtime.config import document, listener, nowhere, service, system_service, worker_fields
from notebook_do.local.runtime.spec import Export, ProbeReport, RunnableWorker, ScriptInvalid
from notebook_do.local.runtime.upstream import Upstream

_TEMPLATE = Path(__file__).with_name("probe.js")
_WRAPPER = "notebook-do-probe.js"
TIMED_OUT = "Script startup exceeded CPU time limit."


async def probe(
    worker: RunnableWorker,
    workerd: Path,
    *,
    timeout: float = 5.0,  # noqa: ASYNC109 - it ends a process, not only a wait
    folder: Path | None = None,
) -> ProbeReport:
    """Load the script and report its exports. Raises ScriptInvalid with workerd's words, or when it takes too long.

    What it needs on the disk lies in `folder`, which the next owner of a data directory empties.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="") as own:
        listening = Path(own) / "probe"
        config = _config(worker, listening)
        began = time.monotonic()
        try:
            running = await process.start(workerd, config, folder=Path(own), sockets=["probe"], timeout=timeout)
            startup = time.monotonic() - began
            try:
                async with asyncio.timeout(timeout):
                    found = await _ask(listening)
            finally:
                await running.stop(0)
        except process.DidNotStart as error:
            raise ScriptInvalid(str(error)) from None
        except TimeoutError:
            raise ScriptInvalid(TIMED_OUT) from None
    return _report(found, startup)


def _config(worker: RunnableWorker, listening: Path) -> str:
    source = _TEMPLATE.read_text(encoding="utf-8").replace(
        '"NOTEBOOK_DO_MAIN_MODULE"', json.dumps(f"./{worker.main_module}")
    )
    wrapper = capnp.struct(name=capnp.text(_WRAPPER), esModule=capnp.text(source))
    # Only values are bound: objects and other Workers are stand-ins, which a script may hold but not call at start.
    # Secrets are stand-ins too: a kill could leave this folder behind.
    bound = tuple({**b, "text": "secret"} if b.get("type") == "secret_text" else b for b in worker.bindings)
    fields = worker_fields(worker, before=[wrapper])
    bindings = capnp.items(bindings_of(replace(worker, bindings=bound), {}, {}))
    probed = service("probe", worker=capnp.struct(**fields, bindings=bindings))
    services = [nowhere(), system_service(), *externals([worker], listening.with_name("none")), probed]
    return document(services, [listener("probe", listening)])


async def _ask(listening: Path) -> list[dict[str, Any]]:
    upstream = Upstream(listening)
    try:
        answer = await upstream.fetch("GET", "/", host="probe")
    finally:
        upstream.close()
    if answer.status != 200:
        raise ScriptInvalid(answer.body.decode("utf-8", "replace"))
    found: list[dict[str, Any]] = json.loads(answer.body)
    return found


def _report(found: list[dict[str, Any]], startup: float) -> ProbeReport:
    exports = tuple(
        Export(name=item["name"], kind=item["kind"], handlers=tuple(item["handlers"]))
        for item in found
        if item["name"] != "default"
    )
    default = next((tuple(item["handlers"]) for item in found if item["name"] == "default"), ())
    return ProbeReport(exports=exports, default_handlers=default, startup_ms=round(startup * 1000))
