"""Every notebook of notebooks/ runs headless, from a fresh kernel, against the local Cloudflare."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def run(notebook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `notebook-do run` in a process of its own."""
    command = [sys.executable, "-m", "notebook_do.cli", "run", str(notebook), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ))


@pytest.fixture
def copies(cloud: Path) -> Path:
    """Copy the notebooks to where their state files may be written."""
    shutil.copytree(NOTEBOOKS, cloud / "notebooks", ignore=shutil.ignore_patterns(".*"))
    return cloud / "notebooks"


@pytest.mark.parametrize("name", sorted(p.name for p in NOTEBOOKS.glob("*.ipynb")))
def test_runs_headless(copies: Path, name: str) -> None:
    """With the explicit press, the notebook runs to its end."""
    done = run(copies / name, "--deploy")
    assert done.returncode == 0, done.stdout + done.stderr


def test_quickstart_counts_on_through_a_rename(copies: Path) -> None:
    """The quickstart's counter answers 1, 2, then 3 after the class was renamed, then 4 through a second Worker."""
    out = copies / "executed.ipynb"
    assert run(copies / "quickstart.ipynb", "--deploy", "--out", str(out)).returncode == 0
    answers = [
        line
        for cell in json.loads(out.read_text())["cells"]
        if "fetch" in "".join(cell["source"]) and cell["cell_type"] == "code"
        for output in cell["outputs"]
        for line in "".join(output.get("data", {}).get("text/plain", "")).splitlines()
        if line.strip() in {"1", "2", "3", "reader says 4"}
    ]
    assert [line.strip() for line in answers] == ["1", "2", "3", "reader says 4"]


def test_run_all_without_the_press_sends_nothing(copies: Path) -> None:
    """Without --deploy the same notebook deploys nothing, and says how to approve the plan."""
    out = copies / "executed.ipynb"
    run(copies / "quickstart.ipynb", "--out", str(out))
    assert "--approve" in out.read_text()
    assert not (copies / ".notebook_do" / "tour" / "dev" / "state.json").exists()


def test_quickstart_is_stored_with_its_outputs() -> None:
    """The stored quickstart shows what a reader will get, without errors."""
    cells = [c for c in json.loads((NOTEBOOKS / "quickstart.ipynb").read_text())["cells"] if c["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert len(outputs) >= 12
    assert all(output["output_type"] != "error" for output in outputs)
    assert str(Path.home()) not in json.dumps(outputs)


def test_parameters_are_injected(home: Path) -> None:
    """`-p NAME VALUE` puts the value after the cell tagged `parameters`; JSON values keep their type."""
    notebook = home / "n.ipynb"
    cells = [
        {"cell_type": "code", "source": "n = 1", "metadata": {"tags": ["parameters"]}},
        {"cell_type": "code", "source": "print(n + 1, name)", "metadata": {}},
    ]
    for i, cell in enumerate(cells):
        cell.update(id=f"c{i}", execution_count=None, outputs=[])
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    done = run(notebook, "-p", "n", "41", "-p", "name", "ada")
    assert "42 ada" in done.stdout, done.stdout + done.stderr


def test_a_failing_cell_fails_the_run(home: Path) -> None:
    """An error in a cell stops the run with status 1; a missing notebook is wrong usage, status 2."""
    notebook = home / "n.ipynb"
    cell = {"cell_type": "code", "source": "1 / 0", "metadata": {}, "id": "c", "execution_count": None, "outputs": []}
    notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert run(notebook).returncode == 1
    assert run(home / "nowhere.ipynb").returncode == 2
