"""The reference pages of `%durable help TOPIC`: texts beside this file, with the tables that the code itself uses."""

from __future__ import annotations

import json
from pathlib import Path

from notebook_do.settings import PREFIX, SETTINGS, VARIABLES

TOPICS = {
    "plans": "what a plan says, what it reads, and when it is spent",
    "objects": "live objects: call, query, change and map them, and read what they logged",
    "settings": "what no option says: %config, environment, pyproject.toml",
    "secrets": "where the values of secrets come from, and what is kept of them",
    "command-line": "notebook-do: runbooks, plans and deploys without a kernel",
    "local": "the local Cloudflare: what it serves, and what it only keeps",
    "wrangler": "projects in and out, and other people's clients on the local Cloudflare",
    "cloudflare": "the token, its permissions by task, and what is not confirmed yet",
}
"""Each page and what it is about."""


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
        lines += [f"# {setting.help}{choices}", f"{setting.name} = {value}"]
    return "\n".join(lines)


def _variables() -> str:
    return "\n".join(f"- `{PREFIX}{name}`: {said}" for name, said in VARIABLES.items())
