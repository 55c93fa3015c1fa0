"""Ties bindings to services in workerd's configuration: one external service for each resource that a Worker binds.

The rule kept here: the resource is a header that workerd puts into each request, in place of any that a Worker wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from notebook_do.local.runtime import capnp
from notebook_do.local.services.exchange import PROTOCOL_HEADER, RESOURCE_HEADER, SERVICE_HEADER

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.local.runtime.spec import RunnableWorker

Binding = Mapping[str, Any]
_RESOURCES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kv_namespace": ("kv", ("namespace_id",)),
    "r2_bucket": ("r2", ("bucket_name",)),
    "d1": ("d1", ("id", "database_id")),
    "queue": ("queue", ("queue_name",)),
}
RATE_LIMITS = "ratelimit"


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


def _resource(field: str) -> Callable[[Binding], dict[str, str]]:
    def write(binding: Binding) -> dict[str, str]:
        return {field: _designator(binding)}

    return write


def _designator(binding: Binding) -> str:
    found = resource_of(binding)
    assert found is not None  # noqa: S101 - SERVED holds only types that have a resource
    return capnp.struct(name=capnp.text(service_name(*found)))


def _d1(binding: Binding) -> dict[str, str]:
    # workerd has D1's client API inside; what it needs is somebody who answers its queries.
    inner = capnp.struct(name=capnp.text("fetcher"), service=_designator(binding))
    return {"wrapped": capnp.struct(moduleName=capnp.text("cloudflare-internal:d1-api"), innerBindings=f"[{inner}]")}


def rate_limit(binding: Binding, system: str) -> dict[str, str]:
    """Write a rate limit: an entrypoint of the runtime's own Worker, which asks the service."""
    simple = binding.get("simple") or {}
    said = {"namespace": str(binding.get("namespace_id")), **{k: simple.get(k) for k in ("limit", "period")}}
    props = capnp.struct(json=capnp.text(json.dumps(said)))
    return {"service": capnp.struct(name=capnp.text(system), entrypoint=capnp.text("RateLimit"), props=props)}


SERVED: Mapping[str, Callable[[Binding], dict[str, str]]] = {
    "kv_namespace": _resource("kvNamespace"),
    "r2_bucket": _resource("r2Bucket"),
    "queue": _resource("queue"),
    "d1": _d1,
}
"""By binding type, what writes it."""
