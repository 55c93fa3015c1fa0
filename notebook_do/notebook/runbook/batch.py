"""Runs one verb on the declarations of a file, for the command line: those of a notebook, or those of a TOML file.

A cell of a notebook is run where a name of notebook_do stands in it, or a value made with one, with the statements
above it that this needs; a lone `%durable` line is run where it declares (concerned.py decides which). Nothing is sent
meanwhile: what would send, or cannot be run or decided, is an error that names the cell.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from notebook_do.cloudflare import refusing
from notebook_do.declare.cell import parse_cell
from notebook_do.deploy.result import DeployResult
from notebook_do.display import clean
from notebook_do.errors import CommandError, DurableError
from notebook_do.model import Where
from notebook_do.notebook import commands, magics, verbs
from notebook_do.notebook.commands import RUN
from notebook_do.notebook.deploying import Waiting
from notebook_do.notebook.parsing import Call, parse
from notebook_do.notebook.runbook.concerned import Step, steps
from notebook_do.notebook.runbook.statements import READS, Cell, assigned
from notebook_do.notebook.views.documents import written
from notebook_do.plan.plan import Plan
from notebook_do.sessions.opening import Imposed, current, in_force, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


_PLANS = {"plan", "deploy", "destroy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a command line asks: a verb and its words, of `file`, with options of the session and parameters."""

    verb: str
    words: Sequence[str]
    file: Path
    options: Mapping[str, str]
    """Those of `%durable session`, and its `name`, that were given; they are stronger than what the notebook says."""
    parameters: Mapping[str, Any]
    line: str
    """What follows the verb on the command line, its words aside: to be repeated with an approval."""


def run(asked: Asked) -> tuple[str, int]:
    """Declare what the file declares, in its directory, and run the verb; return what to print and the exit status.

    The status is 3 for a plan that is refused or waits for its approval, 1 for a deploy that stopped before its end.
    """
    of_session = [option.name for option in verbs.OF_SESSION]
    options = parse(verbs.find(asked.verb), asked.words, beside=["--session", *of_session])
    if options.as_ is not None:
        raise CommandError(f"{asked.verb}: --as keeps a value in a notebook's variable; here use --json.")
    declarations = _text(asked.file)
    os.chdir(asked.file.resolve().parent)
    sys.path[:] = ["", *(place for place in sys.path if place)]  # as in a kernel: modules beside the notebook are found
    # The instance of the process: get_ipython() in a cell finds it. Without history, which would be written to the
    # user's file.
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    with refusing.imposing(Imposed(options=asked.options, place=asked.file.name)) as imposed:
        declare(asked, declarations, shell)
        call = Call(ip=shell, verb=asked.verb, words=(), body=None, where=Where(), options=options, source=asked.line)
        _say(imposed, beside=asked.verb in _PLANS and not options.json)
        with refusing.allowing():
            value = RUN[asked.verb](call)
    text = "" if options.quiet or value is None else written(value) if options.json else clean(str(value))
    return text, _status(value)


def declare(asked: Asked, text: str, shell: Any) -> None:
    """Declare what `text` of the file declares, in a shell of this process."""
    shell.user_ns.update(asked.parameters)
    if asked.file.suffix == ".toml":
        open_default(asked.file.stem)
        with placed(asked.file.name):
            where = Where(cell=asked.file.name, line=0)
            current().declare(*parse_cell("", text, where=where, values=shell.user_ns))
        return
    if not run_cells(list(_cells(asked.file, text)), shell, parameters=asked.parameters, stem=asked.file.stem):
        raise CommandError(f"{asked.file} declares nothing with %durable, nor with notebook_do in Python.")


def _text(file: Path) -> str:
    if file.suffix not in {".ipynb", ".toml"}:
        raise CommandError(f"{file}: give a notebook (.ipynb), or a TOML file of declarations (.toml).")
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CommandError(f"there is no file {file}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from None


def _cells(file: Path, text: str) -> Iterator[Cell]:
    """Yield each code cell with its place, as a person counts cells, and its tags."""
    try:
        cells = json.loads(text)["cells"]
        for number, cell in enumerate(cells, 1):
            if cell["cell_type"] == "code":
                place, tags = f"{file.name}, cell {number}", cell["metadata"].get("tags", ())
                yield Cell(place=place, source="".join(cell["source"]), tags=tags)
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{file} is no notebook that can be read.") from None


def _say(imposed: Imposed, *, beside: bool) -> None:
    """Print where the plan is not of what the notebook says: an option was stronger, or a later session was opened.

    Beside a plan these lines are part of what is read; beside any other output they would spoil it, and go to stderr.
    """
    out = sys.stdout if beside else sys.stderr
    for line in imposed.unlike.values():
        print(clean(line), file=out, flush=True)
    if len(imposed.opened) > 1:
        others = ", ".join(list(dict.fromkeys(str(key[0]) for key in imposed.opened)))
        print(
            clean(f"The notebook opens several sessions ({others}); this is {current()!r}, the last."),
            file=out,
            flush=True,
        )


def _status(value: Any) -> int:
    match value:
        case Waiting():
            return 3
        case Plan():
            return 3 if value.refusals else 0
        case DeployResult():
            return 0 if value.ok else 1
    return 0


# --- cells


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
            imposed.place = cell.place
            magic.acts = partial(_act, cell=cell, stem=stem, declared=declared)
            _run(shell, step, cell)
            # As papermill does: what is given comes after the cell that has the defaults.
            if "parameters" in cell.tags:
                shell.user_ns.update(parameters)
            # Raised again: a cell may have caught it.
            if imposed.refused:
                raise imposed.refused[0]
            if wrong := changed(before):
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
def placed(place: str) -> Iterator[None]:
    """Put in front of an error where in the file it is."""
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
        with placed(cell.place):
            raise error
    if error is not None:
        raise CommandError(f"{cell.place}: {type(error).__name__}: {error}".rstrip(": "))


def _act(call: Call, *, cell: Cell, stem: str, declared: list[str]) -> Any:
    """Carry out a `%durable` line of a cell, if it declares or reads; refuse any other."""
    where = replace(call.where, cell=cell.place, line=call.where.line + cell.above)
    if where.body_line is not None:
        where = replace(where, body_line=where.body_line + cell.above)
    call = replace(call, where=where)
    if call.verb == "session":
        names = (option.name.removeprefix("--") for option in verbs.OF_SESSION)
        given = {name: value for name in names if (value := getattr(call.options, name)) is not None}
        return open_session(call.options.name, **given)
    if call.verb in {"namespace", "worker", "rm"} or (not call.verb and call.body is not None):
        if not _is_open():
            open_default(stem)
        declared.append(call.verb)
        return RUN[call.verb](call) if call.verb else commands.declare(call)
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
