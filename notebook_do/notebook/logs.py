"""The verb `logs`: what a Worker logged, as a DataFrame that shows itself; with `--follow` as it comes."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from notebook_do.display.formats import clock
from notebook_do.errors import CommandError
from notebook_do.live.logs import asked_logs
from notebook_do.notebook.shells import display
from notebook_do.notebook.views.blocks import Code, Line
from notebook_do.notebook.views.documents import View
from notebook_do.notebook.views.logged import live_document, missing_lines, past_document, where_of
from notebook_do.sessions.logs import logs_frame
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    import pandas as pd

    from notebook_do.live.logs import LogsAsked
    from notebook_do.live.records import LogRecord
    from notebook_do.live.tailing import LogTail
    from notebook_do.notebook.parsing import Call
    from notebook_do.notebook.views.blocks import Document
    from notebook_do.sessions.logs import LocatedRecord
    from notebook_do.sessions.session import Session

SINCE = "30m"
OFTEN = 0.5
"""Seconds between two pictures of a live tail, at least."""
_MOST = 10_000
"""How many records a live tail remembers, for its counts of equal exceptions."""


def logs(call: Call) -> pd.DataFrame | None:
    """Show what a Worker logged; with `--follow` until the interrupt."""
    o, session = call.options, current()
    if o.follow:
        if o.since:
            raise CommandError("%durable logs: --follow begins now; leave out --since.")
        follow(session, call)
        return None
    given: dict[str, Any] = {"since": o.since or SINCE, "object": o.object, "level": o.level}
    if o.limit:
        given["limit"] = _limit(o.limit)
    found, located = session.past_logs(o.worker, **given)
    asked = "".join(f" --{name} {value}" for name, value in given.items() if value and (name != "since" or o.since))
    document = past_document(found, located, worker=o.worker, session=session.name, stage=session.stage, asked=asked)
    from notebook_do.frames import viewed  # the only one that brings pandas

    return viewed(logs_frame(found), View(document))


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise CommandError(f'%durable logs: --limit takes a whole number from 1 on, not "{text}".')
    return int(text)


class LiveLogs:
    """A live tail as one output that is replaced, or, where none can be, as lines that are printed."""

    def __init__(self, session: Session, tail: LogTail, asked: LogsAsked, *, worker: str, in_place: bool) -> None:
        self._session, self._tail, self._asked, self._worker = session, tail, asked, worker
        self._in_place, self._handle = in_place, None
        self._records: list[LocatedRecord] = []
        self.lines = self.errors = 0
        self._said = 0

    def take(self, records: list[LogRecord]) -> None:
        """Take new records in."""
        wanted = [record for record in records if self._asked.passes(record)]
        located = self._session.located(wanted)
        self._records = [*self._records, *located][-_MOST:]
        self.lines += len(located)
        self.errors += sum(one.record.level == "error" for one in located)
        if not self._in_place:
            self._print(located)

    def show(self, ended: datetime | None = None) -> None:
        """Replace the picture."""
        if not self._in_place:
            return
        view = View(self._document(ended))
        if self._handle is None:
            self._handle = display(view, replaceable=True)
        else:
            self._handle.update(view)

    def _document(self, ended: datetime | None) -> Any:
        return live_document(
            self._records,
            self._tail.missing,
            worker=self._worker,
            since=self._tail.since,
            lines=self.lines,
            errors=self.errors,
            ended=ended,
        )

    def _print(self, located: tuple[LocatedRecord, ...]) -> None:
        gaps = self._tail.missing[self._said :]
        self._said = len(self._tail.missing)
        for document in (*((line,) for line in missing_lines(gaps)), *map(_printed, located)):
            print(View(document), flush=True)  # noqa: T201 - where no output can be replaced


def _printed(one: LocatedRecord) -> Document:
    record = one.record
    line = Line(f"{clock(record.time)}  {record.level}  {where_of(one)}  {record.message}")
    return (line, Code("", "\n".join(one.stack.lines))) if one.stack and one.stack.lines else (line,)


def follow(session: Session, call: Call, *, ends: Any = None) -> None:
    """Show what a Worker logs until the interrupt, at most twice a second; then leave what was shown last.

    `ends` says, between two waits, whether it is over: for who has no hand to interrupt with.
    """
    o = call.options
    asked = asked_logs(object=o.object, level=o.level)
    in_place = getattr(call.ip, "kernel", None) is not None
    try:
        with session.tail(o.worker) as tail:
            shown = LiveLogs(session, tail, asked, worker=o.worker, in_place=in_place)
            shown.show()
            with contextlib.suppress(KeyboardInterrupt):  # the way to end it
                while ends is None or not ends():
                    if records := _some(tail):
                        shown.take(records)
                        shown.show()
            shown.show(ended=datetime.now(UTC))
    except KeyboardInterrupt:
        return  # before it began, or while it ends


def _some(tail: LogTail) -> list[LogRecord]:
    """Return the records of the next half second, or none."""
    ends = time.monotonic() + OFTEN
    found = []
    while (left := ends - time.monotonic()) > 0:
        record = tail.next(left)
        if record is not None:
            found.append(record)
    return found
