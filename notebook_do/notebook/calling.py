"""The verbs that call methods of live objects: `call` one, `map` for each row of a DataFrame; or it offers a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError, DurableError, NothingToChange, nearest
from notebook_do.live.inspecting import SECONDS, Returned, Threw
from notebook_do.live.values import encode
from notebook_do.notebook.arguments import argument
from notebook_do.notebook.changing import offer
from notebook_do.notebook.views.blocks import Line, Tone
from notebook_do.notebook.views.called import returned_document, threw_document
from notebook_do.notebook.views.documents import View
from notebook_do.notebook.views.fetched import exception_blocks, log_blocks, shown_exception
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    from notebook_do.display import Shown
    from notebook_do.errors import JSError
    from notebook_do.live.calling import Called
    from notebook_do.live.logs import RequestLogs
    from notebook_do.notebook.parsing import Call
    from notebook_do.sessions.logs import LocatedRecord
    from notebook_do.sessions.session import Session


@dataclass(frozen=True, slots=True)
class CalledMethod(View):
    """What a method returned, as `value`, or threw, as `error`; shown with how long that took."""

    called: Called | None = None

    @property
    def value(self) -> Any:
        """What the method returned. Raises the JSError that it threw."""
        return self.called.value() if self.called else None

    @property
    def error(self) -> JSError | None:
        """What the method threw; None where it returned."""
        return self.called.outcome.error if self.called and isinstance(self.called.outcome, Threw) else None


def shown(called: Called, session: Session | None = None) -> CalledMethod:
    """Return a call as what a notebook shows; its `data` are the value as tagged JSON, or the error.

    With a session it shows what the call logged too, and the line of the cell that threw.
    """
    logs, records = _logs_of(called, session) if session else (None, ())
    lines = tuple(log_blocks(logs, records, what="call")) if records else ()
    match called.outcome:
        case Returned(value=value):
            return CalledMethod((*returned_document(called, value), *lines), encode(value), called)
        case Threw(error=error):
            document = threw_document(called, error)
            thrown = shown_exception(records)
            if thrown is not None and thrown.stack is not None and thrown.stack.place:
                document = (document[0], *exception_blocks(thrown))
            return CalledMethod((*document, *lines), {"error": encode(error)}, called)
    raise called.error()


def _logs_of(called: Called, session: Session) -> tuple[RequestLogs | None, tuple[LocatedRecord, ...]]:
    """Return what a call logged; nothing where that cannot be had: what it returned is shown all the same."""
    if session.target != "local":  # the telemetry has its lines seconds later, and not by this id
        return None, ()
    try:
        return session.request_logs(called.request)
    except DurableError:
        return None, ()


def call(call: Call) -> Shown:
    """Call a method of one object. What it throws is shown; raises where it was not called, or nothing is known."""
    o = call.options
    session = current()
    room = session.object(o.namespace, o.object)
    given = [argument(text, "call") for text in o.args]
    called = room.called(o.method, *given, timeout=seconds(o.timeout, "call", SECONDS), follow=True)
    if isinstance(called.outcome, Threw) and call.source:  # the command line ends with a status
        raise called.outcome.error
    return shown(called, session)


def map_(call: Call) -> Any:
    """Call a method for each row of a frame that a variable holds, or offer one change of all its objects."""
    o = call.options
    if call.body is not None and call.body.strip():
        raise CommandError("%%durable map: its cell has no body; leave out what stands below the line.")
    if (o.call is None) is (o.change is None):
        raise CommandError(
            "%durable map: say what to do with each row, once: --call METHOD, or --change put, delete or execute."
        )
    if o.frame not in call.ip.user_ns:
        known = [name for name, value in call.ip.user_ns.items() if hasattr(value, "iloc") and not name.startswith("_")]
        hint = nearest(o.frame, known) if known else "no variable holds a DataFrame."
        raise CommandError(f"%durable map: there is no variable {o.frame}; {hint}")
    _check_fits(o)
    frame = call.ip.user_ns[o.frame]
    args = [column.strip() for text in o.args for column in text.split(",") if column.strip()]
    if o.change is not None:
        try:
            return offer(call, current().map(o.namespace, frame, object=o.object, change=o.change, args=args))
        except NothingToChange as nothing:  # all cells may be run again: then it was done before
            return View((Line(f"{nothing} Nothing is sent.", Tone.SAME),), data={"edits": []})
    return current().map(
        o.namespace,
        frame,
        object=o.object,
        call=o.call,
        args=args,
        concurrency=8 if o.concurrency is None else int(o.concurrency),
        timeout=seconds(o.timeout, "map", SECONDS),
    )


def _check_fits(o: Any) -> None:
    """Raise CommandError for options that do not go together, or have no number."""
    if o.concurrency is not None and not (o.concurrency.isascii() and o.concurrency.isdigit()):
        raise CommandError(f'%durable map: --concurrency takes a whole number, not "{o.concurrency}".')
    of_calls = {"--concurrency": o.concurrency, "--timeout": o.timeout}
    of_changes = {"--approve": o.approve, "--confirm": o.confirm}
    wrong = [name for name, given in (of_calls if o.change else of_changes).items() if given]
    if wrong:
        other = "--call" if o.change else "--change"
        raise CommandError(f"%durable map: {wrong[0]} goes with {other}; leave it out, or use {other}.")


def seconds(text: str | None, verb: str, default: float) -> float:
    """Read the value of `--timeout`."""
    if text is None:
        return default
    try:
        found = float(text)
    except ValueError:
        raise CommandError(f'%durable {verb}: --timeout takes seconds, not "{text}".') from None
    if not 0 < found < 1e6:
        raise CommandError(f'%durable {verb}: --timeout takes seconds, not "{text}".')
    return found
