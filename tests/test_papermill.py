"""Runbooks with papermill, as teams run them: parameters in, one executed notebook out, errors stop the run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from papermill import PapermillExecutionError, execute_notebook

RUNBOOK = Path(__file__).parent.parent / "notebooks" / "incident.ipynb"
SECRET = "canary-5f1c9e0a7b"
PAPERMILL = """import sys
sys.modules["rfc3987_syntax"] = None  # see conftest.py
from papermill.__main__ import papermill
papermill()
"""
"""What `python -m papermill` does, without three seconds for what no notebook needs."""


def execute(notebook: Path, out: Path, **parameters: object) -> None:
    """Let papermill run a notebook with these parameters. Raise PapermillExecutionError where a cell fails."""
    execute_notebook(str(notebook), str(out), parameters=parameters, cwd=str(out.parent), progress_bar=False)


@pytest.fixture
def runbook(cloud: Path) -> Path:
    """Copy the incident runbook to where its state file may be written."""
    return Path(shutil.copy(RUNBOOK, cloud / "incident.ipynb"))


def shown(notebook: Path) -> str:
    """Give the text of all outputs."""
    outputs = [o for cell in json.loads(notebook.read_text())["cells"] for o in cell.get("outputs", [])]
    return "\n".join("".join(o.get("data", {}).get("text/plain", o.get("text", ""))) for o in outputs)


def test_a_runbook_changes_nothing_until_it_is_approved(runbook: Path, cloud: Path) -> None:
    """With a parameter the plan is another one; nothing is sent, and how to approve it is said."""
    out = cloud / "out.ipynb"
    execute(runbook, out, limit=7, session="outage")
    said = shown(out)
    assert "session: outage" in said
    assert "--approve" in said
    assert "= Nothing was asked: Worker gate is not deployed yet. Plan " in said
    assert not list(cloud.rglob("state.json"))


@pytest.mark.thorough
def test_an_approved_digest_deploys_that_plan(runbook: Path, cloud: Path) -> None:
    """The digest that a first run printed, given as a parameter, approves exactly that plan; no cell is edited."""
    first, second = cloud / "first.ipynb", cloud / "second.ipynb"
    execute(runbook, first, limit=0)
    digest = shown(first).partition("--approve ")[2].split()[0]
    execute(runbook, second, limit=0, approve=digest)
    assert "429 Too Many Requests" in shown(second), "the parameter took effect"
    assert "✓ Deployed " in shown(second), "the record is in the notebook that papermill writes"
    assert "~ Not deployed: nobody can press a button here. Nothing was sent." in shown(first)
    with pytest.raises(PapermillExecutionError, match=f"the approved plan {digest} is not the plan as it is now"):
        execute(runbook, cloud / "third.ipynb", limit=3, approve=digest)


def test_a_refused_plan_stops_the_run_without_telling_a_secret(runbook: Path, cloud: Path) -> None:
    """A mistake in a cell ends papermill with its one line; the secret in the environment is in no file and no log."""
    book = json.loads(runbook.read_text())
    body = 'export default { fetch: () => new Response("x") }'
    for source in (f"%%durable worker vault --secret CANARY --bind NOWHERE=nothing\n{body}", "%durable plan"):
        cell = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        book["cells"].append({**cell, "id": f"added-{len(book['cells'])}"})
    runbook.write_text(json.dumps(book))
    out = cloud / "out.ipynb"
    command = [sys.executable, "-c", PAPERMILL, str(runbook), str(out), "--log-output"]
    env = {**os.environ, "CANARY": SECRET}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=cloud, env=env)
    assert done.returncode != 0
    assert "nothing" in done.stderr
    for where in (done.stdout, done.stderr, out.read_text()):
        assert SECRET not in where
