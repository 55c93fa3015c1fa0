"""Says what to do about a declaration of which no plan can be made: an error of it gets its next steps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.declare.hosts import declaring_line
from notebook_do.declare.options import line_of
from notebook_do.errors import SourceError
from notebook_do.model import StableId
from notebook_do.sessions.changed import cell_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.declare.catalog import Catalog
    from notebook_do.errors import DeclarationError
    from notebook_do.model import Namespace, Recorded, Source, Worker


def with_advice(read: Callable[[Worker], Source]) -> Callable[[Worker], Source]:
    """Return `read`, whose errors say that nothing was sent, and how a plan is made without the Worker.

    That plan may be one of another Worker, as a destroy is: no source is guessed for the one that cannot be read.
    """

    def advised(worker: Worker) -> Source:
        try:
            return read(worker)
        except SourceError as error:
            error.after = (
                f"Nothing was sent. Correct the source of Worker {worker.id}, or plan without it: "
                f"`%durable rm worker {worker.id}` forgets its declaration, and what is live of it stays."
            )
            raise

    return advised


def undeclared(error: DeclarationError, recorded: Recorded) -> str:
    """Return what an error says of a namespace that nothing declares, with the class that it is live as."""
    record = next((n for n in recorded.namespaces if n.stable_id == error.undeclared), None)
    if record is None:
        return ""
    guessed = declaring_line(error.undeclared)
    return error.message.replace(f"`{guessed}`", f"`{declaring_line(error.undeclared, record.class_name)}`")


def unhosted(id_: str, catalog: Catalog, recorded: Recorded) -> str:
    """Return what to do about a declared namespace that no Worker binds and that was deployed; else nothing.

    Most often its cell has another stable ID now, and the declaration of the earlier run is still there.
    """
    item = catalog.namespaces[StableId(id_)]
    record = next((n for n in recorded.namespaces if n.stable_id == id_), None)
    if record is None:
        return ""
    place = f", declared in {where}," if (where := cell_of(item.where)) else ""
    said = (
        f"namespace {id_}{place} is bound by no Worker now, and it is live as class {record.class_name} of "
        f"{record.script_name}, where its objects stay; nothing was sent. "
    )
    known = {n.stable_id for n in recorded.namespaces}
    likely = [
        n
        for _, n in sorted(catalog.namespaces.items())
        if n.class_name == item.class_name and n.id not in known and n.renamed_from in {None, id_}
    ]
    again = f"bind it again (--bind NAME={id_}) in the cell of its Worker"
    if not likely:
        host = line_of("namespace", replace(item, class_name=record.class_name, script_name=record.script_name))
        return f"{said}To keep it, {again}, or name its host: `%durable {host}`."
    ways = [f"{_renamed(n, id_)} To keep {id_}: `%durable rm namespace {n.id}`, and {again}." for n in likely]
    return said + " ".join(ways)


def _renamed(item: Namespace, former: str) -> str:
    forget = f"`%durable rm namespace {former}`"
    if item.renamed_from:
        return f"{item.id} is declared as renamed from it: {forget}, then plan again."
    line = line_of("namespace", replace(item, renamed_from=StableId(former)))
    return f"If {item.id} is the same under a new stable ID: {forget}, then `%durable {line}`."
