"""Brings Workers into a session, from what is live or from a wrangler project, and its declarations out. Sends nothing.

The state file is read and written under one lock: a deploy in another kernel between them would be forgotten.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from notebook_do.cloudflare.client import Client
    from notebook_do.declare.catalog import Catalog
    from notebook_do.interchange.cells import Imported
    from notebook_do.interchange.exporting import GivenAssets
    from notebook_do.interchange.importing import Import
    from notebook_do.interchange.project_import import ProjectImport, SelectedEnvironment
    from notebook_do.live.connection import Connection
    from notebook_do.model import Desired, Recorded
    from notebook_do.state.file import StateFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeContext:
    """Where something is imported into: name and stage of a session, its account, state file and declarations."""

    name: str
    stage: str
    connection: Connection
    state: StateFile
    catalog: Catalog

    @property
    def session(self) -> tuple[str, str]:
        """The name and the stage."""
        return self.name, self.stage


def check_asked(workers: tuple[str, ...], source: object, *, all_of_them: bool) -> None:
    """Raise CommandError for an import that names nothing, or a source for more than one Worker."""
    if not workers and not all_of_them:
        raise CommandError("import: name the live Workers, or ask for all of them with --from-account.")
    if source is not None and (len(workers) != 1 or all_of_them):
        raise CommandError("import: --source is the file of one Worker; name that one, and import others alone.")


async def import_live(place: ExchangeContext, workers: tuple[str, ...], source: str | None) -> Imported:
    """Declare live Workers as they are, none named: all of the account; `source` is the file of the only one."""
    from notebook_do.interchange.importing import import_workers

    def find(client: Client, recorded: Recorded) -> Awaitable[Import]:
        return import_workers(client, recorded, workers, session=place.session, catalog=place.catalog, source=source)

    return await _taken_in(place, find)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadProject:
    """The Workers of a wrangler project, of its top level or of one environment, as they were read."""

    path: Path
    env: str
    selected: SelectedEnvironment

    @property
    def session(self) -> tuple[str, str]:
        """Name and stage of the session for it where none was named: its folder's name."""
        from notebook_do.interchange.project_import import stage_of

        place = self.path.expanduser().resolve()
        folder = place.parent if place.is_file() else place
        # A session's name is also a folder of the state file.
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.name).strip("-_")[:63] or "project"
        return name, stage_of(self.selected, self.env)


def read_wrangler(path: str | Path | ReadProject, env: str | None) -> ReadProject:
    """Read a wrangler project, or return the one that was read already; raises CommandError where that cannot be."""
    from notebook_do.interchange.project_files import read_project
    from notebook_do.interchange.project_import import select

    if isinstance(path, ReadProject):
        return path
    return ReadProject(path=Path(path), env=env or "", selected=select(read_project(Path(path)), env or ""))


async def import_wrangler(place: ExchangeContext, read: ReadProject, build: bool) -> Imported:  # noqa: FBT001 - as it was asked
    """Declare the Workers of a project; with `build` their build commands run first."""
    from notebook_do.interchange.project_import import check_stage, import_project, not_built
    from notebook_do.sources.building import run_builds

    check_stage(read.selected, read.env, place.session)
    built = await asyncio.to_thread(run_builds, read.selected.builds, Path.cwd()) if build else ()
    # Once more: a command may write the configuration that the project leads to.
    selected = read_wrangler(read.path, read.env).selected if built else read.selected

    def find(client: Client, recorded: Recorded) -> Awaitable[ProjectImport]:
        target = place.connection.target
        return import_project(client, recorded, selected, session=place.session, catalog=place.catalog, target=target)

    found = await _taken_in(place, find)
    return replace(found, built=built, notes=found.notes if build else (*found.notes, *not_built(selected)))


async def _taken_in(
    place: ExchangeContext, find: Callable[[Client, Recorded], Awaitable[Import | ProjectImport]]
) -> Imported:
    """Declare what is found, and write what is live of it into the state file."""
    connection, state = place.connection, place.state
    with state.lock():
        recorded = state.load(account_id=connection.account_id, api_origin=connection.origin)
        async with connection.client() as client:
            found = await find(client, recorded)
        if found.recorded != recorded:
            state.save(found.recorded, above=found.newest)
    place.catalog.declare(*found.declare)
    return found.imported


async def export_project(
    place: ExchangeContext, desired: Desired, directory: Path, assets: GivenAssets
) -> tuple[Path, ...]:
    """Write a wrangler project for each declared Worker."""
    from notebook_do.interchange.exporting import export_wrangler

    async with place.connection.client() as client:
        return await export_wrangler(client, desired, place.state.load(), directory, assets)
