"""The reference pages of `%durable help TOPIC`: texts beside this file, with the tables that the code itself uses."""

from __future__ import annotations

import json
from pathlib import Path

from notebook_do.display import wrap
from notebook_do.settings import PREFIX, SETTINGS, VARIABLES

TOPICS = {
    "plans": "what a plan says and reads",
    "objects": "call, query, change, map, logs",
    "settings": "%config, variables, pyproject",
    "secrets": "where their values come from",
    "command-line": "notebook-do, without a kernel",
    "local": "what is served, or only kept",
    "wrangler": "projects in and out",
    "cloudflare": "the token, its permissions",
}
"""Each page that is a text beside this file, and what it is about."""
OF_TABLES = {
    "bindings": "what a Worker binds, and how",
    "toml": "the keys of a %%durable cell",
}
"""Each page that is a table and little more."""
ALL = {**OF_TABLES, **TOPICS}
"""Each topic and what it is about."""


def page(topic: str) -> str:
    """Return the page of a topic, as Markdown."""
    text = (Path(__file__).parent / "pages" / f"{topic}.md").read_text(encoding="utf-8")
    return text.replace("{settings}", _settings()).replace("{variables}", _variables()).rstrip("\n")


def _settings() -> str:
    """Write a pyproject.toml with every setting as it is by default, and what it means."""
    lines = ["[tool.notebook_do]"]
    for setting in SETTINGS:
        choices = f" ({' or '.join(setting.choices)})" if setting.choices else ""
        value = json.dumps(setting.default) if setting.default is not None else '"..."'
        lines += wrap(f"# {setting.help}{choices}", 90)[:1]
        lines += [f"#   {rest}" for rest in wrap(f"# {setting.help}{choices}", 90)[1:]]
        lines += [f"{setting.name} = {value}"]
    return "\n".join(lines)


def _variables() -> str:
    return "\n".join(f"- `{PREFIX}{name}`: {said}" for name, said in VARIABLES.items())
