"""The rooms of the local Cloudflare: which may import which, read from the source with `ast`, annotations included."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

LOCAL = Path(__file__).parents[2] / "notebook_do" / "local"
MAY_IMPORT: dict[str, set[str]] = {
    "process": {"api", "gateway", "account", "rules", "runtime"},
    "api": {"account", "rules", "runtime", "objects", "services"},
    "gateway": {"runtime"},
    "account": {"rules", "runtime", "services"},
    "rules": {"runtime", "services"},
    "runtime": {"objects", "services", "process"},
    "objects": {"runtime"},
    "services": set(),
}
"""Room -> rooms that it may import. `rules` and `objects` know of others only values, in annotations; of `process` the
runtime takes the ownership of a data directory and nothing else."""


def imported(path: Path) -> set[tuple[str, str]]:
    """List (room, module) of the local Cloudflare that a file imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("notebook_do.local."):
            room, _, module = (node.module or "").removeprefix("notebook_do.local.").partition(".")
            found |= {(room, module or alias.name) for alias in node.names}
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_lies_below(room: str) -> None:
    """An upload's form is known to the account without its routes, and no service or rule knows who asks."""
    files = sorted((LOCAL / room).glob("*.py"))
    assert files
    for path in files:
        others = {(there, module) for there, module in imported(path) if there != room}
        assert {there for there, _ in others} <= MAY_IMPORT[room], path.name
        assert {module for there, module in others if there == "process"} <= {"ownership"} or room == "process"
