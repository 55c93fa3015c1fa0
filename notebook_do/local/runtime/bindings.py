"""Cloudflare's binding objects as values of workerd's configuration, and which ones are not served locally.

KV, R2, D1, queues, caches and rate limits are answered by services of ours: one external service for each resource,
all at one socket. Which resource is meant is a header that workerd puts into each request, in place of any that a
Worker wrote, so no Worker can reach what it does not bind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from notebook_do.local.runtime.capnp import Struct, struct
from notebook_do.local.runtime.keys import crypto_key
from notebook_do.local.runtime.spec import OBJECTS, RunnableWorker, is_of_account
from notebook_do.local.services.server import PROTOCOL_HEADER, RESOURCE_HEADER, SERVICE_HEADER

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM = "notebook-do"
"""The service of the runtime's own Worker, `system.js`."""
WRAPPED = "notebook-do-internal:bindings"
"""The module of `wrapped.js`; a Worker cannot import it."""
Peers = Mapping[str, RunnableWorker]
"""The Workers of one process, by name."""
Binding = Mapping[str, Any]
Writer = Callable[[Binding, RunnableWorker, Peers], Struct]
_RESOURCES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kv_namespace": ("kv", ("namespace_id",)),
    "r2_bucket": ("r2", ("bucket_name",)),
    "d1": ("d1", ("id", "database_id")),
    "queue": ("queue", ("queue_name",)),
    "analytics_engine": ("analytics_engine", ("dataset",)),
    "pipelines": ("pipelines", ("pipeline", "stream")),
}
_EMAIL = ("destination_address", "allowed_destination_addresses", "allowed_sender_addresses")
RATE_LIMITS = "ratelimit"
D1_CALLS = "d1_binding_jsrpc"
"""The compatibility flag under which workerd's D1 API calls whom it asks, where it sends requests without it."""
UNSERVED = "notebook-do-internal:unserved"
"""The module that makes what stands in for a binding that is not served, `unserved.js`."""


def worker_service(script_name: str) -> str:
    """Return the name of the service, and of the socket, of one Worker."""
    return f"worker:{script_name}"


def asset_service(script_name: str) -> str:
    """Return the name of the service of a Worker's static assets."""
    return f"assets:{script_name}"


def engine_service(script_name: str) -> str:
    """Return the name of the service of the engine that runs a Worker's workflows."""
    return f"workflows:{script_name}"


def workflow_api(worker: RunnableWorker, name: str) -> Struct:
    """Make what answers the calls about one workflow of a Worker: an entrypoint of its engine."""
    props = {"json": json.dumps({"workflow": name})}
    return {"name": engine_service(worker.name), "entrypoint": "WorkflowBinding", "props": props}


def entry_service(worker: RunnableWorker) -> str:
    """Return the service that requests for a Worker go to: that of its static assets, where it has some."""
    return worker_service(worker.name) if worker.assets is None else asset_service(worker.name)


def unsupported(binding: Binding) -> str | None:
    """Return in one line why a binding cannot be served locally; None when it can."""
    kind = str(binding.get("type"))
    foreign = kind == OBJECTS and not is_of_account(binding)
    if kind in _WRITERS and not foreign:
        return None
    known = _ELSEWHERE.get("dispatch_namespace" if foreign else kind)
    what = f"{known} (binding type {kind})" if known else f"binding type {kind}"
    return (
        f'binding "{binding.get("name")}": {what} is not served by the local runtime; deploy to Cloudflare to use it.'
    )


def bindings_of(worker: RunnableWorker, peers: Peers, faults: Mapping[tuple[str, str], str]) -> Iterator[Struct]:
    """Make all bindings of a Worker that shares its process with `peers`.

    `faults` holds, by Worker and binding name, what workerd found wrong with a binding. Such a binding, and one that
    leads nowhere, throws when it is used: workerd does not start at all with a binding to an absent service. So does
    one that is not served.
    """
    for binding in worker.bindings:
        name = str(binding["name"])
        if fault := faults.get((worker.name, name)):
            value = {"service": missing(fault)}
        elif said := unsupported(binding):
            value = unserved(said)
        else:
            value = _WRITERS[binding["type"]](binding, worker, peers)
        yield {"name": name, **value}


def unserved(message: str) -> Struct:
    """Make a binding that throws `message` whenever it is used, though nothing but the Worker itself is there."""
    return {"wrapped": _wrapped(UNSERVED, None, {"name": "message", "text": message})}


def missing(message: str) -> Struct:
    """Make a service that throws `message` whenever it is used.

    Without it the binding would be `undefined` to the Worker, whose own error then says nothing of the cause.
    """
    return {"name": SYSTEM, "entrypoint": "Missing", "props": {"json": json.dumps({"message": message})}}


def targets(worker: RunnableWorker) -> Iterator[str]:
    """List the scripts that a Worker's bindings lead to: they must run in the same process."""
    for binding in worker.bindings:  # all other types lead out of the process anyway
        if binding.get("type") == "service":
            yield str(binding["service"])
        elif (is_of_account(binding) or binding.get("type") == "workflow") and binding.get("script_name"):
            yield str(binding["script_name"])


def _text(binding: Binding, _worker: RunnableWorker, _peers: Peers) -> Struct:
    # A secret too: `fromEnvironment` would put all of them into the environment of one process.
    return {"text": str(binding["text"])}


def _json(binding: Binding, _worker: RunnableWorker, _peers: Peers) -> Struct:
    return {"json": json.dumps(binding["json"])}


def _text_blob(binding: Binding, worker: RunnableWorker, _peers: Peers) -> Struct:
    return {"text": _part(binding, worker)}


def _data_blob(binding: Binding, worker: RunnableWorker, _peers: Peers) -> Struct:
    return {"data": _part(binding, worker)}


def _part(binding: Binding, worker: RunnableWorker) -> Path:
    for module in worker.modules:
        if module.name == binding["part"]:
            return module.path
    raise KeyError(binding["part"])


def _version_metadata(_binding: Binding, worker: RunnableWorker, _peers: Peers) -> Struct:
    # What follows the slash is the runtime's own, for Workers whose namespaces changed without a new version.
    return {"json": json.dumps({"id": worker.version.partition("/")[0], "tag": "", "timestamp": ""})}


def _worker_loader(_binding: Binding, _worker: RunnableWorker, _peers: Peers) -> Struct:
    return {"workerLoader": {}}


def _service(binding: Binding, _worker: RunnableWorker, peers: Peers) -> Struct:
    target = str(binding["service"])
    if target not in peers:
        return {"service": missing(f'binding "{binding["name"]}": there is no Worker "{target}"')}
    props, entrypoint = binding.get("props"), binding.get("entrypoint")
    # The asset service hands requests and calls on, but not props, and has no entrypoints of its Worker.
    service = worker_service(target) if props or entrypoint else entry_service(peers[target])
    designator = struct(
        name=service,
        entrypoint=str(entrypoint) if entrypoint else None,
        props={"json": json.dumps(props)} if props else None,
    )
    return {"service": designator}


def _durable_object_namespace(binding: Binding, worker: RunnableWorker, peers: Peers) -> Struct:
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
    designator = struct(
        className=class_name,
        # By the Worker and never by its static assets, which would be found under `entry_service`.
        serviceName=None if host == worker.name else worker_service(host),
    )
    return {"durableObjectNamespace": designator}


def _workflow(binding: Binding, worker: RunnableWorker, peers: Peers) -> Struct:
    host, name = str(binding.get("script_name") or worker.name), str(binding["workflow_name"])
    peer = peers.get(host)
    if peer is None or name not in {workflow.name for workflow in peer.workflows}:
        lost = f'Worker "{host}" has no workflow "{name}"; deploy that Worker again, which makes it'
        absent = f'there is no Worker "{host}"' if peer is None else lost
        return {"service": missing(f'binding "{binding["name"]}": {absent}')}
    # workerd has the client API inside, as of D1; its engine answers it.
    inner = {"name": "fetcher", "service": workflow_api(peer, name)}
    return {"wrapped": _wrapped("cloudflare-internal:workflows-api", None, inner)}


def _assets(binding: Binding, worker: RunnableWorker, peers: Peers) -> Struct:
    if worker.name not in peers or worker.assets is None:
        return {"service": missing(f'binding "{binding["name"]}": Worker "{worker.name}" has no static assets')}
    files_only = "AssetWorker"  # the entrypoint that does not ask the Worker: it is the Worker that asks here
    return {"service": {"name": asset_service(worker.name), "entrypoint": files_only}}


def resource_of(binding: Binding, worker: RunnableWorker) -> tuple[str, str] | None:
    """Return (service, resource) of a Worker's binding; None for one that no service of ours answers."""
    kind = str(binding.get("type"))
    if kind == "send_email":
        return kind, worker.name
    if kind == "secrets_store_secret":
        return "secrets_store", f"{binding.get('store_id')}/{binding.get('secret_name')}"
    if kind not in _RESOURCES:
        return None
    service, fields = _RESOURCES[kind]
    name = next((str(binding[field]) for field in fields if binding.get(field)), "")
    # The same name in another jurisdiction is another bucket; no bucket name holds a slash.
    return service, f"{binding['jurisdiction']}/{name}" if binding.get("jurisdiction") else name


def service_name(service: str, resource: str) -> str:
    """Return the name of the external service of one resource."""
    return f"{service}:{resource}"


def cache_of(script_name: str) -> str:
    """Return the name of the external service that is a Worker's cache."""
    return service_name("cache", script_name)


def externals(workers: Iterable[RunnableWorker], socket: Path) -> Iterator[Struct]:
    """Make the external services that the bindings and caches of `workers` need; they are all at one socket."""
    bound = {found for worker in workers for binding in worker.bindings if (found := resource_of(binding, worker))}
    caches = {("cache", worker.name) for worker in workers}  # without one, `caches` fails ("No Cache was configured")
    # In order, so that the same Workers make the same message.
    for service, resource in sorted({*bound, *caches, (RATE_LIMITS, "")}):
        name = RATE_LIMITS if service == RATE_LIMITS else service_name(service, resource)
        yield _external(name, service, resource, socket)


def _external(name: str, service: str, resource: str, socket: Path) -> Struct:
    headers = [
        {"name": header, "value": value}
        for header, value in ((SERVICE_HEADER, service), (RESOURCE_HEADER, quote(resource, safe="")))
    ]
    http = {"forwardedProtoHeader": PROTOCOL_HEADER, "injectRequestHeaders": headers}
    return {"name": name, "external": {"address": f"unix:{socket}", "http": http}}


def _resource(field: str) -> Writer:
    def write(binding: Binding, worker: RunnableWorker, _peers: Peers) -> Struct:
        return {field: _designator(binding, worker)}

    return write


def _designator(binding: Binding, worker: RunnableWorker) -> Struct:
    found = resource_of(binding, worker)
    assert found is not None  # noqa: S101 - asked for types that have a resource
    return {"name": service_name(*found)}


def _d1(binding: Binding, worker: RunnableWorker, _peers: Peers) -> Struct:
    # workerd has D1's client API inside; what it needs is somebody who answers its queries.
    inner = {"service": _designator(binding, worker)}
    if D1_CALLS in worker.compatibility_flags:
        inner = {"wrapped": _wrapped(WRAPPED, "d1", {"name": "service", **inner})}
    return {"wrapped": _wrapped("cloudflare-internal:d1-api", None, {"name": "fetcher", **inner})}


def _wrapped(module: str, entrypoint: str | None, *inner: Struct) -> Struct:
    return struct(moduleName=module, entrypoint=entrypoint, innerBindings=inner)


def _own_api(entrypoint: str) -> Writer:
    """Return the writer of a binding whose API is `entrypoint` of `wrapped.js`, before a service of ours."""

    def write(binding: Binding, worker: RunnableWorker, _peers: Peers) -> Struct:
        inner = {"name": "service", "service": _designator(binding, worker)}
        # What only our own code may read: whom the binding lets an email go to is not for the Worker to change.
        rules = {"name": "rules", "json": json.dumps({name: binding[name] for name in _EMAIL if name in binding})}
        return {"wrapped": _wrapped(WRAPPED, entrypoint, inner, rules)}

    return write


def _rate_limit(binding: Binding, _worker: RunnableWorker, _peers: Peers) -> Struct:
    simple = binding.get("simple") or {}
    limits = {"namespace": str(binding.get("namespace_id")), **{k: simple.get(k) for k in ("limit", "period")}}
    inner = {"name": "service", "service": {"name": RATE_LIMITS}}
    return {"wrapped": _wrapped(WRAPPED, "rateLimit", inner, {"name": "rules", "json": json.dumps(limits)})}


_WRITERS: Mapping[str, Writer] = {
    "plain_text": _text,
    "secret_text": _text,
    "secret_key": lambda binding, _worker, _peers: {"cryptoKey": crypto_key(binding)},
    "json": _json,
    "text_blob": _text_blob,
    "data_blob": _data_blob,
    "version_metadata": _version_metadata,
    "worker_loader": _worker_loader,
    "service": _service,
    OBJECTS: _durable_object_namespace,
    "assets": _assets,
    "workflow": _workflow,
    "kv_namespace": _resource("kvNamespace"),
    "r2_bucket": _resource("r2Bucket"),
    "queue": _resource("queue"),
    "d1": _d1,
    "analytics_engine": _resource("analyticsEngine"),
    "pipelines": _own_api("pipeline"),
    "secrets_store_secret": _own_api("secret"),
    "send_email": _own_api("email"),
    "ratelimit": _rate_limit,
}
_ELSEWHERE = {
    "ai": "Workers AI",
    "ai_search": "AI Search",
    "ai_search_namespace": "AI Search",
    "artifacts": "an Artifacts namespace",
    "browser": "Browser Rendering",
    "dispatch_namespace": "Workers for Platforms",
    "flagship": "Flagship",
    "hyperdrive": "Hyperdrive",
    "images": "Images",
    "media": "Media Transformations",
    "mtls_certificate": "an mTLS certificate",
    "vectorize": "a Vectorize index",
    "vpc_network": "a VPC network",
    "vpc_service": "a VPC service",
    "wasm_module": "a Wasm module as a binding (import it as a module instead)",
}
