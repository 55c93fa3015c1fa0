"""Finds out how a session stands, without a request or a download: declarations, sources, state file, journal."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from notebook_do.display import one_line, shortened
from notebook_do.display.hiding import without_secrets
from notebook_do.errors import DeclarationError, SourceError
from notebook_do.live.next_steps import next_steps
from notebook_do.live.status import FoundMistake, Status, StatusFacts, StoppedDeploy, rows_of
from notebook_do.model import Source
from notebook_do.sources.bundle import reader
from notebook_do.sources.checking import can_be_checked, lacking_exports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from notebook_do.deploy.result import DeployResult, Failure
    from notebook_do.live.connection import Connection
    from notebook_do.model import Desired, Recorded, Worker
    from notebook_do.model.building import NotExported
    from notebook_do.sessions.planning import Planning
    from notebook_do.state.file import StateFile
    from notebook_do.state.journal import Intent

_UNREAD = Source(main_module="", modules=(), digest="")
"""Stands for a source that cannot be read now: the names around it are resolved all the same."""


def status_of(planning: Planning, connection: Connection) -> Status:
    """Return where a session is, how everything in it stands, and what can be typed next."""
    state, catalog = planning.state, planning.catalog
    facts = _facts(planning, state.load(), connection.account_id)
    rows, recorded = rows_of(facts), facts.recorded
    names = {w.id: w.script_name for w in recorded.workers} | {id_: w.script_name for id_, w in facts.workers.items()}
    urls = {id_: url for id_, name in names.items() if (url := connection.known_url(name))}
    return Status(
        session=planning.session,
        stage=planning.stage,
        target=connection.target,
        account_id=connection.account_id,
        api=connection.base_url,
        token="" if connection.target == "local" else connection.token.source,
        state_path=shortened(state.path),
        serial=recorded.serial,
        last_deploy=max((w.modified_on for w in recorded.workers if w.modified_on), default=""),
        rows=rows,
        problem=facts.problem,
        stopped=facts.stopped,
        rebuilt=state.is_rebuilt,
        next_steps=next_steps(rows, facts, {id_: url for id_, url in urls.items() if id_ in catalog.workers}),
        crons=connection.crons,
        account=planning.account.noted(connection.account_id),
    )


def _facts(planning: Planning, recorded: Recorded, account_id: str) -> StatusFacts:
    wrong: dict[str, SourceError] = {}
    unread: set[str] = set()
    desired, problem = _desired(planning, wrong, unread)
    open_ = _open_intents(planning.state)
    known = [w for w in desired.workers if w.id not in wrong and w.id not in unread] if desired else []
    former = {str(n.stable_id): (n.class_name,) for n in recorded.namespaces}
    if desired is not None:
        desired = planning.with_inspectors(desired, recorded, account_id)
    lacking = lacking_exports(desired, former) if desired else ()
    return StatusFacts(
        catalog=planning.catalog,
        recorded=recorded,
        workers={w.id: w for w in known},
        namespaces={str(n.stable_id): n for n in desired.namespaces} if desired else {},
        deployed=planning.deployed,
        secrets=_changed_secrets(planning, desired, recorded) if desired else {},
        mistakes=tuple(_mistakes(wrong, lacking)),
        undecided={i.script_name: i.summary for i in open_},
        notebook=PurePath(planning.state.last_notebook()).name,
        problem=problem,
        stopped=_stopped(planning.stopped) or _interrupted(open_),
    )


def _desired(planning: Planning, wrong: dict[str, SourceError], unread: set[str]) -> tuple[Desired | None, str]:
    """Return what the declarations resolve to, or why they do not; notes the Workers whose sources cannot be read."""
    read_source = reader(Path.cwd())

    def read(worker: Worker) -> Source:
        if not can_be_checked(worker):  # it would fetch esbuild
            unread.add(worker.id)
            return _UNREAD
        try:
            return read_source(worker)
        except SourceError as error:
            wrong[worker.id] = error
            return _UNREAD

    try:
        return planning.catalog.desired(planning.session, planning.stage, read=read), ""
    except DeclarationError as error:
        return None, error.message


def _mistakes(wrong: dict[str, SourceError], lacking: Iterable[tuple[str, NotExported]]) -> Iterator[FoundMistake]:
    for id_, error in wrong.items():
        text = error.message.removeprefix(f"Worker {id_}: ").rstrip(".")
        yield FoundMistake(kind="worker", id=id_, text=text)
    for id_, one in lacking:
        yield FoundMistake(kind="worker", id=id_, text=one.short, mend=one.mend)


def _changed_secrets(planning: Planning, desired: Desired, recorded: Recorded) -> dict[str, tuple[str, ...]]:
    """Return by Worker the secrets of the environment that have another value than the one that was set.

    A keyring may ask for its password and a prompt for an answer, so only the plan reads those.
    """
    before = {(w.script_name, name): mark for w in recorded.workers for name, mark in w.secrets}
    now = planning.secrets.marks_of_environment(desired, recorded.lineage)
    other = {place for place, mark in now.items() if before.get(place, mark) != mark}
    return {w.id: tuple(sorted(name for script, name in other if script == w.script_name)) for w in desired.workers}


def _open_intents(state: StateFile) -> tuple[Intent, ...]:
    """Return what an interrupted deploy sent and did not see the end of; nothing while a deploy runs."""
    return () if state.is_deploying() else state.journal.open_intents()


def _stopped(result: DeployResult | None) -> StoppedDeploy | None:
    """Return what this kernel knows of the last deploy, where it stopped before its end."""
    if result is None:
        return None
    failure = result.failure
    return StoppedDeploy(
        at=result.ended.isoformat(timespec="seconds") if result.ended else "",
        plan=result.plan_digest,
        done=sum(one.status == "done" for one in result.outcomes),
        total=len(result.outcomes),
        uncertain=tuple(one.text for one in result.outcomes if one.status == "uncertain"),
        failed=_why(failure) if failure else "",
    )


def _why(failure: Failure) -> str:
    """Return what was answered, and the line of the cell; a message of the API may quote what is not to be seen."""
    said = one_line(without_secrets(failure.said))
    return f"{said.rstrip('.')}, {failure.place}" if failure.place else said


def _interrupted(open_: tuple[Intent, ...]) -> StoppedDeploy | None:
    if not open_:
        return None
    sent = [intent.sent_at for intent in open_ if intent.sent_at is not None]
    at = datetime.fromtimestamp(min(sent), UTC).isoformat(timespec="seconds") if sent else ""
    return StoppedDeploy(at=at, uncertain=tuple(intent.summary for intent in open_))
