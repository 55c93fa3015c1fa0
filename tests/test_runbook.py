"""The runbook of notebooks/: planned by one run, read by a person, sent by a second one that has its digest."""

from __future__ import annotations

import difflib
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_notebooks import NOTEBOOKS, run, sent  # noqa: F401 - a fixture

from notebook_do.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

RUNBOOK = NOTEBOOKS / "incident.ipynb"


@pytest.fixture
def runbook(cloud: Path) -> Path:
    """Copy the runbook to where its state file may be written, without outputs."""
    place = Path(shutil.copy(RUNBOOK, cloud / "incident.ipynb"))
    book = json.loads(place.read_text())
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    place.write_text(json.dumps(book))
    return place


def cells(place: Path) -> list[dict[str, Any]]:
    """Return the code cells of a stored notebook."""
    return [cell for cell in json.loads(place.read_text())["cells"] if cell["cell_type"] == "code"]


def changed(before: str, after: str) -> list[str]:
    """Return the lines of a stored notebook that a diff marks."""
    old, new = before.splitlines(), after.splitlines()
    found = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [line for tag, a, b, c, d in found if tag != "equal" for line in (*old[a:b], *new[c:d])]


def test_the_runbook_has_no_python_but_its_parameters() -> None:
    """Issue 16.10: session, stage, what it changes and the approval are parameters; every other cell is of magics."""
    first, *others = cells(RUNBOOK)
    assert first["metadata"]["tags"] == ["parameters"]
    assert re.findall(r"^(\w+) = ", "".join(first["source"]), re.MULTILINE) == ["session", "stage", "limit", "approve"]
    for cell in others:
        lines = cell["source"]
        assert lines[0].startswith("%%durable") or all(line.startswith("%") for line in lines), lines


@pytest.mark.thorough
def test_the_second_run_sends_what_the_first_one_showed_and_is_a_small_diff(
    runbook: Path,
    sent: Callable[[], list[str]],  # noqa: F811
) -> None:
    """Issue 16.10: run again, the time of the check is another line; sent, deploy and check show what they did."""
    stored = runbook.with_name("stored.ipynb")
    first = run(runbook, "-p", "limit", "5", "--out", str(stored))
    assert first.returncode == 0, first.stdout + first.stderr
    before = stored.read_text()
    again = first.stdout.splitlines()[-1]
    digest = again.rpartition(" --approve ")[2]
    assert again == (
        f"To send exactly this plan: notebook-do run {runbook} -p limit 5 --out {stored} --approve {digest}"
    )
    assert run(stored, "-p", "limit", "5", "--out", str(stored)).returncode == 0
    planned = changed(before, before := stored.read_text())
    # How long the check took, in both forms.
    assert len(planned) <= 4, planned
    assert all(re.search(r"\d ms", line) for line in planned), planned
    assert sent() == []

    done = run(stored, "-p", "limit", "5", "--approve", digest, "--out", str(stored))
    assert done.returncode == 0, done.stdout + done.stderr
    record = changed(before, stored.read_text())
    assert len(record) <= 40, record
    assert sum("PUT " in line for line in sent()) >= 1
    assert f"plan {digest[:8]}." in stored.read_text()
    assert '"execution"' not in stored.read_text(), "no times of cells"
    same = [old["outputs"] == new["outputs"] for old, new in zip(cells_of(before), cells(stored), strict=True)]
    assert same == [True, True, True, True, False, False], "only the deploy and the check show something else"


def cells_of(text: str) -> list[dict[str, Any]]:
    """Return the code cells of the text of a notebook."""
    return [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]


@pytest.mark.thorough
def test_another_plan_than_the_approved_one_is_not_sent(
    runbook: Path,
    sent: Callable[[], list[str]],  # noqa: F811
) -> None:
    """Issue 16.10: with a wrong or an old digest the run stops with status 3 and says how the plan of now is sent."""
    wrong = "0123456789012345"
    done = run(runbook, "--approve", wrong)
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"the approved plan {wrong} is not the plan as it is now; nothing was sent" in done.stdout
    assert "Plan for dev on local: 5 changes" in done.stdout
    assert re.search(r"\nTo send exactly this plan: notebook-do run \S+ --approve (?!0123)[0-9a-f]{16}\n$", done.stdout)
    assert sent() == []


def test_what_is_no_digest_is_wrong_usage(runbook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`run --approve` refuses it before a kernel is started; `safe` is for plans that no person reads."""
    for given, said in (
        ("12345678", "takes the 16 letters and digits"),
        ("safe", "safe is for notebook-do deploy FILE"),
    ):
        assert main(["run", str(runbook), "--approve", given]) == 2
        assert said in capsys.readouterr().err
