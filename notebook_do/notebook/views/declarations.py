"""Declarations -> blocks: a declared namespace or Worker, and the bindings table of what is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.model import (
    NAMESPACE_FIELDS,
    WORKER_FIELDS,
    Json,
    Namespace,
    NamespaceBinding,
    PlainText,
    Resource,
    Secret,
    ServiceBinding,
    SharedBinding,
)
from notebook_do.notebook.views.blocks import Code, Document, Header, Line, Tone
from notebook_do.notebook.views.plan import bindings_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import BindingValue, Declaration, Field, Worker


def declared_document(
    items: Iterable[Declaration],
    *,
    namespaces: Mapping[str, Namespace],
    workers: Mapping[str, Worker],
    session: str,
    warnings: Iterable[str] = (),
) -> Document:
    """Show what a cell just declared, with the bindings of the Workers concerned; nothing was sent."""
    kept = list(items)
    concerned = {item.id for item in kept}
    rows = [
        row
        for worker in workers.values()
        for row in binding_rows(worker, namespaces, workers)
        if worker.id in concerned or row["target"] in concerned
    ]
    title = "Declared" if kept else "Nothing declared"
    facts = (("session", session),) if session else ()
    # Nothing can host a namespace that no Worker binds; the plan would refuse it, so it is said at once.
    unbound = [
        Line(f"No Worker binds namespace {item.id} yet: %%durable worker ID --bind NAME={item.id}", Tone.CHANGE)
        for item in kept
        if item.id in namespaces and not any(row["target"] == item.id for row in rows)
    ]
    return (
        Header(title, facts),
        *(Line(_sentence(item), Tone.ADD) for item in kept),
        *unbound,
        *(Line(text, Tone.ALERT) for text in warnings),
        *bindings_table(rows),
        Code("Nothing was sent. Next:", "%durable plan"),
    )


def _sentence(item: Declaration) -> str:
    if isinstance(item, Namespace):
        storage = {None: "SQLite (as it is, where it is live)", True: "SQLite", False: "legacy KV"}[item.sqlite]
        extras = _facts(NAMESPACE_FIELDS, item)
        return ", ".join([f"namespace {item.id}: class {item.class_name}, storage {storage}", *extras])
    return f"Worker {item.id}: {', '.join(_worker_facts(item))}"


def _worker_facts(worker: Worker) -> list[str]:
    source = f"file {worker.entrypoint}" if worker.entrypoint else "no source"
    if worker.script is not None:
        lines = len(worker.script.splitlines())
        source = f"{lines} line{'s' * (lines != 1)} of {worker.lang}"
    bindings = f"{len(worker.bindings)} binding{'s' * (len(worker.bindings) != 1)}"
    return [source, *_facts(WORKER_FIELDS, worker), bindings]


def _facts(fields: Mapping[str, Field], item: Declaration) -> list[str]:
    """Return what is declared in other fields than a name and a source, and is not the default."""
    given = [(row, row.of(item)) for row in fields.values() if row.fact and row.is_set(item)]
    return [row.fact.format(_said(row, value)) for row, value in given]


def _said(row: Field, value: Any) -> Any:
    if row.takes == "modules":
        return len(value)
    return row.between.join(value) if isinstance(value, list) else "on" if value is True else value


def binding_rows(
    worker: Worker, namespaces: Mapping[str, Namespace], workers: Mapping[str, Worker]
) -> list[dict[str, str]]:
    """Return the rows of the bindings table for one declared Worker, as far as declarations alone can tell."""
    return [
        {"worker": worker.id, "binding": name, **_reached(value, namespaces, workers)}
        for name, value in worker.bindings.items()
    ]


def _reached(value: BindingValue, namespaces: Mapping[str, Namespace], workers: Mapping[str, Worker]) -> dict[str, str]:
    match value:
        case NamespaceBinding():
            found = namespaces.get(value.stable_id)
            return {
                "type": "durable_object_namespace",
                "target": value.stable_id,
                "class_name": found.class_name if found else "",
                "script_name": (found.script_name or value.through or "") if found else value.through or "",
                "environment": (found.environment or "") if found else "",
            }
        case PlainText():
            return {"type": "plain_text", "target": value.text}
        case Json():
            return {"type": "json", "target": value.text}
        case Secret():
            where = {"env": "from environment variable", "keyring": "from keyring", "prompt": "asked for as"}
            return {"type": "secret_text", "target": f"{where[value.source]} {value.key}"}
        case ServiceBinding():
            return {"type": "service", "target": value.worker}
        case Resource():
            return {"type": value.type, "target": ", ".join(map(str, value.fields.value.values()))}
        case SharedBinding():
            return _shared(value, namespaces, workers)
        case _:
            assert_never(value)


def _shared(value: SharedBinding, namespaces: Mapping[str, Namespace], workers: Mapping[str, Worker]) -> dict[str, str]:
    """Follow `worker.bindings.NAME` one step, where that Worker is declared already."""
    source = workers.get(value.worker)
    found = source.bindings.get(value.name) if source else None
    # One step only: a circle of shared bindings is found by the catalog, not while something is shown.
    if found is None or isinstance(found, SharedBinding):
        return {"type": "shared binding", "target": f"{value.worker}.{value.name}"}
    return {**_reached(found, namespaces, workers), "script_name": value.worker}
