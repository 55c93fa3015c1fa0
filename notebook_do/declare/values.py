"""Turns the Python values of `nd.Worker(bindings={...})` into binding values of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notebook_do.errors import DeclarationError
from notebook_do.model import (
    Bindings,
    Json,
    Namespace,
    NamespaceBinding,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    SharedBinding,
    Worker,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import BindingValue


def bindings_of(worker: str, values: Mapping[str, Any]) -> Bindings:
    """Give the Bindings of the Worker with id `worker`; raises DeclarationError naming the binding."""
    return Bindings(worker, {name: binding_value(worker, name, value) for name, value in values.items()})


def binding_value(worker: str, name: str, value: Any) -> BindingValue:
    """Give the binding value that `value` stands for: a namespace, a shared binding, a Worker, a string, ..."""
    match value:
        case Namespace():
            return NamespaceBinding(stable_id=value.id)
        case SharedBinding(value=NamespaceBinding() as shared):
            return NamespaceBinding(stable_id=shared.stable_id, through=shared.through or value.worker)
        case SharedBinding():
            return value.value or value
        case Worker():
            return ServiceBinding(worker=value.id)
        case str():
            return PlainText(text=value)
        case NamespaceBinding() | PlainText() | Json() | Secret() | ServiceBinding() | Resource():
            return value
    raise DeclarationError(
        f"binding {name} of Worker {worker}: a {type(value).__name__} cannot be bound; "
        "bind a namespace, worker.bindings.NAME, another Worker, a str, nd.Json(value) or nd.Secret.from_env('K')."
    )
