"""`notebook-do lab`: JupyterLab on a notebook, or on the quickstart."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from notebook_do.errors import CommandError

_QUICKSTART = "quickstart.ipynb"


def lab(notebook: Path | None, *, browser: bool) -> int:
    """Start JupyterLab on a notebook and wait for it."""
    try:
        import jupyterlab  # noqa: F401 - only asked whether it is there
    except ImportError:
        raise CommandError("lab needs JupyterLab: pip install 'notebook-do[lab]'.") from None
    notebook = notebook or _quickstart()
    if not notebook.is_file():
        raise CommandError(f"lab: there is no notebook at {notebook}.")
    folder, name = notebook.resolve().parent, quote(notebook.name)
    places = (f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{name}")
    command = [sys.executable, "-m", "jupyterlab", *places]
    if not browser:
        command.append("--no-browser")
    # JupyterLab refuses to start as root without it, as in a container.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with subprocess.Popen(command) as process:  # noqa: S603 - our own interpreter
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
            return process.wait()


def _quickstart() -> Path:
    """Find the quickstart: here, in the source tree, or the packaged one, of which a copy is made here."""
    here = Path("notebooks") / _QUICKSTART
    package = Path(__file__).parents[1]
    beside = package.parent / "notebooks" / _QUICKSTART
    packaged = package / _QUICKSTART
    if not here.is_file() and beside.is_file():
        return beside
    if not here.is_file() and packaged.is_file():
        here.parent.mkdir(exist_ok=True)
        shutil.copyfile(packaged, here)
    return here
