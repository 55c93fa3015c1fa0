"""What the command line imposes while it runs cells of a notebook: nothing is sent, and its options are stronger.

A refusal is kept as well as raised, so that a cell which catches it is told all the same. What may send is told by the
context: that of the verb on the command line, and nothing that a cell started.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_allowed: ContextVar[bool] = ContextVar("notebook_do_may_send", default=False)


@dataclass(slots=True, kw_only=True)
class Imposed:
    """What holds for the cells of one notebook, and what they did. `options` are those of the command line."""

    options: Mapping[str, Any]
    place: str = ""
    """The cell that runs."""
    refused: list[CommandError] = field(default_factory=list)
    opened: dict[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict)
    """The sessions that were opened: as they were used, and as the notebook said them."""
    unlike: dict[str, str] = field(default_factory=dict)
    """Options that the notebook says otherwise, with the line that tells it."""
    default: str = ""
    """The cell that declares although no session was opened above it: for it one is opened."""
    loose: list[tuple[Any, ...]] = field(default_factory=list)
    """Declarations that were made while no session was open."""


imposed: Imposed | None = None


@contextmanager
def imposing(what: Imposed) -> Iterator[Imposed]:
    """Impose `what` for the time of a block."""
    global imposed  # noqa: PLW0603 - one process runs one notebook
    before, imposed = imposed, what
    try:
        yield what
    finally:
        imposed = before


@contextmanager
def allowing() -> Iterator[None]:
    """Let this context send, and what it starts."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


def check(method: str) -> None:
    """Refuse what sends or writes, where a cell that the command line runs asks for it."""
    if imposed is None or _allowed.get():
        return
    error = CommandError(
        f"{imposed.place}: {method} is refused here, as cells are run only for what they declare; "
        "notebook-do run runs the notebook with it."
    )
    imposed.refused.append(error)
    raise error


def opening(name: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give the name and options of a session that a notebook opens, as the command line has them."""
    if imposed is None:
        return name, dict(given)
    said = {"name": name, **given}
    used = {**said, **imposed.options}
    for option, value in imposed.options.items():
        if said.get(option) is not None and str(said[option]) != str(value):
            flag = "session" if option == "name" else option
            imposed.unlike[option] = f"--{flag} {value} is used; the notebook says {said[option]} ({imposed.place})."
    key, was = tuple(map(str, used.values())), tuple(map(str, said.values()))
    if imposed.default and key not in imposed.opened:
        raise CommandError(
            f"{imposed.place}: opens a session below {imposed.default}, which declares; open it above that cell."
        )
    if imposed.opened.setdefault(key, was) != was:
        options = ", ".join(f"--{'session' if o == 'name' else o}" for o in imposed.options)
        raise CommandError(
            f"{imposed.place}: the notebook opens several sessions, and {options} would make one of them; "
            "leave the option out."
        )
    return used.pop("name"), used


def loose(items: tuple[Any, ...]) -> None:
    """Keep declarations that no session took, for the one that the command line opens."""
    if imposed is not None:
        imposed.loose.append(items)
