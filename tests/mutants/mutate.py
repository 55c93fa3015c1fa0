"""Mutates the guards and lets the tests of their rooms find it: `python tests/mutants/mutate.py --sample 300`.

A seeded sample of all mutants (cosmic-ray's operators, and some of ours in its terms: see operators.py) is put one by
one into a copy of the tree; each is killed by a failing test, a time out or a failing import, or it survives and is
printed as a diff. Run by hand; `--room plan` looks at one room, `--only 3f2a` at one mutant by the start of its name.
"""

from __future__ import annotations

import argparse
import compileall
import difflib
import hashlib
import io
import json
import os
import py_compile
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from operators import operators
from rooms import ROOMS

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = Path(__file__).resolve().parents[2]
KEPT = ("notebook_do", "tests", "notebooks", "pyproject.toml", "README.md", "LICENSE")
PATIENCE = 5
"""A mutant whose tests take so many times longer, and 30 seconds, never ends: it counts as killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one module."""

    room: str
    module: str
    operator: str
    occurrence: int
    line: int

    @property
    def name(self) -> str:
        """Name it by what it is, whatever the sample."""
        text = f"{self.module}:{self.operator}:{self.occurrence}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def code(self) -> tuple[str, str]:
        """Give the module as it is, and changed."""
        before = (TREE / self.module).read_text()
        return before, str(mutate_code(before, operators()[self.operator], self.occurrence))

    def diff(self) -> str:
        """Show the change."""
        before, after = (text.splitlines() for text in self.code())
        lines = list(difflib.unified_diff(before, after, self.module, self.module, n=2, lineterm=""))[2:]
        return "\n".join((f"{self.name} {self.module}:{self.line} {self.operator}", *lines))


def mutants_of(room: str) -> Iterator[Mutant]:
    """List every mutant of a room, in the order of its modules; imports for types alone change nothing."""
    for pattern in ROOMS[room].modules:
        for path in sorted(TREE.glob(pattern)):
            nodes, lines = list(ast_nodes(get_ast_from_path(path))), path.read_text().splitlines()
            for name, operator in operators().items():
                places = (place for node in nodes for place in operator.mutation_positions(node))
                for occurrence, (start, _) in enumerate(places):
                    if lines[start[0] - 1] != "if TYPE_CHECKING:":
                        yield Mutant(
                            room=room,
                            module=str(path.relative_to(TREE)),
                            operator=name,
                            occurrence=occurrence,
                            line=start[0],
                        )


def sample_of(rooms: list[str], size: int, seed: int) -> list[Mutant]:
    """Draw mutants of each room in proportion to its share."""
    chosen: list[Mutant] = []
    shares = sum(ROOMS[room].share for room in rooms)
    for room in rooms:
        every = list(mutants_of(room))
        wanted = min(len(every), -(-size * ROOMS[room].share // shares))
        chosen += random.Random(f"{seed}:{room}").sample(every, wanted)
    return chosen


class Bench:
    """A copy of the tree in which one mutant at a time lives."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ndm-"))
        for name in KEPT:
            if (TREE / name).is_dir():
                shutil.copytree(TREE / name, self.path / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(TREE / name, self.path / name)
        with redirect_stdout(io.StringIO()):  # by hash: a mutant has its original's size and nearly its time
            compileall.compile_dir(self.path, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)

    def survives(self, mutant: Mutant, limits: list[float]) -> str:
        """Give how it ended: killed in which stage of tests, or survived."""
        before, after = mutant.code()
        place, room = self.path / mutant.module, ROOMS[mutant.room]
        place.write_text(after)
        try:
            for number, tests in enumerate(room.stages, start=1):
                if (ended := self.run(tests, limits[number - 1])) != 0:
                    return "killed late" if ended == "late" else f"killed in {number}"
        finally:
            place.write_text(before)
        return "survived"

    def run(self, tests: tuple[str, ...], limit: float = 3600.0) -> int | str:
        """Run tests in a fork of this process, which has imported what they need but nothing of the tree."""
        sys.stdout.flush()
        if (pid := os.fork()) == 0:
            os.setsid()
            self._be_pytest(tests)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._end(pid)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        self._end(pid)
        os.waitpid(pid, 0)
        return "late"

    def _be_pytest(self, tests: tuple[str, ...]) -> None:
        try:
            import pytest

            os.chdir(self.path)
            sys.path.insert(0, str(self.path))
            os.environ |= {"PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": "1"}
            sys.dont_write_bytecode = True
            with (self.path / "output").open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            there = [t for t in tests if (self.path / t).exists()]
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *there]))
        except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
            code = 70
        os._exit(code)

    @staticmethod
    def _end(group: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)

    def close(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.path, ignore_errors=True)


def work(mutants: list[Mutant], limits: dict[str, list[float]]) -> None:
    """Try mutants one after another; print one JSON line each."""
    for name in ("hypothesis", "httpx", "pandas", "pytest", "IPython", "starlette.applications", "uvicorn"):
        import_module(name)  # what every fork would import
    bench = Bench()
    try:
        for mutant in mutants:
            begun = time.monotonic()
            ended = bench.survives(mutant, limits[mutant.room])
            say(json.dumps([mutant.name, ended, round(time.monotonic() - begun, 1)]))
    finally:
        bench.close()


def side_by_side(mutants: list[Mutant], command: list[str], workers: int) -> dict[str, str]:
    """Try mutants in several processes; give how each ended, by name."""
    by_name = {m.name: m for m in mutants}
    ended: dict[str, str] = {}
    running = [
        subprocess.Popen(
            [sys.executable, __file__, *command, "--part", f"{n}/{workers}"], stdout=subprocess.PIPE, text=True
        )
        for n in range(workers)
    ]

    def listen(process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            name, how, seconds = json.loads(line)
            ended[name] = how
            say(f"{len(ended):4}/{len(mutants)} {how:13} {seconds:6.1f} s  {by_name[name].module}:{by_name[name].line}")
            if how == "survived":
                say(by_name[name].diff())

    threads = [threading.Thread(target=listen, args=[p]) for p in running]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


def limits_of(rooms: list[str]) -> dict[str, list[float]]:
    """Give how long each stage of a room may take. Its tests must pass on what nobody changed: else all is killed."""
    bench, limits = Bench(), dict[str, list[float]]()
    try:
        for room in rooms:
            for tests in ROOMS[room].stages:
                begun = time.monotonic()
                if bench.run(tests) != 0:
                    raise SystemExit((bench.path / "output").read_text()[-4000:])
                limits.setdefault(room, []).append(30 + PATIENCE * (time.monotonic() - begun))
            say(f"{room}: its tests pass on what is not changed")
    finally:
        bench.close()
    return limits


def report(mutants: list[Mutant], ended: dict[str, str]) -> bool:
    """Print the figures by room; True where at least 95 % are killed and none was left out."""
    for room in [*dict.fromkeys(m.room for m in mutants), ""]:
        mine = [ended.get(m.name, "not tried") for m in mutants if room in {"", m.room}]
        killed = sum(how.startswith("killed") for how in mine)
        say(f"{room or 'all':8} {killed} of {len(mine)} killed ({100 * killed / max(1, len(mine)):.1f} %)")
    survivors = [m for m in mutants if ended.get(m.name) == "survived"]
    say("survivors: " + (" ".join(f"{m.name} {m.module}:{m.line}" for m in survivors) or "none"))
    return len(survivors) <= 0.05 * len(mutants) and len(ended) == len(mutants)


def say(text: str) -> None:
    """Print a line now."""
    print(text, flush=True)  # noqa: T201 - a program that reports


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--room", choices=list(ROOMS), action="append")
    parser.add_argument("--only", action="append", default=[], help="mutants by the start of their names")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="show the sample, and try none")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--limits", help=argparse.SUPPRESS)
    given = parser.parse_args()
    rooms = given.room or list(ROOMS)
    if given.only:
        mutants = [m for room in rooms for m in mutants_of(room) if m.name.startswith(tuple(given.only))]
    else:
        mutants = sample_of(rooms, given.sample, given.seed)
    if given.part:
        part, workers = map(int, given.part.split("/"))
        work(mutants[part::workers], json.loads(given.limits))
        return 0
    if given.list:
        for mutant in mutants:
            say(mutant.diff())
        return 0
    limits = limits_of([*dict.fromkeys(m.room for m in mutants)])
    command = [*sys.argv[1:], "--limits", json.dumps(limits)]
    ended = side_by_side(mutants, command, min(given.workers, len(mutants)))
    return 0 if report(mutants, ended) else 1


if __name__ == "__main__":
    raise SystemExit(main())
