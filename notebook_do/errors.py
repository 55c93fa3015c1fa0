"""The errors that a user can cause or meet; each is one clear line.

A message says what happened, to which named thing, and what to do next. Bugs are not wrapped: they keep
their traceback. The tree::

    DurableError
    ├── CommandError        a magic, a command or a call was written wrongly
    ├── DeclarationError    a declaration cannot be right, whatever is live
    │   └── SourceError     the script itself: it does not start, or does not export a class
    ├── PlanRefused         the plan holds refusals; each names its choices
    ├── StalePlan           something changed after the plan was shown; nothing was sent
    ├── StaleChange         what an object has stored moved after the change of it was shown; nothing was sent
    ├── ConsentRequired     something would be lost and the typed phrase is missing
    ├── StateError          the state file cannot be used as it is
    │   ├── StateCorrupt    it is not what was written
    │   └── StateLocked     somebody else is deploying with it
    ├── TargetError         the target cannot be reached or used (network, credentials, local server)
    │   ├── CredentialError no usable token or account
    │   └── ToolchainError  workerd or esbuild cannot be had on this machine
    ├── ApiError            Cloudflare answered, and the answer is no
    ├── DeployError         a deploy stopped; says what is done, not done, uncertain
    └── JSError             JavaScript's own error: a method that was called threw it, or an object stored it
"""

from __future__ import annotations

import functools
import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from notebook_do.display import clean
from notebook_do.display.formats import short_account, short_resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from notebook_do.plan.plan import Plan

P = ParamSpec("P")
T = TypeVar("T")


class DurableError(Exception):
    """The root of all expected errors: one line for a person, no traceback in a notebook.

    As text it shows no character of a name or an answer that a terminal would obey; `message` has them as they are.
    `result` is the DeployResult so far, when it is a deploy that the error stopped.
    """

    result: Any = None
    says_line = False
    """Whether the message itself names the line."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        """Keep the message; `line` is the 1-based line of the cell that the message is about."""
        super().__init__(message)
        self.message = message
        self.line = line
        # Set after the making, where it is known: `cell [5]`, or `this cell`.
        self.cell = ""

    def __str__(self) -> str:
        said = clean(self.message)
        if self.line is None or self.says_line:
            return said
        return f"line {self.line}{f' of {clean(self.cell)}' if self.cell else ''}: {said}"

    def _render_traceback_(
        self,
        etype: type[BaseException] | None = None,
        evalue: BaseException | None = None,
        tb: TracebackType | None = None,
        tb_offset: int | None = None,
    ) -> list[str]:
        """Show the message only: IPython calls this in place of its traceback."""
        del etype, evalue, tb, tb_offset
        return [f"{type(self).__name__}: {self}", *self._below()]

    def _below(self) -> list[str]:
        """Return the lines to show below the message."""
        return []


class CommandError(DurableError):
    """A magic, a command or a call was written wrongly."""


class NothingToChange(CommandError):  # noqa: N818 - as the others are named
    """What is asked to be changed is so already: nothing is sent, and a notebook goes on."""


class NotDeployed(CommandError):  # noqa: N818 - as the others are named
    """What is asked, such as `Worker api`, is declared and not deployed yet; while a plan waits this is no mistake."""

    what = ""

    @classmethod
    def of(cls, what: str, verb: str = "") -> NotDeployed:
        """Say that it is to be deployed first."""
        made = cls(f"{verb}{what} is declared and not deployed yet; first: %durable deploy")
        made.what = what
        return made


class DeclarationError(DurableError):
    """A declaration cannot be right, whatever is live.

    `unhosted` is the stable ID of a namespace, where the error is that nothing hosts it; `undeclared` that of one which
    a binding names and nothing declares.
    """

    unhosted: str = ""
    undeclared: str = ""


class SourceError(DeclarationError):
    """The script does not start, or does not export what its declarations need.

    `excerpt` are the lines of the source that it is about, or what a build command said; a notebook shows them below.
    `code` is Cloudflare's, where that refused the script.
    """

    excerpt: str = ""
    code: int = 0
    after: str = ""
    """What stays as it was, and what to do next: a line below the excerpt."""

    def _below(self) -> list[str]:
        lines = ["", *(f"  {clean(line)}" for line in self.excerpt.splitlines())] if self.excerpt else []
        return [*lines, *(["", clean(self.after)] if self.after else [])]


class PlanRefused(DurableError):  # noqa: N818 - the vocabulary's name
    """The plan holds refusals, so nothing was sent."""


class StalePlan(DurableError):  # noqa: N818 - the vocabulary's name
    """Declarations, code, state, account or live facts changed after the plan was shown; nothing was sent.

    `plan` is the plan as it would be now, where it could be made.
    """

    plan: Plan | None = None


class StaleChange(DurableError):  # noqa: N818 - as StalePlan
    """What an object has stored moved after the change of it was shown; nothing was sent.

    `change` is the change as it would be now, where it could be made.
    """

    change: Any = None


class ConsentRequired(DurableError):  # noqa: N818 - the vocabulary's name
    """The plan loses something and a typed phrase is missing; nothing was sent."""


class StateError(DurableError):
    """The state file cannot be used as it is; it was left untouched."""


class StateCorrupt(StateError):  # noqa: N818 - the vocabulary's name
    """The state file is not what was written; it was left untouched and is not read as empty."""


class StateLocked(StateError):  # noqa: N818 - the vocabulary's name
    """Another process is deploying with this state file."""


class TargetError(DurableError):
    """The target cannot be reached or used.

    `request_id` is that of a request to a Worker that got no answer: what it logged is found by it. `details` are lines
    that a notebook shows below the message.
    """

    request_id: str | None = None
    details: str = ""

    def _below(self) -> list[str]:
        return ["", *self.details.splitlines()] if self.details else []


class CredentialError(TargetError):
    """There is no usable API token or account."""


class ToolchainError(TargetError):
    """Workerd or esbuild cannot be had on this machine."""


class ApiError(DurableError):
    """Cloudflare answered no.

    Holds the method, the path, the HTTP status and Cloudflare's own code; never a request, a header or a body,
    because those can hold secrets.
    """

    def __init__(  # noqa: PLR0913 - the facts of one answer
        self,
        message: str,
        *,
        code: int = 0,
        status: int = 0,
        method: str = "",
        path: str = "",
        line: int | None = None,
    ) -> None:
        """Keep the facts; decisions are made on `code`, never on the text."""
        super().__init__(message, line=line)
        self.code, self.status, self.method, self.path = code, status, method, path
        # Set after the making, by what reads the answer: most errors have neither.
        self.retry_after: float | None = None
        """The seconds that the answer asked to wait, where it did."""
        self.scenarios: frozenset[str] = frozenset()
        """Cloudflare's tags of what was wrong with `exports`, for code 100402."""

    @property
    def request(self) -> str:
        """Return what was asked and the HTTP status, for a person: ids in the path are short; empty where unknown."""
        parts = self.path.split("/")
        path = "/".join(part if short_resource(part) == part else short_account(part) for part in parts)
        return f"{self.method} {path}, HTTP {self.status}" if self.method else ""

    def __str__(self) -> str:
        place = f" ({self.request})" if self.method else ""
        code = f" [code {self.code}]" if self.code else ""
        return f"{super().__str__()}{code}{place}"


class Interrupted(KeyboardInterrupt):
    """A person interrupted a read, and nothing is left to account for: one line in a notebook, no traceback.

    No DurableError: an interrupt ends a script, and is caught by nothing that catches errors.
    """

    def _render_traceback_(self, *_: object, **__: object) -> list[str]:
        """Show the message only: IPython calls this in place of its traceback."""
        return [f"{type(self).__name__}: {self}"]


class DeployError(DurableError):
    """A deploy stopped; the message says what is done, what is not, and what is uncertain.

    `error` is what stopped it, where there is such.
    """

    error: DurableError | None = None


class JSError(DurableError):
    """A JavaScript error: a method that was called threw it, or an object stored or returned it.

    `name`, `message` and `stack` are its own; what was thrown and is no Error has the name `thrown`. `stack` has the
    frames of the Worker's code, or is None where they cannot be had. `cause` is a JSError, or any value, or None.
    """

    def __init__(self, name: str, message: str, *, stack: str | None = None, cause: Any = None) -> None:
        super().__init__(message)
        self.name, self.stack, self.cause = name, stack, cause

    def __repr__(self) -> str:
        return f"JSError({self.name!r}, {self.message!r})"

    def __str__(self) -> str:
        return f"{clean(self.name)}: {super().__str__()}" if self.message else clean(self.name)

    def __eq__(self, other: object) -> bool:
        """Two are equal that say the same: a stored one is a value."""
        if not isinstance(other, JSError):
            return NotImplemented
        return (self.name, self.message, self.cause) == (other.name, other.message, other.cause)

    def __hash__(self) -> int:
        return hash((self.name, self.message))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.message), {"stack": self.stack, "cause": self.cause}

    def _below(self) -> list[str]:
        frames = (self.stack or "").splitlines()
        return [clean(line) for line in frames if line.lstrip().startswith("at ")]


# --- did you mean


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `did you mean X?` where something known is near, else what is known."""
    words = list(known)
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(words)}."


def wrong_call(signature: inspect.Signature, args: tuple[Any, ...], given: Mapping[str, Any]) -> str | None:
    """Return in one line why a call does not fit a signature, an unknown keyword first; None where it fits."""
    known = [name for name, parameter in signature.parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
    for word in given:
        if word not in signature.parameters:
            return f"unknown keyword {word}; {nearest(word, known)}"
    try:
        signature.bind(*args, **given)
    except TypeError as problem:
        return f"{problem}."
    return None


def spelled(called: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator for a function that users call so: a wrong keyword is a CommandError, one line."""

    def wrap(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **given: P.kwargs) -> T:
            if problem := wrong_call(signature, args, given):
                raise CommandError(f"{called}: {problem}")
            return function(*args, **given)

        return call

    return wrap
