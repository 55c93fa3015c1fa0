"""Runbooks with papermill, as teams run them: parameters in, one executed notebook out, errors stop the run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUNBOOK = Path(__file__).parent.parent / "notebooks" / "incident.ipynb"
SECRET = "canary-5f1c9e0a7b"


def papermill(notebook: Path, out: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run papermill's own command."""
    command = [sys.executable, "-m", "papermill", str(notebook), str(out), "--log-output", *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=out.parent, env={**os.environ, **env}
    )


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
    done = papermill(runbook, out, "-p", "limit", "7", "-p", "session", "outage")
    assert done.returncode == 0, done.stdout + done.stderr
    said = shown(out)
    assert "session: outage" in said
    assert "--approve" in said
    assert "gate is not deployed: nothing was approved" in said
    assert not list(cloud.rglob("state.json"))


def test_an_approved_digest_deploys_that_plan(runbook: Path, cloud: Path) -> None:
    """The digest that a first run printed approves exactly that plan in a second one; the parameter took effect."""
    first, second = cloud / "first.ipynb", cloud / "second.ipynb"
    assert papermill(runbook, first, "-p", "limit", "2").returncode == 0
    digest = shown(first).partition("--approve ")[2].split()[0]
    book = json.loads(runbook.read_text())
    for cell in book["cells"]:
        if "".join(cell["source"]) == "%durable deploy":
            cell["source"] = f"%durable deploy --approve {digest}"
    runbook.write_text(json.dumps(book))
    done = papermill(runbook, second, "-p", "limit", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gate answers [200, 200, 429]" in shown(second)
    stale = papermill(runbook, cloud / "third.ipynb", "-p", "limit", "3")
    assert stale.returncode != 0, "an approval of another plan stops the run"
    assert f"{digest}" in stale.stdout + stale.stderr


def test_a_refused_plan_stops_the_run_without_telling_a_secret(runbook: Path, cloud: Path) -> None:
    """A mistake in a cell ends papermill with its one line; the secret in the environment is in no file and no log."""
    book = json.loads(runbook.read_text())
    body = 'export default { fetch: () => new Response("x") }'
    for source in (f"%%durable worker vault --secret CANARY --bind NOWHERE=nothing\n{body}", "%durable plan"):
        cell = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        book["cells"].append({**cell, "id": f"added-{len(book['cells'])}"})
    runbook.write_text(json.dumps(book))
    out = cloud / "out.ipynb"
    done = papermill(runbook, out, CANARY=SECRET)
    assert done.returncode != 0
    assert "nothing" in done.stderr
    for where in (done.stdout, done.stderr, out.read_text()):
        assert SECRET not in where
