"""How IPython writes the frames of this package as text: their values are data, but a terminal must not obey them.

A frame stays an ordinary DataFrame with its values as they are. It is marked in `attrs`, which pandas hands on to
what is taken from it; IPython's text of a marked frame or column is cleaned, that of any other is pandas' own.
Beyond IPython (`print(frame)`) a frame writes itself, and pandas leaves such characters in.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

import pandas as pd

from notebook_do.letters import clean

MARK = "notebook_do"
F = TypeVar("F", pd.DataFrame, "pd.Series[Any]")


def marked(frame: F) -> F:
    """Mark a frame as one of ours, and see to it that IPython, where it runs, cleans the text of such."""
    frame.attrs[MARK] = "frame"
    ipython = sys.modules.get("IPython")
    if ipython is not None and (shell := ipython.get_ipython()) is not None:
        install(shell)
    return frame


def install(shell: Any) -> None:
    """Teach a shell to write marked frames; a way to write frames that the user has chosen stays."""
    formatter = shell.display_formatter.formatters["text/plain"]
    for kind in (pd.DataFrame, pd.Series):
        try:
            formatter.lookup_by_type(kind)
        except KeyError:
            formatter.for_type(kind, _write)


def _write(frame: Any, printer: Any, cycle: bool) -> None:  # noqa: FBT001 - IPython's signature
    del cycle
    text = repr(frame)
    for number, line in enumerate((clean(text) if MARK in frame.attrs else text).split("\n")):
        if number:
            printer.break_()
        printer.text(line)
