"""The files beside a notebook that its cells run or write, as far as a plan rests on them. Only reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from notebook_do.notebook.runbook.names import MENTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SOURCES = {".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"}


def run_and_ours(magic: str) -> Path | None:
    """Give the file that `%run FILE` runs, where it uses notebook_do."""
    words = [word for word in magic.split()[1:] if not word.startswith("-")]
    path = Path(words[0].strip("'\"")) if words else Path()
    try:
        return path if path.is_file() and MENTIONS.search(path.read_text(errors="replace")) else None
    except OSError:
        return None


def written_otherwise(writes: Mapping[str, str], texts: Iterable[str]) -> str:
    """Give a file that a cell writes, and that is not there as the cell has it, where a declaration may read it.

    That is one of Worker source, or one whose name stands in `texts`: those of what is run.
    """
    told = "\n".join(texts)
    for name, body in writes.items():
        path = Path(name)
        if path.suffix not in _SOURCES and path.name not in told and path.stem not in told:
            continue
        try:
            there = path.read_text(errors="replace") if path.is_file() else None
        except OSError:
            there = None
        if there is None or there.rstrip("\n") != body.rstrip("\n"):
            return name
    return ""
