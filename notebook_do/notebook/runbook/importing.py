"""`notebook-do import --wrangler PATH`: a wrangler project as cells, printed or in a notebook of their own; no FILE."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.display import clean
from notebook_do.display.formats import counted
from notebook_do.errors import CommandError
from notebook_do.interchange.cells import END_OF_CELLS, labelled
from notebook_do.notebook.parsing import parse
from notebook_do.notebook.verbs import find
from notebook_do.sessions.exchanging import read_wrangler
from notebook_do.sessions.opening import open_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from notebook_do.interchange.cells import Imported


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedProject:
    """What a command line asks: the project at `path`, one environment of it, and where its cells go.

    `options` are those of `%durable session`, and its `name`, that were given.
    """

    path: Path
    env: str | None
    out: Path | None
    words: Sequence[str]
    options: Mapping[str, str]


def import_project(asked: AskedProject) -> str:
    """Import a project in the directory of the notebook that is written, or here; return what to print."""
    words = parse(find("import"), asked.words)
    if words.workers or words.from_account or words.source or words.as_:
        raise CommandError(
            "import: --wrangler takes a project whole; of other words only --build, --json and --quiet go with it."
        )
    path, out = asked.path.expanduser().resolve(), asked.out.resolve() if asked.out else None
    if out is not None:
        _check_out(out)
        os.chdir(out.parent)  # paths in cells, and the state file, are relative to where the notebook is
    read = read_wrangler(os.path.relpath(path), asked.env)
    options: dict[str, Any] = dict(asked.options)
    name, stage = read.session
    session = open_session(options.pop("name", name), **({"stage": stage} | options))
    try:
        found = session.import_wrangler(read, build=words.build)
    finally:
        session.close()
    if out is not None:
        _write(out, json.dumps(_notebook(found), indent=1, ensure_ascii=False) + "\n")
    if words.quiet:
        return ""
    if words.json:
        written = [str(out)] if out else []
        data = {"cells": found.cells, "notes": found.notes, "files": written, "built": found.built}
        return json.dumps(data, ensure_ascii=False)
    return clean(_text(found, asked.out))


def _check_out(out: Path) -> None:
    if out.suffix != ".ipynb":
        raise CommandError(f"import: --out {out.name}: name a notebook (.ipynb).")
    if not out.parent.is_dir():
        raise CommandError(f"import: there is no directory {out.parent} for --out.")
    if out.exists():
        raise _taken(out)


def _write(out: Path, text: str) -> None:
    """Write the notebook as a new file: what came there meanwhile stays, and a link is not followed."""
    try:
        with out.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except FileExistsError:
        raise _taken(out) from None


def _taken(out: Path) -> CommandError:
    return CommandError(f"import: {out.name} is there already; move it away, or name another notebook.")


def _text(found: Imported, out: Path | None) -> str:
    """Return the cells, or where they are; what was run stands above and the notes below, so that it can be pasted."""
    cells = [f"# {out}: {counted(len(found.cells), 'cell')}"] if out else list(map("\n".join, labelled(found.cells)))
    cells += [] if out else [END_OF_CELLS]
    if found.built:
        cells.insert(0, "\n".join(f"# {said}" for said in found.built))
    notes = [f"# {note}" for note in found.notes]
    return "\n\n".join([*cells, "\n".join([*notes, "# Nothing was sent. Run the cells, then: %durable plan"])])


def _notebook(found: Imported) -> dict[str, Any]:
    """Return a notebook that loads the extension, runs the cells, and plans; the notes stand above as text."""
    notes = "\n".join(f"- {note}" for note in found.notes)
    above = [_cell("markdown", f"What the import of the wrangler project says:\n\n{notes}")] if notes else []
    code = ["%load_ext notebook_do", *found.cells, "%durable plan"]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [*above, *(_cell("code", text) for text in code)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def _cell(kind: str, source: str) -> dict[str, Any]:
    more: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True), **more}
