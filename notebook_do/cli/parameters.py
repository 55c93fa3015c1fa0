"""The parameters of a notebook: what `-p NAME VALUE` gives, put after the cell that has the defaults."""

from __future__ import annotations

import ast
import json
from typing import Any

from notebook_do.errors import CommandError
from notebook_do.notebook.verbs import did_you_mean


def value_of(text: str) -> Any:
    """Return what a value of the command line is: JSON where it can be read so, else the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def inject(notebook: Any, parameters: list[tuple[str, str]]) -> None:
    """Put assignments after the cell tagged `parameters`, or first; those of an earlier run are replaced.

    Raises CommandError for a name that such a cell does not set: the notebook would not notice it.
    """
    if not parameters:
        return
    import nbformat

    from notebook_do.notebook.runbook.statements import assigned

    notebook.cells[:] = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", ())]
    tagged = next((i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", ())), None)
    defaults = "" if tagged is None else notebook.cells[tagged].source
    known, texts = assigned(defaults), _texts(defaults)
    for name, _ in parameters:
        if not name.isidentifier():
            raise CommandError(f"run: parameter {name!r} is not a Python name.")
        if known and name not in known:
            hint = did_you_mean(name, known) or f"; it has {', '.join(known)}."
            raise CommandError(f"run: the notebook has no parameter {name}{hint}")
    source = "\n".join(f"{name} = {(text if name in texts else value_of(text))!r}" for name, text in parameters)
    # A fixed id: a random one would be another at every run, and a change of the stored notebook.
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]}, id="injected-parameters")
    notebook.cells.insert(0 if tagged is None else tagged + 1, cell)


def _texts(source: str) -> set[str]:
    """Return the names whose default is a text: what is given for them stays one, as a digest of digits only must."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
