"""Brings live Workers in as cells to paste: what is live, what is known of it already, and what the cells declare.

Sends no change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.cloudflare.triggers import list_triggers
from notebook_do.cloudflare.wire import decode_modules
from notebook_do.declare.catalog import Catalog
from notebook_do.interchange.cells import free_name, import_cells
from notebook_do.interchange.inspected import (
    check_own,
    inspections,
    is_inspector,
    own_modules,
    with_inspectors_of,
    with_recorded_inspectors,
)
from notebook_do.live.adopt import adopted, managed, newest_serial
from notebook_do.live.observe import observe
from notebook_do.model import Namespace, NamespaceBinding, Worker, is_secret
from notebook_do.plan.namespaces.readings import Readings
from notebook_do.sources.bundle import digest, reader
from notebook_do.sources.same import same_code

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.interchange.cells import Imported
    from notebook_do.live.adopt import Managed
    from notebook_do.model import Declaration, Desired, Module, Observed, ObservedScript, Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Cells to show, what they newly declare, the state file's content after it, and the newest serial that is live.

    `observed` and `sources` are what was read, `desired` what the cells declare.
    """

    imported: Imported
    declare: tuple[Declaration, ...]
    recorded: Recorded
    newest: int
    observed: Observed
    sources: Mapping[str, Sequence[Module]]
    desired: Desired


async def import_workers(  # noqa: PLR0913 - what is asked, and what is known
    client: Client,
    recorded: Recorded,
    scripts: Sequence[str],
    *,
    session: tuple[str, str],
    catalog: Catalog,
    ids: Mapping[str, str] | None = None,
    source: str | None = None,
) -> Import:
    """Write the cells that declare `scripts` (none: all of the account) exactly as they are live, sources included.

    Who is declared in `catalog` or recorded keeps its id; `ids` are those of the others by script. `session` is the
    name and the stage. A Worker that is managed already, and is live as recorded, is left alone. `source` is the file
    that the only one of `scripts` is made of: its cell names that instead of the code.
    """
    observed = await observe(client, scripts=with_inspectors_of(scripts) if scripts else None, settings=True)
    check_own(scripts, observed)
    names = list(scripts or [s.name for s in observed.scripts if not is_inspector(s)])
    triggers, unread = await list_triggers(client)
    read = tuple(replace(s, triggers=triggers.get(s.name, ())) if s.name in names else s for s in observed.scripts)
    observed = replace(observed, scripts=read)
    live = {s.name for s in read}
    sources = {n: own_modules(decode_modules(*await client.script_modules(n))) for n in names if n in live}
    found = name_namespaces(recorded, observed, names, session=session, catalog=catalog)
    declared = {catalog.script_name(id_, session[1]): id_ for id_ in catalog.workers}
    worker_ids = {**(ids or {}), **declared, **{w.script_name: w.id for w in recorded.workers}}
    write = partial(
        import_cells,
        scripts=names,
        sources=sources,
        stable_ids=found.known,
        taken=found.taken,
        worker_ids=worker_ids,
        source=source,
        inspects=inspections(recorded, observed),
    )
    imported = write(observed)
    desired = _desired(imported, session)
    same = managed(recorded, desired, observed)
    # Written twice: only a declaration shows whether a Worker is live as it was recorded, and the cell of one that is
    # says what was sent, not what Cloudflare filled in.
    written = write(replace(observed, scripts=tuple(same[s.name].script if s.name in same else s for s in read)))
    notes = [f"Worker {name} is managed by this session already, as it is live: nothing was changed." for name in same]
    notes += secret_notes(recorded, [s for s in read if s.name in names], same)
    taken = _without(desired, same)
    # Whoever names a source asks for that cell, also where the Worker is managed already.
    declare = _to_declare(written, same if source is None else {}, catalog, frozenset(names))
    notes += replaced_notes(declare, catalog)
    after = with_recorded_inspectors(adopted(recorded, taken, observed) if taken.workers else recorded, taken, observed)
    return Import(
        imported=replace(written, notes=(*imported.notes, *found.notes, *notes, *unread)),
        declare=declare,
        recorded=with_live_code(after, taken, sources) if source is not None else after,
        newest=newest_serial(recorded, observed),
        observed=observed,
        sources=sources,
        desired=desired,
    )


def _without(desired: Desired, scripts: Container[str]) -> Desired:
    return replace(
        desired,
        workers=tuple(w for w in desired.workers if w.script_name not in scripts),
        namespaces=tuple(n for n in desired.namespaces if n.script_name not in scripts),
    )


def with_live_code(recorded: Recorded, desired: Desired, live: Mapping[str, Sequence[Module]]) -> Recorded:
    """Record of each declared Worker the code that is live: as declared where both are the same code, else as it is."""
    digests = {
        worker.script_name: worker.content_digest
        if worker.modules and same_code(worker.modules, live[worker.script_name])
        else digest(tuple(live[worker.script_name]))
        for worker in desired.workers
        if live.get(worker.script_name)
    }
    workers = (replace(w, content_digest=digests.get(w.script_name, w.content_digest)) for w in recorded.workers)
    return replace(recorded, workers=tuple(workers))


def _to_declare(
    imported: Imported, unchanged: Mapping[str, Managed], catalog: Catalog, scripts: frozenset[str]
) -> tuple[Declaration, ...]:
    """Return what an import of `scripts` declares.

    A Worker that is live as recorded keeps its own cell; where that was not run, the written one is declared if it says
    all that was deployed. Of namespaces those are declared that such a Worker binds, and those of changed scripts.
    """
    workers = []
    for item in (i for i in imported.declarations if isinstance(i, Worker)):
        same = unchanged.get(item.name or item.id)
        if same is None or (same.exactly and item.id not in catalog.workers):
            workers.append(item)
    bound = {b.stable_id for w in workers for b in w.bindings.values() if isinstance(b, NamespaceBinding)}
    changed = scripts - unchanged.keys()
    namespaces = [
        item
        for item in imported.declarations
        if isinstance(item, Namespace)
        and (item.script_name in changed or (item.id in bound and item.id not in catalog.namespaces))
    ]
    return (*namespaces, *workers)


def secret_notes(recorded: Recorded, scripts: Sequence[ObservedScript], same: Container[str]) -> list[str]:
    """Name the secrets, which no cell can have, and what becomes of them: those that this session set are its own."""
    marked = {w.script_name: {name for name, _ in w.secrets} for w in recorded.workers if w.script_name in same}
    notes = []
    for script in scripts:
        secrets = [b.name for b in script.bindings or () if is_secret(b)]
        set_here = [name for name in secrets if name in marked.get(script.name, ())]
        others = [name for name in secrets if name not in set_here]
        if others:
            notes.append(
                f"Worker {script.name}: its secrets ({', '.join(others)}) are not readable; every upload keeps them."
            )
        if set_here:
            notes.append(
                f"Worker {script.name}: its secrets ({', '.join(set_here)}) are not readable and were set from here; "
                f"declare them in the cell of that Worker ({' '.join(f'--secret {name}' for name in set_here)}), "
                "or the next plan removes them."
            )
    return notes


def replaced_notes(declare: Sequence[Declaration], catalog: Catalog) -> list[str]:
    """Name the declarations of the kernel's own that an import replaces by what is live."""
    own: list[tuple[str, Declaration, Declaration | None]] = [
        ("Worker", item, catalog.workers.get(item.id))
        if isinstance(item, Worker)
        else ("namespace", item, catalog.namespaces.get(item.id))
        for item in declare
    ]
    return [
        f"Your declaration of {kind} {item.id} was replaced by what is live; to keep yours, run "
        f"{before.where.name if before.where else 'it'} again."
        for kind, item, before in own
        if before is not None and before != item
    ]


def _desired(imported: Imported, session: tuple[str, str]) -> Desired:
    """Return what the cells mean; a catalog of their own, for the kernel's may declare something else by these ids."""
    catalog = Catalog()
    catalog.declare(*imported.declarations)
    return catalog.desired(*session, read=reader(Path.cwd()))


@dataclass(frozen=True, slots=True, kw_only=True)
class StableIds:
    """Stable IDs of live namespaces by namespace id, all that are taken, and what a person should know."""

    known: Mapping[str, str]
    taken: frozenset[str]
    notes: tuple[str, ...] = ()


def name_namespaces(
    recorded: Recorded, observed: Observed, scripts: Sequence[str], *, session: tuple[str, str], catalog: Catalog
) -> StableIds:
    """Name live namespaces: as the state file says, as our own marks say, as anybody's do, as a cell declares them.

    One stable ID is one namespace: where it is taken, another one gets a name of its own. What names a class only and
    can be read in several ways names nothing.
    """
    live = {s.name: s for s in observed.scripts}
    by_slot = {(n.script_name, n.class_name): n.namespace_id for n in observed.namespaces}
    places = catalog.places(session[1])
    cells = catalog.namespaces
    declared = {i: cells[i].namespace_id or by_slot.get(slot) for i, slot in places.items()}
    readings = Readings(live, observed.namespaces, recorded, session)
    known: dict[str, str] = {n.namespace_id: n.stable_id for n in recorded.namespaces if n.namespace_id}
    taken: set[str] = {n.stable_id for n in recorded.namespaces}
    notes = []
    # Our own scripts first: a mark of theirs keeps its stable ID, and the same one elsewhere gets another name.
    for name in sorted(live, key=lambda n: (not readings.is_ours(n), n)):
        others = set() if readings.is_ours(name) else cells.keys()
        marked = readings.tagged(name)
        for stable_id, id_ in [(i, one.live.namespace_id) for i, one in sorted(marked.items()) if one.live]:
            if id_ not in known:
                free = stable_id not in taken and (stable_id not in others or declared.get(stable_id) == id_)
                known[id_] = stable_id if free else free_name(stable_id, id_, taken | {stable_id})
                taken.add(known[id_])
        if name in scripts and (doubtful := sorted(i for i, one in marked.items() if one.doubtful and i not in taken)):
            notes.append(
                f"Worker {name}: its tags tell {', '.join(doubtful)} by class name only, and classes can change their "
                "names: compare its namespaces, and declare renamed_from= where one is meant."
            )
    # What is known by an id goes over what a cell says by its class.
    by_cell = {id_: i for i, id_ in declared.items() if id_ and i not in taken and id_ not in known}
    for name in scripts:
        by_class = sorted(i for i in by_cell.values() if places[i][0] == name and cells[i].namespace_id is None)
        if by_class:
            notes.append(
                f"Worker {name}: neither its tags nor the state file tell which namespace is {', '.join(by_class)}; by "
                "the class that the cell names it is the one shown here. Look at its objects before you deploy."
            )
    known = by_cell | known
    return StableIds(known=known, taken=frozenset(taken | cells.keys()), notes=tuple(notes))
