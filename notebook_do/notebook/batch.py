"""Runs one verb on the declarations of a file, for the command line: those of a notebook, or those of a TOML file.

Of a notebook only what declares is run: the cell tagged `parameters`, the `%durable` lines that open a session or
declare, and the `%%durable` cells that declare. No other cell is: so a plan of a runbook costs no side effect.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from notebook_do.declare.cell import parse_cell
from notebook_do.deploy import DeployResult
from notebook_do.errors import CommandError, DurableError
from notebook_do.model import Where
from notebook_do.notebook import magics, verbs
from notebook_do.notebook.as_json import written
from notebook_do.notebook.commands import RUN, Call, declare
from notebook_do.notebook.deploying import Waiting
from notebook_do.plan.plan import Plan
from notebook_do.session import current, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_LINE = re.compile(r"^\s*(?:\w+\s*=\s*)?%durable\s+(?P<words>\S.*)$")
_DECLARING = {"session", "namespace", "worker", "rm", "require"}


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
    """Declare what the file declares, in its directory, and run the verb: gives what to print, and the exit status.

    The status is 3 for a plan that is refused or waits for its approval, 1 for a deploy that stopped before its end.
    """
    of_session = [option.name for option in verbs.OF_SESSION]
    options = verbs.parse(verbs.find(asked.verb), asked.words, beside=["--session", *of_session])
    if options.as_ is not None:
        raise CommandError(f"{asked.verb}: --as keeps a value in a notebook's variable; here use --json.")
    declarations = _text(asked.file)
    os.chdir(asked.file.resolve().parent)
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    values = shell.user_ns
    values.update(asked.parameters)
    if asked.file.suffix == ".toml":
        _open(asked)
        with _told(asked.file.name):
            current().declare(*parse_cell("", declarations, where=Where(cell=asked.file.name, line=0), values=values))
    else:
        _declare_notebook(asked, declarations, shell)
    call = Call(ip=shell, verb=asked.verb, words=(), body=None, where=Where(), options=options, source=asked.line)
    value = RUN[asked.verb](call)
    text = "" if options.quiet or value is None else written(value) if options.json else str(value)
    return text, _status(value)


def _text(file: Path) -> str:
    if file.suffix not in {".ipynb", ".toml"}:
        raise CommandError(f"{file}: give a notebook (.ipynb), or a TOML file of declarations (.toml).")
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CommandError(f"there is no file {file}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from None


def _open(asked: Asked, said: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Open the session that the command says, else the notebook, else the one called like the file."""
    options = {"name": asked.file.stem, **said, **asked.options}
    open_session(options.pop("name"), **options)


def _declare_notebook(asked: Asked, text: str, shell: Any) -> None:
    opened = declared = False
    for place, source, tags in _cells(asked.file, text):
        if "parameters" in tags:
            result = shell.run_cell(source, silent=True)
            if (error := result.error_before_exec or result.error_in_exec) is not None:
                raise CommandError(f"{place}: {type(error).__name__}: {error}")
            shell.user_ns.update(asked.parameters)
        for line, words, body in _declaring(source):
            with _told(place):
                verb = words[0] if words and not words[0].startswith("-") else ""
                options = magics.read_options(verb, words[1:] if verb else words, body)
                if verb == "session":
                    given = {name: getattr(options, name) for name in ("name", *(o.name[2:] for o in verbs.OF_SESSION))}
                    _open(asked, {name: value for name, value in given.items() if value is not None})
                elif not opened:
                    _open(asked)
                opened = True
                if verb != "session":
                    where = Where(cell=place, line=line, body_line=line + 1 if body is not None else None)
                    rest = tuple(getattr(options, "rest", ()))
                    act = RUN[verb] if verb else declare
                    act(Call(ip=shell, verb=verb, words=rest, body=body, where=where, options=options))
                    declared = True
    if not declared:
        raise CommandError(
            f"{asked.file} declares nothing with %durable, and its Python cells are not run for this; "
            "notebook-do run does that."
        )


def _cells(file: Path, text: str) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Give each code cell with where it is, as a person counts cells, and its tags."""
    try:
        cells = json.loads(text)["cells"]
        for number, cell in enumerate(cells, 1):
            if cell["cell_type"] == "code":
                yield f"{file.name}, cell {number}", "".join(cell["source"]), cell["metadata"].get("tags", ())
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{file} is no notebook that can be read.") from None


def _declaring(source: str) -> Iterator[tuple[int, list[str], str | None]]:
    """Give what of a cell opens a session or declares, by line, words and body: the whole cell, or single lines."""
    above = len(source) - len(source.lstrip())
    head, _, body = source[above:].partition("\n")
    if head.startswith("%%"):
        words = verbs.split(head)
        if words[0] == "%%durable" and (words[1:2] in ([], ["worker"], ["namespace"]) or words[1].startswith("-")):
            yield 1 + source[:above].count("\n"), words[1:], body
        return
    for number, line in enumerate(source.split("\n"), 1):
        found = _LINE.match(line)
        if found and (words := verbs.split(found["words"]))[0] in _DECLARING:
            yield number, words, None


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Say with an error where in the file it is."""
    try:
        yield
    except DurableError as error:
        error.message = f"{place}, line {error.line}: {error.message}" if error.line else f"{place}: {error.message}"
        error.line = None
        raise


def _status(value: Any) -> int:
    match value:
        case Waiting():
            return 3
        case Plan():
            return 3 if value.refusals else 0
        case DeployResult():
            return 0 if value.ok else 1
    return 0
