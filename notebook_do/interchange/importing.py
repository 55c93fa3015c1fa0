"""Brings live Workers in as cells to paste, and writes the TypeScript types of what is declared.

Sends no change.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.cloudflare.triggers import list_triggers
from notebook_do.cloudflare.wire import decode_modules
from notebook_do.declare.catalog import Catalog
from notebook_do.errors import CommandError
from notebook_do.interchange.cells import free_name, import_cells
from notebook_do.interchange.typescript import HEAD, TYPES_FILE, env_types
from notebook_do.live.adopt import adopted, managed, newest_serial, to_declare
from notebook_do.live.observe import observe
from notebook_do.model import ModuleKind, Worker, is_secret
from notebook_do.plan.namespaces.readings import Readings
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.interchange.cells import Imported
    from notebook_do.model import Declaration, Desired, Observed, ObservedScript, Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Cells to show, what they newly declare, the state file's content after it, and the newest serial that is live."""

    imported: Imported
    declare: tuple[Declaration, ...]
    recorded: Recorded
    newest: int


async def import_workers(
    client: Client, recorded: Recorded, scripts: Sequence[str], *, session: tuple[str, str], catalog: Catalog
) -> Import:
    """Write the cells that declare `scripts` (none: all of the account) exactly as they are live, sources included.

    Who is declared in `catalog` or recorded keeps its id. `session` is the name and the stage. A Worker that
    is managed already, and is live as recorded, is left alone.
    """
    observed = await observe(client, scripts=scripts or None, settings=True)
    names = list(scripts or [s.name for s in observed.scripts])
    triggers, unread = await list_triggers(client)
    read = tuple(replace(s, triggers=triggers.get(s.name, ())) if s.name in names else s for s in observed.scripts)
    observed = replace(observed, scripts=read)
    live = {s.name for s in read}
    sources = {name: decode_modules(*await client.script_modules(name)) for name in names if name in live}
    found = name_namespaces(recorded, observed, names, session=session, catalog=catalog)
    declared = {catalog.script_name(id_, session[1]): id_ for id_ in catalog.workers}
    worker_ids = {**declared, **{w.script_name: w.id for w in recorded.workers}}
    write = partial(
        import_cells,
        scripts=names,
        sources=sources,
        stable_ids=found.known,
        taken=found.taken,
        worker_ids=worker_ids,
    )
    imported = write(observed)
    desired = _desired(imported, session)
    same = managed(recorded, desired, observed)
    written = write(replace(observed, scripts=tuple(same[s.name].script if s.name in same else s for s in read)))
    notes = [f"Worker {name} is managed by this session already, as it is live: nothing was changed." for name in same]
    notes += secret_notes(recorded, [s for s in read if s.name in names], same)
    taken = replace(
        desired,
        workers=tuple(w for w in desired.workers if w.script_name not in same),
        namespaces=tuple(n for n in desired.namespaces if n.script_name not in same),
    )
    declare = to_declare(written, same, catalog, frozenset(names))
    notes += replaced_notes(declare, catalog)
    return Import(
        imported=replace(written, notes=(*imported.notes, *found.notes, *notes, *unread)),
        declare=declare,
        recorded=adopted(recorded, taken, observed) if taken.workers else recorded,
        newest=newest_serial(recorded, observed),
    )


def secret_notes(recorded: Recorded, scripts: Sequence[ObservedScript], same: Container[str]) -> list[str]:
    """Name the secrets that no cell can have, and what becomes of them: those that this session set are its own."""
    marked = {w.script_name: {name for name, _ in w.secrets} for w in recorded.workers if w.script_name in same}
    notes = []
    for script in scripts:
        secrets = [b.name for b in script.bindings or () if is_secret(b)]
        ours = [name for name in secrets if name in marked.get(script.name, ())]
        others = [name for name in secrets if name not in ours]
        if others:
            notes.append(
                f"Worker {script.name}: its secrets ({', '.join(others)}) are not readable; every upload keeps them."
            )
        if ours:
            notes.append(
                f"Worker {script.name}: its secrets ({', '.join(ours)}) are not readable and were set from here; "
                "declare them in its cell (--secret KEY), or the next plan removes them."
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
        f"Your declaration of {kind} {item.id} was replaced by what is live; run its cell again to keep yours."
        for kind, item, before in own
        if before is not None and before != item
    ]


def _desired(imported: Imported, session: tuple[str, str]) -> Desired:
    book = Catalog()
    book.declare(*imported.declarations)
    return book.desired(*session, read=reader(Path.cwd()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Stable IDs of live namespaces by namespace id, all that are taken, and what a person should know."""

    known: Mapping[str, str]
    taken: frozenset[str]
    notes: tuple[str, ...] = ()


def name_namespaces(
    recorded: Recorded, observed: Observed, scripts: Sequence[str], *, session: tuple[str, str], catalog: Catalog
) -> Names:
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
    for name in sorted(live, key=lambda n: (not readings.is_ours(n), n)):
        others = set() if readings.is_ours(name) else cells.keys()
        told = readings.tagged(name)
        for stable_id, id_ in [(i, said.live.namespace_id) for i, said in sorted(told.items()) if said.live]:
            if id_ not in known:
                free = stable_id not in taken and (stable_id not in others or declared.get(stable_id) == id_)
                known[id_] = stable_id if free else free_name(stable_id, id_, taken | {stable_id})
                taken.add(known[id_])
        if name in scripts and (doubtful := sorted(i for i, said in told.items() if said.doubtful and i not in taken)):
            notes.append(
                f"Worker {name}: its tags tell {', '.join(doubtful)} by class name only, and classes can change their "
                "names: compare its namespaces, and declare renamed_from= where one is meant."
            )
    known = {id_: i for i, id_ in declared.items() if id_ and i not in taken} | known
    return Names(known=known, taken=frozenset(taken | cells.keys()), notes=tuple(notes))


def export_types(desired: Desired, entrypoints: Mapping[str, str], directory: Path) -> tuple[Path, ...]:
    """Write `worker-configuration.d.ts` of each declared Worker but those in Python; gives the files.

    `entrypoints` gives the source file of each script that has one, so that the types of its classes are imported. A
    file of ours is written anew, another one is refused.
    """
    workers = [w for w in desired.workers if all(m.kind is not ModuleKind.PYTHON for m in w.modules)]
    if not workers:
        raise CommandError("export types: no Worker in JavaScript or TypeScript is declared; run its cell first.")
    texts = {}
    for worker in workers:
        path = directory / worker.id / TYPES_FILE
        sources = {script: _import_path(file, path.parent) for script, file in entrypoints.items()}
        texts[path] = env_types(worker, sources=sources).encode()
        if (found := _content(path)) is not None and not found.startswith(HEAD.encode()):
            raise CommandError(f"{path} exists and was not written by this; move it away or name another directory.")
    return _write(texts)


def _import_path(file: str, folder: Path) -> str:
    """Write a file's path as an import from `folder` says it: relative, and without TypeScript's ending."""
    relative = os.path.relpath(Path(file).resolve(), folder.resolve()).replace(os.sep, "/")
    for ending in (".d.ts", ".tsx", ".ts"):
        relative = relative.removesuffix(ending)
    return relative if relative.startswith(".") else f"./{relative}"


def write_files(directory: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write files below `directory`; refuses, before the first one, where another content would be overwritten."""
    paths = {directory / name: content for name, content in sorted(files.items())}
    for path, content in paths.items():
        if not path.resolve().is_relative_to(directory.resolve()):
            raise CommandError(f"{path}: a file would be written outside {directory}; nothing was written.")
        if _content(path) not in {None, content}:
            raise CommandError(f"{path} exists with another content; move it away or name another directory.")
    return _write(paths)


def _content(path: Path) -> bytes | None:
    """Read a file that may be overwritten; None where there is none."""
    try:
        return path.read_bytes() if path.exists() else None
    except OSError as error:
        raise _unwritable(path, error) from None


def _write(files: Mapping[Path, bytes]) -> tuple[Path, ...]:
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise _unwritable(path, error) from None
    return tuple(files)


def _unwritable(path: Path, error: OSError) -> CommandError:
    return CommandError(f"{path} cannot be written: {error.strerror or error}. Name another directory.")
