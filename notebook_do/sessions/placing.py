"""Says where something is declared: in which run of which cell, or in which file. Looks at frames, reads no file."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from notebook_do.model import Where

if TYPE_CHECKING:
    from types import FrameType


def place_of_call() -> Where:
    """Return where the statement stands that is calling this package: a cell, or a file with its line."""
    frame = _caller()
    if frame is None:
        return Where(form="python")
    # IPython puts this into the names of its cells, and asking there needs no import of IPython.
    ask = frame.f_globals.get("get_ipython")
    shell = ask() if callable(ask) else None
    if shell is not None and frame.f_globals is shell.user_ns:
        return place_in_cell(shell, line=_line_in_cell(shell), form="python")
    return Where(file=PurePath(frame.f_code.co_filename).name, line=frame.f_lineno, form="python")


def place_of_magic(shell: Any, *, in_cell: bool) -> Where:
    """Return which cell a magic stands in, and on which of its lines, as a person counts them."""
    # Of a cell magic IPython runs no line of the cell: its frame is that of an earlier one, or of none.
    return place_in_cell(shell, line=1 if in_cell else _line_in_cell(shell), has_body=in_cell)


def place_in_cell(shell: Any, *, line: int, has_body: bool = False, form: Any = "line") -> Where:
    """Return a line of the cell that runs; `line` does not count the blank lines before the first word."""
    kernel = getattr(shell, "kernel", None)
    parent = kernel.get_parent("shell") if kernel is not None else {}
    # JupyterLab sends the cell's id; nbclient does not (measured), and there the execution count names the cell.
    run = _number_of_run(shell)
    cell = parent.get("metadata", {}).get("cellId") or f"In[{run}]"
    code = parent.get("content", {}).get("code", "")
    # IPython drops blank lines before the first word; a person's line numbers count them.
    above = len(code) - len(code.lstrip("\n \t")) if code.strip() else 0
    line += code[:above].count("\n")
    return Where(
        cell=str(cell),
        line=line,
        body_line=line + 1 if has_body else None,
        run=run,
        first=(code or _text_of_run(shell)).strip().partition("\n")[0],
        form=form,
    )


def run_now() -> int | None:
    """Return which run of a cell this is; None where no IPython runs cells."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return _number_of_run(shell) if shell is not None else None


def _number_of_run(shell: Any) -> int:
    """Return the number that stands beside the cell that runs."""
    # IPython 8 counts on after a cell, IPython 9 before its first line (measured, 9.18); both keep its text before.
    history = getattr(shell, "history_manager", None)
    number: int = len(history.input_hist_parsed) - 1 if history is not None else shell.execution_count
    return number


def _text_of_run(shell: Any) -> str:
    history = getattr(shell, "history_manager", None)
    text: str = history.input_hist_raw[-1] if history is not None else ""
    return text


def frame_of_cell(shell: Any) -> FrameType | None:
    """Return the frame that IPython runs for the cell; None where no cell calls this."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - there is no other way to ask who calls
    while frame is not None and frame.f_globals is not shell.user_ns:
        frame = frame.f_back
    return frame


def _line_in_cell(shell: Any) -> int:
    frame = frame_of_cell(shell)
    # A function that an earlier cell defined has lines of that cell: the statement that runs now is further out.
    while frame is not None and frame.f_back is not None and frame.f_back.f_globals is shell.user_ns:
        frame = frame.f_back
    return frame.f_lineno if frame is not None else 1


def _caller() -> FrameType | None:
    """Return the nearest frame that is not of this package."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - as above
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "notebook_do":
        frame = frame.f_back
    return frame
