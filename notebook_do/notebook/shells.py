"""What the shell can do: whether a person can press or type, and lines of progress where it can update an output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

from notebook_do.display import clean
from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views.blocks import Line, Tone

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.deploy.result import Event
    from notebook_do.notebook.parsing import Call
    from notebook_do.notebook.views.blocks import Document


Shell = Literal["notebook", "terminal", "headless"]


def shell_of(ip: Any, *, command: bool = False) -> Shell:
    """Return who could press a button here, or type; `command` says that this is the command line.

    A kernel that may not ask (nbclient, papermill, `nbconvert --execute`) has nobody in front of it: there a widget
    would never be pressed, and would be saved as a dead one.
    """
    if command:  # who reads a file or a pipe does not see the question
        terminals = (stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
        return "terminal" if all(terminals) else "headless"
    kernel = getattr(ip, "kernel", None)
    # ipykernel keeps what the front-end said of itself; there is no public way to ask (ipykernel 6 and 7).
    if kernel is not None:
        return "notebook" if getattr(kernel, "_allow_stdin", False) else "headless"
    asks = type(ip).__name__ == "TerminalInteractiveShell" and sys.stdin is not None and sys.stdin.isatty()
    return "terminal" if asks else "headless"


def display(value: Any, *, replaceable: bool = False) -> Any:
    """Show `value` as an output of its own; return the handle that replaces it, for a `replaceable` one."""
    if "IPython" not in sys.modules:  # the command line, on a file without cells: IPython would print the same
        print(value, flush=True)  # noqa: T201
        return None
    import IPython.display

    return IPython.display.display(value, display_id=True if replaceable else None)  # type: ignore[no-untyped-call]


# --- progress without widgets

_BAR = 24


class LiveLine:
    """One line of output. In a kernel each text replaces the one before; elsewhere only `last` texts are printed."""

    def __init__(self, ip: Any) -> None:
        self._in_place = getattr(ip, "kernel", None) is not None
        self._handle: Any = None

    def show(self, text: str, tone: Tone | None = None, *, last: bool = False) -> None:
        """Put `text` in place of what stood here."""
        view = views.View((Line(text, tone, role="status"),))
        # A terminal or a script would keep every text as a line of its own.
        if not self._in_place:
            if last:
                display(view)
        elif self._handle is None:
            self._handle = display(view, replaceable=True)
        else:
            self._handle.update(view)


class Download:
    """Shows how far the one download of the local runtime is; shows nothing when nothing is downloaded."""

    def __init__(self, ip: Any) -> None:
        self._line = LiveLine(ip)
        self._percent = -1

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are here."""
        percent = min(100, done * 100 // total) if total else 0
        # workerd comes in a hundred pieces a second; one output a percent is enough.
        if percent == self._percent:
            return
        self._percent = percent
        full = _BAR * percent // 100
        bar = "█" * full + "░" * (_BAR - full)
        size = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        self._line.show(f"Fetching workerd once: {bar} {percent} %, {size}", last=done >= total > 0)


class RecordOutput:
    """One output of a cell: each record takes the place of the one before, long after the cell has ended too.

    JupyterLab shows and saves what a thread puts there (measured, 4.6).
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def put(self, document: Document) -> None:
        """Show `document` in place of what stood here."""
        view = views.View(document)
        if self._handle is None:
            self._handle = display(view, replaceable=True)
        else:
            self._handle.update(view)


class DeployLine:
    """Says on a terminal or in a log that a deploy begins, each wait once, and what fails; its result is shown after.

    A terminal would keep every text as a line of its own, so that no step is told of.
    """

    def __init__(self, ip: Any, start: str) -> None:
        self._wait, self._how = "", how_to_stop(ip)
        display(views.View((Line(start),)))

    def __call__(self, event: Event) -> None:
        """Say one event of the deploy, where it is one to know."""
        if event.kind != "waiting":
            return
        wait = event.text.partition(": ")[2]
        begins, self._wait = wait not in {"", self._wait}, wait
        if begins:
            display(views.View((Line(f"{event_text(event)} ({self._how})", Tone.CHANGE),)))


class ReadingLine:
    """Shows how far a plan has read, and what it waits for, in one line that is gone when the plan is there.

    In a notebook that a person has open, and on a terminal (stderr: what is printed is the plan). A file gets nothing,
    but that a log of a run without a terminal says once that it waits.
    """

    def __init__(self) -> None:
        ipython = sys.modules.get("IPython")
        self._ip = ipython.get_ipython() if ipython is not None else None
        self._shell = shell_of(self._ip)
        self._handle: Any = None
        self._wait = ""

    def __call__(self, event: Event) -> None:
        """Show one event of the plan."""
        text = plan_event_text(event, how_to_stop(self._ip))
        if self._shell == "notebook":
            self._put({"text/plain": text})
        elif getattr(self._ip, "kernel", None) is None and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{clean(text)}")
            sys.stderr.flush()
        elif event.kind == "waiting" and (why := event.text.partition(": ")[2]) != self._wait:
            self._wait = why
            sys.stderr.write(f"{clean(text)}\n")

    def end(self) -> None:
        """Take the line away."""
        if self._handle is not None:
            self._put({"text/plain": ""})
        elif getattr(self._ip, "kernel", None) is None and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _put(self, data: dict[str, str]) -> None:
        from IPython.display import DisplayHandle

        if self._handle is None:
            self._handle = DisplayHandle()  # type: ignore[no-untyped-call]
            self._handle.display(data, raw=True)
        else:
            self._handle.update(data, raw=True)


def watching(call: Call) -> Callable[[Event], None] | None:
    """Return what a plan tells of its reading and waits; None lets it show a line, where a person looks.

    With `--quiet` nothing is shown, and with `--json` nothing beside the JSON, which in a kernel is an output too.
    """
    in_cell = getattr(call.ip, "kernel", None) is not None
    return (lambda _: None) if call.options.quiet or (call.options.json and in_cell) else None


def how_to_stop(ip: Any) -> str:
    """Return how a person ends what a cell or a command does."""
    return "interrupt the kernel to stop" if getattr(ip, "kernel", None) is not None else "Ctrl-C stops it"


def plan_event_text(event: Event, how: str) -> str:
    """Return one event of a plan in words."""
    if event.kind == "waiting":
        return f"The plan {event.text} ({how})"
    return f"Reading: {event.index:,} of {event.total:,} Workers"


def event_text(event: Event) -> str:
    """Return one event of a deploy in words."""
    return f"step {event.index} of {event.total}: {event.text}" if event.total else event.text
