"""Calls methods of live objects: one, with what became of it in words, or one for each row of a frame.

A call is like a fetch: what the method does is the Worker's business, and no plan guards it.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, assert_never

from notebook_do.display import Shown
from notebook_do.errors import CommandError, JSError, TargetError
from notebook_do.inspector.values import encode
from notebook_do.live.inspecting import Declined, NoMethod, NotKnown, Returned, Threw
from notebook_do.live.inventory import deployed_namespace
from notebook_do.live.values import whole
from notebook_do.live.ways import way_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebook_do.live.connection import Connection
    from notebook_do.live.inspecting import Outcome
    from notebook_do.model import Recorded
    from notebook_do.model.states import RecordedNamespace

_ID = re.compile(r"[0-9a-f]{64}")
_LONGEST = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Called(Shown):
    """One call and what became of it. `ms` is the time of the whole way.

    By `request` what a call logged that was followed is found: `session.request_logs(called.request)`.
    """

    namespace: RecordedNamespace
    object: str
    method: str
    args: tuple[Any, ...]
    outcome: Outcome
    ms: float
    seconds: float
    request: str

    def __repr__(self) -> str:
        which = f"{self.method} of object {self.object!r} of namespace {self.namespace.stable_id}"
        return f"<call of {which}: {became(self.outcome)}>"

    def value(self) -> Any:
        """Return what the method returned. Raises JSError where it threw, else what `error_in` says."""
        if isinstance(self.outcome, Returned):
            return self.outcome.value
        raise self.error()

    def error(self) -> JSError | CommandError | TargetError:
        """Return the error of a call that returned nothing."""
        where = f"{self.namespace.stable_id} / {self.object} . {self.method}()"
        why = said(self.outcome, self.namespace.class_name, self.method)
        match self.outcome:
            case Threw(error=error):
                return error
            case NoMethod() | Declined():
                return CommandError(f"{where}: {why}" + "." * (not why.endswith(("?", "."))))
            case NotKnown():
                hint = "look at the object before you call it again (timeout=SECONDS gives it longer)"
                return TargetError(f"{where}: {why}; {hint}.")
        raise ValueError("the call returned something")


def became(outcome: Outcome) -> str:
    """Say in a word or a few what became of a call."""
    match outcome:
        case Returned():
            return "returned"
        case Threw():
            return "threw"
        case NotKnown():
            return "unknown"
        case Declined(done=True):
            return "returned nothing that can be had"
    return "not called"


def said(outcome: Outcome, class_name: str, method: str) -> str:
    """Say in one line, without a full stop, why a call returned nothing; empty for one that did."""
    match outcome:
        case Returned():
            return ""
        case Threw(error=error):
            return str(error)
        case NoMethod(methods=methods):
            return f"class {class_name} has no method {method}{_instead(method, methods)}"
        case Declined(why=why, done=done):
            return f"the method has run, and its result cannot be had: {why}" if done else why
        case NotKnown(why=why):
            return f"{why}: whether it was done is not known, and it was not repeated"
    assert_never(outcome)


def _instead(method: str, methods: Sequence[str] | None) -> str:
    if methods is None:
        return ""
    if not methods:
        return "; it has none"
    close = get_close_matches(method, methods, n=1, cutoff=0.6)
    return f"; it has {', '.join(methods)}" + (f". Did you mean {close[0]}?" if close else "")


async def call(  # noqa: PLR0913, PLR0917 - whom, what and for how long
    connection: Connection,
    recorded: Recorded,
    stable_id: str,
    name_or_id: str,
    method: str,
    args: Sequence[Any],
    seconds: float,
    follow: bool,  # noqa: FBT001 - handed on by position
) -> Called:
    """Call a method of one object. Raises DurableError where nothing was sent."""
    namespace = deployed_namespace(recorded, stable_id)
    given = [encode(one, f"args[{at}]") for at, one in enumerate(args)]
    op = call_of(where_of(name_or_id), checked_method(method), given, follow=follow)
    begun = time.perf_counter()
    async with connection.client() as client:
        way = await way_to(connection, client, recorded, stable_id)
        (outcome,) = await way.ask([op], at_once=1, seconds=checked_seconds(seconds))
    return Called(
        namespace=namespace,
        object=name_or_id,
        method=method,
        args=tuple(args),
        outcome=outcome,
        ms=(time.perf_counter() - begun) * 1000,
        seconds=seconds,
        request=op["request"],
    )


def call_of(where: dict[str, str], method: str, args: list[Any], *, follow: bool = False) -> dict[str, Any]:
    """Return the op that calls a method; what the call logs is found by its `request` where it is to be followed."""
    op = {"object": where, "op": "call", "method": method, "args": args, "request": secrets.token_hex(8)}
    return {**op, "follow": True} if follow else op


def where_of(name_or_id: str) -> dict[str, str]:
    """Return how an object is addressed: 64 hexadecimal digits are an id, all else is a name."""
    if not isinstance(name_or_id, str) or not name_or_id:
        raise CommandError("object: an object has a name or an id, which are text and not empty.")
    # Not sent: JavaScript would put another character in its place, and so reach an object of another name.
    whole(name_or_id, f"object {name_or_id!r}", "which no name can have")
    return {"id": name_or_id} if _ID.fullmatch(name_or_id) else {"name": name_or_id}


def checked_method(method: str) -> str:
    """Return the name of a method. Raises CommandError for one that begins with `_`, or is no text."""
    if not isinstance(method, str) or not method or method.startswith("_"):
        raise CommandError(f"call: {method!r} is no method that can be called; its name is text and begins with no _.")
    return method


def checked_seconds(seconds: float) -> float:
    """Return for how long an answer is waited for. Raises CommandError for what is no such time."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.001 <= seconds <= _LONGEST:
        raise CommandError(f"timeout: seconds from 0.001 to {_LONGEST:,.0f}, not {seconds!r}.")
    return float(seconds)
