"""The one-way house: which room may import which, read from the source with `ast`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "notebook_do"

WORDS = {"model", "errors", "shown", "letters"}
EFFECTS = {"cloudflare", "state", "journal", "observe", "deploy", "target", "bridge", "toolchain"}

MAY_IMPORT: dict[str, set[str]] = {
    "letters": set(),
    "errors": {"letters"},
    "refusing": {"errors"},
    "shown": set(),
    "model": {"errors", "shown", "model"},
    "declare": {"model", "errors", "toolchain", "declare"},
    "plan": {"model", "errors", "shown", "plan"},
    "toolchain": {"errors"},
    "bridge": {"errors"},
    "state": {"model", "errors", "shown", "state"},
    "journal": {"model", "errors", "state"},
    "cloudflare": {"model", "errors", "letters", "cloudflare", "plan", "refusing"},
    "observe": {"cloudflare", "model", "errors"},
    "deploy": {"plan", "cloudflare", "observe", "state", "journal", "model", "errors", "shown", "deploy"},
    "target": {"cloudflare", "local", "model", "errors"},
    "inventory": {"declare", "model", "errors"},
    "explore": {"observe", "declare", "target", "model", "errors"},
    "secrecy": {"cloudflare", "declare", "plan", "state", "model", "errors"},
    "adoption": {"declare", "plan", "model"},
    "exchange": {"adoption", "cloudflare", "declare", "observe", "plan", "model", "errors"},
    "export": {"exchange", "cloudflare", "declare", "observe", "plan", "model", "errors"},
    "settings": {"declare", "errors"},
    "session": {
        "refusing",
        "local",
        "settings",
        "declare",
        "plan",
        "inventory",
        "exchange",
        "export",
        "explore",
        "secrecy",
        *WORDS,
        *EFFECTS,
    },
    "declaring": {"session", "declare", "model"},
    "notebook": {
        "refusing",
        "session",
        "settings",
        "declaring",
        "declare",
        "plan",
        "deploy",
        "notebook",
        "bridge",
        "toolchain",
        "exchange",
        *WORDS,
    },
    "cli": {"notebook", "errors", "letters", "local"},
    "__init__": {"session", "declaring", "model", "errors"},
    "local": {"errors", "toolchain", "local"},
}
"""Room -> rooms it may import; type-only imports are held to it too, except where `TYPE_ONLY` says otherwise."""

TYPE_ONLY = {
    *(("errors", "plan"), ("declaring", "model"), ("plan", "model")),
    *(("observe", "plan"), ("target", "plan")),
}
"""Edges that exist for annotations only: an error may carry a plan without the words depending on it."""

ONLY_IN = {
    "IPython": {"notebook", "bridge"},
    "ipywidgets": {"notebook"},
    "pandas": {"notebook"},
    "httpx": {"cloudflare", "target", "toolchain", "notebook"},
    "nbclient": {"cli"},
    "starlette": {"local"},
    "uvicorn": {"local"},
}
"""Third-party package -> the rooms that may import it at run time."""

BANNED_NAMES = {"utils", "helpers", "common", "base", "types", "manager"}


def room(path: Path) -> str:
    """Give the room of a file: the first part of its path in the package."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """List (module, type_only) of every import in a file, those inside functions included."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and isinstance(guard.test, ast.Name) and guard.test.id == "TYPE_CHECKING"
        for statement in guard.body
        for node in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in guarded) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            names = [node.module or ""]
            if node.module == "notebook_do":
                names = [f"notebook_do.{alias.name}" for alias in node.names]
            elif node.module == "notebook_do.local":
                names = [f"notebook_do.local.{alias.name}" for alias in node.names]
            found += [(name, id(node) in guarded) for name in names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """A file imports only the rooms that the table allows its room."""
    here = room(path)
    assert here in MAY_IMPORT, f"{path} belongs to no room: add it to the table deliberately"
    for module, type_only in imports(path):
        if not module.startswith("notebook_do."):
            continue
        there = module.split(".")[1]
        allowed = MAY_IMPORT[here] | {b for a, b in TYPE_ONLY if a == here and type_only}
        assert there in allowed, f"{path.relative_to(ROOT)} ({here}) imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_outer_packages_stay_on_their_floor(path: Path) -> None:
    """IPython, ipywidgets and pandas are met in notebook/ only, httpx where HTTP is done, Starlette in local/."""
    for module, type_only in imports(path):
        owner = module.split(".")[0]
        if owner in ONLY_IN and not type_only:
            assert room(path) in ONLY_IN[owner], f"{path.relative_to(ROOT)} imports {module}"


def test_local_meets_the_client_side_over_http_only() -> None:
    """local/ shares no rule and no encoder with the client side: of it, only launch is imported from outside."""
    for path in FILES:
        for module, _ in imports(path):
            if room(path) != "local" and module.startswith("notebook_do.local"):
                assert module == "notebook_do.local.launch", f"{path.relative_to(ROOT)} imports {module}"


def test_pure_rooms_are_pure() -> None:
    """plan/ and declare/ (sources and assets aside) read no clock, randomness, environment, network or file."""
    banned = {"os", "time", "random", "secrets", "uuid", "subprocess", "socket", "httpx", "pathlib", "sqlite3"}
    for path in FILES:
        if room(path) in {"plan", "declare"} and path.name not in {"assets.py", "bundle.py", "esbuild.py"}:
            used = {module.split(".")[0] for module, type_only in imports(path) if not type_only} & banned
            assert not used, f"{path.relative_to(ROOT)} imports {used}"
            called = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
            assert not called & {"now", "today", "utcnow"}, f"{path.relative_to(ROOT)} reads the clock"


def test_no_import_cycle_between_files() -> None:
    """No file reaches itself through run-time imports at module level."""
    names = {}
    for path in FILES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    edges = {}
    for name, path in names.items():
        edges[name] = _module_level_imports(path, set(names)) - {name}
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if state.get(name) == 2:
            return
        assert state.get(name) != 1, f"import cycle: {' -> '.join((*trail, name))}"
        state[name] = 1
        for other in sorted(edges[name]):
            visit(other, (*trail, name))
        state[name] = 2

    for name in sorted(names):
        visit(name, ())


def _module_level_imports(path: Path, files: set[str]) -> set[str]:
    """Give the files that a file imports when it is loaded; `from package import file` is an edge to the file."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= named & files or {node.module}
    return found & files


def test_no_drawer_modules() -> None:
    """No module is named after a drawer where anything could be put."""
    for path in FILES:
        assert path.stem not in BANNED_NAMES, path


def test_top_level_is_the_agreed_one() -> None:
    """The repository's top level holds what was agreed and nothing else."""
    agreed = {"pyproject.toml", "notebook_do", "notebooks", "tests", "README.md", "LICENSE", ".gitignore", ".ci"}
    ignored = {
        ".git",
        ".venv",
        ".pytest_cache",
        ".ruff_cache",
        ".mypy_cache",
        ".hypothesis",
        "__pycache__",
        ".notebook_do",
    }
    assert {p.name for p in ROOT.iterdir()} - ignored <= agreed
