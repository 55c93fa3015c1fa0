"""Brings a wrangler project in: its configurations are read, and what is live of its Workers is taken from the account.

Sends no change. The state file then knows each live Worker as it is live, so that of a project which is deployed as it
stands nothing is left to plan but, at most, its code.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.declare.catalog import Catalog
from notebook_do.declare.options import line_of
from notebook_do.display.formats import short_account
from notebook_do.errors import CommandError, SourceError
from notebook_do.interchange.cells import Imported, worker_cell
from notebook_do.interchange.configuration import environment_of
from notebook_do.interchange.importing import import_workers, replaced_notes, secret_notes, with_live_code
from notebook_do.interchange.projects import Known, declare_project
from notebook_do.interchange.wrangler_left import REFUSED
from notebook_do.interchange.wrangler_reading import ProjectWorker, read_worker
from notebook_do.live.adopt import as_project
from notebook_do.live.observe import read_lists
from notebook_do.model import Namespace, Source
from notebook_do.sources.building import BuildCommand
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from notebook_do.cloudflare.client import Client
    from notebook_do.interchange.importing import Import
    from notebook_do.interchange.project_files import Project, ProjectFile
    from notebook_do.interchange.projects import ProjectDeclarations, Slot
    from notebook_do.model import Declaration, Desired, Recorded, Target, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedEnvironment:
    """The Workers of one environment of a project; `environments` are all that the project has."""

    workers: tuple[ProjectWorker, ...]
    environments: frozenset[str]
    notes: tuple[str, ...]

    @property
    def builds(self) -> tuple[BuildCommand, ...]:
        """The build commands of the Workers."""
        commands = ((w.id, w.given.get("build")) for w in self.workers)
        return tuple(BuildCommand(worker=id_, command=command) for id_, command in commands if command)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectImport:
    """Cells to show and what they declare, the state file's content after it, and the newest serial that is live."""

    imported: Imported
    recorded: Recorded
    newest: int

    @property
    def declare(self) -> tuple[Declaration, ...]:
        """What the cells declare."""
        return self.imported.declarations


def select(project: Project, env: str = "") -> SelectedEnvironment:
    """Return the Workers of one environment, the top level without `env`; what is left out is noted by name.

    Raises CommandError where no configuration has that environment, or none has a Worker.
    """
    workers, notes = list[ProjectWorker](), list(project.notes)
    alone = len(project.files) == 1
    environments = frozenset(name for file in project.files for name in _environments(file))
    for file in project.files:
        refused = next((key for key in REFUSED if file.raw.get(key)), None)
        if refused and not alone:
            notes.append(f"{file.place} is not imported: {refused}: {REFUSED[refused]}")
            continue
        if env and not alone and env not in _environments(file) and not file.raw.get("targetEnvironment"):
            notes.append(f"{file.place} is not imported: it has no environment {env}.")
            continue
        environment = environment_of(file.place, file.raw, env)
        if environment.others:
            notes.append(_others(file, environment.others))
        found = read_worker(file.place, _from_here(file.folder), environment)
        if found is None:
            notes.append(f"{file.place} is not imported: it has static assets and no code; leave it to wrangler.")
        else:
            workers.append(found)
    if not workers:
        if env and env not in environments:  # each file would say the same
            known = f"; it has {', '.join(sorted(environments))}" if environments else ""
            raise CommandError(f"import: the project has no environment {env}{known}.")
        raise CommandError(f"import: the project has no Worker with code. {' '.join(notes)}".rstrip())
    return SelectedEnvironment(workers=tuple(workers), environments=environments, notes=tuple(notes))


def _others(file: ProjectFile, others: Sequence[str]) -> str:
    """Say which environments of a file are not imported, and how one of them is."""
    one = next((name for name in others if name in _environments(file)), "")
    how = f"with --stage {one}, then import with --env {one}" if one else "of another stage, then import without --env"
    said = "It is" if len(others) == 1 else "Each is"
    return f"{file.place}: not imported: {', '.join(others)}. {said} a stage of its own: open a session {how}."


def _environments(file: ProjectFile) -> frozenset[str]:
    known = file.raw.get("env")
    return frozenset(known) if isinstance(known, dict) else frozenset()


def _from_here(folder: Path) -> str:
    return Path(os.path.relpath(folder)).as_posix()


def stage_of(selected: SelectedEnvironment, env: str = "") -> str:
    """Return the stage that an environment is declared in: its name; the top level has one that no environment has."""
    return env or next(s for s in ("production", "dev", "top-level") if s not in selected.environments)


def check_stage(selected: SelectedEnvironment, env: str, session: tuple[str, str]) -> None:
    """Raise CommandError where the open session is of another stage than the environment."""
    # Two environments in one state file would look like one Worker that changed its name.
    name, stage = session
    if stage == env or (not env and stage not in selected.environments):
        return
    what = f"environment {env}" if env else "the top level of the project"
    raise CommandError(
        f"import: {what} is not imported into stage {stage}; open its own first: "
        f"%durable session {name} --stage {stage_of(selected, env)}"
    )


def not_built(selected: SelectedEnvironment) -> tuple[str, ...]:
    """Say of each build command that it was not run: an import runs none that it was not asked to run."""
    return tuple(
        f"Worker {build.worker}: its build command `{build.command}` was not run; import with --build runs it."
        for build in selected.builds
    )


def session_line(workers: tuple[ProjectWorker, ...], session: tuple[str, str], target: Target) -> str:
    """Return the line that opens the session of the cells; on Cloudflare with the account that the project names."""
    name, stage = session
    line = f"%durable session {name} --stage {stage}"
    if target == "local":
        return line
    account = next((w.account for w in workers if w.account), None)
    return f"{line} --target cloudflare" + (f" --account {account}" if account else "")


def check_account(
    workers: tuple[ProjectWorker, ...], account_id: str, target: Target, session: tuple[str, str]
) -> None:
    """Raise CommandError where the project is of another account than the session; a local one is of none."""
    for worker in workers:
        if target == "cloudflare" and worker.account and worker.account != account_id:
            its, ours = short_account(worker.account), short_account(account_id)
            raise CommandError(
                f"import: {worker.place} is of account {its}, and this session of {ours}; open one of that account "
                f"first: {session_line((worker,), session, target)}"
            )


async def import_project(  # noqa: PLR0913 - what is asked, and what is known
    client: Client,
    recorded: Recorded,
    selected: SelectedEnvironment,
    *,
    session: tuple[str, str],
    catalog: Catalog,
    target: Target,
) -> ProjectImport:
    """Return the cells and declarations of a project's Workers, and the state file with those that are live."""
    check_account(selected.workers, client.account_id, target, session)
    lists = await read_lists(client)
    ids = {w.script: w.id for w in selected.workers}
    live = sorted(ids.keys() & lists.scripts.keys())
    # Without any of them it would be asked for the whole account.
    found = await import_workers(client, recorded, live, session=session, catalog=catalog, ids=ids) if live else None
    known = _known(found, recorded, catalog, session[1])
    declared = declare_project(selected.workers, known)
    desired, unread = _desired(declared, session)
    notes = [*selected.notes, *declared.notes, *unread, *replaced_notes(declared.all, catalog)]
    notes += _live_notes(found, declared, recorded) if found else []
    notes += _first_deploy_notes(declared, lists.scripts)
    if target == "local":
        notes += [
            f"{w.place}: account_id is of Cloudflare; it is left out here." for w in selected.workers if w.account
        ]
    return ProjectImport(
        imported=Imported(
            cells=_cells(selected, declared, session, target), declarations=declared.all, notes=tuple(notes)
        ),
        recorded=_recorded(found, recorded, desired) if found else recorded,
        newest=found.newest if found else 0,
    )


def _known(found: Import | None, recorded: Recorded, catalog: Catalog, stage: str) -> Known:
    """Return what the account, the state file and the cells know of the project's namespaces and Workers."""
    places = {slot: id_ for id_, slot in catalog.places(stage).items()}
    places |= {(n.script_name, n.class_name): n.stable_id for n in recorded.namespaces}
    ids = {catalog.script_name(id_, stage): id_ for id_ in catalog.workers}
    ids |= {w.script_name: w.id for w in recorded.workers}
    named = found.imported.declarations if found else ()
    live: dict[Slot, Namespace] = {(n.script_name or "", n.class_name): n for n in named if isinstance(n, Namespace)}
    taken = {*catalog.namespaces, *(n.stable_id for n in recorded.namespaces), *(n.id for n in live.values())}
    return Known(
        live=live,
        scripts={s.name: s for s in found.observed.scripts} if found else {},
        stable_ids=places,
        worker_ids=ids,
        taken=frozenset(taken),
    )


def _desired(declared: ProjectDeclarations, session: tuple[str, str]) -> tuple[Desired, list[str]]:
    """Return what the declarations mean, and a line for each source that cannot be read as it stands."""
    unread: list[str] = []
    catalog = Catalog()
    catalog.declare(*declared.all)
    return catalog.desired(*session, read=_reading(unread)), unread


def _reading(unread: list[str]) -> Callable[[Worker], Source]:
    """Return a reader for which a source that cannot be bundled has no modules: its cell can be kept all the same."""
    read = reader(Path.cwd())

    def reading(worker: Worker) -> Source:
        try:
            return read(worker)
        except SourceError as error:
            unread.append(f"{error.message} Nothing can be planned before that.")
            return Source(main_module="", modules=(), digest="")

    return reading


def _recorded(found: Import, before: Recorded, desired: Desired) -> Recorded:
    """Record the Workers that this import takes over as the project has them, where that is what is live."""
    was = {w.script_name: w for w in before.workers}
    wanted = {w.script_name: w for w in desired.workers}
    live = {s.name: s for s in found.observed.scripts}
    taken = {w.script_name for w in found.recorded.workers if w != was.get(w.script_name)} & wanted.keys()
    of_project = replace(desired, workers=tuple(wanted[name] for name in sorted(taken)))
    coded = with_live_code(found.recorded, of_project, found.sources)
    workers = (
        as_project(w, wanted[w.script_name], live[w.script_name]) if w.script_name in taken else w
        for w in coded.workers
    )
    return replace(coded, workers=tuple(workers))


def _cells(
    selected: SelectedEnvironment, declared: ProjectDeclarations, session: tuple[str, str], target: Target
) -> tuple[str, ...]:
    namespaces = (f"%durable {line_of('namespace', item)}" for item in declared.namespaces)
    opens = session_line(selected.workers, session, target)
    return (opens, *namespaces, *(worker_cell(worker) for worker in declared.workers.values()))


def _live_notes(found: Import, declared: ProjectDeclarations, recorded: Recorded) -> list[str]:
    """Say of live Workers what the project does not: secrets, and what cannot be read back."""
    scripts = [s for s in found.observed.scripts if s.name in declared.workers]
    undeclared = [
        replace(s, bindings=tuple(b for b in s.bindings or () if b.name not in declared.workers[s.name].bindings))
        for s in scripts
    ]
    notes = secret_notes(recorded, undeclared, frozenset(declared.workers))
    return notes + [
        f"Worker {declared.workers[s.name].id}: its live static assets cannot be read back, so the next plan sends "
        "those of the project once."
        for s in scripts
        if s.has_assets and declared.workers[s.name].assets is not None
    ]


def _first_deploy_notes(declared: ProjectDeclarations, live: Collection[str]) -> list[str]:
    """Say of Workers that are not live yet that their own list of migrations will not fit what is deployed here."""
    # wrangler sends its whole list again where the live tag is none of it, and is refused (10074).
    return [
        f"Worker {worker.id}: its first deploy from here sets a migration tag that its `migrations` do not have. To "
        "deploy it with wrangler after that, first put those in their place that %durable export wrangler writes."
        for script, worker in declared.workers.items()
        if worker.lifecycle == "migrations" and script not in live
    ]
