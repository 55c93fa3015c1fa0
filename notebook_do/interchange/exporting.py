"""Takes declared Workers out as a project for wrangler; sends no change.

What is live and only kept (never declared, so no upload of ours would touch it) must be in the project too: wrangler
replaces as a whole what it sends. What cannot be written is refused by name, before any file is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare.assets import content_of
from notebook_do.cloudflare.triggers import every_trigger
from notebook_do.errors import CommandError, nearest
from notebook_do.interchange.importing import write_files
from notebook_do.interchange.wrangler import asset_folder, wrangler_files
from notebook_do.live.observe import observe
from notebook_do.model import Bindings, Json, Resource, StaticAssets, ValueBinding, Worker, assets_problem
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


async def export_wrangler(
    client: Client, desired: Desired, recorded: Recorded, directory: Path, assets: GivenAssets = None
) -> tuple[Path, ...]:
    """Write one wrangler project a declared Worker below `directory`; gives the files, those unchanged included.

    `assets` tells where the static assets are that are live and not declared. Raises CommandError, with nothing
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
    """Give the directories by Worker id."""
    if assets is None:
        return {}
    ids = {w.script_name: w.id for w in desired.workers} | {w.id: w.id for w in desired.workers}
    if isinstance(assets, str | Path):
        if len(desired.workers) > 1:
            workers = ", ".join(w.id for w in desired.workers)
            raise CommandError(f"export: say whose assets are in {assets}: --assets WORKER={assets}, with {workers}.")
        return {desired.workers[0].id: assets}
    for name in assets:
        if name not in ids:
            raise CommandError(f"export: assets: no Worker {name} is declared; {nearest(name, list(ids.values()))}")
    return {ids[name]: one for name, one in assets.items()}


def _with_assets(
    worker: DesiredWorker, record: RecordedWorker | None, live: ObservedScript | None, given: Directory | None
) -> DesiredWorker:
    """Add the static assets that are live and not declared, from the directory that is given for them."""
    keeps = _keeps_assets(worker, record, live)
    if given is None and not keeps:
        return worker
    if given is None:
        raise CommandError(
            f"export: the static assets of Worker {worker.id} are live and not declared here, and wrangler deploy "
            f"would delete them; say where their files are: --assets {worker.id}=DIR."
        )
    if not keeps:
        why = "declares its static assets" if worker.assets else "has no static assets"
        raise CommandError(f"export: Worker {worker.id} {why}; leave out --assets for it.")
    return replace(worker, assets=_read(worker, given))


def _keeps_assets(worker: DesiredWorker, record: RecordedWorker | None, live: ObservedScript | None) -> bool:
    """Say whether assets are live that are not declared, and that this session did not send: an upload keeps them."""
    sent = read_fingerprint(record.settings_digest if record else None).assets != UNSET
    if worker.assets is not None or sent or live is None:
        return False
    bound = (b.value for b in live.bindings or () if isinstance(b, ValueBinding))
    return live.has_assets is True or any(isinstance(v, Resource) and v.type == "assets" for v in bound)


def _read(worker: DesiredWorker, given: Directory) -> StaticAssets | None:
    table = dict(given) if isinstance(given, Mapping) else {"directory": str(given)}
    problem = assets_problem(table)
    if "binding" in table:
        problem = "the binding of assets stays as it is live; leave it out."
    if problem:
        raise CommandError(f"export: Worker {worker.id}: {problem}")
    told = Worker(worker.id, bindings=Bindings(worker.id, {}), assets=Json(table))
    return read_assets(told, base=Path.cwd())


def _with_settings(worker: DesiredWorker, record: RecordedWorker | None, live: ObservedScript | None) -> DesiredWorker:
    """Add the settings, flags and cron triggers that are live and stay though they are not declared."""
    if live is None:
        return worker
    standing = Ownership(worker=worker, live=live, record=record, mark=None, form=live.lifecycle or "exports")
    before = read_fingerprint(record.settings_digest if record else None)
    return replace(
        worker,
        options=sent_options(standing),
        compatibility_flags=sent_flags(standing, set_here(standing)),
        crons=wanted_crons(standing, before),
        previews=live.previews if worker.previews is None else worker.previews,
    )


def _with_places(
    worker: DesiredWorker, record: RecordedWorker | None, live: tuple[Trigger, ...], unread: Mapping[TriggerKind, str]
) -> DesiredWorker:
    """Add the live routes and custom domains that stay: wrangler replaces all that a Worker has, where it sets one.

    Consumers of queues are not added: wrangler removes none.
    """
    declared = {(t.kind, t.key) for t in worker.triggers}
    ours = {(t.kind, t.key) for t in (record.triggers if record else ())}
    if told := next((unread[kind] for kind, _ in sorted(declared) if kind in unread and kind != "consumer"), None):
        raise CommandError(
            f"export: the token may not read {told}, and wrangler would take away those of Worker {worker.id} that are "
            "not declared here; use a token that may read them."
        )
    kept = [t for t in live if t.kind != "consumer" and (t.kind, t.key) not in declared | ours]
    return replace(worker, triggers=tuple(sorted((*worker.triggers, *kept), key=lambda t: (t.kind, t.key))))


def _asset_files(worker: DesiredWorker) -> dict[str, bytes]:
    """Give the static assets by path, and the rule files that lie among them."""
    if worker.assets is None:
        return {}
    folder = f"{worker.script_name}/{asset_folder(worker)}"
    rules = {f"{folder}/{k}": str(v).encode() for k, v in worker.assets.config.value.items() if k.startswith("_")}
    return rules | {f"{folder}{file.path}": content_of(file) for file in worker.assets.files}
