"""`notebook-do run`: a notebook executed in a kernel of its own, without anybody in front of it."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from notebook_do.cli.parameters import inject
from notebook_do.cli.printing import Printing, without_colours
from notebook_do.display import clean
from notebook_do.display.formats import counted, duration
from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import ModuleType


def run(  # noqa: PLR0913 - the options of the command
    place: Path,
    parameters: list[tuple[str, str]],
    *,
    press: str | None,
    out: Path | None,
    timeout: int,
    refusals: Collection[str],
    verbose: bool = False,
    again: str,
) -> int:
    """Execute a notebook in a kernel of this Python, printing of each cell what it is and shows, all if `verbose`.

    `press` is "press" for plans that delete nothing, or the digest of the one plan that may be sent; `again` is the
    command that runs it with these parameters. Return the exit status: 3 for a cell that one of the errors called as in
    `refusals` stopped.
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
    press = _checked(press)
    inject(notebook, parameters)
    started, printing = time.monotonic(), Printing(verbose=verbose)
    client = _client(notebook, place, timeout, printing)
    # ipykernel's debugger warns on every start where the standard library is frozen.
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    if press:
        environment["NOTEBOOK_DO_DEPLOY"] = press
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
        # Beside it and then in its place: it may be the notebook that was run, and a kill must not halve it.
        fresh = out.with_name(f".{out.name[:100]}.{os.getpid()}.tmp")
        nbformat.write(without_colours(notebook), fresh)
        fresh.replace(out)
    verdict = "done" if status == 0 else "refused" if status == 3 else "failed"
    more = f"; {counted(printing.hidden, 'more line')} with --verbose" if printing.hidden else ""
    print(f"\n{clean(str(place))}: {verdict} in {duration(time.monotonic() - started)}{more}", flush=True)
    if len(set(printing.waiting)) == 1:
        print(f"To send exactly this plan: {clean(again)} --approve {printing.waiting[0]}", flush=True)
    return status


def _client(notebook: Any, place: Path, timeout: int, printing: Printing) -> Any:
    """Return what executes the notebook, in its directory, printing each cell as it goes."""
    import nbclient

    return nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",  # of this Python, whatever the one that the notebook was written with is called
        # Widget state would put what is typed into fields into the file, and dead widgets with it.
        store_widget_state=False,
        # Nor the time of each cell: a notebook that is run again and stored differs in what it shows, and in no more.
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(place.resolve().parent)}},
        on_cell_execute=lambda cell, cell_index: printing.source(cell),  # noqa: ARG005 - nbclient's keyword
        on_cell_executed=lambda cell, cell_index, execute_reply: printing.outputs(cell),  # noqa: ARG005
    )


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


def _checked(press: str | None) -> str | None:
    """Refuse before anything runs what can be no digest."""
    given = (press or "").strip().lower()
    if press is None or given == "press" or re.fullmatch("[0-9a-f]{16}", given):
        return given or None
    hint = " safe is for notebook-do deploy FILE." if given == "safe" else ""
    raise CommandError(f"run: --approve takes the 16 letters and digits that a plan ends with, not {press!r}.{hint}")
