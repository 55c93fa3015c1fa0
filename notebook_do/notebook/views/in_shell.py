"""Writes the lines that a text offers as the command line has them, while a verb is used there."""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from notebook_do.notebook.verbs import ON_COMMAND_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE: ContextVar[str] = ContextVar("file", default="")
_VERBS = frozenset(verb.name for verb in ON_COMMAND_LINE)
# A cell that declares begins with two signs; what is part of a longer word is no line either.
_LINE = re.compile(r"(?<![%\w])%durable ([a-z]+)\b")


@contextmanager
def offering(file: str) -> Iterator[None]:
    """Write what views offer meanwhile as `notebook-do VERB FILE ...`; `file` has the options of the session too."""
    token = _FILE.set(file)
    try:
        yield
    finally:
        _FILE.reset(token)


def in_shell(text: str, file: str = "") -> str:
    """Return a text with the lines of verbs that the command line has too as they are written there."""
    named = file or _FILE.get()
    if not named:
        return text
    return _LINE.sub(lambda line: f"notebook-do {line[1]} {named}" if line[1] in _VERBS else line[0], text)
