"""Logs of a session's Workers, with the lines of cells and files that their stacks mean.

Which source was live at a moment is told by the deploys of this kernel, and by the record where the source that is
declared now is the one that was uploaded last; where anything else was uploaded since, no line is named.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.display import frame
from notebook_do.errors import CommandError, DurableError, NotDeployed, nearest
from notebook_do.live import logs as reading
from notebook_do.live.observe import observe_scripts
from notebook_do.sessions.changed import cell_of
from notebook_do.sources.bundle import bundle
from notebook_do.sources.located import LocatedStack, UploadedCode, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from notebook_do.live.connection import Connection
    from notebook_do.live.logs import LogsAsked, PastLogs, RequestLogs
    from notebook_do.live.records import LogRecord
    from notebook_do.model import Recorded, Worker
    from notebook_do.sessions.looking import DeployedThen


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedRecord:
    """A record with what its stack says of the source."""

    record: LogRecord
    stack: LocatedStack | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsPlace:
    """Where logs are looked for: the session's connection, record, declarations and deploys."""

    connection: Connection
    recorded: Recorded
    declared: Mapping[str, Worker]
    scripts: Mapping[str, str]
    """Worker id -> script name."""
    deploys: tuple[DeployedThen, ...] = ()

    @property
    def worker_of(self) -> dict[str, str]:
        """Script name -> Worker id."""
        return {script: id_ for id_, script in self.scripts.items()}


async def past(place: LogsPlace, worker: str, asked: LogsAsked) -> tuple[PastLogs, tuple[LocatedRecord, ...]]:
    """Read what a Worker logged, its stacks with the places that are known."""
    script = place.scripts.get(worker, worker)
    found = await reading.past_logs(place.connection, script, worker, asked)
    located = await with_places(place, found.records)
    return replace(found, records=tuple(map(shown_record, located))), located


def logs_frame(found: PastLogs) -> pd.DataFrame:
    """Return the frame of past logs."""
    missing = [asdict(one) for one in found.missing]
    return frame("logs", found.records, missing=missing, more=found.lines > len(found.records))


async def of_request(place: LogsPlace, request_id: str, wait: float) -> tuple[RequestLogs, tuple[LocatedRecord, ...]]:
    """Return what a request logged, and the records with the places of their stacks."""
    found = await reading.request_logs(place.connection, request_id, place.worker_of, wait)
    return found, await with_places(place, found.records)


def shown_record(one: LocatedRecord) -> LogRecord:
    """Return a record whose stack names the places."""
    return one.record if one.stack is None else replace(one.record, stack="\n".join(one.stack.lines))


async def with_places(place: LogsPlace | None, records: Iterable[LogRecord]) -> tuple[LocatedRecord, ...]:
    """Find the places of the stacks of records; where there is no stack nothing is read."""
    found = tuple(records)
    workers = {one.worker for one in found if one.stack}
    if not workers or place is None:
        return tuple(LocatedRecord(record=one) for one in found)
    codes = await _codes(place, workers)
    return tuple(
        LocatedRecord(
            record=one, stack=locate(one.stack, _at(codes.get(one.worker, ()), one.time)) if one.stack else None
        )
        for one in found
    )


Codes = tuple[tuple[datetime, UploadedCode | None], ...]
"""From which moment on which source was live, oldest first; None: it is not known."""


def _at(codes: Codes, moment: datetime) -> UploadedCode | None:
    return next((code for since, code in reversed(codes) if since <= moment), None)


async def _codes(place: LogsPlace, workers: set[str]) -> dict[str, Codes]:
    async with place.connection.client() as client:
        live = await observe_scripts(client)
    found: dict[str, Codes] = {}
    for id_ in workers:
        history: list[tuple[datetime, UploadedCode | None]] = []
        for deploy in place.deploys:
            if id_ in deploy.workers:
                history.append((deploy.started, None))  # which of two sources it is until the end is not known
                history.append((deploy.ended, await _code(place, deploy.workers[id_], "")))
        recorded = next((one for one in place.recorded.workers if one.id == id_), None)
        if recorded and recorded.modified_on and recorded.content_digest and id_ in place.declared:
            code = await _code(place, place.declared[id_], recorded.content_digest)
            history += [(_moment(recorded.modified_on), code)] if code else []
        script = live.get(place.scripts.get(id_, id_))
        if script and recorded and recorded.etag and script.etag != recorded.etag and script.modified_on:
            history.append((_moment(script.modified_on), None))
        found[id_] = tuple(sorted(history, key=lambda one: one[0]))
    return found


async def _code(place: LogsPlace, worker: Worker, digest: str) -> UploadedCode | None:
    """Return the source of a Worker; with a digest None where it is not what has that digest."""
    base = Path.cwd()
    try:
        _, modules, now = await asyncio.to_thread(lambda: bundle(worker, base=base))
    except DurableError:
        return None  # its files are no longer what they were
    if digest and now != digest:
        return None
    bundled = any(one.name.endswith(".map") for one in modules)
    recorded = next((one for one in place.recorded.workers if one.id == worker.id), None)
    same = recorded is not None and recorded.content_digest == now
    local = place.connection.target == "local"
    return UploadedCode(worker=worker, base=base, cell=cell_of(worker.where), same=same, mapped=local, bundled=bundled)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def known_worker(worker: str, place: LogsPlace) -> str:
    """Return the id of the Worker that is meant by id or script name; one that is not of this session has the latter.

    Raises CommandError for one that is not deployed.
    """
    known = {one.id: one.script_name for one in place.recorded.workers} | dict(place.scripts)
    deployed = {one.id for one in place.recorded.workers}
    found = next((id_ for id_, script in known.items() if worker in {id_, script} and id_ in deployed), None)
    if found is None and worker in known:
        raise NotDeployed.of(f"Worker {worker}", "logs: ")
    if found is not None:
        return found
    async with place.connection.client() as client:
        live = await observe_scripts(client)
    if worker in live:
        return worker
    reachable = sorted({*deployed, *live})
    hint = nearest(worker, reachable) if reachable else "deploy it first."
    raise CommandError(f"logs: no Worker {worker} is deployed; {hint}")
