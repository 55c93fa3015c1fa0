"""The golden files: written in one way, so that a change shows as the lines that changed, and read once."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "files"


def text_of(value: Any) -> str:
    """Write a value as JSON: a line for each entry of its first two levels."""
    if not isinstance(value, dict):
        return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    entries = [f" {json.dumps(key)}: {_entry(part)}" for key, part in sorted(value.items())]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _entry(value: Any) -> str:
    line = functools.partial(json.dumps, sort_keys=True, ensure_ascii=False)
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"  {line(part)}" for part in value) + "\n ]"
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f"  {line(key)}: {_lines(part)}" for key, part in value.items()) + "\n }"
    return line(value)


def _lines(value: Any) -> str:
    """Write a text of many lines line by line, anything else on one."""
    line = functools.partial(json.dumps, sort_keys=True, ensure_ascii=False)
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return "[\n" + ",\n".join(f"   {line(part)}" for part in value) + "\n  ]"
    return line(value)


@functools.cache
def golden(name: str) -> Any:
    """Read one golden file."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def write(name: str, value: Any) -> None:
    """Write one golden file anew."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(text_of(value), encoding="utf-8")
