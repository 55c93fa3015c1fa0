"""Turns Cloudflare's binding objects into workerd's, and says which ones the local runtime cannot serve.

What a service of ours stands behind becomes one external service for each resource. The resource is a header that
workerd puts into each request, in place of any that a Worker wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from notebook_do.local.runtime import capnp
from notebook_do.local.runtime.spec import RunnableWorker
from notebook_do.local.services.server import PROTOCOL_HEADER, RESOURCE_HEADER, SERVICE_HEADER

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM = "notebook-do"
Peers = Mapping[str, RunnableWorker]
Binding = Mapping[str, Any]
Writer = Callable[[Binding, RunnableWorker, Peers], dict[str, str]]
_RESOURCES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kv_namespace": ("kv", ("namespace_id",)),
    "r2_bucket": ("r2", ("bucket_name",)),
    "d1": ("d1", ("id", "database_id")),
    "queue": ("queue", ("queue_name",)),
}
RATE_LIMITS = "ratelimit"


def worker_service(script_name: str) -> str:
    """Name the service (and the socket) of one Worker."""
    return f"worker:{script_name}"


def asset_service(script_name: str) -> str:
    """Name the service of a Worker's static assets."""
    return f"assets:{script_name}"


def entry_service(worker: RunnableWorker) -> str:
    """Name the service that requests for a Worker go to: that of its static assets, where it has some."""
    return worker_service(worker.name) if worker.assets is None else asset_service(worker.name)


def unsupported(binding: Binding) -> str | None:
    """Say in one line why a binding cannot be served locally; None when it can."""
    kind = str(binding.get("type"))
    if kind in _WRITERS:
        return None
    known = _ELSEWHERE.get(kind)
    what = f"{known} (binding type {kind})" if known else f"binding type {kind}"
    return (
        f'binding "{binding.get("name")}": {what} is not served by the local runtime; deploy to Cloudflare to use it.'
    )


def bindings_of(worker: RunnableWorker, peers: Peers, faults: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Write all bindings of a Worker that shares its process with `peers`.

    `faults` holds, by Worker and binding name, what is known to be wrong with a binding.
    """
    for binding in worker.bindings:
        name = str(binding["name"])
        fault = faults.get((worker.name, name)) or unsupported(binding)
        value = {"service": missing(fault)} if fault else _WRITERS[binding["type"]](binding, worker, peers)
        yield capnp.struct(name=capnp.text(name), **value)


def missing(message: str) -> str:
    """Write a service that throws `message` whenever it is used."""
    props = capnp.struct(json=capnp.text(json.dumps({"message": message})))
    return capnp.struct(name=capnp.text(SYSTEM), entrypoint=capnp.text("Missing"), props=props)


def targets(worker: RunnableWorker) -> Iterator[str]:
    """List the scripts that a Worker's bindings lead to: they must run in the same process."""
    for binding in worker.bindings:
        if binding.get("type") == "service":
            yield str(binding["service"])
        elif binding.get("type") == "durable_object_namespace" and binding.get("script_name"):
            yield str(binding["script_name"])


def _text(binding: Binding, _worker: RunnableWorker, _peers: Peers) -> dict[str, str]:
    return {"text": capnp.text(str(binding["text"]))}


def _json(binding: Binding, _worker: RunnableWorker, _peers: Peers) -> dict[str, str]:
    return {"json": capnp.text(json.dumps(binding["json"]))}


def _text_blob(binding: Binding, worker: RunnableWorker, _peers: Peers) -> dict[str, str]:
    return {"text": _part(binding, worker)}


def _data_blob(binding: Binding, worker: RunnableWorker, _peers: Peers) -> dict[str, str]:
    return {"data": _part(binding, worker)}


def _part(binding: Binding, worker: RunnableWorker) -> str:
    for module in worker.modules:
        if module.name == binding["part"]:
            return f"embed {capnp.text(str(module.path.absolute()))}"
    raise KeyError(binding["part"])


def _version_metadata(_binding: Binding, worker: RunnableWorker, _peers: Peers) -> dict[str, str]:
    return {"json": capnp.text(json.dumps({"id": worker.version.partition("/")[0], "tag": "", "timestamp": ""}))}


def _worker_loader(_binding: Binding, _worker: RunnableWorker, _peers: Peers) -> dict[str, str]:
    return {"workerLoader": "()"}


def _service(binding: Binding, _worker: RunnableWorker, peers: Peers) -> dict[str, str]:
    target = str(binding["service"])
    if target not in peers:
        return {"service": missing(f'binding "{binding["name"]}": there is no Worker "{target}"')}
    props, entrypoint = binding.get("props"), binding.get("entrypoint")
    # The asset service hands requests and calls on, but not props, and has no entrypoints of its Worker.
    service = worker_service(target) if props or entrypoint else entry_service(peers[target])
    designator = capnp.struct(
        name=capnp.text(service),
        entrypoint=capnp.text(str(entrypoint)) if entrypoint else None,
        props=capnp.struct(json=capnp.text(json.dumps(props))) if props else None,
    )
    return {"service": designator}


def _durable_object_namespace(binding: Binding, worker: RunnableWorker, peers: Peers) -> dict[str, str]:
    host = str(binding.get("script_name") or worker.name)
    class_name = str(binding["class_name"])
    peer = peers.get(host)
    if peer is None or class_name not in {namespace.class_name for namespace in peer.namespaces}:
        absent = (
            f'there is no Worker "{host}"'
            if peer is None
            else f'Worker "{host}" has no namespace of class {class_name}'
        )
        return {"service": missing(f'binding "{binding["name"]}": {absent}')}
    designator = capnp.struct(
        className=capnp.text(class_name),
        serviceName=None if host == worker.name else capnp.text(worker_service(host)),
    )
    return {"durableObjectNamespace": designator}


def _assets(binding: Binding, worker: RunnableWorker, peers: Peers) -> dict[str, str]:
    if worker.name not in peers or worker.assets is None:
        return {"service": missing(f'binding "{binding["name"]}": Worker "{worker.name}" has no static assets')}
    files_only = capnp.text("AssetWorker")
    return {"service": capnp.struct(name=capnp.text(asset_service(worker.name)), entrypoint=files_only)}


def resource_of(binding: Binding) -> tuple[str, str] | None:
    """Give (service, resource) of a binding; None for one that no service of ours stands behind."""
    kind = str(binding.get("type"))
    if kind not in _RESOURCES:
        return None
    service, fields = _RESOURCES[kind]
    name = next((str(binding[field]) for field in fields if binding.get(field)), "")
    # The same name in another jurisdiction is another bucket; no bucket name holds a slash.
    return service, f"{binding['jurisdiction']}/{name}" if binding.get("jurisdiction") else name


def service_name(service: str, resource: str) -> str:
    """Name the external service of one resource."""
    return f"{service}:{resource}"


def cache_of(script_name: str) -> str:
    """Name the external service that is a Worker's cache."""
    return service_name("cache", script_name)


def externals(workers: Iterable[RunnableWorker], socket: Path) -> Iterator[str]:
    """Write the external services that the bindings and caches of `workers` need; they are all at one socket."""
    bound = {found for worker in workers for binding in worker.bindings if (found := resource_of(binding))}
    caches = {("cache", worker.name) for worker in workers}
    for service, resource in sorted({*bound, *caches, (RATE_LIMITS, "")}):
        name = RATE_LIMITS if service == RATE_LIMITS else service_name(service, resource)
        yield _external(name, service, resource, socket)


def _external(name: str, service: str, resource: str, socket: Path) -> str:
    headers = [
        capnp.struct(name=capnp.text(header), value=capnp.text(value))
        for header, value in ((SERVICE_HEADER, service), (RESOURCE_HEADER, quote(resource, safe="")))
    ]
    http = capnp.struct(forwardedProtoHeader=capnp.text(PROTOCOL_HEADER), injectRequestHeaders=capnp.items(headers))
    external = capnp.struct(address=capnp.text(f"unix:{socket}"), http=http)
    return capnp.struct(name=capnp.text(name), external=external)


def _resource(field: str) -> Writer:
    def write(binding: Binding, _worker: RunnableWorker, _peers: Peers) -> dict[str, str]:
        return {field: _designator(binding)}

    return write


def _designator(binding: Binding) -> str:
    found = resource_of(binding)
    assert found is not None  # noqa: S101 - asked only for types that have a resource
    return capnp.struct(name=capnp.text(service_name(*found)))


def _d1(binding: Binding, _worker: RunnableWorker, _peers: Peers) -> dict[str, str]:
    # workerd has D1's client API inside; what it needs is somebody who answers its queries.
    inner = capnp.struct(name=capnp.text("fetcher"), service=_designator(binding))
    return {"wrapped": capnp.struct(moduleName=capnp.text("cloudflare-internal:d1-api"), innerBindings=f"[{inner}]")}


def _rate_limit(binding: Binding, _worker: RunnableWorker, _peers: Peers) -> dict[str, str]:
    # An entrypoint of the runtime's own Worker, which asks the service.
    simple = binding.get("simple") or {}
    said = {"namespace": str(binding.get("namespace_id")), **{k: simple.get(k) for k in ("limit", "period")}}
    props = capnp.struct(json=capnp.text(json.dumps(said)))
    return {"service": capnp.struct(name=capnp.text(SYSTEM), entrypoint=capnp.text("RateLimit"), props=props)}


_WRITERS: Mapping[str, Writer] = {
    "plain_text": _text,
    "secret_text": _text,
    "json": _json,
    "text_blob": _text_blob,
    "data_blob": _data_blob,
    "version_metadata": _version_metadata,
    "worker_loader": _worker_loader,
    "service": _service,
    "durable_object_namespace": _durable_object_namespace,
    "assets": _assets,
    "kv_namespace": _resource("kvNamespace"),
    "r2_bucket": _resource("r2Bucket"),
    "queue": _resource("queue"),
    "d1": _d1,
    "ratelimit": _rate_limit,
}
_ELSEWHERE = {
    "ai": "Workers AI",
    "ai_search": "AI Search",
    "ai_search_namespace": "AI Search",
    "analytics_engine": "Analytics Engine",
    "artifacts": "an Artifacts namespace",
    "browser": "Browser Rendering",
    "dispatch_namespace": "Workers for Platforms",
    "flagship": "Flagship",
    "hyperdrive": "Hyperdrive",
    "images": "Images",
    "media": "Media Transformations",
    "mtls_certificate": "an mTLS certificate",
    "pipelines": "a pipeline",
    "secret_key": "a secret key",
    "secrets_store_secret": "a Secrets Store secret",
    "send_email": "email sending",
    "vectorize": "a Vectorize index",
    "vpc_network": "a VPC network",
    "vpc_service": "a VPC service",
    "wasm_module": "a Wasm module as a binding (import it as a module instead)",
    "workflow": "a workflow",
}
