"""The verb `logs`: what a Worker logged, as a DataFrame that shows itself; with `--follow` as it comes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from notebook_do.bridge import bridge
from notebook_do.display.formats import clock
from notebook_do.display.logged import shown_line
from notebook_do.errors import CommandError
from notebook_do.live.logs import asked_logs
from notebook_do.notebook.following import (
    FollowedLogs,
    Following,
    TailPicture,
    end_at_interrupt,
    end_when_run_again,
    follow_until,
)
from notebook_do.notebook.shells import RecordOutput, display, shell_of
from notebook_do.notebook.views.blocks import Code, Line, Tone
from notebook_do.notebook.views.documents import View
from notebook_do.notebook.views.logged import missing_lines, past_document, stack_text, version_lines, where_of
from notebook_do.sessions.logs import logs_frame
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from notebook_do.live.logs import LogsAsked, MissingLines
    from notebook_do.live.tailing import LogTail
    from notebook_do.notebook.parsing import Call
    from notebook_do.notebook.views.blocks import Document
    from notebook_do.sessions.logs import LocatedRecord
    from notebook_do.sessions.session import Session

SINCE = "30m"


def logs(call: Call) -> pd.DataFrame | None:
    """Show what a Worker logged; with `--follow` as it comes, where somebody can end that."""
    o, session = call.options, current()
    if o.follow:
        if o.since:
            raise CommandError("%durable logs: --follow begins now; leave out --since.")
        if not _nobody_stops(call):
            follow(session, call)
            return None
    given: dict[str, Any] = {"since": o.since or SINCE, "object": o.object, "level": o.level}
    if o.limit:
        given["limit"] = _limit(o.limit)
    found, located = session.past_logs(o.worker, **given)
    asked = "".join(f" --{name} {value}" for name, value in given.items() if value and (name != "since" or o.since))
    document = past_document(found, located, worker=o.worker, session=session.name, stage=session.stage, asked=asked)
    if o.follow:
        title, *rest = document
        said = Line("Not followed: nobody can stop it here. This is what was logged until now.", Tone.CHANGE)
        document = (title, said, *rest)
    from notebook_do.frames import viewed  # the only one that brings pandas

    return viewed(logs_frame(found), View(document))


def _nobody_stops(call: Call) -> bool:
    """Say whether a kernel runs without anybody who could end a live tail: a Run All would never come to its end."""
    return getattr(call.ip, "kernel", None) is not None and shell_of(call.ip) == "headless"


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise CommandError(f'%durable logs: --limit takes a whole number from 1 on, not "{text}".')
    return int(text)


def follow(session: Session, call: Call, *, ends: Any = None) -> None:
    """Show what a Worker logs as it comes: with buttons where there are some, else until the interrupt.

    `ends` says, between two waits, whether it is over: for who has no hand to interrupt with.
    """
    asked = asked_logs(object=call.options.object, level=call.options.level)
    tail = session.tail(call.options.worker)
    # Nested in the kernel's own loop, a tail could be read by no other thread.
    if shell_of(call.ip) == "notebook" and bridge.mode == "thread":
        _panel(session, call, tail, asked)
        return
    try:
        with tail:
            _until_interrupt(call, FollowedLogs(session, tail, asked), ends)
    except KeyboardInterrupt:
        return  # before it began, or while it ends


def _panel(session: Session, call: Call, tail: LogTail, asked: LogsAsked) -> None:
    """Let a thread follow, with the buttons above what it shows; the cell is over at once."""
    from notebook_do.notebook.widgets.following import FollowPanel

    tail.__enter__()  # it is the thread that closes it
    following = Following(FollowedLogs(session, tail, asked, buttons=True), RecordOutput().put)
    end_at_interrupt(call.ip, following)
    end_when_run_again(call.ip, following, call.where.cell)
    # Below a hundred lines nobody would see the buttons.
    output = display(FollowPanel(following), replaceable=True)
    following.picture.show()
    # A saved notebook keeps no dead widget: opened again it would be an error in place of a button.
    following.ended.append(lambda: output.update({"text/plain": "", "text/html": ""}, raw=True))
    following.start()


def _until_interrupt(call: Call, logs: FollowedLogs, ends: Any) -> None:
    """Follow in the cell itself: one output is replaced, or, where none can be, lines are printed."""
    in_place = getattr(call.ip, "kernel", None) is not None
    output = TailPicture(logs, RecordOutput().put) if in_place else TailPrint(logs)
    output.show()
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        follow_until(logs, output.show, ends or (lambda: False))
    output.end()


class TailPrint:
    """A live tail where no output can be replaced: each line is printed once."""

    def __init__(self, logs: FollowedLogs) -> None:
        self._tail, self._deployed = logs.tail, 0
        self._missing: list[MissingLines] = []

    def show(self, new: Sequence[LocatedRecord] = ()) -> None:
        """Print what is new."""
        tail = self._tail
        said = [
            *missing_lines(self._more_missing()),
            *version_lines(tail.worker, tail.deployed[self._deployed :]),
        ]
        self._deployed = len(tail.deployed)
        for document in (*((line,) for line in said), *map(_printed, new)):
            _print(document)

    def _more_missing(self) -> list[MissingLines]:
        """Return what is missing since the last look: also where it goes on, with the number that it is now."""
        told, now = self._missing, list(self._tail.missing)
        self._missing = now
        return [one for at, one in enumerate(now) if at >= len(told) or one.lost != told[at].lost]

    def end(self) -> None:
        """Say why it is over, where nobody asked for it."""
        if self._tail.ended:
            _print((Line(f"It ended: {self._tail.ended}.", Tone.CHANGE),))


def _print(document: Document) -> None:
    print(View(document), flush=True)  # noqa: T201 - where no output can be replaced


def _printed(one: LocatedRecord) -> Document:
    record = one.record
    line = Line(f"{clock(record.time)}  {record.level}  {where_of(one)}  {shown_line(record.message)}")
    return (line, Code("", stack_text(one, headed=False))) if one.stack and one.stack.lines else (line,)
