"""The one-way house: which room may import which, read from the source with `ast`; imports in functions count too."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "notebook_do"

BOTTOM = {"display", "errors", "frames"}
PURE = {"model", *BOTTOM}
RULES = {"plan", "declare", *PURE}
EFFECTS = {"inspector", "cloudflare", "credentials", "state", "sources", "bridge", "toolchain", *RULES}
LIVE = {"live", "interchange", *EFFECTS}
JOINED = {"sessions", "deploy", "settings", *LIVE}

MAY_IMPORT: dict[str, set[str]] = {
    "display": {"display", "frames"},
    "frames": {"display"},
    "errors": {"display"},
    "bridge": {"errors"},
    "toolchain": {"toolchain", "errors"},
    "model": PURE,
    "inspector": {"inspector", *PURE},
    "declare": {"declare", *PURE},
    "plan": RULES - {"declare"},
    "sources": {"sources", "toolchain", *PURE},
    "state": {"state", *PURE},
    "cloudflare": {"cloudflare", "credentials", *PURE},
    "credentials": {"credentials", "cloudflare", "inspector", "state", *PURE},
    "live": {"live", "local", *EFFECTS},
    "interchange": LIVE,
    "deploy": {"deploy", *LIVE},
    "settings": {"errors"},
    "sessions": JOINED | {"local"},
    "notebook": {"notebook", *JOINED},
    "cli": {"cli", "notebook", "errors", "display", "local"},
    "__init__": {"sessions", "model", "errors", "inspector", "notebook"},
    "local": {"local", "errors", "toolchain", "inspector"},
}
"""Room -> rooms it may import, arrows down only."""

TYPE_ONLY = {
    *(("errors", "plan"), ("plan", "model")),
    *(("__init__", "plan"), ("__init__", "deploy")),
}
"""Edges that exist for annotations only: an error may carry a plan without the words depending on it."""

BY_NAME = {("display", "notebook"), ("display", "frames"), ("__init__", "notebook"), ("__init__", "sessions")}
"""Edges that are taken at run time by name: a value is shown, a public name is used for the first time."""

MODULES = 380
"""How many modules there are at most; whoever adds a subject raises it, and says so."""

LONGEST_FILE, LONGEST_FUNCTION = 350, 60

ONLY_IN = {
    "IPython": {"notebook", "bridge"},
    "cryptography": {"inspector"},
    "ipywidgets": {"notebook"},
    "pandas": {"frames"},
    "httpx": {"cloudflare", "live", "toolchain", "notebook"},
    "nbclient": {"cli"},
    "starlette": {"local"},
    "uvicorn": {"local"},
}
"""Third-party package -> the rooms that may import it at run time."""

BANNED_NAMES = {"utils", "helpers", "common", "base", "types", "manager"}

FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """Return the room of a module: the first part of its name in the package."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


NAMES = {name_of(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a file, once for all tests."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> list[tuple[str, str]]:
    """List (module, kind) of every import of a file: kind is `run`, `type` or `name`, wherever it stands."""
    tree = tree_of(path)
    guarded = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and isinstance(guard.test, ast.Name) and guard.test.id == "TYPE_CHECKING"
        for statement in guard.body
        for node in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        kind = "type" if id(node) in guarded else "run"
        if isinstance(node, ast.Import):
            found += [(alias.name, kind) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            module = node.module or ""
            found += [(f"{module}.{a.name}" if f"{module}.{a.name}" in NAMES else module, kind) for a in node.names]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "import_module":
            text = node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found.append((text.value, "name"))
    return found


def up_or_unknown(path: Path) -> list[str]:
    """Return the imports of a file from rooms that the table does not allow its room."""
    here = room(name_of(path))
    assert here in MAY_IMPORT, f"{path} belongs to no room: add it to the table deliberately"
    found = []
    for module, kind in imports(path):
        allowed = MAY_IMPORT[here] | {b for a, b in TYPE_ONLY if a == here and kind == "type"}
        allowed |= {b for a, b in BY_NAME if a == here and kind == "name"}
        if module.startswith("notebook_do.") and room(module) not in allowed:
            found.append(f"{path.relative_to(ROOT)} ({here}) imports {module}")
    return found


def test_imports_point_down() -> None:
    """A file imports only the rooms that the table allows its room."""
    assert [wrong for path in FILES for wrong in up_or_unknown(path)] == []


def test_outer_packages_stay_on_their_floor() -> None:
    """IPython and ipywidgets are met in notebook/ only, pandas in frames, httpx where HTTP is done."""
    for path in FILES:
        for module, kind in imports(path):
            owner = module.split(".")[0]
            if owner in ONLY_IN and kind != "type":
                assert room(name_of(path)) in ONLY_IN[owner], f"{path.relative_to(ROOT)} imports {module}"


def test_local_meets_the_client_side_over_http_only() -> None:
    """local/ shares no rule and no encoder with the client side: of it, only launch is imported from outside."""
    for path in FILES:
        for module, _ in imports(path):
            if room(name_of(path)) != "local" and module.startswith("notebook_do.local"):
                assert module == "notebook_do.local.process.launch", f"{path.relative_to(ROOT)} imports {module}"


def test_local_takes_of_the_inspector_its_javascript_only() -> None:
    """What looks inside a class is one text on both targets; local/ reads it and shares no encoder with the client."""
    for path in FILES:
        for module, _ in imports(path):
            if room(name_of(path)) == "local" and module.startswith("notebook_do.inspector"):
                assert module == "notebook_do.inspector.modules", f"{path.relative_to(ROOT)} imports {module}"


def test_pure_rooms_are_pure() -> None:
    """plan/ and declare/ read no clock, randomness, environment, network or file."""
    banned = {"os", "time", "random", "secrets", "uuid", "subprocess", "socket", "httpx", "pathlib", "sqlite3"}
    for path in FILES:
        if room(name_of(path)) in {"plan", "declare"}:
            used = {module.split(".")[0] for module, kind in imports(path) if kind == "run"} & banned
            assert not used, f"{path.relative_to(ROOT)} imports {used}"
            called = {node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
            assert not called & {"now", "today", "utcnow"}, f"{path.relative_to(ROOT)} reads the clock"


def test_no_import_cycle_between_files() -> None:
    """No file reaches itself through run-time imports, those inside functions included."""
    reached: dict[str, set[str]] = {}
    for name, path in NAMES.items():
        found = {m for m, kind in imports(path) if kind == "run" and m in NAMES and m != name}
        reached[name] = found if name != "notebook_do" else set()
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if state.get(name) == 2:
            return
        assert state.get(name) != 1, f"import cycle: {' -> '.join((*trail[trail.index(name) :], name))}"
        state[name] = 1
        for other in sorted(reached[name]):
            visit(other, (*trail, name))
        state[name] = 2

    for name in sorted(NAMES):
        visit(name, ())


def test_files_and_functions_are_short() -> None:
    """No file is longer than 350 lines, and no function longer than 60."""
    for path in FILES:
        text = path.read_text()
        name = str(path.relative_to(PACKAGE))
        assert len(text.splitlines()) <= LONGEST_FILE, f"{name} is too long"
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= LONGEST_FUNCTION, f"{name}:{node.lineno} {node.name} has {length} lines"


def test_there_are_no_more_modules_than_agreed() -> None:
    """A new subject may have a module of its own; then the number is raised deliberately."""
    count = sum(path.name != "__init__.py" or bool(path.read_text().count("\n") > 3) for path in FILES)
    assert count <= MODULES, f"{count} modules"


def test_one_class_name_for_one_thing() -> None:
    """No two classes have one name; `Worker` is the declared value, and the call that makes and registers it."""
    found: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {
        "Worker": ["model/declared.py", "sessions/declaring.py"]
    }


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
