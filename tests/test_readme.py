"""README and the reference pages: every code block runs as it is printed, and what they name is there."""

from __future__ import annotations

import doctest
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from sharing import COUNTER

import notebook_do as nd
from notebook_do.notebook.topics import TOPICS, page
from notebook_do.settings import SETTINGS, VARIABLES, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


class Block(NamedTuple):
    """One fenced block: its language and its text."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text, in order."""
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


@pytest.fixture
def shell(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """Give a real shell in an empty directory, in which Deploy is pressed in advance."""
    monkeypatch.setenv("NOTEBOOK_DO_DEPLOY", "press")
    shell = InteractiveShell()
    yield shell
    shell.run_line_magic("unload_ext", "notebook_do")
    shell.history_manager.end_session()


def test_the_twenty_lines_run_as_printed(shell: InteractiveShell) -> None:
    """The cells of README in their order, and then the same in plain Python, which goes on counting."""
    cells = [block.text for block in blocks(README) if block.language in {"python", "javascript"}]
    *magics, plain = cells
    counted = []
    for cell in (*magics, magics[-1], magics[-1]):
        done = shell.run_cell(cell)
        done.raise_error()
        if cell is magics[-1]:
            counted.append(done.result.text)
    assert counted == ["1", "2", "3"]
    source = next(cell for cell in magics if cell.startswith("%%durable worker")).partition("\n")[2]
    shell.user_ns["SOURCE"] = source
    done = shell.run_cell(plain)
    done.raise_error()
    assert f'"{done.result}"' == plain.rstrip().rpartition("# ")[2]


def test_both_forms_are_twenty_lines() -> None:
    """What a newcomer types is short."""
    typed = [
        line
        for block in blocks(README)
        if block.language in {"python", "javascript"}
        for line in block.text.split("\n")
    ]
    assert len([line for line in typed if line.strip()]) <= 30


def test_readme_is_short() -> None:
    """A person reads the page in a few minutes: at most 700 words beside the code."""
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    assert len(prose.split()) <= 700


def test_the_test_command_is_that_of_ci() -> None:
    """README's test command is what `.ci/run` runs; it is not run from within itself."""
    ours = next(block.text for block in blocks(README) if "pytest" in block.text)
    install, run = re.findall(r"\.venv/bin/(pip install -q -e '[^']*'|pytest [^\n]*)", ours)
    ci = (ROOT / ".ci" / "run").read_text()
    assert run.removeprefix("pytest ") in ci
    assert re.search(r"'[^']*'", install)[0] in ci  # type: ignore[index]


@pytest.mark.thorough
def test_the_first_command_runs_from_a_clean_clone(tmp_path: Path) -> None:
    """The command that sets everything up and runs the quickstart, as printed, in a clone of its own."""
    command = next(block.text for block in blocks(README) if "quickstart" in block.text)
    clone = tmp_path / "clone"
    if (ROOT / ".git").exists():
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True, capture_output=True)
    else:
        shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".venv", ".*_cache", "__pycache__"))
    done = subprocess.run(["sh", "-c", command], cwd=clone, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "200 OK" in done.stdout


def test_what_readme_links_to_is_there() -> None:
    """Every file that README or a page names is in the repository, and every notebook is named by README."""
    linked = re.findall(r"\]\(([^)#]+)\)", README)
    assert [link for link in linked if not link.startswith("http") and not (ROOT / link).exists()] == []
    assert {f"notebooks/{p.name}" for p in (ROOT / "notebooks").glob("*.ipynb")} <= set(linked)
    for name in re.findall(r"`((?:tests|notebook_do|\.ci)/[\w./]*)`", README):
        assert (ROOT / name).exists(), name


def test_every_topic_has_a_page_that_readme_names() -> None:
    """A page for each topic, no page without one; lines that a terminal shows."""
    assert {path.stem for path in (ROOT / "notebook_do" / "notebook" / "pages").glob("*.md")} == set(TOPICS)
    for topic in TOPICS:
        assert f"`{topic}`" in README
        text = page(topic)
        assert text.startswith("# ")
        assert [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")] == []
        assert not re.search(r"\{(settings|variables)\}", text)


def test_the_settings_of_the_page_are_valid(home: Path) -> None:
    """The table of the settings page is one that a pyproject.toml can hold, with every setting and its default."""
    text = next(block.text for block in blocks(page("settings")) if block.language == "toml")
    table = tomllib.loads(text)["tool"]["notebook_do"]
    assert list(table) == [setting.name for setting in SETTINGS]
    Path("pyproject.toml").write_text(text)
    found = settled({}, environ={})
    assert {k: v for k, v in found.items() if k not in {"account", "state"}} == {
        s.name: s.default for s in SETTINGS if s.name not in {"account", "state"}
    }
    assert all(f"NOTEBOOK_DO_{name}" in page("settings") for name in VARIABLES)


def test_the_secrets_of_the_page_are_declared_as_printed(shell: InteractiveShell) -> None:
    """Each way to name a secret declares the same from an option, from Python and from TOML."""
    shell.run_line_magic("load_ext", "notebook_do")
    nd.session("secrets")
    rows = re.findall(r"^\| \w[^|]*\| `(--secret[^`]*)` \| `([^`]*)` \| `([^`]*)` \|$", page("secrets"), re.MULTILINE)
    assert len(rows) == 3
    for option, python, toml in rows:
        of_line = shell.run_cell_magic("durable", f"worker a {option}", "export default {};")
        of_toml = shell.run_cell_magic(
            "durable", "", f'[workers.a]\nscript = "export default {{}};"\nbindings.KEY = {toml}\n'
        )
        of_python = eval(python, {"nd": nd})
        assert of_line.bindings["KEY"] == of_toml.bindings["KEY"] == of_python


ROOM = """import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS messages (author, text)");
  }
  post(author, text) { this.ctx.storage.sql.exec("INSERT INTO messages VALUES (?, ?)", author, text); }
  messages() { return this.ctx.storage.sql.exec("SELECT * FROM messages").toArray(); }
}
export default { fetch: () => new Response("chat") };
"""


def test_the_objects_page_runs_as_printed(shell: InteractiveShell) -> None:
    """Its lines call, look, change, keep, map and read logs of a room that is there."""
    session = nd.session("page")
    nd.Worker("chat", script=ROOM, bindings={"ROOMS": nd.DurableObjectNamespace("rooms", class_name="Room")})
    session.deploy(session.plan())
    session.object("rooms", "kitchen").post("ada", "hello")
    rows = pd.DataFrame({"room": ["kitchen", "attic"], "author": ["lin", "lin"], "text": ["a", "b"]})
    shell.user_ns.update(session=session, df=rows)
    (block,) = [block for block in blocks(page("objects")) if block.language == "python"]
    done = shell.run_cell(block.text)
    done.raise_error()
    assert Path("kitchen.ndsnap").exists()
    assert sorted(session.query("rooms", "SELECT author FROM messages")["author"]) == ["ada", "lin", "lin"]
    assert session.values("rooms", object="kitchen")["value"].tolist() == [1]


def test_the_package_docstring_runs_as_printed(cloud: Path) -> None:
    """The lines of `help(notebook_do)`, and of every other docstring that has such lines."""
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner()
    found = [test for test in finder.find(nd, "notebook_do", globs={"SOURCE": COUNTER}) if test.examples]
    assert found
    for test in found:
        assert runner.run(test).failed == 0
