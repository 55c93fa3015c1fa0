"""Where are we: a notebook with a person and widgets, a terminal with a person, or nobody at all."""

from __future__ import annotations

import sys
from typing import Any, Literal

Shell = Literal["notebook", "terminal", "headless"]


def shell_of(ip: Any) -> Shell:
    """Say who could press a button here.

    A kernel that may not ask (nbclient, papermill, `nbconvert --execute`) has nobody in front of it: there a widget
    would never be pressed, and would be saved as a dead one.
    """
    kernel = getattr(ip, "kernel", None)
    if kernel is not None:
        return "notebook" if getattr(kernel, "_allow_stdin", False) else "headless"
    asks = type(ip).__name__ == "TerminalInteractiveShell" and sys.stdin is not None and sys.stdin.isatty()
    return "terminal" if asks else "headless"


def display(value: Any, *, replaceable: bool = False) -> Any:
    """Show `value` as an output of its own; a replaceable one gives the handle to replace it with."""
    import IPython.display

    return IPython.display.display(value, display_id=True if replaceable else None)  # type: ignore[no-untyped-call]
