"""Runs one verb on the declarations of a file, for the command line: those of a notebook, or those of a TOML file.

Of a TOML file no cell is run, so no shell is loaded for it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx  # noqa: F401 - loaded with this module, and not by the first request, without its own command: see `cli`

from notebook_do.cloudflare import refusing
from notebook_do.declare.cell import parse_cell
from notebook_do.deploy.result import DeployResult
from notebook_do.display import clean
from notebook_do.errors import CommandError
from notebook_do.model import Where
from notebook_do.notebook import verbs
from notebook_do.notebook.commands import RUN
from notebook_do.notebook.deploying import Waiting
from notebook_do.notebook.parsing import Call, parse
from notebook_do.notebook.runbook.opened import open_default, placed
from notebook_do.notebook.views.documents import written
from notebook_do.notebook.views.in_shell import offering
from notebook_do.plan.plan import Plan
from notebook_do.sessions.opening import Imposed, current

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


_PLANS = {"plan", "deploy", "destroy"}
# Others show what programs answered and stored, of which nothing is rewritten.
_OFFER = {*_PLANS, "status", "show", "state"}


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
    shell = _shell(asked.file)
    with refusing.imposing(Imposed(options=asked.options, place=asked.file.name)) as imposed:
        declare(asked, declarations, shell)
        call = Call(ip=shell, verb=asked.verb, words=(), body=None, where=Where(), options=options, source=asked.line)
        _say(imposed, beside=asked.verb in _PLANS and not options.json)
        with refusing.allowing(), offering(asked.line if asked.verb in _OFFER else ""):
            value: Any = RUN[asked.verb](call)
            return _told(value, options), _status(value)


def _told(value: Any, options: SimpleNamespace) -> str:
    if options.quiet or value is None:
        return ""
    # Known by its name: to import it would load pandas for every verb.
    shown = value.view if type(value).__name__ == "Viewed" else value
    return written(value) if options.json else clean(str(shown))


def _shell(file: Path) -> Any:
    """Return what holds the values that declarations name: a shell where cells are run, else no more than those."""
    if file.suffix == ".toml":  # IPython takes longer to load than such a file takes to be planned
        return SimpleNamespace(user_ns={})
    from notebook_do.notebook.runbook.cells import shell_of_process

    return shell_of_process()


def declare(asked: Asked, text: str, shell: Any) -> None:
    """Declare what `text` of the file declares, in a shell of this process."""
    shell.user_ns.update(asked.parameters)
    if asked.file.suffix == ".toml":
        open_default(asked.file.stem)
        with placed(asked.file.name):
            where = Where(cell=asked.file.name, line=0)
            current().declare(*parse_cell("", text, where=where, values=shell.user_ns))
        return
    from notebook_do.notebook.runbook.cells import cells_of, run_cells

    if not run_cells(list(cells_of(asked.file, text)), shell, parameters=asked.parameters, stem=asked.file.stem):
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
    return _status_of_change(value)


def _status_of_change(value: Any) -> int:
    from notebook_do.live.applying import AppliedChange
    from notebook_do.notebook.changing import WaitingChange  # here: plans and deploys need neither

    match value:
        case WaitingChange():
            return 3
        case AppliedChange():
            return 0 if value.ok else 1
    return 0
