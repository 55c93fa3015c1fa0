"""Turns Workers into a workerd configuration: one island, its bindings, its storage, its way out.

The rules kept here: names of the user stay quoted text and never become a path; a namespace's `uniqueKey` is its
namespace id, always; what is bound but not deployed becomes a stand-in that says so, because workerd would not
start at all.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.local.runtime import capnp
from notebook_do.local.runtime.bindings import (
    RATE_LIMITS,
    SYSTEM,
    asset_service,
    bindings_of,
    cache_of,
    entry_service,
    externals,
    worker_service,
)
from notebook_do.local.runtime.spec import HostedNamespace, ModuleFile, RunnableWorker, ScriptInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SYSTEM_SCRIPT = Path(__file__).with_name("system.js")
_INTERNAL_DATE = "2026-10-01"
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
_NO_MODULE = {"application/source-map"}
# What the internet is: public addresses, and not one that leads back to this machine or its network.
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
    `sites` is the folder of all static assets.
    """

    workers: tuple[RunnableWorker, ...]
    folder: Path
    storage: Path | None = None
    events: Path | None = None
    resources: Path | None = None
    sites: Path | None = None
    faults: Faults = field(default_factory=Faults)

    def sockets(self) -> dict[str, Path]:
        """Give a socket to each Worker and to the runtime's own; paths are numbers, never names."""
        names = (*(worker_service(worker.name) for worker in self.workers), SYSTEM)
        return {name: self.folder / str(number) for number, name in enumerate(names)}


def config_text(layout: Layout) -> str:
    """Write the configuration of a whole layout. Raises ScriptInvalid for a Worker that cannot be configured."""
    broken = layout.faults.workers
    layout = replace(layout, workers=tuple(replace(w, assets=None) if w.name in broken else w for w in layout.workers))
    services = [_internet(), *_own_services(layout), *(_worker_service(layout, worker) for worker in layout.workers)]
    services += (_asset_service(layout, worker) for worker in layout.workers if worker.assets is not None)
    entries = {worker_service(worker.name): entry_service(worker) for worker in layout.workers}
    listening = [listener(name, path, to=entries.get(name, name)) for name, path in layout.sockets().items()]
    return document(services, listening)


def document(services: Sequence[str], listening: Sequence[str]) -> str:
    """Put services and sockets, written already, into one configuration."""
    body = capnp.struct(services=capnp.items(services), sockets=capnp.items(listening))
    return f'using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = {body};\n'


def listener(name: str, path: Path, *, to: str | None = None) -> str:
    """Write a unix socket that leads to the service of the same name, or to another."""
    leads = capnp.text(to or name)
    return capnp.struct(name=capnp.text(name), address=capnp.text(f"unix:{path}"), http="()", service=leads)


def service(name: str, **kind: str) -> str:
    """Write one service; `kind` is `worker=`, `assets=`, `network=`, `disk=` or `external=` with its value."""
    return capnp.struct(name=capnp.text(name), **kind)


def _internet() -> str:
    network = capnp.struct(
        allow=capnp.items([capnp.text("public")]),
        deny=capnp.items(map(capnp.text, _DENIED)),
        tlsOptions=capnp.struct(trustBrowserCas="true"),
    )
    return service("internet", network=network)


def nowhere() -> str:
    """Write an `internet` that leads nowhere at all."""
    return service("internet", network="(allow = [])")


def _own_services(layout: Layout) -> Iterator[str]:
    bindings = [
        capnp.struct(name=capnp.text(name), service=capnp.text(name))
        for name in (worker_service(worker.name) for worker in layout.workers)
    ]
    if layout.events is not None:
        bindings.append(capnp.struct(name=capnp.text("EVENTS"), service=capnp.text("events")))
        address = capnp.text(f"unix:{layout.events}")
        yield service("events", external=capnp.struct(address=address, http="()"))
    if layout.storage is not None:
        yield service("objects", disk=capnp.struct(path=capnp.text(str(layout.storage)), writable="true"))
    bindings.append(capnp.struct(name=capnp.text("RATE_LIMITS"), service=capnp.text(RATE_LIMITS)))
    yield from externals(layout.workers, layout.resources or layout.folder / "none")
    yield system_service(bindings)


def system_service(bindings: Sequence[str] = ()) -> str:
    """Write the runtime's own Worker."""
    module = capnp.struct(name=capnp.text("system.js"), esModule=f"embed {capnp.text(str(SYSTEM_SCRIPT))}")
    worker = capnp.struct(
        modules=capnp.items([module]),
        compatibilityDate=capnp.text(_INTERNAL_DATE),
        compatibilityFlags=capnp.items([capnp.text("service_binding_extra_handlers")]),
        bindings=capnp.items(bindings),
    )
    return service(SYSTEM, worker=worker)


def _worker_service(layout: Layout, worker: RunnableWorker) -> str:
    broken = layout.faults.workers.get(worker.name)
    peers = {peer.name: peer for peer in layout.workers}
    script = worker_fields(worker) if broken is None else _stand_in(broken)
    bindings = () if broken is not None else bindings_of(worker, peers, layout.faults.bindings)
    props = capnp.struct(json=capnp.text(json.dumps({"script": worker.name})))
    tail = capnp.struct(name=capnp.text(SYSTEM), entrypoint=capnp.text("Tail"), props=props)
    fields = capnp.struct(
        **script,
        bindings=capnp.items(bindings),
        cacheApiOutbound=capnp.text(cache_of(worker.name)),
        durableObjectNamespaces=capnp.items(map(_namespace, worker.namespaces)),
        durableObjectStorage="(inMemory = void)" if layout.storage is None else '(localDisk = "objects")',
        tails=None if layout.events is None else capnp.items([tail]),
    )
    return service(worker_service(worker.name), worker=fields)


def _asset_service(layout: Layout, worker: RunnableWorker) -> str:
    """Write workerd's own asset service, which stands before a Worker and asks it where no file answers."""
    if worker.assets is None or layout.sites is None:
        raise ValueError(f"{worker.name} has no static assets, or the layout no place for them")
    told = {key.removeprefix("_"): value for key, value in worker.assets.config.items()}
    assets = capnp.struct(
        path=capnp.text(str(layout.sites / worker.assets.digest)),
        config=capnp.text(json.dumps(told)),
        userWorker=capnp.text(worker_service(worker.name)),
    )
    return service(asset_service(worker.name), assets=assets)


def worker_fields(worker: RunnableWorker, *, before: Sequence[str] = ()) -> dict[str, str]:
    """Write a Worker's modules and compatibility; `before` are modules to put in front, written already."""
    main = [module for module in worker.modules if module.name == worker.main_module]
    if not main:
        raise ScriptInvalid(f'the main module "{worker.main_module}" is not among the uploaded modules')
    parts = {binding.get("part") for binding in worker.bindings}
    rest = [module for module in worker.modules if module.name != worker.main_module and module.name not in parts]
    modules = [written for module in (*main, *rest) if (written := _module(module))]
    return {
        "modules": capnp.items([*before, *modules]),
        "compatibilityDate": capnp.text(worker.compatibility_date),
        "compatibilityFlags": capnp.items(map(capnp.text, worker.compatibility_flags)),
    }


def _module(module: ModuleFile) -> str | None:
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
    return capnp.struct(name=capnp.text(module.name), **{field_name: embed(module.path)})


def embed(path: Path) -> str:
    """Refer to a file's bytes."""
    return f"embed {capnp.text(str(path.absolute()))}"


def _stand_in(message: str) -> dict[str, str]:
    source = (
        f"export default {{ fetch() {{ return new Response({json.dumps(message + chr(10))}, {{ status: 500 }}); }} }};"
    )
    module = capnp.struct(name=capnp.text("stand-in.js"), esModule=capnp.text(source))
    return {"modules": capnp.items([module]), "compatibilityDate": capnp.text(_INTERNAL_DATE)}


def _namespace(namespace: HostedNamespace) -> str:
    if not _NAMESPACE_ID.fullmatch(namespace.namespace_id):
        raise ValueError(f"{namespace.namespace_id!r} is no namespace id")
    return capnp.struct(
        className=capnp.text(namespace.class_name),
        uniqueKey=capnp.text(namespace.namespace_id),
        enableSql="true" if namespace.sqlite else "false",
    )
