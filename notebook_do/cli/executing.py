"""`notebook-do run`: a notebook executed in a kernel of its own, without anybody in front of it."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from notebook_do.cli.printing import Printing, without_colours
from notebook_do.display import clean
from notebook_do.display.formats import counted, duration
from notebook_do.errors import CommandError
from notebook_do.notebook.verbs import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import ModuleType


def run(  # noqa: PLR0913 - the options of the command
    place: Path,
    parameters: list[tuple[str, Any]],
    *,
    deploy: bool,
    out: Path | None,
    timeout: int,
    refusals: Collection[str],
    verbose: bool = False,
) -> int:
    """Execute a notebook in a kernel of this Python, printing of each cell what it is and shows, all if `verbose`.

    Return the exit status: 3 for a cell that one of the errors called as in `refusals` stopped.
    """
    # jsonschema, which reads notebooks, takes this one up where Jupyter's server brought it along: its grammar of
    # addresses takes 3 s of CPU at every start (1.1.0, measured), and the schema of notebooks has no address in it.
    sys.modules.setdefault("rfc3987_syntax", cast("ModuleType", None))
    try:
        import nbclient
        import nbformat
    except ImportError:
        raise CommandError("run needs nbclient and ipykernel: pip install 'notebook-do[lab]'.") from None
    notebook = _read(place)
    if out and not out.resolve().parent.is_dir():
        raise CommandError(f"run: there is no directory {out.parent} for --out.")
    _inject(notebook, parameters)
    started, printing = time.monotonic(), Printing(verbose=verbose)
    client = nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",  # of this Python, whatever the one that the notebook was written with is called
        # Widget state would put what is typed into fields into the file, and dead widgets with it.
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(place.resolve().parent)}},
        on_cell_execute=lambda cell, cell_index: printing.source(cell),  # noqa: ARG005 - nbclient's keyword
        on_cell_executed=lambda cell, cell_index, execute_reply: printing.outputs(cell),  # noqa: ARG005
    )
    # ipykernel's debugger warns on every start where the standard library is frozen.
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    if deploy:
        environment["NOTEBOOK_DO_DEPLOY"] = "press"
    status = 0
    try:
        client.execute(env=environment)
    except nbclient.exceptions.CellExecutionError as error:
        status = 3 if error.ename in refusals else 1
    except nbclient.exceptions.CellTimeoutError:
        status = _failed(f"the cell above took more than {timeout} s; --timeout allows more.")
    except nbclient.exceptions.DeadKernelError:
        status = _failed("the kernel died in the cell above.")
    if out:
        nbformat.write(without_colours(notebook), out)
    verdict = "done" if status == 0 else "refused" if status == 3 else "failed"
    more = f"; {counted(printing.hidden, 'more line')} with --verbose" if printing.hidden else ""
    print(f"\n{clean(str(place))}: {verdict} in {duration(time.monotonic() - started)}{more}", flush=True)
    return status


def _failed(why: str) -> int:
    print(f"notebook-do: run: {why}", file=sys.stderr)
    return 1


def _read(path: Path) -> Any:
    import nbformat

    if not path.is_file():
        raise CommandError(f"run: there is no notebook at {path}.")
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, nbformat.ValidationError):
        raise CommandError(f"run: {path} is no notebook that can be read.") from None
    return notebook


def _inject(notebook: Any, parameters: list[tuple[str, Any]]) -> None:
    """Put assignments after the cell tagged `parameters` (papermill's convention), or first.

    Raises CommandError for a name that such a cell does not set: the notebook would not notice it.
    """
    if not parameters:
        return
    import nbformat

    from notebook_do.notebook.runbook.statements import assigned

    tagged = next((i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", ())), None)
    known = [] if tagged is None else assigned(notebook.cells[tagged].source)
    for name, _ in parameters:
        if not name.isidentifier():
            raise CommandError(f"run: parameter {name!r} is not a Python name.")
        if known and name not in known:
            hint = did_you_mean(name, known) or f"; it has {', '.join(known)}."
            raise CommandError(f"run: the notebook has no parameter {name}{hint}")
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters)
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(0 if tagged is None else tagged + 1, cell)
