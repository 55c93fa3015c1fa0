"""Every test says itself what must hold: a test that only calls others would pass whatever they forgot to check."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
EXPECTING = {"raises", "refused"}
"""`pytest.raises`, and what tests/local makes of it: as a context they are assertions."""


def asserts(function: ast.AST) -> bool:
    """Say whether an assertion stands in a test, or in a story that it tells."""
    return any(isinstance(node, ast.Assert) or _expects(node) for node in ast.walk(function))


def _expects(node: ast.AST) -> bool:
    if not isinstance(node, ast.withitem) or not isinstance(node.context_expr, ast.Call):
        return False
    called = node.context_expr.func
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) in EXPECTING


def without(source: str) -> list[str]:
    """Return the names of the tests of a file that assert nothing."""
    found = [n for n in ast.walk(ast.parse(source)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return [n.name for n in found if n.name.startswith("test_") and not asserts(n)]


def test_every_test_has_an_assertion_of_its_own() -> None:
    """Benchmarks are left out: they print, and never fail on a time."""
    files = [path for path in sorted(TESTS.rglob("test_*.py")) if path.parent.name != "benchmarks"]
    assert len(files) > 100
    assert [f"{path.relative_to(TESTS)}::{name}" for path in files for name in without(path.read_text())] == []


@pytest.mark.parametrize(
    ("body", "empty"),
    [
        ("check(1)", True),
        ("with opened('x'): check(1)", True),
        ("assert x", False),
        ("with pytest.raises(E): f()", False),
        ("with refused('no'): f()", False),
    ],
)
def test_the_scan_tells_them_apart(body: str, *, empty: bool) -> None:
    """A helper's assertion does not count; an expected error does."""
    assert without(f"def test_it():\n    {body}\n") == (["test_it"] if empty else [])
