"""Runs what of a notebook's cells is run for a plan, in a shell of this process: no kernel, nothing sent, no output."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from notebook_do.cloudflare import refusing
from notebook_do.errors import CommandError, DurableError
from notebook_do.notebook import magics, verbs
from notebook_do.notebook.commands import RUN, Call, declare
from notebook_do.notebook.runbook import intact
from notebook_do.notebook.runbook.concerned import Step, steps
from notebook_do.notebook.runbook.statements import READS, assigned
from notebook_do.sessions.opening import Imposed, current, in_force, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from notebook_do.notebook.runbook.statements import Cell

_OF_SESSION = ("stage", "target", "account", "state", "lock")


def run_cells(cells: Sequence[Cell], shell: Any, *, parameters: Mapping[str, Any], stem: str) -> bool:
    """Run what declares, and what that needs; False when nothing was declared. `stem` names a session for want of one.

    Raises CommandError, or what a cell raised, with the place of the cell.
    """
    planned = steps(cells, given=parameters, environment=os.environ)
    _must_be_noticed(cells, planned, parameters)
    os.environ.setdefault("MPLBACKEND", "agg")  # a plot of a cell opens no window
    shell._showtraceback = lambda *_: None  # noqa: SLF001 - an error is told as one line, by the command
    magic, press = magics.load(shell), os.environ.get("NOTEBOOK_DO_DEPLOY")
    declared: list[str] = []
    before = intact.seen()
    with refusing.imposing(in_force() or Imposed(options={})) as imposed, _silent():
        for step in planned:
            cell = cells[step.cell]
            imposed.place = cell.place
            magic.acts = partial(_act, cell=cell, stem=stem, declared=declared)
            _run(shell, step, cell)
            if "parameters" in cell.tags:
                shell.user_ns.update(parameters)
            if imposed.refused:
                raise imposed.refused[0]
            if wrong := intact.changed(before):
                raise CommandError(f"{cell.place}: changes notebook_do itself ({wrong}); leave that out.")
        if not _is_open() and imposed.loose:
            open_default(stem)
    if _is_open():
        current().auto_approve = press == "press"
    if not _is_open():
        return False
    book = current().catalog
    return bool(declared or book.workers or book.namespaces or len(imposed.opened) > 1)


def open_default(stem: str) -> None:
    """Open the session that is called like the file, with what was declared while none was open."""
    imposed = in_force()
    session = open_session(stem if imposed is None else str(imposed.options.get("name", stem)))
    if imposed is not None:
        imposed.default = imposed.place
        for items in imposed.loose:
            session.declare(*items)
        imposed.loose.clear()


def _is_open() -> bool:
    try:
        return current() is not None
    except CommandError:
        return False


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """Say with an error where in the file it is."""
    try:
        yield
    except DurableError as error:
        if not error.message.startswith(place):
            at = f"{place}, line {error.line}" if error.line else place
            error.message = f"{at}: {error.message}"
        error.line = None
        raise


def _run(shell: Any, step: Step, cell: Cell) -> None:
    result = shell.run_cell(step.text, silent=True)
    error = result.error_before_exec or result.error_in_exec
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, DurableError):
        with told(cell.place):
            raise error
    if error is not None:
        raise CommandError(f"{cell.place}: {type(error).__name__}: {error}".rstrip(": "))


def _act(call: Call, *, cell: Cell, stem: str, declared: list[str]) -> Any:
    """Carry out a `%durable` line of a cell: what declares and what reads."""
    where = replace(call.where, cell=cell.place, line=call.where.line + cell.above)
    if where.body_line is not None:
        where = replace(where, body_line=where.body_line + cell.above)
    call = replace(call, where=where)
    if call.verb == "session":
        given = {name: value for name in _OF_SESSION if (value := getattr(call.options, name)) is not None}
        return open_session(call.options.name, **given)
    if call.verb in {"namespace", "worker", "rm"} or (not call.verb and call.body is not None):
        if not _is_open():
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
            hint = verbs.nearest(name, known) or f"; it has {', '.join(known)}."
            raise CommandError(f"-p: the notebook has no parameter {name}{hint}")
        if not known and name in again:
            raise CommandError(f"-p {name}: {again[name].place} sets {name} again; give that cell the tag parameters.")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Let cells, and processes that they start, print to stderr, and read nothing."""
    sys.stdout.flush()
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
