"""The verbs of one object: `object` shows it, the others show a change and let a person send it.

A change is made anew each time a line runs, so `--approve` sends only what is the same as what was shown: the digest
covers what is sent and what it rests on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from notebook_do.declare.line import as_argument, as_option, is_like_option
from notebook_do.display import Shown
from notebook_do.display.formats import moment
from notebook_do.display.hiding import shown_json, shown_name
from notebook_do.errors import CommandError, ConsentRequired, StaleChange
from notebook_do.notebook import asking
from notebook_do.notebook.arguments import argument, parameter
from notebook_do.notebook.shells import RecordOutput, display, shell_of
from notebook_do.notebook.verbs import BY_NAME
from notebook_do.notebook.views.blocks import Code, Document, Line, Tone
from notebook_do.notebook.views.changes import change_document, sentence, waiting_document
from notebook_do.notebook.views.documents import View
from notebook_do.notebook.views.hidden_cells import hidden_cells, shown_parameter
from notebook_do.notebook.views.stored import json_text, statement_text
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    from notebook_do.live.applying import AppliedChange
    from notebook_do.model.changes import ObjectChange
    from notebook_do.notebook.parsing import Call
    from notebook_do.sessions.objects import LiveObject
    from notebook_do.sessions.session import Session
    from notebook_do.state.sent import SentChange

_DURATION = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGAIN = "A value of this line is hidden: write it again in its place"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingChange(Shown):
    """A change that was not sent, because nobody could press a button for it, and the line that would send it.

    `approve` is that line as it is shown. Where it has a hidden value in it, it sends nothing as it stands; `exact`
    does, and is shown nowhere.
    """

    sent: bool = False
    approve: str
    exact: str = field(repr=False)
    change: ObjectChange

    @property
    def document(self) -> Document:
        """The words that nothing was sent, and the line that approves exactly this change."""
        return (
            Line("Nothing was sent: nobody can press a button here.", Tone.CHANGE, strong=True),
            Code("To send exactly this change:", self.approve, paste=True),
            *([] if self.approve == self.exact else [Line(f"{_AGAIN}.", Tone.CHANGE)]),
        )


def _object(call: Call) -> LiveObject:
    return current().object(call.options.namespace, call.options.object)


def object_page(call: Call) -> Shown:
    """Show one object whole."""
    return _object(call).info()


def put(call: Call) -> Shown | None:
    """Offer to put a value under a key."""
    return offer(call, _object(call).put(call.options.key, argument(call.options.value, "put")))


def delete(call: Call) -> Shown | None:
    """Offer to delete a key."""
    return offer(call, _object(call).delete(call.options.key))


def execute(call: Call) -> Shown | None:
    """Offer to run the statement of the line or of the cell's body."""
    o = call.options
    if (o.sql is None) is (call.body is None):
        where = f"execute {o.namespace} {as_argument(o.object)}"
        raise CommandError(
            f'%durable execute: write the statement once: %durable {where} "UPDATE ...", '
            f"or as the body of %%durable {where}."
        )
    sql = o.sql if call.body is None else call.body.strip()
    return offer(call, _object(call).execute(sql, *(parameter(text, "execute") for text in o.param)))


def alarm(call: Call) -> Shown | None:
    """Offer to set or delete the alarm, or to run the handler now."""
    room, when = _object(call), call.options.when
    match when:
        case "run":
            return offer(call, room.run_alarm())
        case "off":
            return offer(call, room.set_alarm(None))
    at = _time(when)
    if _DURATION.fullmatch(when):
        # The line that approves the change runs later, and must mean the time that was shown.
        call.options.when = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    return offer(call, room.set_alarm(at))


def _time(when: str) -> datetime:
    """Read a time, or a duration from now on; to the second, as it is shown."""
    if found := _DURATION.fullmatch(when):
        now = datetime.now(UTC).replace(microsecond=0)
        try:
            return now + timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            raise CommandError(f"%durable alarm: {when} from now is beyond the year 9999; write a time.") from None
    try:
        at = datetime.fromisoformat(when)
    except ValueError:
        raise CommandError(
            f"%durable alarm: {when} is no time; write 2026-12-24T18:00Z, 5m for in 5 minutes (s, m, h, d), off, or "
            "run for now and once."
        ) from None
    if at.tzinfo is None:
        written = at.isoformat(timespec="auto" if at.second or at.microsecond else "minutes")  # of a day alone, too
        raise CommandError(f"%durable alarm: {when} has no time zone; write {written}Z for UTC, or {written}+01:00.")
    return at


def wipe(call: Call) -> Shown | None:
    """Offer to delete all that an object has stored."""
    return offer(call, _object(call).wipe())


def snapshot(call: Call) -> Shown:
    """Write a snapshot."""
    return _object(call).snapshot(call.options.path)


def restore(call: Call) -> Shown | None:
    """Offer to put back what a snapshot holds."""
    return offer(call, _object(call).restore(call.options.path, other=call.options.other))


# --- to send it


def offer(call: Call, change: ObjectChange) -> Shown | None:
    """Show a change and let it be sent, as this shell can; with `--approve` send it where it is the one approved."""
    session = current()
    if change.noop:
        return View((*_sent_before(call, session), *change_document(change)), data={"sent": False, "edits": []})
    if call.options.approve:
        return _approved(call, session, change)
    shell = "headless" if call.options.json else shell_of(call.ip, command=bool(call.source))
    if not call.options.json:
        display(View(change_document(change, offered=True)))
    match shell:
        case "notebook":
            from notebook_do.notebook.widgets.changes import ChangePanel

            output = RecordOutput()
            output.put(waiting_document(change))
            panel = ChangePanel(session, change, recorded=output.put)
            shown = display(panel, replaceable=True)
            # A saved notebook keeps no dead widget: opened again it would be an error in place of a button.
            panel.ended = lambda: shown.update({"text/plain": "", "text/html": ""}, raw=True)
            return None
        case "terminal":
            if why := asking.unsent(change.phrase, sentence(change)):
                return View((Line(f"Nothing was sent: {why}."),))
            return session.apply(change, confirm=change.phrase or ())
    shown, exact = _approval(call, change, shown=True), _approval(call, change)
    return WaitingChange(approve=shown, exact=exact, change=change)


def _approved(call: Call, session: Session, change: ObjectChange) -> AppliedChange:
    asked = _asked(call)
    if asked != change.digest:
        if not call.options.json:
            display(View(change_document(change, offered=True)))
        sent = session.state.sent_changes.load().get(asked)
        why = (
            f"the approved change {asked} is not the change as it is now; nothing was sent. Read it as it is now, then:"
            if sent is None
            else f"the approved change {asked} {_sent_words(sent)}, and an approval is used once; nothing "
            "was sent now. What this line would change now has a digest of its own; to send that:"
        )
        stale = StaleChange(f"{why} {_told(call, change)}")
        stale.change = change
        raise stale
    confirm = getattr(call.options, "confirm", None) or ()
    if change.phrase is not None and change.phrase not in confirm:
        from notebook_do.live.applying import why_asked  # few lines approve a change

        raise ConsentRequired(f"{why_asked(change)}; nothing was sent. To allow it: {_told(call, change)}")
    return session.apply(change, confirm=confirm)


def _asked(call: Call) -> str:
    return str(call.options.approve).strip().lower()


def _sent_before(call: Call, session: Session) -> tuple[Line, ...]:
    """Say that what is approved was sent already, where the line runs again and nothing is left to change."""
    sent = session.state.sent_changes.load().get(_asked(call)) if call.options.approve else None
    return () if sent is None else (Line(f"The approved change {_asked(call)} {_sent_words(sent)}.", Tone.SAME),)


def _sent_words(sent: SentChange) -> str:
    if sent.done:
        return f"was sent already, {moment(sent.at)}"
    return f"was begun to be sent, {moment(sent.at)}; whether it was is not known"


def _told(call: Call, change: ObjectChange) -> str:
    shown = _approval(call, change, shown=True)
    return shown if shown == _approval(call, change) else f"{shown}\n{_AGAIN}."


def _approval(call: Call, change: ObjectChange, *, shown: bool = False) -> str:
    """Return the line, or the cell, that sends exactly this change; `shown` with words in place of what is hidden."""
    words: list[str] = []
    free: list[str] = []
    options: list[str] = []
    for option in BY_NAME[call.verb].own:
        given = getattr(call.options, option.name.lstrip("-"), None)
        if option.name in {"--approve", "--confirm"} or not given:
            continue
        values = [_shown_word(option.name, one, change) if shown else one for one in _each(given)]
        if option.name[0] != "-":
            free, words = [*free, *values], [*words, *values]
            continue
        own = [word for one in values for word in as_option(option.name, one)] if option.value else [option.name]
        options, words = [*options, *own], [*words, *own]
    confirm = [] if change.phrase is None else ["--confirm", change.phrase]
    sends = ["--approve", change.digest, *confirm]
    # An object may be called --other: what is no option stands behind -- then, and the options before that.
    is_apart = any(map(is_like_option, free))
    line = call.again(*options, *sends, "--", *free) if is_apart else call.again(*words, *sends)
    if call.body is None or not call.body.strip():
        return line
    body = call.body.rstrip()
    return f"%{line}\n{statement_text(body, hidden_cells(change)) if shown else body}"


def _each(given: Any) -> list[str]:
    return given if isinstance(given, list) else [given]


def _shown_word(name: str, word: str, change: ObjectChange) -> str:
    """Return what is shown of a word of the line: a value by the key that it is for, a parameter by its shape."""
    match name:
        case "key":
            return shown_name(word)
        case "sql":
            return statement_text(word, hidden_cells(change))
        case "--param":
            value: Any = word
            shown = shown_parameter(value, hidden_cells(change))
            return word if shown == value else str(shown)
        case "value":
            value = argument(word, "put")
            shown = shown_json(change.what, value)
            return word if shown is value else shown if isinstance(shown, str) else json_text(value, name=change.what)
    return word
