"""Which tests run which lines: a mutant meets those that run its line, the quickest of each kind first."""

from __future__ import annotations

import ast
import json
import random
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import coverage
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENOUGH = 25
"""How many cases of one parametrized test take part: fewer tests kill less, so this only makes the figures worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one test did on the tree that nobody changed."""

    test: str
    seconds: float
    lines: dict[str, list[int]]
    cpu: float = 0.0
    """Seconds of this process alone: those do not depend on how busy the machine is."""

    @property
    def function(self) -> str:
        """Name the test without its case."""
        return self.test.partition("[")[0]


class Chosen:
    """Lets pytest run chosen tests only, in this order; a plugin."""

    def __init__(self, tests: list[str]) -> None:
        self.places = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the others out."""
        items[:] = sorted((i for i in items if i.nodeid in self.places), key=lambda i: self.places[i.nodeid])


class Recorder:
    """Notes the lines of one room that each test runs; a plugin."""

    def __init__(self, tree: Path, modules: tuple[str, ...], output: Path) -> None:
        self.tree, self.output, self.seconds = tree, output, dict[str, tuple[float, float]]()
        include = [str(tree / pattern) for pattern in modules]
        self.coverage = coverage.Coverage(data_file=str(output) + ".db", include=include, config_file=False)
        self.coverage.start()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep at most `ENOUGH` cases of each test, always the same ones."""
        cases: dict[str, list[str]] = {}
        for item in items:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item.nodeid)
        kept = {
            test
            for function, tests in cases.items()
            for test in random.Random(function).sample(tests, min(len(tests), ENOUGH))
        }
        items[:] = [item for item in items if item.nodeid in kept]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note the lines under the test's name."""
        self.coverage.switch_context(item.nodeid)
        begun, used = time.monotonic(), time.process_time()
        yield
        self.seconds[item.nodeid] = time.monotonic() - begun, time.process_time() - used
        self.coverage.switch_context("")

    def pytest_sessionfinish(self) -> None:
        """Write down what each test ran."""
        self.coverage.stop()
        data, lines = self.coverage.get_data(), dict[str, dict[str, list[int]]]()
        for path in data.measured_files():
            module = path.removeprefix(f"{self.tree}/")
            for line, tests in data.contexts_by_lineno(path).items():
                for test in tests:
                    lines.setdefault(test, {}).setdefault(module, []).append(line)
        seen = [Seen(test=t, seconds=s, cpu=c, lines=lines.get(t, {})) for t, (s, c) in self.seconds.items()]
        self.output.write_text(json.dumps([asdict(s) for s in seen]))


def read(path: Path) -> list[Seen]:
    """Read what a Recorder wrote."""
    return [Seen(**fields) for fields in json.loads(path.read_text())]


def order(seen: list[Seen], code: str, module: str, line: int) -> list[Seen]:
    """Return the tests that run the statement at `line`: one case of each test first, the quickest first."""
    lines = statement_at(code, line)
    rounds: dict[str, int] = {}
    placed: list[tuple[int, float, Seen]] = []
    for one in sorted(seen, key=lambda s: s.cpu or s.seconds):
        there = one.lines.get(module, [])
        if there and (lines is None or not lines.isdisjoint(there)):
            rounds[one.function] = rounds.get(one.function, -1) + 1
            placed.append((rounds[one.function], one.cpu or one.seconds, one))
    return [one for _, _, one in sorted(placed, key=lambda p: p[:2])]


def statement_at(code: str, line: int) -> frozenset[int] | None:
    """Return the lines of the innermost statement there, of a compound one its head's; None where an import runs it."""
    found: Any = None
    inside = False
    for node in ast.walk(ast.parse(code)):  # outer ones come first
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            inside = inside or isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)
            found = node
    if not inside or isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return None
    end = found.end_lineno
    for part in ("body", "cases"):
        if inner := getattr(found, part, None):
            first = inner[0].pattern if part == "cases" else inner[0]
            end = max(found.lineno, first.lineno - 1)
    return frozenset(range(found.lineno, end + 1))
