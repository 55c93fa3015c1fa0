"""Log lines as a person reads them: the table, equal exceptions as one fold, and how many requests came when."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.display.formats import clock, count, counted, duration, moment, offset, short_object
from notebook_do.display.logged import shown_line
from notebook_do.display.rich import code, rich
from notebook_do.notebook.views.blocks import Code, Folded, Header, Line, Said, Table, Tone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from notebook_do.live.logs import MissingLines, PastLogs
    from notebook_do.live.records import LogRecord
    from notebook_do.notebook.views.blocks import Block, Document
    from notebook_do.sessions.logs import LocatedRecord

_COLUMNS = ("time", "level", "where", "message")
_TONES = {"warn": Tone.CHANGE, "error": Tone.ALERT}
_LONGEST_PLACE = 300
_FRAMES, _LONGEST_FRAME = 40, 300
"""How many frames of a stack are drawn, and how many letters of one; the frame of the logs has all."""
FOLDS = 20
"""How many different exceptions a view draws with their stacks, the last ones."""
_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 50
MANY_REQUESTS, LONG = 20, 180
"""A histogram is drawn of more requests, in more seconds, than these."""
SHOWN = 100
"""How many lines a view of logs draws."""


def where_of(one: LocatedRecord, worker: str = "") -> str:
    """Return where a line comes from: `GET /kitchen`, `Room.list (kitchen)`; of an exception the function."""
    record = one.record
    place = _function(one) if record.exception else record.entrypoint
    if record.object is not None:
        known = record.object if record.object != record.object_id else short_object(record.object)
        return shown_line(f"{place} ({known or 'no name'})", _LONGEST_PLACE)
    return shown_line(f"{worker} {place}".strip(), _LONGEST_PLACE)


def _function(one: LocatedRecord) -> str:
    """Return the function that threw; `Object.fetch`, of the default export, is better known as its request."""
    what = one.stack.what if one.stack else ""
    return what if what and not what.startswith("Object.") else one.record.entrypoint


def _of_request(one: LocatedRecord, root: str) -> str:
    """Return where a line of one request comes from: the path of the request itself stands in the title already."""
    record = one.record
    if record.object is None and record.entrypoint == root and not record.exception:
        return f"{record.worker} {root.partition(' ')[0]}"
    return where_of(one, record.worker)


def log_table(records: Sequence[LocatedRecord], caption: str, *, began: datetime | None = None) -> Table:
    """Return the table of lines; with `began` they are those of one request, and times those within it."""
    root = next((one.record.entrypoint for one in records if one.record.object is None), "")
    rows = tuple(
        (
            offset((one.record.time - began).total_seconds()) if began else clock(one.record.time),
            one.record.level,
            _of_request(one, root) if began else where_of(one),
            Said(shown_line(one.record.message)),
        )
        for one in records
    )
    tones = tuple(_TONES.get(one.record.level) for one in records)
    return Table(caption, _COLUMNS, rows, tones)


def stack_text(one: LocatedRecord, *, headed: bool = True) -> str:
    """Return a stack with the places behind its frames, under the exception; of a deep or long one the first part."""
    given = one.stack.lines if one.stack else ()
    frames = [shown_line(frame, _LONGEST_FRAME) for frame in given[:_FRAMES]]
    if len(given) > _FRAMES:
        frames.append(f"… {counted(len(given) - _FRAMES, 'more frame')}")
    return "\n".join([shown_line(one.record.message), *(f"    {frame}" for frame in frames)] if headed else frames)


def exception_folds(records: Sequence[LocatedRecord]) -> list[Block]:
    """Return equal exceptions as one fold each, with their count and the time of the last."""
    found: dict[tuple[str, str], list[LocatedRecord]] = {}
    for one in records:
        if one.record.exception and one.record.stack:
            found.setdefault((one.record.message, one.record.stack), []).append(one)
    folds: list[Block] = [_exception_fold(same) for same in list(found.values())[-FOLDS:]]
    if len(found) > FOLDS:
        more = counted(len(found) - FOLDS, "other exception")
        folds.insert(0, Line(f"Stacks of the last {FOLDS} different exceptions; {more} came before them.", small=True))
    return folds


def _exception_fold(same: list[LocatedRecord]) -> Folded:
    last, record = same[-1], same[-1].record
    place = shown_line(_function(last), _LONGEST_PLACE)
    when = clock(record.time)[:8]
    times = f"once, at {when}" if len(same) == 1 else f"{count(len(same))} times, last at {when}"
    what = shown_line(record.exception or "", _LONGEST_PLACE)
    return Folded(f"{what} in {place}, {times}: stack", (Code("", stack_text(last)),))


def missing_lines(missing: Sequence[MissingLines]) -> list[Block]:
    """Say which lines are not there, and why."""
    return [Line(_missing(one), Tone.CHANGE) for one in missing]


def _missing(one: MissingLines) -> str:
    lost = f"{counted(one.lost, f'{one.of} is', f'{one.of}s are')} missing" if one.lost else "Lines are missing"
    since, until = clock(one.since)[:8], clock(one.until)[:8]
    if one.since.date() != one.until.date():
        since, until = moment(one.since), moment(one.until)
    when = f"at {since}" if since == until else f"between {since} and {until}"
    return f"{lost} {when}: {one.why}."


# --- past logs


def past_document(  # noqa: PLR0913 - what is shown, of whom, and how it was asked for
    found: PastLogs, located: Sequence[LocatedRecord], *, worker: str, session: str, stage: str, asked: str
) -> Document:
    """Show past logs: how many requests, calls and errors, when, the last lines, the exceptions."""
    facts = (("session", session), ("stage", stage))
    span = _span(found)
    errors = sum(one.record.level == "error" for one in located)
    if not found.records and not found.events:
        title = f"Logs of {worker}: nothing in {span}"
        return (Header(title, facts), *missing_lines(found.missing), _nothing(found, worker))
    title = f"Logs of {worker}: {_came(found)}, {counted(errors, 'error')} in {span}"
    shown = located[-SHOWN:]
    caption = f"The last {count(len(shown))} of {counted(found.lines, 'line')}, oldest first"
    if len(shown) == found.lines:
        caption = f"{counted(found.lines, 'line')}, oldest first"
    return (
        Header(title, facts),
        *missing_lines(found.missing),
        *histogram(found, [one.record for one in located]),
        *([log_table(shown, caption)] if shown else [Line("No line passes the filters." if asked else "No line.")]),
        *exception_folds(located),
        Line(
            rich(
                "All lines: ",
                code(f"x = %durable logs {worker}{asked}"),
                " · live: ",
                code(f"%durable logs {worker} --follow"),
            ),
            small=True,
        ),
    )


def _came(found: PastLogs) -> str:
    """Return how many requests and calls there were; where all that ran is neither, such as alarms, their number."""
    numbers = ((len(found.requests), "request"), (found.calls, "call"))
    parts = [counted(number, one) for number, one in numbers if number]
    rest = counted(found.events, "event") if found.events else counted(found.lines, "line")
    return ", ".join(parts) or rest


def _nothing(found: PastLogs, worker: str) -> Line:
    if found.note:
        return Line(found.note, Tone.CHANGE)
    since = f"{found.since:%H:%M} UTC" if found.since.date() == found.until.date() else moment(found.since)
    return Line(rich(f"No request came since {since}. Send one: ", code(f"%durable fetch {worker} /")))


def _span(found: PastLogs) -> str:
    seconds = round((found.until - found.since).total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds and seconds % size == 0:
            return counted(seconds // size, unit)
    return duration(seconds)


def histogram(found: PastLogs, records: Sequence[LogRecord]) -> list[Block]:
    """Draw how many requests and errors came when, where there are enough of them; the text alone says it."""
    if len(found.requests) <= MANY_REQUESTS or found.requests[-1] - found.requests[0] <= LONG * 1000:
        return []
    first, last = found.requests[0] // 60_000, found.requests[-1] // 60_000
    each = -(-(last - first + 1) // _WIDTH)
    columns = (last - first) // each + 1
    requests = _binned(found.requests, first, each)
    errors = _binned([one.moment for one in records if one.level == "error"], first, each)
    what = "a minute" if each == 1 else f"in {each} minutes"
    most = max(requests.values())
    rows = [f"requests  {_drawn(requests, columns, most)}  {count(len(found.requests))}, at most {count(most)} {what}"]
    if errors:
        rows.append(f"errors    {_drawn(errors, columns, most)}  {count(sum(errors.values()))}")
    begin, end = (_minute(at) for at in (first, last))
    rows.append(f"          {begin}{end.rjust(max(columns - len(begin), len(end) + 1))} UTC")
    label = f"Requests and errors, a column {counted(each, 'minute')}:"
    return [Code(label, "\n".join(rows))]


def _binned(moments: Sequence[int], first: int, each: int) -> Counter[int]:
    return Counter((one // 60_000 - first) // each for one in moments)


def _drawn(counts: Counter[int], columns: int, most: int) -> str:
    steps = len(_BARS) - 1
    return "".join(_BARS[min(steps, -(-counts[at] * steps // most))] for at in range(columns))


def _minute(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


# --- live logs


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLogs:
    """What a live tail has told until a moment: its last lines and last errors, and how many there were of all.

    `waiting` lines came after it was paused; it is None where it was not. `deployed` are the moments from which another
    version answered. Once it is over there is `ended`, and `why` where nobody asked for it.
    """

    worker: str
    since: datetime
    records: tuple[LocatedRecord, ...] = ()
    last_errors: tuple[LocatedRecord, ...] = ()
    lines: int = 0
    errors: int = 0
    only_errors: bool = False
    missing: tuple[MissingLines, ...] = ()
    deployed: tuple[datetime, ...] = ()
    broken_since: datetime | None = None
    waiting: int | None = None
    buttons: bool = False
    ended: datetime | None = None
    why: str = ""
    details: str = ""


def live_document(live: LiveLogs) -> Document:
    """Show a live tail: its last lines, what is missing, the exceptions; how it ended once it is over."""
    when = f"since {live.since:%H:%M:%S} UTC"
    if live.ended is not None:
        when = f"from {moment(live.since)} to {clock(live.ended)[:8]}"
    shown = (live.last_errors if live.only_errors else live.records)[-SHOWN:]
    none = f"No {'error' if live.only_errors else 'line'} {'yet' if live.ended is None else 'came'}."
    return (
        Header(f"Logs of {live.worker}, {when}", _live_facts(live)),
        *missing_lines(live.missing),
        *version_lines(live.worker, live.deployed),
        *([log_table(shown, "")] if shown else [Line(none)]),
        *exception_folds(shown),
        *_how_it_goes_on(live),
    )


def version_lines(worker: str, deployed: Sequence[datetime]) -> list[Block]:
    """Say from when on another version of a Worker answered: lines below are of other code than those above."""
    return [
        Line(f"Worker {worker} was deployed anew: its lines from {clock(at)} on are of that version.")
        for at in deployed
    ]


def _live_facts(live: LiveLogs) -> tuple[tuple[str, str], ...]:
    facts = [("lines", count(live.lines)), ("errors", count(live.errors))]
    if live.only_errors:
        facts.insert(0, ("shown", f"only errors, the last {SHOWN}" if live.errors > SHOWN else "only errors"))
    elif live.waiting is None and live.lines > SHOWN:
        facts.insert(0, ("shown", f"last {SHOWN} lines"))
    if live.waiting is not None:
        facts.append(("paused", counted(live.waiting, "line waits", "lines wait")))
    return tuple(facts)


def _how_it_goes_on(live: LiveLogs) -> list[Block]:
    again = Line(rich("More: ", code(f"%durable logs {live.worker} --follow")), small=True)
    if live.ended is not None:
        said = f"It ended at {clock(live.ended)[:8]}: {live.why.rstrip('.')}."
        why = [Line(said, Tone.CHANGE)] if live.why else []
        return [*why, *([Folded("Details", (Code("", live.details),))] if live.details else []), again]
    broken: list[Block] = []
    if live.broken_since is not None:
        broken = [Line(f"The connection broke at {clock(live.broken_since)[:8]}; another is looked for.", Tone.CHANGE)]
    return broken if live.buttons else [*broken, Line("The interrupt of the kernel ends it.", small=True)]
