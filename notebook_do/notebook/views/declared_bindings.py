"""The words for what a declared binding is and holds, as far as declarations alone can tell."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from notebook_do.display.formats import clipped_value
from notebook_do.display.hiding import json_line as one_line_json
from notebook_do.display.hiding import shown_json, shown_value
from notebook_do.display.rich import Rich, code, joined, rich, strong
from notebook_do.model import (
    Json,
    NamespaceBinding,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    SharedBinding,
    binding_word,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from notebook_do.model import BindingValue, Namespace, Worker

_ORDER = ("durable_object_namespace", "service", "", "plain_text", "json", "secret_text")
"""In which order the types stand in a table; "" is every resource."""
_ID = re.compile(r"[0-9a-f-]{20,}")
_FROM = {"env": "from environment variable ", "keyring": "from keyring entry ", "prompt": "asked for as "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The declarations around the ones that are shown; without a session, these alone."""

    namespaces: Mapping[str, Namespace]
    workers: Mapping[str, Worker]
    hosts: Mapping[str, str] = field(default_factory=dict)
    """By stable ID, the id of the Worker that hosts it, where that can be told."""
    is_set: Callable[[Secret], bool | None] = lambda _: None
    """Whether a secret has a value; None where that is not known."""


def type_of(value: BindingValue, around: Around) -> str:
    """Return Cloudflare's name for what is bound; of a shared binding for what it shares."""
    match value:
        case NamespaceBinding():
            return "durable_object_namespace"
        case PlainText():
            return "plain_text"
        case Json():
            return "json"
        case Secret():
            return "secret_text"
        case ServiceBinding():
            return "service"
        case Resource():
            return value.type
        case SharedBinding():
            shared = _shared(value, around)
            return "durable_object_namespace" if shared is None else type_of(shared, around)
        case _:
            assert_never(value)


def in_order(worker: Worker, around: Around) -> list[tuple[str, BindingValue]]:
    """Return the bindings as a table lists them: Durable Objects, services, resources, values, secrets; by name."""

    def place(entry: tuple[str, BindingValue]) -> tuple[int, str]:
        kind = type_of(entry[1], around)
        # Text and JSON are one group: what is set for the code to read.
        group = "plain_text" if kind == "json" else kind if kind in _ORDER else ""
        return _ORDER.index(group), entry[0]

    return sorted(worker.bindings.items(), key=place)


def type_word(value: BindingValue, around: Around) -> str:
    """Return a person's word for what is bound."""
    return binding_word(type_of(value, around))


def value_words(worker: Worker, name: str, value: BindingValue, around: Around) -> str:
    """Return what a binding of a Worker holds or reaches; what looks like a secret is hidden."""
    match value:
        case NamespaceBinding():
            return _namespace_words(worker, value, around)
        case PlainText():
            return _clipped(shown_value(name, value.text))
        case Json():
            return _clipped(shown_value(name, value.value))
        case Secret():
            return secret_words(value, around)
        case ServiceBinding():
            return _service_words(value)
        case Resource():
            return _resource_words(value)
        case SharedBinding():
            return _shared_words(worker, value, around)
        case _:
            assert_never(value)


def secret_words(secret: Secret, around: Around) -> Rich:
    """Return where the value of a secret comes from, and whether it is there."""
    known = around.is_set(secret)
    state = "" if known is None else " (set)" if known else " (not set)"
    return rich(_FROM[secret.source], code(secret.key), state)


def _namespace_words(worker: Worker, value: NamespaceBinding, around: Around) -> Rich:
    item = around.namespaces.get(value.stable_id)
    if item is None:
        return rich("namespace ", strong(value.stable_id), ", which is not declared yet")
    return rich("namespace ", strong(item.id), ", class ", code(item.class_name), _host_words(worker, item, around))


def _host_words(worker: Worker, item: Namespace, around: Around) -> str:
    host = around.hosts.get(item.id) or item.script_name or ""
    if not host:
        return ""
    return ", hosted here" if host == worker.id else rich(", hosted by ", strong(host))


def _shared(value: SharedBinding, around: Around) -> BindingValue | None:
    """Follow `worker.bindings.NAME` one step: a circle of them is found by the catalog, not while one is shown."""
    owner = around.workers.get(value.worker)
    found = owner.bindings.get(value.name) if owner else value.value
    return None if isinstance(found, SharedBinding) else found


def _shared_words(worker: Worker, value: SharedBinding, around: Around) -> Rich:
    found = _shared(value, around)
    if isinstance(found, NamespaceBinding):
        return rich("namespace ", strong(found.stable_id), " of Worker ", strong(value.worker))
    if found is not None:
        words = value_words(worker, value.name, found, around)
        return rich(code(value.name), " of Worker ", strong(value.worker), ": ", words)
    missing = "" if value.worker in around.workers else ", which is not declared yet"
    return rich(code(value.name), " of Worker ", strong(value.worker), missing)


def _service_words(value: ServiceBinding) -> Rich:
    entry = rich(", entrypoint ", code(value.entrypoint)) if value.entrypoint else ""
    props = rich(", props ", _clipped(shown_value("", value.props.value))) if value.props else ""
    return rich("Worker ", strong(value.worker), entry, props)


def _resource_words(value: Resource) -> Rich:
    fields = value.fields.value
    if not isinstance(fields, dict):
        return rich(code(clipped_value(one_line_json(fields))))
    # D1 has its id under both names that it is known by.
    shown = list(dict.fromkeys(_field_words(name, item) for name, item in fields.items()))
    return joined(", ", shown)


def _field_words(name: str, value: object) -> Rich:
    if not isinstance(value, str):
        return code(clipped_value(one_line_json(shown_json(name, value))))
    # What a binding names is an id, and no plain value.
    short = f"{value[:8]}…{value[-4:]}" if _ID.fullmatch(value) and len(value) > 16 else value
    return code(clipped_value(short))


def _clipped(shown: Rich) -> Rich:
    return shown if shown.parts and shown.parts[0].look != "code" else code(clipped_value(str(shown)))
