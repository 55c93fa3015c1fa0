"""Brings live Workers in as cells to paste, and writes the TypeScript types of what is declared.

Sends no change.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.cloudflare.triggers import list_triggers
from notebook_do.cloudflare.wire import decode_modules
from notebook_do.declare.importing import import_cells
from notebook_do.declare.stubs import HEAD, TYPES_FILE, env_types
from notebook_do.errors import CommandError
from notebook_do.model import ModuleKind, RecordedNamespace, RecordedWorker
from notebook_do.observe import observe
from notebook_do.plan.fingerprint import fingerprint
from notebook_do.plan.mark import alchemy_classes, read_mark
from notebook_do.plan.settings import imported_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.declare.importing import Imported
    from notebook_do.model import (
        Desired,
        DesiredNamespace,
        DesiredWorker,
        Observed,
        ObservedNamespace,
        ObservedScript,
        Recorded,
    )


async def import_workers(
    client: Client, recorded: Recorded, scripts: Sequence[str], declared: Mapping[str, str]
) -> tuple[Imported, Observed]:
    """Write the cells that declare `scripts` (none: all of the account) exactly as they are live, sources included.

    `declared` gives the Worker id by script name: who is declared or recorded keeps its id. Gives what was observed
    too, so that it can be recorded with `adopted`.
    """
    observed = await observe(client, scripts=scripts or None, settings=True)
    names = list(scripts or [s.name for s in observed.scripts])
    triggers, unread = await list_triggers(client)
    read = tuple(replace(s, triggers=triggers.get(s.name, ())) if s.name in names else s for s in observed.scripts)
    observed = replace(observed, scripts=read)
    live = {s.name for s in read}
    sources = {name: decode_modules(*await client.script_modules(name)) for name in names if name in live}
    stable_ids = _known_stable_ids(recorded, observed)
    worker_ids = {**declared, **{w.script_name: w.id for w in recorded.workers}}
    imported = import_cells(observed, names, sources, stable_ids=stable_ids, worker_ids=worker_ids)
    return replace(imported, notes=(*imported.notes, *unread)), observed


def adopted(recorded: Recorded, desired: Desired, observed: Observed) -> Recorded:
    """Record the Workers and namespaces of `desired` as they are live, as if this session had deployed them.

    A Worker that is recorded already is recorded anew, since its declaration is what is live now; a namespace stays.
    """
    live = {s.name: s for s in observed.scripts}
    ids = {n.namespace_id for n in recorded.namespaces}
    imported = {w.id: _worker_record(w, live[w.script_name]) for w in desired.workers}
    workers = {w.id: w for w in recorded.workers} | imported
    by_class = {(n.script_name, n.class_name): n for n in observed.namespaces}
    hosted = [(n, by_class.get((n.script_name, n.class_name))) for n in desired.namespaces if n.host is not None]
    namespaces = [_namespace_record(n, there) for n, there in hosted if there and there.namespace_id not in ids]
    return replace(
        recorded,
        account_id=observed.account_id,
        api_origin=observed.api_origin,
        workers=tuple(workers[id_] for id_ in sorted(workers)),
        namespaces=tuple(sorted((*recorded.namespaces, *namespaces), key=lambda n: n.stable_id)),
    )


def _worker_record(worker: DesiredWorker, live: ObservedScript) -> RecordedWorker:
    return RecordedWorker(
        id=worker.id,
        script_name=live.name,
        etag=live.etag,
        lifecycle=live.lifecycle,
        migration_tag=live.migration_tag,
        content_digest=worker.content_digest,
        settings_digest=str(fingerprint(worker)),
        triggers=worker.triggers,
        settings=imported_settings(worker),
    )


def _namespace_record(namespace: DesiredNamespace, live: ObservedNamespace) -> RecordedNamespace:
    return RecordedNamespace(
        stable_id=namespace.stable_id,
        namespace_id=live.namespace_id,
        script_name=live.script_name,
        class_name=live.class_name,
        storage=live.storage,
        class_history=(live.class_name,),
    )


def _known_stable_ids(recorded: Recorded, observed: Observed) -> dict[str, str]:
    """Give the stable ID by namespace id: as the marks on the scripts say, and before them the state file."""
    by_class = {(n.script_name, n.class_name): n.namespace_id for n in observed.namespaces}
    known: dict[str, str] = {}
    for script in observed.scripts:
        mark = read_mark(script.tags)
        for stable_id, class_name in (mark.classes if mark else alchemy_classes(script)).items():
            if (script.name, class_name) in by_class:
                known[by_class[script.name, class_name]] = stable_id
    return known | {n.namespace_id: n.stable_id for n in recorded.namespaces}


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
        texts[path] = env_types(worker, sources=sources)
        if path.exists() and not path.read_text().startswith(HEAD):
            raise CommandError(f"{path} exists and was not written by this; move it away or name another directory.")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tuple(texts)


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
        if path.exists() and path.read_bytes() != content:
            raise CommandError(f"{path} exists with another content; move it away or name another directory.")
    for path, content in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tuple(paths)
