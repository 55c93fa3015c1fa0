"""`notebook-do import --wrangler PATH`: a project as cells, printed or in a notebook; there is no FILE."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from notebook_do.cli import main
from notebook_do.interchange import project_files
from notebook_do.interchange.configuration import read_configuration

if TYPE_CHECKING:
    from pathlib import Path

CODE = "export default { fetch: () => new Response('hello') };\n"


@pytest.fixture
def project(cloud: Path) -> Path:
    """Write a project with an environment."""
    folder = cloud / "my app"
    folder.mkdir()
    (folder / "index.js").write_text(CODE)
    config = {
        "name": "api",
        "main": "index.js",
        "compatibility_date": "2026-06-01",
        "dev": {"port": 1},
        "env": {"staging": {"vars": {"A": "s"}}},
    }
    (folder / "wrangler.jsonc").write_text(json.dumps(config))
    return folder


def test_the_cells_are_printed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The session is called like the folder; what a person should know stands below as comments."""
    assert main(["import", "--wrangler", str(project)]) == 0
    first, worker, end, notes = capsys.readouterr().out.split("\n\n")
    assert first == "# --- cell 1 of 2 ---\n%durable session my-app --stage production"
    assert worker == (
        "# --- cell 2 of 2 ---\n%durable worker api --name api --entrypoint 'my app/index.js' --compat-date 2026-06-01"
    )
    assert end == "# --- end of the cells ---"
    lines = notes.splitlines()
    assert all(line.startswith("# ") for line in lines)
    assert "# Worker api: only wrangler itself reads dev; left out." in lines


def test_an_environment_and_a_session_are_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--env` gives the stage, `--session` the name; `--json` is for scripts."""
    words = ["import", "--wrangler", str(project), "--env", "staging", "--session", "book", "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["cells"][0] == "%durable session book --stage staging"
    assert "--name api-staging --var A=s" in said["cells"][1]
    assert said["files"] == []
    assert main([*words[:-1], "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_project_is_read_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name and the stage of the session are of what is imported, and not of another reading of it."""
    read: list[str] = []

    def noted(place: str, content: bytes) -> dict[str, Any]:
        read.append(place)
        return read_configuration(place, content)

    monkeypatch.setattr(project_files, "read_configuration", noted)
    assert main(["import", "--wrangler", str(project)]) == 0
    assert read == ["my app/wrangler.jsonc"]


def test_a_notebook_is_written_and_plans(
    project: Path, cloud: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths are relative to where it lies, its state file is beside it, and the command line plans it."""
    (cloud / "books").mkdir()
    monkeypatch.chdir(project)
    out = cloud / "books" / "app.ipynb"
    assert main(["import", "--wrangler", "--out", str(out)]) == 0
    assert "app.ipynb: 2 cells" in capsys.readouterr().out
    book: Any = nbformat.read(out, as_version=4)
    nbformat.validate(book)
    sources = [cell.source for cell in book.cells if cell.cell_type == "code"]
    assert sources[:2] == ["%load_ext notebook_do", "%durable session my-app --stage production"]
    assert "--entrypoint '../my app/index.js'" in sources[2]
    assert "only wrangler itself reads dev" in book.cells[0].source
    assert main(["plan", str(out), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert "Worker api is created." in {change["detail"] for change in plan["changes"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import"], "give a FILE, or --wrangler PATH"),
        (["import", "book.ipynb", "--wrangler", "."], "--wrangler takes no FILE"),
        (["import", "--wrangler", ".", "--out", "x.txt"], "--out x.txt: name a notebook"),
        (["import", "--wrangler", ".", "--out", "no/x.ipynb"], "there is no directory"),
        (["import", "--wrangler", ".", "--out", "there.ipynb"], "there.ipynb is there already"),
        (["import", "--wrangler", "gone"], "there is no file or folder gone"),
        (["import", "--wrangler", ".", "--env", "stagin"], "there is no environment stagin; did you mean staging"),
        (["import", "--wrangler", ".", "--stage", "dev", "--env", "staging"], "is not imported into stage dev"),
        (["import", "book.ipynb", "--env", "staging"], "--env is for a wrangler project; add --wrangler PATH"),
        (["import", "--wrangler", ".", "--from-account"], "--wrangler takes a project whole"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    project: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status is 2, and nothing is written."""
    monkeypatch.chdir(project)
    (project / "there.ipynb").write_text("{}")
    before = sorted(project.iterdir())
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert sorted(project.iterdir()) == before
