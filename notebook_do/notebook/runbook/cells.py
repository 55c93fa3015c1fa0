"""Runs the cells of a notebook that declare, in a shell of this process.

A cell is run where a name of notebook_do stands in it, or a value made with one, with the statements above it that this
needs; a lone `%durable` line is run where it declares (concerned.py decides which). Nothing is sent meanwhile: what
would send, or cannot be run or decided, is an error that names the cell.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import replace
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare import refusing
from notebook_do.errors import CommandError, DurableError
from notebook_do.notebook import magics, verbs
from notebook_do.notebook.commands import RUN
from notebook_do.notebook.declaring import declare
from notebook_do.notebook.runbook.concerned import Step, steps
from notebook_do.notebook.runbook.opened import is_open, open_default, placed
from notebook_do.notebook.runbook.statements import READS, Cell, assigned
from notebook_do.sessions.opening import Imposed, current, in_force, open_session
from notebook_do.settings import in_advance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from notebook_do.notebook.parsing import Call


def shell_of_process() -> Any:
    """Return the IPython shell of this process: `get_ipython()` in a cell finds it."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    # Without history, which would be written to the user's file.
    return InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))


def cells_of(file: Path, text: str) -> Iterator[Cell]:
    """Yield each code cell with its place, as a person counts cells, and its tags."""
    try:
        cells = json.loads(text)["cells"]
        for number, cell in enumerate(cells, 1):
            if cell["cell_type"] == "code":
                place, tags = f"{file.name}, cell {number}", cell["metadata"].get("tags", ())
                yield Cell(place=place, source="".join(cell["source"]), tags=tags)
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{file} is no notebook that can be read.") from None


def run_cells(cells: Sequence[Cell], shell: Any, *, parameters: Mapping[str, Any], stem: str) -> bool:
    """Run the cells that declare, and what these need; return whether anything was declared.

    No kernel is started, nothing is sent, and cells print to stderr. `stem` is the name of the session where the
    notebook opens none. Raises CommandError, or what a cell raised, with the place of the cell.
    """
    planned = steps(cells, given=parameters, environment=os.environ)
    _must_be_noticed(cells, planned, parameters)
    os.environ.setdefault("MPLBACKEND", "agg")  # a plot of a cell opens no window
    shell._showtraceback = lambda *_: None  # noqa: SLF001 - the command shows an error as one line
    # Read before any cell runs: a notebook must not press Deploy for itself by setting the variable.
    magic, press = magics.load(shell), os.environ.get("NOTEBOOK_DO_DEPLOY")
    declared: list[str] = []
    before = seen()
    with refusing.imposing(in_force() or Imposed(options={})) as imposed, _silent():
        for step in planned:
            cell = cells[step.cell]
            imposed.place, imposed.above = cell.place, _above(step, cell)
            magic.acts = partial(_act, imposed=imposed, stem=stem, declared=declared)
            _run(shell, step, cell)
            # As papermill does: what is given comes after the cell that has the defaults.
            if "parameters" in cell.tags:
                shell.user_ns.update(parameters)
            # Raised again: a cell may have caught it.
            if imposed.refused:
                raise imposed.refused[0]
            if wrong := changed(before):
                raise CommandError(f"{cell.place}: changes notebook_do itself ({wrong}); leave that out.")
        if not is_open() and imposed.loose:
            open_default(stem)
    if is_open():
        current().auto_approve, current().approved = in_advance(press)
    if not is_open():
        return False
    book = current().catalog
    return bool(declared or book.workers or book.namespaces or len(imposed.opened) > 1)


def _above(step: Step, cell: Cell) -> int:
    """Return how many lines of a cell stand above what is run of it: blank ones, which IPython does not count."""
    return cell.above + step.text[: len(step.text) - len(step.text.lstrip())].count("\n")


def _run(shell: Any, step: Step, cell: Cell) -> None:
    result = shell.run_cell(step.text, silent=True)
    error = result.error_before_exec or result.error_in_exec
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, DurableError):
        with placed(cell.place):
            raise error
    if error is not None:
        raise CommandError(f"{cell.place}: {type(error).__name__}: {error}".rstrip(": "))


def _act(call: Call, *, imposed: Imposed, stem: str, declared: list[str]) -> Any:
    """Carry out a `%durable` line of a cell, if it declares or reads; refuse any other."""
    call = replace(call, where=imposed.placed(call.where))
    if call.verb == "session":
        names = (option.name.removeprefix("--") for option in verbs.OF_SESSION)
        given = {name: value for name in names if (value := getattr(call.options, name)) is not None}
        return open_session(call.options.name, **given)
    if call.verb in {"namespace", "worker", "rm", "inspect"} or (not call.verb and call.body is not None):
        if not is_open():
            open_default(stem)
        declared.append(call.verb)
        return RUN[call.verb](call) if call.verb else declare(call)
    if call.verb not in {"", "require", *READS}:
        refusing.check(f"%durable {call.verb}")
    return RUN[call.verb](call)


def _must_be_noticed(cells: Sequence[Cell], planned: Sequence[Step], parameters: Mapping[str, Any]) -> None:
    """Refuse a parameter that the notebook does not have, or that a cell without the tag sets again."""
    tagged = {number for number, cell in enumerate(cells) if "parameters" in cell.tags}
    known = {name: cells[step.cell] for step in planned if step.cell in tagged for name in assigned(step.text)}
    again = {name: cells[step.cell] for step in planned if step.cell not in tagged for name in assigned(step.text)}
    for name in parameters:
        if known and name not in known:
            hint = verbs.did_you_mean(name, known) or f"; it has {', '.join(known)}."
            raise CommandError(f"-p: the notebook has no parameter {name}{hint}")
        if not known and name in again:
            raise CommandError(f"-p {name}: {again[name].place} sets {name} again; give that cell the tag parameters.")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Let cells, and processes that they start, print to stderr, and read nothing."""
    sys.stdout.flush()
    # The descriptors, not sys.stdout alone: a process that a cell starts inherits them.
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_RDONLY)
    keyboard = os.dup(0)
    os.dup2(2, 1)
    os.dup2(nothing, 0)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.dup2(keyboard, 0)
        for one in (kept, nothing, keyboard):
            os.close(one)


# --- whether a cell put something of its own in the place of a function or class of notebook_do

_KINDS = (type, FunctionType, MethodType, property, staticmethod, classmethod)


def seen() -> dict[str, Any]:
    """Return every function and class of our loaded modules, by the place where it stands."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if module is None or name.partition(".")[0] != "notebook_do":
            continue
        for key, value in list(vars(module).items()):
            if isinstance(value, _KINDS):
                found[f"{name}.{key}"] = value
            if isinstance(value, type) and value.__module__ == name:
                found |= {f"{name}.{key}.{k}": v for k, v in vars(value).items() if isinstance(v, _KINDS)}
            if isinstance(value, dict) and key.isupper():
                found |= {f"{name}.{key}[{k!r}]": v for k, v in value.items() if callable(v)}
    return found


def changed(before: dict[str, Any]) -> str:
    """Return the first place that holds something else than `before`, or code of the notebook; empty when none does."""
    now = seen()
    for place, value in before.items():
        if now.get(place) is not value:
            return place
    foreign = next((place for place, value in now.items() if _is_of_notebook(value)), "")
    return foreign or _hidden_methods()


def _is_of_notebook(value: Any) -> bool:
    return getattr(value, "__module__", "") == "__main__"


def _hidden_methods() -> str:
    """Return a method of the open session that an attribute of the object itself hides; empty when there is none."""
    try:
        session = current()
    except CommandError:
        return ""
    hidden = vars(session).keys() & {name for name, value in vars(type(session)).items() if isinstance(value, _KINDS)}
    return f"Session.{min(hidden)}" if hidden else ""
