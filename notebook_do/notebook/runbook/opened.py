"""The session that a file's declarations go into, and where in the file an error is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError, DurableError
from notebook_do.sessions.opening import current, in_force, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator


def open_default(stem: str) -> None:
    """Open the session that is called like the file, with what was declared while none was open."""
    imposed = in_force()
    session = open_session(stem if imposed is None else str(imposed.options.get("name", stem)))
    if imposed is not None:
        imposed.default = imposed.place
        for items in imposed.loose:
            session.declare(*items)
        imposed.loose.clear()


def is_open() -> bool:
    """Say whether a session is open."""
    try:
        return current() is not None
    except CommandError:
        return False


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Put in front of an error where in the file it is."""
    try:
        yield
    except DurableError as error:
        if not error.message.startswith(place):
            at = f"{place}, line {error.line}" if error.line and not error.says_line else place
            error.message = f"{at}: {error.message}"
        error.line = None
        raise
