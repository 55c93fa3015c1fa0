"""Takes declared Workers out: as a project for wrangler, or as the TypeScript types of their bindings. Sends no change.

What is live and only kept (never declared, so no deploy would touch it) must be in the project too: wrangler
replaces as a whole what it sends. What cannot be written is refused by name, before any file is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.assets import content_of
from notebook_do.cloudflare.triggers import every_trigger
from notebook_do.errors import CommandError, nearest
from notebook_do.interchange.typescript import HEAD, TYPES_FILE, env_types
from notebook_do.interchange.wrangler import asset_folder, wrangler_files
from notebook_do.live.observe import observe
from notebook_do.model import Bindings, Json, ModuleKind, Resource, StaticAssets, ValueBinding, Worker, assets_problem
from notebook_do.plan.workers.ownership import Ownership
from notebook_do.plan.workers.settings import UNSET, read_fingerprint, sent_flags, sent_options, set_here
from notebook_do.plan.workers.triggers import wanted_crons
from notebook_do.sources.assets import read_assets

if TYPE_CHECKING:
    from notebook_do.cloudflare.client import Client
    from notebook_do.model import Desired, DesiredWorker, ObservedScript, Recorded, RecordedWorker, Trigger, TriggerKind

Directory = str | Path | Mapping[str, Any]
"""Where the static assets of a Worker are: a directory, or a table of it and of how they are served."""
GivenAssets = str | Path | Mapping[str, Directory] | None
"""By Worker id or script name; a directory alone is that of the only Worker."""

_SHOWN = 3


async def export_wrangler(
    client: Client, desired: Desired, recorded: Recorded, directory: Path, assets: GivenAssets = None
) -> tuple[Path, ...]:
    """Write one wrangler project a declared Worker below `directory`; return the files, those unchanged included.

    `assets` says where the static assets are that are live and not declared. Raises CommandError, with nothing
    written, where one is missing.
    """
    if not desired.workers:
        raise CommandError("export: no Worker is declared; run the cells that declare them first.")
    given = _by_worker(desired, assets)
    observed = await observe(client, scripts=[w.script_name for w in desired.workers], settings=True)
    triggers, unread = await every_trigger(client)
    live = {s.name: s for s in observed.scripts}
    known = {w.script_name: w for w in recorded.workers}
    workers = []
    for declared in desired.workers:
        name = declared.script_name
        worker = _with_assets(declared, known.get(name), live.get(name), given.get(declared.id))
        worker = _with_settings(worker, known.get(name), live.get(name))
        workers.append(_with_places(worker, known.get(name), triggers.get(name, ()), unread))
    desired = replace(desired, workers=tuple(workers))
    files = {path: content for worker in workers for path, content in _asset_files(worker).items()}
    return write_files(directory, wrangler_files(desired, recorded, observed) | files)


def _by_worker(desired: Desired, assets: GivenAssets) -> dict[str, Directory]:
    """Return the directories of static assets by Worker id."""
    if assets is None:
        return {}
    ids = {w.script_name: w.id for w in desired.workers} | {w.id: w.id for w in desired.workers}
    if isinstance(assets, str | Path):
        if len(desired.workers) > 1:
            lines = " or ".join(f"--assets {w.id}={assets}" for w in desired.workers[:_SHOWN])
            raise CommandError(f"export: several Workers are declared; say whose assets are in {assets}: {lines}.")
        return {desired.workers[0].id: assets}
    for name in assets:
        if name not in ids:
            raise CommandError(f"export: assets: no Worker {name} is declared; {nearest(name, list(ids.values()))}")
    return {ids[name]: one for name, one in assets.items()}


def _with_assets(
    worker: DesiredWorker, record: RecordedWorker | None, live: ObservedScript | None, given: Directory | None
) -> DesiredWorker:
    """Add the static assets that are live and not declared, from the directory that is given for them.

    No document names a way to read assets back, so their files can only come from whoever sent them.
    """
    keeps = _keeps_assets(worker, record, live)
    if given is None and not keeps:
        return worker
    if given is None:
        raise CommandError(
            f"export: the static assets of Worker {worker.id} are live and not declared here, and wrangler deploy "
            f"would delete them; say where their files are, as in --assets {worker.id}=./public."
        )
    if not keeps:
        why = "declares its static assets" if worker.assets else "has no static assets"
        raise CommandError(f"export: Worker {worker.id} {why}; leave out --assets for it.")
    return replace(worker, assets=_read(worker, given))


def _keeps_assets(worker: DesiredWorker, record: RecordedWorker | None, live: ObservedScript | None) -> bool:
    """Say whether assets are live that are not declared, and that this session did not send: an upload keeps them."""
    # What this session sent and declares no longer is exported as the next plan would leave it: absent.
    sent = read_fingerprint(record.settings_digest if record else None).assets != UNSET
    if worker.assets is not None or sent or live is None:
        return False
    bound = (b.value for b in live.bindings or () if isinstance(b, ValueBinding))
    return live.has_assets is True or any(isinstance(v, Resource) and v.type == "assets" for v in bound)


def _read(worker: DesiredWorker, given: Directory) -> StaticAssets:
    table = dict(given) if isinstance(given, Mapping) else {"directory": str(given)}
    problem = assets_problem(table)
    if "binding" in table:
        problem = "the binding of assets stays as it is live; leave it out."
    if problem:
        raise CommandError(f"export: Worker {worker.id}: {problem}")
    declared = Worker(worker.id, bindings=Bindings(worker.id, {}), assets=Json(table))
    return read_assets(declared, table, base=Path.cwd())


def _with_settings(worker: DesiredWorker, record: RecordedWorker | None, live: ObservedScript | None) -> DesiredWorker:
    """Add the settings, flags and cron triggers that are live and stay though they are not declared."""
    if live is None:
        return worker
    # The planner's own answers to what an upload would send: a second one here could only differ from them.
    ownership = Ownership(worker=worker, live=live, record=record, mark=None, form=live.lifecycle or "exports")
    before = read_fingerprint(record.settings_digest if record else None)
    return replace(
        worker,
        options=sent_options(ownership),
        compatibility_flags=sent_flags(ownership, set_here(ownership)),
        crons=wanted_crons(ownership, before),
        previews=live.previews if worker.previews is None else worker.previews,
    )


def _with_places(
    worker: DesiredWorker, record: RecordedWorker | None, live: tuple[Trigger, ...], unread: Mapping[TriggerKind, str]
) -> DesiredWorker:
    """Add the live routes and custom domains that stay: wrangler replaces all that a Worker has, where it sets one.

    Consumers of queues are not added: wrangler removes none.
    """
    declared = {(t.kind, t.key) for t in worker.triggers}
    recorded = {(t.kind, t.key) for t in (record.triggers if record else ())}
    if kinds := next((unread[kind] for kind, _ in sorted(declared) if kind in unread and kind != "consumer"), None):
        raise CommandError(
            f"export: the token may not read {kinds}, and wrangler would take away those of Worker {worker.id} that "
            "are not declared here; use a token that may read them."
        )
    # What is recorded and no longer declared would be removed by a deploy, and so it may be by wrangler.
    kept = [t for t in live if t.kind != "consumer" and (t.kind, t.key) not in declared | recorded]
    return replace(worker, triggers=tuple(sorted((*worker.triggers, *kept), key=lambda t: (t.kind, t.key))))


def _asset_files(worker: DesiredWorker) -> dict[str, bytes]:
    """Return the static assets by path, and the rule files that lie among them."""
    if worker.assets is None:
        return {}
    folder = f"{worker.script_name}/{asset_folder(worker)}"
    rules = {f"{folder}/{k}": str(v).encode() for k, v in worker.assets.config.value.items() if k.startswith("_")}
    return rules | {f"{folder}{file.path}": content_of(file) for file in worker.assets.files}


# --- types


def export_types(desired: Desired, entrypoints: Mapping[str, str], directory: Path) -> tuple[Path, ...]:
    """Write `worker-configuration.d.ts` of each declared Worker but those in Python; return the files.

    `entrypoints` has the source file of each script that has one, so that the types of its classes are imported. A
    file that was written by this is written anew, another one is refused.
    """
    workers = [w for w in desired.workers if all(m.kind is not ModuleKind.PYTHON for m in w.modules)]
    if not workers:
        raise CommandError(
            "export types: no Worker in JavaScript or TypeScript is declared; run the cell of one first."
        )
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
    # `.d.ts` first: `.ts` is a part of it.
    relative = os.path.relpath(Path(file).resolve(), folder.resolve()).replace(os.sep, "/")
    for ending in (".d.ts", ".tsx", ".ts"):
        relative = relative.removesuffix(ending)
    return relative if relative.startswith(".") else f"./{relative}"


# --- files


def write_files(directory: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write files below `directory`; refuses, before the first one, where another content would be overwritten."""
    # Names of modules come from live scripts, so from anybody: one with `..` in it must not lead out of `directory`.
    paths = {directory / name: content for name, content in sorted(files.items())}
    for path, content in paths.items():
        if not path.resolve().is_relative_to(directory.resolve()):
            raise CommandError(f"{path}: a file would be written outside {directory}; nothing was written.")
        # The same content is no conflict, so that an export can be repeated.
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
        fresh = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Beside it and then in its place: whole, and not through a link that came there since it was checked.
            fresh.write_bytes(content)
            fresh.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):  # the first failure is the one to tell
                fresh.unlink(missing_ok=True)
            raise _unwritable(path, error) from None
    return tuple(files)


def _unwritable(path: Path, error: OSError) -> CommandError:
    return CommandError(f"{path} cannot be written: {error.strerror or error}. Name another directory.")
