"""What one workerd process is made of: its configuration.

Names of the user stay texts and never become a path. A namespace's `uniqueKey` is its namespace id, always:
workerd finds the objects by it, so they stay through a rename or transfer of the class. What is bound but not
deployed becomes a stand-in that says so, because workerd would not start at all.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.local.runtime.bindings import (
    SYSTEM,
    UNSERVED,
    WRAPPED,
    asset_service,
    bindings_of,
    cache_of,
    engine_service,
    entry_service,
    externals,
    worker_service,
    workflow_api,
)
from notebook_do.local.runtime.capnp import VOID, Struct, mentions, struct
from notebook_do.local.runtime.edge import CF_HEADER
from notebook_do.local.runtime.flags import not_honoured
from notebook_do.local.runtime.inspecting import bindings_to_ask, modules_before, modules_to_ask
from notebook_do.local.runtime.spec import INTERNAL_DATE, HostedNamespace, ModuleFile, RunnableWorker, ScriptInvalid
from notebook_do.local.runtime.workflows import DISK, engine_fields, engine_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SYSTEM_SCRIPT = Path(__file__).with_name("system.js")
_EXTENSIONS = {"cloudflare-internal:email": "email.js", WRAPPED: "wrapped.js", UNSERVED: "unserved.js"}
"""The modules that are there beside workerd's own, by name."""
_NAMESPACE_ID = re.compile(r"[0-9a-f]{32}")
_MODULE_FIELD = {
    "application/javascript+module": "esModule",
    "application/javascript": "commonJsModule",
    "text/javascript+module": "esModule",
    "text/javascript": "commonJsModule",
    "text/plain": "text",
    "text/html": "text",
    "text/sql": "text",
    "application/json": "json",
    "application/wasm": "wasm",
    "application/octet-stream": "data",
}
_NO_MODULE = {"application/source-map"}  # kept and returned by the API, but no module to workerd
# A Worker's `fetch` reaches public addresses only, and none that leads back to this machine or its network. Ranges are
# written out beside workerd's own names for groups, so that nothing depends on what those hold.
_DENIED = (
    *("private", "local", "unix", "unix-abstract"),
    *("0.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "192.0.0.0/24", "198.18.0.0/15", "224.0.0.0/3"),
    *("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What keeps an island from starting: whole Workers, and single bindings, each with the message to show."""

    workers: Mapping[str, str] = field(default_factory=dict)
    bindings: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Everything that one process is made of.

    `folder` is where its sockets appear. `storage` is the folder of all objects, None for memory only. `events` is
    the unix socket that takes tail events, `resources` the one where KV, R2 and the like answer; None for none.
    `sites` is the folder of all static assets. With a `token`, objects can be asked by who knows it (`inspecting`).
    """

    workers: tuple[RunnableWorker, ...]
    folder: Path
    storage: Path | None = None
    events: Path | None = None
    resources: Path | None = None
    sites: Path | None = None
    token: str = field(default="", repr=False)
    faults: Faults = field(default_factory=Faults)
    traced: bool = False
    """Whether requests can be followed: a trace costs each request a tenth of its time."""

    @property
    def links(self) -> Path:
        """Return where the workflows of its Workers are linked, by name."""
        return self.folder / "workflows"

    def sockets(self) -> dict[str, Path]:
        """Return a socket for each Worker and for the runtime's own, by service; paths are numbers, never names."""
        # A socket's path is limited to about a hundred bytes, and a Worker's name alone may have 63.
        names = (*(worker_service(worker.name) for worker in self.workers), SYSTEM)
        return {name: self.folder / str(number) for number, name in enumerate(names)}


def config_of(layout: Layout) -> Struct:
    """Make the configuration of a whole layout. Raises ScriptInvalid for a Worker that cannot be configured."""
    broken = layout.faults.workers  # a stand-in answers for these, at every path: no file must come before it
    whole = (replace(w, assets=None, workflows=()) if w.name in broken else w for w in layout.workers)
    layout = replace(layout, workers=tuple(whole))
    services = [_internet(), *_own_services(layout), *_disk_of_workflows(layout)]
    for worker in layout.workers:
        services += _services_of(layout, worker)
    entries = {worker_service(worker.name): entry_service(worker) for worker in layout.workers}
    listening = [listener(name, path, to=entries.get(name, name)) for name, path in layout.sockets().items()]
    return document(services, listening)


def examined_config(layout: Layout, wrapper: Sequence[Struct], socket: Path) -> Struct:
    """Make a layout of one Worker that reaches nothing, with `wrapper` before its modules, which answers at `socket`.

    Raises ScriptInvalid as `config_of` does.
    """
    (worker,) = layout.workers
    tried = _services_of(layout, worker, before=wrapper)
    # The runtime's own Worker takes as long to start as the one that is tried: only where a binding leads to it.
    own = [system_service()] if mentions(tried, SYSTEM) else []
    services = [nowhere(), *own, *_disk_of_workflows(layout), *externals([worker], layout.folder / "none"), *tried]
    return document(services, [listener("probe", socket, to=worker_service(worker.name))])


def document(services: Sequence[Struct], listening: Sequence[Struct]) -> Struct:
    """Put services and sockets into one configuration."""
    modules = [
        {"name": name, "internal": True, "esModule": SYSTEM_SCRIPT.with_name(file)}
        for name, file in _EXTENSIONS.items()
    ]
    return {"services": services, "sockets": listening, "extensions": [{"modules": modules}]}


def listener(name: str, path: Path, *, to: str | None = None) -> Struct:
    """Make a unix socket that leads to the service of the same name, or to another."""
    leads = {"name": to or name}
    return {"name": name, "address": f"unix:{path}", "http": {"cfBlobHeader": CF_HEADER}, "service": leads}


def service(name: str, **kind: Struct) -> Struct:
    """Make one service; `kind` is `worker=`, `assets=`, `network=`, `disk=` or `external=` with its value."""
    return {"name": name, **kind}


def _internet() -> Struct:
    """Make the service `internet`, which workerd uses for every `fetch` that no binding takes."""
    trusted = {"trustBrowserCas": True}  # without it workerd trusts no certificate at all
    return service("internet", network={"allow": ["public"], "deny": _DENIED, "tlsOptions": trusted})


def nowhere() -> Struct:
    """Make an `internet` that leads nowhere at all."""
    return service("internet", network={"allow": []})


def _own_services(layout: Layout) -> Iterator[Struct]:
    bindings: list[Struct] = [
        {"name": name, "service": {"name": name}} for name in (worker_service(worker.name) for worker in layout.workers)
    ]
    if layout.events is not None:
        bindings.append({"name": "EVENTS", "service": {"name": "events"}})
        yield service("events", external={"address": f"unix:{layout.events}", "http": {}})
    for worker in layout.workers:
        bindings += ({"name": f"workflow:{w.name}", "service": workflow_api(worker, w.name)} for w in worker.workflows)
    if layout.token:
        bindings += bindings_to_ask(layout.workers, layout.faults.workers, layout.token)
    if layout.storage is not None:
        yield service("objects", disk={"path": str(layout.storage), "writable": True})
    yield from externals(layout.workers, layout.resources or layout.folder / "none")
    yield system_service(bindings, beside=modules_to_ask() if layout.token else ())


def _disk_of_workflows(layout: Layout) -> Iterator[Struct]:
    if any(worker.workflows for worker in layout.workers):
        yield service(DISK, disk={"path": str(layout.links), "writable": True})


def system_service(bindings: Sequence[Struct] = (), *, beside: Sequence[Struct] = ()) -> Struct:
    """Make the runtime's own Worker; `beside` are modules that it may import."""
    worker = {
        "modules": [{"name": "system.js", "esModule": SYSTEM_SCRIPT}, *beside],
        "compatibilityDate": INTERNAL_DATE,
        # The first is for `scheduled` and `queue` of other Workers, the others are for `tailStream`.
        "compatibilityFlags": ["service_binding_extra_handlers", "streaming_tail_worker", "experimental"],
        "bindings": bindings,
    }
    return service(SYSTEM, worker=worker)


def _services_of(layout: Layout, worker: RunnableWorker, *, before: Sequence[Struct] = ()) -> list[Struct]:
    """Make a Worker, with the services of its static assets and of its workflows where it has some."""
    made = [_worker_service(layout, worker, before=before)]
    if worker.assets is not None:
        made.append(_asset_service(layout, worker))
    if worker.workflows:
        made.append(service(engine_service(worker.name), worker=engine_fields(worker)))
    return made


def _worker_service(layout: Layout, worker: RunnableWorker, *, before: Sequence[Struct] = ()) -> Struct:
    broken = layout.faults.workers.get(worker.name)
    peers = {peer.name: peer for peer in layout.workers}
    before = [*before, *modules_before(worker, layout.token)]
    script = worker_fields(worker, before=before) if broken is None else _stand_in(broken)
    # A tail event has no script name of its own here (it is null), so the name goes along.
    told = json.dumps({"script": worker.name, "version": worker.version})
    tails = None if layout.events is None else [{"name": SYSTEM, "props": {"json": told}}]
    fields = struct(
        **script,
        bindings=[] if broken is not None else list(bindings_of(worker, peers, layout.faults.bindings)),
        cacheApiOutbound={"name": cache_of(worker.name)},
        durableObjectNamespaces=list(map(_namespace, worker.namespaces)),
        # In memory for a trial: an object that is made while the script starts must not reach a stored one.
        durableObjectStorage={"inMemory": VOID} if layout.storage is None else {"localDisk": "objects"},
        workflowsEngine=engine_of(worker) if broken is None else None,
        tails=tails,
        # The only way to learn which request the call of an object belongs to, and what is logged before the end.
        streamingTails=tails if layout.traced else None,
    )
    return service(worker_service(worker.name), worker=fields)


def _asset_service(layout: Layout, worker: RunnableWorker) -> Struct:
    """Make workerd's own asset service, which stands before a Worker and asks it where no file answers."""
    if worker.assets is None or layout.sites is None:
        raise ValueError(f"{worker.name} has no static assets, or the layout no place for them")
    # `_headers` and `_redirects` on the wire are `headers` and `redirects` to workerd, which parses them itself.
    config = {key.removeprefix("_"): value for key, value in worker.assets.config.items()}
    assets = {
        "path": str(layout.sites / worker.assets.digest),
        "config": json.dumps(config),
        "userWorker": {"name": worker_service(worker.name)},
    }
    return service(asset_service(worker.name), assets=assets)


def worker_fields(worker: RunnableWorker, *, before: Sequence[Struct] = ()) -> Struct:
    """Make a Worker's modules and compatibility; `before` are modules to put in front."""
    main = [module for module in worker.modules if module.name == worker.main_module]
    if not main:
        raise ScriptInvalid(f'the main module "{worker.main_module}" is not among the uploaded modules')
    # The content of a `text_blob` or `data_blob` is a part of the upload as a module is, but no module.
    parts = {binding.get("part") for binding in worker.bindings}
    rest = [module for module in worker.modules if module.name != worker.main_module and module.name not in parts]
    modules = [made for module in (*main, *rest) if (made := _module(module))]  # workerd starts the first one
    if problem := not_honoured(worker.compatibility_flags):
        raise ScriptInvalid(problem)
    return {
        "modules": [*before, *modules],
        "compatibilityDate": worker.compatibility_date,
        "compatibilityFlags": worker.compatibility_flags,
    }


def _module(module: ModuleFile) -> Struct | None:
    if module.name.startswith("/") or ".." in module.name.split("/"):
        raise ScriptInvalid(f'module "{module.name}": a module name must not begin with "/" or contain ".."')
    content_type = module.content_type.partition(";")[0].strip().lower()
    if content_type in _NO_MODULE:
        return None
    if content_type.startswith("text/x-python"):
        raise ScriptInvalid(
            f'"{module.name}" is Python: the local runtime cannot run Python Workers, because workerd would need a'
            " Pyodide bundle from the network; write it in JavaScript or TypeScript, or deploy it to Cloudflare."
        )
    field_name = _MODULE_FIELD.get(content_type)
    if field_name is None:
        raise ScriptInvalid(f'module "{module.name}" has the unknown content type "{content_type}"')
    return {"name": module.name, field_name: module.path}


def _stand_in(message: str) -> Struct:
    source = (
        f"export default {{ fetch() {{ return new Response({json.dumps(message + chr(10))}, {{ status: 500 }}); }} }};"
    )
    return {"modules": [{"name": "stand-in.js", "esModule": source}], "compatibilityDate": INTERNAL_DATE}


def _namespace(namespace: HostedNamespace) -> Struct:
    if not _NAMESPACE_ID.fullmatch(namespace.namespace_id):  # workerd makes a folder of this name
        raise ValueError(f"{namespace.namespace_id!r} is no namespace id")
    return {
        "className": namespace.class_name,
        "uniqueKey": namespace.namespace_id,
        "enableSql": namespace.sqlite,
    }
