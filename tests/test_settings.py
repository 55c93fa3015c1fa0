"""Settings by their places: an option, `%config Durable`, the environment, pyproject.toml, and no place at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from notebook_do.bridge import bridge
from notebook_do.errors import CommandError
from notebook_do.sessions.opening import current, open_session
from notebook_do.settings import SETTINGS, configured, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER = {
    "stage": ("qa", "uat", "pre", "production"),
    "target": ("cloudflare", "local", "cloudflare", "local"),
    "account": ("a" * 32, "b" * 32, "c" * 32, "d" * 32),
    "state": tuple(f"{place}/{{session}}-{{stage}}.json" for place in "abcd"),
    "lock": ("cas-only", "exclusive", "cas-only", "exclusive"),
    "async_mode": ("nest", "thread", "nest", "thread"),
    "short_errors": (False, True, False, True),
}
"""By setting, what pyproject.toml, the environment, %config and the call say; neighbours differ."""


@pytest.fixture(autouse=True)
def _nothing_configured(home: Path) -> Iterator[None]:
    """Begin and end without `%config`."""
    configured.clear()
    yield
    configured.clear()
    bridge.mode = "thread"


def write(folder: Path, text: str) -> None:
    """Write a project file with our table."""
    (folder / "pyproject.toml").write_text(f"[project]\nname = 'x'\n[tool.notebook_do]\n{text}\n")


@pytest.mark.parametrize("name", [s.name for s in SETTINGS])
def test_the_nearest_place_counts(home: Path, name: str) -> None:
    """Default < pyproject.toml < environment < %config < argument, for every setting; without one, the next counts."""
    project, environment, config, given = OTHER[name]
    default = next(s.default for s in SETTINGS if s.name == name)
    assert settled({}, environ={})[name] == default
    literal = str(project).lower() if isinstance(project, bool) else repr(project)
    write(home, f"{name} = {literal}")
    below = str(home / str(project)) if name == "state" else project
    assert settled({}, environ={})[name] == below
    environ = {f"NOTEBOOK_DO_{name.upper()}": str(environment)}
    assert settled({}, environ=environ)[name] == environment
    configured[name] = config
    assert settled({}, environ=environ)[name] == config
    assert settled({name: given}, environ=environ)[name] == given
    configured[name] = None
    assert settled({}, environ=environ)[name] == environment


def test_the_project_above_a_notebook_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest pyproject.toml counts, and the state files that it places are below it."""
    (home / "notebooks" / "deep").mkdir(parents=True)
    write(home, 'state = "states/{session}/{stage}.json"\nstage = "qa"')
    monkeypatch.chdir(home / "notebooks" / "deep")
    assert open_session("tour").state_path == home / "states" / "tour" / "qa.json"
    write(home / "notebooks", "")
    assert open_session("tour").state_path == home / "notebooks/deep/.notebook_do/tour/dev/state.json"


@pytest.mark.parametrize(
    ("project", "environ", "config", "said"),
    [
        ('target = "moon"', {}, {}, "pyproject.toml, [tool.notebook_do]: target 'moon': known are local, cloudflare"),
        ('lock = "cas_only"', {}, {}, "[tool.notebook_do]: lock 'cas_only': did you mean cas-only?"),
        ("stage = 1", {}, {}, "[tool.notebook_do]: stage must be a text, not 1"),
        ('short_errors = "no"', {}, {}, "[tool.notebook_do]: short_errors must be true or false, not 'no'"),
        ('stge = "dev"', {}, {}, "[tool.notebook_do] has no setting stge; did you mean stage?"),
        ('token = "x"', {}, {}, "[tool.notebook_do] has no setting token; known are stage, target"),
        ("= =", {}, {}, "pyproject.toml cannot be read"),
        ("", {"NOTEBOOK_DO_TARGET": "locl"}, {}, "NOTEBOOK_DO_TARGET: target 'locl': did you mean local?"),
        ("", {"NOTEBOOK_DO_STAGE": " "}, {}, "NOTEBOOK_DO_STAGE: stage must be a text, not ' '"),
        ("", {"NOTEBOOK_DO_STATE": "x.json"}, {}, "NOTEBOOK_DO_STATE: state 'x.json' must hold {session} and {stage}"),
        ("", {"NOTEBOOK_DO_SHORT_ERRORS": "maybe"}, {}, "NOTEBOOK_DO_SHORT_ERRORS: short_errors must be true or false"),
        (
            "",
            {"NOTEBOOK_DO_STGE": "x"},
            {},
            "NOTEBOOK_DO_STGE is not one of notebook_do; did you mean NOTEBOOK_DO_STAGE",
        ),
        ("", {}, {"state": "x"}, "%config Durable.state: state 'x' must hold"),
    ],
)
def test_what_cannot_be_right_names_its_place(
    home: Path, *, project: str, environ: dict[str, str], config: dict[str, str], said: str
) -> None:
    """One line, with the file, the variable or the line of configuration that is to be changed."""
    write(home, project)
    configured.update(config)
    with pytest.raises(CommandError) as error:
        settled({}, environ=environ)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_machines_own_variables_are_no_mistakes(home: Path) -> None:
    """Places and binaries, and the press in advance, are set by variables only."""
    names = ("DATA", "DEPLOY", "WORKERD", "ESBUILD")
    assert settled({}, environ={f"NOTEBOOK_DO_{name}": "x" for name in names})["stage"] == "dev"


def test_a_line_beats_config_beats_the_environment(cloud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a real shell: ipython_config.py and `%config Durable` count, until the extension is unloaded."""
    monkeypatch.setenv("NOTEBOOK_DO_STAGE", "from-env")
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}, "Durable": {"stage": "from-file"}}))
    shell.run_line_magic("load_ext", "notebook_do")

    def stage(line: str) -> str:
        shell.run_cell(line).raise_error()
        return current().stage

    try:
        assert stage("%durable session tour --quiet") == "from-file"
        assert stage("%config Durable.stage = 'from-config'\n%durable session tour --quiet") == "from-config"
        assert stage("%durable session tour --stage from-line --quiet") == "from-line"
        assert stage("%config Durable.stage = None\n%durable session tour --quiet") == "from-env"
        assert stage("%config Durable.async_mode = 'nest'\n%durable session tour --quiet") == "from-env"
        assert bridge.mode == "nest"
        shell.run_cell("%config Durable.stage = 'left over'").raise_error()
    finally:
        shell.run_line_magic("unload_ext", "notebook_do")
    assert bridge.mode == "thread"
    assert open_session("tour").stage == "from-env"


@pytest.mark.parametrize(("name", "value"), [("target", "'moon'"), ("short_errors", "'no'"), ("stage", "1")])
def test_a_wrong_config_is_never_silently_the_value_of_before(
    home: Path, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """IPython only logs what a `%config` line cannot set; here the next line that would use it is refused by name."""
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "notebook_do")
    try:
        shell.run_cell(f"%config Durable.{name} = {value}").raise_error()
        capsys.readouterr()
        with pytest.raises(CommandError, match=f"%config Durable.{name}: {name}"):
            shell.run_cell("%durable session tour --account none").raise_error()
        assert len(capsys.readouterr().out.strip().splitlines()) == 1
        shell.run_cell(f"%config Durable.{name} = None").raise_error()
        assert settled({}, environ={})[name] == next(s.default for s in SETTINGS if s.name == name)
    finally:
        shell.run_line_magic("unload_ext", "notebook_do")


def test_config_describes_every_setting(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`%config Durable` lists each with its choices and its variable."""
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "notebook_do")
    shell.run_cell("%config Durable").raise_error()
    shell.run_line_magic("unload_ext", "notebook_do")
    printed = capsys.readouterr().out
    for setting in SETTINGS:
        assert f"Durable.{setting.name}=" in printed
        assert setting.variable in " ".join(printed.split())
        assert all(choice in printed for choice in setting.choices)
