"""What a person set for all sessions: by `%config Durable.*`, else in the environment, else in pyproject.toml.

One table says which settings there are. An option on the line or an argument is stronger than all of these; a value
that cannot be right is an error that names the place where it was set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_do.errors import CommandError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = str | bool | None
PREFIX = "NOTEBOOK_DO_"
STATE_PATTERN = ".notebook_do/{session}/{stage}/state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting; `choices` are its only values, and one whose `default` is a bool is on or off."""

    name: str
    default: Value
    help: str
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()


SETTINGS = (
    Setting(name="stage", default="dev", help="the stage of a session that is opened without one"),
    Setting(
        name="target", default="local", choices=("local", "cloudflare"), help="the target of a session without one"
    ),
    Setting(name="account", default=None, help="the Cloudflare account id, when the token reaches several"),
    Setting(name="state", default=STATE_PATTERN, help="where state files are: a path with {session} and {stage} in it"),
    Setting(
        name="lock",
        default="exclusive",
        choices=("exclusive", "cas-only"),
        help="cas-only: deploy even where file locks exclude nobody",
    ),
    Setting(
        name="async_mode",
        default="thread",
        choices=("thread", "nest"),
        help="how coroutines run: on a background thread, or on the cell's own loop with nest_asyncio",
    ),
    Setting(name="short_errors", default=True, help="show expected errors as one line; false adds the traceback"),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
VARIABLES = {
    "DATA": "the directory of the local Cloudflare's data",
    "KEYS": "the directory of the keys that mark secrets and sign calls, to share between machines",
    "INSPECT_KEY": "the key of an inspector on Cloudflare that somebody else deployed",
    "PROXY": "an HTTP proxy for Cloudflare's API; no other proxy variable is heard",
    "WORKERD": "a workerd to use instead of the pinned one",
    "ESBUILD": "an esbuild to use instead of the pinned one",
    "DEPLOY": "`press` approves plans that delete nothing, a digest the plan that has it, for one headless run",
}
"""Variables that are no settings: places and binaries of this machine, and the press in advance for one run."""
_SWITCH = {**dict.fromkeys(("1", "true", "yes", "on"), True), **dict.fromkeys(("0", "false", "no", "off"), False)}

configured: dict[str, Value] = {}
"""What `%config Durable.*` says now; empty without IPython."""


def settled(given: Mapping[str, Any], *, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the value of every setting: of `given` (None is not given), else of the nearest place that sets it.

    A relative `state` is below the directory of the pyproject.toml that sets it, else below this one. Raises
    CommandError naming the place of a value, or of a name, that cannot be right.
    """
    environ = os.environ if environ is None else environ
    file, table = _pyproject(Path.cwd())
    # Names first, so that a misspelt setting is an error and not silently the default.
    _check_names(environ, file, table)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        name = setting.name
        if given.get(name) is not None:
            values[name] = _checked(setting, given[name], "")
        elif configured.get(name) is not None:
            values[name] = _checked(setting, configured[name], f"%config Durable.{name}")
        elif setting.variable in environ:
            text = environ[setting.variable]
            # What is no word for on or off stays a text, which the check refuses with its place.
            switched = _SWITCH.get(text.lower(), text) if isinstance(setting.default, bool) else text
            values[name] = _checked(setting, switched, setting.variable)
        elif name in table:
            values[name] = _checked(setting, table[name], f"{file}, [tool.notebook_do]")
            # A project says where its states are, from whichever directory a notebook of it is run.
            values[name] = str(file.parent / values[name]) if name == "state" else values[name]
        else:
            values[name] = setting.default
    return values


def in_advance(said: str | None) -> tuple[bool, str]:
    """Return what a headless run was given for its deploys: whether each is pressed, and the digest of the only one."""
    return said == "press", "" if said in {None, "press"} else str(said).strip().lower()


def _checked(setting: Setting, value: Any, place: str) -> Any:
    """Return a value that its setting can have; raises CommandError that says where a wrong one was set."""
    said = f"{place}: " if place else ""
    if isinstance(setting.default, bool):
        if not isinstance(value, bool):
            raise CommandError(f"{said}{setting.name} must be true or false, not {value!r}.")
    elif not isinstance(value, str) or not value.strip():
        raise CommandError(f"{said}{setting.name} must be a text, not {value!r}.")
    if setting.choices and value not in setting.choices:
        raise CommandError(f"{said}{setting.name} {value!r}: {nearest(str(value), setting.choices)}")
    if setting.name == "state" and place and not ("{session}" in value and "{stage}" in value):
        raise CommandError(
            f"{said}state {value!r} must hold {{session}} and {{stage}}, or two sessions would share one file."
        )
    return value


def _check_names(environ: Mapping[str, str], file: Path, table: Mapping[str, Any]) -> None:
    """Refuse a name that is no setting in our table, and one that was probably meant as ours in the environment."""
    for name in table:
        if name not in BY_NAME:
            raise CommandError(f"{file}: [tool.notebook_do] has no setting {name}; {nearest(name, list(BY_NAME))}")
    known = {s.variable for s in SETTINGS} | {PREFIX + name for name in VARIABLES}
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            near = nearest(name, sorted(known))
            raise CommandError(f"the environment variable {name} is not one of notebook_do; {near}")


def _pyproject(directory: Path) -> tuple[Path, dict[str, Any]]:
    """Find the nearest pyproject.toml, from `directory` upwards, and its `[tool.notebook_do]`."""
    file = next((f for d in (directory, *directory.parents) if (f := d / "pyproject.toml").is_file()), None)
    if file is None:
        return directory, {}
    import tomllib

    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("notebook_do", {})
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from None
    if not isinstance(table, dict):
        raise CommandError(f"{file}: [tool.notebook_do] must be a table.")
    return file, table
