"""What `notebook-do run` prints of a notebook: a page, and with `--verbose` all of it; never a colour into a file."""

from __future__ import annotations

import re
import sys
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any

from notebook_do.display import clean, coloured, uncoloured
from notebook_do.display.formats import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

_APPROVAL = "To send exactly this plan:"
_DIGEST = re.compile(r"%durable (?:deploy|destroy [^\n]*?) --approve ([0-9a-f]{16})(.*)")
_ASKED = re.compile(r"[A-Z]+ https?://\S|\S.* \. \S+\(.*\)  (returned|threw)\b")
_BODY = 6
"""How many lines of the body of an answer are printed."""
_WHOLE = 3
"""An output of so many lines is printed whole; of a longer one its first line says what it is and how much."""
_PLAN = 80
"""So many lines of a plan that waits to be approved are printed: all that a change of some Workers has."""


class Printing:
    """Prints cells as they are executed.

    `hidden` counts the lines of outputs that were left out, `waiting` are the digests that plans which were not sent
    could be approved by.
    """

    def __init__(self, *, verbose: bool) -> None:
        self.verbose, self.hidden = verbose, 0
        self.waiting: list[str] = []
        self._cleaned = coloured if sys.stdout.isatty() else uncoloured

    def source(self, cell: Any) -> None:
        """Print a cell that is about to run: its first line and how many follow, or all."""
        if cell.cell_type != "code" or not (lines := cell.source.strip().splitlines()):
            return
        if self.verbose:
            print("\n" + "\n".join(f"> {clean(line)}" for line in cell.source.splitlines()), flush=True)
            return
        more = f"  (and {counted(len(lines) - 1, 'line')})" if len(lines) > 1 else ""
        print(f"> {clean(lines[0])}{more}", flush=True)

    def outputs(self, cell: Any) -> None:
        """Print what a cell showed: of each output its first line and what a person must know, or all."""
        outputs = cell.get("outputs", ())
        shown = [self._cleaned(_text(output)).rstrip("\n").splitlines() for output in outputs]
        offered = any(line.lstrip().startswith(_APPROVAL) for lines in shown for line in lines)
        for output, lines in zip(outputs, shown, strict=True):
            # A phrase is typed by who read what is lost: no command line offers it.
            self.waiting += [found[1] for found in map(_DIGEST.search, lines) if found and not found[2].strip()]
            # A plan is approved by who read it.
            whole = _PLAN if offered else _WHOLE
            if self.verbose or output.output_type == "error" or len(lines) <= whole:
                told = lines
            else:
                told = list(_few(lines))
                self.hidden += len(lines) - len(told)
            for line in told:
                print(line if self.verbose else f"  {line}")
        sys.stdout.flush()


def _answered(lines: list[str]) -> list[str]:
    """Return the request line of a Worker's answer, or of a call, and how its body begins; nothing of all else."""
    if not _ASKED.match(lines[0]):
        return []
    head = list(takewhile(str.strip, lines))
    body = list(takewhile(str.strip, dropwhile(lambda line: not line.strip(), lines[len(head) :])))
    return [*head, *(body if len(body) <= _BODY else [*body[: _BODY - 1], "  …"])]


def _few(lines: list[str]) -> Iterator[str]:
    """Yield the first line, what would be lost or failed, and the line that approves a plan; an answer's beginning."""
    if answered := _answered(lines):
        yield from answered
        return
    goes_on = False
    for at, line in enumerate(lines):
        begins = line.lstrip().startswith(("! ", _APPROVAL))
        goes_on = begins or (goes_on and line.startswith("  "))
        if at == 0 or goes_on:
            yield line


def _text(output: Any) -> str:
    match output.output_type:
        case "stream":
            return str(output.text)
        case "error":
            return "\n".join(output.traceback)
        case _:
            return clean(output.data.get("text/plain", ""))


def without_colours(notebook: Any) -> Any:
    """Take the colours for terminals out of what was printed and of tracebacks; return the notebook."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                output.text = uncoloured(output.text)
            elif output.output_type == "error":
                output.traceback = [uncoloured(line) for line in output.traceback]
    return notebook
