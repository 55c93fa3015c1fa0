"""Makes declarations of values by field: those of a line, of a TOML table, or of the keywords of a Python call.

One table says which fields there are and one check what each may be, so that the three ways accept the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from notebook_do.errors import DeclarationError, nearest
from notebook_do.model import (
    NAMESPACE_FIELDS,
    NOT_CARRIED,
    REQUIRED,
    WORKER_FIELDS,
    Bindings,
    Json,
    Namespace,
    NamespaceBinding,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    SharedBinding,
    StableId,
    Worker,
    triggers_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebook_do.model import BindingValue, Field, Where

Kind = Literal["namespace", "worker"]
FIELDS: Mapping[Kind, Mapping[str, Field]] = {"namespace": NAMESPACE_FIELDS, "worker": WORKER_FIELDS}
_APART = frozenset({"bindings", "assets"})
"""Fields whose values are kept in another form than they are given in."""


def field_problem(kind: Kind, name: str, value: Any, *, word: str = "key") -> str | None:
    """Return in one line why a field cannot be given, or not with this value; None where it can.

    `word` is what a field is called where it was given: a key or a keyword.
    """
    if kind == "worker" and name in NOT_CARRIED:
        return f"{name} cannot be declared: {NOT_CARRIED[name]}"
    if name not in FIELDS[kind]:
        known = [n for n, field in FIELDS[kind].items() if field.toml or word == "keyword"]
        return f"unknown {word} {name}; {nearest(name, known)}"
    return FIELDS[kind][name].problem(value)


def namespace_of(id_: str, given: Mapping[str, Any], where: Where | None) -> Namespace:
    """Return the namespace that `given` says, each value of which fits its field; an empty text is none."""
    values: dict[str, Any] = {
        name: value
        for name, field, value in _set("namespace", given)
        if value or field.takes != "text" or field.default is REQUIRED
    }
    return Namespace(StableId(id_), where=where, **values)


def worker_of(
    id_: str, given: Mapping[str, Any], where: Where | None, *, settings: Mapping[str, Any] | None = None
) -> Worker:
    """Return the Worker that `given` says, each value of which fits its field. `settings` are more of its options."""
    found = _set("worker", given)
    kept: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, field, value in found
        if not field.setting and not field.trigger and name not in _APART
    }
    options = {name: value for name, field, value in found if field.setting} | dict(settings or {})
    triggers = {name: value for name, field, value in found if field.trigger}
    assets = given.get("assets")
    return Worker(
        id_,
        bindings=Bindings(id_, given.get("bindings") or {}),
        triggers=triggers_of(**triggers),
        assets=None if assets is None else Json(assets),
        options=Json(options),
        where=where,
        **kept,
    )


def _set(kind: Kind, given: Mapping[str, Any]) -> list[tuple[str, Field, Any]]:
    fields = FIELDS[kind]
    return [(name, fields[name], value) for name, value in given.items() if value is not None]


def missing(kind: Kind, given: Mapping[str, Any]) -> str | None:
    """Return the name of a field that must be given and is not."""
    return next((n for n, field in FIELDS[kind].items() if field.default is REQUIRED and n not in given), None)


def binding_values(worker: str, values: Mapping[str, Any]) -> dict[str, BindingValue]:
    """Return the bindings that Python's values stand for; raises DeclarationError naming the one that is none."""
    if (wrong := next((name for name in values if not isinstance(name, str)), None)) is not None:
        raise DeclarationError(f"Worker {worker}: binding name {wrong!r} must be a string.")
    return {name: binding_value(worker, name, value) for name, value in values.items()}


def binding_value(worker: str, name: str, value: Any) -> BindingValue:
    """Return the binding that `value` stands for: a namespace, a shared binding, a Worker, a string, ..."""
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
