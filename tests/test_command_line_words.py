"""What the command line says of mistakes, and the lines that it offers: as a shell has them, with the nearest word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import notebook_do as nd
from notebook_do.cli import main
from notebook_do.notebook.verbs.topics import page_of
from notebook_do.notebook.views.in_shell import in_shell

if TYPE_CHECKING:
    from pathlib import Path

TOML = """
[namespaces.counter]
class_name = "Counter"

[workers.api]
bindings.COUNTER = {namespace = "counter"}
script = "export class Counter {}; export default { fetch() { return new Response('1'); } }"
"""


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command; give its exit status and what it printed, on both sides."""
    status = main(list(words))
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pln", "shop.ipynb"], 'notebook-do: unknown command "pln", did you mean "plan"?'),
        (["statsu"], 'notebook-do: unknown command "statsu", did you mean "status"?'),
        (["namespace", "counter"], "notebook-do: namespace is a line of a notebook: %durable namespace ID [options]"),
        (["run", "a.ipynb", "--depoly"], 'notebook-do: run: unknown option "--depoly", did you mean "--deploy"?'),
        (["local", "--strct"], 'notebook-do: local: unknown option "--strct", did you mean "--strict"?'),
        (["local", "--start"], 'notebook-do: local: unknown option "--start", did you mean "start"?'),
        (["run", "a.ipynb", "--stage", "dev"], 'run: unknown option "--stage"; it is an option of session.'),
        (["run", "a.ipynb", "--limits=1"], "it is said where something is declared: --setting limits=JSON."),
        (["help", "plna"], 'notebook-do: help: there is no command or topic "plna", did you mean "plan"?'),
        (["plan", "a.toml", "--refrsh"], '%durable plan: unknown option "--refrsh", did you mean "--refresh"?'),
        (["plan", "a.toml", "--sesion", "x"], '%durable plan: unknown option "--sesion", did you mean "--session"?'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_unknown_command_or_option_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    """Issue 16: wrong usage has status 2 and one line, with what may be meant."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text(TOML)
    status, out, error = said(capsys, *words)
    assert (status, out) == (2, "")
    assert error.count("\n") == 1
    # A verb's own words are those of the magic, but for the command.
    assert told in error or told.replace("%durable plan", "notebook-do plan a.toml") in error


@pytest.mark.parametrize(
    ("words", "same"), [(["help"], ["--help"]), (["help", "plan"], ["plan", "-h"]), (["help", "run"], ["run", "-h"])]
)
def test_help_is_what_the_option_says(capsys: pytest.CaptureFixture[str], words: list[str], same: list[str]) -> None:
    """`notebook-do help` and `help COMMAND` print what `--help` does, and end well."""
    told = []
    for line in (words, same):
        with pytest.raises(SystemExit) as ended:
            main(line)
        assert not ended.value.code
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] != ""


def test_help_has_the_topics_and_what_only_a_notebook_has(capsys: pytest.CaptureFixture[str]) -> None:
    """The page of a topic, and the usage of a line that only a cell can have."""
    assert said(capsys, "help", "plans")[:2] == (0, f"{page_of('plans')}\n")
    status, out, _ = said(capsys, "help", "worker")
    assert status == 0
    assert out.startswith("%durable worker ID [options]")


def test_in_a_shell_the_lines_are_those_of_the_shell(
    cloud: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 16: what comes next is `notebook-do deploy FILE`, wherever the command line has that verb."""
    monkeypatch.chdir(cloud)
    (cloud / "shop.toml").write_text(TOML)
    status, out, _ = said(capsys, "plan", "shop.toml")
    assert status == 0
    assert re.search(r"plan [0-9a-f]{16} · next: notebook-do deploy shop\.toml$", out.strip())
    status, out, _ = said(capsys, "status", "shop.toml")
    assert status == 0
    assert "notebook-do deploy shop.toml" in out
    assert "%durable deploy" not in out
    status, out, _ = said(capsys, "deploy", "shop.toml")
    assert status == 3
    assert re.search(r"To send exactly this plan:\s+notebook-do deploy shop\.toml --approve [0-9a-f]{16}", out)
    assert said(capsys, "deploy", "shop.toml", "--approve", "safe")[0] == 0
    nd.current().close()
    status, out, error = said(capsys, "destroy", "shop.toml", "counter")
    assert status == 3
    assert "then: notebook-do destroy shop.toml counter" in out
    refused = "is protected against destroy"
    assert (out.count(refused), error.count(refused)) == (1, 0)
    assert "nothing was sent: what is yours to decide stands in the plan above: counter (protected)" in error


def test_an_error_offers_a_line_that_opens_the_same_session(
    cloud: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 16: FILE, and the session, stage and parameters that were given, so that the line can be pasted."""
    monkeypatch.chdir(cloud)
    (cloud / "my shop.toml").write_text(TOML)
    given = ("my shop.toml", "--session", "other", "--stage", "try")
    status, _, error = said(capsys, "fetch", *given, "api", "/")
    assert status == 2
    assert "first: notebook-do deploy 'my shop.toml' --session other --stage try\n" in error


def test_only_lines_of_verbs_that_the_shell_has_are_rewritten() -> None:
    """What declares belongs into a notebook; outside of a command nothing is rewritten."""
    text = "run %durable namespace counter --class C, then %durable plan --json; %%durable worker api"
    assert in_shell(text) == text
    assert in_shell(text, "a.toml --stage p") == (
        "run %durable namespace counter --class C, then notebook-do plan a.toml --stage p --json; %%durable worker api"
    )
