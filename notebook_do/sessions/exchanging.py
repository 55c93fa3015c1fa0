"""Brings Workers into a session, from what is live or from a wrangler project, and its declarations out. Sends nothing.

The state file is read and written under one lock: a deploy in another kernel between them would be forgotten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from notebook_do.cloudflare.client import Client
    from notebook_do.declare.catalog import Catalog
    from notebook_do.interchange.cells import Imported
    from notebook_do.interchange.exporting import GivenAssets
    from notebook_do.interchange.importing import Import
    from notebook_do.interchange.project_import import ProjectImport
    from notebook_do.live.connection import Connection
    from notebook_do.model import Desired, Recorded
    from notebook_do.state.file import StateFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
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


async def import_live(place: Place, workers: tuple[str, ...], source: str | None) -> Imported:
    """Declare live Workers as they are, none named: all of the account; `source` is the file of the only one."""
    from notebook_do.interchange.importing import import_workers

    def find(client: Client, recorded: Recorded) -> Awaitable[Import]:
        return import_workers(client, recorded, workers, session=place.session, catalog=place.catalog, source=source)

    return await _taken_in(place, find)


async def import_wrangler(place: Place, path: Path, env: str) -> Imported:
    """Declare the Workers of a wrangler project, of its top level or of one environment."""
    from notebook_do.interchange.project_files import read_project
    from notebook_do.interchange.project_import import check_stage, import_project, select

    selected = select(read_project(path), env)
    check_stage(selected, env, place.session)

    def find(client: Client, recorded: Recorded) -> Awaitable[ProjectImport]:
        target = place.connection.target
        return import_project(client, recorded, selected, session=place.session, catalog=place.catalog, target=target)

    return await _taken_in(place, find)


async def _taken_in(place: Place, find: Callable[[Client, Recorded], Awaitable[Import | ProjectImport]]) -> Imported:
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


def session_of(path: Path, env: str) -> tuple[str, str]:
    """Return name and stage of the session for a project that none was named for: its folder's name."""
    from notebook_do.interchange.project_files import read_project
    from notebook_do.interchange.project_import import select, stage_of

    place = path.expanduser().resolve()
    folder = place.parent if place.is_file() else place
    # A session's name is also a folder of the state file.
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.name).strip("-_")[:63] or "project"
    return name, stage_of(select(read_project(path), env), env)


async def export_project(place: Place, desired: Desired, directory: Path, assets: GivenAssets) -> tuple[Path, ...]:
    """Write a wrangler project for each declared Worker."""
    from notebook_do.interchange.exporting import export_wrangler

    async with place.connection.client() as client:
        return await export_wrangler(client, desired, place.state.load(), directory, assets)
